"""A reproduction as one HTML file that loads nothing: its tables, claims, and the pictures of its rows."""

from collections.abc import Callable, Mapping

from sigmae.report.markup import data_uri, document, element, Html, join
from sigmae.studies.rendering.page import Pictures, section, side_by_side, style
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


def page(
    found: Reproduction,
    pictures: Mapping[str, Pictures] | None = None,
    charts: Mapping[tuple[str, str], bytes] | None = None,
) -> Html:
    """The whole page; `pictures` are PNG files by data, row and stem, `charts` SVG files by data and column.

    The same values give the same bytes.
    """
    sections = []
    for number, grid in enumerate(grids(found)):
        shown = [scrolled(table(grid, cell)), element("p", element("span", HOW), class_="notes")]
        if apart(grid):
            shown += [element("p", APART), scrolled(table(grid, lambda number: element("td", printed_text(number))))]
        sections.append(section(f"table-{number}", plain(grid.title or "Table"), join(*shown)))
        drawn = [figure_of(column, svg) for (data, column), svg in (charts or {}).items() if data == grid.data]
        if drawn:
            sections.append(section(f"charts-{number}", "Charts", element("div", *drawn, class_="side-by-side")))
        sections += side_by_side(grid.rows, (pictures or {}).get(grid.data, {}), f"{number}-")
    if lines := order_lines(found):
        sections.append(section("order", "Order of the rows", listing(["Column", "Data", "Pairs as in print"], lines)))
    if lines := claim_lines(found):
        sections.append(section("claims", "Claims", listing(["Claim", "Holds here", "Holds in print"], lines)))
    told = [element("li", plain(sentence)) for sentence in [*failures(found), *found.deviations]]
    if told:
        sections.append(section("deviations", "What differs from the paper", element("ul", *told)))
    title = plain(found.title)
    summary = [element("p", plain(found.source), class_="summary")] if found.source else []
    footer = element("footer", element("p", plain(circumstances_text(found))))
    header = element("header", element("h1", title), *summary)
    return document(title, style(), header, element("main", *sections), footer)


def figure_of(column: str, svg: bytes) -> Html:
    """The chart of a column."""
    image = element("img", src=data_uri("image/svg+xml", svg), alt=f"{plain(column)}, by row")
    return element("figure", element("figcaption", element("strong", plain(column))), image)


def scrolled(content: Html) -> Html:
    """What may be wider than the page."""
    return element("div", content, class_="scroll", tabindex=0)


def table(grid: Grid, shown: Callable[[Measured], Html]) -> Html:
    """A grid of cells."""
    head = element("tr", element("th", "", scope="col"), *[element("th", plain(c), scope="col") for c in grid.columns])
    rows = [
        element(
            "tr",
            element("th", plain(row), scope="row"),
            *[
                element("td", "") if (number := grid.numbers.get((row, column))) is None else shown(number)
                for column in grid.columns
            ],
        )
        for row in grid.rows
    ]
    return element("table", element("thead", head), element("tbody", *rows), class_="matrix comparison")


def cell(number: Measured) -> Html:
    """Measured above what is in print."""
    printed = published_text(number)
    return element("td", measured_text(number), *([element("small", printed)] if printed else []))


def listing(head: list[str], lines: list[list[str]]) -> Html:
    """Lines of text as a table."""
    rows = [element("tr", *[element("td", plain(text)) for text in line]) for line in lines]
    heads = element("tr", *[element("th", name, scope="col") for name in head])
    return element("table", element("thead", heads), element("tbody", *rows))
