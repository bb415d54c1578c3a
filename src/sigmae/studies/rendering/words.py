"""The words of a table: what its columns, missing cells, notes and asides say, in every format alike."""

from collections.abc import Iterator
from itertools import groupby

from sigmae.errors import printable
from sigmae.report.words import feature_set, metric_heading, metric_kind, metric_name
from sigmae.studies.rendering.numbers import p_text
from sigmae.studies.table import Cell, Column, OWN, Table

ARROWS = {"lower": "↓", "higher": "↑", None: ""}
LONGEST = 24  # letters of a heading
LABEL, RANK = "Method", "Mean rank"


def plain(text: str) -> str:
    """Text on one line, without control characters."""
    return " ".join(printable(text).split())


def heading(column: Column) -> str:
    """The metric, by the name of its rows where the one in words is long, with an arrow towards its better values."""
    name = metric_heading(column.metric)
    short = name if len(name) <= LONGEST else metric_kind(column.metric)
    return plain(f"{short} {ARROWS[column.direction]}")


def headings(table: Table) -> list[tuple[str, list[str]]]:
    """The metrics that stand side by side, each with what its columns are of."""
    return [(name, [column.of for column in columns]) for name, columns in groupby(table.columns, heading)]


def missing(table: Table, label: str) -> str:
    """What stands where a row has no value."""
    measured = any(label in cells for cells in table.cells.values())
    return "failed" if label in table.failures and not measured else "–"


def asides(table: Table, cell: Cell) -> list[str]:
    """What is to be known of a value besides: the test against the best, and seeds that lack it."""
    tested = [] if cell.p_value is None else [p_text(cell.p_value)]
    return tested + ([f"{len(cell.values)} of {table.seeds} seeds"] if len(cell.values) < table.seeds else [])


def rank_text(table: Table, label: str) -> str:
    """A row's mean rank."""
    return f"{table.ranks[label]:.2f}" if label in table.ranks else "–"


def notes(table: Table, best: str, second: str) -> Iterator[str]:
    """What a reader has to know, in sentences; `best` and `second` say how those are marked."""
    cells = [cell for cells in table.cells.values() for cell in cells.values()]
    if table.seeds > 1:
        yield f"Mean ± standard deviation over {table.seeds} seeds."
    elif cells:
        yield "One seed a row."
    if any(cell.place for cell in cells):
        yield f"↓: lower is better, ↑: higher; the best mean of a column is {best}, the second {second}."
    if any(cell.p_value is not None for cell in cells):
        yield "p: two-sided paired t-test against the best over the seeds, by Holm's correction for the column's rows."
    if table.ranks:
        yield "Mean rank: over the columns, and in each over the seeds that all of its rows have; 1 is best."
    if features := {feature_set(column.metric) for column in table.cells} - {""}:
        kinds = dict.fromkeys(metric_kind(column.metric) for column in table.cells if feature_set(column.metric))
        yield f"{', '.join(map(metric_name, kinds))}: in {features.pop()} features."
    if any(column.of == OWN for column in table.cells):
        labels: dict[str, list[str]] = {}
        for label, density in table.own_densities.items():
            labels.setdefault(density, []).append(label)
        listed = [f"{density} ({', '.join(some)})" for density, some in labels.items()]
        yield f"Own density, which the method itself samples: {', '.join(listed) or 'not known here'}."
    for label, sentence in table.failures.items():
        yield f"{label} failed: {sentence}"
