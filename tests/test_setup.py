"""Set-up installs what the lock says, whatever newer releases, settings and pips are around."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from threading import Thread

import pytest

from tests.harness import ROOT

BACKEND = """
import base64, hashlib, os, zipfile

def _wheel(folder, name, version, files):
    info = f"{name}-{version}.dist-info"
    files = dict(files)
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    rows = "".join(f"{path},,\\n" for path in [*files, f"{info}/RECORD"])
    files[f"{info}/RECORD"] = rows
    file = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, file), "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return file

def build_wheel(folder, config_settings=None, metadata_directory=None):
    return _wheel(folder, "gamma", "1.0", {"gamma.py": "BUILT_BY = %r" % VERSION})

def build_editable(folder, config_settings=None, metadata_directory=None):
    return _wheel(folder, "project", "0", {"project.pth": os.getcwd()})
"""
"""A build backend of our own under the name of setuptools: each release marks what it builds."""


def wheel(folder: Path, name: str, version: str, files: dict[str, str | bytes], requires: str = "") -> Path:
    """Write a wheel, as a release of a package."""
    info = f"{name}-{version}.dist-info"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: more\n{requires}"
    tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    whole = {**files, f"{info}/METADATA": about, f"{info}/WHEEL": tag}
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    for path, content in whole.items():
        digest = hashlib.sha256(content if isinstance(content, bytes) else content.encode()).digest()
        rows.writerow([path, "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), len(content)])
    rows.writerow([f"{info}/RECORD", "", ""])
    target = folder / name / f"{name}-{version}-py3-none-any.whl"
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        for path, content in {**whole, f"{info}/RECORD": record.getvalue()}.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (stat.S_IFREG | (0o755 if "/scripts/" in path else 0o644)) << 16
            archive.writestr(entry, content)
    return target


def sdist(folder: Path, name: str, version: str) -> Path:
    """Write a source release that setuptools, whichever is there, builds."""
    target = folder / name / f"{name}-{version}.tar.gz"
    target.parent.mkdir(parents=True, exist_ok=True)
    pyproject = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    with tarfile.open(target, "w:gz") as archive:
        for path, text in {"pyproject.toml": pyproject, "PKG-INFO": about}.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return target


def setuptools(folder: Path, version: str) -> Path:
    """Write a release of the build backend."""
    code = f"VERSION = {version!r}\n{BACKEND}"
    return wheel(folder, "setuptools", version, {"setuptools/__init__.py": "", "setuptools/build_meta.py": code})


def this_uv(folder: Path) -> Path:
    """Pack the uv of this environment as a wheel again."""
    program = Path(sys.executable).parent / "uv"
    version = metadata.version("uv")
    return wheel(folder, "uv", version, {f"uv-{version}.data/scripts/uv": program.read_bytes()})


@dataclass(frozen=True)
class Index:
    """A package index on this machine, the lock made when it held old releases only, and a project to set up."""

    folder: Path
    address: str
    pins: dict[str, Path] = field(default_factory=dict)

    def release_newer(self) -> None:
        """Publish a newer release of everything that is locked."""
        wheel(self.folder, "alpha", "1.1", {"alpha.py": "VERSION = '1.1'"})
        wheel(self.folder, "beta", "1.1", {"beta.py": ""}, "Requires-Dist: alpha[more]>=1.1\n")
        setuptools(self.folder, "2.0")
        sdist(self.folder, "gamma", "1.1")

    def lock(self) -> str:
        """Return the lock: every pin with the hash of its file."""
        text = ""
        for name, file in self.pins.items():
            version = file.name.removesuffix("-py3-none-any.whl").removesuffix(".tar.gz").partition("-")[2]
            text += f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"
            text += "    # via project\n"
        return text


class Quiet(SimpleHTTPRequestHandler):
    """Serve a folder of releases as an index without writing a log."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index that held what the lock says, and has got newer releases since."""
    folder = tmp_path_factory.mktemp("index")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02}).start()
    made = Index(folder, f"http://127.0.0.1:{server.server_address[1]}")
    made.pins["alpha"] = wheel(folder, "alpha", "1.0", {"alpha.py": "VERSION = '1.0'"})
    # As google-genai asks for google-auth[requests]: an extra of a locked package.
    made.pins["beta"] = wheel(folder, "beta", "1.0", {"beta.py": ""}, "Requires-Dist: alpha[more]>=1.0\n")
    made.pins["gamma"] = sdist(folder, "gamma", "1.0")
    made.pins["setuptools"] = setuptools(folder, "1.0")
    made.pins["uv"] = this_uv(folder)
    made.release_newer()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def project(index: Index, tmp_path: Path) -> Path:
    """A small project with this Makefile and a lock of its own."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.lock", "requirements-extras.lock"):
        (tmp_path / name).write_text(index.lock())
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    )
    return tmp_path


@pytest.fixture(scope="session")
def quick_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """This Python, whose ``-m venv`` copies an environment made once: most of a set-up's time here goes into that."""
    folder = tmp_path_factory.mktemp("python")
    subprocess.run([sys.executable, "-m", "venv", folder / "made"], check=True)
    script = folder / "python"
    script.write_text(
        f'#!/bin/bash\n[ "$2" = venv ] || exec {sys.executable} "$@"\n'
        f'rm -rf "${{@: -1}}" && cp -a {folder / "made"} "${{@: -1}}"\n'
    )
    script.chmod(0o755)
    return str(script)


def environment(index: Index, tmp_path: Path, **more: str) -> dict[str, str]:
    """Return the environment of a machine that knows only this index, and caches nowhere else."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "VIRTUAL_ENV", "PYTHON", "MAKE"))}
    home = {"HOME": str(tmp_path / "home"), "UV_CACHE_DIR": str(tmp_path / "uv-cache"), "PIP_CONFIG_FILE": os.devnull}
    return {**kept, **home, "PIP_INDEX_URL": index.address, **more}


def set_up(project: Path, env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run make there."""
    command = ["make", f"PYTHON={env.get('TEST_PYTHON', sys.executable)}", *words]
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)


def installed(folder: Path) -> dict[str, str]:
    """Return the version of each package of an environment, and what built gamma."""
    code = (
        "import json; from importlib import metadata as m, import_module as i\n"
        "print(json.dumps({d.name: d.version for d in m.distributions()} | {'built by': i('gamma').BUILT_BY}))"
    )
    done = subprocess.run([folder / "bin/python", "-I", "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return {name: version for name, version in found.items() if name not in ("pip", "project")}


LOCKED = {
    "alpha": "1.0", "beta": "1.0", "gamma": "1.0", "setuptools": "1.0", "uv": metadata.version("uv"), "built by": "1.0",
}  # fmt: skip


def pythons() -> list[str]:
    """Names of the Pythons on this machine that the project supports, each with the pip that it brings."""
    found = []
    for name in ("python3.11", "python3.12", "python3.13"):
        if shutil.which(name) is None:
            continue
        if subprocess.run([name, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode == 0:
            found.append(name)
    return found


@pytest.mark.parametrize("installer", ["uv", pytest.param("pip", marks=pytest.mark.slow)])
def test_newer_releases_change_nothing(index: Index, project: Path, tmp_path: Path, installer: str) -> None:
    """The kind of fault: a resolver took the newest release of a locked package that was asked for with an extra."""
    env = environment(index, tmp_path)
    done = set_up(project, env, "setup", f"INSTALLER={installer}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "uv could not" not in done.stderr
    assert installed(project / ".venv") == LOCKED
    again = set_up(project, env, "setup", f"INSTALLER={installer}")
    assert again.returncode == 0 and "Nothing to be done" in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize("python", pythons())
def test_the_pip_of_each_python_installs_the_lock(index: Index, project: Path, tmp_path: Path, python: str) -> None:
    done = set_up(project, environment(index, tmp_path, TEST_PYTHON=python), "setup", "INSTALLER=pip")
    assert done.returncode == 0, done.stdout + done.stderr
    assert installed(project / ".venv") == LOCKED


@pytest.mark.slow
def test_the_newest_pip_installs_the_lock(index: Index, project: Path, tmp_path: Path) -> None:
    download = [
        "pip",
        "download",
        "--quiet",
        "--retries=0",
        "--no-deps",
        "--only-binary=:all:",
        "-d",
        tmp_path / "pip",
        "pip",
    ]
    if subprocess.run([sys.executable, "-m", *download], capture_output=True, check=False).returncode:
        pytest.skip("no package index can be reached to get the newest pip from")
    (newest,) = (tmp_path / "pip").glob("pip-*.whl")
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/bash\n{sys.executable} "$@" || exit\n'
        f'[ "$2" != venv ] || "${{@: -1}}/bin/python" -m pip install -q --no-index --no-deps {newest}\n'
    )
    python.chmod(0o755)
    done = set_up(project, environment(index, tmp_path, TEST_PYTHON=str(python)), "setup", "INSTALLER=pip")
    assert done.returncode == 0, done.stdout + done.stderr
    assert installed(project / ".venv") == LOCKED
    assert newest.name.split("-")[1] in subprocess.check_output([project / ".venv/bin/pip", "--version"], text=True)


@pytest.mark.slow
@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_settings_of_the_machine_change_nothing(
    index: Index, project: Path, tmp_path: Path, quick_python: str, installer: str
) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("alpha==1.1\nsetuptools==2.0\n")
    config = tmp_path / "pip.conf"
    config.write_text(
        f"[global]\nconstraint = {constraints}\nfind-links = {index.folder / 'alpha'}\npre = true\nuser = true\n"
        f"extra-index-url = {index.address}\nno-binary = :all:\n[install]\nupgrade = true\n"
    )
    (tmp_path / "uv.toml").write_text(
        f'find-links = ["{index.folder / "alpha"}"]\n[pip]\nupgrade = true\nno-build = true\n'
    )
    (tmp_path / "more").mkdir()
    (tmp_path / "more/alpha.py").write_text("VERSION = 'of PYTHONPATH'")
    env = environment(
        index, tmp_path, TEST_PYTHON=quick_python,
        PIP_CONFIG_FILE=str(config), UV_CONFIG_FILE=str(tmp_path / "uv.toml"),
        UV_CONSTRAINT=str(constraints), UV_OVERRIDE=str(constraints), UV_BUILD_CONSTRAINT=str(constraints),
        UV_FIND_LINKS=str(index.folder / "alpha"), PIP_TARGET=str(tmp_path / "elsewhere"), UV_NO_BUILD="1",
        UV_EXCLUDE_NEWER="2020-01-01", PYTHONPATH=str(tmp_path / "more"), PIP_CONSTRAINT=str(constraints),
    )  # fmt: skip
    done = set_up(project, env, "setup", f"INSTALLER={installer}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "uv could not" not in done.stderr, done.stderr
    assert installed(project / ".venv") == LOCKED
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.slow
def test_a_file_of_other_bytes_is_refused_and_nothing_counts_as_set_up(
    index: Index, project: Path, tmp_path: Path, quick_python: str
) -> None:
    for name in ("requirements.lock", "requirements-extras.lock"):
        good = hashlib.sha256(index.pins["alpha"].read_bytes()).hexdigest()
        (project / name).write_text(index.lock().replace(good, "0" * 64))
    done = set_up(project, environment(index, tmp_path, TEST_PYTHON=quick_python), "setup")
    assert done.returncode != 0 and "hash" in done.stderr.lower()
    assert not (project / ".venv/.ready").exists()


@pytest.mark.slow
def test_a_lock_without_hashes_is_refused(index: Index, project: Path, tmp_path: Path, quick_python: str) -> None:
    lines = [line for line in index.lock().splitlines() if "alpha" not in line]
    (project / "requirements.lock").write_text("alpha==1.0\n" + "\n".join(lines[2:]) + "\n")
    done = set_up(project, environment(index, tmp_path, TEST_PYTHON=quick_python), "setup")
    assert done.returncode != 0
    assert not (project / ".venv/.ready").exists()


@pytest.mark.slow
def test_an_interrupted_set_up_is_done_anew(index: Index, project: Path, tmp_path: Path, quick_python: str) -> None:
    """Half a package, as a kill leaves it, is not taken for a whole one."""
    env = environment(index, tmp_path, TEST_PYTHON=quick_python)
    assert set_up(project, env, "setup").returncode == 0
    (project / ".venv/.ready").unlink()
    (found,) = (project / ".venv").glob("lib/python*/site-packages/alpha.py")
    found.unlink()
    assert set_up(project, env, "setup").returncode == 0
    assert found.is_file() and installed(project / ".venv") == LOCKED
    (project / ".venv/.ready").unlink()
    (project / ".venv/bin/python").unlink()
    done = set_up(project, env, "setup")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_pip_does_what_uv_cannot(index: Index, project: Path, tmp_path: Path, quick_python: str) -> None:
    env = environment(
        index, tmp_path, TEST_PYTHON=quick_python, UV_DEFAULT_INDEX="http://127.0.0.1:9", UV_HTTP_RETRIES="0"
    )
    done = set_up(project, env, "setup")
    assert done.returncode == 0, done.stderr
    assert "uv could not do it" in done.stderr
    assert installed(project / ".venv") == LOCKED


@pytest.mark.slow
def test_extras_are_set_up_the_same_way(index: Index, project: Path, tmp_path: Path, quick_python: str) -> None:
    done = set_up(project, environment(index, tmp_path, TEST_PYTHON=quick_python), "extras")
    assert done.returncode == 0, done.stdout + done.stderr
    assert installed(project / ".venv-extras") == LOCKED
