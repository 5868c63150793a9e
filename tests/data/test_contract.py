"""One contract for all datasets: the exact layout at full counts gives exactly the card's counts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmark.core.errors import DataError
from benchmark.core.resources import CONF
from benchmark.core.samples import Manifest
from benchmark.data.card import EVERY, card_names, compare, load_card
from benchmark.data.images import load_image
from benchmark.data.masks import load_truth
from benchmark.results.schema import OWN_DATA
from tests.data.dataset_trees import Linker, dataset, option_values
from tests.data.full_trees import BUILDERS, as_configured

OPTIONS = sorted(path.stem for path in (CONF / "dataset").glob("*.yaml"))
NAMES = [name for name in card_names() if load_card(name).source.kind != "generated"]
COUNTED = [name for name in NAMES if load_card(name).counts]


def large_marked(names: list[str]) -> list[Any]:
    """The same, thousands of images marked slow."""
    return [pytest.param(n, marks=pytest.mark.slow) if (load_card(n).images or 0) > 3000 else n for n in names]


PRESETS = [
    ("mvtec", 467, 1258),
    ("experiment=domain_gap_table1", 253, 76),
    ("pets", 140, 60),
    ("pets_full", 4978, 2371),
    ("mtd", 952, 392),
    ("mtd_by_mask", 956, 388),
    ("experiment=saa_plus_mtd", 956, 388),
    ("ksdd1", 347, 52),
    ("ksdd1_items", 347, 52),
    ("ksdd1_thirds", 286, 54),
    ("ksdd2", 894, 110),
    ("experiment=anomalyvlm_ksdd2", 2085, 246),
    ("experiment=saa_plus_ksdd2", 2085, 246),
    ("dagm", 6996, 1054),
    ("experiment=iap_as_dagm", 0, 2100),
    ("visa", 962, 1200),
    ("mvtec_loco", 575, 993),
    ("mvtec_ad_2", 379, 705),
    ("vad", 1000, 1000),
    ("mpdd", 176, 282),
    ("experiment=iap_as_mpdd", 0, 282),
    ("btad", 451, 290),
    ("experiment=iap_as_btad", 0, 290),
    ("dtd_synthetic", 357, 947),
    ("experiment=iap_as_dtd_synthetic", 0, 947),
]
"""Option of the dataset or experiment, and how many good and defective images it scores."""


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root that holds every dataset whole; each is built when a test first asks for it."""
    return tmp_path_factory.mktemp("full")


@pytest.fixture(scope="session", autouse=True)
def _shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared-cache")


@pytest.fixture(autouse=True)
def _own_cache(_shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(_shared_cache))


def built(full: Path, name: str) -> Path:
    root = full / name
    if not root.exists():
        BUILDERS.get(name, as_configured)(root, Linker(full / ".links"), load_card(name))
    return full


def counts(manifest: Manifest) -> tuple[int, int]:
    labels = Counter(s.defective for s in manifest.test)
    return labels[False], labels[True]


def test_every_dataset_has_a_card_and_an_option() -> None:
    assert set(BUILDERS) <= set(NAMES)
    assert set(card_names()) | set(OWN_DATA) == {option_values(o).get("name", "sat") for o in OPTIONS}


@pytest.mark.parametrize("name", large_marked(COUNTED))
def test_counts_are_the_cards(name: str, full: Path) -> None:
    card = load_card(name)
    settings = dataset(name, subset=None)
    index = settings.index(built(full, name))
    assert index.complete
    assert compare(card.counts, index.records) == []
    assert len(index.records) == card.images
    by_category = [c for c in card.counts if c.category != EVERY]
    if by_category:
        assert {r.category for r in index.records} == set(card.categories)


@pytest.mark.parametrize("name", large_marked(NAMES))
def test_samples_keep_the_contract(name: str, full: Path) -> None:
    manifest = dataset(name, subset=None).manifest(built(full, name))
    assert manifest.expected_test == (len(manifest.test) if load_card(name).images else None)
    assert len({s.id for s in manifest.samples}) == len(manifest.samples)
    assert all(not Path(s.id).is_absolute() and "\\" not in s.id for s in manifest.samples)
    assert all((s.defect_type == "good") != s.defective for s in manifest.samples)
    assert all(s.mask is None or s.defective for s in manifest.samples)
    for defective in (False, True):
        sample = next(s for s in reversed(manifest.test) if s.defective == defective)
        image = load_image(sample.image)
        truth = load_truth(sample, shape=image.shape[:2])
        assert image.shape[2] == 3
        assert truth.mask.any() == (defective and truth.known)
        assert truth.known or name in ("vad", "mmad"), "only a dataset without masks leaves pixels unknown"
    if len(manifest.samples) < 3000:
        assert dataset(name, subset=None).manifest(full).fingerprint == manifest.fingerprint


@pytest.mark.parametrize("name", large_marked(COUNTED))
def test_a_missing_image_is_told_and_goes_on_only_when_allowed(name: str, full: Path, tmp_path: Path) -> None:
    """Partial data: one good or defective image (with its mask) less than the card says."""
    data = built(full, name)
    victim = dataset(name, subset=None).index(data).records[-1]
    root = dataset(name).locate(data)
    hidden = [root / name for name in (victim.image, *victim.masks)]
    for i, file in enumerate(hidden):
        file.rename(tmp_path / str(i))
    labels = root / Path(victim.image).parent / "Label" / "Labels.txt"
    kept = labels.read_text() if labels.is_file() else None
    if kept is not None:
        labels.unlink()
    try:
        with pytest.raises(DataError, match=r"\(1 missing\).*allow_partial=true"):
            dataset(name, subset=None, split="all").manifest(data)
        partial = dataset(name, subset=None, split="all", allow_partial=True).manifest(data)
    finally:
        for i, file in enumerate(hidden):
            (tmp_path / str(i)).rename(file)
        if kept is not None:
            labels.write_text(kept)
    assert partial.expected_test == len(partial.test) + 1
    assert any("1 missing" in note for note in partial.notes)


@pytest.mark.parametrize(
    ("option", "good", "defective"),
    [pytest.param(*preset, marks=pytest.mark.slow) if preset[1] + preset[2] > 3000 else preset for preset in PRESETS],
)
def test_presets_give_the_papers_numbers(option: str, good: int, defective: int, full: Path) -> None:
    manifest = dataset(option).manifest(built(full, option_values(option)["name"]))
    assert counts(manifest) == (good, defective)
    assert manifest.expected_test == good + defective
    test_groups = {s.group for s in manifest.test}
    if option != "ksdd1_thirds":
        assert test_groups.isdisjoint({s.group for s in manifest.train})


@pytest.mark.parametrize(
    "option",
    [
        pytest.param(option, marks=pytest.mark.slow) if option == "mmad" else option
        for option in sorted(set(OPTIONS) - {option for option, _, _ in PRESETS} - {*OWN_DATA, "sat", "sat_hard"})
    ],
)
def test_an_option_without_numbers_above_scores_what_its_card_says(option: str, full: Path) -> None:
    manifest = dataset(option).manifest(built(full, option_values(option)["name"]))
    assert sum(counts(manifest)) > 0 and manifest.expected_test in (None, sum(counts(manifest)))


def test_domain_gap_counts_by_category(full: Path) -> None:
    manifest = dataset("experiment=domain_gap_table1").manifest(built(full, "mvtec"))
    found = Counter((s.category, s.defective) for s in manifest.test)
    good = {"carpet": 56, "grid": 53, "leather": 49, "tile": 46, "wood": 49}
    bad = {"carpet": 18, "grid": 11, "leather": 18, "tile": 17, "wood": 12}
    assert found == {(c, False): n for c, n in good.items()} | {(c, True): n for c, n in bad.items()}
    assert len(manifest.train) == 1266 + 382 - 253 - 76
    assert not any("test/good" in s.id for s in manifest.samples)
    other = dataset("experiment=domain_gap_table1", split_seed=1).manifest(full)
    assert counts(other) == (253, 76)
    assert {s.id for s in other.test} != {s.id for s in manifest.test}
