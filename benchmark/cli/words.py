"""Words of a command line: switches as bare words, settings as ``key=value``, refusals that name what comes near."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from typer.core import TyperCommand

from benchmark.core.addresses import place
from benchmark.core.commands import fail
from benchmark.core.errors import ConfigError, near_matches
from benchmark.core.resources import CHECKOUT
from benchmark.core.settings import expanded

NO_NUMBERS = {"Input should be a valid integer": "is no whole number", "Input should be a valid number": "is no number"}
"""How Typer begins to say that a value is no number, and how that is said here."""


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
            is_value = at > 0 and args[at - 1] in takes_value
            if known is not None and not is_value:
                named = bool(equals) != bool(known.is_flag)  # type: ignore[attr-defined]
                dashed.append(f"{known.opts[0]}{word[len(key) :]}" if named else word)
            else:
                if equals and not is_value:
                    self._refuse_unknown(ctx, word, list(options))
                dashed.append(word)
        ctx.allow_extra_args = True
        try:
            left = super().parse_args(ctx, list(dashed))
        except typer.BadParameter as error:
            if error.param is None:
                raise
            ctx.fail(self._explain(error, _value_of(error.param, dashed)))
        if left:
            self._refuse_extra(ctx, left[0], args, options)
        return left

    def _refuse_unknown(self, ctx: typer.Context, word: str, options: Sequence[str]) -> None:
        """Refuse ``wo=3``, but no path (``./a=b``, or what is there), and no setting of a command that reads such."""
        key = word.partition("=")[0]
        reads_settings = any("=" in (p.metavar or "") for p in self.params if p.param_type_name == "argument")
        is_near = bool(difflib.get_close_matches(key, options, n=1, cutoff=0.75))
        if re.fullmatch(r"[A-Za-z_]\w*", key) and (is_near or not reads_settings) and not Path(word).exists():
            ctx.fail(f"{word}: {ctx.info_name} has no {key}=…; {near_matches(key, options)}")

    def _refuse_extra(self, ctx: typer.Context, word: str, args: Sequence[str], options: Iterable[str]) -> None:
        """Refuse a word that nothing takes; behind ``key=value`` it is the rest of a value with a blank."""
        at = list(args).index(word) if word in args else 0
        before = args[at - 1] if at else ""
        if "=" in before and "=" not in word:
            quotes = f'a value with a blank takes quotes: "{before} {word}", and with make ARGS=\'"{before} {word}"\''
            ctx.fail(f"{word!r} is one word too many; {quotes}")
        ctx.fail(f"{word!r} is one word too many for {ctx.info_name}; {near_matches(word, options)}")

    def _explain(self, error: typer.BadParameter, given: str | None) -> str:
        """Say of which word an error is, as people write it, and what the word means."""
        param = error.param
        assert param is not None
        is_option = param.param_type_name == "option"
        name = str(param.name) if is_option else re.split(r"[ .]", param.metavar or str(param.name).upper())[0]
        means = str(getattr(param, "help", None) or "").partition(". ")[0].rstrip(".")
        if type(error).__name__ != "MissingParameter":
            told = error.message.removeprefix("Value error, ").rstrip(".")
            for begins, plain in NO_NUMBERS.items():
                told = plain if told.startswith(begins) else told
            return f"{name}={given or '…'}: {told}" if is_option else f"{name}: {told}"
        choices = " or ".join(f"{name}={choice}" for choice in _choices(param.type_descriptor.annotation))
        missing = f"{choices or f'{name}=…'} is not given" if is_option else f"{name} is not given"
        _, has_example, example = (self.help or "").partition("\n")[0].rstrip(".").rpartition(": ")
        return f"{missing}{f' ({means})' if means else ''}{f'; write {example}' if has_example else ''}"

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Call the command; Ctrl-C ends it with one message."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            return fail("interrupted", status=130)


def _choices(annotation: Any) -> tuple[str, ...]:
    """Return the words of a ``Literal``, alone or in a union."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(choice for part in get_args(annotation) for choice in _choices(part))


def _value_of(param: Any, dashed: Sequence[str]) -> str | None:
    """Return what was given for an option, if it was."""
    for before, word in zip(("", *dashed), dashed, strict=False):
        flag, equals, value = word.partition("=")
        if equals and flag in param.opts:
            return value
        if before in param.opts:
            return word
    return None


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


def written_below(results_root: Path) -> Path:
    """Return the folder below which a command writes: ``results`` for the copy of what lies at an address."""
    from benchmark.results.at_address import is_copy

    return Path("results") if is_copy(results_root) else results_root


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
