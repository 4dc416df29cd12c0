"""The directive ``chart`` draws the table before it, so that no chart disagrees with its table.

::

    .. chart:: lines
       :x: labelled photos
       :y: VOC 2012 mAP; VOC 2012 F1
       :by: chosen
       :y-label: percent
       :alt: What the chart shows, for those who can't see it

       The caption.

The kinds are ``lines``, ``points`` (beside each its text of `by`) and ``bars``. The name of a
column is its head, or its heads joined with a space; semicolons stand between columns. Each
column `y` is a colour. With `by` it is a panel instead, and lines join rows with the same text
there; a row without text is part of all lines. If `by` is `x`, the text is what follows number and
comma. ``:log: x y`` makes both scales logarithmic. Cells of `y` are numbers, empty or a dash; of
cells of `x` the number at the start is taken.
"""

import html
import io
import re

import matplotlib
from docutils import nodes
from docutils.parsers.rst import Directive, directives
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator
from sphinx.errors import SphinxError

KINDS = ("lines", "points", "bars")
# Readable on the theme's white and on its black. Lines differ in their markers, too.
COLORS = ("#2f7fc1", "#d0690a", "#1b9467", "#b552a0", "#8a7a12", "#7a6fd0")
MARKERS = "osD^vP"
# Stand for the theme's own colours, which change with light and dark.
TEXT, GRID = "#010203", "#040506"
STYLE = {"svg.fonttype": "none", "font.size": 9.5, "text.color": TEXT, "text.parse_math": False}
STYLE |= {"xtick.color": TEXT, "ytick.color": TEXT, "axes.labelcolor": TEXT}
STYLE |= {"axes.edgecolor": GRID, "axes.spines.top": False, "axes.spines.right": False}
STYLE |= {"grid.color": GRID, "axes.grid": True, "axes.titlesize": 10}
OPTIONS = ("x", "y", "by", "log", "x-label", "y-label", "alt")
WIDTH = 4.2  # inches, so that a panel is hardly scaled on a phone
EMPTY = "\N{EN DASH}"
NUMBER = re.compile(r"-?\d(?:[\d,]*\d)?(?:\.\d+)?")


def read_table(table):
    """Return the names of the columns and the texts of the rows."""
    grids = []
    for part in (nodes.thead, nodes.tbody):
        rows = [row for found in table.findall(part) for row in found.children]
        grids.append([])
        for row in rows:
            if any("morerows" in entry for entry in row):
                raise ValueError("the table has cells that span rows")
            spans = [[_text(entry)] * (1 + entry.get("morecols", 0)) for entry in row]
            grids[-1].append([text for span in spans for text in span])
    heads, rows = grids
    return [" ".join(filter(None, column)) for column in zip(*heads, strict=True)], rows


def _text(entry):
    """What is written in a cell, without docutils' remarks about it."""
    parts = [part.astext() for part in entry if not isinstance(part, nodes.system_message)]
    return " ".join(" ".join(parts).split())


def make_panels(names, rows, kind, x, y, by=None):
    """Return {title: {entry of the legend: [(x, y, text)]}}; ValueError says what is wrong."""
    for name in (x, *y, *filter(None, [by])):
        if names.count(name) != 1:
            which = "more than one column" if name in names else "no column"
            raise ValueError(f"the table has {which} {name!r}. Its columns: {'; '.join(names)}")
    if (kind == "points" and by is None) or (kind == "bars" and by is not None):
        raise ValueError("points need the column `by`, whose texts they bear; bars have none")
    panels = {}
    for name in y:
        for index, row in enumerate(rows):
            cells = dict(zip(names, row, strict=True))
            at, text = index, cells[x]
            if kind != "bars":
                at, rest = _number(cells[x], x, rest=True)
                text = rest.partition(",")[2].strip() if by == x else cells.get(by, "")
            value, _ = _number(cells[name].removesuffix("%"), name)
            if at is None or value is None:
                continue
            title = name if by is not None and len(y) > 1 else ""
            line = text if kind == "lines" and by is not None else name
            panels.setdefault(title, {}).setdefault(line, []).append((at, value, text))
    for lines in panels.values():
        common = lines.pop("", []) if len(lines) > 1 else []
        lines.update({line: common + points for line, points in lines.items()})
    if any(len(lines) > len(COLORS) for lines in panels.values()):
        raise ValueError(f"a chart has {len(COLORS)} colours; take fewer columns, or another `by`")
    if not panels:
        raise ValueError("no row of the table has numbers in these columns")
    return panels


def _number(cell, column, rest=False):
    """The number of a cell and what follows it; None where there is nothing."""
    cell = cell.strip()
    if cell in ("", EMPTY):
        return None, ""
    number = NUMBER.match(cell)
    if not number or (number.end() < len(cell) and not rest):
        raise ValueError(f"{cell!r} in the column {column!r} is no number")
    return float(number[0].replace(",", "")), cell[number.end() :]


def draw(lines, kind, *, title="", log=(), x_label="", y_label="", y_range=(), salt=""):
    """Return one panel as SVG that takes its size, and the colour of its texts, from the page."""
    places = sorted({at for points in lines.values() for at, *_ in points})
    height = 0.4 + 0.2 * len(places) * (1.3 + len(lines)) if kind == "bars" else 3.1
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": salt}):
        figure = Figure((WIDTH, height), layout="constrained")
        axis = figure.subplots()
        if kind == "bars":
            _draw_bars(axis, lines, places)
        else:
            for (name, points), color, marker in zip(lines.items(), COLORS, MARKERS, strict=False):
                x, y, _ = zip(*points, strict=True)
                axis.plot(x, y, marker + "-" * (kind == "lines"), color=color, label=name)
            axis.set(xlabel=x_label, ylabel=y_label)
            for which in log:
                getattr(axis, f"set_{which}scale")("log")
            axis.margins(y=0.15 if kind == "points" else 0.07)
            axis.update_datalim([(places[0], y) for y in y_range])
            axis.autoscale_view()
            _write_ticks(axis, places if kind == "lines" or "x" in log else [], log)
            if kind == "points":
                _write_texts(axis, points)
        axis.set_title(title or (y_label if kind == "bars" else ""), loc="left")
        if len(lines) > 1:
            figure.legend(loc="outside lower left", ncols=2, frameon=False)
        file = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    svg = file.getvalue()
    svg = re.sub(r"<style.*?</style>|font-family:[^;]*;", "", svg[svg.index("<svg") :])
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    used = {link for links in re.findall(r'href="#(.+?)"|url\(#(.+?)\)', svg) for link in links}
    svg = re.sub(r' id="(.+?)"', lambda found: found[0] if found[1] in used else "", svg)
    return svg.replace(TEXT, "var(--pst-color-text-base)").replace(GRID, "var(--pst-color-border)")


def _draw_bars(axis, lines, places):
    """Bars from left to right, those of a row beneath its text, where a phone has room for it."""
    step = 1.3 + len(lines)
    starts = {place: step * index for index, place in enumerate(places)}
    for index, ((name, points), color) in enumerate(zip(lines.items(), COLORS, strict=False)):
        at, values, _ = zip(*points, strict=True)
        bars = axis.barh(
            [starts[place] + 1 + index for place in at], values, 0.85, color=color, label=name
        )
        axis.bar_label(bars, [f"{value:,.6g}" for value in values], padding=4)
    for place, text in {at: text for points in lines.values() for at, _, text in points}.items():
        axis.text(0, starts[place] + 0.12, text, va="center_baseline")
    axis.set(ylim=(step * len(places) - 0.4, -0.4), yticks=[], xticks=[])
    axis.margins(x=0.12)
    axis.spines["bottom"].set_visible(False)


def _write_ticks(axis, places, log):
    """Write numbers in full, on the horizontal axis at the places as far as there is room."""
    kept, free = [], -1.0
    for place in places:
        half = (0.5 + len(f"{place:,.6g}")) * 0.011
        if _across(axis, place) - half >= free:
            kept.append(place)
            free = _across(axis, place) + half
    if kept:
        axis.set_xticks(kept)
        axis.xaxis.set_minor_locator(NullLocator())
    for which in [axis.xaxis] * bool(kept) + [axis.yaxis] * ("y" in log):
        which.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        which.set_minor_formatter(NullFormatter())


def _write_texts(axis, points):
    """Write the text of each point above it and beneath it in turn, and within the axes."""
    for index, (x, y, text) in enumerate(sorted(points)):
        across = _across(axis, x)
        side = "left" if across < 0.3 else "right" if across > 0.7 else "center"
        up = 7 if index % 2 == 0 else -14
        axis.annotate(text, (x, y), xytext=(0, up), textcoords="offset points", ha=side)


def _across(axis, x):
    """Where x is between the left (0) and the right (1) of the axes."""
    return axis.transLimits.transform(axis.transScale.transform((x, axis.get_ylim()[0])))[0]


class Chart(Directive):
    """``.. chart:: KIND``, see the head of this file."""

    required_arguments = 1
    has_content = True
    option_spec = dict.fromkeys(OPTIONS, directives.unchanged_required)

    def run(self):
        """Return a figure: the panels, and the caption beneath."""
        try:
            panels = self._panels()
        except ValueError as error:
            source, line = self.state_machine.get_source_and_line(self.lineno)
            raise SphinxError(f"{source}:{line}: chart: {error}.") from None
        alt = html.escape(self.options["alt"])
        div = f'<div role="img" aria-label="{alt}">\n{"".join(panels)}</div>'
        content = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, content)
        captions = [nodes.caption("", "", *paragraph.children) for paragraph in content]
        return [nodes.figure("", nodes.raw("", div, format="html"), *captions, classes=["chart"])]

    def _panels(self):
        kind, options = self.arguments[0], self.options
        tables = list(self.state.document.findall(nodes.table))
        lacking = [name for name in ("x", "y", "alt") if name not in options]
        if lacking:
            raise ValueError(f"the options x, y and alt are needed; without {', '.join(lacking)}")
        if kind not in KINDS:
            raise ValueError(f"the kinds are {', '.join(KINDS)}; got {kind!r}")
        if not tables:
            raise ValueError("a chart comes after the table that it draws; there is none")
        options = {name: " ".join(text.split()) for name, text in options.items()}
        log, y = options.get("log", "").split(), options["y"].split("; ")
        if set(log) - {"x", "y"} or (log and kind == "bars"):
            raise ValueError(f"log takes x, y or both, and no bars; got {options['log']!r}")
        if len(y) > 1 and "y-label" not in options:
            raise ValueError("several columns y need a y-label")
        names, rows = read_table(tables[-1])
        panels = make_panels(names, rows, kind, options["x"], y, options.get("by"))
        labels = {"x_label": options.get("x-label", options["x"])}
        labels["y_label"] = options.get("y-label", y[0])
        series = [points for lines in panels.values() for points in lines.values()]
        values = [value for points in series for _, value, _ in points]
        shared = {"log": log, "y_range": (min(values), max(values)), **labels}
        return [
            draw(lines, kind, title=title, salt=f"{self.lineno} {title}", **shared)
            for title, lines in panels.items()
        ]


def setup(app):
    """Register the directive."""
    app.add_directive("chart", Chart)
    return {"parallel_read_safe": True}
