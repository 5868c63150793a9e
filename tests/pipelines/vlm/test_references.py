"""References: how many, which are nearest, and what they cost."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest

from benchmark.chat.asking import IMAGE_TOKENS
from benchmark.chat.question import Draft, Question, SentImage
from benchmark.core.errors import ConfigError, DataError, DryRun
from benchmark.core.samples import Reading, Sample
from benchmark.pipelines.vlm.prepare import encode
from benchmark.pipelines.vlm.session import estimate
from tests.pipelines.vlm.servers import Reply, label, serving
from tests.pipelines.vlm.toys import context, images, pipeline, predict

FEATURES = ("pipeline.reference.kind=nearest", "pipeline.align.motion=none", "pipeline.backbone.side=32")


def tinted(folder: Path, name: str, colour: tuple[int, int, int], split: Literal["train", "test"]) -> Sample:
    """A flat image of one colour."""
    from PIL import Image

    (one,) = images(folder / name, 1)
    Image.fromarray(np.full((24, 24, 3), colour, dtype=np.uint8)).save(one.image)
    return replace(one, id=name, defective=False, split=split, sha256=name.encode().hex().zfill(64))


def sent(body: dict[str, Any]) -> list[bytes]:
    """The references of a request, as they are sent."""
    parts = body["contents"][0]["parts"]
    found = [part["inlineData"]["data"] for part in parts if "inlineData" in part][:-1]
    return [base64.b64decode(data.replace("-", "+").replace("_", "/")) for data in found]


def test_the_nearest_good_images_are_shown_nearest_first(tmp_path: Path) -> None:
    colours = {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220)}
    train = tuple(tinted(tmp_path, name, colour, "train") for name, colour in colours.items())
    near = tuple(tinted(tmp_path, f"near {n}", (r + 4, g + 4, b + 4), "test") for n, (r, g, b) in colours.items())
    with serving(lambda i, n: label("OK")) as fake:
        given = (f"pipeline.provider.access.base_url={fake.url}", *FEATURES, "pipeline.reference.number=2",
                 "pipeline.calls.max_concurrency=1")  # fmt: skip
        where = context(tmp_path, near, train=train)
        assert [p.label for p in predict(pipeline(tmp_path, *given), where)] == [False] * 3
        assert where.stats["reference_features"].computed == 6
        as_sent = {encode(np.full((24, 24, 3), rgb, dtype=np.uint8)).data: name for name, rgb in colours.items()}
        shown = [[as_sent[data] for data in sent(body)] for body in fake.bodies]
        assert [names[0] for names in shown] == list(colours) and all(len(set(names)) == 2 for names in shown)
        predict(pipeline(tmp_path, *given), context(tmp_path, near, train=train))
        assert len(fake.bodies) == 3


def test_several_good_images_are_shown_and_a_dry_run_says_what_they_cost(tmp_path: Path) -> None:
    train = tuple(replace(s, defective=False, split="train") for s in images(tmp_path / "train", 3, seed=5))
    samples = images(tmp_path / "images", 2)
    given = ("pipeline.reference.kind=per_category", "pipeline.reference.number=3")
    with serving(lambda i, n: label("OK")) as fake:
        address = f"pipeline.provider.access.base_url={fake.url}"
        route = fake.route

        def count(method: str, path: str, raw: bytes, headers: object) -> Reply:
            if ":countTokens" not in path:
                return route(method, path, raw, headers)
            parts = json.loads(raw)["contents"][0]["parts"]
            return Reply({"totalTokens": 100 + 258 * sum("inlineData" in part for part in parts)})

        fake.route = count  # type: ignore[method-assign]
        with pytest.raises(
            DryRun, match=r"2264 prompt tokens \(1132 each.*774 prompt tokens each .* \(3 shown\), about"
        ):
            predict(
                pipeline(tmp_path, address, *given, "pipeline.dry_run=true"), context(tmp_path, samples, train=train)
            )
        predict(pipeline(tmp_path, address, *given), context(tmp_path, samples, train=train))
    texts = [part.get("text") for part in fake.bodies[0]["contents"][0]["parts"]]
    assert texts.count("Reference image without defects:") == 3 and len(sent(fake.bodies[0])) == 3


def test_references_that_cannot_be_had_are_refused(tmp_path: Path) -> None:
    train = tuple(replace(s, defective=False, split="train") for s in images(tmp_path / "train", 1, seed=5))
    where = context(tmp_path, images(tmp_path / "images", 1), train=train)
    for kind in ("per_category", "nearest"):
        words = (*FEATURES, f"pipeline.reference.kind={kind}", "pipeline.reference.number=2")
        with pytest.raises(DataError, match="has 1 good training image,"):
            predict(pipeline(tmp_path, *words), where)
    path = f"pipeline.reference.path={train[0].image}"
    with pytest.raises(ConfigError, match="is one image"):
        predict(pipeline(tmp_path, "pipeline.reference.kind=fixed", "pipeline.reference.number=2", path), where)


def test_a_given_reference_that_is_turned_makes_another_question(tmp_path: Path) -> None:
    """The images have no orientation of their own: only the reference is shown otherwise."""
    from PIL import Image

    exif = Image.Exif()
    exif[274] = 6
    path = tmp_path / "good.png"
    Image.fromarray(np.arange(432, dtype=np.uint16).astype(np.uint8).reshape(12, 12, 3)).save(path, exif=exif)
    stored = images(tmp_path / "images", 1)
    upright = tuple(replace(sample, reading=Reading(upright=True)) for sample in stored)
    given = ("pipeline.reference.kind=fixed", f"pipeline.reference.path={path}")
    with serving(lambda i, n: label("OK")) as fake:
        asking = pipeline(tmp_path, f"pipeline.provider.access.base_url={fake.url}", *given)
        for samples in (stored, upright, stored):
            predict(asking, context(tmp_path, samples))
    first, second = (sent(body)[0] for body in fake.bodies)
    assert first != second, "asked for each way in which it is shown, and once for each"


@dataclass(frozen=True)
class TwoQuestions:
    """Makes two questions about a sample, of which only the second is long."""

    shown: bool = True
    draws: int = 1

    def references(self, sample: Sample) -> tuple[int]:
        return (1,)

    def drafts(self, sample: Sample, decode: object) -> list[Draft]:
        image = SentImage(b"", "image/png")
        texts = ("short", "x" * 30_000)
        questions = [Question(parts=(text, *[image] * (1 + self.shown)), draw=0) for text in texts]
        return [
            Draft(sample_id=sample.id, recipe=str(at), make=lambda one=one: (one, {}))  # type: ignore[misc]
            for at, one in enumerate(questions)
        ]


def test_what_references_cost_is_not_what_another_question_s_text_costs(tmp_path: Path) -> None:
    def closed() -> None:
        raise ConfigError("no key")

    asker = SimpleNamespace(
        answer_to=lambda draft: draft if draft.recipe == "0" else None,
        provider=SimpleNamespace(open=closed, model="m"),
        price=None,
    )
    (sample,) = images(tmp_path, 1)
    two = TwoQuestions()
    told = estimate([(sample, two.drafts(sample, None))], asker, two, output_tokens=1)  # type: ignore[arg-type]
    assert "1 answer is stored, 1 question" in str(told) and f"{IMAGE_TOKENS} prompt tokens each are" in str(told)
