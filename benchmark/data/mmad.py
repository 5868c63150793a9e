"""MMAD: multiple-choice questions about images of four datasets, in one file ``mmad.json`` (arXiv 2410.09453)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from benchmark.core.errors import DataError
from benchmark.core.questions import DETECTION, TASKS, MultipleChoice, Questions, says_defective
from benchmark.core.sample_columns import Samples
from benchmark.core.text import counted, encodable
from benchmark.data.annotations import read_json
from benchmark.data.card import find_card
from benchmark.data.dataset import Dataset, Index
from benchmark.data.listed import Listed, Places, scan_listed
from benchmark.data.records import GOOD, Record, Scan

FILE = "mmad.json"
SUBSETS = {"MVTec-AD": "DS-MVTec"}
"""First folder of a template to the subset that it serves, where it has another name."""
MERGED = {"Object Structure": "Object Analysis", "Object Details": "Object Analysis"}
"""Kinds of question that are one task."""
_SHORTEST = 4
"""Parts of an image's path: subset, class, kind of defect and file at least."""


class Mmad(Dataset):
    """The questions of MMAD with their images; pixels enter no metric, as masks are not read."""

    by: Literal["subset", "class"]
    """What a category is: one of the four datasets, over which the paper averages, or a class of product."""
    templates: Literal["random", "similar", "none"]
    """Which list of defect-free images a question may be shown with; they are the training images."""

    def scan(self, root: Path) -> Scan:
        """List the images that are asked about, and their templates; files that are not there are problems.

        Raises:
            DataError: there is no ``mmad.json``, or it is none.
        """
        file = root / FILE
        if not file.is_file():
            raise DataError(f"{file} is not there; unpack the data so that it and the four folders lie in {root}")
        content = read_json(file)
        if not isinstance(content, dict):
            raise DataError(f"{file}: no object of images; get the file again")
        left_out: Counter[str] = Counter()
        problems: list[str] = []
        asked = {row.image: (row, questions) for row, questions in self._asked(file, content, left_out, problems)}
        rows = [row for row, _ in asked.values()]
        used = _templates(file, asked)
        places = Places(root)
        scan = scan_listed([*rows, *used.values()], places, self.name, problems)
        notes = [
            *scan.notes,
            *(counted(n, what.replace("s are ", " is ", 1), what) for what, n in sorted(left_out.items())),
        ]
        records = tuple(_with_questions(scan.records, asked, places))
        return replace(scan, records=records, notes=(*notes, *_contradictions(records)))

    def _asked(
        self, file: Path, content: Mapping[str, Any], left_out: Counter[str], problems: list[str]
    ) -> Iterator[tuple[Listed, Questions]]:
        for image, entry in content.items():
            where, parts = f"{file}, {image}", image.split("/")
            if len(parts) < _SHORTEST:
                problems.append(f"{where}: not <subset>/<class>/…/<kind>/<file>; get the file again")
                continue
            if self.categories is not None and parts[1] not in self.categories:
                continue
            if not isinstance(entry, dict) or not isinstance(entry.get("conversation"), list):
                problems.append(f"{where}: no conversation, which is a list of questions; get the file again")
                continue
            asked = tuple(q for one in entry["conversation"] if (q := question(one, left_out)) is not None)
            if not asked:
                left_out["images are left out, as none of their questions can be used"] += 1
                continue
            templates = good_templates(entry.get(f"{self.templates}_templates"), image, left_out)
            row = Listed(
                where=where,
                image=image,
                defective=parts[-2] != GOOD,
                category=parts[1],
                defect_type=parts[-2],
                split="test",
            )
            yield row, Questions(asked=asked, templates=templates)

    def _expected(self, index: Index, chosen: Sequence[Record]) -> int | None:
        card = find_card(self.name)
        whole = self.categories is None and self.split == "official" and self.include_good and self.subset is None
        return card.total if card is not None and whole else super()._expected(index, chosen)

    def _samples(self, records: Sequence[Record], index: Index) -> Samples:
        samples = super()._samples(records, index)
        if self.by == "class" or self.unit == "dataset":
            return samples
        return Samples.of(replace(s, category=SUBSETS.get(first := s.id.partition("/")[0], first)) for s in samples)


def question(one: Any, left_out: Counter[str]) -> MultipleChoice | None:
    """Read one question; one that cannot be asked or scored is None, and counted with the reason.

    Args:
        one: an element of a conversation: ``Question``, ``Answer``, ``Options`` and ``type``.
        left_out: to which the reason is added.
    """
    entry = one if isinstance(one, dict) else {}
    text, key, options, kind = (entry.get(name) for name in ("Question", "Answer", "Options", "type"))
    task = MERGED.get(str(kind), str(kind))
    named = {str(k).strip().upper(): v for k, v in options.items()} if isinstance(options, dict) else {}
    letter = str(key).strip().upper()
    why = None
    if not isinstance(text, str) or not text.strip():
        why = "no text"
    elif task not in TASKS:
        why = f"of the unknown type {encodable(str(kind))[:40]!r}"
    elif len(named) < 2 or len(named) != len(options or ()) or not all(isinstance(v, str) for v in named.values()):
        why = "fewer than two options"
    elif not all(len(k) == 1 and "A" <= k <= "Z" for k in named):
        why = "an option without a letter"
    elif letter not in named:
        why = "the key is none of the options"
    if why is not None:
        left_out[f"questions are left out: {why}"] += 1
        return None
    shown = tuple((k, encodable(v)) for k, v in named.items())
    return MultipleChoice(task=task, text=encodable(str(text)), options=shown, key=letter)


def good_templates(listed: Any, image: str, left_out: Counter[str]) -> tuple[str, ...]:
    """Return the templates that an image may be shown with, each once; others are counted with the reason.

    Args:
        listed: paths of images, as the file has them.
        image: path of the image itself.
        left_out: to which reasons are added.
    """
    found = []
    for one in dict.fromkeys(t for t in listed if isinstance(t, str)) if isinstance(listed, list) else ():
        if one == image or one.split("/")[-2:-1] != [GOOD]:
            why = "the image itself" if one == image else f"in no folder {GOOD!r}"
            left_out[f"templates are never shown: {why}"] += 1
            continue
        found.append(one)
    return tuple(found)


def _templates(file: Path, asked: Mapping[str, tuple[Listed, Questions]]) -> dict[str, Listed]:
    """Return one row for each template that is not asked about itself, in the class of the first image it serves."""
    found: dict[str, Listed] = {}
    for row, questions in asked.values():
        for image in questions.templates:
            if image not in found and image not in asked:
                found[image] = Listed(
                    where=f"{row.where}, template {image}",
                    image=image,
                    defective=False,
                    category=row.category,
                    split="train",
                )
    return found


def _with_questions(
    records: tuple[Record, ...], asked: Mapping[str, tuple[Listed, Questions]], places: Places
) -> Iterator[Record]:
    """Yield records with their questions, whose templates are named by the ids of their samples."""
    of_file = {places.spelt(image): questions for image, (_, questions) in asked.items()}
    for record in records:
        questions = of_file.get(record.image)
        if questions is not None:
            ids = tuple(encodable(places.spelt(template) or template) for template in questions.templates)
            record = replace(record, questions=replace(questions, templates=ids))
        yield record


def _contradictions(records: Sequence[Record]) -> Iterator[str]:
    """Tell how many keys of detection questions say something else of an image than the folder that it lies in."""
    number = 0
    for record in records:
        for asked in record.questions.asked if record.questions else ():
            if asked.task == DETECTION:
                said = says_defective(dict(asked.options)[asked.key])
                number += said is not None and said != record.defective
    if number:
        told = counted(number, "key of a detection question contradicts", "keys of detection questions contradict")
        yield f"{told} the folder of their image; the key counts for them"
