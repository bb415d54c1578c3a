"""Claims: sentences of a paper, held against the numbers in print and against those measured."""

from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from sigmae.errors import SigmaeError, unknown
from sigmae.tables.published import Number, Place

ALL, REST = "*", "..."
KINDS = ("less", "falls", "rises", "near")
Values = Mapping[Place, float]


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, and what the table must show for it.

    A reference is `row | column`, with * for all, and a row's beginning and ... for all that begin so.
    `less` are pairs of references: the numbers of the first are below those of the second on the same data; where both
    name the same rows or columns by *, each is compared with its own. `falls` and `rises` follow the numbers of a
    reference in the order of the rows. `near` is a reference whose numbers are `within` of the published ones.
    A claim holds if a `share` of its comparisons do.
    """

    says: str
    less: tuple[tuple[str, str], ...] = ()
    falls: str | None = None
    rises: str | None = None
    near: str | None = None
    within: float = 0.0
    share: float = 1.0
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class Count:
    """How many comparisons hold, of how many could be made; what was compared where one does not."""

    held: int = 0
    of: int = 0
    against: tuple[str, ...] = ()
    share: float = 1.0

    @property
    def holds(self) -> bool | None:
        """Whether as large a share holds as is claimed; None where nothing could be compared."""
        return self.held >= self.share * self.of if self.of else None


@dataclass(frozen=True)
class Verdict:
    """A claim, and its comparisons among the measured and among the published numbers."""

    says: str
    measured: Count
    published: Count


def check_claim(claim: Claim, rows: Collection[str], columns: Collection[str], data: Collection[str]) -> None:
    """Refuse a claim that could never be tested, before anything is measured for it."""
    given = [kind for kind in KINDS if getattr(claim, kind)]
    if len(given) != 1:
        told = " and ".join(given) or "none"
        raise SigmaeError(f"The claim '{claim.says}' compares by one of {', '.join(KINDS)}; it has {told}.")
    if not 0 < claim.share <= 1 or claim.within < 0:
        raise SigmaeError(f"The claim '{claim.says}' has a share above 0 and up to 1, and is within 0 or more.")
    references = (*chain(*claim.less), claim.falls, claim.rises, claim.near)
    for row, column in map(parted, filter(None, references)):
        begins = row.endswith(REST) and any(label.startswith(row.removesuffix(REST)) for label in rows)
        if row != ALL and row not in rows and not begins:
            raise unknown(f"row in the claim '{claim.says}'", row, rows)
        if column != ALL and column not in columns:
            raise unknown(f"column in the claim '{claim.says}'", column, columns)
    if missing := [name for name in claim.data if name not in data]:
        raise unknown(f"data set in the claim '{claim.says}'", missing[0], data)


def judged(
    claim: Claim,
    measured: Values,
    published: Mapping[Place, Number],
    rows: Sequence[str],
    comparable: Container[Place],
) -> Verdict:
    """The verdict on a claim; `rows` are the table's, in their order, `comparable` the places for `near`."""
    printed = {place: number.value for place, number in published.items() if not number.bound}
    if claim.near is not None:
        beside = {place: number for place, number in published.items() if place in comparable}
        count = near(claim, measured, beside, rows)
        return Verdict(claim.says, count, Count())
    return Verdict(claim.says, compared(claim, measured, rows), compared(claim, printed, rows))


def compared(claim: Claim, values: Values, rows: Sequence[str]) -> Count:
    """The comparisons of a claim among some numbers."""
    if claim.less:
        return less(claim, values, rows)
    reference = claim.falls or claim.rises or ""
    sign = -1 if claim.falls else 1
    steps = [
        (sign * (values[after] - values[before]) > 0, f"{before.row} to {after.row}")
        for data in data_of(claim, values)
        for column in columns_of(values)
        for before, after in pairwise(referred(reference, values, rows, data, column))
    ]
    return counted(claim, steps)


def less(claim: Claim, values: Values, rows: Sequence[str]) -> Count:
    """Every number of the first reference of each pair against those of the second."""
    pairs = [
        (low, high)
        for left, right in claim.less
        for data in data_of(claim, values)
        for low, high in paired(left, right, values, rows, data)
    ]
    told = "{0.row} {0.column} {1:.4g}, {2.row} {2.column} {3:.4g}"
    steps = [(values[a] < values[b], told.format(a, values[a], b, values[b])) for a, b in pairs]
    return counted(claim, steps)


def paired(left: str, right: str, values: Values, rows: Sequence[str], data: str) -> Iterator[tuple[Place, Place]]:
    """The places of two references that are compared: each with its own row, or column, where both name the same."""
    (left_row, left_column), (right_row, right_column) = parted(left), parted(right)
    for low in select(left_row, left_column, values, rows, data):
        for high in select(right_row, right_column, values, rows, data):
            other_row = left_row == right_row and low.row != high.row
            other_column = left_column == right_column and low.column != high.column
            if low != high and not other_row and not other_column:
                yield low, high


def near(claim: Claim, measured: Values, published: Mapping[Place, Number], rows: Sequence[str]) -> Count:
    """The measured numbers of a reference against the published ones, or against the bound that is published."""
    assert claim.near is not None
    row, column = parted(claim.near)
    steps = []
    for data in data_of(claim, measured):
        for place in select(row, column, measured, rows, data):
            if (printed := published.get(place)) is None:
                continue
            value = measured[place]
            lowest = printed.value - claim.within
            fits = lowest <= value and (bool(printed.bound) or value <= printed.value + claim.within)
            steps.append((fits, f"{place.row} {place.data}: {value:.4g}, in print {printed.bound}{printed.value:g}"))
    return counted(claim, steps)


def counted(claim: Claim, steps: Sequence[tuple[bool, str]]) -> Count:
    """How many steps hold, and which do not."""
    against = tuple(told for held, told in steps if not held)
    return Count(len(steps) - len(against), len(steps), against, claim.share)


def parted(reference: str) -> tuple[str, str]:
    """Row and column of `row | column`."""
    row, bar, column = (part.strip() for part in reference.partition("|"))
    if not (row and bar and column):
        raise SigmaeError(f"A claim refers to 'row | column' (* for all), got '{reference}'.")
    return row, column


def select(row: str, column: str, values: Values, rows: Sequence[str], data: str) -> list[Place]:
    """The places of a reference that have a number, in the order of the table's rows."""
    matching = [label for label in rows if row in (ALL, label) or (row.endswith(REST) and label.startswith(row[:-3]))]
    columns = columns_of(values) if column == ALL else [column]
    found = (Place(label, name, data) for label in matching for name in columns)
    return [place for place in found if place in values]


def referred(reference: str, values: Values, rows: Sequence[str], data: str, column: str) -> list[Place]:
    """The places of a reference in one column."""
    row, named = parted(reference)
    return select(row, column, values, rows, data) if named in (ALL, column) else []


def columns_of(values: Values) -> list[str]:
    """The columns that have a number."""
    return list(dict.fromkeys(place.column for place in values))


def data_of(claim: Claim, values: Values) -> list[str]:
    """The data that a claim is about."""
    return list(claim.data or dict.fromkeys(place.data for place in values))
