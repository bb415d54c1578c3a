"""The grid of a table: its numbers by row and column for one data set, and how each is written."""

from collections.abc import Sequence
from dataclasses import dataclass

from sigmae.studies.rendering.numbers import written
from sigmae.tables.claims import Count
from sigmae.tables.reproduction import Measured, Reproduction


@dataclass(frozen=True)
class Grid:
    """The numbers on one data set; a place without one is missing."""

    data: str
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    numbers: dict[tuple[str, str], Measured]


def grids(found: Reproduction) -> list[Grid]:
    """The grid of every data set; data that differ but have one row and one column become rows of one grid."""
    by_data: dict[str, list[Measured]] = {}
    for number in found.numbers:
        by_data.setdefault(number.place.data, []).append(number)
    if all(len(numbers) == 1 for numbers in by_data.values()) and len(by_data) > 1:
        columns = dict.fromkeys(number.place.row for number in found.numbers)
        numbers = {(number.place.data, number.place.row): number for number in found.numbers}
        return [Grid("", "", tuple(by_data), tuple(columns), numbers)]
    return [grid(data, numbers) for data, numbers in by_data.items()]


def grid(data: str, numbers: Sequence[Measured]) -> Grid:
    """The grid of one data set."""
    rows = dict.fromkeys(number.place.row for number in numbers)
    columns = dict.fromkeys(number.place.column for number in numbers)
    places = {(number.place.row, number.place.column): number for number in numbers}
    others = ", ".join(dict.fromkeys(number.instead for number in numbers if number.instead))
    return Grid(data, f"{data} (measured on {others})" if others else data, tuple(rows), tuple(columns), places)


def measured_text(number: Measured) -> str:
    """What was measured, with its deviation over seeds; what stands where nothing was."""
    if number.summary is None:
        return "failed" if number.failure else "–"
    return written(number.summary).text()


def published_text(number: Measured) -> str:
    """What is in print, and how many times as large the measured number is; nothing where nothing compares."""
    if not number.comparable or number.published is None:
        return ""
    value, ratio = printed_text(number), number.ratio
    return value if ratio is None or number.published.bound else f"{value}, ×{ratio_text(ratio)}"


def printed_text(number: Measured) -> str:
    """What is in print alone."""
    printed = number.published
    if printed is None:
        return ""
    spread = f" ± {printed.deviation:g}" if printed.deviation else ""
    return f"{printed.bound}{printed.value:g}{spread}"


def ratio_text(ratio: float) -> str:
    """A ratio with three digits."""
    return f"{ratio:.3g}" if 0.001 <= abs(ratio) < 1000 else f"{ratio:.1e}"


def verdict_text(count: Count) -> str:
    """Whether a claim holds among some numbers."""
    if count.holds is None:
        return "not tested"
    return ("yes" if count.holds else "no") + (f", {count.held} of {count.of}" if count.of > 1 else "")


def order_lines(found: Reproduction) -> list[list[str]]:
    """For every ordering its column, its data, and how many pairs agree."""
    return [[one.column, one.data, f"{one.agreeing} of {one.pairs}"] for one in found.orderings]


def claim_lines(found: Reproduction) -> list[list[str]]:
    """Every claim, and whether it holds among the measured and among the printed numbers."""
    return [[one.says, verdict_text(one.measured), verdict_text(one.published)] for one in found.verdicts]


def circumstances_text(found: Reproduction) -> str:
    """Seeds, counts, features, hardware and commit, in one line."""
    told = "; ".join(f"{name}: {value}" for name, value in found.circumstances.items() if value)
    return f"Scale {found.scale}; {told}."


def failures(found: Reproduction) -> list[str]:
    """A sentence for every row that failed on some data."""
    told = {
        (n.place.row, n.place.data): f"{n.place.row} on {n.place.data} failed. {n.failure}"
        for n in found.numbers
        if n.failure
    }
    return list(told.values())


def apart(grid: Grid) -> bool:
    """Whether numbers in print are shown in a table of their own."""
    return any(number.published is not None and not number.comparable for number in grid.numbers.values())


APART = "In print, of other data or in other features than measured here: the order of rows compares, no number does."
HOW = (
    "Each number: measured (mean ± standard deviation over seeds); "
    "in print, × measured over printed, where these compare."
)
