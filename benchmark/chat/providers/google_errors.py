"""What Google's SDK and API say of a call that failed, as the errors of every provider."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmark.chat.providers.base import PASSING, CallError, Kind, refusal
from benchmark.core.secrets import redact


@contextmanager
def calls() -> Iterator[None]:
    """Turn every way in which the SDK fails into a CallError without secrets."""
    import httpx2
    from google.auth.exceptions import GoogleAuthError
    from google.genai import errors

    try:
        yield
    except errors.APIError as error:
        failure = _explained(error)
    except (
        ValueError,
        RecursionError,
        TypeError,
        AttributeError,
        KeyError,
    ):  # of the SDK, over a body of another shape
        failure = CallError("the reply is not what the API promises", kind="server")
    except (httpx2.HTTPError, ConnectionError, TimeoutError) as error:
        unreachable = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | ConnectionRefusedError)
        kind: Kind = "unreachable" if unreachable else "transport"
        failure = CallError(f"{type(error).__name__}: {redact(str(error)) or 'no reply'}", kind=kind)
    except GoogleAuthError as error:
        failure = CallError(redact(f"credentials refused: {error}"), kind="refused")
    else:
        return
    raise failure from None


def _explained(error: Any) -> CallError:
    code = int(error.code or 0)
    message = redact(f"{code} {error.status or ''}: {error.message or ''}").strip()[:500]
    details = list(_details(error.details))
    delay = next((_seconds(d["retryDelay"]) for d in details if "retryDelay" in d), None)
    if code == 429:
        violations = [v for d in details for v in d.get("violations") or [] if isinstance(v, dict)]
        daily = any("perday" in str(v.get("quotaId", "")).lower() for v in violations)
        return CallError(message, kind="quota" if daily else "rate", retry_after=delay)
    if code in PASSING or code >= 500:
        return CallError(message, kind="server", retry_after=delay)
    wrong_key = any(d.get("reason") == "API_KEY_INVALID" for d in details) or "api key not valid" in message.lower()
    return CallError(message, kind="refused" if wrong_key else refusal(code))


def _details(body: Any) -> Iterator[dict[str, Any]]:
    if isinstance(body, dict):
        inner = body.get("error", body)
        listed = inner.get("details") if isinstance(inner, dict) else None
        yield from (d for d in listed or [] if isinstance(d, dict))


def _seconds(text: Any) -> float | None:
    try:
        return max(0.0, float(str(text).strip().removesuffix("s")))
    except ValueError:
        return None
