"""Rendering: a table of a study as text for a terminal, as Markdown, LaTeX, CSV, and as a page with pictures."""

from collections.abc import Callable, Mapping

from sigmae.studies.rendering.page import page
from sigmae.studies.rendering.text import latex, markdown, summary_csv, terminal
from sigmae.studies.table import Table

__all__ = ["FORMATS", "latex", "markdown", "page", "summary_csv", "terminal"]

FORMATS: Mapping[str, Callable[[Table, str], str]] = {
    "terminal": terminal,
    "markdown": markdown,
    "latex": latex,
    "csv": summary_csv,
    "html": page,
}
"""Each writes a table and a footer, which is one line of text."""
