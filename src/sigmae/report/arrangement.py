"""The arrangement of measurements for reading: by group, and those of the same things side by side."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from sigmae.report.words import feature_set, GROUPS, metric_group

FOLDED = 12  # a column of more numbers than these is folded

Measurement = Mapping[str, Any]
"""A row of `evaluation.json`: `metric`, `of`, `value`, and where known `count`, `unit`, `protocol`, `error`."""


@dataclass
class Matrix:
    """Numbers of several things: a row for each of these, a column for each metric, all in the same features."""

    columns: dict[str, dict[str, Measurement]] = field(default_factory=dict)

    @property
    def subjects(self) -> list[str]:
        """What was measured, in the order in which it was first."""
        return list(dict.fromkeys(chain.from_iterable(self.columns.values())))

    @property
    def features(self) -> str:
        """The features of all its numbers; empty where they need none."""
        return feature_set(next(iter(self.columns)))

    @property
    def folded(self) -> bool:
        """Whether it is a column so long that its ends say enough."""
        return len(self.columns) == 1 and len(self.subjects) > FOLDED

    @property
    def rows(self) -> list[Measurement]:
        """All its numbers, column by column."""
        return [row for column in self.columns.values() for row in column.values()]

    def takes(self, metric: str, column: Mapping[str, Measurement]) -> bool:
        """Whether a metric is a further column: in the same features, and of things that are measured here."""
        return feature_set(metric) == self.features and not column.keys().isdisjoint(self.subjects)


@dataclass
class Group:
    """What one group of metrics found: metrics of one thing each, and matrices of those that are of more."""

    name: str
    single: list[Measurement] = field(default_factory=list)
    matrices: list[Matrix] = field(default_factory=list)


def arranged(rows: Iterable[Measurement]) -> list[Group]:
    """The groups that have numbers, ours in their order and others behind them."""
    metrics: dict[str, dict[str, Measurement]] = {}
    for row in rows:
        metrics.setdefault(str(row["metric"]), {})[str(row["of"])] = row
    groups = {name: Group(name) for name in GROUPS}
    for metric, column in metrics.items():
        group = groups[metric_group(metric)]
        if len(column) == 1:
            group.single += column.values()
            continue
        matrix = next((known for known in group.matrices if known.takes(metric, column)), None)
        if matrix is None:
            matrix = Matrix()
            group.matrices.append(matrix)
        matrix.columns[metric] = column
    return [group for group in groups.values() if group.single or group.matrices]


def protocols(rows: Sequence[Measurement]) -> dict[tuple[str, str], list[Measurement]]:
    """The rows by unit and protocol, those without either left out."""
    found: dict[tuple[str, str], list[Measurement]] = {}
    for row in rows:
        key = (str(row.get("unit") or ""), str(row.get("protocol") or ""))
        if any(key):
            found.setdefault(key, []).append(row)
    return found


def sharing(alike: Sequence[Measurement], rows: Sequence[Measurement]) -> list[tuple[str, str]]:
    """Which metrics some of the rows are of, and what they were measured of where others of the metric are not here."""
    count, of_all = (Counter(str(row["metric"]) for row in some) for some in (alike, rows))
    named = [(str(row["metric"]), str(row["of"])) for row in alike]
    return list(dict.fromkeys((metric, "" if count[metric] == of_all[metric] else of) for metric, of in named))


def extremes(rows: Sequence[Measurement]) -> tuple[Measurement, Measurement] | None:
    """The rows of the least and of the greatest number; None without a number."""
    known = [row for row in rows if isinstance(row["value"], int | float)]
    if not known:
        return None
    return min(known, key=lambda row: row["value"]), max(known, key=lambda row: row["value"])
