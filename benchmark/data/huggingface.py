"""Datasets of the Hugging Face hub, or folders that its library reads: exported once, then read as a table is."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from benchmark.core.addresses import cache_folder
from benchmark.core.errors import ConfigError, DataError, near_matches
from benchmark.core.progress import track
from benchmark.core.settings import NameOrFile
from benchmark.data.card import Card
from benchmark.data.dataset import Dataset
from benchmark.data.images import EXTENSIONS
from benchmark.data.listed import Places, scan_listed
from benchmark.data.mvtec import LIKE_GOOD
from benchmark.data.records import Scan
from benchmark.data.table import NAMES, listed_rows
from benchmark.data.table_rows import FALSE, TRUE

ROWS = "rows.jsonl"
"""Table of an exported dataset, beside its images."""


class HuggingFace(Dataset):
    """A dataset that ``datasets.load_dataset`` reads, with columns as ``dataset=table`` has them."""

    repository: NameOrFile | None
    """``owner/name`` on the hub, or a folder."""
    configuration: str | None
    """Which of its configurations; None: the only one."""
    revision: str | None
    """Commit, tag or branch; None: the newest."""
    columns: dict[str, str]
    """Names of columns that are not usual ones, by what they hold: ``{label: verdict}``."""

    def locate(self, data_root: Path) -> Path:
        """Export the dataset's images to the cache, unless they are there, and return their folder.

        Raises:
            ConfigError: no repository is named, the library is not installed, or a column is unknown.
            DataError: the dataset cannot be loaded.
        """
        if self.repository is None:
            raise ConfigError(
                "dataset.repository: say which dataset to read, dataset=huggingface dataset.repository=owner/name, "
                "or a folder"
            )
        splits = self._loaded()
        prints = [f"{split}:{one._fingerprint}" for split, one in splits.items()]
        said = repr((self.repository, self.configuration, self.revision, sorted(self.columns.items()), prints))
        label = re.sub(r"[^A-Za-z0-9.-]+", "-", PurePath(self.repository).name)
        place = cache_folder() / "huggingface" / f"{label}-{hashlib.sha256(said.encode()).hexdigest()[:16]}"
        if not (place / ROWS).is_file():
            self._export(splits, place)
        return place

    def no_image(self, root: Path, card: Card | None) -> str:
        """Say that the dataset has no row."""
        return f"{self.repository}: the dataset has no row; give another dataset.configuration or revision"

    def scan(self, root: Path) -> Scan:
        """Read the rows of the exported dataset."""
        problems: list[str] = []
        usual = {kind: (kind,) for kind in NAMES}
        return scan_listed(listed_rows(root / ROWS, usual, ("image",), problems), Places(root), self.name, problems)

    def _loaded(self) -> dict[str, Any]:
        """Return each split as the library gives it; code of a repository is never run."""
        found = importlib.util.find_spec("datasets")
        if found is None or found.origin is None:  # without the library, a folder of this name is found
            raise ConfigError(
                "dataset=huggingface needs the library datasets, which is not installed: `make extras` builds "
                ".venv-extras with it, or install the extra: pip install 'fm-defect-bench[huggingface]'"
            )
        datasets: Any = importlib.import_module("datasets")
        name = str(self.repository)
        saved = Path(name) / "dataset_dict.json", Path(name) / "state.json"
        try:
            if any(file.is_file() for file in saved):
                loaded = datasets.load_from_disk(name)
            else:
                loaded = datasets.load_dataset(name, self.configuration, revision=self.revision)
        except Exception as error:  # of the network, the hub, its files: each has types of its own
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise DataError(
                f"{name}: cannot be loaded ({reason}); check dataset.repository, dataset.configuration and the "
                "network, or give a folder"
            ) from error
        return dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"": loaded}

    def _export(self, splits: Mapping[str, Any], place: Path) -> None:
        """Write every image and mask as the bytes that the dataset holds, and the table; all or nothing."""
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=place.parent, prefix=".export-"))
        try:
            with (folder / ROWS).open("w", encoding="utf-8") as table:
                for split, data in splits.items():
                    for row in self._rows(split, data, folder):
                        table.write(json.dumps(row) + "\n")
            if place.exists():
                shutil.rmtree(place)
            folder.rename(place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _rows(self, split: str, data: Any, folder: Path) -> Iterator[dict[str, object]]:
        datasets: Any = importlib.import_module("datasets")
        names = self._columns(split, data)
        pictures = [name for name in set(names.values()) if isinstance(data.features[name], datasets.Image)]
        if names["image"] not in pictures:
            raise DataError(
                f"{self.repository}: the column {names['image']} holds no images; say dataset.columns={{image: NAME}}"
            )
        if names.get("label") in pictures:  # a segmentation dataset: its label is a mask
            names.setdefault("mask", names.pop("label"))
        for name in pictures:
            data = data.cast_column(name, datasets.Image(decode=False))
        for at, row in enumerate(track(data, f"Exporting {self.repository} {split}", total=len(data))):
            found: dict[str, object] = {"split": split}
            for kind, name in names.items():
                value = row[name]
                if name in pictures:
                    found[kind] = self._picture(value, folder, f"{split or 'all'}/{kind}s/{at:06}")
                elif kind == "label":
                    feature = data.features[name]
                    found |= _label(feature, _folder(feature, row[names["image"]]) if value is None else value)
                else:
                    found[kind] = _text(data.features[name], value)
            yield found

    def _columns(self, split: str, data: Any) -> dict[str, str]:
        unknown = sorted(self.columns.keys() - NAMES.keys())
        if unknown:
            raise ConfigError(f"dataset.columns: {unknown[0]!r} is none of {', '.join(NAMES)}")
        there = {name.casefold(): name for name in data.column_names}
        usual = {kind: next((there[n] for n in known if n in there), None) for kind, known in NAMES.items()}
        names = {**usual, **self.columns, **({} if "split" in self.columns else {"split": None})}
        for name in names.values():
            if name is not None and name not in data.column_names:
                raise ConfigError(
                    f"dataset.columns: {split} has no column {name!r}; {near_matches(name, data.column_names)}"
                )
        if names["image"] is None:
            raise DataError(
                f"{self.repository}: no column image; it has: {', '.join(data.column_names)}; say "
                "dataset.columns={image: NAME}"
            )
        return {kind: name for kind, name in names.items() if name is not None}

    def _picture(self, value: Mapping[str, Any] | None, folder: Path, stem: str) -> str | None:
        """Write one image and return its path; None where the row has none."""
        if value is None:
            return None
        content, source = value.get("bytes"), value.get("path")
        if content is None and source:
            try:
                content = Path(source).read_bytes()
            except OSError as error:
                raise DataError(f"{source}: cannot be read ({error.strerror}); get the dataset again") from None
        ending = Path(source or "").suffix.lower()
        name = f"{stem}{ending if ending in EXTENSIONS else '.png'}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content or b"")
        return name


def _folder(feature: Any, picture: Mapping[str, Any]) -> int | None:
    """Return the class that an image's folder names; the library loses it where a split has one, as train/good."""
    name = Path(picture.get("path") or "").parent.name
    names = getattr(feature, "names", None) or []
    return names.index(name) if name in names else None


def _text(feature: Any, value: Any) -> str | None:
    names = getattr(feature, "names", None)
    if isinstance(names, list) and isinstance(value, int) and 0 <= value < len(names):
        return str(names[value])
    return None if value is None else str(value)


def _label(feature: Any, value: Any) -> dict[str, object]:
    """Return a label by its word; a name that is no word of a label is a type of defect."""
    text = _text(feature, value)
    word = (text or "").casefold()
    if word in LIKE_GOOD:
        return {"label": "good"}
    return (
        {"label": text} if not word or word in TRUE | FALSE or word.isdigit() else {"label": "1", "defect_type": text}
    )
