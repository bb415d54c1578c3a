"""A reproduction as JSON-like data, and its numbers as CSV."""

import csv
import io
from dataclasses import asdict
from typing import Any

from sigmae.tables.claims import Count
from sigmae.tables.reproduction import Measured, Reproduction

HEADER = ("method", "dataset", "metric", "measured", "deviation", "seeds", "published", "published_deviation", "ratio")


def as_record(found: Reproduction) -> dict[str, Any]:
    """All of a reproduction; `rows` has an object for every number."""
    return {
        "table": found.name,
        "title": found.title,
        "source": found.source,
        "scale": found.scale,
        "rows": [row_of(number) for number in found.numbers],
        "orderings": [{**asdict(ordering), "holds": ordering.holds} for ordering in found.orderings],
        "claims": [
            {"says": verdict.says, "measured": count_of(verdict.measured), "published": count_of(verdict.published)}
            for verdict in found.verdicts
        ],
        "deviations": list(found.deviations),
        "circumstances": dict(found.circumstances),
    }


def row_of(number: Measured) -> dict[str, Any]:
    """One number; None for what is missing."""
    place, summary, printed = number.place, number.summary, number.published
    return {
        "method": place.row,
        "dataset": place.data,
        "metric": place.column,
        "measured": summary and summary.mean,
        "deviation": summary and summary.deviation,
        "seeds": summary.count if summary else 0,
        "published": printed and printed.value,
        "published_deviation": printed and printed.deviation,
        "bound": printed.bound if printed else "",
        "comparable": number.comparable,
        "ratio": number.ratio,
        "measure": number.measure,
        "failure": number.failure,
    }


def count_of(count: Count) -> dict[str, Any]:
    """A verdict's comparisons."""
    return {"holds": count.holds, "held": count.held, "of": count.of, "against": list(count.against)}


def numbers_csv(found: Reproduction) -> str:
    """A line for every number, with all its digits."""
    file = io.StringIO()
    writer = csv.DictWriter(file, HEADER, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(row_of, found.numbers))
    return file.getvalue()
