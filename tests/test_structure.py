"""The layout of the package: rooms, floors, and no import that climbs."""

from __future__ import annotations

from tests.structure import circles, floors, measure


def test_the_house_keeps_its_promises() -> None:
    found = measure()
    assert len(found.rooms) > 5 and found.faults() == []


def test_every_room_has_a_floor() -> None:
    found = measure()
    placed = [room for floor in floors() for room in floor]
    assert sorted(placed) == sorted({*found.rooms, *found.loose} - {"__init__", "__main__"})


def test_a_circle_is_found_whatever_its_length() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": {"e2"}, "e2": {"e"}}
    assert {frozenset("abc"), frozenset({"e", "e2"})} == set(circles(edges))
