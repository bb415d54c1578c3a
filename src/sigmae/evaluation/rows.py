"""Rows: one number each, with what it is of and how it was obtained."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One number, what it is of, its unit, how many examples took part, and how it was obtained.

    `error` is the standard error, or the deviation that `protocol` names; None where there is none.
    """

    metric: str
    of: str
    value: float
    unit: str
    count: int
    protocol: str
    error: float | None = None

    @property
    def is_finite(self) -> bool:
        """Whether the number and its error are numbers."""
        return math.isfinite(self.value) and math.isfinite(self.error or 0.0)


@dataclass(frozen=True)
class Measured:
    """The rows that one metric found, with the settings that it depends on."""

    metric: str
    settings: dict[str, Any]
    rows: list[Row]


@dataclass(frozen=True)
class Evaluation:
    """The rows that each metric found, and for those that do not apply the sentence that says why."""

    found: dict[str, list[Row]]
    left_out: dict[str, str]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that were asked for."""
        return tuple(self.found)

    @property
    def rows(self) -> list[Row]:
        """The rows of all metrics."""
        return [row for rows in self.found.values() for row in rows]

    def _repr_html_(self) -> str:
        """What a notebook shows: the numbers by group."""
        from sigmae.report.notebook import evaluation_html

        return evaluation_html(as_records(self.rows), self.left_out)


def as_records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as JSON-like objects."""
    return [asdict(row) for row in rows]
