"""Licence, citation, commit hooks, workflow and image agree with pyproject.toml, the lock and the Makefile."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import metadata
from typing import Any

import pytest
import yaml

import benchmark
from tests.harness import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = dict(re.findall(r"^([a-z0-9][\w.\-]*)==([^\s;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def test_licence_is_named_alike_everywhere() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text and "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["license"] == load("CITATION.cff")["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE"]


def test_citation_names_this_version_and_the_three_papers() -> None:
    citation = load("CITATION.cff")
    assert citation["version"] == PROJECT["version"] == benchmark.__version__
    papers = citation["references"]
    named = {paper.get("doi") or paper["identifiers"][0]["value"] for paper in papers}
    assert named == {"arXiv:2509.20479", "arXiv:2504.13560", "10.1109/TCYB.2025.3536165"}
    reproduced = {re.search(r"PAPER=(\w+)", paper["notes"])[1] for paper in papers}  # type: ignore[index]
    assert reproduced <= {path.stem for path in (ROOT / "baselines/tables").glob("*.yaml")} and len(reproduced) == 3


def test_hooks_run_the_locked_linters_as_make_does() -> None:
    linted = subprocess.run(["make", "-n", "lint"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (repository,) = load(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local", "a repository of hooks has versions of its own"
    tools = set()
    for hook in repository["hooks"]:
        command, _, tool = hook["entry"].removesuffix(" --force-exclude").partition(" -m ")
        assert command == ".venv/bin/python" and hook["language"] == "system"
        assert f" -m {tool}" in linted
        tools.add(tool.split()[0])
    assert tools == {"ruff", "mypy"}


@pytest.mark.parametrize("tool", ["ruff", "mypy"])
def test_this_environment_has_the_locked_linter(tool: str) -> None:
    assert metadata.version(tool) == LOCK[tool]


def test_workflow_runs_lint_and_tests_on_every_supported_python() -> None:
    job = load(".github/workflows/ci.yml")["jobs"]["test"]
    pythons = job["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == f">={pythons[0]}"
    commands = [step["run"].split()[:2] for step in job["steps"] if "run" in step]
    assert commands == [["make", "setup"], ["make", "lint"], ["make", "test"]]


def test_actions_of_workflows_are_pinned_to_a_commit() -> None:
    """A tag can be moved by whoever gets hold of the action's repository."""
    used = re.findall(r"uses: (.*)", "".join(p.read_text() for p in (ROOT / ".github/workflows").glob("*.yml")))
    assert used and all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one) for one in used), used


def test_what_runs_a_strangers_pull_request_has_no_secret_and_what_may_write_runs_nothing_of_it() -> None:
    checks, posts = (load(f".github/workflows/{name}.yml") for name in ("submission", "submission-comment"))
    (verify,), (comment,) = checks["jobs"].values(), posts["jobs"].values()
    assert set(checks[True]) == {"pull_request"} and checks["permissions"] == {
        "contents": "read"
    }  # "on" is true in YAML
    text = (ROOT / ".github/workflows/submission.yml").read_text()
    assert "secrets." not in text and "github.token" not in text and "pull_request_target" not in text
    assert verify["steps"][0]["with"]["persist-credentials"] is False
    assert set(posts[True]) == {"workflow_run"} and posts[True]["workflow_run"]["workflows"] == [checks["name"]]
    assert not any("uses" in step for step in comment["steps"]), "nothing is checked out"
    for job in (verify, comment):
        scripts = [step["run"] for step in job["steps"] if "run" in step]
        assert not any("${{" in script for script in scripts), "texts of a stranger reach a script as variables alone"
    assert "verify-submission --markdown" in verify["steps"][3]["run"]


def test_image_leaves_out_nothing_that_git_tracks() -> None:
    """A tracked file that is missing in the image would make every result say that the code was changed."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    ignored_by_git = (ROOT / ".gitignore").read_text().splitlines()
    known = {line.strip("/") for line in ignored_by_git} | {".venv*"}
    for pattern in patterns:
        keep = "!" if pattern.startswith("!") else ""
        name = pattern.removeprefix("!").removeprefix("**/")
        assert f"{keep}{name}" in known or f"{keep}/{name}" in known, f"{pattern}: git does not ignore it"
