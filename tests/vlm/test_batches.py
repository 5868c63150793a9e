"""The batch API and the exchange file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.errors import BenchmarkError, ConfigError, DataError
from benchmark.vlm import batching, prepare
from benchmark.vlm.answers import AnswerStore
from benchmark.vlm.exchange import export_answers, import_answers
from tests.vlm.servers import Fake, Reply, failed, label, said, serving
from tests.vlm.toys import KEY, context, everything_below, images, pipeline, predict, sent_sha256

BATCH = ("pipeline.batch.mode=jsonl", "pipeline.batch.poll_s=0.01")


def script(image: str, number: int) -> Reply:
    return label("NOK" if int(image, 16) % 2 else "OK")


def test_a_batch_costs_half_and_its_answers_are_those_of_single_calls(tmp_path: Path) -> None:
    samples = images(tmp_path / "images", 6)
    bad, blocked = sent_sha256(samples[1]), sent_sha256(samples[2])

    def mixed(image: str, number: int) -> Reply:
        if image == bad:
            return failed(500, f"lost with {KEY}")
        return said(None, finish="SAFETY") if image == blocked else script(image, number)

    with serving(mixed) as fake:
        fake.polls_until_done = 3
        chosen = pipeline(tmp_path, f"pipeline.provider.access.base_url={fake.url}", *BATCH)
        predictions = predict(chosen, context(tmp_path, samples))
        single = pipeline(
            tmp_path / "single", f"pipeline.provider.access.base_url={fake.url}", "pipeline.calls.attempts=1"
        )
        alone = predict(single, context(tmp_path, samples))
        assert [p.outcome for p in predictions] == ["ok", "failed", "blocked", "ok", "ok", "ok"]
        assert [(p.outcome, p.label) for p in predictions] == [(p.outcome, p.label) for p in alone]
        half, whole = predictions[0].extra["cost_usd"], alone[0].extra["cost_usd"]
        assert isinstance(half, float) and isinstance(whole, float) and half == pytest.approx(whole / 2)
        assert predict(chosen, context(tmp_path, samples))[3:] == predictions[3:]
        assert len(fake.batches) == 2  # the failed and the blocked one are sent once more, nothing else
        assert len(fake.files[fake.batches["batches/b1"]["file"]].splitlines()) == 2
    assert not [p for p, content in everything_below(tmp_path / "answers") if KEY.encode() in content]
    assert list((tmp_path / "answers" / "batches").iterdir()) == []


def stopped_at(fake: Fake, folder: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Run until the process dies at a place."""

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    write = batching.write_atomically

    def dying(path: Path, content: bytes) -> None:
        if b'"name":"batches/' in content:
            raise KeyboardInterrupt
        write(path, content)

    with monkeypatch.context() as patch:
        if where == "before the name is written":
            patch.setattr(batching, "write_atomically", dying)
        elif where == "before sending":
            patch.setattr(batching.Batches, "_sent", die)
        else:
            patch.setattr(batching.Batches, "_wait", die)
        chosen = pipeline(folder, f"pipeline.provider.access.base_url={fake.url}", *BATCH)
        with pytest.raises(KeyboardInterrupt):
            predict(chosen, context(folder, images(folder / "images", 4)))


@pytest.mark.parametrize("where", ["before sending", "before the name is written", "while waiting"])
def test_a_restart_finds_its_job_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    with serving(script) as fake:
        stopped_at(fake, tmp_path, monkeypatch, where)
        chosen = pipeline(tmp_path, f"pipeline.provider.access.base_url={fake.url}", *BATCH)
        predictions = predict(chosen, context(tmp_path, images(tmp_path / "images", 4)))
    assert [p.outcome for p in predictions] == ["ok"] * 4
    assert len(fake.batches) == 1 and set(fake.billed.values()) == {1}


@pytest.mark.parametrize("state", ["BATCH_STATE_EXPIRED", "BATCH_STATE_PARTIALLY_SUCCEEDED"])
def test_states_that_end_a_job_end_the_waiting(tmp_path: Path, state: str) -> None:
    with serving(script) as fake:
        fake.batch_state = state
        chosen = pipeline(tmp_path, f"pipeline.provider.access.base_url={fake.url}", *BATCH)
        predictions = predict(chosen, context(tmp_path, images(tmp_path / "images", 2)))
    assert [p.outcome for p in predictions] == ["ok"] * 2


def test_a_batch_that_could_exceed_the_budget_is_not_sent(tmp_path: Path) -> None:
    with serving(script) as fake:
        given = (f"pipeline.provider.access.base_url={fake.url}", "pipeline.budget_usd=0.1", *BATCH)
        with pytest.raises(BenchmarkError, match=r"budget_usd=0.1"):
            predict(pipeline(tmp_path, *given), context(tmp_path, images(tmp_path / "images", 9)))
    assert fake.batches == {}


def test_batches_are_for_the_developer_api_alone(tmp_path: Path) -> None:
    samples = images(tmp_path / "images", 1)
    with pytest.raises(ConfigError, match="developer"):
        predict(pipeline(tmp_path, *BATCH, "pipeline.provider.backend=enterprise"), context(tmp_path, samples))
    with pytest.raises(ConfigError, match="provider google"):
        predict(pipeline(tmp_path, *BATCH, name="vlm_endpoint"), context(tmp_path, samples))


def answered(folder: Path, n: int = 4) -> AnswerStore:
    samples = images(folder / "images", n)
    last = sent_sha256(samples[-1])
    with serving(lambda image, number: said(None, finish="SAFETY") if image == last else script(image, number)) as fake:
        predict(pipeline(folder, f"pipeline.provider.access.base_url={fake.url}"), context(folder, samples))
    return AnswerStore(folder / "answers")


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.jsonl.gz"])
def test_an_exported_file_is_scored_elsewhere_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = answered(tmp_path)
    file = tmp_path / name
    assert main(["answers", "--answers", str(store.root), "export", str(file)]) == 0
    before = file.read_bytes()
    assert export_answers(store, file) == 4 and file.read_bytes() == before
    monkeypatch.delenv("GEMINI_API_KEY")
    encode = prepare.encode
    # another machine compresses images in another way, so that other bytes would be sent
    monkeypatch.setattr(prepare, "encode", lambda image: replace(encode(image), data=encode(image).data + b"x"))
    other = tmp_path / "other"
    assert main(["answers", "--answers", str(other / "answers"), "import", str(file)]) == 0
    assert "4 new" in capsys.readouterr().out
    samples = images(tmp_path / "images", 4)
    here = predict(pipeline(tmp_path, "pipeline.answers.mode=replay"), context(tmp_path, samples))
    there = predict(pipeline(other, "pipeline.answers.mode=replay"), context(other, samples))
    assert here == there and [p.outcome for p in there] == ["ok", "ok", "ok", "blocked"]
    again = import_answers(AnswerStore(other / "answers"), file)
    assert (again.new, again.known, again.kept) == (0, 4, 0)
    assert main(["answers", "--answers", str(other / "answers"), "show"]) == 0
    assert "3 answers" in capsys.readouterr().out


def test_a_changed_or_damaged_file_is_refused_whole(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    export_answers(answered(tmp_path), file)
    lines = file.read_text().splitlines()
    read = json.loads(lines[1])
    read["record"]["cost_usd"] = 0.0
    for bad in ([*lines[:1], json.dumps(read)], [lines[0], lines[1][:-9]], ["{}"]):
        file.write_text("\n".join(bad))
        store = AnswerStore(tmp_path / "empty")
        with pytest.raises(DataError, match="get the file again"):
            import_answers(store, file)
        assert list(store.records()) == []
    with pytest.raises(BenchmarkError):
        import_answers(AnswerStore(tmp_path / "empty"), tmp_path / "absent.jsonl")
