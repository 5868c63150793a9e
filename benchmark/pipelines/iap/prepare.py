"""Stage 1 of IAP-AS, once a category: what the object is called, which defects it may have, what is asked of images."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from benchmark.chat.question import digest
from benchmark.core.errors import BenchmarkError
from benchmark.core.samples import Sample
from benchmark.core.settings import Settings
from benchmark.models.choice import ResolvedWeights
from benchmark.models.detector import Detector
from benchmark.models.grounding_dino import normalise
from benchmark.models.long_captions import Fitted
from benchmark.pipelines.iap import records
from benchmark.pipelines.iap.captions import RELEASED_WITHOUT_ANSWER, prompt_caption, prompt_caption_released
from benchmark.pipelines.iap.normals import NormalSettings, normals_of
from benchmark.pipelines.iap.objects import Name, ObjectSettings, by_detector, by_vote, without_words
from benchmark.pipelines.iap.prompters.base import Prompter, Request
from benchmark.pipelines.iap.prompters.wording import VERSION, Wording, messages
from benchmark.pipelines.iap.records import Answered, Named, PromptRecord, TaggedImage
from benchmark.pipelines.iap.taggers.base import ROLE, ImageTags, Tagger, plain_name
from benchmark.pipelines.iap.terms import FIXED, Parsed, parse_released, parse_robust
from benchmark.stages.context import Context

log = logging.getLogger(__name__)
Step = Literal["tagging", "llm_prompt", "size_filter"]


class PromptSettings(Settings):
    """How tags and answers become the detector's caption."""

    wording: Wording
    """What a language model is asked for."""
    parser: Literal["robust", "released_code"]
    """How answers are read and captions are written."""
    bad_answer: Literal["fixed_words", "stop"]
    """Of an answer that is empty, a refusal or nonsense: go on with the fixed words, or stop with an error."""
    without_tagging: Literal["category_name", "one_image"]
    """Ablation: the category's name stands for the object, or one image is looked at (released code)."""
    without_llm: Literal["fixed_and_object", "fixed"]
    """Ablation: the fixed words with the tagged object's name, or alone (released code)."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What stage 2 asks of the images of one category."""

    objects: tuple[str, ...]
    """What the object is called."""
    object_captions: tuple[str, ...]
    """What finds the object, normalised."""
    captions: tuple[str, ...]
    """P_final, normalised, in as many parts as the detector is asked it."""
    assumed: tuple[str, ...]
    """What was assumed for want of something better, and what was cut off; told once a category, and in every row."""
    record: str | None
    """Name of the record below the folder of prompts; None where the prompt repeats older records."""


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Stage 1 for the categories of one run."""

    context: Context
    chosen: Mapping[str, ResolvedWeights]
    steps: frozenset[Step]
    tagger: Tagger
    prompter: Prompter
    normals: NormalSettings
    objects: ObjectSettings
    prompt: PromptSettings
    detector: Detector
    box_threshold: float
    text_threshold: float

    def prepare(self, category: str) -> Prepared:
        """Carry out stage 1 for a category; an answer that a record holds already is not asked for again.

        Raises:
            BenchmarkError: the prompter gives no answer, or one that may not be used.
        """
        images, names, source, assumed = self._object(category)
        objects = tuple(name.text for name in names)
        key = digest(self._facts(category, images, names))
        path = records.record_path(
            self.context.prompts_root, dataset=self.context.manifest.dataset, category=category, key=key
        )
        answers = self._answers(category, objects, key, path) if "llm_prompt" in self.steps else []
        assumed += [_told(one) for one in answers if one.outcome != "ok"]
        asked = self._fit(self._caption(objects, answers, named=self._looks))
        whole = self._fit(". ".join(objects))
        assumed += [*asked.notes, *whole.notes]
        for note in assumed:
            log.warning("%s: %s", category, note)
        record = PromptRecord(
            schema_version=records.SCHEMA,
            key=key,
            dataset=self.context.manifest.dataset,
            category=category,
            steps=sorted(self.steps - {"size_filter"}),
            tagger=self._tagger_facts(),
            images=[_image_record(image) for image in images],
            objects=[Named(name=name.text, score=name.score) for name in names],
            objects_from=source,
            prompter=dict(self.prompter.identity()) if answers else {},
            answers=answers,
            captions=list(asked.captions),
            tokens=[self.detector.tokens(self.context, self.chosen, caption) for caption in asked.captions],
            assumed=assumed,
        )
        written = self._keep(path, record)
        return Prepared(
            objects=objects,
            object_captions=whole.captions,
            captions=asked.captions,
            assumed=tuple(assumed),
            record=f"{path.parent.name}/{path.name}" if written else None,
        )

    def _fit(self, text: str) -> Fitted:
        """Return a text as the detector is asked it."""
        return self.detector.fit(self.context, self.chosen, [normalise(text)])

    @property
    def _looks(self) -> bool:
        """Whether the object's name comes from images, and so into the caption."""
        return "tagging" in self.steps or self.prompt.without_tagging == "one_image"

    def _object(self, category: str) -> tuple[Sequence[ImageTags], tuple[Name, ...], str, list[str]]:
        """Step 1-1: the images that were looked at, the object's names, where they come from, what was assumed."""
        stand_in = (Name(text=plain_name(category), score=None),)
        if not self._looks:
            return (), stand_in, "the category's name, as tagging is off", []
        dataset = self.context.manifest.dataset
        number = self.normals.number if "tagging" in self.steps else 1
        normals = normals_of(self.context.manifest, category, self.normals, number=number)
        tagged = self.tagger.look(self.context, self.chosen, normals, dataset=dataset, category=category)
        if tagged.objects is not None:
            return (), tuple(Name(text=name, score=None) for name in tagged.objects), tagged.source or "the tagger", []
        if not normals:
            note = f"no good image to tag, so the object is called {stand_in[0].text!r} after its category"
            return (), stand_in, "the category's name", [note]
        images = without_words(tagged.images, self.objects.dropped_words)
        if not images:
            note = f"the tagger saw nothing on the good images, so the object is called {stand_in[0].text!r}"
            return tagged.images, stand_in, "the category's name", [note]
        return tagged.images, *self._choice(images)

    def _choice(self, images: Sequence[ImageTags]) -> tuple[tuple[Name, ...], str, list[str]]:
        """Choose the object's names among the tags of its images."""
        if self.objects.choice == "vote":
            return by_vote(images, self.objects.number), "votes", []
        names, cut = by_detector(
            self.context,
            self.detector,
            self.chosen,
            images,
            self.objects,
            box_threshold=self.box_threshold,
            text_threshold=self.text_threshold,
        )
        if names:
            return names, "the detector", list(cut)
        names = by_vote(images, self.objects.number)
        called = ", ".join(repr(name.text) for name in names)
        note = f"the detector found no tag on a good image, so the object is called {called} by votes"
        return names, "votes", [*cut, note]

    def _answers(self, category: str, objects: Sequence[str], key: str, path: Path) -> list[Answered]:
        """Step 1-3: one answer for every name of the object, from the record where it has them."""
        from filelock import FileLock

        locks = self.context.store.root.parent / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / f"{key[:16]}.lock"):  # of several shards one asks
            kept = records.read_record(path) if path.is_file() and not self.context.refresh else None
            if kept is not None and kept.key == key and [one.object for one in kept.answers] == list(objects):
                return kept.answers
            return [self._answer(category, name) for name in objects]

    def _answer(self, category: str, name: str) -> Answered:
        system, user = messages(self.prompt.wording, name)
        dataset = self.context.manifest.dataset
        request = Request(dataset=dataset, category=category, object=name, system=system, user=user)
        answer = self.prompter.answer(self.context, request)
        parsed = self._read(answer.raw) if answer.withheld is None else Parsed(terms=(), outcome="refused")
        if parsed.outcome != "ok" and self.prompt.bad_answer == "stop":
            raise BenchmarkError(
                f"category {category!r}: the answer for {name!r} is {parsed.outcome} ({answer.raw[:80]!r}); ask "
                "another model, use prompter@pipeline.prompter=static, or set pipeline.prompt.bad_answer=fixed_words"
            )
        return Answered(
            object=name,
            system=system,
            user=user,
            messages_sha256=digest([system, user]),
            raw=answer.raw,
            terms=list(parsed.terms),
            outcome=parsed.outcome,
            facts={**answer.facts, "withheld": answer.withheld},
            asked=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _read(self, raw: str) -> Parsed:
        """Read an answer; the released code's reading takes every answer for a good one."""
        parsed = parse_robust(raw, clauses=self.prompt.wording == "clauses")
        if self.prompt.parser == "robust" or not raw.strip():
            return parsed
        parts = (part.strip() for part in parse_released(raw).split("."))
        return Parsed(terms=tuple(part for part in parts if part and part not in FIXED), outcome="ok")

    def _caption(self, objects: Sequence[str], answers: Sequence[Answered], *, named: bool) -> str:
        """P_final."""
        released = self.prompt.parser == "released_code"
        if released and answers:
            return prompt_caption_released([one.raw for one in answers], objects)
        if not answers and self.prompt.without_llm == "fixed":
            return RELEASED_WITHOUT_ANSWER if released else prompt_caption([], [])
        return prompt_caption([t for one in answers for t in one.terms], objects if named else [])

    def _facts(self, category: str, images: Sequence[ImageTags], names: Sequence[Name]) -> dict[str, Any]:
        """All that the record's answers depend on."""
        return {
            "schema": records.SCHEMA,
            "dataset": self.context.manifest.dataset,
            "category": category,
            "steps": sorted(self.steps - {"size_filter"}),
            "tagger": self._tagger_facts(),
            "images": [image.sample.sha256 for image in images],
            "objects": [name.text for name in names],
            "prompter": dict(self.prompter.identity()) if "llm_prompt" in self.steps else None,
            "prompt": self.prompt.model_dump(mode="json"),
            "wording_version": VERSION,
            **({"reading": "clauses"} if self.prompt.wording == "clauses" else {}),  # answers were read as nouns once
        }

    def _tagger_facts(self) -> dict[str, Any]:
        if not self._looks:
            return {}
        weights = {"weights_sha256": self.chosen[ROLE].sha256} if ROLE in self.chosen else {}
        return {**self.tagger.identity(), **weights}

    def _keep(self, path: Path, record: PromptRecord) -> bool:
        """Write the record, unless it stands there already; False where it would repeat what others hold."""
        if "cached" in (record.tagger.get("kind"), record.prompter.get("kind")):
            return False
        if not path.is_file() or records.read_record(path) != record:
            records.write_record(path, record)
        return True


def _image_record(image: ImageTags) -> TaggedImage:
    sample: Sample = image.sample
    return TaggedImage(id=sample.id, sha256=sample.sha256, tags=[(tag.word, tag.score) for tag in image.tags])


def _told(answer: Answered) -> str:
    kinds = {"empty": "is empty", "refused": "is a refusal", "unusable": "names no defect"}
    return f"the answer for {answer.object!r} {kinds[answer.outcome]}, so only the fixed words are asked"
