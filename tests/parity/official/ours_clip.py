"""Our side of the methods on CLIP: the faithful options as a user runs them, each case a run of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.config.schema import settings_from
from benchmark.core.samples import Prediction
from tests import harness
from tests.parity.official import ours
from tests.parity.official.found import Found
from tests.parity.official.networks import CLIP, CLIPSEG_SIDE, PLUS, PLUS_SIDE


def winclip(folder: Path, spec: dict[str, Any], theirs: Sequence[Found]) -> list[Found]:
    """Run pipeline=winclip."""
    from benchmark.pipelines.winclip import WinClip

    option = harness.option("pipeline", "winclip") | {"clip": _plus("winclip", folder, spec)}

    def one(case: dict[str, Any], _: Found) -> Found:
        settings = settings_from("pipeline", WinClip, option | {"shots": len(case["good"])})
        samples = [ours.sample(good, category=case["category"], split="train") for good in case["good"]]
        return _drawn(ours.predict(settings, folder, [*samples, ours.sample(case["image"], category=case["category"])]))

    return ours.each(one, spec, theirs)


def sdp(folder: Path, spec: dict[str, Any], theirs: Sequence[Found]) -> list[Found]:
    """Run pipeline=sdp; its score is the text's probability, as the other summand needs several images."""
    from benchmark.pipelines.sdp import Sdp

    changes = {"clip": _plus("sdp", folder, spec), "image_score": "text"}
    settings = settings_from("pipeline", Sdp, harness.option("pipeline", "sdp") | changes)

    def one(case: dict[str, Any], _: Found) -> Found:
        return _drawn(ours.predict(settings, folder, [ours.sample(case["image"], category=case["category"])]))

    return ours.each(one, spec, theirs)


def clipseg(folder: Path, spec: dict[str, Any], theirs: Sequence[Found]) -> list[Found]:
    """Run pipeline=clipseg with the resize of the authors' quickstart."""
    from benchmark.pipelines.clipseg import ClipSeg

    changes = {
        "weights": str(folder / "clipseg.safetensors"),
        "input_size": CLIPSEG_SIDE[spec["size"]],
        "resize": "tensor",
    }
    option = harness.option("pipeline", "clipseg") | changes

    def one(case: dict[str, Any], _: Found) -> Found:
        return _drawn(_asked(ClipSeg, option, folder, case, case["texts"]))

    return ours.each(one, spec, theirs)


def sam_clip(folder: Path, spec: dict[str, Any], theirs: Sequence[Found]) -> list[Found]:
    """Run pipeline=sam_clip_text2seg."""
    from benchmark.pipelines.sam_clip import SamClip

    option = _openai("sam_clip_text2seg", folder, spec)
    option["grid"] |= spec["grid"]

    def one(case: dict[str, Any], _: Found) -> Found:
        found = _asked(SamClip, option, folder, case, case["texts"])
        assert found.regions is not None
        scores = tuple(float(score) for score in found.regions.scores)
        return Found(mask=found.mask, scores=scores, facts={"masks": found.extra["n_masks"]})

    return ours.each(one, spec, theirs)


def clip_surgery_sam(folder: Path, spec: dict[str, Any], theirs: Sequence[Found]) -> list[Found]:
    """Run pipeline=clip_surgery_sam_demo, whose map is the similarity."""
    from benchmark.pipelines.clip_surgery_sam import ClipSurgerySam

    option = _openai("clip_surgery_sam_demo", folder, spec) | {"score": "similarity_map"}

    def one(case: dict[str, Any], _: Found) -> Found:
        found = _asked(ClipSurgerySam, option, folder, case, case["texts"][:1])
        quality = found.extra["quality"]
        scores = () if quality is None else (float(quality),)
        return Found(map=found.score_map, mask=found.mask, scores=scores, facts={"points": found.extra["n_points"]})

    return ours.each(one, spec, theirs)


def clip_surgery_sam_text2seg(folder: Path, spec: dict[str, Any], theirs: Sequence[Found]) -> list[Found]:
    """Run pipeline=clip_surgery_sam_text2seg."""
    from benchmark.pipelines.clip_surgery_sam import ClipSurgerySam

    option = _openai("clip_surgery_sam_text2seg", folder, spec) | {"score": "similarity_map"}

    def one(case: dict[str, Any], _: Found) -> Found:
        found = _asked(ClipSurgerySam, option, folder, case, case["texts"][:1])
        return Found(map=found.score_map, mask=found.mask, facts={"points": found.extra["n_points"]})

    return ours.each(one, spec, theirs)


def _plus(name: str, folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """The option's CLIP, with the weights of the folder."""
    size = spec["size"]
    weights = {"model": PLUS[size], "weights": str(folder / "clip.safetensors"), "input_size": PLUS_SIDE[size]}
    return dict(harness.option("pipeline", name)["clip"] | weights)


def _openai(name: str, folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """An option, with the CLIP and the SAM of the folder."""
    option = harness.option("pipeline", name)
    option["clip"] |= {"model": CLIP[spec["size"]], "weights": str(folder / "clip.safetensors")}
    option["sam"] |= ours.sam(spec, folder)
    return option


def _asked(kind: Any, option: dict[str, Any], folder: Path, case: dict[str, Any], texts: Sequence[str]) -> Prediction:
    prompts = {"default": list(texts), "by_category": {}}
    settings = settings_from("pipeline", kind, option | {"prompts": prompts})
    return ours.predict(settings, folder, [ours.sample(case["image"], category="part")])


def _drawn(found: Prediction) -> Found:
    assert found.image_score is not None
    return Found(map=found.score_map, scores=(float(found.image_score),))
