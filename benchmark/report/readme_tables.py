"""The tables in READMEs and docs, written from cards, options, published numbers and the metrics themselves.

A table stands between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``; the rest of the file is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.errors import ConfigError
from benchmark.core.resources import CONF
from benchmark.data.card import Card, card_names, load_card

if TYPE_CHECKING:
    from benchmark.report.papers.published_row import PublishedRow

FILES = ("README.md", "baselines/README.md", "datasets/README.md", "docs/*.md")
"""Where tables may stand, below the checkout."""

_ORDER = (
    "sat",
    "mvtec",
    "mvtec_ad_2",
    "mvtec_loco",
    "visa",
    "real_iad",
    "vad",
    "mpdd",
    "btad",
    "mtd",
    "ksdd1",
    "ksdd2",
    "dtd_synthetic",
    "dagm",
    "pets",
)

_NETWORKS = {
    "backbone": "feature networks",
    "detector": "detectors",
    "sam": "segmenters",
    "clip": "text-image networks",
}
"""Groups of ``conf/`` whose options are networks, in the words of the field."""


def update(root: Path, blocks: Mapping[str, Callable[[], str]], *, write: bool) -> list[str]:
    """Bring the tables of the READMEs and docs below ``root`` up to date; returns the files that were not.

    Args:
        root: of the checkout.
        blocks: what writes each table, by the name of its markers.
        write: False: change nothing.
    """
    files = [path for pattern in FILES for path in sorted(root.glob(pattern))]
    return [path.relative_to(root).as_posix() for path in files if _update(path, blocks, write=write)]


def render(text: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """Return ``text`` with every table between its markers written anew.

    Raises:
        ConfigError: a begin marker has no end marker.
    """
    for name, table in blocks.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        if begin not in text:
            continue
        if text.find(end) < text.find(begin):
            raise ConfigError(f"{begin} has no {end} behind it; add it to the file")
        head, _, rest = text.partition(begin)
        text = f"{head}{begin}\n{table()}\n{end}{rest.partition(end)[2]}"
    return text


def dataset_table() -> str:
    """One row for each dataset: name, images, licence, how to get it."""
    rows = [
        f"| `{card.name}` | {card.title} | {_counts(card)} "
        f"| {_link(card.licence.name, card.licence.url)} | {_how(card)} |"
        for card in _cards()
    ]
    head = ["| dataset | what | images (good + defective) | licence | how to get it |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def permission_table() -> str:
    """One row for each dataset: what its licence allows, and what to cite."""
    rows = [
        f"| `{card.name}` | {card.licence.commercial} | {card.licence.redistribution} | {card.licence.note or ''} "
        f"| {' '.join(card.citation.split())} |"
        for card in _cards()
    ]
    head = ["| dataset | commercial use | redistribution | remark | cite |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def options_table(group: str, word: str) -> str:
    """One row for each option of a group of ``conf/``, with the first line of its file that says what it is.

    Args:
        group: folder of ``conf/``.
        word: what stands before the option's name on a command line.
    """
    rows = []
    for path in sorted((CONF / group).glob("*.yaml")):
        lines = [line.removeprefix("#").strip() for line in path.read_text(encoding="utf-8").splitlines()]
        rows.append(f"| `{word}{path.stem}` | {_plain(next(line for line in lines if not line.startswith('@')))} |")
    return "\n".join(["| option | what it is |", "|---|---|", *rows])


def contents_table() -> str:
    """One row for each kind of thing that can be chosen or looked up: its page, how many there are, and which."""
    from benchmark.report.papers.paper import paper_names
    from benchmark.report.papers.published import published
    from benchmark.scoring.metrics.registry import METRICS

    def files(group: str) -> list[Path]:
        return sorted((CONF / group).glob("*.yaml"))

    cards, papers = _cards(), {row.paper for row in published()}
    methods = [file.stem for file in files("pipeline") if "\n_target_:" in file.read_text(encoding="utf-8")]
    networks = {kind: len(files(group)) for group, kind in _NETWORKS.items()}
    counted = ", ".join(f"{number} {kind}" for kind, number in networks.items())
    rows = (
        ("datasets", "datasets/README.md", len(cards), ", ".join(card.name for card in cards)),
        ("pipelines", "docs/pipelines.md", len(files("pipeline")), f"presets of {', '.join(methods)}"),
        (
            "networks inside them",
            "docs/compare.md#another-network-in-a-method",
            sum(networks.values()),
            f"{counted}; others of timm, torchvision, transformers and open_clip by their names",
        ),
        ("protocols", "docs/protocols.md", len(files("protocol")), ", ".join(f.stem for f in files("protocol"))),
        (
            "metrics",
            "docs/glossary.md#metrics",
            len(METRICS),
            "of pixels, regions, masks, labels, image scores and answers",
        ),
        ("papers to reproduce", "docs/reproduce.md", len(paper_names()), ", ".join(paper_names())),
        ("published numbers", "baselines/README.md", len(published()), f"of {len(papers)} papers and reports"),
    )
    lines = [f"| [{kind}]({page}) | {number:,} | {told} |" for kind, page, number, told in rows]
    return "\n".join(["| what | number | which |", "|---|---:|---|", *lines])


def paper_table() -> str:
    """One row for each paper whose tables can be run: its name for ``make reproduce``, its title, the tables."""
    from benchmark.report.papers.paper import load_paper, paper_names

    papers = {name: load_paper(name) for name in paper_names()}
    rows = [f"| `PAPER={n}` | {_plain(p.title)} | {', '.join((*p.tables, *p.costs))} |" for n, p in papers.items()]
    return "\n".join(["| option | paper | tables |", "|---|---|---|", *rows])


def trap_list() -> str:
    """The traps of every dataset, from its card."""
    lines = []
    for card in _cards():
        lines.append(f"- **{card.title}**")
        lines += [f"    - {_plain(trap)}" for trap in card.traps]  # four blanks, as both renderers want
    return "\n".join(lines)


def metric_table() -> str:
    """One row for each metric: what it is computed from, what it says, and which end is better."""
    from benchmark.scoring.metrics.registry import METRICS

    rows = [
        f"| `{m.name}` | {m.description}{' (oracle)' if m.oracle else ''} | {m.source.replace('_', ' ')} "
        f"| {'higher' if m.higher_is_better else 'lower'} |"
        for m in METRICS.values()
    ]
    return "\n".join(["| metric | what it is | needs | better |", "|---|---|---|---|", *rows])


def published_table() -> str:
    """One row for each paper and source: where its published numbers stand, how many, on what data, how measured."""
    from benchmark.report.papers.published import published

    groups: dict[tuple[str, str], list[PublishedRow]] = {}
    for row in published():
        groups.setdefault((row.paper, row.source), []).append(row)
    rows = [
        f"| `{paper}` | {_listed(r.table for r in own)} | {_listed(r.dataset for r in own)} | {len(own)} "
        f"| {_listed(r.protocol for r in own)} | {_plain(source)} |"
        for (paper, source), own in groups.items()
    ]
    head = ["| paper | place | datasets | numbers | protocols | source |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def leaderboard() -> str:
    """Submitted and published results, a table for each data set and protocol."""
    from benchmark.report.leaderboard import leaderboard_text

    return leaderboard_text()


BLOCKS: dict[str, Callable[[], str]] = {
    "leaderboard": leaderboard,
    "datasets": dataset_table,
    "permissions": permission_table,
    "options": partial(options_table, "dataset", "dataset="),
    "protocols": partial(options_table, "protocol", "protocol="),
    "sweeps": partial(options_table, "sweep", "SWEEP="),
    "contents": contents_table,
    "papers": paper_table,
    "traps": trap_list,
    "metrics": metric_table,
    "published": published_table,
}


def _update(path: Path, blocks: Mapping[str, Callable[[], str]], *, write: bool) -> bool:
    """Bring one file up to date; True when it was not."""
    old = path.read_text(encoding="utf-8")
    new = render(old, blocks)
    if write and new != old:
        path.write_text(new, encoding="utf-8")
    return new != old


def _cards() -> list[Card]:
    cards = [load_card(name) for name in card_names()]
    return sorted(cards, key=lambda card: (_ORDER.index(card.name) if card.name in _ORDER else len(_ORDER), card.name))


def _plain(text: str) -> str:
    """Keep Markdown from reading ``*`` and ``_`` as emphasis, and ``<name>`` as HTML."""
    return re.sub(r"([*_])", r"\\\1", text).replace("<", "&lt;")


def _listed(words: Iterable[str]) -> str:
    return "; ".join(_plain(word) for word in dict.fromkeys(words))


def _counts(card: Card) -> str:
    if not card.counts and card.total is not None:
        return f"{card.total:,}"
    if not card.counts:
        return "not checked, see the traps"
    good, defective = sum(c.good for c in card.counts), sum(c.defective for c in card.counts)
    return f"{good + defective:,} ({good:,} + {defective:,})"


def _how(card: Card) -> str:
    if card.source.kind == "generated":
        return "generated on first use"
    if card.source.kind == "manual":
        return f"`make data DATASET={card.name}` prints the steps, then verifies"
    size = sum(archive.size or 0 for archive in card.source.archives)
    return f"`make data DATASET={card.name}`" + (f" ({size / 1e6:,.0f} MB)" if size else "")


def _link(text: str, url: str | None) -> str:
    return text if url is None else f"[{text}]({url})"
