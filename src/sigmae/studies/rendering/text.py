"""Tables as text: for a terminal, as Markdown, as LaTeX, as CSV."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import TypeVar

from sigmae.studies.rendering.numbers import written
from sigmae.studies.rendering.words import asides, heading, headings, LABEL, missing, notes, plain, RANK, rank_text
from sigmae.studies.table import Cell, Table

T = TypeVar("T")
MARKDOWN_SIGNS = re.compile(r"([\\`*_{}\[\]<>|~#!&$])")
LATEX_SIGNS = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "–": "--",
}
LATEX_NUMBER = (r" \pm ", r" \times 10^{{{}}}")
LATEX = r"""\begin{{table}}  % needs \usepackage{{booktabs}}
\centering
\begin{{tabular}}{{{align}}}
\toprule
{head}
\midrule
{body}
\bottomrule
\end{{tabular}}
\caption{{{caption}}}
\end{{table}}
"""
SUMMARY = ("label", "metric", "of", "mean", "deviation", "seeds", "place", "rank", "p_value", "failure")


def rows(table: Table, label: Callable[[str], T], value: Callable[[Cell], T]) -> list[list[T]]:
    """The table's rows: a label, the values or what is missing, and the mean rank where there is one."""
    return [
        [
            label(name),
            *(value(cells[name]) if name in cells else label(missing(table, name)) for cells in table.cells.values()),
            *[label(rank_text(table, name))] * bool(table.ranks),
        ]
        for name in table.labels
    ]


def terminal(table: Table, footer: str = "", *, width: int = 160, styled: bool = False) -> str:
    """The table in lines of `width`; `styled` is for a terminal, which shows the best bold, the second underlined."""
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    def value(cell: Cell) -> Text:
        sign, style = {1: (" *", "bold"), 2: (" +", "underline")}.get(cell.place or 0, ("", ""))
        number = Text.assemble((written(cell.summary).text(), style), sign)
        return Text("\n").join([number, *(Text(aside, "dim") for aside in asides(table, cell))])

    heads = [Text(f"{heading(column)}\n{plain(column.of)}") for column in table.columns]
    heads += [Text(RANK)] * bool(table.ranks)
    filled = rows(table, lambda text: Text(plain(text)), value)
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=styled, markup=False, emoji=False, highlight=False)
    columns = zip([Text(LABEL), *heads], *filled, strict=True)
    first, *widths = [max(line.cell_len for text in column for line in text.split()) + 3 for column in columns]
    for block in blocks(widths, width - first - 1):
        grid = Grid(LABEL)
        for column in block:
            grid.add_column(heads[column], justify="right", overflow="fold")
        for label, *values in filled:
            grid.add_row(label, *(values[column] for column in block))
        console.print(grid)
    told = [plain(note) for note in [*notes(table, "marked *", "+"), footer] if note]
    return "\n".join([file.getvalue().rstrip("\n"), *told, ""])


def blocks(widths: Sequence[int], room: int) -> list[list[int]]:
    """Columns of these widths as they fit beside one another, one at the least, in blocks below one another."""
    found: list[list[int]] = [[]]
    for column, width in enumerate(widths):
        if found[-1] and sum(widths[other] for other in found[-1]) + width > room:
            found.append([])
        found[-1].append(column)
    return found


def markdown(table: Table, footer: str = "") -> str:
    """A table of GitHub's Markdown, which cannot underline: the best is bold, the second in italics."""

    def value(cell: Cell) -> str:
        sign = {1: "**", 2: "*"}.get(cell.place or 0, "")
        besides = f" ({', '.join(asides(table, cell))})" if asides(table, cell) else ""
        return f"{sign}{written(cell.summary).text()}{sign}{besides}"

    columns = [markdown_text(f"{heading(column)} {column.of}") for column in table.columns]
    head = [LABEL, *columns, *[RANK] * bool(table.ranks)]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows(table, markdown_text, value)]
    told = [markdown_text(note) for note in [*notes(table, "bold", "in italics"), footer] if note]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", " ".join(told), ""])


def latex(table: Table, footer: str = "") -> str:
    """A table of LaTeX's package booktabs, the best bold and the second underlined; its caption is the notes."""

    def value(cell: Cell) -> str:
        number = f"${written(cell.summary).text(*LATEX_NUMBER)}$"
        marked = {1: rf"\textbf{{\boldmath {number}}}", 2: rf"\underline{{{number}}}"}.get(cell.place or 0, number)
        return marked + "".join(rf" {{\footnotesize {latex_text(aside)}}}" for aside in asides(table, cell))

    groups, ranked = headings(table), bool(table.ranks)
    upper = [LABEL, *(rf"\multicolumn{{{len(of)}}}{{c}}{{{latex_text(name)}}}" for name, of in groups), *[""] * ranked]
    lower = ["", *(latex_text(name) for _, of in groups for name in of), *[RANK] * ranked]
    head, body = (
        "\n".join(rf"{' & '.join(line)} \\" for line in lines)
        for lines in ((upper, lower), rows(table, latex_text, value))
    )
    told = [latex_text(note) for note in [*notes(table, "bold", "underlined"), footer] if note]
    return LATEX.format(align="l" + "r" * (len(lower) - 1), head=head, body=body, caption=" ".join(told))


def summary_csv(table: Table, footer: str = "") -> str:
    """A line of CSV for every value with all its digits, and for each row without one; `footer` has no place."""
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(SUMMARY)
    for label in table.labels:
        failure = table.failures.get(label)
        found = {column: cells[label] for column, cells in table.cells.items() if label in cells}
        for column, cell in found.items():
            numbers = (*astuple(cell.summary), cell.place, cell.rank, cell.p_value)
            writer.writerow([label, column.metric, column.of, *numbers, failure])
        if not found:
            writer.writerow([label, *[None] * (len(SUMMARY) - 2), failure])
    return file.getvalue()


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is."""
    return MARKDOWN_SIGNS.sub(r"\\\1", plain(text))


def latex_text(text: str) -> str:
    """Text that LaTeX shows as it is."""
    return "".join(LATEX_SIGNS.get(sign, sign) for sign in plain(text))
