"""Words of the command line made readable for Hydra: a value that its grammar refuses is the text that it shows."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from functools import lru_cache

from benchmark.core.errors import ConfigError
from benchmark.core.secrets import redact
from benchmark.core.settings import expanded

_WORD = re.compile(r"(?P<key>\+{0,2}[\w$./@:-]+)=(?P<value>.*)", re.DOTALL)
_GRAMMARS = re.compile(r"[(\['\"]|\{(?:\s*\}$|[^{}]*:)")
"""How a list, a mapping and a quoted text begin; ``{stem}.npy`` is none of them."""
LISTS = ("run.export",)
"""Settings that are lists, and never points of a sweep: they are read without brackets, too."""
_OPEN, _CLOSE, _QUOTES = "([{", ")]}", "'\""


def readable(words: Sequence[str]) -> list[str]:
    """Return the words of a command line as Hydra can read them; options and what it reads already stay as they are.

    * A value, or one of several with commas between them, that Hydra's grammar refuses (``~/parts``, ``größe``,
      ``a=b``, ``a(1)``, ``it's``) is put in quotes: it is a text and means what it shows. Lists, mappings and what is
      quoted already are left to the grammar; a name in braces, as in ``{stem}.npy``, is text.
    * A mapping for a dotted key may have keys that the option does not have yet, as those of ``by_category``; which
      ones there may be, the settings decide.
    """
    folders = ("--config-dir", "-cd")
    pairs = zip(("", *words), words, strict=False)
    return [_folder(word) if before in folders else _readable(word) for before, word in pairs]


def without_secrets(words: Sequence[str]) -> list[str]:
    """Return the words with every value that holds a password or key moved into a variable of the environment.

    Hydra writes the words and the settings of a sweep into files and hands them to other processes, as we write them
    into results: they then name the variable, ``tracking.uri=${oc.env:BENCH_TRACKING_URI}``.
    """
    return [_secretless(word) for word in words]


def _secretless(word: str) -> str:
    key, equals, value = word.partition("=")
    if not equals or word.startswith(("-", "~")) or redact(word) == word or "${" in value:
        return word
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import QuotedString

    read = OverridesParser.create().parse_override(word)._value if is_read(word) else None
    text = read.text if isinstance(read, QuotedString) else read
    if not isinstance(text, str):
        return word
    name = "BENCH_" + re.sub(r"\W+", "_", key.strip("+")).upper()
    os.environ[name] = text
    return f"{key}=${{oc.env:{name}}}"


def quoted(text: str) -> str:
    """Return a text as a quoted value of Hydra's grammar."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text=text, quote=Quote.single).with_quotes()


def quoted_word(key: str, text: str) -> str:
    """Return how a text is given in a shell, with quotes that reach the grammar."""
    return shlex.quote(f"{key}={quoted(text)}")


@lru_cache(maxsize=1024)
def is_read(word: str) -> bool:
    """Say whether Hydra's grammar can read an override."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    return True


def _folder(word: str) -> str:
    try:
        return str(expanded(word))
    except ValueError as error:
        raise ConfigError(f"--config-dir {word}: {error}") from None


def _readable(word: str) -> str:
    if word.startswith("--config-dir="):
        option, _, folder = word.partition("=")
        return f"{option}={_folder(folder)}"
    if word.startswith(("-", "~")):
        return word
    parts = _WORD.fullmatch(word)
    if parts is None:
        return word
    key, value = parts.groups()
    if key in LISTS and not value.startswith("["):
        return f"{key}=[{value}]"
    if not is_read(word):
        each = _at_commas(value)
        value = ",".join(one if _GRAMMARS.match(one) or is_read(f"{key}={one}") else quoted(one) for one in each)
    adds = value.lstrip().startswith("{") and "." in key and not key.startswith(("+", "hydra."))
    return f"{'++' if adds else ''}{key}={value}"


def _at_commas(value: str) -> Iterator[str]:
    """Split at the commas that stand outside of quotes and brackets; a bracket that is not closed is a character."""
    depth, quote, start = 0, "", 0
    for at, character in enumerate(value):
        if quote:
            quote = "" if character == quote else quote
        elif character in _QUOTES and not value[start:at].strip():
            quote = character
        elif character in _OPEN and _CLOSE[_OPEN.index(character)] in value[at:]:
            depth += 1
        elif character in _CLOSE:
            depth = max(0, depth - 1)
        elif character == "," and not depth:
            yield value[start:at]
            start = at + 1
    yield value[start:]
