"""A vision-language model as classifier: a prompt, an optional defect-free image, and every answer kept.

Follows arXiv 2509.20479, section 4.2, for Gemini; the same prompt, answer and scoring path serves any other model.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from benchmark.chat.access import Calls
from benchmark.chat.answers import AnswerStore
from benchmark.chat.asking import Asker
from benchmark.chat.batching import Batches, BatchSettings
from benchmark.chat.form import Coordinates, Form, Kind, MaskAs, Order
from benchmark.chat.ledger import Ledger
from benchmark.chat.limits import Budget, Limiter
from benchmark.chat.pricing import load_prices
from benchmark.chat.providers.base import Provider
from benchmark.chat.providers.google import Google, GoogleSettings
from benchmark.chat.providers.hf_local import LocalModel, LocalSettings
from benchmark.chat.providers.openai_compatible import OpenAICompatible
from benchmark.chat.question import Draft, digest
from benchmark.config.group_option import group_option
from benchmark.config.pipeline import Pipeline, Plan, Use
from benchmark.core.atomic import remove_leftovers
from benchmark.core.errors import ConfigError
from benchmark.core.samples import Prediction, Sample
from benchmark.core.settings import NameOrFile
from benchmark.data.align import WEAK_NOTE, AlignSettings, is_weak
from benchmark.models.backbone import Backbone
from benchmark.models.choice import Networks
from benchmark.models.sam_stages import embedded, embedding_stage
from benchmark.models.segmenter import Segmenter
from benchmark.pipelines.vlm import session, voting
from benchmark.pipelines.vlm.drafts import Drafter
from benchmark.pipelines.vlm.drawing import Placed, refined
from benchmark.pipelines.vlm.prepare import ImageSettings
from benchmark.pipelines.vlm.prompting import Layout, load_texts, text_for, texts_file
from benchmark.pipelines.vlm.references import ReferenceSettings, feature_stage, nearest, references
from benchmark.pipelines.vlm.settings import AnswersSettings, ProviderSettings
from benchmark.pipelines.vlm.tracing import trace

if TYPE_CHECKING:
    from benchmark.models.choice import WeightsRequest
    from benchmark.stages.context import Context
    from benchmark.stages.stage import Stage


class VisionLanguage(Pipeline):
    """The pipeline options ``gemini``, ``gemini_2_5_pro``, ``vlm_endpoint`` and ``vlm_local``.

    Its answers live in a store of their own, as they were paid for and cannot be had again: emptying the
    stage store does not touch them.
    """

    provider: ProviderSettings
    prompts: NameOrFile
    """Name below the prompt tables or path of a YAML file; ``{dataset}`` stands for the dataset's name."""
    prompt: Literal["basic", "refined", "custom"]
    custom_prompt: str | None
    """``{category}`` stands for the category."""
    answer_order: Order
    answer: Kind
    """``label`` alone, or defects with their place too."""
    coordinates: Coordinates
    mask_as: MaskAs
    refine: Literal["none", "sam"]
    """``sam``: a region is the mask that SAM draws for the box, not the box itself."""
    sam: Annotated[Segmenter, group_option("pipeline.sam")]
    image_score: voting.ImageScore
    layout: Layout
    reference: ReferenceSettings
    backbone: Annotated[Backbone, group_option("pipeline.backbone")]
    """Its features say which good images are nearest."""
    align: AlignSettings
    image: ImageSettings
    draws: int = Field(ge=1)
    """Times that every question is asked; the majority counts."""
    allow_model_drift: bool
    answers: AnswersSettings
    calls: Calls
    batch: BatchSettings
    pricing: str | None
    """Price list of benchmark/chat/prices; null: costs are not known."""
    budget_usd: float | None = Field(gt=0)
    expected_output_tokens: int = Field(ge=1)
    """Of one answer with its thinking, for ``dry_run``."""
    dry_run: bool
    allow_random_weights: bool

    def refuses(self, use: Use) -> str | None:
        """Refuse tiles beside a reference, which would be shown another place."""
        if use == "tiles" and self.reference.kind != "none":
            return "its reference is a whole image (pipeline.reference.kind=none pipeline.align.motion=none goes)"
        return None

    def reads(self, dataset: str) -> dict[str, Path]:
        """Return the files whose contents are part of a run, by the setting that leads to them."""
        return {"prompts": texts_file(self.prompts, dataset=dataset)}

    def not_in_result(self) -> tuple[str, ...]:
        """Return the settings that change no answer, so that a replay elsewhere has the same result."""
        budget = ("pricing", "budget_usd", "expected_output_tokens", "dry_run")
        used = {
            ("answer", "coordinates", "refine"): self.answer != "label",
            ("mask_as",): self.answer == "masks",
            ("sam",): self.refine == "sam",
            ("image_score",): self.image_score != "share",
            ("backbone",): self.reference.kind == "nearest",
            ("reference.number",): self.reference.number > 1,
            ("allow_random_weights",): bool(self.networks().wanted),
        }
        idle = [name for names, is_used in used.items() if not is_used for name in names]
        return ("provider.access", "answers", "calls", "batch", *budget, *idle)

    def networks(self) -> Networks:
        """Return SAM where it draws the regions, and the feature network where references are chosen by it."""
        wanted: dict[str, WeightsRequest] = {}
        if self.refine == "sam":
            wanted |= self.sam.wanted()
        if self.reference.kind == "nearest":
            wanted |= self.backbone.wanted()
        return Networks(wanted=wanted, allow_random=self.allow_random_weights)

    def check(self, context: Context) -> None:
        """Raise ConfigError for settings that do not go together."""
        if self.refine == "sam" and self.answer != "boxes":
            raise ConfigError("pipeline.refine=sam draws masks for boxes: it needs pipeline.answer=boxes")
        if self.reference.kind == "none" and self.align.motion != "none":
            raise ConfigError(
                "pipeline.align.motion needs a reference: set it to none, or choose pipeline.reference.kind"
            )

    def plan(self, context: Context) -> Plan:
        """Plan label, image score and reasoning of every sample, and its regions where places are asked for.

        Answers are no stage: rate limits belong to a project, so jobs that share the work would gain nothing. Answers
        are asked for when the plan is carried out; that raises ``DryRun`` with ``dry_run``, and BenchmarkError where a
        quota, the budget or a dead service ended the run, which the same command goes on with.

        Raises:
            ConfigError: settings that do not go together, no key, or a model that cannot be asked.
            DataError: no reference.
        """
        provider = self._provider(context)
        sam = embedding_stage(context, self.sam, context.chosen) if self.refine == "sam" else None
        features = feature_stage(context, self.backbone) if self.reference.kind == "nearest" else None
        stages = tuple(stage for stage in (sam, features) if stage is not None)
        drafter = self._drafter(context, provider)
        return Plan(
            stages=dict.fromkeys(context.categories, stages) if stages else {},
            predict_all=lambda _: self._predict_all(context, provider, drafter, sam=sam, features=features),
        )

    def _predict_all(
        self, context: Context, provider: Provider, drafter: Drafter, *, sam: Stage | None, features: Stage | None
    ) -> Iterator[tuple[Sample, Prediction]]:
        if features is not None:
            drafter = replace(drafter, references=nearest(self.reference, context, features, self.image))
        with self._asker(context, provider) as asker, session.stopping(context, asker):
            for sample, records in self._records(context, drafter, asker):
                done = records[0].prepared
                if is_weak(aligned=bool(done.get("aligned")), correlation=done.get("correlation")):
                    context.tell(WEAK_NOTE)
                trace(context, sample, records, asker)
                refine = None if sam is None else partial(self._refined, context, sam, sample)
                prediction = voting.predict(records, provider, self._form, score=self.image_score, refine=refine)
                if sample.id not in context.failed:
                    yield sample, prediction

    def _refined(self, context: Context, stage: Stage, sample: Sample, placed: Placed) -> Placed:
        """Draw masks for boxes; an image that SAM cannot take is reported as failed."""
        for _, artifact in context.run(stage, [sample]):
            return refined(placed, self.sam.load(context, context.chosen), embedded(artifact))
        return placed

    @property
    def _form(self) -> Form:
        return Form(
            order=self.answer_order,
            answer=self.answer,
            coordinates=self.coordinates,
            mask_as=self.mask_as,
            confidence=self.image_score == "confidence",
            logprobs=self.image_score == "logprobs",
        )

    def _records(self, context: Context, drafter: Drafter, asker: Asker) -> Iterator[session.Answered]:
        unusable = partial(context.report, step="preparation")
        left = [sample for sample in context.samples if sample.id not in context.failed]
        items = drafter.all(context.images(left), unusable=unusable)
        if self.dry_run:
            raise session.estimate(items, asker, drafter, output_tokens=self.expected_output_tokens)
        if self.answers.mode != "replay" and self.batch.mode == "off":
            yield from session.ask(items, asker)
            return
        if self.answers.mode != "replay":
            self._batch(items, asker)
        left = [sample for sample in context.samples if sample.id not in context.failed]
        yield from session.replay(left, drafter, asker, unusable=unusable)

    def _batch(self, items: Iterable[tuple[Sample, list[Draft]]], asker: Asker) -> None:
        if not isinstance(asker.provider, Google) or self.answers.mode == "refresh":
            raise ConfigError("pipeline.batch.mode=jsonl needs the provider google and pipeline.answers.mode=auto")
        prices = load_prices(self.pricing)
        batches = Batches(
            provider=asker.provider,
            store=asker.store,
            dataset=asker.dataset,
            settings=self.batch,
            price=asker.price,
            factor=prices.batch if prices else 1.0,
            budget=asker.budget,
            max_output_tokens=asker.max_output_tokens,
        )
        asker.begin()
        batches.collect()
        if batches.send(draft for _, drafts in items for draft in drafts):
            batches.collect()
        asker.counted["answered"] += batches.answered
        asker.usd += batches.usd

    def _provider(self, context: Context) -> Provider:
        if isinstance(self.provider, GoogleSettings):
            return Google(self.provider, form=self._form)
        if isinstance(self.provider, LocalSettings):
            return LocalModel(self.provider, form=self._form, context=context)
        return OpenAICompatible(self.provider, form=self._form)

    def _drafter(self, context: Context, provider: Provider) -> Drafter:
        texts = load_texts(self.prompts, dataset=context.manifest.dataset)
        ask = self._form.request()
        prompts = {c: text_for(texts, self.prompt, custom=self.custom_prompt, category=c) for c in context.categories}
        return Drafter(
            provider=provider.facts(),
            texts=prompts if ask is None else {c: f"{text}\n{ask}" for c, text in prompts.items()},
            references=references(self.reference, context, self.image),
            shown=self.reference.shown,
            layout=self.layout,
            image=self.image,
            align=self.align,
            draws=self.draws,
            places=self._form.places,
        )

    def _asker(self, context: Context, provider: Provider) -> Asker:
        prices = load_prices(self.pricing)
        price = prices.of(provider.model) if prices else None
        if self.budget_usd is not None and price is None:
            raise ConfigError(
                f"pipeline.budget_usd needs a price of {provider.model}: add it to a list of "
                "benchmark/chat/prices and name the list with pipeline.pricing"
            )
        store = AnswerStore(self.answers.path)
        remove_leftovers(store.root)
        job = digest([context.manifest.fingerprint, provider.facts(), self.prompts, self.prompt, self.draws])
        ledger = Ledger(store.root / "ledger" / f"{provider.name}-{digest(provider.model)[:12]}.jsonl", job=job)
        return Asker(
            provider=provider,
            store=store,
            dataset=context.manifest.dataset,
            calls=self.calls,
            limiter=Limiter(self.calls, ledger),
            budget=Budget(self.budget_usd, ledger),
            price=price,
            max_output_tokens=self.provider.max_output_tokens,
            refresh=self.answers.mode == "refresh",
            allow_drift=self.allow_model_drift,
        )

    def tables(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """Return how the calls went, F2 under every reading of invalid answers, and the spread over draws."""
        return voting.tables(rows)

    def missing(self) -> tuple[str, str] | None:
        """Return what keeps this pipeline from running here and the command that fixes it; None: nothing known."""
        if isinstance(self.provider, LocalSettings):
            return None if self.provider.access.path else ("no local model", "pipeline.provider.access.path=FOLDER")
        key_env = self.provider.access.key_env
        if isinstance(self.provider, GoogleSettings):
            names = (key_env,) if key_env else ("GOOGLE_API_KEY", "GEMINI_API_KEY")
            keyless = self.provider.backend == "enterprise"  # its credentials can come from many places
        else:
            names, keyless = (key_env or "",), key_env is None
        asks = self.answers.mode != "replay"
        if asks and (keyless or any(os.environ.get(name) for name in names)):
            return None
        if AnswerStore(self.answers.path).holds_any(self.provider.model):
            return None
        fix = "python -m benchmark answers import FILE"
        if not asks:
            return f"no stored answers of {self.provider.model}", fix
        return f"no key and no stored answers of {self.provider.model}", f"export {names[-1]}=…"
