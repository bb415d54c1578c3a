"""A reproduction as Markdown, and in lines for a terminal."""

import io

from sigmae.studies.rendering.text import blocks, markdown_text
from sigmae.studies.rendering.words import plain
from sigmae.tables.rendering.grid import (
    circumstances_text,
    failures,
    Grid,
    grids,
    HOW,
    measured_text,
    published_text,
    verdict_text,
)
from sigmae.tables.reproduction import Measured, Reproduction


def markdown(found: Reproduction) -> str:
    """The whole reproduction in GitHub's Markdown."""
    parts = [f"# {markdown_text(found.title)}", markdown_text(f"{found.source}." if found.source else "")]
    for grid in grids(found):
        parts += [f"## {markdown_text(grid.data)}" if grid.data else "", table(grid)]
    parts.append(markdown_text(HOW))
    if found.orderings:
        lines = [["Column", "Data", "Pairs of rows in the printed order"]]
        lines += [[o.column, o.data, f"{o.agreeing} of {o.pairs}"] for o in found.orderings]
        parts += ["## Order of the rows", lined(lines)]
    if found.verdicts:
        lines = [["Claim", "Holds here", "Holds in print"]]
        lines += [[v.says, verdict_text(v.measured), verdict_text(v.published)] for v in found.verdicts]
        parts += ["## Claims", lined(lines)]
    parts += ["## How", *(f"- {markdown_text(told)}" for told in [*failures(found), *found.deviations])]
    return (
        "\n\n".join(filter(None, [*parts, markdown_text(circumstances_text(found))])).replace("\n\n- ", "\n- ") + "\n"
    )


def table(grid: Grid) -> str:
    """A grid as a table."""
    rows = [[row, *(in_one_line(grid.numbers.get((row, column))) for column in grid.columns)] for row in grid.rows]
    return lined([["", *grid.columns], *rows])


def in_one_line(number: Measured | None) -> str:
    """Measured, and in brackets what is in print."""
    if number is None:
        return ""
    printed = published_text(number)
    return measured_text(number) + (f" ({printed})" if printed else "")


def lined(rows: list[list[str]]) -> str:
    """Rows of cells as a table of Markdown, the first its head."""
    head, *body = [[markdown_text(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *body])


def terminal(found: Reproduction, *, width: int = 160) -> str:
    """The whole reproduction in lines of `width`."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    file = io.StringIO()
    console = Console(file=file, width=width, markup=False, emoji=False, highlight=False)
    for grid in grids(found):
        filled = [[stacked(grid.numbers.get((row, column))) for column in grid.columns] for row in grid.rows]
        columns = zip(grid.columns, *filled, strict=True)
        widths = [max(len(line) for text in column for line in text.split("\n")) + 3 for column in columns]
        for block in blocks(widths, width - max(map(len, grid.rows)) - 4):
            shown = Table(plain(grid.data))
            for position in block:
                shown.add_column(plain(grid.columns[position]), justify="right", overflow="fold")
            for row, cells in zip(grid.rows, filled, strict=True):
                shown.add_row(plain(row), *(Text(cells[position]) for position in block))
            console.print(shown)
    console.print(HOW)
    for ordering in found.orderings:
        place = f"{ordering.column} on {ordering.data}"
        console.print(f"order of the rows by {place}: {ordering.agreeing} of {ordering.pairs} pairs as in print")
    for verdict in found.verdicts:
        console.print(f"claim: {verdict.says}")
        console.print(f"  here: {verdict_text(verdict.measured)}; in print: {verdict_text(verdict.published)}")
    for told in [*failures(found), *found.deviations]:
        console.print(f"- {plain(told)}")
    console.print(circumstances_text(found))
    return file.getvalue()


def stacked(number: Measured | None) -> str:
    """Measured above what is in print."""
    return "" if number is None else "\n".join(filter(None, [measured_text(number), published_text(number)]))
