"""Charts of the documentation: drawn from the table above them, or refused with the reason."""

import importlib.util
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

if not (ROOT / "docs").exists():
    pytest.skip("these tests read a checkout of the source", allow_module_level=True)
for package in ("sphinx", "matplotlib"):
    pytest.importorskip(package)

from docutils import nodes  # noqa: E402
from docutils.core import publish_doctree  # noqa: E402
from docutils.parsers.rst import directives  # noqa: E402
from sphinx.errors import SphinxError  # noqa: E402

_spec = importlib.util.spec_from_file_location("charts", ROOT / "docs" / "_ext" / "charts.py")
charts = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(charts)
directives.register_directive("chart", charts.Chart)

TABLE = """
======  ========  ====  =====
\\                 VOC
----------------  -----------
photos  chosen    mAP   F1
======  ========  ====  =====
0       \\         60.0  50
1,000   diverse   65.5  \N{EN DASH}
1,000   random    62.5  51 %
2,000   random    63.5
======  ========  ====  =====

"""


def parse(text):
    """The document of a page; what only Sphinx knows is passed over."""
    quiet = {"report_level": 5, "halt_level": 5, "warning_stream": io.StringIO()}
    return publish_doctree(text, settings_overrides=quiet)


def table():
    return charts.read_table(next(parse(TABLE).findall(nodes.table)))


def drawn(page):
    """The SVG of each panel of a page."""
    text = "".join(raw.astext() for raw in parse(page).findall(nodes.raw))
    return re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)


def test_columns_are_called_by_all_their_heads():
    names, rows = table()
    assert names == ["photos", "chosen", "VOC mAP", "VOC F1"]
    assert rows[1] == ["1,000", "diverse", "65.5", charts.EMPTY]


def test_rows_without_a_text_are_part_of_all_lines():
    panels = charts.make_panels(*table(), "lines", "photos", ["VOC mAP", "VOC F1"], "chosen")
    first = (0.0, 60.0, "")
    assert panels["VOC mAP"] == {
        "diverse": [first, (1000.0, 65.5, "diverse")],
        "random": [first, (1000.0, 62.5, "random"), (2000.0, 63.5, "random")],
    }
    assert panels["VOC F1"] == {"random": [(0.0, 50.0, ""), (1000.0, 51.0, "random")]}


def test_one_column_may_hold_the_number_and_the_line():
    rows = [["224 pixels, whole", "1"], ["224 pixels, parts", "2"], ["320 pixels, whole", "3"]]
    (lines,) = charts.make_panels(["at", "mAP"], rows, "lines", "at", ["mAP"], "at").values()
    assert {line: [point[:2] for point in points] for line, points in lines.items()} == {
        "whole": [(224, 1), (320, 3)],
        "parts": [(224, 2)],
    }


@pytest.mark.parametrize("kind", charts.KINDS)
def test_a_row_that_is_added_to_the_table_is_drawn(kind):
    by = "" if kind == "bars" else "   :by: chosen\n"
    chart = f".. chart:: {kind}\n   :x: photos\n   :y: VOC mAP\n{by}   :alt: a chart\n"
    more = TABLE.replace("2,000   random ", "2,000   clusters  70.5  53\n2,000   random ")
    (before,), (after,) = drawn(TABLE + chart), drawn(more + chart)
    assert "clusters" in after or "70.5" in after
    assert before != after and after.count("<path") + after.count("<use") > before.count("<path")


def test_texts_and_lines_take_the_colours_of_the_page():
    chart = (
        ".. chart:: lines\n   :x: photos\n   :y: VOC mAP\n   :log: y\n   :alt: <a>\n\n   Caption.\n"
    )
    page = parse(TABLE + chart)
    (svg,) = drawn(TABLE + chart)
    assert "var(--pst-color-text-base)" in svg and charts.TEXT not in svg and charts.GRID not in svg
    assert not re.search(r"<svg[^>]* (width|height)=|font-family|<style", svg)
    assert 'aria-label="&lt;a&gt;"' in page.astext()
    assert [caption.astext() for caption in page.findall(nodes.caption)] == ["Caption."]


@pytest.mark.parametrize(
    ("chart", "message"),
    [
        ("pie\n   :x: photos\n   :y: VOC mAP\n   :alt: a", "the kinds are lines, points, bars"),
        ("bars\n   :x: photos\n   :y: VOC mAP", "without alt"),
        ("bars\n   :x: photos\n   :y: mAP\n   :alt: a", "no column 'mAP'. Its columns: photos; "),
        ("lines\n   :x: chosen\n   :y: VOC F1\n   :alt: a", "'diverse' in the column 'chosen' is"),
        ("lines\n   :x: photos\n   :y: chosen\n   :alt: a", "'diverse' in the column 'chosen' is"),
        ("lines\n   :x: photos\n   :y: VOC mAP\n   :log: z\n   :alt: a", "log takes x, y or both"),
        ("lines\n   :x: photos\n   :y: VOC mAP; VOC F1\n   :alt: a", "need a y-label"),
        ("points\n   :x: photos\n   :y: VOC mAP\n   :alt: a", "points need the column `by`"),
    ],
)
def test_a_chart_that_cannot_be_drawn_stops_the_build_and_says_why(chart, message):
    with pytest.raises(SphinxError, match=re.escape(message)) as error:
        parse(f"{TABLE}.. chart:: {chart}\n")
    assert re.match(r"<string>:13: chart: ", str(error.value))


def test_a_chart_needs_a_table_before_it():
    with pytest.raises(SphinxError, match="comes after the table"):
        parse(".. chart:: bars\n   :x: a\n   :y: b\n   :alt: c\n" + TABLE)


PAGES = [
    path
    for path in sorted((ROOT / "docs").glob("*.rst"))
    if ".. chart::" in path.read_text("utf-8")
]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_all_charts_of_a_page_are_drawn(path):
    text = path.read_text(encoding="utf-8")
    svgs = drawn(text)
    assert len(svgs) >= text.count(".. chart::") > 0
    ids = re.findall(r' id="([^"]+)"', "".join(svgs))
    assert len(ids) == len(set(ids))
