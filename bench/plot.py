# SPDX-License-Identifier: BSD-3-Clause
"""plot -- line plots as SVG, made of the standard library alone, readable on a dark page and on a light one.

    plot.write(path, "Cold start and warm start",
               [plot.Panel("hits of L1, %", [plot.Line("cold", [(0, 2.1), (1, 9.7)]), plot.Line("snapshot", [(0, 88)])], low=0, high=100),
                plot.Panel("reads of L2 per second", [...], marks=[plot.Mark(4.1, "ready")])],
               note="web-recommendations at 40,000 requests/s", x="seconds since the start")

Panels lie one above the other on one axis of x. A line of the same name has the same colour and dashes in every panel, so
that it is told apart without its colour, too; each name stands once, in the legend. A y that is None interrupts its line.
"""
import dataclasses
import itertools
import math
import pathlib
from xml.sax.saxutils import escape

# (on light, on dark, dashes): each at least 3:1 against its background (WCAG 1.4.11; tests/journeys/test_plot.py).
INKS = [("#0060a8", "#58a6ff", ""), ("#c04a00", "#ff9a57", "7 3"), ("#00775a", "#3fd4a0", "2 3"), ("#a0407a", "#f09ccb", "9 3 2 3"),
        ("#7d5a00", "#e3b341", "4 2"), ("#555555", "#c9d1d9", "12 4")]
PAPER = {"page": ("#ffffff", "#0d1117"), "text": ("#1f2328", "#e6edf3"), "faint": ("#57606a", "#9da7b3"), "grid": ("#d8dee4", "#30363d")}
WIDTH, LEFT, RIGHT, PANEL, GAP = 860, 74, 18, 210, 42
LETTER = 6.6  # width of one, about, at 12 px


@dataclasses.dataclass
class Line:
    name: str
    points: list  # of (x, y or None), x not falling


@dataclasses.dataclass
class Mark:
    """Something that happened at x."""
    x: float
    name: str


@dataclasses.dataclass
class Panel:
    title: str  # what y is, and its unit
    lines: list
    low: float = None  # of y; None: the smallest of the points, 0 if none is below it
    high: float = None
    marks: list = dataclasses.field(default_factory=list)


def ticks(low, high, about=5):
    """Round numbers (1, 2 or 5 times a power of ten apart) within low and high."""
    if not high > low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / about))
    step = next(times * power for times in (1, 2, 5, 10) if (high - low) / (times * power) <= about * 1.01)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def short(number):
    """1500 -> 1.5k"""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def ends_of(values, low, high):
    values = list(values)
    least, most = min(values, default=0.0), max(values, default=1.0)
    low = min(0.0, least) if low is None else low
    high = most if high is None else high
    return (low, high) if high > low else (low, low + 1.0)


def number(value):
    return f"{value:.1f}"


def text(x, y, words, kind="text", anchor="start"):
    return f'<text x="{number(x)}" y="{number(y)}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def rule(x1, y1, x2, y2, kind):
    return f'<line x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}" class="{kind}"/>'


def style():
    def colours(theme):
        yield from (f".{name}{{fill:{inks[theme]}}}" for name, inks in PAPER.items() if name != "grid")
        yield f".grid{{stroke:{PAPER['grid'][theme]}}}.mark{{stroke:{PAPER['faint'][theme]}}}"
        yield from (f".s{index}{{stroke:{inks[theme]}}}" for index, inks in enumerate(INKS))
    dashes = "".join(f".s{index}{{stroke-dasharray:{dash}}}" for index, (_, _, dash) in enumerate(INKS) if dash)
    return ("<style>text{font:12px system-ui,sans-serif}.title{font-size:15px;font-weight:600}.line{fill:none;stroke-width:1.8;"
            f"stroke-linejoin:round}}.mark{{stroke-dasharray:1 3}}{dashes}{''.join(colours(0))}"
            f"@media(prefers-color-scheme:dark){{{''.join(colours(1))}}}</style>")


def pieces(points, to_x, to_y):
    """The points of each uninterrupted part of a line."""
    for is_there, part in itertools.groupby(points, key=lambda point: point[1] is not None):
        if is_there:
            yield " ".join(f"{number(to_x(x))},{number(to_y(y))}" for x, y in part)


def draw_panel(panel, top, x_ends, kinds):
    low, high = ends_of((y for line in panel.lines for _, y in line.points if y is not None), panel.low, panel.high)
    bottom, right = top + PANEL, WIDTH - RIGHT

    def to_x(x):
        return LEFT + (x - x_ends[0]) / (x_ends[1] - x_ends[0]) * (right - LEFT)

    def to_y(y):
        return bottom - (min(max(y, low), high) - low) / (high - low) * PANEL
    yield text(LEFT, top - 8, panel.title, "faint")
    for y in ticks(low, high):
        yield rule(LEFT, to_y(y), right, to_y(y), "grid")
        yield text(LEFT - 8, to_y(y) + 4, short(y), "faint", "end")
    for x in ticks(*x_ends, about=10):
        yield rule(to_x(x), bottom, to_x(x), bottom + 4, "grid")
        yield text(to_x(x), bottom + 17, short(x), "faint", "middle")
    for count, mark in enumerate(panel.marks):
        end = "end" if to_x(mark.x) > WIDTH / 2 else "start"
        yield rule(to_x(mark.x), top, to_x(mark.x), bottom, "mark")
        yield text(to_x(mark.x) + (-4 if end == "end" else 4), bottom - 8 - 14 * (count % 8), mark.name, "faint", end)
    for line in panel.lines:
        for points in pieces(line.points, to_x, to_y):
            yield f'<polyline points="{points}" class="line s{kinds[line.name]}"/>'


def draw_legend(names, kinds, y):
    x = LEFT
    for name in names:
        width = 34 + LETTER * len(name) + 22
        if x + width > WIDTH and x > LEFT:
            x, y = LEFT, y + 18
        yield rule(x, y - 4, x + 28, y - 4, f"line s{kinds[name]}")
        yield text(x + 34, y, name)
        x += width


def legend_rows(names):
    rows, x = 1, LEFT
    for name in names:
        width = 34 + LETTER * len(name) + 22
        if x + width > WIDTH and x > LEFT:
            rows, x = rows + 1, LEFT
        x += width
    return rows


def svg(title, panels, note="", x="seconds"):
    """The picture as text."""
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    if len(names) > len(INKS):
        raise ValueError(f"{len(names)} lines; no more than {len(INKS)} can be told apart")
    kinds = {name: index for index, name in enumerate(names)}
    x_ends = ends_of((x for panel in panels for line in panel.lines for x, _ in line.points), None, None)
    top = 58 + (18 if note else 0) + 18 * legend_rows(names)
    height = top + len(panels) * (PANEL + GAP) + 6
    body = [f'<rect width="{WIDTH}" height="{height}" class="page"/>', text(LEFT, 26, title, "text title")]
    if note:
        body.append(text(LEFT, 46, note, "faint"))
    body += draw_legend(names, kinds, 50 + (18 if note else 0))
    for place, panel in enumerate(panels):
        body += draw_panel(panel, top + place * (PANEL + GAP), x_ends, kinds)
    body.append(text(WIDTH - RIGHT, height - 8, x, "faint", "end"))
    described = "; ".join(panel.title for panel in panels)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">\n'
            f"<title>{escape(title)}</title>\n<desc>{escape(described)}: {escape(', '.join(names))}</desc>\n{style()}\n"
            + "\n".join(body) + "\n</svg>\n")


def write(path, title, panels, note="", x="seconds"):
    pathlib.Path(path).write_text(svg(title, panels, note, x), encoding="utf-8")
