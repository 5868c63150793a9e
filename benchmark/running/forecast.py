"""What a run would cost: time here and on accelerators, downloads, cache, answers. Only what was measured is told."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core import provenance
from benchmark.core.errors import BenchmarkError, ResultsError
from benchmark.core.resources import REFERENCE, shown
from benchmark.core.text import shown_bytes

if TYPE_CHECKING:
    from benchmark.config.pipeline import Pipeline
    from benchmark.config.schema import RunConfig

SIZES = REFERENCE / "cache_sizes.csv"
"""Bytes that stages leave in the store, thumbnails of the report apart: of each image, and once for a data set."""
NOT_MEASURED = "not measured"
Cells = tuple[str, str, str]


def costs(config: RunConfig, composed: Mapping[str, Any], *, images: int | None = None) -> Iterator[Cells]:
    """Yield (what, how much, what it rests on) of a run, without reading an image.

    Args:
        config: the typed settings.
        composed: the same settings as plain containers.
        images: that would be predicted; None: as many as the data set's card says.
    """
    planned = images is not None
    images = _expected(config) if images is None else images
    limit = config.run.limit
    if images is not None and limit is not None:
        images = min(images, limit)
    yield "images", NOT_MEASURED if images is None else f"{images:,}", "" if images else "no card says how many"
    yield from _times(config, images)
    yield _data(config, composed)
    yield _weights(config)
    yield _cache(config.choices, images)
    if asks(config.pipeline) and not planned:
        yield _price(config.pipeline, config.choices)


def asks(pipeline: Pipeline) -> bool:
    """Whether a pipeline asks a model for answers, and can count what it would ask."""
    return "dry_run" in type(pipeline).model_fields


def _times(config: RunConfig, images: int | None) -> Iterator[Cells]:
    """Yield times on this machine and on those where the pipeline, or the method that it is, was measured."""
    found = dict(_seconds_each(config))
    here = str(provenance.hardware().get("cpu"))
    if here not in found:
        fix = "make latency measures one image, run.limit=10 a run"
        yield f"time on this machine ({here})", NOT_MEASURED, fix
    if not any(place != here and "published" in source for place, (_, source) in found.items()):
        yield "time on a GPU", NOT_MEASURED, "neither here nor in baselines/"
    for place, (seconds, source) in found.items():
        name = f"time on this machine ({place})" if place == here else f"time on {place}"
        whole = "" if images is None else _duration(seconds * images)
        yield name, whole or f"{seconds:.2f} s an image", f"{seconds:.2f} s an image, {source}"


def _seconds_each(config: RunConfig) -> Iterator[tuple[str, tuple[float, str]]]:
    """Yield machine -> seconds an image and where that stands; of one machine what is of the same data comes last."""
    from benchmark.models.choice import RANDOM
    from benchmark.report.papers.fairness import OTHER_NAME
    from benchmark.report.papers.paper import published_as
    from benchmark.report.papers.published import find
    from benchmark.results import files

    dataset, option = config.choices["dataset"], config.choices["pipeline"]
    if any(want.weights == RANDOM for want in config.pipeline.networks().wanted.values()):
        return
    for folder in sorted(REFERENCE.glob(f"*-{option}"), key=lambda folder: folder.name == f"{dataset}-{option}"):
        result = files.read_result(folder)
        if any("@" in group and config.choices.get(group) != name for group, name in result.choices.items()):
            continue  # of another network
        number = result.dataset.n_samples_effective
        if 2 * sum(result.measured.samples_reused.values()) <= number:  # else its seconds are of a part of the work
            place = result.measured.hardware.get("gpu") or result.measured.hardware.get("cpu") or "another machine"
            yield str(place), (result.measured.seconds / number, folder.name)
    for paper, method in sorted(published_as(option)):
        rows = find(paper=paper, method=method)
        for row in sorted(rows, key=lambda row: row.dataset == OTHER_NAME.get(dataset, dataset)):
            if row.metric in ("latency_per_image", "fps"):
                seconds = row.value / 1000.0 if row.metric == "latency_per_image" else 1.0 / row.value
                yield _machine(row.protocol), (seconds, f"published: {method}, {row.dataset}, {row.paper} {row.table}")


def _machine(protocol: str) -> str:
    """Return the machine that a published time was measured on, as ``baselines/protocols.yaml`` says."""
    from benchmark.report.papers.published import protocols

    return protocols()[protocol].title.partition(" on ")[2]


def _data(config: RunConfig, composed: Mapping[str, Any]) -> Cells:
    from benchmark.data.card import find_card
    from benchmark.report.papers.availability import data_missing, dataset_name

    what, name = "data to download", dataset_name(config.dataset, config.choices)
    if data_missing(composed, config.choices) is None:
        return what, "none", "here, or generated"
    card = find_card(name)
    sizes = [] if card is None else [archive.size for archive in card.source.archives]
    known = [size for size in sizes if size is not None]
    if not sizes or len(known) < len(sizes):
        return what, "size not published", f"make data DATASET={name}"
    return what, shown_bytes(sum(known)), f"make data DATASET={name}"


def _weights(config: RunConfig) -> Cells:
    from benchmark.weights import find, hub

    what, sizes, unknown = "weights to download", [], []
    try:
        for name in config.pipeline.networks().registered():
            if hub.is_name(name):
                unknown += [] if hub.is_here(name) else [name]
                continue
            absent = [file for file in find(name).files if not file.place(config.run.weights_root).is_file()]
            sizes += [file.size for file in absent]
    except BenchmarkError as error:
        return what, "not known", str(error).splitlines()[0]
    if not sizes and not unknown:
        return what, "none", "all are here, or the pipeline has none"
    rest = f"and {', '.join(unknown)} from the hub, whose sizes are not registered" if unknown else ""
    if None in sizes:
        rest = f"{rest} and files whose size is not published".strip()
    return what, shown_bytes(sum(size or 0 for size in sizes)), rest


def _cache(choices: Mapping[str, str], images: int | None) -> Cells:
    measured = cache_sizes().get((choices["pipeline"], choices.get("backbone@pipeline.backbone", "")))
    if measured is None:
        return "cache", NOT_MEASURED, "make cache tells what a run with run.limit=10 left there"
    each, once, source = measured
    parts = f"{each:,} bytes an image and {once:,} once"
    return "cache", parts if images is None else shown_bytes(each * images + once), f"{parts}, {source}"


def _price(pipeline: Pipeline, choices: Mapping[str, str]) -> Cells:
    from benchmark.chat.pricing import load_prices
    from benchmark.chat.providers.hf_local import LocalSettings
    from benchmark.pipelines.vlm.pipeline import VisionLanguage

    assert isinstance(pipeline, VisionLanguage)
    what, model = "price of answers", pipeline.provider.model
    if isinstance(pipeline.provider, LocalSettings):
        return what, "none", f"{model} answers on this machine"
    prices = load_prices(pipeline.pricing)
    price = None if prices is None else prices.of(model)
    words = f"DATASET={choices['dataset']} PIPELINE={choices['pipeline']} ARGS=dry_run"
    counts = f"make bench {words} counts what is not stored yet, without a key"
    if prices is None or price is None:
        return what, "not known", f"no list has {model}; {counts}"
    rates = f"{price.input:g} USD for a million prompt tokens of {model}, {price.output:g} of output ({prices.read})"
    return what, "by tokens", f"{rates}; {counts}"


def cache_sizes(path: Path = SIZES) -> dict[tuple[str, str], tuple[int, int, str]]:
    """Return (pipeline, feature network) -> bytes an image in the stage store, bytes once, and where they come from.

    Raises:
        ResultsError: the table is damaged.
    """
    with path.open(encoding="utf-8", newline="") as file:
        try:
            rows = list(csv.DictReader(file))
            return {
                (r["pipeline"], r["backbone"]): (int(r["bytes_per_image"]), int(r["bytes_once"]), r["source"])
                for r in rows
            }
        except (KeyError, ValueError) as error:
            raise ResultsError(f"{shown(path)}: no table of sizes ({error}); git checkout restores it") from None


def _expected(config: RunConfig) -> int | None:
    """Return how many test images a data set has by its settings and card, without looking for them."""
    from benchmark.data.card import find_card
    from benchmark.data.dataset import Dataset
    from benchmark.data.sat import Sat
    from benchmark.data.splits import expected_test

    data = config.dataset
    if isinstance(data, Sat):
        return data.n_good + data.n_defective
    card = find_card(str(getattr(data, "name", config.choices["dataset"])))
    if card is None or not isinstance(data, Dataset):
        return None
    counts = data.expected_counts(card) or ()
    return expected_test(counts, policy=data.split, include_good=data.include_good, subset=data.subset) or card.total


def _duration(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 120 else f"about {seconds / 60:,.0f} min"
