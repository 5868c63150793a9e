"""What each generation of Gemini accepts; a setting that a model would ignore is refused instead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from benchmark.core.errors import ConfigError
from benchmark.core.settings import Settings

Level = Literal["MINIMAL", "LOW", "MEDIUM", "HIGH"]


class Sampling(Settings):
    """How the answer is drawn; null: not sent, the service's default."""

    temperature: float | None
    top_p: float | None
    top_k: int | None
    seed: int | None

    def given(self) -> dict[str, float | int]:
        """Return the settings that are sent."""
        return {k: v for k, v in self.model_dump().items() if v is not None}


class Thinking(Settings):
    """How long the model thinks; null: not sent, the service's default."""

    level: Level | None
    budget: int | None
    """Tokens."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One generation of models."""

    name: str
    models: str
    """Regular expression of its model names."""
    sampling: bool
    """Whether temperature, top_p and top_k do anything."""
    levels: tuple[Level, ...]
    budget: bool
    """Whether thinking is set in tokens."""


PROFILES = (
    Profile(name="2.5", models=r"gemini-2\.5-", sampling=True, levels=(), budget=True),
    Profile(
        name="3.6",
        models=r"gemini-(3\.[6-9]|[4-9])|gemini-3\.5-flash-lite",
        sampling=False,
        levels=("LOW", "MEDIUM", "HIGH"),
        budget=False,
    ),
    Profile(name="3", models=r"gemini-3", sampling=True, levels=("MINIMAL", "LOW", "MEDIUM", "HIGH"), budget=False),
)


def profile_of(model: str, name: str) -> Profile:
    """Return the profile of a model.

    Args:
        model: as the API names it.
        name: a profile's name, or ``auto`` to go by the model's name.

    Raises:
        ConfigError: an alias, which means another model next month, or a name that fits no profile.
    """
    if model.endswith("-latest"):
        raise ConfigError(f"pipeline.provider.model={model} is an alias that moves; name a fixed model")
    for profile in PROFILES:
        if profile.name == name or (name == "auto" and re.match(profile.models, model)):
            return profile
    raise ConfigError(
        f"pipeline.provider.model={model} fits no profile; "
        f"give pipeline.provider.profile as one of {', '.join(p.name for p in PROFILES)}"
    )


def check(profile: Profile, model: str, sampling: Sampling, thinking: Thinking) -> None:
    """Refuse settings that the generation ignores or rejects.

    Raises:
        ConfigError: naming the key and what to use instead.
    """
    ignored = [] if profile.sampling else [k for k in ("temperature", "top_p", "top_k") if k in sampling.given()]
    if ignored:
        raise ConfigError(
            f"{model} ignores pipeline.provider.sampling.{ignored[0]}: leave it null, and ask several times "
            "(pipeline.draws) to see how much answers vary"
        )
    if thinking.level is not None and thinking.level not in profile.levels:
        instead = f"use one of {', '.join(profile.levels)}" if profile.levels else "use thinking.budget, in tokens"
        raise ConfigError(f"{model} does not take pipeline.provider.thinking.level={thinking.level}; {instead}")
    if thinking.budget is not None and not profile.budget:
        raise ConfigError(f"{model} does not take pipeline.provider.thinking.budget; use thinking.level")
