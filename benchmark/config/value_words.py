"""What a setting may be, in a sentence: ``auto, or a whole number of 1 or more``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from benchmark.core.settings import Settings

NUMBERS = {int: "a whole number", float: "a number"}
OF_A_TYPE = ("int_", "float_", "finite_number", "bool_", "greater_than", "less_than", "literal_error")
"""How kinds of errors begin that the type of a setting explains; what a validator of ours says is better than that."""


def problems_of(cls: type[Settings], error: ValidationError) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Yield each problem once, with what its setting may be; None: what is wrong stands in the problem alone.

    Pydantic names a problem for each member of a union, as if it were a key below the setting. Here they are one.

    Args:
        cls: the settings that were refused.
        error: what pydantic says.
    """
    told: set[tuple[tuple[str | int, ...], str | None]] = set()
    problems: list[dict[str, Any]] = [dict(problem) for problem in error.errors()]
    ours = {_setting(cls, problem["loc"])[0] for problem in problems if problem["type"] == "value_error"}
    for problem in problems:
        kind = problem["type"]
        place, field = _setting(cls, problem["loc"])
        if place in ours and kind != "value_error":
            continue
        if kind != "missing":  # which is also said of a list that is too short
            problem["loc"] = place
        may_be: str | None = None
        if kind == "string_pattern_mismatch" and field is not None:
            may_be = field.description
        elif kind == "union_tag_invalid":
            tag = problem["ctx"]["discriminator"].strip("'")
            problem |= {"loc": (*place, tag), "input": problem["ctx"]["tag"]}
            may_be = problem["ctx"]["expected_tags"].replace("'", "").replace(", ", " or ")
        elif field is not None and kind != "value_error":
            is_union = len(_members(field.annotation)) > 1
            if is_union or kind.startswith(OF_A_TYPE):
                may_be = ", or ".join(_forms(field.annotation, field.metadata))
        if may_be and isinstance(place[-1], int):
            problem["loc"] = place[:-1]
        same = (problem["loc"], may_be or kind)
        if same not in told:
            told.add(same)
            yield problem, may_be or None


def takes_text(cls: type[Settings], place: Sequence[str | int]) -> bool:
    """Whether the setting at a place is a text or a path."""
    field = _setting(cls, place)[1]
    return field is None or any(_form(kind, ()) in ("a text", "a path", None) for kind in _members(field.annotation))


def _setting(cls: type[Settings], place: Sequence[str | int]) -> tuple[tuple[str | int, ...], FieldInfo | None]:
    """Return the place of the setting that a problem is in, without names of members of unions, and its field.

    What is wrong in one element of a list is a problem of a field of that element's type; None: no field can be told.
    """
    keys: list[str | int] = []
    rest = list(place)
    while rest:
        field = cls.model_fields.get(str(rest[0]))
        keys.append(rest.pop(0))
        if field is None:
            break
        members = _members(field.annotation)
        inner = [kind for kind in members if isinstance(kind, type) and issubclass(kind, Settings)]
        if len(inner) > 1 and rest:
            inner = [kind for kind in inner if rest[0] in get_args(kind.model_fields["kind"].annotation)]
            rest.pop(0)
        if len(inner) == 1:
            cls = inner[0]
            continue
        if not rest or len(members) > 1:
            return tuple(keys), field
        if len(rest) == 1 and isinstance(rest[0], int) and get_origin(members[0]) in (tuple, list):
            return (*keys, *rest), FieldInfo(annotation=get_args(members[0])[0])
        break
    return (*keys, *rest), None


def _members(annotation: Any) -> list[Any]:
    """Types of a union, or the one type; None is none of them."""
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return [part for part in parts if part is not NoneType]


def _forms(annotation: Any, bounds: Sequence[Any]) -> Iterator[str]:
    """Yield each form of a value, in words; nothing where one of them has none."""
    parts = [_form(part, bounds) for part in _members(annotation)]
    if all(parts):
        yield from (part for part in parts if part)
        if NoneType in get_args(annotation):
            yield "null"


def _form(annotation: Any, bounds: Sequence[Any]) -> str | None:
    origin = get_origin(annotation)
    if origin is Annotated:
        base, *found = get_args(annotation)
        inner = [one for mark in found for one in (mark.metadata if isinstance(mark, FieldInfo) else [mark])]
        return _form(base, [*bounds, *inner])
    if origin is Literal:
        *others, last = map(str, get_args(annotation))
        return f"{', '.join(others)} or {last}" if others else last
    if annotation in NUMBERS:
        return f"{NUMBERS[annotation]}{_interval(bounds)}"
    if annotation is bool:
        return "true or false"
    if origin in (tuple, list):
        return "a list [first,second]"
    if origin is dict:
        return "a mapping {name: value}"
    return {str: "a text", Path: "a path"}.get(annotation)


def _interval(bounds: Sequence[Any]) -> str:
    """Say which numbers are meant, of bounds with ``ge``, ``gt``, ``le`` and ``lt``."""
    of = {name: getattr(b, name) for b in bounds for name in ("ge", "gt", "le", "lt") if hasattr(b, name)}
    if "ge" in of and "le" in of:
        return f" from {of['ge']} to {of['le']}"
    low = f" of {of['ge']} or more" if "ge" in of else f" above {of['gt']}" if "gt" in of else ""
    high = f" up to {of['le']}" if "le" in of else f" below {of['lt']}" if "lt" in of else ""
    return f"{low}{' and' if low and high else ''}{high}"
