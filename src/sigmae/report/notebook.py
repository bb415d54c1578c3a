"""What a notebook shows of a model, an evaluation and a run: HTML that loads and runs nothing."""

from collections.abc import Mapping
from typing import Any

from sigmae.report import sections
from sigmae.report.markup import element, Html, join, png
from sigmae.report.measurements import left_out, measurements
from sigmae.report.record import Record
from sigmae.report.words import picture_rank, picture_words

SAMPLES = 16
PICTURES = 3


def run_html(record: Record) -> Html:
    """A run: what it is in a paragraph, the first pictures of its report, its numbers."""
    stems = sorted(record.figures, key=picture_rank)[:PICTURES]
    return element(
        "div",
        element("h3", sections.title(record)),
        sections.summary(record),
        *[picture(record.figures[stem], picture_words(stem).title) for stem in stems],
        measurements(record.measurements),
    )


def evaluation_html(rows: list[dict[str, Any]], reasons: Mapping[str, str]) -> Html:
    """An evaluation: its numbers by group, and why others are missing."""
    return element("div", measurements(rows), left_out(reasons))


def model_html(config: Mapping[str, Any] | None, weights: int, samples: bytes | None, density: str) -> Html:
    """A model: its sizes, its parts, and samples where a density is fitted."""
    record = Record({} if config is None else {"method": config["method"], "model": config}, (), {}, {}, {})
    shape = " × ".join(map(str, record.model.get("shape", ())))
    sizes = [f"{weights:,} weights", *([f"examples of {shape}"] if shape else [])]
    network = record.model.get("network")
    if isinstance(network, Mapping):
        sizes.append(f"network {network.get('name')}")
    shown = picture(samples, f"Samples of the density {density}") if samples else Html()
    told = element("p", join(sections.made_of(record), " ", ", ".join(sizes), "."))
    return element("div", element("h3", str(record.config.get("method", "Autoencoder"))), told, shown)


def picture(content: bytes, title: str) -> Html:
    """A picture under its title."""
    return element("figure", element("figcaption", title), png(content, title))
