"""Rendering: a reproduction as text for a terminal, as Markdown, CSV, JSON, and as a page with pictures."""

from sigmae.tables.rendering.page import page
from sigmae.tables.rendering.records import as_record, numbers_csv
from sigmae.tables.rendering.text import markdown, terminal

__all__ = ["as_record", "markdown", "numbers_csv", "page", "terminal"]
