"""Trends: a chart holds every line that it is given, and refuses what it cannot draw."""

import re

import pytest

from sigmae.errors import SigmaeError
from sigmae.figures import Point, trends

LINES = {"vae": [Point(1.0, 2.0), Point(2.0, 3.0, 0.5)], "ae": [Point(1.0, 4.0)]}


def drawn(**options):
    return trends(LINES, x="samples", y="error", format="svg", **options).decode()


def test_every_line_and_axis_is_named():
    told = re.findall(r">([^<>]+)</text>", drawn(dashed={"vae": [Point(1.0, 2.5)]}))
    assert {"vae", "ae", "vae, in print", "samples", "error"} <= set(told)
    assert "ae, in print" not in told


def test_a_deviation_is_drawn_where_there_is_one():
    bare = trends({"vae": [Point(1.0, 2.0), Point(2.0, 3.0)]}, x="a", y="b", format="svg").decode()
    spread = trends({"vae": [Point(1.0, 2.0), Point(2.0, 3.0, 0.5)]}, x="a", y="b", format="svg").decode()
    assert spread.count("<path") > bare.count("<path")


def test_a_logarithmic_axis_has_the_places_as_ticks():
    lines = {"vae": [Point(at, 1.0) for at in (0.03, 1.0, 10.0)]}
    told = trends(lines, x="weight", y="error", logarithmic=True, format="svg").decode()
    assert {"0.03", "1", "10"} <= set(re.findall(r">([^<>]+)</text>", told))


def test_the_same_numbers_give_the_same_bytes():
    assert drawn() == drawn()
    assert trends(LINES, x="a", y="b").startswith(b"\x89PNG")


@pytest.mark.parametrize("lines", [{}, {"vae": []}, {str(n): [Point(1.0, 1.0)] for n in range(11)}])
def test_nothing_and_too_much_are_refused(lines):
    with pytest.raises(SigmaeError, match="1 to 10 lines"):
        trends(lines, x="a", y="b")
