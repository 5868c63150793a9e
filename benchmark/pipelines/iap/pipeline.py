"""IAP-AS: good images say what the object is, a language model which defects it may have, boxes and masks where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from benchmark.config.group_option import group_option
from benchmark.config.pipeline import ImageResults, Pipeline, Plan
from benchmark.core.errors import ConfigError, WeightsError
from benchmark.core.samples import Combine, Prediction, Regions
from benchmark.core.settings import Settings
from benchmark.models.choice import Networks
from benchmark.models.detector import Detector
from benchmark.models.grounding_dino import phrase
from benchmark.models.sam_stages import detected, detection_stage, detections, embedding_stage
from benchmark.models.segmenter import Segmenter
from benchmark.pipelines.iap.boxes import SizeRule, small_enough
from benchmark.pipelines.iap.normals import NormalSettings
from benchmark.pipelines.iap.objects import ObjectSettings, plain_phrase
from benchmark.pipelines.iap.prepare import Preparation, Prepared, PromptSettings, Step
from benchmark.pipelines.iap.prompters.base import Prompter
from benchmark.pipelines.iap.stages import SizeLimit, candidates_stage, object_area
from benchmark.pipelines.iap.taggers.base import Tagger
from benchmark.scoring.metrics.tables import minmax
from benchmark.stages.context import Context
from benchmark.stages.stage import Stage

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact

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


class IapAs(Pipeline):
    """Image-aware prompts (IAP-AS, PAKDD 2025) with every step of paper and released code as a switch.

    Source: sybeam27/IAP-ZSAS (test_zsas.py, utils/function.py). Where that code stops with an error this goes on:
    without a good image or a tag the category's name is the object, and where the object finds no box in an image
    the whole image is it; each row says what was assumed.
    """

    profile: Literal["robust", "paper_code", "paper_text"]
    """Name of the option, for messages."""
    steps: tuple[Step, ...]
    """Which of the paper's three steps are on (its Table 3)."""
    tagger: Annotated[Tagger, group_option("pipeline.tagger")]
    prompter: Annotated[Prompter, group_option("pipeline.prompter")]
    normals: NormalSettings
    object: ObjectSettings
    prompt: PromptSettings
    thresholds: Thresholds
    size: SizeRule
    fusion: Combine
    """How scores of overlapping regions become one; the paper adds them up (sec. 4.2.4)."""
    normalise: Literal["none", "image"]
    """``image``: every map is stretched to 0..1, a constant one is 0, as in the released code."""
    detector: Annotated[Detector, group_option("pipeline.detector")]
    sam: Annotated[Segmenter, group_option("pipeline.sam")]
    allow_random_weights: bool

    def networks(self) -> Networks:
        """Return detector, tokenizer, SAM, and the tagger's where images are looked at."""
        tagger = self.tagger.wanted() if self._looks else {}
        wanted = {**self.detector.wanted(), **self.sam.wanted(), **tagger}
        return Networks(wanted=wanted, allow_random=self.allow_random_weights)

    def check(self, context: Context) -> None:
        """Raise ConfigError for a threshold below the floor, or a tagger or prompter that cannot work here."""
        box = self.thresholds.of(context.manifest.dataset)[0]
        if box < self.detector.floor:
            raise ConfigError(
                f"pipeline.thresholds: boxes above {box} are asked for, but detector.floor={self.detector.floor}: "
                "boxes under the floor are not stored; lower it too"
            )
        self._check_parts()

    def missing(self) -> tuple[str, str | None] | None:
        """Return what the tagger or the prompter lacks here."""
        try:
            self._check_parts()
        except (ConfigError, WeightsError) as error:
            return str(error).partition("; ")[0], None
        return None

    def _check_parts(self) -> None:
        if self._looks:
            self.tagger.check()
        if "llm_prompt" in self.steps:
            self.prompter.check()

    def plan(self, context: Context) -> Plan:
        """Make tags and prompts of every category, and plan a score map or scored regions.

        ``extra`` has the numbers of candidates and regions, what the object is called and its area, P_final, and what
        was assumed.

        Raises:
            BenchmarkError: the prompter gives no answer.
        """
        preparation = self._preparation(context)
        prepared = {category: preparation.prepare(category) for category in context.categories}
        box, text = self.thresholds.of(context.manifest.dataset)

        def predict(one: ImageResults) -> Prediction:
            found, seen = one.artifacts["iap_candidates"], detected(one.artifacts)
            return self._predict(prepared[one.sample.category], found, seen, box=box, text=text)

        return Plan(stages={c: self._stages(context, asked) for c, asked in prepared.items()}, predict=predict)

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
        ruled, area = "size_filter" in self.steps, found.get("object_area")
        if seen is not None:
            limit = SizeLimit(rule=self.size, box=box, iou=self.thresholds.iou)
            area = object_area(detections(seen), found["masks"].shape, limit)
        scores = np.asarray(found["scores"], dtype=np.float32)
        index = np.arange(len(scores))
        if ruled:
            areas = np.asarray(found["areas"], dtype=np.float32)
            whole = np.float32(1 if area is None else area)
            index = np.flatnonzero(small_enough(areas, object_area=whole, factor=self.size.factor))
        regions = Regions(masks=found["masks"], index=index, scores=scores[index], combine=self.fusion)
        drawn = None
        if self.normalise == "image":
            drawn = regions.exact_map()  # as released: a cubic resize ranks what is equal by the last bits
            drawn = minmax(drawn, float(drawn.min()), float(drawn.max()))
        return Prediction(
            score_map=drawn,
            regions=regions if drawn is None else None,
            mask=regions.masks.union(index),
            label=len(index) > 0,
            rationale="; ".join(_spell(found, int(i), text) for i in index[:SPELT]) or None,
            extra={
                "n_candidates": found.get("n_candidates", len(scores)),
                "n_regions": len(index),
                "object": ", ".join(prepared.objects),
                "object_area": None if not ruled else 1.0 if area is None else round(float(area), 6),
                "object_found": int(area is not None) if ruled else None,
                "caption": " | ".join(prepared.captions),
                "record": prepared.record,
                "assumed": "; ".join(prepared.assumed) or None,
            },
        )

    @property
    def _looks(self) -> bool:
        """Whether the tagger is asked."""
        return "tagging" in self.steps or self.prompt.without_tagging == "one_image"

    def _preparation(self, context: Context) -> Preparation:
        box, text = self.thresholds.of(context.manifest.dataset)
        return Preparation(
            context=context,
            chosen=context.chosen,
            steps=frozenset(self.steps),
            tagger=self.tagger,
            prompter=self.prompter,
            normals=self.normals,
            objects=self.object,
            prompt=self.prompt,
            detector=self.detector,
            box_threshold=box,
            text_threshold=text,
        )

    def _stages(self, context: Context, prepared: Prepared) -> tuple[Stage, ...]:
        """Wire the stages of one category.

        The object and P_final are asked by themselves, so that each is once; together where the size rule says which
        boxes get a mask.
        """
        chosen, box = context.chosen, self.thresholds.of(context.manifest.dataset)[0]
        ruled = "size_filter" in self.steps
        together = ruled and self.size.masks == "small"
        captions = (*prepared.captions, *(prepared.object_captions if together else ()))
        candidates = candidates_stage(
            context,
            self.sam,
            chosen,
            detection=detection_stage(context, self.detector, chosen, captions=captions),
            embedding=embedding_stage(context, self.sam, chosen),
            box_threshold=box,
            iou=self.thresholds.iou,
            questions=len(prepared.captions),
            limit=SizeLimit(rule=self.size, box=box, iou=self.thresholds.iou) if together else None,
        )
        if together or not ruled:
            return (candidates,)
        return candidates, detection_stage(context, self.detector, chosen, captions=prepared.object_captions)


def _spell(found: Artifact, region: int, threshold: float) -> str:
    pieces = found["pieces"][int(found["caption"][region])]
    words = plain_phrase(phrase(pieces, found["tokens"][region], threshold))
    return f"{words} {float(found['scores'][region]):.2f}"
