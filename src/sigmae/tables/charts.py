"""Charts of a reproduction: every column against what its rows vary."""

from collections.abc import Sequence

from sigmae.figures import Point, trends
from sigmae.tables.definition import Figure
from sigmae.tables.reproduction import Measured, Reproduction


def charts(found: Reproduction, figure: Figure | None, format: str = "svg") -> dict[tuple[str, str], bytes]:
    """A chart by data and column; dashed are the numbers in print, where these compare."""
    if figure is None:
        return {}
    columns: dict[tuple[str, str], dict[str, Measured]] = {}
    for number in found.numbers:
        columns.setdefault((number.place.data, number.place.column), {})[number.place.row] = number
    drawn = {}
    for (data, column), numbers in columns.items():
        lines = {name: points(figure, rows, numbers) for name, rows in figure.lines.items()}
        shown = {name: line for name, line in lines.items() if line}
        printed = {name: printed_points(figure, figure.lines[name], numbers) for name in shown}
        if shown:
            drawn[data, column] = trends(
                shown, x=figure.x, y=column, dashed=printed, logarithmic=figure.logarithmic, format=format
            )
    return drawn


def points(figure: Figure, rows: Sequence[str], numbers: dict[str, Measured]) -> list[Point]:
    """What was measured for the rows of a line."""
    found = [(at, numbers[row].summary) for at, row in zip(figure.at, rows, strict=True) if row in numbers]
    return [Point(at, summary.mean, summary.deviation) for at, summary in found if summary is not None]


def printed_points(figure: Figure, rows: Sequence[str], numbers: dict[str, Measured]) -> list[Point]:
    """What is in print for them."""
    found = [(at, numbers[row]) for at, row in zip(figure.at, rows, strict=True) if row in numbers]
    return [Point(at, number.published.value) for at, number in found if number.published and number.comparable]
