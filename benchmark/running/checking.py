"""Whether a submitted result can be believed, as far as its own content tells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.config.options import options
from benchmark.core.errors import BenchmarkError, ResultsError
from benchmark.core.resources import REFERENCE
from benchmark.core.terminal import printable
from benchmark.core.text import counted
from benchmark.data.card import find_card
from benchmark.results import files
from benchmark.results.schema import OWN_DATA
from benchmark.results.submission import Submission, SubmittedValue, read_submission, spdx, unfit_texts
from benchmark.running.submitting import preset_hash_of
from benchmark.scoring.metrics.registry import METRICS

State = Literal["verified", "not verified", "refused"]
ENTRY = "options, settings, files, protocol, weights and images"
"""What makes a submission another one; there is one of each."""
NO_VALUE = ("dataset.name", "run.on_error")
"""Settings that change no value."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of what was looked at."""

    what: str
    state: State
    told: str


def show_checks(checks: Iterable[Check]) -> int:
    """Print one line a check as they come; returns the exit status, 1 where anything was refused."""
    refused = 0
    for check in checks:
        refused += check.state == "refused"
        print(f"{check.state}: {check.what}: {printable(check.told)}", flush=True)
    return int(refused > 0)


def content_checks(submission: Submission, path: Path | None) -> Iterator[Check]:
    """Yield what the content of a submission says for and against it.

    Args:
        submission: as it was read.
        path: where it stands, beside others; None: nowhere yet.
    """
    digest = submission.computed_digest()
    edited = f"the content has {digest[:12]}, so it was edited after it was written; write it anew with make submit"
    yield _if(submission.digest == digest, "digest", "fits the content", edited)
    yield _licence(submission.licence)
    yield from (Check(what="texts", state="refused", told=text) for text in unfit_texts(submission)[:20])
    if path is not None:
        yield _stands_where_it_says(submission, path)
        yield from _alone(submission, path)
    yield from _data(submission)
    yield from _protocol(submission)
    yield from _options(submission)
    yield from _weights(submission)
    problems = list(_problems(submission))
    yield from (Check(what="values", state="refused", told=problem) for problem in problems[:20])
    if not problems:
        told = f"{len(submission.values)} in their ranges and intervals, of known metrics, each once"
        yield Check(what="values", state="verified", told=told)


def _if(good: bool, what: str, told: str, wrong: str) -> Check:
    return Check(what=what, state="verified" if good else "refused", told=told if good else wrong)


def _stands_where_it_says(submission: Submission, path: Path) -> Check:
    place = Path(*path.absolute().parts[-2:])
    wanted = submission.place.as_posix()
    return _if(place == submission.place, "place", wanted, f"{place.as_posix()}; its content says {wanted}")


def _licence(given: str) -> Check:
    try:
        usual = spdx(given)
    except ResultsError as error:
        return Check(what="licence", state="refused", told=str(error))
    return _if(usual == given, "licence", f"{given} is an identifier of SPDX", f"{given} is written {usual} by SPDX")


def _alone(submission: Submission, path: Path) -> Iterator[Check]:
    """Refuse what is there already, whoever gave it and whatever it is called there."""
    own = path.absolute()
    in_place = own.parent.name == submission.place.parent.name
    for other in sorted(own.parent.parent.glob("*/*.json") if in_place else own.parent.glob("*.json")):
        if other == own:
            continue
        try:
            known = read_submission(other)
        except BenchmarkError:
            continue  # it has a check of its own
        same_run = known.run_digest == submission.run_digest
        if same_run or _same_entry(known, submission):
            file = f"{other.parent.name}/{other.name}"
            of = "is of the same run" if same_run else f"has the same {ENTRY}"
            told = (
                f"{file} {of}; there can be one. To confirm its values: make verify-submission FILE=…/{file}; to "
                "correct one of your own, remove that file first"
            )
            yield Check(what="unique", state="refused", told=told)
            return
    yield Check(what="unique", state="verified", told=f"no other submission has the same {ENTRY}")


def _same_entry(one: Submission, two: Submission) -> bool:
    """Whether two submissions are of one experiment; which metrics were chosen makes it no other one."""
    return _entry(one) == _entry(two)


def _entry(one: Submission) -> tuple[object, ...]:
    choices = {group: option for group, option in one.choices.items() if group.partition("@")[0] != "metric"}
    settings = {key: value for key, value in one.settings.items() if key not in NO_VALUE}
    weights = {used.sha256 or used.name for used in one.weights}
    return choices, settings, one.files, one.protocol.hash, weights, one.data.fingerprint


def _data(submission: Submission) -> Iterator[Check]:
    data = submission.data
    option = submission.choices.get("dataset", "")
    if option not in OWN_DATA and data.option != option:
        yield Check(what="data", state="refused", told=f"is called {data.option}, its option is {option}")
    if data.card is None or data.private:
        told = "own data that nobody else has" if data.private else "without a card, and not said to be private"
        yield Check(what="data", state="not verified" if data.private else "refused", told=told)
        return
    card = find_card(data.card)
    if card is None:
        yield Check(what="data", state="refused", told=f"there is no card datasets/{data.card}/card.yaml")
        return
    known = [r for r in map(files.read_result, _references()) if r.choices["dataset"] == option]
    same = [r for r in known if r.dataset.fingerprint == data.fingerprint]
    if same:
        facts = (same[0].dataset.n_samples_effective, same[0].dataset.n_defective)
        good = facts == (data.images, data.defective)
        told = f"the images and labels of the reference result {same[0].id.rpartition('-')[0]}"
        yield _if(good, "data", told, f"has {counted(data.images, 'image')}, those of its fingerprint are {facts[0]}")
    else:
        told = f"datasets/{data.card} is known; no reference result has these images, make verify-submission reads them"
        yield Check(what="data", state="not verified", told=told)


def _references() -> list[Path]:
    return sorted(path.parent for path in REFERENCE.glob(f"*/{files.RESULT}"))


def _protocol(submission: Submission) -> Iterator[Check]:
    protocol = submission.protocol
    known = preset_hash_of(protocol.name)
    chosen = submission.choices.get("protocol") == protocol.name
    if known is None:
        yield Check(what="protocol", state="refused", told=f"conf/protocol has no {protocol.name}")
    else:
        good = known == protocol.hash and chosen
        yield _if(good, "protocol", f"{protocol.name} {known[:12]}", f"{protocol.name} has the hash {known[:12]}")


def _options(submission: Submission) -> Iterator[Check]:
    for place, option in submission.choices.items():
        group = place.partition("@")[0]
        if option not in options(group):
            yield Check(what="options", state="refused", told=f"conf/{group} has no {option}")


def _weights(submission: Submission) -> Iterator[Check]:
    from benchmark.weights import find, names

    for used in submission.weights:
        if used.random:
            yield Check(what="weights", state="refused", told=f"{used.name}: random, so that the values mean nothing")
            continue
        if not used.sha256:
            continue  # learnt in the run itself
        files = find(used.name).files if used.name in names() else ()
        if len(files) != 1 or files[0].sha256 is None:
            told = f"{used.name} {used.sha256[:12]} is in no registry of digests"
            yield Check(what="weights", state="not verified", told=told)
        else:
            good = used.sha256.startswith(files[0].sha256)
            yield _if(good, "weights", used.name, f"{used.name} has not the digest that is published of it")


def _problems(submission: Submission) -> Iterator[str]:
    """Yield what cannot be true of values."""
    seen: set[tuple[str, str]] = set()
    known = {"mean", "pooled", *submission.data.categories}
    if sum(submission.outcomes.values()) != submission.data.images:
        yield f"outcomes of {sum(submission.outcomes.values())} images, the data has {submission.data.images}"
    if submission.data.defective > submission.data.images:
        yield "more defective images than images"
    for row in submission.values:
        where = f"{row.metric} of {row.category}"
        if (row.metric, row.category) in seen:
            yield f"{where} stands twice"
        seen.add((row.metric, row.category))
        if row.metric not in METRICS:
            yield f"{where}: no metric of this package"
        elif row.category not in known:
            yield f"{where}: the data has no such category"
        elif not 0.0 <= row.value <= 1.0:
            yield f"{where}: {row.value} is outside of 0 to 1"
        elif (row.low is None) != (row.high is None):
            yield f"{where}: an interval with one end"
        elif row.low is not None and row.high is not None and not row.low <= row.value <= row.high:
            yield f"{where}: {row.value} is outside of its interval [{row.low}, {row.high}]"
        elif row.n > submission.data.images or row.n_defective > min(row.n, submission.data.defective):
            yield f"{where}: of {row.n} images, {row.n_defective} defective, which the data does not have"
    yield from _wrong_means(submission.values, submission.data.categories)


def _wrong_means(values: Iterable[SubmittedValue], categories: Iterable[str]) -> Iterator[str]:
    """Yield means that are not the unweighted mean of the categories' values, where these are given."""
    of = {(row.metric, row.category): row.value for row in values}
    for (metric, category), value in of.items():
        parts = [of[metric, name] for name in categories if (metric, name) in of]
        if category == "mean" and parts and not math.isclose(value, math.fsum(parts) / len(parts), abs_tol=1e-9):
            yield f"{metric} of mean: {value} is not the mean {math.fsum(parts) / len(parts)} of its categories"
