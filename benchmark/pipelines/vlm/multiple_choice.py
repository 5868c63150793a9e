"""A vision-language model in an examination: the data's own multiple-choice questions about every image (MMAD)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from benchmark.chat.providers.base import Provider
from benchmark.chat.providers.google import Google, GoogleSettings
from benchmark.chat.providers.hf_local import LocalModel, LocalSettings
from benchmark.chat.providers.openai_compatible import OpenAICompatible
from benchmark.config.pipeline import Plan, Use
from benchmark.core.errors import ConfigError, DataError
from benchmark.core.samples import Prediction, Sample
from benchmark.core.text import counted
from benchmark.pipelines.vlm import choices, session
from benchmark.pipelines.vlm.pipeline import VisionLanguage
from benchmark.pipelines.vlm.prompting import load_texts, text_for
from benchmark.pipelines.vlm.tracing import trace

if TYPE_CHECKING:
    from benchmark.stages.context import Context


class AnswerChoices(VisionLanguage):
    """The pipeline options ``multiple_choice``, ``multiple_choice_endpoint`` and ``multiple_choice_local``.

    Each question is a call of its own, through the same client, store, limits and budget as those of ``gemini``; the
    answer is plain text, of which the letter is read. ``prompts`` are the words before every question.
    """

    shots: int = Field(ge=0)
    """Defect-free images that are shown before the image, from the list that the data has beside it."""

    def refuses(self, use: Use) -> str | None:
        """Refuse images that nothing is asked about, and parts of images."""
        return "its questions are about whole images of a data set that has some (dataset=mmad)"

    def not_in_result(self) -> tuple[str, ...]:
        """Return the settings that change no answer; the form of an answer is none, as it is plain text."""
        form = () if isinstance(self.provider, LocalSettings) else ("provider.response",)
        return (*super().not_in_result(), *form)

    def check(self, context: Context) -> None:
        """Raise ConfigError or DataError for settings that do not fit, and data without questions or templates."""
        if self.reference.kind != "none" or self.align.motion != "none":
            raise ConfigError(
                "pipeline.reference.kind and pipeline.align.motion must be none: what is shown beside an image comes "
                "with its questions (pipeline.shots)"
            )
        if self.answer != "label" or self.refine != "none" or self.image_score != "share":
            raise ConfigError(
                "pipeline.answer, refine and image_score are of gemini and vlm_…: here a letter is answered"
            )
        bare = [s for s in context.samples if s.questions is None]
        if bare:
            raise ConfigError(
                f"{bare[0].id} of dataset {context.manifest.dataset!r} has no questions; dataset=mmad has some"
            )
        known = {s.id for s in context.manifest.samples}
        for sample in context.samples:
            templates = sample.questions.templates if sample.questions else ()
            if len(templates) < self.shots or not known.issuperset(templates[: self.shots]):
                raise DataError(
                    f"{sample.image}: "
                    f"{counted(len(templates), 'defect-free image is', 'defect-free images are')} listed "
                    f"beside it, pipeline.shots="
                    f"{self.shots} needs more; choose dataset.templates=random or similar, or lower pipeline.shots"
                )

    def plan(self, context: Context) -> Plan:
        """Plan the choices of every sample; raises as that of ``VisionLanguage``."""
        provider = self._plain(context)
        texts = load_texts(self.prompts, dataset=context.manifest.dataset)
        drafter = choices.ChoiceDrafter(
            provider=provider.facts(),
            texts={c: text_for(texts, self.prompt, custom=self.custom_prompt, category=c) for c in context.categories},
            order=self.answer_order,
            references=choices.templates(context.manifest.samples, self.shots, self.image),
            shown=self.shots > 0,
            layout=self.layout,
            image=self.image,
            align=self.align,
            draws=self.draws,
        )
        return Plan(predict_all=partial(self._answered, context, provider, drafter))

    def _answered(
        self, context: Context, provider: Provider, drafter: choices.ChoiceDrafter, _: object
    ) -> Iterator[tuple[Sample, Prediction]]:
        with self._asker(context, provider) as asker, session.stopping(context, asker):
            for sample, records in self._records(context, drafter, asker):
                trace(context, sample, records, asker)
                yield sample, choices.predict(sample, records, provider)

    def _plain(self, context: Context) -> Provider:
        if isinstance(self.provider, GoogleSettings):
            return Google(self.provider, form=None)
        if isinstance(self.provider, LocalSettings):
            return LocalModel(self.provider, form=None, context=context)
        return OpenAICompatible(self.provider, form=None)

    def tables(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """Return how the calls went, and the answers to each task."""
        return choices.tables(rows)
