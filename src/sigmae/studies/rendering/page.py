"""The page of a study: its table and the pictures of its rows side by side, in one HTML file that loads nothing."""

from collections.abc import Iterable, Mapping
from importlib import resources

from sigmae.errors import SigmaeError
from sigmae.report.markup import document, element, Html, join, png
from sigmae.report.record import PNG_SIGNATURE
from sigmae.report.words import picture_rank, picture_words
from sigmae.studies.rendering.numbers import written
from sigmae.studies.rendering.words import asides, headings, LABEL, missing, notes, plain, RANK, rank_text
from sigmae.studies.table import Cell, Table

Pictures = Mapping[str, Mapping[str, bytes]]
"""PNG files by label and stem: "reconstructions", "samples", "interpolations"."""

OWN_SAMPLES = ("samples", "samples-own")
MARKS = {1: "best", 2: "second"}


def page(table: Table, footer: str = "", *, title: str = "Comparison", pictures: Pictures | None = None) -> Html:
    """The whole page: the same table and pictures give the same bytes.

    Everything is escaped, nothing is loaded and nothing runs: the page's policy allows its own style and pictures only.
    """
    told = [element("span", plain(note)) for note in notes(table, "bold", "underlined")]
    shown = element("div", _grid(table), class_="scroll", tabindex=0)
    sections = [section("table", "Table", join(shown, element("p", *told, class_="notes", id="notes")))]
    sections += side_by_side(table.labels, pictures or {})
    header = element("header", element("h1", plain(title)))
    ending = [element("footer", element("p", plain(footer)))] if footer else []
    return document(plain(title), style(), header, element("main", *sections), *ending)


def style() -> str:
    """How such pages look."""
    files = resources.files("sigmae.report") / "style.css", resources.files(__package__) / "page.css"
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def section(name: str, heading: str, content: Html) -> Html:
    """A part of the page under a heading."""
    titled = element("h2", heading, id=f"{name}-heading")
    return element("section", titled, content, aria_labelledby=f"{name}-heading")


def _grid(table: Table) -> Html:
    """The table, its metrics above what they are of."""
    groups = headings(table)
    ranked = bool(table.ranks)
    upper = [element("th", name, colspan=len(of), scope="colgroup") for name, of in groups]
    lower = [element("th", plain(name), scope="col") for _, of in groups for name in of]
    rank = element("th", RANK, scope="col", rowspan=2) if ranked else ""
    head = [
        element("tr", element("th", LABEL, scope="col", rowspan=2), *upper, rank),
        element("tr", *lower),
    ]
    rows = [
        element(
            "tr",
            element("th", plain(label), scope="row"),
            *[_value(table, label, cells.get(label)) for cells in table.cells.values()],
            element("td", rank_text(table, label)) if ranked else "",
        )
        for label in table.labels
    ]
    described = {"class_": "matrix comparison", "aria_labelledby": "table-heading", "aria_describedby": "notes"}
    return element("table", element("thead", *head), element("tbody", *rows), **described)


def _value(table: Table, label: str, cell: Cell | None) -> Html:
    if cell is None:
        return element("td", missing(table, label), class_="missing")
    number = written(cell.summary).text().replace("-", "−")
    besides = [element("small", aside) for aside in asides(table, cell)]
    return element("td", element("span", number, class_=MARKS.get(cell.place or 0, "value")), *besides)


def _title(stem: str) -> str:
    return "Samples of each method's own density" if stem in OWN_SAMPLES else picture_words(stem).title


def side_by_side(labels: Iterable[str], pictures: Pictures, prefix: str = "") -> list[Html]:
    """A section for each kind of picture, which has that of each row under its label."""
    ordered = dict.fromkeys([*labels, *pictures])
    kinds = sorted({stem for of_label in pictures.values() for stem in of_label}, key=picture_rank)
    shown = {stem: [label for label in ordered if stem in pictures.get(label, {})] for stem in kinds}
    return [
        section(
            f"{prefix}{stem}",
            _title(stem),
            element("div", *[_figure(stem, label, pictures[label][stem]) for label in have], class_="side-by-side"),
        )
        for stem, have in shown.items()
    ]


def _figure(stem: str, label: str, content: bytes) -> Html:
    if not content.startswith(PNG_SIGNATURE) or len(content) < 24:
        raise SigmaeError(f"The picture {stem} of {label} is not a PNG file: evaluate its run again.")
    image = png(content, f"{_title(stem)}: {plain(label)}")
    return element("figure", element("figcaption", element("strong", plain(label))), image)
