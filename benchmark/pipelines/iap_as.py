"""IAP-AS: good images say what the object is, a language model which defects it may have, boxes and masks where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from benchmark.errors import ConfigError
from benchmark.iap.boxes import ObjectSize, object_share, small_enough, suppressed
from benchmark.iap.normals import NormalSettings
from benchmark.iap.objects import ObjectSettings, plain_phrase
from benchmark.iap.prepare import Preparation, Prepared, PromptSettings, Step
from benchmark.iap.stages import candidates_stage, token_counter
from benchmark.metrics.tables import unit
from benchmark.models.choice import Chosen, Wanted, choose, needed
from benchmark.models.grounding_dino import phrase
from benchmark.models.prompted import DetectorSettings, SamSettings, detection_stage, detections, embedding_stage
from benchmark.nested import option
from benchmark.prompters.base import Prompter
from benchmark.samples import Combine, Prediction, Regions, Sample
from benchmark.settings import Settings
from benchmark.stages import Context, Stage
from benchmark.taggers.base import Tagger

if TYPE_CHECKING:
    from benchmark.artifacts import Artifact

SPELT = 10
"""Most regions whose words stand in a rationale."""


class Thresholds(Settings):
    """Which boxes are looked at; the paper has one value for data sets of objects and one for textures."""

    box: float | None = Field(ge=0, lt=1)
    """Boxes with a higher score are kept; None: the value of the data set's kind."""
    text: float | None = Field(ge=0, lt=1)
    """Word pieces with a higher probability make up a box's words; None: the value of the data set's kind."""
    object_sets: tuple[str, ...]
    """Data sets of the kind ``objects``; every other one is of textures."""
    objects: float = Field(ge=0, lt=1)
    textures: float = Field(ge=0, lt=1)
    iou: float = Field(ge=0, le=1)
    """Of two boxes that overlap more, the one with the lower score goes, whatever captions found them."""

    def of(self, dataset: str) -> tuple[float, float]:
        """Return the box and the text threshold for a data set."""
        usual = self.objects if dataset in self.object_sets else self.textures
        return (usual if self.box is None else self.box), (usual if self.text is None else self.text)


class SizeRule(Settings):
    """How large a candidate may be."""

    of: ObjectSize
    factor: float = Field(gt=0)
    """Candidates must be smaller than this times the object."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the images of one category are worked on."""

    prepared: Prepared
    candidates: Stage
    object: Stage | None
    """None: there is no size rule."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages whose artifacts a prediction is made from."""
        return (self.candidates,) if self.object is None else (self.candidates, self.object)


class IapAs(Settings):
    """Image-aware prompts (IAP-AS, PAKDD 2025) with every step of paper and released code as a switch.

    Source: sybeam27/IAP-ZSAS (test_zsas.py, utils/function.py). Where that code stops with an error this goes on:
    without a good image or a tag the category's name is the object, and where the object finds no box in an image
    the whole image is it; each row says what was assumed.
    """

    profile: Literal["robust", "paper_code", "paper_text"]
    """Name of the option, for messages."""
    steps: tuple[Step, ...]
    """Which of the paper's three steps are on (its Table 3)."""
    tagger: Annotated[Tagger, option("pipeline.tagger")]
    prompter: Annotated[Prompter, option("pipeline.prompter")]
    normals: NormalSettings
    object: ObjectSettings
    prompt: PromptSettings
    thresholds: Thresholds
    size: SizeRule
    fusion: Combine
    """How scores of overlapping regions become one; the paper adds them up (sec. 4.2.4)."""
    normalise: Literal["none", "image"]
    """``image``: every map is stretched to 0..1, a constant one is 0, as in the released code."""
    detector: DetectorSettings
    sam: SamSettings
    allow_random_weights: bool

    def needed_weights(self) -> tuple[str, ...]:
        """Return the names of the registered weights that this pipeline needs."""
        return needed(self._wanted())

    def stages(self, context: Context) -> Sequence[Stage]:
        """Return the stages of every category; tags and prompts of the categories are made for it.

        Raises:
            ConfigError: a tagger or prompter that cannot work here, a threshold below the floor, random weights that
                were not allowed.
            WeightsError: weights are missing or damaged.
            BenchmarkError: the prompter gives no answer.
        """
        return [stage for plan in self._plans(context).values() for stage in plan.stages]

    def predict(self, context: Context) -> Iterator[tuple[Sample, Prediction]]:
        """Yield a score map or scored regions for every sample, in order.

        ``extra`` has the numbers of candidates and regions, what the object is called and its area, P_final, and what
        was assumed. Raises as ``stages`` does.
        """
        plans = self._plans(context)
        text_threshold = self.thresholds.of(context.manifest.dataset)[1]
        for category, samples in groupby(context.samples, key=lambda sample: sample.category):
            plan = plans[category]
            for sample, artifacts in context.run_all(plan.stages, list(samples)):
                seen = artifacts[1] if plan.object is not None else None
                box = self.thresholds.of(context.manifest.dataset)[0]
                yield sample, self._predict(plan.prepared, artifacts[0], seen, box=box, text=text_threshold)

    def tables(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """Return the table ``prompts``: what every category was asked, and what was assumed."""
        table = []
        for category, group in groupby(sorted(rows, key=lambda r: str(r["category"])), key=lambda r: r["category"]):
            mine = [row for row in group if row.get("caption")]
            if not mine:
                continue
            shared = {name: mine[0][name] for name in ("object", "caption", "record", "assumed")}
            without = sum(row["object_found"] == 0 for row in mine)
            table.append({"category": category, **shared, "n_images": len(mine), "n_without_object": without})
        return {"prompts": table}

    def _predict(
        self, prepared: Prepared, found: Artifact, seen: Artifact | None, *, box: float, text: float
    ) -> Prediction:
        """Apply the cheap steps: the size rule, and one map from all masks."""
        area = None if seen is None else self._object_area(seen, found["masks"].shape, box)
        scores = np.asarray(found["scores"], dtype=np.float32)
        index = np.arange(len(scores))
        if seen is not None:
            areas = np.asarray(found["areas"], dtype=np.float32)
            whole = np.float32(1) if area is None else area
            index = np.flatnonzero(small_enough(areas, object_area=whole, factor=self.size.factor))
        regions = Regions(masks=found["masks"], index=index, scores=scores[index], combine=self.fusion)
        drawn = None
        if self.normalise == "image":
            drawn = regions.score_map()
            drawn = unit(drawn, float(drawn.min()), float(drawn.max()))
        missing = seen is not None and area is None
        return Prediction(
            score_map=drawn,
            regions=regions if drawn is None else None,
            mask=regions.masks.union(index),
            label=len(index) > 0,
            rationale="; ".join(_spell(found, int(i), text) for i in index[:SPELT]) or None,
            extra={
                "n_candidates": len(scores),
                "n_regions": len(index),
                "object": ", ".join(prepared.objects),
                "object_area": None if seen is None else 1.0 if area is None else round(float(area), 6),
                "object_found": None if seen is None else int(not missing),
                "caption": " | ".join(prepared.captions),
                "record": prepared.record,
                "assumed": "; ".join(prepared.assumed) or None,
            },
        )

    def _object_area(self, seen: Artifact, size: tuple[int, int], box: float) -> np.float32 | None:
        """Step 1-2: the object's share of the image; None where it finds no box."""
        found = detections(seen)
        kept = suppressed(found.boxes, found.scores, size=size, threshold=box, iou=self.thresholds.iou)
        return object_share(found.boxes[kept], found.scores[kept], size=size, which=self.size.of)

    def _wanted(self) -> dict[str, Wanted]:
        uses_tagger = "tagging" in self.steps or self.prompt.without_tagging == "one_image"
        tagger = self.tagger.wanted() if uses_tagger else {}
        return {**self.detector.wanted(), **self.sam.wanted(), **tagger}

    def _plans(self, context: Context) -> dict[str, Plan]:
        """Stage 1 of every category, once a run."""

        def make() -> tuple[IapAs, dict[str, Plan]]:
            categories = dict.fromkeys(sample.category for sample in context.samples)
            chosen, preparation = self._prepare(context)
            # the settings are kept beside the plans, so that their id stays theirs
            return self, {name: self._plan(context, chosen, preparation.prepare(name)) for name in categories}

        return context.recall(("iap_as", id(self)), make)[1]

    def _prepare(self, context: Context) -> tuple[dict[str, Chosen], Preparation]:
        """Check what can be checked before any work, and find the weights."""
        box, text = self.thresholds.of(context.manifest.dataset)
        if box < self.detector.floor:
            raise ConfigError(
                f"pipeline.thresholds: boxes above {box} are asked for, but detector.floor={self.detector.floor}: "
                "boxes under the floor are not stored; lower it too"
            )
        if "tagging" in self.steps or self.prompt.without_tagging == "one_image":
            self.tagger.check()
        if "llm_prompt" in self.steps:
            self.prompter.check()
        name = "iap_as" if self.profile == "robust" else f"iap_as_{self.profile}"
        chosen = choose(context, self._wanted(), pipeline=name, allow_random=self.allow_random_weights)
        preparation = Preparation(
            context=context,
            chosen=chosen,
            steps=frozenset(self.steps),
            tagger=self.tagger,
            prompter=self.prompter,
            normals=self.normals,
            objects=self.object,
            prompt=self.prompt,
            detector=self.detector,
            box_threshold=box,
            text_threshold=text,
            count=token_counter(context, chosen["tokenizer"]),
        )
        return chosen, preparation

    def _plan(self, context: Context, chosen: Mapping[str, Chosen], prepared: Prepared) -> Plan:
        """Wire the stages of one category: the object and P_final are asked by themselves, so that each is once."""
        detect = detection_stage(context, self.detector, chosen, captions=prepared.captions)
        whole = detection_stage(context, self.detector, chosen, captions=prepared.object_captions)
        candidates = candidates_stage(
            context,
            self.sam,
            chosen,
            detection=detect,
            embedding=embedding_stage(context, self.sam, chosen),
            box_threshold=self.thresholds.of(context.manifest.dataset)[0],
            iou=self.thresholds.iou,
        )
        return Plan(prepared=prepared, candidates=candidates, object=whole if "size_filter" in self.steps else None)


def _spell(found: Artifact, region: int, threshold: float) -> str:
    pieces = found["pieces"][int(found["caption"][region])]
    words = plain_phrase(phrase(pieces, found["tokens"][region], threshold))
    return f"{words} {float(found['scores'][region]):.2f}"
