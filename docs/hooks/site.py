"""What mkdocs adds to ``docs/``: pages that stand elsewhere in the repository, and the reference pages."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

from docs.hooks.reference import pages

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = {
    "index.md": "README.md",
    "datasets.md": "datasets/README.md",
    "published.md": "baselines/README.md",
    "extend.md": "CONTRIBUTING.md",
    "parity.md": "tests/parity/README.md",
    "changes.md": "CHANGELOG.md",
}
"""Pages of the site by their place in it, and the files of the repository that they are."""
LINK = re.compile(r"\[(?P<text>[^\]\n]*)\]\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
log = logging.getLogger("mkdocs.hooks")


def on_config(config: Any) -> Any:
    """Put a page for each group of ``conf/`` behind the other reference pages."""
    config.nav[-1]["Reference"] += [page for page in pages() if page not in config.nav[-1]["Reference"]]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that stand elsewhere and the reference."""
    from mkdocs.structure.files import File

    elsewhere = {place: (ROOT / source).read_text(encoding="utf-8") for place, source in ELSEWHERE.items()}
    for place, text in {**elsewhere, **pages()}.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links at pages of the site; of a link to another file of the repository the text stays."""
    place = page.file.src_uri
    return markdown if place.startswith("reference/") else LINK.sub(lambda match: resolved(match, place), markdown)


def resolved(link: re.Match[str], place: str) -> str:
    """Return one link of a page as the site has it; a warning, which ends a strict build, where nothing is there."""
    file = (ROOT / ELSEWHERE.get(place, f"docs/{place}")).parent / link["target"]
    target = Path(os.path.normpath(file)).relative_to(ROOT).as_posix()
    if not file.exists():
        log.warning(f"{place} links to {target}, which is not there")
    pages = {source: page for page, source in ELSEWHERE.items()}
    if target not in pages and not target.startswith("docs/"):
        return link["text"]
    return f"[{link['text']}]({pages.get(target, target.removeprefix('docs/'))}{link['anchor'] or ''})"
