"""Whether a run and a published number measure the same thing."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from benchmark.config.compose import compose
from benchmark.config.options import options
from benchmark.core.text import counted
from benchmark.report.papers.paper import load_paper, paper_names, published_as
from benchmark.report.papers.published import protocols, published
from benchmark.report.papers.published_row import OUR_METRIC, PublishedRow
from benchmark.results.schema import RunResult
from benchmark.scoring.metric_record import MetricRecord
from benchmark.scoring.protocol import Protocol

OTHER_NAME = {"pets": "oxford_iiit_pet", "mmad": "mmad4", "sat": ""}
"""Our dataset -> its name in the published files, where it differs; empty: nobody published on it."""
NEARER = {
    ("iap_as", "f1_max"): "f1_max_linspace100",
    ("mmad", "balanced_accuracy"): "mmad_anomaly_detection",
}
"""Beginning of a published protocol, and our metric -> another one of ours that comes nearer, where a run has it."""
WHOLE = frozenset({"mean", "all", "average", "cat", "textures5"})
"""Published categories that stand for all categories of a run."""
TEXTURES5 = ["carpet", "grid", "leather", "tile", "wood"]
SELECTION = ("categories", "unit", "by", "split", "include_good", "subset", "label_from", "cut", "duplicates")
"""Settings of a dataset that say which images are scored, under which label and category."""


def own_metric(result: RunResult, row: PublishedRow) -> MetricRecord | None:
    """Return the run's number for a published cell; None where dataset, metric or category have no counterpart.

    A published value over everything is set beside the run's headline: the mean over categories, or all images
    together where the run's protocol averages over images.
    """
    dataset = OTHER_NAME.get(result.dataset.name, result.dataset.name)
    name = OUR_METRIC.get(row.metric)
    if dataset != row.dataset or name is None:
        return None
    names = [own for (protocol, metric), own in NEARER.items() if row.protocol.startswith(protocol) and metric == name]
    names.append(name)
    for wanted in names:
        for own in result.headline().values() if row.category in WHOLE else result.metrics:
            if own.metric == wanted and (row.category in WHOLE or own.category == row.category):
                return own
    return None


def published_values(result: RunResult) -> dict[tuple[str, str], list[PublishedRow]]:
    """Return what is published of a run's own method under its protocol on its data, by our metric and category.

    A number that several tables of one paper repeat stands once. Whether the run's numbers can be compared with any
    published one is for :func:`unfair_run` to say.
    """
    names, found = published_as(result.choices["pipeline"]), dict[tuple[str, str], list[PublishedRow]]()
    for row in published():
        preset = protocols()[row.protocol].preset
        if (row.paper, row.method) not in names or preset is None or preset_hash(preset) != result.protocol.hash:
            continue
        own = own_metric(result, row)
        if own is None or row.fraction is None or any(other_data(result, row)):
            continue
        known = found.setdefault((own.metric, own.category), [])
        if all((row.paper, row.printed) != (other.paper, other.printed) for other in known):
            known.append(row)
    return found


def is_partial(result: RunResult) -> bool:
    """Whether the run saw only part of its dataset, or its numbers mean nothing."""
    return any(unfair_run(result))


def images(result: RunResult) -> str:
    """Return ``263`` or ``10 of 263``."""
    data = result.dataset
    of = data.n_samples_expected or data.n_samples_original
    return str(data.n_samples_effective) if data.n_samples_effective == of else f"{data.n_samples_effective} of {of}"


def unfair(result: RunResult, row: PublishedRow) -> Iterator[str]:
    """Yield every reason why a run's number and a published one do not measure the same thing."""
    yield from unfair_protocol(result, row)
    yield from unfair_run(result)
    yield from other_data(result, row)
    if not row.usable:
        yield f"the published value is {row.flag}"


def unfair_run(result: RunResult) -> Iterator[str]:
    """Yield why a run's numbers cannot be compared with any published one."""
    data = result.dataset
    if data.n_samples_effective < data.n_samples_original:
        yield f"the run saw {data.n_samples_effective} of {counted(data.n_samples_original, 'image')}"
    elif data.n_samples_expected is not None and data.n_samples_original != data.n_samples_expected:
        yield f"the dataset has {data.n_samples_original} of {counted(data.n_samples_expected, 'image')}"
    if result.meaningless:
        yield "random weights: the run's numbers mean nothing"


def other_data(result: RunResult, row: PublishedRow) -> Iterator[str]:
    """Yield how the images, labels or categories that a run scored are not those of a published number.

    The published ones are those of the presets in ``baselines/tables``; where these name none, the dataset as it is
    by default. What cannot change the number is left out: for one category which others there are, and what becomes
    of good images and labels where the pixels do not depend on them.
    """
    own, protocol = result.config.get("dataset", {}), result.protocol.settings
    without_good = not protocol["include_good"] or result.dataset.name in protocol["defective_only_datasets"]
    pixels = not row.metric.endswith("_image") and row.metric != "f2"
    idle = set() if row.category in WHOLE else {"categories"}
    if pixels:
        idle.add("include_good" if without_good else "label_from")
    wanted = dataset_settings(*data_words(row, result.dataset.name))
    if row.category == "textures5":
        wanted = wanted | {"categories": TEXTURES5}
    for key in SELECTION:
        if key in own and key in wanted and key not in idle and _plain(own[key]) != _plain(wanted[key]):
            yield f"the run has dataset.{key}={own[key]}, the published value {wanted[key]}"


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, (list, tuple)) else value


def data_words(row: PublishedRow, dataset: str) -> tuple[str, ...]:
    """Return the settings (``dataset=mpdd``, ``dataset.split=all``) of the data of a published number."""
    rows = [
        r
        for paper in map(load_paper, paper_names())
        if paper.key == row.paper
        for table in paper.tables.values()
        for r in table.rows
        if r.dataset == row.dataset
    ]
    for one in sorted(rows, key=lambda r: r.category != row.category):
        words = tuple(word for word in one.overrides if word.startswith(("dataset=", "dataset.")))
        if words:
            return words
    return (f"dataset={dataset}",) if dataset in options("dataset") else ()


@functools.cache
def dataset_settings(*words: str) -> dict[str, Any]:
    """Return the settings of a dataset, given as on the command line; empty where none is given."""
    return dict(compose(words)[0]["dataset"]) if words else {}


def protocols_differ(result: RunResult, row: PublishedRow) -> bool:
    """Whether a number was published under another protocol than the run's."""
    preset = protocols()[row.protocol].preset
    return preset is None or result.protocol.hash != preset_hash(preset)


def unfair_protocol(result: RunResult, row: PublishedRow) -> Iterator[str]:
    """Yield why the run's protocol is not the published one, as far as that is known."""
    protocol = protocols()[row.protocol]
    if protocol.preset is None:
        yield f"published protocol {row.protocol} has no counterpart: {protocol.because}"
    elif result.protocol.hash != preset_hash(protocol.preset):
        yield f"published under {row.protocol}, run under {result.protocol.name}; take protocol={protocol.preset}"
    elif protocol.match == "part":
        yield f"protocol agrees in part: {protocol.because}"


@functools.cache
def preset_hash(name: str) -> str:
    """Return the hash of a preset of ``conf/protocol``."""
    return Protocol.model_validate(
        {k: v for k, v in compose([f"protocol={name}"])[0]["protocol"].items() if k != "_target_"}
    ).hash
