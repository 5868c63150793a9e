"""Dataset cards: what a dataset is, where it comes from, and how many images it must have.

A card is ``datasets/<name>/card.yaml``: the single source of the tables in the READMEs, of the licence notice before a
download, and of the counts that an index is checked against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from benchmark.core.errors import ConfigError, near_matches
from benchmark.core.resources import CARDS
from benchmark.core.settings import Settings
from benchmark.core.yaml_files import read_yaml
from benchmark.data.records import ArchiveSplit, Record

EVERY = "*"
"""Category of a count that is known for the whole dataset only."""

Permission = Literal["yes", "no", "unclear"]
Surface = Literal["object", "texture"]


class Licence(Settings):
    """What may be done with the data."""

    name: str
    url: str | None = None
    commercial: Permission
    redistribution: Permission
    note: str | None = None


class Archive(Settings):
    """One file to download."""

    url: str
    mirrors: tuple[str, ...] = ()
    file: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    size: int | None = Field(default=None, gt=0)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    md5: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")


class Source(Settings):
    """How the data is had: downloaded, placed by hand, or generated on first use."""

    kind: Literal["download", "manual", "generated"]
    homepage: str | None = None
    archives: tuple[Archive, ...] = ()
    steps: tuple[str, ...] = ()
    """What a person has to do, in order; also the fallback when a download's address is gone."""

    @model_validator(mode="after")
    def _consistent(self) -> Source:
        if self.kind == "download" and not self.archives:
            raise ValueError("a download needs archives")
        if self.kind == "manual" and not self.steps:
            raise ValueError("a manual source needs steps")
        return self


class Count(Settings):
    """How many images one category has in one split of the archive."""

    category: str
    """Category of the archive, or ``*`` where only the sum over all is known."""
    split: ArchiveSplit
    good: int = Field(ge=0)
    defective: int = Field(ge=0)


class Card(Settings):
    """Everything that is known of one dataset without opening it."""

    name: str
    title: str
    summary: str
    """One sentence: what is on the images, and what the defects are."""
    citation: str
    licence: Licence
    source: Source
    layout: str
    """Where images and masks lie below the dataset's folder."""
    categories: dict[str, Surface]
    """Category of the archive -> object or texture; empty where the categories are free."""
    counts: tuple[Count, ...]
    total: int | None = Field(default=None, gt=0)
    """Images that are scored when all categories are, where nobody says how many of them are good."""
    traps: tuple[str, ...]

    @model_validator(mode="after")
    def _known_categories(self) -> Card:
        unknown = sorted({c.category for c in self.counts} - set(self.categories) - {EVERY})
        if unknown:
            raise ValueError(f"counts name categories that are not listed: {', '.join(unknown)}")
        return self

    @property
    def images(self) -> int | None:
        """Number of images, or None where the card has no counts."""
        return sum(c.good + c.defective for c in self.counts) or self.total

    def expected(self, categories: Sequence[str] | None) -> tuple[Count, ...] | None:
        """Return the counts of a category selection (None: all), or None where the card does not know them."""
        if categories is None or set(categories) == set(self.categories):
            return self.counts or None
        if any(c.category == EVERY for c in self.counts):
            return None
        return tuple(c for c in self.counts if c.category in set(categories)) or None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A count that is not what the card says."""

    category: str
    split: str
    label: Literal["good", "defective", "good or defective"]
    expected: int
    found: int

    def __str__(self) -> str:
        where = "all categories" if self.category == EVERY else self.category
        gap = self.expected - self.found
        what = f"{gap} missing" if gap > 0 else f"{-gap} too many"
        return f"{where} / {self.split} / {self.label}: {self.found} of {self.expected} ({what})"


def compare(expected: Iterable[Count], records: Iterable[Record]) -> list[Difference]:
    """List every count that differs between a card and what was found."""
    found: Counter[tuple[str, str, bool]] = Counter()
    for record in records:
        found[record.category, record.split, record.defective] += 1
        found[EVERY, record.split, record.defective] += 1
    differences = []
    for count in expected:
        for defective, wanted in ((False, count.good), (True, count.defective)):
            have = found[count.category, count.split, defective]
            if have != wanted:
                label: Literal["good", "defective"] = "defective" if defective else "good"
                differences.append(
                    Difference(category=count.category, split=count.split, label=label, expected=wanted, found=have)
                )
    return differences


def unexpected_categories(card: Card, records: Iterable[Record]) -> list[Difference]:
    """List what was found in categories that the card does not have, such as a folder of the user's own."""
    if not card.categories:
        return []
    found = Counter((r.category, r.split, r.defective) for r in records if r.category not in card.categories)
    return [
        Difference(category=category, split=split, label="defective" if defective else "good", expected=0, found=number)
        for (category, split, defective), number in sorted(found.items())
    ]


def wrong_total(card: Card, records: Iterable[Record]) -> list[Difference]:
    """List the difference between the number of images that are scored and the card's total, if there is one."""
    found = sum(record.split != "train" for record in records)
    if card.total is None or found == card.total:
        return []
    return [Difference(category=EVERY, split="test", label="good or defective", expected=card.total, found=found)]


def card_names() -> list[str]:
    """Names of all datasets that have a card."""
    return sorted(path.parent.name for path in CARDS.glob("*/card.yaml"))


def load_card(name: str) -> Card:
    """Read and check one card.

    Raises:
        ConfigError: no such card, or a key of it is unknown, missing or of a wrong type.
    """
    card = find_card(name)
    if card is None:
        raise ConfigError(f"no dataset {name!r}; {near_matches(name, card_names())}")
    return card


def find_card(name: str) -> Card | None:
    """Read and check one card; None where the dataset has none (a user's own folder)."""
    path = CARDS / name / "card.yaml"
    if not path.is_file():
        return None
    try:
        card = Card.model_validate(read_yaml(path))
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'card'}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{path}: {places}") from error
    if card.name != name:
        raise ConfigError(f"{path}: name is {card.name!r} but the folder is {name!r}; make them equal")
    return card
