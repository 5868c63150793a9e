"""SAA, SAA+ and AnomalyVLM: boxes from captions, masks from boxes, scores from saliency, the strongest K as a map."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.config.group_option import group_option
from benchmark.config.pipeline import ImageResults, Pipeline, Plan
from benchmark.core.errors import ConfigError
from benchmark.core.samples import Combine, Prediction, Regions
from benchmark.core.settings import AreaShare, NameOrFile
from benchmark.models.choice import Networks
from benchmark.models.detector import Detector
from benchmark.models.grounding_dino import normalise
from benchmark.models.long_captions import Fitted
from benchmark.models.sam_stages import Channels, detection_stage, embedding_stage
from benchmark.models.segmenter import Segmenter
from benchmark.pipelines.saa.prompts import Prompts, Question, load_table, table_files
from benchmark.pipelines.saa.proposals import Thresholds
from benchmark.pipelines.saa.rules import NEED_COLOUR, Rule, kept
from benchmark.pipelines.saa.scoring import rescored, strongest
from benchmark.pipelines.saa.stages import (
    SaliencySettings,
    facts_of,
    facts_stage,
    objects_stage,
    regions_stage,
    saliency_stage,
)
from benchmark.stages.context import Context
from benchmark.stages.stage import Stage

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact


class _Shared(TypedDict):
    detection: Stage
    embedding: Stage
    thresholds: Thresholds


class SegmentAnyAnomaly(Pipeline):
    """SAA+ as its released code runs it, with the papers' variants as switches.

    Source: caoyunkang/Segment-Any-Anomaly (branch SAA-plus): SAA/model.py. Papers: SAA+ (arXiv 2305.10724) and
    AnomalyVLM (IEEE TCYB 55(4), 2025). Where the code stops with an error this goes on: without an object box the
    whole image is the object, and with fewer than two objects places of the image are compared with each other.
    """

    profile: Literal["saa", "saa_demo", "saa_plus", "anomalyvlm"]
    """Name of the option, for messages."""
    prompts: NameOrFile
    """Name in the prompt tables, or the path of a YAML file; ``{dataset}`` stands for the dataset's name."""
    prompt_regions: Literal["table", "generic"]
    """Prompt 1, what to look for: the table's captions, or ``generic_captions`` for every category."""
    generic_captions: tuple[str, ...] = Field(min_length=1)
    prompt_rules: bool
    """Prompt 2: the area rule and further symbolic rules."""
    max_area: AreaShare | None
    """Regions must be smaller than this share of the object; None: the table's."""
    rules: tuple[Rule, ...]
    """Symbolic rules for every category, beside the table's."""
    prompt_numbers: bool
    """Prompt 3: only the strongest regions are kept."""
    top_k: int | None = Field(ge=1)
    """How many; None: the table's."""
    area_of: Literal["box", "mask"]
    """What the area rule measures of region and object: boxes (the code), or masks (the papers)."""
    area_against: Literal["object", "image"]
    """Of what ``max_area`` is a share: of the object, or of the image, for which no object is asked."""
    fallback: Literal["none", "best_box"]
    """Where a question keeps no box: none, or the one of the highest score, whatever its score and area."""
    area_ceiling: AreaShare | None
    """Boxes up to this share of the object get a mask, so that ``max_area`` below it costs nothing; None: only those
    that the area rule lets through."""
    keep_comma: bool
    """The comma that the released tables leave on the object's name is sent to the detector."""
    sam_channels: Channels
    fusion: Combine
    """How scores of overlapping regions become one: ``mean_with_one`` (the code), ``mean`` (the papers), ``max``."""
    decision: Literal["none", "union"] | float
    """Binary mask and label: none as in the code, the union of the kept regions, or the map from this score on."""
    thresholds: Thresholds
    detector: Annotated[Detector, group_option("pipeline.detector")]
    sam: Annotated[Segmenter, group_option("pipeline.sam")]
    saliency: SaliencySettings
    allow_random_weights: bool

    def networks(self) -> Networks:
        """Return detector, tokenizer and SAM, and the network of the saliency where that is used."""
        wanted = {**self.detector.wanted(), **self.sam.wanted(), **self.saliency.wanted()}
        return Networks(wanted=wanted, allow_random=self.allow_random_weights)

    def reads(self, dataset: str) -> dict[str, Path]:
        """Return the prompt table, and the one that it rests on."""
        return table_files(self.prompts, dataset=dataset)

    def check(self, context: Context) -> None:
        """Raise ConfigError for a threshold below the floor, or prompts that are missing or wrong."""
        if self.thresholds.box < self.detector.floor:
            raise ConfigError(
                f"pipeline.thresholds.box={self.thresholds.box} is below detector.floor={self.detector.floor}: "
                "boxes under the floor are not stored; lower it too"
            )
        if self.fallback == "best_box" and (self.area_ceiling is not None or self.area_of == "mask"):
            raise ConfigError(
                "pipeline.fallback=best_box looks at what the area rule leaves of the boxes: set pipeline.area_ceiling="
                "null and pipeline.area_of=box"
            )
        self._asked(context)

    def plan(self, context: Context) -> Plan:
        """Plan scored regions; ``extra`` tells how many there were and the object's area."""
        asked = self._asked(context)
        stages = {category: self._stages(context, prompts) for category, prompts in asked.items()}

        def predict(one: ImageResults) -> Prediction:
            artifacts = one.artifacts
            return self._predict(asked[one.sample.category], artifacts["saa_regions"], artifacts.get("saa_facts", {}))

        return Plan(stages=stages, predict=predict)

    def _predict(self, prompts: Prompts, found: Artifact, facts: Artifact) -> Prediction:
        """Apply the cheap steps: rules, rescoring, top-K, fusion."""
        index = np.flatnonzero(self._obeys(prompts, found, facts))
        scores = np.asarray(found["scores"], dtype=np.float32)
        refined = scores.astype(np.float64)
        if self.saliency.use:
            refined = rescored(scores, facts["saliency"], exponent=self.saliency.exponent)
        index = index[strongest(refined[index], self._number(prompts))]
        regions = Regions(
            masks=found["masks"], index=index, scores=refined[index].astype(np.float32), combine=self.fusion
        )
        mask = self._mask(regions)
        return Prediction(
            regions=regions,
            mask=mask,
            label=None if mask is None else bool(mask.any()),
            extra={
                "n_candidates": len(scores),
                "n_regions": len(index),
                "object_area": round(float(found["object_area"]), 6),
                "max_area": self._area(prompts) if self.prompt_rules else None,
                "top_k": self._number(prompts),
            },
        )

    def _obeys(self, prompts: Prompts, found: Artifact, facts: Artifact) -> NDArray[np.bool_]:
        """Which candidates the area rule and the other rules let through."""
        areas = np.asarray(found["areas"], dtype=np.float32)
        if not self.prompt_rules:
            return np.ones(len(areas), dtype=bool)
        result: NDArray[np.bool_]
        # float32 throughout, as in the code: boxes on the limit go the same way
        limit = np.float32(self._area(prompts))
        if self.fallback == "best_box":  # the area rule was applied before, and may have been passed over
            result = np.ones(len(areas), dtype=bool)
        elif self.area_of == "box":
            result = areas < np.float32(found["object_area"]) * limit
        else:
            result = facts["region_pixels"] < facts["object_pixels"] * limit
        if self._rules(prompts):
            result &= kept(self._rules(prompts), facts_of(facts, "region"), facts_of(facts, "object"))
        return result

    def _mask(self, regions: Regions) -> NDArray[np.bool_] | None:
        if self.decision == "none":
            return None
        if self.decision == "union":
            return regions.masks.union(regions.index)
        return regions.score_map() >= np.float32(self.decision)

    def _area(self, prompts: Prompts) -> float:
        return prompts.area if self.max_area is None else self.max_area

    def _number(self, prompts: Prompts) -> int | None:
        if not self.prompt_numbers:
            return None
        return prompts.k if self.top_k is None else self.top_k

    def _rules(self, prompts: Prompts) -> tuple[Rule, ...]:
        return (*prompts.rules, *self.rules) if self.prompt_rules else ()

    def _ceiling(self, prompts: Prompts) -> float | None:
        if not self.prompt_rules or self.area_of == "mask":
            return None
        return max(self._area(prompts), self.area_ceiling or 0.0)

    def _stages(self, context: Context, prompts: Prompts) -> tuple[Stage, ...]:
        """Wire the stages of one category; what its prompts and switches do not need is left out."""
        chosen = context.chosen
        between = self.saliency.use and self.saliency.between_objects and prompts.object_number > 1
        by_mask = self.prompt_rules and self.area_of == "mask"
        ruled = bool(self._rules(prompts)) or by_mask
        captions = [question.caption for question in prompts.questions]
        if (self.prompt_rules and self.area_against == "object") or between:
            captions.append(prompts.object_caption(keep_comma=self.keep_comma))
        asked = self.detector.fit(context, chosen, captions)
        context.tell(*asked.notes)
        prompts = _in_parts(prompts, asked)
        contrasts = [question.drop_phrase for question in prompts.questions]
        contrasts += [""] * (len(asked.captions) - len(contrasts))
        detection = detection_stage(context, self.detector, chosen, captions=asked.captions, contrasts=contrasts)
        embedding = embedding_stage(context, self.sam, chosen, channels=self.sam_channels)
        shared: _Shared = {"detection": detection, "embedding": embedding, "thresholds": self.thresholds}
        regions = regions_stage(
            context,
            self.sam,
            chosen,
            **shared,
            prompts=prompts,
            ceiling=self._ceiling(prompts),
            fallback=self.fallback == "best_box",
        )
        objects = objects_stage(
            context, self.sam, chosen, **shared, questions=len(prompts.questions), number=prompts.object_number
        )
        salient = (
            saliency_stage(context, self.saliency, chosen, objects=objects if between else None)
            if self.saliency.use
            else None
        )
        facts = facts_stage(
            regions=regions,
            salient=salient,
            objects=objects if ruled else None,
            colour=any(rule.measure in NEED_COLOUR for rule in self._rules(prompts)),
        )
        return (regions, facts) if salient or ruled else (regions,)

    def _asked(self, context: Context) -> dict[str, Prompts]:
        """Return the prompts of every category, with the generic captions in place of the table's where asked for."""
        table = load_table(self.prompts, dataset=context.manifest.dataset)
        found = {category: table.of(category, where=self.prompts) for category in context.categories}
        if self.prompt_regions == "table":
            return found
        return {category: self._generic(prompts) for category, prompts in found.items()}

    def _generic(self, prompts: Prompts) -> Prompts:
        drop = prompts.questions[-1].drop_phrase
        asked = tuple(Question(caption=normalise(text), drop_phrase=drop) for text in self.generic_captions)
        return replace(prompts, questions=asked)


def _in_parts(prompts: Prompts, asked: Fitted) -> Prompts:
    """Return the prompts with every question in the parts in which the detector is asked it."""
    parts = [(text, n) for text, n in zip(asked.captions, asked.question, strict=True) if n < len(prompts.questions)]
    questions = (Question(caption=text, drop_phrase=prompts.questions[n].drop_phrase) for text, n in parts)
    return replace(prompts, questions=tuple(questions))
