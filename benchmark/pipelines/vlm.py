"""A vision-language model as classifier: a prompt, an optional defect-free image, and every answer kept.

Follows arXiv 2509.20479, section 4.2, for Gemini; the same prompt, answer and scoring path serves any other model.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from benchmark.data.align import AlignSettings
from benchmark.errors import BenchmarkError, ConfigError, DataError
from benchmark.samples import Prediction, Sample
from benchmark.settings import Settings
from benchmark.vlm import session, voting
from benchmark.vlm.access import Calls
from benchmark.vlm.answers import AnswerStore
from benchmark.vlm.asking import Asker
from benchmark.vlm.batching import Batches, BatchSettings
from benchmark.vlm.drafts import Drafter
from benchmark.vlm.ledger import Ledger
from benchmark.vlm.limits import Budget, Limiter, Stop
from benchmark.vlm.prepare import ImageSettings, ReferenceSettings, references
from benchmark.vlm.pricing import load_prices
from benchmark.vlm.prompting import Layout, load_texts, text_for, texts_file
from benchmark.vlm.providers.base import Provider
from benchmark.vlm.providers.google import Google, GoogleSettings
from benchmark.vlm.providers.hf_local import LocalModel, LocalSettings
from benchmark.vlm.providers.openai_compatible import OpenAICompatible
from benchmark.vlm.question import Draft, digest
from benchmark.vlm.settings import AnswersSettings, ProviderSettings
from benchmark.vlm.verdict import Order

if TYPE_CHECKING:
    from benchmark.stages import Context, Stage


class VisionLanguage(Settings):
    """The pipeline options ``gemini``, ``gemini_2_5_pro``, ``vlm_endpoint`` and ``vlm_local``.

    Its answers live in a store of their own, as they were paid for and cannot be had again: emptying the
    stage store does not touch them.
    """

    not_in_result: ClassVar[tuple[str, ...]] = (
        "provider.access",
        "answers",
        "calls",
        "batch",
        "pricing",
        "budget_usd",
        "expected_output_tokens",
        "dry_run",
    )
    """Settings that change no answer, so that a replay elsewhere has the same result."""

    provider: ProviderSettings
    prompts: str
    """Name below conf/prompts or path of a YAML file; ``{dataset}`` stands for the dataset's name."""
    prompt: Literal["basic", "refined", "custom"]
    custom_prompt: str | None
    """``{category}`` stands for the category."""
    answer_order: Order
    layout: Layout
    reference: ReferenceSettings
    align: AlignSettings
    image: ImageSettings
    draws: int = Field(ge=1)
    """Times that every question is asked; the majority counts."""
    allow_model_drift: bool
    answers: AnswersSettings
    calls: Calls
    batch: BatchSettings
    pricing: str | None
    """Price list of conf/pricing; null: costs are not known."""
    budget_usd: float | None = Field(gt=0)
    expected_output_tokens: int = Field(ge=1)
    """Of one answer with its thinking, for ``dry_run``."""
    dry_run: bool

    def reads(self, dataset: str) -> dict[str, Path]:
        """Return the files whose contents are part of a run, by the setting that leads to them."""
        return {"prompts": texts_file(self.prompts, dataset=dataset)}

    def stages(self, context: Context) -> Sequence[Stage]:
        """Return no stage: rate limits belong to a project, so jobs that share the work would gain nothing."""
        return ()

    def predict(self, context: Context) -> Iterator[tuple[Sample, Prediction]]:
        """Yield label, share of defective answers and reasoning of every sample, in order.

        Raises:
            ConfigError: settings that do not go together, no key, or a model that cannot be asked.
            DataError: no reference, or no stored answer in a replay.
            BenchmarkError: a quota, the budget or a dead service ended the run; the same command goes on.
            DryRun: instead of any answer, with ``dry_run``.
        """
        provider = self._provider(context)
        drafter = self._drafter(context, provider)
        with self._asker(context, provider) as asker:
            try:
                for sample, records in self._records(context, drafter, asker):
                    yield sample, voting.predict(records, provider)
            except Stop as stop:
                kept = asker.counted["reused"] + asker.counted["answered"]
                raise BenchmarkError(
                    f"stopped: {stop}. {kept} answers about {len(context.samples)} images are kept; "
                    "the same command goes on from there"
                ) from None
            finally:
                context.counters.update({f"vlm/{name}": value for name, value in asker.counters().items()})

    def _records(self, context: Context, drafter: Drafter, asker: Asker) -> Iterator[session.Answered]:
        def unusable(sample: Sample, error: DataError) -> None:
            if context.on_error == "stop":
                raise error
            context.failed[sample.id] = str(error)

        items = drafter.all(context.images(), unusable=unusable)
        if self.dry_run:
            raise session.estimate(items, asker, output_tokens=self.expected_output_tokens)
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
            asker.provider,
            asker.store,
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
            return Google(self.provider, order=self.answer_order)
        if isinstance(self.provider, LocalSettings):
            return LocalModel(self.provider, order=self.answer_order, context=context)
        return OpenAICompatible(self.provider, order=self.answer_order)

    def _drafter(self, context: Context, provider: Provider) -> Drafter:
        texts = load_texts(self.prompts, dataset=context.manifest.dataset)
        categories = dict.fromkeys(sample.category for sample in context.samples)
        if self.reference.kind == "none" and self.align.motion != "none":
            raise ConfigError(
                "pipeline.align.motion needs a reference: set it to none, or choose pipeline.reference.kind"
            )
        return Drafter(
            provider=provider.facts(),
            texts={c: text_for(texts, self.prompt, custom=self.custom_prompt, category=c) for c in categories},
            references=references(self.reference, context.manifest, categories, self.image),
            shown=self.reference.shown,
            layout=self.layout,
            image=self.image,
            align=self.align,
            draws=self.draws,
        )

    def _asker(self, context: Context, provider: Provider) -> Asker:
        prices = load_prices(self.pricing)
        price = prices.of(provider.model) if prices else None
        if self.budget_usd is not None and price is None:
            raise ConfigError(
                f"pipeline.budget_usd needs a price of {provider.model}: add it to a list of conf/pricing and name the "
                "list with pipeline.pricing"
            )
        store = AnswerStore(self.answers.path)
        job = digest([context.manifest.fingerprint, provider.facts(), self.prompts, self.prompt, self.draws])
        ledger = Ledger(store.root / "ledger" / f"{provider.name}-{digest(provider.model)[:12]}.jsonl", job=job)
        return Asker(
            provider,
            store,
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
        """Return what keeps this pipeline from running here and the command that mends it; None: nothing known."""
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
        mend = "python -m benchmark answers import FILE"
        if not asks:
            return f"no stored answers of {self.provider.model}", mend
        return f"no key and no stored answers of {self.provider.model}", f"export {names[-1]}=…"
