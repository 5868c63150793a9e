"""The texts that a pipeline asks about, for all categories or for single ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from pydantic import Field, field_validator

from benchmark.errors import ConfigError, near_matches
from benchmark.samples import Manifest, Sample
from benchmark.settings import Settings


class Prompts(Settings):
    """Texts for every category, with others for some."""

    default: tuple[str, ...] = Field(min_length=1)
    by_category: dict[str, tuple[str, ...]]
    """Category to its own texts, in place of the default ones."""

    @field_validator("by_category")
    @classmethod
    def _none_is_empty(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        empty = [category for category, texts in value.items() if not texts]
        if empty:
            raise ValueError(f"no text for {', '.join(empty)}; leave the category out to use the default")
        return value

    def of(self, category: str) -> tuple[str, ...]:
        """Return the texts for a category."""
        return self.by_category.get(category, self.default)

    def check(self, manifest: Manifest) -> None:
        """Refuse texts for a category that the dataset does not have.

        Raises:
            ConfigError: naming the category and near ones.
        """
        check_categories(self.by_category, manifest, key="pipeline.prompts.by_category")

    def runs(self, samples: Sequence[Sample]) -> Iterator[tuple[tuple[str, ...], list[Sample]]]:
        """Cut the samples, in their order, into stretches that share their texts."""
        for texts, part in groupby(samples, key=lambda sample: self.of(sample.category)):
            yield texts, list(part)

    def distinct(self, samples: Sequence[Sample]) -> tuple[tuple[str, ...], ...]:
        """Return every set of texts that the samples need, once each."""
        return tuple(dict.fromkeys(self.of(sample.category) for sample in samples))


def check_categories(named: Iterable[str], manifest: Manifest, *, key: str) -> None:
    """Refuse a setting that names a category which the dataset does not have.

    Raises:
        ConfigError: naming the key, the category and near ones.
    """
    for category in named:
        if category not in manifest.categories:
            raise ConfigError(
                f"{key} has {category!r}, which {manifest.dataset} has not; "
                f"{near_matches(category, manifest.categories)}"
            )
