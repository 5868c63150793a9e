"""``networks=toy`` and ``networks=random``: a pipeline without weights, its networks tiny, or of their full size.

Tiny ones try the whole way; those of full size have the parameters and the speed of the real ones, and predict nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmark.core.errors import ConfigError
from benchmark.core.settings import Settings

KEY = "networks"
Compose = Callable[[Sequence[str]], tuple[dict[str, Any], dict[str, str]]]


def with_toys(words: Sequence[str], compose: Compose) -> list[str]:
    """Put settings in the place of ``networks=toy`` or ``networks=random``; words that come later change them.

    Args:
        words: a command line as it is given; they name one pipeline.
        compose: returns settings and choices of words without ``networks``.

    Raises:
        ConfigError: another value, a sweep over pipelines, or a model that nothing tiny can replace.
    """
    asked = [word for word in words if word.partition("=")[0] == KEY]
    if not asked:
        return list(words)
    kind = asked[-1].partition("=")[2]
    if len({*asked}) > 1 or kind not in ("toy", "random"):
        raise ConfigError(
            f"{asked[-1]}: write {KEY}=toy (tiny) or {KEY}=random (of full size), or leave it out for the networks of "
            "the pipeline's option"
        )
    from benchmark.config.options import config_folders, search_path
    from benchmark.config.schema import pipeline_settings

    others = [word for word in words if word not in asked]
    keys = {word: word.partition("=")[0].lstrip("+") for word in others}
    chosen = [word for word, key in keys.items() if key in ("pipeline", "experiment") or "@pipeline." in key]
    places = [key.partition("@")[2] for key in keys.values() if "@pipeline." in key]
    if any("," in word for word in chosen):
        raise ConfigError(f"{KEY}={kind} goes with one pipeline, not with a sweep over several")
    # What an option of a part must be told, such as the model's name.
    chosen += [word for word, key in keys.items() if any(key.startswith(f"{place}.") for place in places)]
    own = config_folders(others)[1:]
    composed, choices = compose([*chosen, *([search_path(own)] if own else [])])
    pipeline = pipeline_settings(composed["pipeline"])
    if kind == "random":
        return [*random_words(pipeline), *others]
    for place, part in _parts(pipeline, "pipeline"):
        if part.toy is None:
            own_words = "give it another option" if "." in place else f"pipeline={choices['pipeline']} runs as it is"
            raise ConfigError(f"{KEY}=toy: the model of {place} has no tiny stand-in; {own_words}")
    return [*toy_words(pipeline), *others]


def toy_words(pipeline: Settings) -> list[str]:
    """Return the overrides that make every network of a pipeline tiny and random; a whole outdoes its parts."""
    words: dict[str, str] = {}
    for place, part in _parts(pipeline, "pipeline"):
        if part.toy_option:
            words[f"{part.toy_option}@{place}"] = "toy"
        words |= {f"{place}.{key}": value for key, value in (part.toy or {}).items()}
    return _allowed(words, pipeline)


def random_words(pipeline: Settings) -> list[str]:
    """Return the overrides that give every network of a pipeline random weights and leave its size as it is."""
    words = {f"{place}.weights": "random" for place, part in _parts(pipeline, "pipeline") if _has(part, "weights")}
    return _allowed(words, pipeline)


def _allowed(words: dict[str, str], pipeline: Settings) -> list[str]:
    if words and _has(pipeline, "allow_random_weights"):
        words["pipeline.allow_random_weights"] = "true"
    return [f"{key}={value}" for key, value in words.items()]


def _has(part: Settings, name: str) -> bool:
    return name in type(part).model_fields


def _parts(settings: Settings, place: str) -> Iterator[tuple[str, Settings]]:
    """All groups of settings below one, and at last itself, each with its dotted key."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from _parts(value, f"{place}.{name}")
    yield place, settings
