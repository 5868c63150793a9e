"""Keys and passwords go nowhere: everything that is written, printed, logged or sent passes through here.

Two kinds are known. A key that the program was given by name (``api_key``, ``KEY_VARIABLES``) is known to the letter. A
credential in an address or behind a word such as ``password=`` is known by its form.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from types import TracebackType
from typing import Any

from benchmark.core.terminal import printable
from benchmark.core.text import each_text, encodable

HIDDEN = "***"
KEY_VARIABLES = (
    *("GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENAI_API_KEY", "MLFLOW_TRACKING_PASSWORD"),
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),  # of stores at an address
    *("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_CLIENT_SECRET"),
)
"""Variables whose values are secret, whether they are used or not."""
SHORTEST = 4
"""A shorter value is a placeholder (Ollama takes any word as key) and would mangle texts."""
_known: set[str] = set()

_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s&\"']+)"
_FORMS = re.compile(
    # user:password@ of an address; in a password may be any character but spaces and quotes
    r"(?<=://)(?:[^/@:\s\"'<>]*:[^\s\"'<>]*|[^/@\s\"'<>]*)(?=@)"
    # password=…, api_key=…, ?sig=…
    rf"|(?P<name>(?:pass(?:word|wd|phrase)?|pwd|secret|token|key|(?<![a-z])sig|signature|credentials?)=){_VALUE}"
    # "password": "…" in JSON, Authorization: Bearer …
    rf"|(?P<field>\b(?:password|passwd|secret|api_?key|access_?token)[\"']?\s*:\s*)(?:\"[^\"]*\"|'[^']*'|[^\s\"',}}]+)"
    r"|(?P<scheme>\bbearer\s+|\bauthorization[\"']?\s*:\s*[\"']?(?:basic\s+)?)(?!bearer)[^\s\"']+",
    re.IGNORECASE,
)


def know(value: str) -> None:
    """Remember a key, so that it is hidden wherever it turns up."""
    _known.add(value)


def without_keys(text: str) -> str:
    """Replace the known keys by ``***`` and nothing else: an answer's words only look like a password."""
    named = {os.environ.get(name, "").strip() for name in KEY_VARIABLES} | _known
    for value in sorted((v for v in named if len(v) >= SHORTEST), key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return text


def redact(text: str) -> str:
    """Replace known keys, and what has the form of a credential, by ``***``.

    Those forms are user and password of an address, values behind ``password=``, ``…token=``, ``…key=``, ``sig=`` and
    their like, the same as fields of JSON, and the words of an ``Authorization`` header. What cannot be encoded is
    escaped, so that the text can be written and printed (``benchmark.core.text``).
    """
    return _FORMS.sub(_hide, without_keys(encodable(text)))


def _hide(match: re.Match[str]) -> str:
    kept = match["name"] or match["field"] or match["scheme"] or ""
    return kept + HIDDEN


def redact_values(value: Any) -> Any:
    """Return JSON values (mappings, lists, texts, numbers) with ``redact`` on every text, those of keys included."""
    return each_text(value, redact)


def redact_outputs() -> None:
    """Redact in this process every record of ``logging``, ours and those of libraries, and the last traceback."""
    sys.excepthook = _print_traceback
    make = logging.getLogRecordFactory()
    if getattr(make, "redacts", False):
        return

    def redacted(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        try:
            record.msg, record.args = redact(record.getMessage()), None
        except Exception:  # a message that does not fit its arguments: logging itself reports it
            return record
        return record

    redacted.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(redacted)


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print(printable(redact("".join(traceback.format_exception(kind, error, trace)))), end="", file=sys.stderr)
