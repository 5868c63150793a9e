"""The commands: listed, with words in both forms, and wrong ones refused before anything starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.cli import COMMANDS, ui
from benchmark.cli.main import main
from benchmark.core import resources
from tests.harness import ROOT, command

Capture = pytest.CaptureFixture[str]


def test_every_command_is_registered_and_explains_itself(capsys: Capture) -> None:
    from benchmark.cli.commands import app

    registered = [str(c.name) for c in app.registered_commands] + [str(g.name) for g in app.registered_groups]
    assert sorted(registered) == sorted(COMMANDS)
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(f"\n  {name} " in listed for name in COMMANDS)
    for name in set(COMMANDS) - {"run", "sweep"}:
        assert main([name, "--help"]) == 0
        assert f"fm-defect-bench {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["reprodcue"], 2, "Did you mean 'reproduce'"),
        (["run", "constant"], 1, "write pipeline=constant"),
        (["sweep", "smoothing"], 1, "write +sweep=smoothing"),
        (["run", "pipeline=3"], 1, "pipeline=NAME"),
        (["reproduce", "domain_gap", "1", "dryrun"], 1, "did you mean 'dry_run'"),
        (["reproduce", "domain_gap", "7"], 1, "TABLE"),
        (["reproduce", "domin_gap"], 1, "did you mean 'domain_gap'"),
        (["reproduce"], 1, "domain_gap"),
        (["reproduce", "domain_gap", "1", "run.limt=3"], 1, "did you mean 'limit'"),
        (["reproduce", "domain_gap", "1", "sam_clip.sam.modle=vit_b"], 1, "did you mean 'model'"),
        (["reproduce", "domain_gap", "1", "pipelin.x=1"], 1, "did you mean 'pipeline'"),
        (["reproduce", "domain_gap", "1", "clipseg.text=x"], 1, "no cell of these tables is of clipseg"),
        (["data", "mtd", "verfy"], 1, "did you mean 'verify'"),
        (["data", "mtd", "--verfy"], 2, "--verify"),
        (["data", "mtd", "data_rot=x"], 2, "did you mean 'data_root'"),
        (["weights", "resnet_mlp", "dryrun"], 1, "did you mean 'dry_run'"),
        (["doctor", "verfy"], 1, "did you mean 'verify'"),
        (["reference", "chek"], 1, "did you mean 'check'"),
        (["cache", "prun"], 2, "Did you mean 'prune'"),
        (["cache", "prune", "--older", "30"], 1, "write 30d"),
        (["report", "megabyte=3"], 2, "did you mean 'megabytes'"),
        (["report", "megabytes=many"], 2, "megabytes=many: is no number"),
        (["rows", "x", "only=bad"], 2, "only=bad: 'bad' is not one of 'wrong', 'failed'"),
        (["rows", "x", "y"], 2, "'y' is one word too many for rows"),
        (["submit", "x"], 2, "who=… is not given"),
        (["submit", "x", "wo=3"], 2, "did you mean 'who'"),
        (["submit", "x", "licence=MIT", "who=Jörg", "Müller"], 2, "with make ARGS='\"who=Jörg Müller\"'"),
        (["export", "x"], 2, "form=csv or form=huggingface is not given"),
        (["export", "x", "frm=csv"], 2, "did you mean 'form'"),
        (["verify-submission"], 2, "FILE is not given"),
        (["verify-submission", "x.json", "mapz=y"], 2, "did you mean 'maps'"),
        (["decide", "x", "results_rot=y"], 2, "did you mean 'results_root'"),
        (["predict", "in=.", "threshhold=1"], 1, "did you mean 'threshold'"),
        (["answers", "export"], 2, "FILE is not given"),
        (["track"], 2, "FOLDER"),
    ],
)
def test_a_wrong_word_is_refused_in_one_line_before_anything_starts(
    words: list[str], status: int, said: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == status
    told = capsys.readouterr().err
    assert told.startswith("error: ") and said in told and told.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["dry_run", "mirror=http://m"], ["--dry-run", "--mirror", "http://m"]])
def test_bare_words_and_options_mean_the_same(words: list[str], capsys: Capture) -> None:
    assert main(["weights", "sam_vit_b", *words]) == 0
    out = capsys.readouterr().out
    assert "http://m/" in out and out.index("http://m/") < out.index("https://")


def test_the_value_of_an_option_is_no_word(tmp_path: Path, capsys: Capture) -> None:
    assert main(["compare", "a", "b", "--results-root", str(tmp_path), "--out", "force"]) == 1
    assert "no run 'a'" in capsys.readouterr().err


def test_a_sweep_is_a_command_too(tmp_path: Path) -> None:
    words = ("dataset=sat", "dataset.n_good=2", "dataset.n_defective=2", "dataset.n_train=2", "dataset.size=64")
    places = [f"run.{name}_root={tmp_path / name}" for name in ("data", "results", "cache")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", "sweep", *words, *places, "tracking=none", "pipeline=constant",
         "run.seed=0,1"],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "results" / "runs").glob("*/result.json"))) == 2


def test_options_of_hydra_may_stand_anywhere(tmp_path: Path) -> None:
    (tmp_path / "own" / "dataset").mkdir(parents=True)
    done = command("dataset=sat", "--config-dir", str(tmp_path / "own"), "pipeline=constnt")
    assert done.returncode == 1 and "did you mean 'constant'" in done.stderr


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("make data DATASET=mtd ARGS=verify", "fm-defect-bench data mtd verify"),
        ('`make weights PIPELINE="a b"`, then', "`fm-defect-bench weights a b`, then"),
        ("first (make bench)", "first (fm-defect-bench run)"),
        ("make bench DATASET=sat ARGS=run.seed=1", "fm-defect-bench run dataset=sat run.seed=1"),
        ("run `make cache ARGS='prune --max-size 10G'`;", "run `fm-defect-bench cache prune --max-size 10G`;"),
        ("make the folder writable", "make the folder writable"),
    ],
)  # fmt: skip
def test_commands_of_make_are_named_as_the_console_has_them(
    made: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resources.commands_here(made) == made
    monkeypatch.setattr(resources, "CHECKOUT", None)
    assert resources.commands_here(made) == told


NO_HOME = """
import os, pwd, sys
for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
    os.environ.pop(name, None)
def unknown(*_):
    raise KeyError("getpwuid(): uid not found: 54321")
pwd.getpwuid = unknown
from benchmark.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def without_home(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user number without a home and without an entry in the password file, as in a container."""
    argv = [sys.executable, "-c", NO_HOME, *words]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.slow
def test_a_user_without_a_home_runs_and_tracks(tmp_path: Path) -> None:
    words = ("dataset=sat", "dataset.n_good=2", "dataset.n_defective=2", "dataset.n_train=2", "dataset.size=64")
    places = [f"run.{name}_root={tmp_path / name}" for name in ("data", "results", "cache")]
    done = without_home("run", *words, *places, "pipeline=constant")
    assert done.returncode == 0, done.stderr
    assert "MLflow run" in done.stdout
    done = without_home("run", "dataset=folder", "dataset.path=~/parts", *places, "pipeline=constant")
    assert done.returncode == 1 and "set HOME or give the whole path" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["a b", "ü", "it's"])
def test_places_may_have_any_name_and_begin_at_home(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / name / "runs").mkdir(parents=True)
    for words in (["report", f"results_root=~/{name}"], ["report", "--results-root", f"$HOME/{name}", "out=~/r.html"]):
        main(words)
    assert not (tmp_path / "~").exists() and not (tmp_path / "$HOME").exists()


def test_the_interface_is_opened_on_the_store_of_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(ui, "_serve", lambda words: called.append(words) or 0)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["ui", "results_root=~/my results", "port=5001"]) == 0
    (words,) = called
    store = words[words.index("--backend-store-uri") + 1]
    assert store == f"sqlite:///{tmp_path}/my results/mlflow/mlflow.db" and words[-1] == "5001"


SERVER = """
import subprocess, sys, time
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
print(helper.pid, flush=True)
time.sleep(100)
"""
SERVE = """
import signal, sys
from benchmark.cli.ui import _serve
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, as tests may be, ignore it
sys.exit(_serve([sys.executable, '-c', sys.argv[1]]))
"""


@pytest.mark.parametrize(("told", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_the_interface_ends_without_a_word_and_leaves_no_process(told: int, status: int) -> None:
    """Ctrl-C reaches every process of the terminal; none of them prints where it was."""
    words = [sys.executable, "-c", SERVE, SERVER]
    process = subprocess.Popen(
        words, cwd=ROOT, text=True, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    helper = int(process.stdout.readline())
    os.killpg(process.pid, told)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == status
    with pytest.raises(ProcessLookupError):
        while time.monotonic():  # the kernel takes a moment
            os.kill(helper, 0)
            time.sleep(0.01)
