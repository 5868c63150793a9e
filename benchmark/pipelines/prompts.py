"""The texts that a pipeline asks about, for all categories or for single ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from benchmark.core.errors import ConfigError, near_matches
from benchmark.core.samples import Manifest
from benchmark.core.settings import Settings

if TYPE_CHECKING:
    from benchmark.stages.context import Context
    from benchmark.stages.stage import Stage


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

    def stages(self, context: Context, make: Callable[[tuple[str, ...]], Stage]) -> dict[str, tuple[Stage, ...]]:
        """Return the stage of every category of a run; categories that share their texts share it.

        Args:
            context: of the run.
            make: returns the stage for some texts.
        """
        made = cache(make)
        return {category: (made(self.of(category)),) for category in context.categories}


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
