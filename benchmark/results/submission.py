"""A result that somebody adds to this repository: slim, public, without unknown fields, read as a stranger's file.

It stands at ``results/community/<data>/<method>-<first digits of its digest>.json``.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from benchmark.core.errors import ResultsError
from benchmark.core.secrets import redact
from benchmark.core.settings import Record
from benchmark.core.terminal import printable
from benchmark.weights.used import WeightsUsed

COMMUNITY = "community"
"""Folder of submissions below ``results/``."""
MOST_BYTES = 1_000_000
"""Of a file; one with every metric of forty categories has a quarter of that."""
DEEPEST = 8
"""Values inside each other; a submission has four."""
A_FILE = "(a file, see files)"
"""What stands in the place of a path of somebody's machine."""
_PATH = re.compile(r"(?:^|[\s\"'(=:,\[])(?:/(?!/)[\w.]|~[\w/]|\.\.?/|[A-Za-z]:[\\/](?!/)|\\\\\w|file:)")

FORMS = {
    "who": "a name begins with a letter or digit, and has up to 80 of letters, digits, blanks and .,'&()+-",
    "licence": "give an identifier of SPDX such as CC-BY-4.0",
    "source": "give an address, https://…, of up to 200 characters without blanks, brackets and quotes",
    "method": "a name begins with a letter or digit, and has up to 80 of a-z, A-Z, 0-9 and ._-",
}
"""What the giver's own words look like, for people."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
Text = Annotated[str, Field(max_length=400)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Leaf = bool | int | Number | Text | None


class SubmittedData(Record):
    """Which images the values are of."""

    option: Name
    """Option of ``conf/dataset``, or the name of somebody's own data."""
    card: Name | None
    """Data set of ``datasets/`` that they are of; None: own data."""
    private: bool
    """Whether nobody else can have them: no value of such data can be checked, which has to be said."""
    fingerprint: Sha256
    images: Count
    """Test images, all of which were scored."""
    defective: Count
    """Defective ones among them."""
    categories: Annotated[tuple[Text, ...], Field(min_length=1, max_length=500)]


class SubmittedProtocol(Record):
    """How predictions were scored: an option of ``conf/protocol``."""

    name: Name
    hash: Sha256


class SubmittedCode(Record):
    """Which version of this package made the values, on what."""

    version: Text
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40,64}$")] | None
    dirty: bool | None
    """Whether the checkout had uncommitted changes."""
    processor: Text


class SubmittedValue(Record):
    """One number with its interval."""

    metric: Name
    category: Text
    """``mean``, ``pooled``, or one of the data's categories."""
    value: Number
    low: Number | None
    high: Number | None
    n: Count
    """Images that the value is computed over."""
    n_defective: Count


class Submission(Record):
    """All that is public of a run."""

    schema_version: Literal[1] = 1
    method: Name
    who: Annotated[str, Field(pattern=r"^\w[\w .,'’&()+-]{0,79}$")]
    """Who gives it, as the leaderboard shows it."""
    licence: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]{0,39}$")]
    """Of these numbers, an identifier of SPDX."""
    source: Annotated[str, Field(pattern=r"^https?://[^\s<>\"'()\[\]|`\\]{1,200}$")] | None
    """Where the paper, the code or the weights of the method stand."""
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    run: Name
    """Id of the run; its last digits are a hash of every setting and of the data."""
    run_digest: Sha256
    choices: Annotated[dict[Text, Name], Field(max_length=30)]
    """Option of each group of ``conf/``."""
    settings: Annotated[dict[Text, Leaf | tuple[Leaf, ...]], Field(max_length=200)]
    """Dotted keys whose values are not those of the options."""
    files: Annotated[dict[Text, Sha256], Field(max_length=200)]
    """Digests of the files that settings name."""
    data: SubmittedData
    protocol: SubmittedProtocol
    code: SubmittedCode
    weights: Annotated[tuple[WeightsUsed, ...], Field(max_length=50)]
    outcomes: dict[Literal["ok", "failed", "invalid", "blocked"], Count]
    values: Annotated[tuple[SubmittedValue, ...], Field(min_length=1, max_length=20_000)]
    digest: str = ""
    """SHA-256 of all other fields as canonical JSON."""

    def sealed(self) -> Submission:
        """Return a copy with its digest filled in."""
        return self.model_copy(update={"digest": self.computed_digest()})

    def computed_digest(self) -> str:
        """Return the digest (64 hex digits) that the content has."""
        return hashlib.sha256(self.model_dump_json(exclude={"digest"}, indent=1).encode()).hexdigest()

    @property
    def place(self) -> Path:
        """Where the file stands below ``results/community``."""
        return Path(self.data.option, f"{self.method}-{self.digest[:12]}.json")

    def headline(self, averaging: str) -> dict[str, SubmittedValue]:
        """Return for each metric the value that a protocol with this ``averaging`` calls its result."""
        order = ("mean", "pooled") if averaging == "categories" else ("pooled", "mean")
        found: dict[str, SubmittedValue] = {}
        for category in order:
            for row in self.values:
                if row.category == category:
                    found.setdefault(row.metric, row)
        return found


def read_submission(path: Path) -> Submission:
    """Read a submission, which may be anybody's file.

    Raises:
        ResultsError: too large, no regular file, no JSON, a key twice, too deep, or not a submission of this version.
    """
    try:
        if path.is_symlink() or not path.is_file():
            raise ResultsError(f"{path}: no regular file; give the JSON file of a submission")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ResultsError(f"{path}: more than {MOST_BYTES:,} bytes; a submission holds numbers alone")
        read = json.loads(content.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
        if _depth(read) > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} deep")
        return Submission.model_validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = printable(".".join(str(part)[:60] for part in first["loc"][:6])) or "the file"
        told = (
            FORMS.get(where, first["msg"][:200]) if first["type"] == "string_pattern_mismatch" else first["msg"][:200]
        )
        raise ResultsError(f"{path}: not a submission of this version ({where}: {told})") from None
    except RecursionError:
        raise ResultsError(f"{path}: nested more than {DEEPEST} deep; a submission is not") from None
    except OSError as error:
        raise ResultsError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ResultsError(f"{path}: not the JSON of a submission ({printable(str(error))[:200]})") from None


def spdx(licence: str) -> str:
    """Return an identifier of SPDX as SPDX writes it (``cc-by-4.0`` is ``CC-BY-4.0``).

    Raises:
        ResultsError: SPDX lists no such licence.
    """
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        usual = canonicalize_license_expression(licence)
    except InvalidLicenseExpression:
        usual = None
    if usual is None or usual.startswith("LicenseRef-") or not re.fullmatch(r"[A-Za-z0-9.+-]+", usual):
        raise ResultsError(f"{licence!r} is no licence that SPDX lists; give one as CC-BY-4.0: spdx.org/licenses")
    return str(usual)


def unfit_texts(submission: Submission) -> list[str]:
    """Name the fields with a text that must not be public or shown: a credential, a path of a machine, a control
    character."""
    found = []
    for place, text in _texts(submission.model_dump(mode="json"), ""):
        for wrong, what in (
            (redact(text) != text, "looks like a credential"),
            (looks_like_path(text), "is a path of a machine"),
            (printable(text) != text or "\n" in text or "\t" in text, "has control characters"),
        ):
            if wrong:
                found.append(f"{printable(place)[:80]} {what}")
    return found


def looks_like_path(text: str) -> bool:
    """Whether a text holds a path that says something of a machine: absolute, or from its home or working folder."""
    return _PATH.search(text) is not None


def _texts(value: Any, place: str) -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(place, value)]
    if isinstance(value, dict):
        keys = [(f"{place}: a key", str(key)) for key in value]
        return keys + [pair for key, inner in value.items() for pair in _texts(inner, f"{place}.{key}".lstrip("."))]
    if isinstance(value, list):
        return [pair for at, inner in enumerate(value) for pair in _texts(inner, f"{place}.{at}")]
    return []


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a key stands twice")
    return read


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)
