"""Texts of normal and damaged states of a category, and how a map on a patch grid is drawn over an image."""

from __future__ import annotations

from pydantic import Field, field_validator

from benchmark.core.samples import Manifest
from benchmark.core.settings import Settings
from benchmark.pipelines.prompts import check_categories


class States(Settings):
    """Every state of a category in every template: the prompt ensemble of WinCLIP."""

    templates: tuple[str, ...] = Field(min_length=1)
    """With ``{}`` for the state."""
    normal: tuple[str, ...] = Field(min_length=1)
    """With ``{}`` for the name of the category."""
    abnormal: tuple[str, ...] = Field(min_length=1)
    names: dict[str, str]
    """Category to what it is called in texts; others are called by their own names."""

    @field_validator("templates", "normal", "abnormal")
    @classmethod
    def _have_one_gap(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [text for text in value if text.count("{}") != 1]
        if wrong:
            raise ValueError(f"{wrong[0]!r} must hold {{}} once")
        return value

    def check(self, manifest: Manifest) -> None:
        """Refuse names for a category that the dataset does not have.

        Raises:
            ConfigError: naming the category and near ones.
        """
        check_categories(self.names, manifest, key="pipeline.states.names")

    def prompts(self, category: str) -> tuple[list[str], list[str]]:
        """Return the normal and the abnormal prompts, state by state."""
        name = self.names.get(category, category)

        def ensemble(states: tuple[str, ...]) -> list[str]:
            return [template.format(state.format(name)) for state in states for template in self.templates]

        return ensemble(self.normal), ensemble(self.abnormal)
