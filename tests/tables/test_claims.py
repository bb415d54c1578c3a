"""Claims and orderings, on small numbers made by hand."""

from dataclasses import dataclass

import pytest

from sigmae.errors import SigmaeError
from sigmae.studies.statistics import Summary
from sigmae.tables.claims import check_claim, Claim, compared, Count, judged
from sigmae.tables.orderings import Ordering, orderings
from sigmae.tables.published import Number, Place

ROWS = ["VAE", "VAE*", "RAE", "RAE-L2"]
GRID = {
    "VAE": {"rec": 4.0, "gen": 40.0},
    "VAE*": {"rec": 3.0, "gen": 30.0},
    "RAE": {"rec": 2.0, "gen": 25.0},
    "RAE-L2": {"rec": 1.0, "gen": 20.0},
}


def on(data: str, grid=GRID) -> dict[Place, float]:
    return {Place(row, column, data): value for row, numbers in grid.items() for column, value in numbers.items()}


def less(*pairs: tuple[str, str], share: float = 1.0, data: tuple[str, ...] = ()) -> Claim:
    return Claim("It is less.", less=pairs, share=share, data=data)


@pytest.mark.parametrize(
    ("pair", "held", "of"),
    [
        (("RAE | rec", "VAE | rec"), 1, 1),
        (("VAE | rec", "RAE | rec"), 0, 1),
        (("RAE-L2 | *", "VAE | *"), 2, 2),  # each column with its own
        (("RAE-L2 | rec", "* | rec"), 3, 3),  # and not with itself
        (("VAE | rec", "* | rec"), 0, 3),
        (("RAE-L2 | *", "* | *"), 6, 6),
        (("* | rec", "* | gen"), 4, 4),  # each row with its own
        (("* | gen", "* | rec"), 0, 4),
        (("RAE... | rec", "VAE | rec"), 2, 2),
        (("RAE... | rec", "VAE... | rec"), 4, 4),
        (("RAE... | rec", "RAE... | gen"), 2, 2),  # the same beginning is the same rows
        (("VAE* | rec", "VAE | rec"), 1, 1),  # a name with a star, and no other row
        (("VAE* | *", "VAE | *"), 2, 2),
        (("RAE | rec", "* | gen"), 4, 4),
        (("RAE | *", "VAE | rec"), 1, 2),
        (("RAE|rec", "VAE  |rec "), 1, 1),
    ],
)
def test_less(pair, held, of):
    found = compared(less(pair), on("MNIST"), ROWS)
    assert (found.held, found.of) == (held, of)
    assert found.holds is (held == of)
    assert len(found.against) == of - held


def test_a_claim_of_several_pairs_counts_them_all():
    found = compared(less(("RAE | rec", "VAE | rec"), ("VAE | rec", "VAE* | rec")), on("MNIST"), ROWS)
    assert (found.held, found.of, found.holds) == (1, 2, False)
    assert found.against == ("VAE rec 4, VAE* rec 3",)


def test_data_are_compared_each_with_themselves():
    hard = {"VAE": {"rec": 0.1, "gen": 0.0}, "RAE": {"rec": 0.2, "gen": 0.0}}
    values = on("MNIST") | on("CelebA", hard)
    claim = ("RAE | rec", "VAE | rec")
    assert compared(less(claim), values, ROWS).against == ("RAE rec 0.2, VAE rec 0.1",)
    assert compared(less(claim, data=("MNIST",)), values, ROWS).holds
    assert compared(less(claim, data=("CelebA",)), values, ROWS).holds is False
    assert compared(less(claim, data=("Chairs",)), values, ROWS).holds is None


def test_equal_numbers_are_not_less():
    assert compared(less(("A | x", "B | x")), {Place("A", "x", "D"): 1.0, Place("B", "x", "D"): 1.0}, ["A", "B"]) == (
        Count(0, 1, ("A x 1, B x 1",))
    )


@pytest.mark.parametrize(("share", "holds"), [(1.0, False), (0.75, True), (0.76, False), (0.1, True)])
def test_a_share_of_the_comparisons_is_enough(share, holds):
    grid = {row: {"a": 1.0, "b": 2.0} for row in ROWS} | {"VAE": {"a": 2.0, "b": 1.0}}
    found = compared(less(("* | a", "* | b"), share=share), on("MNIST", grid), ROWS)
    assert (found.held, found.of, found.holds) == (3, 4, holds)


def test_rises_and_falls_follow_the_rows_of_the_table():
    falls, rises = Claim("Down.", falls="* | rec"), Claim("Up.", rises="* | rec")
    values = dict(reversed(on("MNIST").items()))  # whose own order does not count
    assert compared(falls, values, ROWS) == Count(3, 3)
    assert compared(rises, values, ROWS).held == 0
    assert compared(rises, values, ROWS[::-1]).held == 3
    assert compared(rises, values, ROWS).against[0] == "VAE to VAE*"


def test_rises_and_falls_see_one_column_unless_told():
    assert compared(Claim("Down.", falls="* | *"), on("MNIST"), ROWS).of == 6
    assert compared(Claim("Down.", falls="RAE... | rec"), on("MNIST"), ROWS) == Count(1, 1)
    assert compared(Claim("Down.", falls="VAE | rec"), on("MNIST"), ROWS).holds is None  # one number goes nowhere


def test_rises_pass_over_a_missing_number():
    values = on("MNIST")
    del values[Place("VAE*", "rec", "MNIST")]
    assert compared(Claim("Down.", falls="* | rec"), values, ROWS) == Count(2, 2)


def verdict(claim: Claim, measured, published, comparable=None):
    return judged(claim, measured, published, ROWS, set(measured) if comparable is None else comparable)


def test_what_was_not_measured_is_not_tested():
    published = {place: Number(value) for place, value in on("MNIST").items()}
    found = verdict(less(("RAE | rec", "VAE | rec")), {Place("RAE", "rec", "MNIST"): 1.0}, published)
    assert found.measured == Count()
    assert found.measured.holds is None
    assert found.published.holds
    assert found.says == "It is less."


def test_what_is_not_in_print_is_not_tested_there():
    found = verdict(less(("RAE | rec", "VAE | rec")), on("MNIST"), {})
    assert (found.measured.holds, found.published.holds) == (True, None)


def test_a_bound_in_print_is_not_compared():
    published = {Place("RAE", "rec", "D"): Number(1.0, bound=">"), Place("VAE", "rec", "D"): Number(2.0)}
    assert verdict(less(("RAE | rec", "VAE | rec")), {}, published).published == Count()


NEAR = Claim("It is near.", near="VAE | rec", within=0.5)


@pytest.mark.parametrize(
    ("value", "printed", "holds"),
    [
        (4.5, Number(4.0), True),
        (3.5, Number(4.0), True),
        (4.51, Number(4.0), False),
        (3.49, Number(4.0), False),
        (9.0, Number(4.0, bound=">"), True),
        (3.6, Number(4.0, bound=">"), True),
        (3.4, Number(4.0, bound=">"), False),
    ],
)
def test_near(value, printed, holds):
    place = Place("VAE", "rec", "MNIST")
    found = verdict(NEAR, {place: value}, {place: printed})
    assert found.measured.holds is holds
    assert found.published == Count()  # what is in print is near to itself
    assert bool(found.measured.against) is not holds


def test_near_needs_a_printed_number_that_compares():
    place = Place("VAE", "rec", "MNIST")
    assert verdict(NEAR, {place: 4.0}, {}).measured.holds is None
    assert verdict(NEAR, {}, {place: Number(4.0)}).measured.holds is None
    assert verdict(NEAR, {place: 4.0}, {place: Number(4.0)}, comparable=set()).measured.holds is None


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        (Claim("A."), "The claim 'A.' compares by one of less, falls, rises, near; it has none"),
        (Claim("A.", falls="VAE | rec", near="VAE | rec"), "it has falls and near"),
        (Claim("A.", rises="VAE, rec"), "refers to 'row | column'"),
        (Claim("A.", rises="VAE | "), "refers to 'row | column'"),
        (Claim("A.", rises="| rec"), "refers to 'row | column'"),
        (Claim("A.", rises="VAEE | rec"), "Unknown row in the claim 'A.' 'VAEE'. Did you mean 'VAE'?"),
        (Claim("A.", rises="XYZ... | rec"), "Unknown row"),
        (Claim("A.", near="VAE | rek"), "Unknown column in the claim 'A.' 'rek'. Did you mean 'rec'?"),
        (less(("VAE | rec", "RAE | nope")), "Unknown column"),
        (less(("VAE | rec", "RAE | rec"), data=("MNITS",)), "Unknown data set"),
        (less(("VAE | rec", "RAE | rec"), share=1.5), "share above 0 and up to 1"),
        (less(("VAE | rec", "RAE | rec"), share=0.0), "share above 0 and up to 1"),
        (Claim("A.", near="VAE | rec", within=-1.0), "within 0 or more"),
    ],
)
def test_claims_that_could_never_be_tested_are_refused(claim, told):
    with pytest.raises(SigmaeError) as raised:
        check_claim(claim, ROWS, ["rec", "gen"], ["MNIST"])
    assert told in str(raised.value)


@pytest.mark.parametrize("row", ["*", "VAE*", "VAE...", "RAE-L2", "RAE-L2..."])
def test_claims_about_what_is_there_are_taken(row):
    check_claim(Claim("A.", falls=f"{row} | rec"), ROWS, ["rec"], ["MNIST"])


@dataclass(frozen=True)
class Known:
    """A number with its place, as orderings see it."""

    place: Place
    published: Number | None
    summary: Summary | None


def known(row: str, printed: float | None, measured: float | None, column="rec", data="MNIST", bound="") -> Known:
    published = None if printed is None else Number(printed, bound=bound)
    return Known(Place(row, column, data), published, None if measured is None else Summary(measured, None, 1))


def test_an_ordering_counts_the_pairs_that_come_in_the_printed_order():
    numbers = [known("a", 1.0, 10.0), known("b", 2.0, 30.0), known("c", 3.0, 20.0)]
    (found,) = orderings(numbers)
    assert found == Ordering("rec", "MNIST", 2, 3)
    assert not found.holds
    (turned,) = orderings([known("a", 1.0, 3.0), known("b", 2.0, 2.0), known("c", 3.0, 1.0)])
    assert (turned.agreeing, turned.pairs) == (0, 3)


def test_an_ordering_leaves_out_ties_in_print_bounds_and_missing_numbers():
    numbers = [
        known("a", 1.0, 1.0),
        known("b", 1.0, 2.0),  # equal in print: no order to keep
        known("c", 2.0, 3.0),
        known("d", 9.0, 0.0, bound=">"),
        known("e", 5.0, None),
        known("f", None, 4.0),
    ]
    assert list(orderings(numbers)) == [Ordering("rec", "MNIST", 2, 2)]
    assert list(orderings([known("a", 1.0, 2.0), known("c", 2.0, 2.0)])) == [Ordering("rec", "MNIST", 0, 1)]


def test_columns_and_data_are_ordered_each_by_themselves():
    numbers = [
        *(known("a", 1.0, 1.0), known("b", 2.0, 2.0)),
        *(known("a", 1.0, 2.0, "gen"), known("b", 2.0, 1.0, "gen")),
        *(known("a", 1.0, 1.0, data="CelebA"), known("b", 2.0, 3.0, data="CelebA")),
        known("a", 1.0, 1.0, data="Chairs"),
    ]
    found = {(one.column, one.data): one.holds for one in orderings(numbers)}
    assert found == {("rec", "MNIST"): True, ("gen", "MNIST"): False, ("rec", "CelebA"): True}
