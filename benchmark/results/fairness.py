"""Whether a run and a published number measure the same thing."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.results.papers import published_as
from benchmark.results.published import OUR_METRIC, PublishedRow, protocols, published
from benchmark.results.schema import MetricRecord, RunResult

OTHER_NAME = {"pets": "oxford_iiit_pet", "sat": ""}
"""Our dataset -> its name in the published files, where it differs; empty: nobody published on it."""
WHOLE = frozenset({"mean", "all", "cat", "textures5"})
"""Published categories that stand for all categories of a run."""


def own_metric(result: RunResult, row: PublishedRow) -> MetricRecord | None:
    """Return the run's number for a published cell; None where dataset, metric or category have no counterpart.

    A published value over everything is set beside the run's headline: the mean over categories, or all images
    together where the run's protocol averages over images.
    """
    dataset = OTHER_NAME.get(result.dataset.name, result.dataset.name)
    name = OUR_METRIC.get(row.metric)
    if dataset != row.dataset or name is None:
        return None
    names = ["f1_max_linspace100", name] if row.protocol.startswith("iap_as") and name == "f1_max" else [name]
    for wanted in names:
        for own in result.headline().values() if row.category in WHOLE else result.metrics:
            if own.metric == wanted and (row.category in WHOLE or own.category == row.category):
                return own
    return None


def beside(result: RunResult) -> dict[tuple[str, str], list[PublishedRow]]:
    """Return what is published of a run's own method under the run's protocol, by our metric and category.

    A number that several tables of one paper repeat stands once.
    """
    names, found = published_as(result.choices["pipeline"]), dict[tuple[str, str], list[PublishedRow]]()
    for row in published():
        preset = protocols()[row.protocol].preset
        if (row.paper, row.method) not in names or preset is None or preset_hash(preset) != result.protocol.hash:
            continue
        own = own_metric(result, row)
        if own is None or row.fraction is None or _five_textures_only(result, row):
            continue
        known = found.setdefault((own.metric, own.category), [])
        if all((row.paper, row.printed) != (other.paper, other.printed) for other in known):
            known.append(row)
    return found


def is_partial(result: RunResult) -> bool:
    """Whether the run saw only part of its dataset, or its numbers mean nothing."""
    data = result.dataset
    whole = data.n_samples_effective == data.n_samples_original
    expected = data.n_samples_expected in (None, data.n_samples_original)
    return result.meaningless or not whole or not expected


def images(result: RunResult) -> str:
    """Return ``263`` or ``10 of 263``."""
    data = result.dataset
    of = data.n_samples_expected or data.n_samples_original
    return str(data.n_samples_effective) if data.n_samples_effective == of else f"{data.n_samples_effective} of {of}"


def unfair(result: RunResult, row: PublishedRow) -> Iterator[str]:
    """Yield every reason why a run's number and a published one do not measure the same thing."""
    yield from unfair_protocol(result, row)
    data = result.dataset
    if data.n_samples_effective < data.n_samples_original:
        yield f"the run saw {data.n_samples_effective} of {data.n_samples_original} images"
    elif data.n_samples_expected is not None and data.n_samples_original != data.n_samples_expected:
        yield f"the dataset has {data.n_samples_original} of {data.n_samples_expected} images"
    if _five_textures_only(result, row):
        yield "published over five textures only"
    if result.meaningless:
        yield "random weights: the run's numbers mean nothing"
    if not row.usable:
        yield f"the published value is {row.flag}"


def _five_textures_only(result: RunResult, row: PublishedRow) -> bool:
    return row.category == "textures5" and len(result.dataset.categories) != 5


def unfair_protocol(result: RunResult, row: PublishedRow) -> Iterator[str]:
    """Yield why the run's protocol is not the published one, as far as that is known."""
    protocol = protocols()[row.protocol]
    if protocol.preset is None:
        yield f"published protocol {row.protocol} has no counterpart: {protocol.because}"
    elif result.protocol.hash != preset_hash(protocol.preset):
        yield f"published under {row.protocol}, run under {result.protocol.name}; take protocol={protocol.preset}"
    elif protocol.match == "part":
        yield f"protocol agrees in part: {protocol.because}"


def preset_hash(name: str) -> str:
    """Return the hash of a preset of ``conf/protocol`` as it stands now."""
    import yaml

    from benchmark.config import CONF
    from benchmark.protocol import Protocol

    read = yaml.safe_load((CONF / "protocol" / f"{name}.yaml").read_text(encoding="utf-8"))
    return Protocol.model_validate({k: v for k, v in read.items() if k != "_target_"}).hash
