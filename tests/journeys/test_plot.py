# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of figures (bench/plot.py): what is drawn is what was given, and can be read on a dark page and on a light one."""

import re
import sys
import xml.etree.ElementTree as ET

import pytest

from harness import ROOT

sys.path[:0] = [str(ROOT / "bench")]
import plot  # noqa: E402  (needs the path)

pytestmark = pytest.mark.own
SVG = "{http://www.w3.org/2000/svg}"


def drawn(picture, kind):
    """The points of each line of the kind, as numbers."""
    return [[tuple(map(float, point.split(","))) for point in line.get("points").split()]
            for line in ET.fromstring(picture).iter(f"{SVG}polyline") if kind in line.get("class").split()]


def luminance(colour):
    """Of WCAG 2.1."""
    parts = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_points_lie_where_their_numbers_are():
    picture = plot.svg("t", [plot.Panel("%", [plot.Line("a", [(0, 0), (5, 50), (10, 100)])], low=0, high=100)])
    (first, middle, last), = drawn(picture, "s0")
    assert middle == (pytest.approx((first[0] + last[0]) / 2, abs=0.1), pytest.approx((first[1] + last[1]) / 2, abs=0.1))
    assert last[0] - first[0] == plot.WIDTH - plot.LEFT - plot.RIGHT and first[1] - last[1] == plot.PANEL


def test_what_is_outside_stays_on_the_edge_and_a_gap_is_none():
    picture = plot.svg("t", [plot.Panel("%", [plot.Line("a", [(0, 10), (1, None), (2, 900), (3, -900)])], low=0, high=100)])
    alone, (above, below) = drawn(picture, "s0")
    assert len(alone) == 1 and below[1] - above[1] == plot.PANEL


def test_a_name_has_one_ink_in_every_panel_and_stands_once():
    lines = [plot.Line("cold", [(0, 1), (1, 2)]), plot.Line("warm <b>", [(0, 3), (1, 4)])]
    picture = plot.svg("t", [plot.Panel("one", lines), plot.Panel("two", lines[1:], marks=[plot.Mark(0.5, "ready")])])
    assert len(drawn(picture, "s0")) == 1 and len(drawn(picture, "s1")) == 2
    words = [text.text for text in ET.fromstring(picture).iter(f"{SVG}text")]
    assert words.count("cold") == words.count("warm <b>") == words.count("ready") == 1


def test_ticks_are_round_and_within():
    for low, high in ((0, 1), (0, 99.7), (3, 40000), (0, 0.0023), (-5, 5)):
        found = plot.ticks(low, high)
        assert 2 <= len(found) <= 11 and low <= found[0] and found[-1] <= high
        assert all(re.fullmatch(r"-?(0|[125]0*|0\.0*[125])", f"{found[at + 1] - found[at]:.10f}".rstrip("0").rstrip("."))
                   for at in range(len(found) - 1)), found
    assert [plot.short(value) for value in (0, 0.5, 1500, 40000, 2e6)] == ["0", "0.5", "1.5k", "40k", "2M"]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_ink_is_seen_on_its_page(theme):
    page = plot.PAPER["page"][theme]
    assert all(contrast(ink[theme], page) >= 3 for ink in plot.INKS)
    assert all(contrast(plot.PAPER[name][theme], page) >= 4.5 for name in ("text", "faint"))


def test_more_lines_than_can_be_told_apart_are_refused():
    with pytest.raises(ValueError, match="7 lines"):
        plot.svg("t", [plot.Panel("one", [plot.Line(str(index), [(0, 1)]) for index in range(7)])])
