"""What tokens cost, from a dated price list in conf/pricing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime

from pydantic import ValidationError

from benchmark.errors import ConfigError, near_matches
from benchmark.resources import CONF
from benchmark.settings import Settings
from benchmark.vlm.verdict import Usage


class Price(Settings):
    """US dollars for a million tokens."""

    until: date | None = None
    """Last day of this price."""
    input: float
    output: float
    """Answer and thinking."""
    cached: float
    """Input that the service had cached."""


class PriceList(Settings):
    """Prices as one source gave them on one day."""

    read: date
    """When the prices were read."""
    source: str
    batch: float
    """Factor on everything that goes through the batch API."""
    models: Mapping[str, tuple[Price, ...]]
    """Model to its prices, the first one that has not ended holds."""

    def of(self, model: str) -> Price | None:
        """Return today's price of a model; None where the list does not know it."""
        today = datetime.now(UTC).date()
        return next((p for p in self.models.get(model, ()) if p.until is None or today <= p.until), None)


def cost(price: Price | None, usage: Usage, *, factor: float = 1.0) -> float | None:
    """Return what tokens cost, US dollars; None where no price is known."""
    if price is None:
        return None
    fresh = max(0, usage.prompt - usage.cached)
    return factor * (fresh * price.input + usage.cached * price.cached + usage.output * price.output) / 1e6


def cost_at_most(price: Price | None, prompt: int, output: int) -> float:
    """Return the largest cost that a call is expected to have, US dollars; a quarter is added to the prompt."""
    return 0.0 if price is None else (1.25 * prompt * price.input + output * price.output) / 1e6


def load_prices(name: str | None) -> PriceList | None:
    """Read a price list of conf/pricing; None: nothing is priced.

    Raises:
        ConfigError: there is no such list, or it is not valid.
    """
    if name is None:
        return None
    import yaml

    known = sorted(p.stem for p in (CONF / "pricing").glob("*.yaml"))
    if name not in known:
        raise ConfigError(f"pipeline.pricing={name}: no such list in conf/pricing; {near_matches(name, known)}")
    path = CONF / "pricing" / f"{name}.yaml"
    try:
        return PriceList.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        raise ConfigError(f"the price list {path} is not valid: {error}") from None
