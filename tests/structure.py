"""Counts rooms, loose modules, circles and upward imports of the package: ``python -m tests.structure``.

The floors are those of ``tool.importlinter`` in pyproject.toml. Every import counts, type-only and lazy ones too.
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import grimp

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
MOST_ROOMS, MOST_LOOSE = 14, 3


@dataclass(frozen=True, kw_only=True)
class Structure:
    """How the package is laid out."""

    rooms: tuple[str, ...]
    """Packages directly below the root."""
    loose: tuple[str, ...]
    """Files directly below the root, ``__init__`` among them."""
    circles: tuple[frozenset[str], ...]
    """Sets of modules that import each other in a ring."""
    upward: tuple[tuple[str, str], ...]
    """(importer, imported) where the imported room stands on the same floor or a higher one."""

    def faults(self) -> list[str]:
        """Return one line for each promise that is not kept."""
        found = [f"circle: {', '.join(sorted(circle))}" for circle in self.circles]
        found += [f"upward: {importer} imports {imported}" for importer, imported in self.upward]
        if len(self.rooms) > MOST_ROOMS:
            found.append(f"{len(self.rooms)} rooms, at most {MOST_ROOMS}: {', '.join(self.rooms)}")
        if len(self.loose) > MOST_LOOSE:
            found.append(f"{len(self.loose)} loose modules, at most {MOST_LOOSE}: {', '.join(self.loose)}")
        return found


def floors() -> list[list[str]]:
    """Return the rooms of each floor, from the roof to the ground."""
    contracts = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers" and c["containers"] == ["benchmark"])
    return [[room.strip() for room in layer.replace(":", "|").split("|")] for layer in layers]


def measure(package: str = "benchmark") -> Structure:
    """Read every import of the package."""
    graph = grimp.build_graph(package, cache_dir=None)
    edges = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    children = graph.find_children(package)
    rooms = {child for child in children if graph.find_children(child)}
    level = {f"{package}.{room}": number for number, rooms_of in enumerate(floors()) for room in rooms_of}
    upward = [
        (importer, imported)
        for importer, targets in edges.items()
        for imported in targets
        if (above := _room(importer)) != (below := _room(imported))
        and above in level
        and below in level
        and level[below] <= level[above]
    ]
    return Structure(
        rooms=tuple(sorted(_name(room) for room in rooms)),
        loose=tuple(sorted(["__init__", *(_name(child) for child in children - rooms)])),
        circles=tuple(circles(edges)),
        upward=tuple(sorted(upward)),
    )


def circles(edges: dict[str, set[str]]) -> list[frozenset[str]]:
    """Return the strongly connected components of more than one module."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    names = sorted(edges)
    place = {name: i for i, name in enumerate(names)}
    pairs = [(place[a], place[b]) for a in names for b in edges[a]]
    rows, columns = zip(*pairs, strict=True)
    _, labels = connected_components(
        csr_array(([1] * len(pairs), (rows, columns)), shape=(len(names), len(names))), connection="strong"
    )
    groups: dict[int, set[str]] = {}
    for name, label in zip(names, labels.tolist(), strict=True):
        groups.setdefault(label, set()).add(name)
    return [frozenset(group) for group in groups.values() if len(group) > 1]


def _room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _name(module: str) -> str:
    return module.rpartition(".")[2]


def main() -> int:
    """Print the counts and every fault; exit status 1 where there is one."""
    found = measure()
    print(
        f"{len(found.rooms)} rooms, {len(found.loose)} loose modules, "
        f"{len(found.circles)} circles, {len(found.upward)} upward imports"
    )
    faults = found.faults()
    for fault in faults:
        print(f"  {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
