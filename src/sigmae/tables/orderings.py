"""Orderings: whether rows come in the order in which the paper has them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol, runtime_checkable

from sigmae.studies.statistics import Summary
from sigmae.tables.published import Number, Place


@runtime_checkable
class Compared(Protocol):
    """A number with its place, in print and measured."""

    @property
    def place(self) -> Place: ...
    @property
    def published(self) -> Number | None: ...
    @property
    def summary(self) -> Summary | None: ...


@dataclass(frozen=True)
class Ordering:
    """Of the pairs of rows that differ in print in one column on one data set, how many come in that order."""

    column: str
    data: str
    agreeing: int
    pairs: int

    @property
    def holds(self) -> bool:
        """Whether all pairs agree."""
        return self.agreeing == self.pairs


def orderings(numbers: Sequence[Compared]) -> Iterator[Ordering]:
    """The ordering of every column on every data set that has two rows or more to compare."""
    columns: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for number in numbers:
        if number.published is not None and not number.published.bound and number.summary is not None:
            pair = (number.published.value, number.summary.mean)
            columns.setdefault((number.place.column, number.place.data), []).append(pair)
    for (column, data), rows in columns.items():
        signs = [(a - c, b - d) for (a, b), (c, d) in combinations(rows, 2) if a != c]
        if signs:
            yield Ordering(column, data, sum(printed * measured > 0 for printed, measured in signs), len(signs))
