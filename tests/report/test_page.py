"""The report: whole in one file, usable in a browser, and deaf to what names and answers contain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import axe_core_python
import pytest

from benchmark.cli.main import main
from benchmark.report import page as report
from benchmark.report.charts import library
from benchmark.report.page_board import board
from benchmark.report.page_data import anchor as report_anchor
from tests.browser import Page, chromium_page
from tests.report.page_runs import EVIL, SAID, long_board


@pytest.fixture(scope="module")
def page_file(root: Path) -> Path:
    assert main(["report", "--results-root", str(root)]) == 0
    return root / "report.html"


@pytest.fixture
def page(page_file: Path) -> Iterator[Page]:
    with chromium_page() as opened:
        opened.open(page_file.as_uri())
        yield opened


def test_the_file_names_nothing_outside_itself(page_file: Path) -> None:
    html = page_file.read_text(encoding="utf-8")
    ours = html.replace(library(), "")  # what it could ask for, the policy forbids
    assert len(ours) < len(html)
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", ours)
    assert "url(http" not in ours and "@import" not in ours
    assert "default-src 'none'" in html


def test_names_and_answers_are_escaped(page_file: Path) -> None:
    html = page_file.read_text(encoding="utf-8")
    assert EVIL not in html
    assert "<img src=x" not in html
    assert html.count("<script") == html.count("</script>")


def test_every_run_and_metric_stands_in_the_page(root: Path, page_file: Path) -> None:
    html = page_file.read_text(encoding="utf-8")
    for _, result in report.find_runs(root):
        assert result.id in html
        assert result.digest in html
    assert "part of the images" in html
    assert "always defective F2" in html


def test_results_that_came_along_stand_behind_ones_own_and_say_so(root: Path) -> None:
    results = [result for _, result in report.find_runs(root)]
    own = next(r for r in results if r.choices["pipeline"] == "reference_difference" and r.dataset.name == "sat")
    others = frozenset(r.id for r in results if r.id != own.id)
    found = board(results, references=others)
    assert [c["name"] for c in found["columns"]] == ["sat", "folder"]
    here = [e for e in found["entries"] if e["col"] == 0]
    assert [e["reference"] for e in here] == [e["anchor"] != report_anchor(own) for e in here]
    assert here[0]["anchor"] == report_anchor(own) and "reference result" in str(here[1]["tags"])
    names = [m["name"] for m in found["metrics"]]
    assert names.index("image_auroc") < names.index("ap")


def test_a_browser_opens_it_without_errors_or_requests(page: Page, page_file: Path) -> None:
    assert page.complaints() == []
    assert page.requests() == [page_file.as_uri()]
    assert page.run("typeof window.hacked") == "undefined"


def test_the_first_view_answers_and_the_leaderboard_is_filtered_and_sorted(page: Page) -> None:
    said = page.run("[...document.querySelectorAll('.findings li')].map(l => l.innerText)")
    assert len(said) == 2 and "On sat, reference_difference is best of 2 methods: image_auroc" in said[1]
    assert "within chance (p " in said[1] or "beyond chance (p " in said[1]
    page.call("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=True)
    assert page.run("document.querySelector('.findings').getBoundingClientRect().bottom") < 800, "above the fold"
    body = "document.querySelector('#board tbody')"
    rows = f"[...{body}.rows].filter(r => r.offsetParent).length"
    before = page.run(rows)
    page.run("const s = document.getElementById('search'); s.value = 'constant'; s.dispatchEvent(new Event('input'))")
    assert 0 < page.run(rows) < before
    assert page.run("document.getElementById('shown').textContent") == "2 of 3 rows"
    page.run("s.value = ''; s.dispatchEvent(new Event('input'))")
    heads = "[...document.querySelectorAll('#board thead th')].map(h => h.textContent)"
    assert page.run(heads) == ["method", "folder", "sat"]
    page.run("const d = document.getElementById('f-dataset'); d.value = 'sat'; d.dispatchEvent(new Event('input'))")
    assert page.run(rows) == 3 and "f2" in page.run(heads)
    assert "always defective F2" in page.run("document.getElementById('b-notes').textContent")
    head = "[...document.querySelectorAll('#board th')].find(h => h.textContent === 'f2')"
    page.run(f"{head}.querySelector('button').click()")
    assert page.run(f"{head}.ariaSort") == "descending" and "sort=-f2" in page.run("location.hash")
    values = page.run(f"[...{body}.rows].map(r => Number(r.cells[{head}.cellIndex].querySelector('b').textContent))")
    assert len(values) == 3
    assert values == sorted(values, reverse=True)
    assert page.complaints() == []


def test_the_first_view_needs_nothing_of_the_data_behind_the_script(
    page: Page, page_file: Path, tmp_path: Path
) -> None:
    html = page_file.read_text(encoding="utf-8")
    end = html.index("</script>", html.index('"use strict";\n// Texts that came from models'))
    assert min(html.index(f'id="{name}') for name in ("chart-library", "in-run-", "images-0", "pool-")) > end
    (tmp_path / "begun.html").write_text(html[:end] + "</script>", encoding="utf-8")
    page.open((tmp_path / "begun.html").as_uri() + "#?search=constant")
    assert page.run("document.querySelectorAll('#board tbody tr').length") == 2
    assert page.run("document.querySelector('.findings').innerText").startswith("On ")
    assert page.complaints() == []


def test_a_long_leaderboard_is_drawn_over_several_frames(page: Page, page_file: Path, tmp_path: Path) -> None:
    page.open(long_board(page_file, tmp_path, rows=300).as_uri())
    rows, words = "document.querySelectorAll('#board tbody tr').length", "document.getElementById('search')"
    page.until(f"{rows} === 300")
    page.run("const d = document.getElementById('f-dataset'); d.value = 'sat'")
    at_once = page.run(f"d.dispatchEvent(new Event('input')); {rows}")
    assert 0 < at_once <= 40
    assert page.run("document.getElementById('shown').textContent") == "300 of 300 rows"
    page.until(f"{rows} === 300")
    assert (
        page.run("document.querySelectorAll('#board td *').length / document.querySelectorAll('#board td').length") <= 2
    )
    searched = f"{words}.value = %r; {words}.dispatchEvent(new Event('input')); {rows}"
    assert page.run(searched % "setting-299-") == 1
    assert page.run(searched % "") == at_once
    assert page.run(f"dispatchEvent(new Event('beforeprint')); {rows}") == 300, "a page is printed whole"
    page.run(searched % "")
    page.run("location.hash = document.querySelector('details.later').id")
    page.until(f"document.querySelector('details.later > div') && {rows} === 300")
    sections = (
        "[...document.querySelectorAll('main > section')].every(s => getComputedStyle(s).contentVisibility === 'auto')"
    )
    assert page.run(sections), "what is out of view is not laid out"
    assert page.complaints() == []


def test_every_metric_of_the_leaderboard_fits_a_printed_page(page: Page) -> None:
    page.run("const d = document.getElementById('f-dataset'); d.value = 'sat'; d.dispatchEvent(new Event('input'))")
    page.call("Emulation.setEmulatedMedia", media="print")
    inside = 688  # CSS pixels between the margins of A4
    page.call("Emulation.setDeviceMetricsOverride", width=inside, height=1000, deviceScaleFactor=1, mobile=False)
    assert page.run("document.querySelectorAll('#board thead th').length") > 9
    assert page.run("document.querySelector('#board table').getBoundingClientRect().width") <= inside


def test_what_is_inside_a_run_is_made_when_it_is_opened_and_charts_when_they_are_seen(page: Page) -> None:
    run = "document.querySelector('details.later[id*=reference]')"
    assert page.run(f"{run}.querySelector('table')") is None
    assert page.run("typeof vegaEmbed") == "undefined"
    page.run(f"location.hash = {run}.id")
    page.until(f"!!{run}.querySelector('.bars table')")
    page.run(f"const p = {run}.querySelector('select.pick'); p.value = 1")
    page.run("p.dispatchEvent(new Event('input', { bubbles: true }))")
    assert page.run(f"[...{run}.querySelectorAll('.bars')].map(b => !b.hidden).indexOf(true)") == 1
    page.run(f"{run}.querySelector('.chart').scrollIntoView()")
    ink = f"[...{run}.querySelectorAll('.chart svg text')].map(t => t.getAttribute('fill'))"
    page.until(f"{ink}.length > 4")
    before = page.run(ink)
    page.run("document.getElementById('theme').click()")
    page.until(f"{ink}.length > 4 && {ink}[0] !== {before[0]!r}")
    assert page.complaints() == []


def test_an_image_opens_and_its_overlay_follows_the_slider(page: Page) -> None:
    page.run("document.getElementById('gallery').scrollIntoView()")
    page.until("document.querySelectorAll('.tile').length === 7")
    page.until("[...document.querySelectorAll('.tile img')].every(i => i.complete && i.naturalWidth > 0)")
    heads = page.run("[...document.querySelectorAll('#grid h3')].map(h => h.firstChild.textContent.trim())")
    assert heads == ["Misses", "Best images"]
    assert "one scale for all images of the run" in page.run("document.getElementById('g-legend').textContent")
    said = page.run("[...document.querySelector('.tile').querySelectorAll('span')].map(s => s.textContent)")
    assert said[1:] == ["scratch · missed ✗", "score 12.2 · IoU 0.00"]
    cut = "s => s.scrollWidth > s.clientWidth || s.scrollHeight > s.clientHeight + 1"
    assert not page.run(f"[...document.querySelectorAll('.tile span')].some({cut})")
    page.run("document.querySelector('.tile').focus()")
    page.key("ArrowRight")
    page.key("ArrowLeft")
    assert page.run("document.activeElement === document.querySelector('.tile')")
    page.run("document.activeElement.click()")
    assert page.run("document.getElementById('viewer').open")
    inside = "i.getBoundingClientRect().height <= i.parentElement.getBoundingClientRect().height + 1"
    assert page.run(f"[...document.querySelectorAll('.stack img')].every(i => {inside})")
    opacity = "getComputedStyle(document.querySelector('#v-stack canvas')).opacity"
    assert page.run(opacity) == "0.8"
    page.run("const r = document.getElementById('v-slider'); r.value = 50; r.dispatchEvent(new Event('input'))")
    assert page.run(opacity) == "0.5"
    page.until("document.querySelector('#v-stack canvas').width > 1")
    page.run("document.getElementById('v-in').click()")
    assert page.run("getComputedStyle(document.querySelector('#v-stack img')).transform").startswith("matrix(1.5,")
    page.run("const l = document.getElementById('v-layer'); l.value = 'truth'; l.dispatchEvent(new Event('input'))")
    assert "image/png" in page.run("document.querySelectorAll('#v-stack img')[1].src.slice(0, 20)")
    assert page.run("document.querySelectorAll('#v-views figure').length") == 4
    assert page.run("[...document.querySelectorAll('#v-views img')].every(i => i.alt)")
    first = page.run("document.getElementById('v-title').textContent")
    page.run("document.getElementById('viewer').focus()")
    page.key("ArrowRight")
    page.until(f"document.getElementById('v-title').textContent !== {first!r}")
    page.key("Escape")
    page.until("!document.getElementById('viewer').open")
    page.until("document.activeElement === document.querySelectorAll('.tile')[1]")
    assert page.complaints() == []


def test_a_link_leads_to_what_was_chosen_and_opened(page: Page, page_file: Path) -> None:
    page.run("const s = document.getElementById('search'); s.value = 'a & b=c'; s.dispatchEvent(new Event('input'))")
    assert page.run("location.hash") == "#?search=a+%26+b%3Dc"
    page.run("s.value = ''; s.dispatchEvent(new Event('input'))")
    page.run("const p = document.getElementById('f-paper'); p.checked = false; p.dispatchEvent(new Event('input'))")
    page.run("document.getElementById('gallery').scrollIntoView()")
    page.until("document.querySelectorAll('.tile').length === 7")
    page.run("const r = document.getElementById('g-run'); r.selectedIndex = 1; r.dispatchEvent(new Event('input'))")
    page.run("document.querySelector('a[href^=\"#run-\"]').click()")
    page.until("location.hash.includes('open=run-')")
    page.run("document.querySelectorAll('.tile')[2].click()")
    page.run("const b = document.getElementById('v-beside'); b.selectedIndex = 1; b.dispatchEvent(new Event('input'))")
    page.run("document.getElementById('v-in').click()")
    opened, run = "document.getElementById('v-title').textContent", "document.getElementById('g-run').selectedIndex"
    state = f"[{opened}, {run}, b.selectedOptions[0].textContent, zoom.by, opened().length]"
    found, link = page.run(state), page.run("location.hash")
    page.open("about:blank")
    page.open(page_file.as_uri() + link)
    page.until("document.getElementById('viewer').open")
    page.run("const b = document.getElementById('v-beside')")
    assert page.run(state) == found and found[1:2] + found[3:] == [1, 1.5, 1]
    assert not page.run("document.getElementById('f-paper').checked")
    page.run("document.getElementById('viewer').close()")
    page.until("!location.hash.includes('image=')")
    assert page.complaints() == []


def test_an_address_is_followed_while_the_page_stands_and_may_name_nothing(page: Page, page_file: Path) -> None:
    page.open("about:blank")
    page.open(page_file.as_uri() + "#?g-sort=nonsense&f-dataset=%3Cb%3E&g-run=none")
    page.run("document.getElementById('gallery').scrollIntoView()")
    page.until("document.querySelectorAll('.tile').length === 7")
    assert page.run("[...document.querySelectorAll('select')].every((s) => s.selectedIndex >= 0)")
    page.run("document.querySelectorAll('.tile')[2].click()")
    page.run("location.hash = '#?g-search=scratch&image=none'")
    page.until("document.querySelectorAll('.tile').length === 3 && !document.getElementById('viewer').open")
    page.run("document.getElementById('v-layer').dispatchEvent(new Event('input'))")
    page.run("location.hash = '#?g-sort=order'")
    page.until("document.querySelector('.tile').title.startsWith('part/test/good/0.png')")
    assert page.complaints() == []


def test_two_runs_stand_side_by_side_on_one_image(page: Page) -> None:
    page.run("document.getElementById('gallery').scrollIntoView()")
    page.until("document.querySelectorAll('.tile').length === 7")
    page.run("const r = document.getElementById('g-run'), o = [...r.options]")
    page.run(
        "r.value = o.find(x => x.textContent.includes('sat × constant')).value; r.dispatchEvent(new Event('input'))"
    )
    page.run("document.querySelector('.tile').click()")
    names = page.run("[...document.getElementById('v-beside').options].map(x => x.textContent)")
    assert names[0] == "no other run" and any("sat × reference" in name for name in names)
    assert not any("folder" in name for name in names), "a run on other images is no neighbour"
    assert page.run("document.getElementById('v-other').hidden")
    page.run("const b = document.getElementById('v-beside')")
    page.run(
        "b.value = o.find(x => x.textContent.includes('sat × reference')).value; b.dispatchEvent(new Event('input'))"
    )
    assert page.run("document.querySelectorAll('#v-other .stack > *').length") == 2
    assert "scale of the run beside" in page.run("document.getElementById('v-other-legend').textContent")
    page.run("chosenRun().scale = [0, 1e3]; overlay()")
    scale = "document.getElementById('v-legend').textContent"
    assert page.run(scale).startswith("score ≤ 0 ") and "≥ 1000: one scale for both runs" in page.run(scale)
    page.run("const c = document.getElementById('v-scale'); c.value = 'own'; c.dispatchEvent(new Event('input'))")
    assert "all images of the run" in page.run(scale)
    assert "sat × reference_difference" in page.run("document.querySelector('#v-other figcaption').textContent")
    page.run("document.getElementById('viewer').focus()")
    page.key("ArrowRight")
    page.until("b.value && !document.getElementById('v-other').hidden")
    assert page.complaints() == []


@pytest.mark.parametrize(
    ("dark", "width"),
    [
        (False, 1600),
        (True, 400),
        *(pytest.param(*more, marks=pytest.mark.slow) for more in ((True, 1000), (False, 400))),
    ],
)
def test_axe_finds_no_fault_of_accessibility(page: Page, dark: bool, width: int) -> None:
    script = Path(axe_core_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
    page.run("document.getElementById('gallery').scrollIntoView()")
    page.until("document.querySelectorAll('.tile').length === 7")
    page.run(f"document.documentElement.dataset.theme = '{'dark' if dark else 'light'}'")
    page.run("document.querySelectorAll('details').forEach(d => { d.open = true })")
    page.until("document.querySelectorAll('details.later:not(:has(> div))').length === 0")
    page.run(f"{script}; 1")
    kinds = "axe.run({ resultTypes: ['violations'] }).then(r => r.violations.map(v => v.id + ' ' + v.nodes[0].html))"
    assert page.run(kinds) == []
    page.run("const d = document.getElementById('f-dataset'); d.value = 'sat'; d.dispatchEvent(new Event('input'))")
    assert page.run(kinds.replace("run(", "run('#board', ", 1)) == [], "of all metrics"
    page.run("document.querySelector('.tile').click()")
    assert page.run(kinds.replace("run(", "run('#viewer', ", 1)) == [], "of one image"
    inside = "document.getElementById('viewer')"
    assert page.run(f"{inside}.scrollWidth <= {inside}.clientWidth"), "the viewer does not scroll sideways"
    assert page.run("document.documentElement.scrollWidth") <= width


def test_markup_in_names_and_rationales_does_nothing(page: Page) -> None:
    page.run("document.getElementById('gallery').scrollIntoView()")
    page.until("document.querySelectorAll('.tile').length === 7")
    page.run(
        "const q = document.getElementById('g-search'); q.value = '<script>window'; q.dispatchEvent(new Event('input'))"
    )
    page.until("document.querySelectorAll('.tile').length > 0")
    page.run("document.querySelector('.tile').click()")
    assert page.run("document.getElementById('rationale').textContent") == SAID
    assert page.run("document.getElementById('rationale').children.length") == 0
    assert page.run("document.querySelectorAll('img[src=x]').length") == 0
    assert page.run("typeof window.hacked") == "undefined"
    assert page.complaints() == []


def test_images_are_ordered_by_what_went_wrong(page: Page) -> None:
    page.run("document.getElementById('gallery').scrollIntoView()")
    page.until("document.querySelectorAll('.tile').length === 7")
    page.run("const o = document.getElementById('g-sort'); o.value = 'worst'; o.dispatchEvent(new Event('input'))")
    qualities = page.run("list.map(i => i.quality)")
    assert qualities == sorted(qualities)
    page.run("o.value = 'alarms'; o.dispatchEvent(new Event('input'))")
    assert page.run("list.every(i => !i.defective && i.called)")
    page.run("o.value = 'misses'; o.dispatchEvent(new Event('input'))")
    assert page.run("list.map(i => i.id)") == ["part/test/scratch/c.png"]


def test_a_narrow_page_says_that_a_table_goes_on(page: Page) -> None:
    page.run("const d = document.getElementById('f-dataset'); d.value = 'sat'; d.dispatchEvent(new Event('input'))")
    hint = "document.querySelector('#board + .hint')"
    page.call("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=True)
    page.run("document.getElementById('leaderboard').scrollIntoView()")
    page.until(f"{hint}?.checkVisibility()")
    assert page.run("document.documentElement.scrollWidth") <= 400, "the page itself does not scroll sideways"
    assert page.run("document.getElementById('board').tabIndex") == 0
    page.run("document.getElementById('board').scrollLeft = 1e6")
    page.until(f"!{hint}.checkVisibility()")
    assert page.run("document.getElementById('board').classList.contains('left')")
    page.call("Emulation.setDeviceMetricsOverride", width=1600, height=900, deviceScaleFactor=1, mobile=False)
    page.until(f"!{hint}.checkVisibility()")
