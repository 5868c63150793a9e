"""Addresses are told from paths, and hold no keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.core.addresses import cache_folder, place
from benchmark.core.errors import ConfigError
from benchmark.core.settings import expanded
from tests.harness import compose, typed

SECRET = "wJalrXUtn/EMI"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("s3://bucket/prefix/", "s3://bucket/prefix"),
        ("abfs://container@account.dfs.core.windows.net/x", "abfs://container@account.dfs.core.windows.net/x"),
        ("hdfs://me@host:8020/x", "hdfs://me@host:8020/x"),
        ("file:///some/folder", Path("/some/folder")),
        (".cache", Path(".cache")),
        ("a:b", Path("a:b")),
    ],
)
def test_addresses_are_texts_and_folders_paths(text: str, found: object) -> None:
    assert place(text) == found


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        (f"s3://AKIA:{SECRET}@bucket/x", "AWS_PROFILE"),
        (f"s3://{SECRET}@bucket/x", "AWS_PROFILE"),
        (f"hdfs://me:{SECRET}@host/x", "AWS_PROFILE"),
        (f"az://container/x?sig={SECRET}", "AZURE_STORAGE"),
        (f"gs://bucket/x#token={SECRET}", "gcloud"),
        ("simplecache::s3://bucket/x", "one file system"),
        ("s3://bucket/*", "one place"),
        ("s3://bucket/../x", "one place"),
        ("s3://", "s3://bucket/prefix"),
        ("s3:/bucket", "protocol://"),
        ("s3//bucket/x", "write s3://bucket/x, or ./s3//bucket/x for a folder"),
        ("gs:bucket/x", "write gs://bucket/x"),
    ],
)
def test_an_address_with_a_key_or_of_no_place_is_refused_with_the_fix(text: str, fix: str) -> None:
    with pytest.raises(ConfigError, match=fix) as refused:
        typed(f"run.cache_root='{text}'")
    assert SECRET not in str(refused.value)
    assert "run.cache_root" in str(refused.value)


@pytest.mark.parametrize("key", ["data_root", "weights_root", "cache_local"])
def test_what_has_to_lie_on_this_machine_takes_no_address(key: str) -> None:
    with pytest.raises(ConfigError, match="is an address; give a path of this machine"):
        typed(f"run.{key}=s3://bucket/x")
    with pytest.raises(ValueError, match="is an address"):
        expanded(Path("s3://bucket/x"))


@pytest.mark.parametrize("words", [("run",), ("sweep", "pipeline.policy=always_good,always_defective"), ("reproduce",)])
def test_runs_are_written_into_a_folder_and_copied_to_an_address(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESULTS_ROOT", "gs://bucket/runs")
    command = ["reproduce", "domain_gap", "dry_run"] if words == ("reproduce",) else [*words, "pipeline=constant"]
    assert main(command) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: run.results_root: is an address") and "run.results_copy=gs://bucket/runs" in told
    assert not list(tmp_path.iterdir())


def test_index_and_digests_stay_on_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", "s3://bucket/x")
    monkeypatch.setenv("BENCH_CACHE_LOCAL", str(tmp_path))
    assert cache_folder() == tmp_path
    assert compose()[0]["run"]["cache_root"] == "s3://bucket/x"
    run = typed().run
    assert (run.cache_root, run.cache_local) == ("s3://bucket/x", tmp_path)
    monkeypatch.setenv("BENCH_CACHE", f"s3://AKIA:{SECRET}@bucket/x")
    with pytest.raises(ConfigError, match="BENCH_CACHE") as refused:
        cache_folder()
    assert SECRET not in str(refused.value)
