"""Multiple-choice questions about an image, with their keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

DETECTION = "Anomaly Detection"
TASKS = (
    DETECTION, "Defect Classification", "Defect Localization", "Defect Description", "Defect Analysis",
    "Object Classification", "Object Analysis",
)  # fmt: skip
"""The seven tasks of MMAD (arXiv 2410.09453)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipleChoice:
    """One question with its options."""

    task: str
    """One of ``TASKS``."""
    text: str
    options: tuple[tuple[str, str], ...]
    """(letter, text), in the order in which they are shown; letters are single capitals, each once."""
    key: str
    """Letter of the right option."""

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters of the options, in order."""
        return tuple(letter for letter, _ in self.options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Everything that is asked about one image."""

    asked: tuple[MultipleChoice, ...]
    """In the order of the data, at least one."""
    templates: tuple[str, ...] = ()
    """Ids of samples without defects that the image may be shown with, in the order of the data."""

    @property
    def sha256(self) -> str:
        """Hash of the questions, keys and templates (hex)."""
        asked = [(q.task, q.text, q.options, q.key) for q in self.asked]
        return hashlib.sha256(repr((asked, self.templates)).encode(errors="surrogatepass")).hexdigest()


def says_defective(text: str) -> bool | None:
    """Return what an option of a detection question says of the image; None where it begins with neither word."""
    word = text.strip().casefold().replace(".", " ").replace(",", " ").partition(" ")[0]
    return {"yes": True, "no": False}.get(word)
