"""MMAD's layout asked of a fake model: accuracies equal to hand counts, both scorers, and nothing asked twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmark.core.errors import ConfigError, DataError, DryRun
from benchmark.core.questions import DETECTION, TASKS
from benchmark.core.samples import Sample
from benchmark.core.table import markdown
from benchmark.data.mmad import MERGED
from benchmark.report.papers.fairness import own_metric, unfair
from benchmark.report.papers.paper import cells, load_paper
from benchmark.report.papers.paper_table import layout, numbers
from benchmark.report.papers.published import published
from benchmark.results.files import read_rows
from benchmark.running.reproduce import reproduce
from tests.data.dataset_trees import dataset
from tests.data.mmad_tree import entries, mmad_tree
from tests.harness import run
from tests.pipelines.vlm.servers import Fake, Reply, serving, sha256_of
from tests.pipelines.vlm.test_endpoint import chat
from tests.pipelines.vlm.toys import sent_sha256
from tests.scoring.metrics.test_choices import released

CONTENT = dict(entries(6))
IMAGES = list(CONTENT)


def said(image: str, asked: dict[str, Any], at: int) -> tuple[str, str]:
    """What the model says to a question, and what that is: mostly right, some wrong, some nothing."""
    wrong = next(letter for letter in asked["Options"] if letter != asked["Answer"])
    kind = (IMAGES.index(image) * 7 + at * 3) % 11
    if kind == 0:
        return "I cannot tell from the images.", "invalid"
    if kind == 1:
        return f"{wrong}.", wrong
    return (f"The answer is {asked['Answer']}.", asked["Answer"]) if kind == 2 else (asked["Answer"], asked["Answer"])


class Model:
    """Answers by the last image and the text of the question; one image's first question is refused."""

    def __init__(self, samples: tuple[Sample, ...], *, refused: str | None = None) -> None:
        self.image_of = {sent_sha256(sample, max_side=512): sample.id for sample in samples}
        self.refused = refused
        self.asked: list[tuple[str, str]] = []
        self.sent: list[list[str]] = []
        self.draws: list[str] = []
        """Said to each question in turn, where given."""

    def chat(self, body: dict[str, Any], path: str, key: str | None) -> Reply:
        content = body["messages"][0]["content"]
        images = [sha256_of(p["image_url"]["url"].partition(",")[2]) for p in content if p["type"] == "image_url"]
        text = next(p["text"] for p in content if p["type"] == "text" and "Question: " in p["text"])
        image, question = self.image_of[images[-1]], text.partition("Question: ")[2].partition("\n")[0]
        self.asked.append((image, question))
        if self.draws:
            return chat(self.draws[(self.asked.count((image, question)) - 1) % len(self.draws)])
        self.sent.append([p["type"] if p["type"] == "image_url" else p["text"] for p in content])
        at, asked = next(
            (at, one) for at, one in enumerate(CONTENT[image]["conversation"]) if one["Question"] == question
        )
        if image == self.refused and at == 0:
            return Reply({"error": {"message": "no"}}, status=400)
        return chat(said(image, asked, at)[0])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mmad_tree(tmp_path_factory.mktemp("data") / "mmad", CONTENT).parent


@contextmanager
def served(data: Path, **options: Any) -> Iterator[tuple[Fake, Model]]:
    model = Model(dataset("mmad", allow_partial=True).manifest(data).test, **options)
    with serving(lambda i, n: Reply(status=500)) as fake:
        fake.chat = model.chat  # type: ignore[method-assign]
        yield fake, model


def words(data: Path, folder: Path, fake: Fake, *more: str) -> tuple[str, ...]:
    return (
        "dataset=mmad", "dataset.allow_partial=true", f"run.data_root={data}",
        f"run.results_root={folder}", "run.gallery=0", "pipeline=multiple_choice_endpoint",
        f"pipeline.provider.access.base_url={fake.url}/v1",
        "pipeline.calls.first_delay_s=0.01", "protocol.resamples=100", *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Model, Path]:
    folder = tmp_path_factory.mktemp("run")
    with served(data, refused=IMAGES[-1]) as (fake, model):
        return run(folder, *words(data, folder, fake)), model, folder


def marks() -> Iterator[tuple[str, str, bool, str, str]]:
    """Subset, image, whether it is defective, task, key and answer of every question, the refused one failed."""
    for image, entry in CONTENT.items():
        for at, asked in enumerate(entry["conversation"]):
            answer = "failed" if (image, at) == (IMAGES[-1], 0) else said(image, asked, at)[1]
            task = MERGED.get(asked["type"], asked["type"])
            yield image.partition("/")[0], image, task, asked["Answer"], answer


def test_accuracies_are_the_hand_counts_by_task_and_subset(finished: tuple[Any, Model, Path]) -> None:
    result = finished[0].result
    averages = []
    for subset in dict.fromkeys(image.partition("/")[0] for image in IMAGES):
        each = []
        for task in TASKS:
            groups: dict[bool, list[bool]] = {}
            for name, image, kind, key, answer in marks():
                if (name, kind) == (subset, task):
                    groups.setdefault("/good/" in image and task == DETECTION, []).append(key == answer)
            wanted = sum(sum(g) / len(g) for g in groups.values()) / len(groups)
            assert len(groups) == (2 if task == DETECTION else 1)
            each.append(wanted)
            found = result.metric(f"mmad_{task.lower().replace(' ', '_')}", subset)
            assert found.value == pytest.approx(wanted), (subset, task)
        averages.append(sum(each) / 7)
        assert result.metric("mmad_accuracy", subset).value == pytest.approx(averages[-1])
    assert 0.5 < averages[0] < 1.0 and len(set(averages)) == 4
    assert result.headline()["mmad_accuracy"].value == pytest.approx(sum(averages) / 4)


def test_the_released_scorer_gives_what_its_shrinking_list_gives(finished: tuple[Any, Model, Path]) -> None:
    """Its scripts leave the image out of which a question was never answered."""
    listed = [
        (subset, "/good/" not in image, task, key, answer)
        for subset, image, task, key, answer in marks()
        if image != IMAGES[-1]
    ]
    result = finished[0].result
    for subset, wanted in released(listed).items():
        assert result.metric("mmad_accuracy_released", subset).value == pytest.approx(wanted)
    honest = {subset: result.metric("mmad_accuracy", subset).value for subset in released(listed)}
    assert honest != pytest.approx(released(listed))


def test_what_cannot_be_read_is_shown_and_rows_hold_every_answer(finished: tuple[Any, Model, Path]) -> None:
    done, _, _ = finished
    (summary,) = done.result.tables["answers"]
    answers = [answer for *_, answer in marks()]
    assert summary["questions"] == summary["calls"] == len(answers) == 24 // 2 * (8 + 3)
    assert summary["invalid_rate"] == pytest.approx(answers.count("invalid") / len(answers)) and "invalid" in answers
    assert summary["failed_rate"] == pytest.approx(1 / len(answers)) and summary["blocked_rate"] == 0
    by_task = {row["task"]: row for row in done.result.tables["questions"]}
    assert all(
        r["asked"] == sum(r[k] for k in ("right", "wrong", "invalid", "blocked", "failed")) for r in by_task.values()
    )
    assert sum(row["invalid"] for row in by_task.values()) == answers.count("invalid")
    rows = read_rows(done.folder)
    assert " ".join(rows["answers"]).split() == answers
    assert [o for o in rows["outcome"] if o != "ok"] == [
        answer for *_, task, _, answer in marks() if task == DETECTION and len(answer) > 1
    ]
    known = [(image, key, answer) for _, image, task, key, answer in marks() if task == DETECTION and len(answer) == 1]
    labels = dict(zip(rows["id"], rows["label"], strict=True))
    assert all(labels[image] == (("/good/" not in image) == (key == answer)) for image, key, answer in known)
    assert done.result.metric("recall", "DS-MVTec").value is not None
    assert "Defect Analysis: " in str(rows["rationale"][1])


def test_a_question_is_one_call_with_the_template_before_the_image(finished: tuple[Any, Model, Path]) -> None:
    _, model, _ = finished
    assert sorted(set(model.asked)) == sorted(model.asked), "nothing is asked twice"
    assert len(model.asked) == sum(len(entry["conversation"]) for entry in CONTENT.values())
    sent = model.sent[0]
    assert sent[0].startswith("Reference image") and sent[1] == sent[3] == "image_url" and len(sent) == 5
    assert "A. " in sent[4] and sent[4].endswith("Answer with the letter of the right option and nothing else.")


def test_a_replay_asks_nothing_and_has_the_same_digest(finished: tuple[Any, Model, Path], data: Path) -> None:
    done, _, folder = finished
    with served(data) as (fake, model):
        again = run(folder, *words(data, folder, fake, "pipeline.answers.mode=replay"))
        assert again.result.digest == done.result.digest and model.asked == []
        other = run(folder, *words(data, folder, fake, "pipeline.shots=0", "dataset.categories=[pcb1]"))
    assert [kind for kind in model.sent[0] if kind == "image_url"] == ["image_url"] and len(model.asked) == 33
    assert other.result.metric("mmad_accuracy").value is not None


def test_a_dry_run_counts_calls_and_price(data: Path, tmp_path: Path) -> None:
    with served(data) as (fake, model), pytest.raises(DryRun) as told:
        run(tmp_path, *words(data, tmp_path, fake, "pipeline.dry_run=true"))
    assert "0 answers are stored, 132 questions would be asked" in str(told.value) and model.asked == []
    priced = (
        "pipeline=multiple_choice",
        "dataset=mmad",
        "dataset.allow_partial=true",
        f"run.data_root={data}",
        f"run.results_root={tmp_path}",
    )
    with pytest.raises(DryRun, match=r"132 questions would be asked of gemini.*about 0\.\d\d USD"):
        run(tmp_path, *priced, "pipeline.dry_run=true", "pipeline.provider.access.base_url=http://127.0.0.1:9")


def test_the_majority_of_draws_counts(data: Path, tmp_path: Path) -> None:
    with served(data) as (fake, model):
        model.draws = ["A", "B", "B"]
        one = ("dataset.categories=[pcb1]", "run.limit=1", "pipeline.draws=3", "pipeline.calls.max_concurrency=1")
        done = run(tmp_path, *words(data, tmp_path, fake, *one))
    (row,) = read_rows(done.folder).to_dict("records")
    assert row["answers"] == "B B B" and row["calls"] == 9
    said_yes = CONTENT[row["id"]]["conversation"][0]["Options"]["B"] == "Yes."
    assert row["image_score"] == pytest.approx(2 / 3 if said_yes else 1 / 3) and row["label"] == said_yes


REFUSED: dict[str, tuple[tuple[str, ...], type[Exception], str]] = {
    "other data": (
        ("dataset=sat", "dataset.n_good=2", "dataset.n_defective=2", "dataset.n_train=1"),
        ConfigError,
        "dataset=mmad",
    ),
    "too many shots": (("pipeline.shots=3",), DataError, "2 defect-free images are listed beside it, pipeline.shots=3"),
    "no templates": (("dataset.templates=none",), DataError, "dataset.templates=random or similar"),
    "places": (("pipeline.answer=boxes",), ConfigError, "here a letter is answered"),
    "a reference": (("pipeline.reference.kind=per_category",), ConfigError, "must be none"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_before_anything_is_asked(case: str, data: Path, tmp_path: Path) -> None:
    more, kind, message = REFUSED[case]
    with served(data) as (fake, model), pytest.raises(kind, match=message):
        given = words(data, tmp_path, fake)
        run(
            tmp_path,
            *(w for w in given if not (more[0] == "dataset=sat" and w.startswith(("dataset", "run.data")))),
            *more,
        )
    assert model.asked == []


def test_nothing_of_the_server_is_in_the_result(finished: tuple[Any, Model, Path]) -> None:
    text = json.dumps(finished[0].result.config)
    assert "127.0.0.1" not in text and '"response"' not in text


def test_the_papers_table_sets_both_scorers_beside_the_published_numbers(data: Path, tmp_path: Path) -> None:
    paper = load_paper("mmad")
    table = paper.tables["2"]
    chosen = [m for m in table.methods if m.name in ("Qwen2.5-VL-7B", "gemini-1.5-pro")]
    with served(data) as (fake, model):
        extra = [
            "mmad.allow_partial=true", f"multiple_choice_endpoint.provider.access.base_url={fake.url}/v1",
            f"run.data_root={data}", f"run.results_root={tmp_path}", "tracking=none",
        ]  # fmt: skip
        small = table.model_copy(update={"methods": tuple(chosen)})
        planned = reproduce(paper, small, name="mmad-table-2", dry=False, extra=extra)
    assert len(model.asked) == 132, "DS-MVTec's row is taken from the same run"
    found = {(n.row, n.method, n.metric): n for n in numbers(small, planned)}
    mine, subset = "Qwen2.5-VL-7B", planned[0].result
    assert subset is not None
    first = found["MMAD", mine, "mean of 7 tasks (released scorer)"]
    assert first.published is not None and (first.published.printed, first.published.unit) == ("72.19", "percent")
    assert first.ours == subset.metric("mmad_accuracy_released").value and first.protocol == "in part"
    assert first.difference is None, "24 of 8,366 images"
    detection = found["DS-MVTec", mine, "anomaly detection"]
    assert detection.ours == subset.metric("mmad_anomaly_detection", "DS-MVTec").value
    pro = found["DS-MVTec", "gemini-1.5-pro", "F2"]
    assert pro.published is not None and pro.published.printed == "79.2" and pro.reason.endswith("no longer served")
    text = markdown(layout(paper, small, planned))
    assert "paper 72.19" in text and "24 of 8366 images" in text and "paper 84.87" in text
    row = next(r for r in published() if r.paper == "mmad_2025" and r.dataset == "mmad4" and r.method == mine)
    assert own_metric(subset, row) == subset.headline()["mmad_accuracy_released"]
    assert any("24 of 8366 images" in reason for reason in unfair(subset, row))


def test_every_published_number_of_the_paper_has_a_cell() -> None:
    paper = load_paper("mmad")
    shown = {row for cell in cells(paper, paper.tables["2"]) for row in cell.published if row is not None}
    every = {row for row in published() if row.paper == "mmad_2025" and row.table != "quoted"}
    assert every <= shown and any(row.method == "human expert" for row in shown)
