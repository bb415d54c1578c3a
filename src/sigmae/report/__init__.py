"""The page of a run: one HTML file that shows what was made, how well, and from what."""

from importlib import resources
from pathlib import Path

from sigmae import files
from sigmae.report import sections
from sigmae.report.markup import document, element, Html
from sigmae.report.record import read_environment, read_evaluation, read_record, Record

__all__ = ["read_environment", "read_evaluation", "read_record", "write_report"]

SECTIONS = {
    "metrics": ("Metrics", sections.metrics),
    "pictures": ("Pictures", sections.pictures),
    "training": ("Training", sections.training),
    "objective": ("Objective", sections.objective),
    "settings": ("Settings", sections.settings),
    "environment": ("Environment", sections.environment),
}


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run's folder, from the other files there; returns its path.

    Reads `config.json`, and, where they exist, `metrics.jsonl`, `evaluation.json`, `environment.json` and
    `figures/*.png`. The page stands alone: it loads nothing, runs nothing, and the same files give the same
    bytes. Raises `SigmaeError`, naming the file, where one is missing or damaged; an older page then stays.
    """
    path = folder / "report.html"
    files.write_text(path, _page(read_record(folder)))
    return path


def _page(record: Record) -> Html:
    shown = {name: content for name, (_, write) in SECTIONS.items() if (content := write(record))}
    style = resources.files("sigmae.report").joinpath("style.css").read_text(encoding="utf-8")
    main = element("main", *map(_section, shown, shown.values()))
    return document(sections.title(record), style, _header(record, shown), main, FOOTER)


def _header(record: Record, shown: dict[str, Html]) -> Html:
    links = [element("li", element("a", SECTIONS[name][0], href=f"#{name}")) for name in shown]
    return element(
        "header",
        element("h1", sections.title(record)),
        sections.summary(record),
        element("nav", element("ul", *links), aria_label="Sections"),
    )


def _section(name: str, content: Html) -> Html:
    heading = element("h2", SECTIONS[name][0], id=f"{name}-heading")
    return element("section", heading, element("div", content), id=name, aria_labelledby=f"{name}-heading")


FOOTER = element("footer", element("p", "Every number and picture here was read from the files beside this page."))
