"""A reproduction as Markdown, and in lines for a terminal."""

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sigmae.studies.rendering.text import blocks, markdown_text
from sigmae.studies.rendering.words import plain
from sigmae.tables.rendering.grid import (
    APART,
    apart,
    circumstances_text,
    claim_lines,
    failures,
    Grid,
    grids,
    HOW,
    measured_text,
    order_lines,
    printed_text,
    published_text,
)
from sigmae.tables.reproduction import Measured, Reproduction

if TYPE_CHECKING:
    from rich.table import Table


def markdown(found: Reproduction) -> str:
    """The whole reproduction in GitHub's Markdown."""
    parts = [f"# {markdown_text(found.title)}", markdown_text(f"{found.source}." if found.source else "")]
    for grid in grids(found):
        parts += [f"## {markdown_text(grid.title)}" if grid.title else "", table(grid, in_one_line)]
        parts += [APART, table(grid, printed_text)] if apart(grid) else []
    parts.append(markdown_text(HOW))
    if lines := order_lines(found):
        parts += ["## Order of the rows", lined([["Column", "Data", "Pairs of rows in the printed order"], *lines])]
    if lines := claim_lines(found):
        parts += ["## Claims", lined([["Claim", "Holds here", "Holds in print"], *lines])]
    parts += ["## How", *(f"- {markdown_text(told)}" for told in [*failures(found), *found.deviations])]
    return (
        "\n\n".join(filter(None, [*parts, markdown_text(circumstances_text(found))])).replace("\n\n- ", "\n- ") + "\n"
    )


def table(grid: Grid, text: Callable[[Measured], str]) -> str:
    """A grid as a table."""
    rows = [[row, *cells_of(grid, row, text)] for row in grid.rows]
    return lined([["", *grid.columns], *rows])


def cells_of(grid: Grid, row: str, text: Callable[[Measured], str]) -> list[str]:
    """The texts of a row; nothing where it has no number."""
    numbers = (grid.numbers.get((row, column)) for column in grid.columns)
    return ["" if number is None else text(number) for number in numbers]


def in_one_line(number: Measured) -> str:
    """Measured, and in brackets what is in print."""
    printed = published_text(number)
    return measured_text(number) + (f" ({printed})" if printed else "")


def lined(rows: list[list[str]]) -> str:
    """Rows of cells as a table of Markdown, the first its head."""
    head, *body = [[markdown_text(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *body])


def terminal(found: Reproduction, *, width: int = 160) -> str:
    """The whole reproduction in lines of `width`."""
    from rich.console import Console

    file = io.StringIO()
    console = Console(file=file, width=width, markup=False, emoji=False, highlight=False)
    for grid in grids(found):
        for shown in drawn(grid, stacked, width):
            console.print(shown)
        if apart(grid):
            console.print(APART)
            for shown in drawn(grid, printed_text, width):
                console.print(shown)
    console.print(HOW)
    for column, data, agreeing in order_lines(found):
        console.print(f"order of the rows by {plain(f'{column} on {data}')}: {agreeing} pairs as in print")
    for says, here, printed in claim_lines(found):
        console.print(f"claim: {plain(says)}")
        console.print(f"  here: {here}; in print: {printed}")
    for told in [*failures(found), *found.deviations]:
        console.print(f"- {plain(told)}")
    console.print(plain(circumstances_text(found)))
    return file.getvalue()


def drawn(grid: Grid, text: Callable[[Measured], str], width: int) -> "Iterator[Table]":
    """A grid as tables that fit the width."""
    from rich.table import Table
    from rich.text import Text

    filled = [cells_of(grid, row, text) for row in grid.rows]
    columns = zip(grid.columns, *filled, strict=True)
    widths = [max(len(line) for cell in column for line in cell.split("\n")) + 3 for column in columns]
    for block in blocks(widths, width - max(map(len, grid.rows)) - 4):
        shown = Table(plain(grid.title))
        for position in block:
            shown.add_column(plain(grid.columns[position]), justify="right", overflow="fold")
        for row, cells in zip(grid.rows, filled, strict=True):
            shown.add_row(plain(row), *(Text(cells[position]) for position in block))
        yield shown


def stacked(number: Measured) -> str:
    """Measured above what is in print."""
    return "\n".join(filter(None, [measured_text(number), published_text(number)]))
