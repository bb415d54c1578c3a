"""Neighbours: what the nearest vectors of one set say about another.

All are of vectors [count features]: features of images, or flattened pixels. Distances are computed in float64 for
`BLOCK` by `BLOCK` vectors at a time, so that memory grows with their number only: 8 MB a matrix and 16 kB a feature.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64, Real
from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.kernels import squared_distances

BLOCK = 1000
ROUNDING = 1e-12  # of the largest squared distance: two that differ by less are equal


@dataclass(frozen=True)
class Neighbourhoods:
    """Shares in [0, 1], but for `density`; see `neighbourhoods`."""

    precision: float
    recall: float
    density: float
    coverage: float


@torch.no_grad()
def neighbourhoods(
    *,
    real: Real[Tensor, "count features"],
    generated: Real[Tensor, "others features"],
    precision_k: int = 3,
    density_k: int = 5,
) -> Neighbourhoods:
    """How far each set lies in the other's neighbourhoods, the balls that reach a vector's k-th nearest in its own set.

    `precision`: the share of generated vectors in the ball of any real one; `recall`: of real ones in the ball of
    any generated one (Kynkäänniemi et al. 2019, equations 1 and 2, k = 3). `density`: in how many real balls a
    generated vector lies on average, divided by k; `coverage`: the share of real balls that hold a generated vector
    (Naeem et al. 2020, k = 5). Two equal distributions have density 1 and, at equal counts, coverage 1 - 2^-k on
    average. The papers take 10,000 images of each and Inception or VGG features.

    All depend on k, on the counts and on the features. A real outlier has a large ball, which makes the precision
    too good, as the large balls of a spread-out generator make the recall; a density above 1 is no merit, but
    vectors crowded where real ones are dense. Balls include their border, so that copies of the data have precision,
    recall and coverage 1; the density paper's code leaves it out, which matters for repeated vectors only.

    Costs all distances between and within the sets, three matrix products: 1.2e12 operations for 10,000 vectors of
    2,048 features.
    """
    for name, k in {"precision_k": precision_k, "density_k": density_k}.items():
        if k < 1:
            raise SigmaeError(f"A neighbourhood needs a {name} of 1 or more, got {k}.")
    check_vectors(1 + max(precision_k, density_k), real=real, generated=generated)
    real_radii, generated_radii = (squared_radii(vectors, max(precision_k, density_k)) for vectors in (real, generated))
    precise, recalled, covered = (real.new_zeros(len(v), dtype=torch.bool) for v in (generated, real, real))
    inside = 0
    for rows, columns, distances in distance_blocks(real, generated):
        precise[columns] |= (distances <= real_radii[precision_k, rows, None]).any(0)
        recalled[rows] |= (distances <= generated_radii[precision_k, columns]).any(1)
        balls = distances <= real_radii[density_k, rows, None]
        covered[rows] |= balls.any(1)
        inside += int(balls.sum())
    precision, recall, coverage = (float(found.double().mean()) for found in (precise, recalled, covered))
    return Neighbourhoods(precision, recall, inside / (density_k * len(generated)), coverage)


@torch.no_grad()
def nearest(
    *, real: Real[Tensor, "count features"], generated: Real[Tensor, "others features"]
) -> tuple[Int64[Tensor, " others"], Float64[Tensor, " others"]]:
    """The index of each generated vector's nearest real one, and their squared distance, which is 0 for copies.

    The search costs one matrix product; the distances are then those of differences, without its rounding.
    """
    check_vectors(1, real=real, generated=generated)
    squares = torch.full((len(generated),), math.inf, dtype=torch.float64, device=real.device)
    indices = torch.zeros_like(squares, dtype=torch.int64)
    for rows, columns, distances in distance_blocks(generated, real):
        found, where = distances.min(1)
        closer = found < squares[rows]
        squares[rows] = found.where(closer, squares[rows])
        indices[rows] = (where + columns.start).where(closer, indices[rows])
    for rows in _blocks(generated):
        squares[rows] = (generated[rows].double() - real[indices[rows]].double()).square().sum(1)
    return indices, squares


@dataclass(frozen=True)
class Memorisation:
    """Shares in [0, 1], `nearer` best at 1/2 and `copies` at the tail asked for; see `memorisation`."""

    nearer: float
    copies: float


def memorisation(
    *,
    train: Real[Tensor, "count features"],
    held_out: Real[Tensor, "others features"],
    generated: Real[Tensor, "more features"],
    tail: float = 0.01,
) -> Memorisation:
    """Whether generated vectors are nearer to the training ones than held-out vectors of the same data are.

    `nearer`: the probability that a random generated vector is nearer to its nearest training vector than a random
    held-out one is to its own, where ties count half (Mann-Whitney). 0.5: like new data; 1: copies; near 0: unlike
    the data. It is the statistic of the data-copying test of Meehan et al. (2020) over the whole space, where the
    paper averages z-scores over cells, so that copies in one place can hide behind poor images in another. Without
    copying it has a standard deviation of sqrt((n + m + 1) / (12 n m)), 0.004 for n = m = 10,000.

    `copies`: the share of generated vectors no farther than the nearest `tail` of held-out ones are. Without copying
    it is the tail on average (rounded to multiples of 1 / (n + 1) for n held-out vectors), or, where more of these
    repeat training vectors, their share.

    A distance in pixels is small for smooth images, whatever they show: pass the held-out images through the same
    decoder (their reconstructions), so that blur favours neither. Costs a matrix product with the training vectors.
    """
    if not 0 < tail < 1:
        raise SigmaeError(f"A tail lies between 0 and 1, got {tail:g}.")
    check_vectors(1, train=train, held_out=held_out, generated=generated)
    if (rank := tail * (len(held_out) + 1)) < 1:
        raise SigmaeError(
            f"The nearest {tail:g} of {len(held_out)} held-out vectors are less than one: hold out more, "
            "or give a larger tail."
        )
    known, new = (nearest(real=train, generated=vectors)[1] for vectors in (held_out, generated))
    threshold = known.sort().values[min(round(rank), len(known)) - 1]
    return Memorisation(1 - larger_share(new, than=known), float((new <= threshold).double().mean()))


def larger_share(values: Float64[Tensor, " count"], *, than: Float64[Tensor, " others"]) -> float:
    """The probability that a random value is larger than a random other, ties counted half (Mann and Whitney)."""
    others = than.sort().values
    below, up_to = (torch.searchsorted(others, values, right=right).double().mean() for right in (False, True))
    return float(below + up_to) / (2 * len(others))


def squared_radii(points: Real[Tensor, "count features"], k: int) -> Float64[Tensor, "ranks count"]:
    """Row j holds the squared distance of every point to its j-th nearest other, up to j = k; row 0 is its own.

    Enlarged by `ROUNDING`, so that a point at that very distance is within it.
    """
    smallest = torch.full((len(points), k + 1), math.inf, dtype=torch.float64, device=points.device)
    largest = 0.0
    for rows, _, distances in distance_blocks(points, points):
        smallest[rows] = torch.cat([smallest[rows], distances], 1).topk(k + 1, largest=False).values
        largest = max(largest, float(distances.max()))
    return smallest.T + ROUNDING * largest


def distance_blocks(
    points: Real[Tensor, "count features"], others: Real[Tensor, "more features"]
) -> Iterator[tuple[slice, slice, Float64[Tensor, "_rows _columns"]]]:
    """Rows, columns and squared distances of every block of the two sets, the columns in order for each row.

    Seen from the first point, so that a large mean costs no digits.
    """
    origin = points[0].double()
    for rows in _blocks(points):
        part = points[rows].double() - origin
        for columns in _blocks(others):
            yield rows, columns, squared_distances(part, others[columns].double() - origin)


def check_vectors(least: int, **sets: Tensor) -> None:
    """Refuse sets of fewer than `least` vectors, of vectors with NaN or infinity, and of different features."""
    for name, vectors in sets.items():
        if len(vectors) < least:
            raise SigmaeError(f"This metric needs {least} or more {name} vectors, got {len(vectors)}: give more.")
        if not all(vectors[rows].isfinite().all() for rows in _blocks(vectors)):
            raise SigmaeError(f"The {name} vectors hold NaN or infinity, and have no distances: check the images.")
    if len({vectors.shape[1] for vectors in sets.values()}) > 1:
        sizes = " and ".join(f"{vectors.shape[1]} ({name})" for name, vectors in sets.items())
        raise SigmaeError(f"Vectors of {sizes} features cannot be compared: extract all with the same features.")


def _blocks(vectors: Tensor) -> Iterator[slice]:
    for start in range(0, len(vectors), BLOCK):
        yield slice(start, min(start + BLOCK, len(vectors)))
