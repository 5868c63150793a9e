"""How a service is reached and how hard it is pressed; nothing here changes an answer."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from benchmark.core.settings import Settings


class HttpAccess(Settings):
    """Where a service is, and where its key is."""

    base_url: str | None
    """Null: the service's own address."""
    key_env: str | None
    """Environment variable that holds the key; null: the service's usual one."""
    timeout_s: float = Field(gt=0)
    """Seconds for the whole of one attempt, from connecting to the last byte."""

    @field_validator("base_url")
    @classmethod
    def _without_credentials(cls, value: str | None) -> str | None:
        if value is not None and (urlsplit(value).username or urlsplit(value).query):
            raise ValueError("an address must not hold credentials; the key comes from the environment")
        return value


class Calls(Settings):
    """Retries, rate limits and concurrency."""

    max_concurrency: int = Field(ge=1, le=256)
    attempts: int = Field(ge=1)
    """Most attempts at one question."""
    first_delay_s: float = Field(gt=0)
    """Mean wait before the second attempt where the server names none; it doubles each time."""
    longest_delay_s: float = Field(gt=0)
    """Longest such wait. A server that asks for more than ten times as much ends the run, which can go on later."""
    rpm: int | None = Field(gt=0)
    """Attempts a minute; null: no limit."""
    tpm: int | None = Field(gt=0)
    """Prompt tokens a minute."""
    rpd: int | None = Field(gt=0)
    """Attempts a day (Pacific time), counted over restarts."""
    window_s: float = Field(gt=0)
    """Length of the minute that rpm and tpm mean."""
    give_up_after: int = Field(ge=1)
    """Questions that fail one after the other, after all attempts, before the run stops."""
