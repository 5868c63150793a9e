"""The package without a checkout: the wheel, installed into an empty environment and used from another folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.harness import ROOT, SMALL_SAT

BUILD = "import sys; from hatchling.build import build_{kind}; print(build_{kind}(sys.argv[1]))"


def build(kind: str, source: Path, target: Path) -> Path:
    """Build a wheel or an sdist without network and isolation, as pip does."""
    target.mkdir(exist_ok=True)
    program = [sys.executable, "-c", BUILD.format(kind=kind), str(target)]
    done = subprocess.run(program, cwd=source, capture_output=True, text=True, check=True)
    return target / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel alone and sees the other packages of this one."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, with_pip=True, symlinks=True)
    install = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check", str(wheel)]
    subprocess.run([folder / "bin" / "python", *install], check=True, cwd=folder)
    (site,) = folder.glob("lib/*/site-packages")
    # A folder that a .pth file names has its own .pth files unread: the checkout's editable install stays unseen.
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the user's, in a repository of the user's own."""
    folder = tmp_path_factory.mktemp("elsewhere")
    user = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)
    subprocess.run(["git", *user, "commit", "-q", "--allow-empty", "-m", "theirs"], cwd=folder, check=True)
    return folder


def call(
    installed: Path, folder: Path, *words: str, program: str = "fm-defect-bench"
) -> subprocess.CompletedProcess[str]:
    unset = ("DATA_ROOT", "RESULTS_ROOT", "BENCH_CACHE", "BENCH_WEIGHTS", "PYTHONPATH")
    variables = {k: v for k, v in os.environ.items() if k not in unset}
    return subprocess.run(
        [installed / "bin" / program, *words], cwd=folder, capture_output=True, text=True, timeout=800,
        env={**variables, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_the_installed_package_is_the_one_that_runs(installed: Path, elsewhere: Path) -> None:
    program = "import benchmark, benchmark.core.resources as r; print(benchmark.__file__, r.CHECKOUT, r.CONF)"
    done = call(installed, elsewhere, "-c", program, program="python")
    file, checkout, conf = done.stdout.split()
    assert Path(file).is_relative_to(installed) and Path(conf).is_relative_to(installed)
    assert checkout == "None"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_default_run_reproduce_report_and_doctor_work_from_another_folder(installed: Path, elsewhere: Path) -> None:
    done = call(installed, elsewhere, "run", *SMALL_SAT)
    assert done.returncode == 0, done.stderr
    (path,) = elsewhere.glob("results/runs/*/result.json")
    measured = json.loads(path.read_text())["measured"]
    assert (measured["git_commit"], measured["git_dirty"]) == (None, None), "the user's repository is not ours"
    assert measured["packages"]["fm-defect-bench"]
    assert (elsewhere / "datasets" / "sat").is_dir() and (elsewhere / ".cache" / "stages").is_dir()

    done = call(installed, elsewhere, "reproduce", "domain_gap", "1", "dry_run")
    assert done.returncode == 0, done.stderr
    assert "0 of 16 cells can be run" in done.stdout
    assert "fm-defect-bench" in done.stdout and "make data" not in done.stdout

    done = call(installed, elsewhere, "report")
    assert done.returncode == 0, done.stderr
    assert "<html" in (elsewhere / "results" / "report.html").read_text()

    done = call(installed, elsewhere, "doctor")
    assert done.returncode == 0, done.stderr
    assert "installed from a wheel" in done.stdout and "fm-defect-bench data mvtec" in done.stdout
    assert "generated on first use" in done.stdout and "make data" not in done.stdout


def test_what_needs_a_checkout_says_so_and_commands_are_those_of_here(installed: Path, elsewhere: Path) -> None:
    done = call(installed, elsewhere, "tables")
    assert done.returncode == 1 and "needs a checkout" in done.stderr
    done = call(installed, elsewhere, "dataset=mtd", "pipeline=constant")
    assert done.returncode == 1 and "fm-defect-bench data mtd" in done.stderr and "make" not in done.stderr


@pytest.mark.slow
def test_a_users_own_config_folder_is_read(installed: Path, elsewhere: Path) -> None:
    own = elsewhere / "own" / "dataset"
    own.mkdir(parents=True)
    settings = "defaults: [sat, _self_]\nn_good: 4\nn_defective: 4\nn_train: 2\nsize: 64\n"
    (own / "small.yaml").write_text(f"# A small sat.\n{settings}")
    words = ("pipeline=constant", "--config-dir", "own", "tracking=none")
    done = call(installed, elsewhere, "dataset=small", *words)
    assert done.returncode == 0, done.stderr
    done = call(installed, elsewhere, "dataset=smal", *words)
    assert done.returncode == 1 and "did you mean 'small'" in done.stderr
    done = call(installed, elsewhere, "dataset=small", "dataset.n_god=3", *words)
    assert done.returncode == 1 and "did you mean 'n_good'" in done.stderr


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_all_data_of_the_checkout(wheel: Path) -> None:
    held = names(wheel)
    for folder, suffixes in (("conf", {".yaml"}), ("baselines", {".yaml", ".csv"})):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in suffixes:
                assert f"benchmark/_data/{path.relative_to(ROOT).as_posix()}" in held
    assert {f"benchmark/_data/datasets/{p.parent.name}/card.yaml" for p in ROOT.glob("datasets/*/card.yaml")} <= held
    assert {"benchmark/py.typed", "benchmark/report/templates/report.html"} <= held
    assert not [name for name in held if name.startswith(("tests/", "docs/"))]


def test_the_sdist_builds_the_same_wheel_and_no_data_of_the_user_get_in(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", ROOT, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.glob("fm_defect_bench-*")
    (source / ".gitignore").unlink(missing_ok=True)
    for place in ("datasets/mvtec/bottle", "datasets/gasket", "results/runs/x"):
        (source / place).mkdir(parents=True)
        (source / place / "000.png").write_bytes(b"not ours")
    assert names(build("wheel", source, tmp_path / "again")) == names(wheel)
