"""Our side: the faithful options as a user runs them, each case a run of its own with an empty store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.config.schema import settings_from
from benchmark.core.samples import Manifest, Prediction, Reading, Sample, Split
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests import harness
from tests.parity.official.found import Found
from tests.parity.official.networks import DETECTOR, SAM
from tests.pipelines.iap.fixed import FixedPrompter, FixedTagger, composed


def sample(path: str, *, category: str, split: Split = "test", upright: bool = False) -> Sample:
    """Return an image as a sample of a data set, turned or not as its EXIF data say."""
    file = Path(path)
    content = hashlib.sha256(file.read_bytes()).hexdigest()
    return Sample(
        id=f"{split}/{file.name}",
        image=file,
        mask=None,
        defective=split == "test",
        category=category,
        defect_type="any",
        group=f"{split}/{file.name}",
        split=split,
        sha256=content,
        reading=Reading(upright=upright),
    )


def predict(settings: Any, folder: Path, samples: Sequence[Sample]) -> Prediction:
    """Predict the only test image of some samples."""
    tested = [one for one in samples if one.split == "test"]
    store = Store(folder / "store" / hashlib.sha256(repr((settings, samples)).encode()).hexdigest() / "stages")
    manifest = Manifest(dataset="parity", samples=tuple(samples))
    context = Context(manifest=manifest, samples=tested, store=store, workers=0)
    ((_, prediction),) = harness.predict(settings, context)
    return prediction


def detector(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what makes the detector the one of the folder."""
    short, long = spec["input"]
    given = {
        "model": DETECTOR[spec["size"]],
        "weights": str(folder / "detector.pth"),
        "tokenizer": str(folder / "vocab.txt"),
        "short_side": short,
        "long_side": long,
        "floor": 0.0,
    }
    return given | ({"kernels": spec["kernels"]} if spec["kernels"] else {})


def sam(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what makes SAM the one of the folder."""
    return {"model": SAM[spec["size"]], "weights": str(folder / "sam.pth")}


def saa_plus(folder: Path, spec: dict[str, Any], theirs: Sequence[Found]) -> list[Found]:
    """Run pipeline=saa_plus on prompt tables of its own."""
    import yaml

    from benchmark.pipelines.saa.pipeline import SegmentAnyAnomaly

    option = harness.option("pipeline", "saa_plus")
    option["detector"] |= detector(spec, folder)
    option["sam"] |= sam(spec, folder)
    option["saliency"]["backbone"] |= {"weights": str(folder / "saliency.pth")}
    option["saliency"]["between_side"] = spec["between"]
    table = folder / "prompts.yaml"

    def one(case: dict[str, Any], other: Found) -> Found:
        general = [question for question in case["questions"] if question[1] == case["word"]]
        entry = {
            "word": case["word"],
            "captions": [text for text, drop in case["questions"] if drop != case["word"]],
            "drop_phrase": case["questions"][-1][1],
            "object_name": case["object"].removesuffix(","),
            "stray_comma": case["object"].endswith(","),
            "object_number": case["number"],
            "k": case["k"],
            "area": case["area"],
            "rules": [],
        }
        texts = [text for text, _ in general]
        given = {"source": "parity", "general": texts, "defaults": {}, "categories": {"*": entry}}
        table.write_text(yaml.safe_dump(given), encoding="utf-8")
        limits = {"box": other.threshold, "text": other.threshold}
        settings = SegmentAnyAnomaly.model_validate(option | {"prompts": str(table), "thresholds": limits})
        found = predict(settings, folder, [sample(case["image"], category="part", upright=True)])
        assert found.regions is not None
        scores = tuple(float(s) for s in np.sort(found.regions.scores) if s > 0)
        drawn = found.regions.score_map()
        return Found(map=drawn, mask=drawn > 0, scores=scores)

    return each(one, spec, theirs)


def iap_as(folder: Path, spec: dict[str, Any], theirs: Sequence[Found]) -> list[Found]:
    """Run pipeline=iap_as_paper_code with fixed tags and a fixed answer."""
    from benchmark.pipelines.iap.pipeline import IapAs
    from benchmark.pipelines.iap.taggers.ram import tags_of

    option = composed("iap_as_paper_code")
    words = {} if spec["groundingdino"] else {"words": "released_code_saa"}

    def one(case: dict[str, Any], other: Found) -> Found:
        limits = {"box": other.threshold, "text": other.threshold}
        given = {
            "tagger": FixedTagger(tags=(tags_of((case["tags"],)),), calls=[]),
            "prompter": FixedPrompter(text=case["answer"], calls=[]),
            "object": option["object"] | words,
            "thresholds": option["thresholds"] | limits,
            "detector": option["detector"] | detector(spec, folder),
            "sam": option["sam"] | sam(spec, folder),
        }
        samples = [sample(case["good"], category="part", split="train"), sample(case["image"], category="part")]
        found = predict(settings_from("pipeline", IapAs, option | given), folder, samples)
        facts = {
            "object": found.extra["object"],
            "caption": str(found.extra["caption"]),
            "object size": round(float(found.extra["object_area"] or 0), 5),
            "candidates": found.extra["n_candidates"],
        }
        return Found(map=found.score_map, mask=found.mask, facts=facts)

    return each(one, spec, theirs)


def groundingdino_sam(folder: Path, spec: dict[str, Any], theirs: Sequence[Found]) -> list[Found]:
    """Run pipeline=groundingdino_sam."""
    from benchmark.pipelines.groundingdino_sam import GroundingDinoSam

    option = harness.option("pipeline", "groundingdino_sam")
    option["detector"] |= detector(spec, folder)
    option["sam"] |= sam(spec, folder)

    def one(case: dict[str, Any], other: Found) -> Found:
        limits = {"box_threshold": other.threshold, "text_threshold": other.threshold, "mask_floor": other.threshold}
        prompts = {"default": case["texts"], "by_category": {}}
        settings = GroundingDinoSam.model_validate(option | limits | {"prompts": prompts})
        found = predict(settings, folder, [sample(case["image"], category="part")])
        assert found.regions is not None
        return Found(mask=found.mask, scores=tuple(float(s) for s in found.regions.scores))

    return each(one, spec, theirs)


def each(one: Callable[[dict[str, Any], Found], Found], spec: dict[str, Any], theirs: Sequence[Found]) -> list[Found]:
    """Carry out the cases; an error is our answer, as with ``theirs_grounded.stopped``."""
    found = []
    for case, other in zip(spec["cases"], theirs, strict=True):
        try:
            found.append(one(case, other))
        except Exception as error:
            found.append(Found(stopped=f"{type(error).__name__}: {str(error)[:80]}"))
    return found
