"""``verify-submission``: what can be checked of submitted results, line by line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.words import path, settings_and_names

if TYPE_CHECKING:
    from benchmark.core.table import Grid
    from benchmark.results.submission import Submission
    from benchmark.running.checking import Check


def verify_submission(
    words: Annotated[
        list[str], typer.Argument(metavar="FILE... [key=value]...", help="Submissions, and settings of a run.")
    ],
    *,
    maps: Annotated[
        Path | None, typer.Option(parser=path, help="Exported predictions of the run, which are scored again.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Make no values again; read the files alone.")] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Note in verified.csv that the values were made again.")
    ] = False,
    markdown: Annotated[Path | None, typer.Option(parser=path, help="Write the comment of a pull request.")] = None,
) -> int:
    """Check submitted results: verify-submission FILE [maps=FOLDER] [quick] [record] [markdown=FILE].

    The exit status is 1 where a line is refused, and where maps, settings or record were given and the values could not
    be made again.
    """
    from benchmark.core.errors import ConfigError
    from benchmark.report.submission_comment import comment, of_file
    from benchmark.results import files
    from benchmark.running.recomputing import WHAT

    settings, names = settings_and_names([word for word in words if not _is_file(word)])
    names += [word for word in words if _is_file(word)]
    if not names:
        raise ConfigError("name a submission: make verify-submission FILE=results/community/….json")
    if maps is not None and (len(names) != 1 or quick):
        raise ConfigError("maps=… are those of one submission: give one FILE, without quick")
    if maps is not None and not maps.is_dir():
        raise ConfigError(
            f"maps={maps}: no such folder; give the one that run.export=[maps,masks,csv] wrote, RUN/export"
        )
    if quick and (settings or record):
        raise ConfigError(f"quick makes no value again, so that {' '.join(settings) or 'record'} would go unread")
    for name in names:
        if not (Path(name).exists() or Path(name).is_symlink()):
            raise ConfigError(f"{name} cannot be read: there is no such file; submissions lie in results/community")
    status, undone, parts = 0, False, []
    for place in map(Path, names):
        print(f"{place.name}:")
        one, checks = _looked_at(place, maps=maps, quick=quick, record=record, settings=settings)
        status |= any(check.state == "refused" for check in checks)
        undone |= any(check.what == WHAT and check.state == "not verified" for check in checks)
        if markdown is not None:
            told = [(check.state, check.what, check.told) for check in checks]
            parts.append(of_file(place.name, told, _beside_others(one, place)))
    if markdown is not None:
        files.write_atomically(markdown, comment(parts).encode())
    asked = [*([] if maps is None else [f"maps={maps}"]), *settings, *(["record"] if record else [])]
    if status or not (asked and undone):
        print("refused" if status else "nothing speaks against it")
        return status
    print(f"not done: {' '.join(asked)} asked for {WHAT}; the lines 'not verified: {WHAT}' say why they were not")
    return 1


def _is_file(word: str) -> bool:
    """Whether a word with ``=`` is the path of a file all the same: no file of a pull request goes unread."""
    return "/" in word.partition("=")[0]


def _looked_at(
    place: Path, *, maps: Path | None, quick: bool, record: bool, settings: Sequence[str]
) -> tuple[Submission | None, list[Check]]:
    """Print and return the checks of one file; its values are made again where its content was not refused."""
    from benchmark.core.errors import ResultsError
    from benchmark.results.submission import read_submission
    from benchmark.results.verified import write_verified
    from benchmark.running.checking import Check, content_checks, show_checks
    from benchmark.running.recomputing import recompute

    try:
        one = read_submission(place)
    except ResultsError as error:
        checks = [Check(what="file", state="refused", told=str(error).replace(str(place), place.name))]
        show_checks(checks)
        return None, checks
    checks = list(content_checks(one, place))
    if show_checks(checks) or quick:
        return one, checks
    (again,) = recompute(one, maps=maps, extra=settings)
    show_checks([again])
    if record and again.state == "verified":
        write_verified(place.parent.parent, one.digest, again.told.partition(":")[0])
    return one, [*checks, again]


def _beside_others(one: Submission | None, place: Path) -> Grid | None:
    """Set a submission beside others of its folder and beside published numbers; None where that cannot be."""
    from benchmark.core.errors import BenchmarkError
    from benchmark.report.leaderboard import boards
    from benchmark.report.submission_comment import differences
    from benchmark.results.submission import read_submission
    from benchmark.running.submitting import preset_hash_of

    if one is None:
        return None
    others = []
    for file in sorted(place.parent.glob("*.json")):
        try:
            others.append(read_submission(file))
        except BenchmarkError:
            continue  # refused by its own check
    both = [one, *(other for other in others if other.digest != one.digest)]
    comparable = [two for two in both if preset_hash_of(two.protocol.name) == two.protocol.hash]
    try:
        found = boards(comparable, {})
    except BenchmarkError:  # options that are not there, which the checks refuse
        return None
    board = next((board for board in found if one.digest in {entry.digest for entry in board.entries}), None)
    return None if board is None else differences(one, board)
