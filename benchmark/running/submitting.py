"""From a finished run to the slim result that its maker gives to everybody (``benchmark.results.submission``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from benchmark.config.compose import compose
from benchmark.config.moved import new_words, recorded
from benchmark.core.errors import ConfigError, ResultsError
from benchmark.data.card import find_card
from benchmark.report.papers.fairness import preset_hash, unfair_run
from benchmark.results.schema import RunResult, plain
from benchmark.results.submission import (
    A_FILE,
    FORMS,
    Submission,
    SubmittedCode,
    SubmittedData,
    SubmittedProtocol,
    SubmittedValue,
    looks_like_path,
    spdx,
    unfit_texts,
)
from benchmark.weights.used import WeightsUsed

GROUPS = ("dataset", "pipeline", "tiling", "run")
"""Parts of a run's config whose settings are compared with the options; protocol and metrics stand for themselves."""


def submission_of(
    result: RunResult, *, who: str, licence: str, method: str | None, source: str | None, private: bool
) -> Submission:
    """Return what is public of a run.

    Args:
        result: of the run.
        who: gives it.
        licence: of the numbers, an identifier of SPDX such as ``CC-BY-4.0``, in any case.
        method: what it is called; None: the option of its pipeline.
        source: address of the paper, the code or the weights; None: there is none.
        private: the data is somebody's own, and nobody else can have it.

    Raises:
        ResultsError: the run is partial or of random weights, its protocol is no option of ``conf/protocol``, its data
            has no card and is not said to be private, SPDX lists no such licence, or a text may not be public.
    """
    if reasons := list(unfair_run(result)):
        raise ResultsError(f"{result.id}: {'; '.join(reasons)}; submit a run of all images")
    card = find_card(result.dataset.name)
    if card is None and not private:
        raise ResultsError(
            f"{result.data_label} has no card in datasets/, so that nobody can check its values; the word private_data "
            'says so: make submit RUN=… ARGS="who=… licence=… private_data"'
        )
    protocol = result.protocol.name
    if preset_hash_of(protocol) != result.protocol.hash:
        raise ResultsError(
            f"{result.id}: protocol {protocol!r} is no option of conf/protocol, so that its values compare with no "
            "others; run with protocol=NAME as it stands, or add yours to conf/protocol in the same pull request"
        )
    made = result.measured
    try:
        usual = spdx(licence)
    except ResultsError as error:
        raise ResultsError(f"licence={error}") from None
    try:
        submission = Submission(
            method=method or result.choices["pipeline"],
            who=who,
            licence=usual,
            source=source,
            date=made.started[:10],
            run=result.id,
            run_digest=result.digest,
            choices=current_choices(result.choices),
            settings=changed_settings(result),
            files=dict(result.config.get("files", {})),
            data=SubmittedData(
                option=result.data_label,
                card=None if card is None else card.name,
                private=private,
                fingerprint=result.dataset.fingerprint,
                images=result.dataset.n_samples_effective,
                defective=result.dataset.n_defective,
                categories=tuple(result.dataset.categories),
            ),
            protocol=SubmittedProtocol(name=protocol, hash=result.protocol.hash),
            code=SubmittedCode(
                version=made.packages.get("fm-defect-bench", "not known"),
                commit=made.git_commit,
                dirty=made.git_dirty,
                processor=" ".join(str(v) for k in ("cpu", "kernels") if (v := made.hardware.get(k))),
            ),
            weights=tuple(_public(used) for used in result.weights),
            outcomes=result.outcomes,
            values=tuple(_values(result)),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ResultsError(f"{where}={first['input']!r}: {_fix(where)}") from None
    if unfit := unfit_texts(submission):
        raise ResultsError(f"{result.id}: {unfit[0]}, which must not be public; change that setting, and run again")
    return submission.sealed()


def current_choices(choices: Mapping[str, str]) -> dict[str, str]:
    """Return group to option as it is called today: results go on using the name of their time."""
    return {
        group: (new_words(group, option) or f"{group}={option}").partition("=")[2] for group, option in choices.items()
    }


def words_of(choices: Mapping[str, str]) -> list[str]:
    """Return choices as words of a command line, those of parts of an option behind it."""
    return [f"{group}={option}" for group, option in sorted(choices.items(), key=lambda pair: "@" in pair[0])]


def changed_settings(result: RunResult) -> dict[str, Any]:
    """Return the settings of a run that are not those of its options, by dotted key; paths are left out.

    Raises:
        ConfigError: an option that this package does not have.
    """
    usual: dict[str, Any] = recorded(plain(compose(words_of(current_choices(result.choices)))[0]))
    found = {}
    for group in GROUPS:
        now = dict(_leaves(usual.get(group, {}), f"{group}."))
        for key, value in _leaves(result.config.get(group, {}), f"{group}."):
            if not key.endswith("_target_") and (key not in now or now[key] != value):
                found[key] = _without_paths(value)
    return found


def preset_hash_of(name: str) -> str | None:
    """Return the hash of an option of ``conf/protocol``; None where there is no such option."""
    try:
        return preset_hash(name)
    except ConfigError:
        return None


def _values(result: RunResult) -> Iterator[SubmittedValue]:
    """Yield the defined values: the protocol's result, and what it is made of where there are several categories."""
    whole = len(result.dataset.categories) == 1  # else the other rows say the same
    for row in result.headline().values() if whole else result.metrics:
        if row.value is not None:
            yield SubmittedValue(**row.model_dump(include=set(SubmittedValue.model_fields)))


def _public(used: WeightsUsed) -> WeightsUsed:
    return used.model_copy(update={"name": "weights of a file"}) if looks_like_path(used.name) else used


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _without_paths(value: Any) -> Any:
    if isinstance(value, list):
        flat = [_without_paths(inner) for inner in value]
        return tuple(str(inner) if isinstance(inner, tuple) else inner for inner in flat)
    return A_FILE if isinstance(value, str) and looks_like_path(value) else value


def _fix(field: str) -> str:
    """Say how a field of the command is given."""
    return FORMS.get(field, "must not be public as it is; submit a run whose settings are numbers and short words")
