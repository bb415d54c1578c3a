"""A table of a study: results by row and column, the best ones marked, the others tested against them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from sigmae.errors import SigmaeError
from sigmae.report.words import feature_set, metric_kind
from sigmae.studies import statistics
from sigmae.studies.results import Result
from sigmae.studies.statistics import Direction, Summary, Values

OWN = "own density"
"""What a result is of, where it is of the density that its method itself samples."""

HEADLINE = (
    ("squared_error", "reconstructions"),
    ("fid", "reconstructions"),
    ("fid", OWN),
    ("fid", "gmm10"),
    ("fid", "interpolations"),
)


@dataclass(frozen=True)
class Column:
    """A metric, and what it is of."""

    metric: str
    of: str

    @property
    def direction(self) -> Direction | None:
        """Which of its values are better."""
        return statistics.direction(self.metric)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that choose it: "fid-classifier:gmm10" and "fid:gmm10"; "fid-classifier" and "fid" if not `OWN`."""
        kind = metric_kind(self.metric)
        full = (f"{self.metric}:{self.of}", f"{kind}:{self.of}")
        return full if self.of == OWN else (*full, self.metric, kind)


@dataclass(frozen=True)
class Cell:
    """A row's values in a column, by seed.

    In a column with a direction and two rows or more: `place` is 1 for the best mean and 2 for the next, `rank` the
    mean rank over seeds, `p_value` that of the paired test against the best, by Holm's correction for the column.
    """

    values: Values
    place: int | None = None
    rank: float | None = None
    p_value: float | None = None

    @property
    def summary(self) -> Summary:
        """Mean and deviation over the seeds."""
        return statistics.summary(self.values.values())


@dataclass(frozen=True)
class Table:
    """Cells by column and label; one that is missing does not apply, or its runs failed: `failures` says so by label.

    `own_densities` are the densities that `OWN` stands for, by label, where that can be told.
    """

    labels: tuple[str, ...]
    cells: Mapping[Column, Mapping[str, Cell]]
    failures: Mapping[str, str]
    own_densities: Mapping[str, str]

    @property
    def columns(self) -> list[Column]:
        """The columns, in their order."""
        return list(self.cells)

    @property
    def seeds(self) -> int:
        """How many different seeds took part."""
        return len({seed for cells in self.cells.values() for cell in cells.values() for seed in cell.values})

    @property
    def ranks(self) -> dict[str, float]:
        """The mean over all ranked columns of each row that is ranked in every one: of two columns or more.

        Columns that measure nearly the same count as many times as they are there.
        """
        ranked = [cells for cells in self.cells.values() if any(cell.rank for cell in cells.values())]
        found = {label: [cells[label].rank for cells in ranked if label in cells] for label in self.labels}
        whole = {label: [rank for rank in ranks if rank is not None] for label, ranks in found.items()}
        return {label: fmean(ranks) for label, ranks in whole.items() if len(ranks) == len(ranked) > 1}


def tabulate(
    results: Sequence[Result], *, columns: Sequence[str] | None = None, failures: Mapping[str, str] | None = None
) -> Table:
    """The table of a study's results, one row for each label in the order of their first appearance.

    `columns` name metrics ("squared_error", "fid") or metrics of something ("fid-classifier:gmm10"), each name for all
    columns that it fits, or for an empty one; None is a compact choice of squared error and Fréchet distances.
    `failures` are the sentences of runs that failed, by label. Raises `SigmaeError` for values that are not finite, two
    values of one run, and for what must not be compared: results on several data sets, and columns in several sets of
    features.
    """
    values = values_by_column(results)
    chosen = headline(values) if columns is None else named(columns, list(values))
    if len(features := sorted({feature_set(column.metric) for column in chosen if column in values} - {""})) > 1:
        raise SigmaeError(
            f"Columns in the features {' and '.join(features)} cannot be compared: name columns of one set of features."
        )
    cells = {column: judged(values.get(column, {}), column.direction) for column in chosen}
    labels = dict.fromkeys([*(result.label for result in results), *(failures or {})])
    return Table(tuple(labels), cells, dict(failures or {}), own_densities(values))


def by_data(results: Iterable[Result]) -> dict[str, list[Result]]:
    """The results on each data set: numbers on different data make different tables."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.details.get("data", ""), []).append(result)
    return found


def values_by_column(results: Sequence[Result]) -> dict[Column, dict[str, dict[int, float]]]:
    """The values by column, label and seed, columns and labels in the order of their first appearance."""
    if len(data := by_data(results)) > 1:
        raise SigmaeError(
            f"Results on {', '.join(data)} cannot be compared: make a table for each data set, as by_data parts them."
        )
    found: dict[Column, dict[str, dict[int, float]]] = {}
    for result in results:
        place = f"{result.metric} of {result.of}, {result.label}, seed {result.seed}"
        if not abs(result.value) < float("inf"):
            raise SigmaeError(f"{place}, is {result.value}, which has no place in a table: leave that run out.")
        row = found.setdefault(Column(result.metric, result.of), {}).setdefault(result.label, {})
        if result.seed in row:
            raise SigmaeError(f"There are two values of {place}: give each run once, and each label its own settings.")
        row[result.seed] = result.value
    return found


def own_densities(values: Mapping[Column, Mapping[str, Values]]) -> dict[str, str]:
    """What `OWN` is of, by label: the density whose results are the same."""
    own = {column.metric: rows for column, rows in values.items() if column.of == OWN}
    others = dict.fromkeys(column.of for column in values if column.of != OWN)
    found: dict[str, str] = {}
    for label in dict.fromkeys(label for rows in own.values() for label in rows):
        known = {metric: rows[label] for metric, rows in own.items() if label in rows}
        for of in others:
            if all(values.get(Column(metric, of), {}).get(label) == row for metric, row in known.items()):
                found.setdefault(label, of)
    return found


def headline(values: Mapping[Column, Mapping[str, Values]]) -> list[Column]:
    """The compact choice in the first set of features, or all columns where it finds none.

    Where all rows have the same density of their own, it goes by its name.
    """
    shared = set(own_densities(values).values())
    own = shared.pop() if len(shared) == 1 else OWN
    features = next(filter(None, (feature_set(column.metric) for column in values)), "")
    comparable = [column for column in values if feature_set(column.metric) in ("", features)]
    wanted = dict.fromkeys((kind, own if of == OWN else of) for kind, of in HEADLINE)
    found = [column for pair in wanted for column in comparable if (metric_kind(column.metric), column.of) == pair]
    return found or [column for column in comparable if column.of != OWN]


def named(names: Sequence[str], known: Sequence[Column]) -> list[Column]:
    """The columns that fit the names, in the names' order; for a name that none fits, a new one."""
    chosen: dict[Column, None] = {}
    for name in names:
        fitting = [column for column in known if name in column.names]
        metric, _, of = name.partition(":")
        chosen |= dict.fromkeys(fitting or [Column(metric, of)])
    return list(chosen)


def judged(values: Mapping[str, Values], better: Direction | None) -> dict[str, Cell]:
    """The cells of a column: places by mean, mean ranks, and tests against the best."""
    if better is None or len(values) < 2:
        return {label: Cell(row) for label, row in values.items()}
    sign = 1 if better == "lower" else -1
    means = {label: sign * statistics.summary(row.values()).mean for label, row in values.items()}
    best = min(means, key=means.__getitem__)
    places = {mean: place for place, mean in enumerate(sorted(set(means.values()))[:2], start=1)}
    tests = {label: statistics.paired_test(row, values[best]) for label, row in values.items() if label != best}
    p_values = statistics.holm({label: p for label, p in tests.items() if p is not None})
    ranks = statistics.mean_ranks(values, better)
    return {
        label: Cell(row, places.get(means[label]), ranks.get(label), p_values.get(label))
        for label, row in values.items()
    }
