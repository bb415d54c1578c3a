"""The page of a run: one HTML file that shows what was made, how well, and from what."""

import base64
import hashlib
from importlib import resources
from pathlib import Path

from sigmae import files
from sigmae.report import sections
from sigmae.report.markup import element, Html, join
from sigmae.report.record import read_evaluation, read_record, Record

__all__ = ["read_evaluation", "read_record", "write_report"]

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
    body = element("body", _header(record, shown), element("main", *map(_section, shown, shown.values())), FOOTER)
    return join(Html("<!doctype html>\n"), element("html", _head(record), body, lang="en"), "\n")


def _head(record: Record) -> Html:
    style = resources.files("sigmae.report").joinpath("style.css").read_text(encoding="utf-8")
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{sections.title(record)} · sigmae"),
        element("style", Html(style)),
    )


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
