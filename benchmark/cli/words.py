"""Words of a command line: switches as bare words, settings as ``key=value``, refusals that name what comes near."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from benchmark.core.addresses import place
from benchmark.core.commands import fail
from benchmark.core.errors import ConfigError, near_matches
from benchmark.core.resources import CHECKOUT
from benchmark.core.settings import expanded


class Command(TyperCommand):
    """A command whose options may be given without dashes: ``dry_run`` for ``--dry-run``, ``out=F`` for ``--out F``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Put dashes before the words that name an option; the value that follows one stays as it is."""
        options = {str(p.name): p for p in self.params if p.param_type_name == "option"}
        takes_value = {flag for p in options.values() if not p.is_flag for flag in p.opts}  # type: ignore[attr-defined]
        dashed: list[str] = []
        for at, word in enumerate(args):
            key, equals, _ = word.partition("=")
            known = options.get(key)
            if known is not None and (at == 0 or args[at - 1] not in takes_value):
                named = bool(equals) != bool(known.is_flag)  # type: ignore[attr-defined]
                dashed.append(f"{known.opts[0]}{word[len(key) :]}" if named else word)
            else:
                dashed.append(word)
        return super().parse_args(ctx, dashed)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Call the command; Ctrl-C ends it with one message."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            return fail("interrupted", status=130)


def path(value: str) -> Path:
    """Read a word that names a file or folder, with ``~`` and variables filled in."""
    try:
        return expanded(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def folder_or_address(value: str) -> str | Path:
    """Read a word that names a folder (a ``Path``) or an address such as ``s3://bucket/prefix`` (a ``str``)."""
    try:
        return place(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def results_folder(value: str) -> Path:
    """Read a word that names a results folder; what lies at an address is copied into the cache first."""
    found = folder_or_address(value)
    if isinstance(found, Path):
        return found
    from benchmark.results.at_address import copied

    return copied(found)


RunsFolder = Annotated[Path, typer.Option(parser=path, envvar="RESULTS_ROOT", help="Where runs lie.")]
ResultsFolder = Annotated[
    Path, typer.Option(parser=results_folder, envvar="RESULTS_ROOT", help="Where runs lie: a folder or an address.")
]


def settings_and_names(words: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Part the ``key=value`` words from the others."""
    given = list(words or ())
    return [w for w in given if "=" in w], [w for w in given if "=" not in w]


def number(key: str, text: str) -> float:
    """Read ``key=text``; raises ConfigError where the text is no number."""
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{key}={text}: not a number") from None


def refuse(words: Iterable[str], known: Iterable[str], *, what: str) -> None:
    """Raise ConfigError for the first word that is not ``known``, naming those that come near."""
    names = list(known)
    for word in words:
        if word not in names:
            raise ConfigError(f"{word!r} is not {what}; {near_matches(word, names)}")


def checkout(what: str) -> Path:
    """Return the folder of the checkout; raises ConfigError for ``what`` where there is none."""
    if CHECKOUT is None:
        raise ConfigError(f"{what} needs a checkout of the repository; this package was installed from a wheel")
    return CHECKOUT
