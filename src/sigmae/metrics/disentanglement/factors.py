"""Codes with the factors of their examples, and votes: groups of examples that share the value of one factor."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Generator, Tensor

from sigmae.errors import SigmaeError
from sigmae.metrics.aggregate import finite_codes

VOTES = 10_000
JUDGED = 5_000
PRUNED = 0.05
VOTES_AT_ONCE = 500


def codes_of_factors(
    codes: Float[Tensor, "count latent"], factors: Int64[Tensor, "others factors"]
) -> Float64[Tensor, "count latent"]:
    """The codes in float64; refused where their factors are not as many, or are always the same."""
    if len(codes) != len(factors):
        raise SigmaeError(
            f"There are {len(codes)} codes and the factors of {len(factors)} examples: give both of the same examples."
        )
    points = finite_codes(codes)
    constant = (factors == factors[0]).all(0).nonzero().flatten().tolist()
    if constant or factors.shape[1] < 2:
        raise SigmaeError(
            f"Two or more factors that vary can be told apart, got {factors.shape[1]}, of which those numbered "
            f"{constant} have one value only: leave these out."
        )
    return points


@dataclass(frozen=True, eq=False)
class Votes:
    """For each vote the factor that was fixed, and the rows of examples that share one of its values."""

    factor: Int64[Tensor, " votes"]
    rows: Int64[Tensor, "votes images"]


def draw_votes(
    factors: Int64[Tensor, "count factors"], count: int, images: int, least: int, draw: Generator
) -> Iterator[Votes]:
    """`count` votes, `VOTES_AT_ONCE` at a time: a factor, the value of it that a random example has, and `images`
    examples with that value, drawn with replacement from those at hand.

    Of a full grid, this is a value and the other factors drawn evenly. Raises `SigmaeError` where a value has
    fewer than `least` examples.
    """
    if images < least or count < 1:
        raise SigmaeError(f"{count} votes of {images} examples cannot be: take 1 or more, of {least} or more each.")
    tables = [_same_value(column, number, least) for number, column in enumerate(factors.T)]
    order, start, size = (torch.stack(parts) for parts in zip(*tables, strict=True))
    for first in range(0, count, VOTES_AT_ONCE):
        votes = min(VOTES_AT_ONCE, count - first)
        factor = torch.randint(len(order), (votes,), generator=draw)
        example = torch.randint(len(factors), (votes,), generator=draw)
        among = torch.rand(votes, images, generator=draw, dtype=torch.float64) * size[factor, example, None]
        yield Votes(factor, order[factor[:, None], start[factor, example, None] + among.long()])


def _same_value(
    column: Int64[Tensor, " count"], number: int, least: int
) -> tuple[Int64[Tensor, " count"], Int64[Tensor, " count"], Int64[Tensor, " count"]]:
    """The rows in the order of a factor's values; for every row, where those of its value start, and how many."""
    values, inverse, counts = column.unique(return_inverse=True, return_counts=True)
    rarest = int(counts.argmin())
    if counts[rarest] < least:
        raise SigmaeError(
            f"Factor {number} has the value {int(values[rarest])} in {int(counts[rarest])} of {len(column)} examples, "
            f"and this needs {least} or more that share a value: encode more examples."
        )
    return column.argsort(stable=True), (counts.cumsum(0) - counts)[inverse], counts[inverse]
