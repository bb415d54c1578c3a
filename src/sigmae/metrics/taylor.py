"""How well a first-order Taylor expansion carries q(z|x) through the decoder, beside what samples do."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.distributions import Distribution

from sigmae.errors import SigmaeError
from sigmae.jacobians import Decoder, push_forward
from sigmae.metrics.inference import draws_of, evaluating, examples, mean_decoder
from sigmae.model import Autoencoder
from sigmae.posteriors import factor_columns
from sigmae.seeds import generator

COUNTS = (5, 10, 25, 50, 70, 100, 235)
REFERENCE = 15_000
DIRECTIONS = 1024
DECODED_AT_ONCE = 500


@dataclass(frozen=True)
class Quality:
    """One way to estimate the covariance of f(z): means over the images.

    `variance_correlation` is Pearson's over the values of an image, 1 is best; `covariance_error` the squared
    Frobenius distance to the true covariance, 0 is best; `overestimation` the sum of all variances by that of the
    true ones, 1 is best.
    """

    variance_correlation: float
    covariance_error: float
    overestimation: float


@dataclass(frozen=True)
class TaylorQuality:
    """The Taylor expansion's quality, that of each number of samples, and the covariances' mean ||C||_F²."""

    taylor: Quality
    samples: dict[int, Quality]
    squared_norm: float


@dataclass(frozen=True)
class Spread:
    """The covariance C of an image's values as C Q, and its diagonal."""

    projected: Float64[Tensor, "values directions"]
    variance: Float64[Tensor, " values"]


def taylor_quality(
    model: Autoencoder,
    images: Any,
    *,
    counts: Sequence[int] = COUNTS,
    reference: int = REFERENCE,
    directions: int = DIRECTIONS,
    seed: int = 0,
    chunk: int = DECODED_AT_ONCE,
) -> TaylorQuality:
    """Covariances of f(z), z ~ q(z|x), by U Uᵀ with U = J L, and by k samples, against `reference` samples.

    Source: sampling-free VAE, Section 4.1 and Table 1 (15,000 samples, 16 latents, models trained by sampling; the
    "Frobenius norm" there is squared). f is the mean image; no decoder variance is added. k samples give the unbiased
    covariance about their own mean, of expected error (||C||_F² + tr(C)²) / (k - 1) where f is linear.

    The error is <E - C_1, E - C_2> of an estimate E with the covariances of either half of the reference samples:
    independent of each other, so that the reference's own error adds no bias (and tiny values may fall below 0). No
    covariance is formed for images of more than `directions` values: C Q is accumulated instead, Q as many random
    orthogonal directions with E Q Qᵀ = I, under which squared norms keep their expectation; for 1,024 directions the
    standard deviation of an image's value is 4 % of it at most. Up to that size Q is I, and nothing is lost.

    `reference` decoded codes for each image, `chunk` at once, and about six matrices of values x directions in
    float64: 30 MB for MNIST, 600 MB for 64 x 64 in colour. The correlation misleads where most of an image is
    constant: it then says little more than which values move at all.
    """
    if min(counts, default=2) < 2 or reference < 4 or min(directions, chunk) < 1:
        raise SigmaeError(
            "A covariance needs two or more samples and its reference four or more, got "
            f"counts={tuple(counts)}, reference={reference}, directions={directions} and chunk={chunk}."
        )
    batch, decode = examples(model, images), mean_decoder(model)
    if batch[0].numel() < 2:
        raise SigmaeError("Variances are correlated over two or more values of an example, and these have one.")
    projection = random_directions(batch[0].numel(), directions, seed)
    projection = None if projection is None else projection.to(model.device)
    with evaluating(model):
        scores = []
        for row in range(len(batch)):
            q, draw = model.posterior(batch[row : row + 1]), generator(seed, "taylor quality", row)
            scores.append(_scores(decode, q, draw, projection, counts, reference, chunk))
    return _summary(torch.stack(scores), counts)


def _scores(
    decode: Decoder,
    q: Distribution,
    draw: torch.Generator,
    projection: Float[Tensor, "values directions"] | None,
    counts: Sequence[int],
    reference: int,
    chunk: int,
) -> Float64[Tensor, "estimates 5"]:
    """What `compared` gives for the Taylor expansion and for each number of samples, of a single image's q."""
    centre = decode(q.mean).flatten(1)

    def outputs(count: int) -> Iterator[Tensor]:
        for start in range(0, count, chunk):
            z = draws_of(q, min(chunk, count - start), [draw])
            yield decode(z.squeeze(1)).flatten(1) - centre

    halves = [spread(outputs(count), projection) for count in (reference // 2, reference - reference // 2)]
    taylor = linearized_spread(push_forward(decode, q.mean, factor_columns(q)).flatten(1), projection)
    samples = [compared(spread(outputs(count), projection), *halves) for count in counts]
    return torch.stack([compared(taylor, *halves), *samples])


def spread(
    batches: Iterable[Float[Tensor, "_ values"]], projection: Float[Tensor, "values directions"] | None
) -> Spread:
    """The unbiased covariance of points near the origin, which are read once; sums are in float64."""
    count, squares = 0, torch.zeros((), dtype=torch.float64)
    total, projected, products = squares, squares, squares
    for points in batches:
        sides = points if projection is None else points @ projection
        count += len(points)
        total = total + points.sum(0).double()
        projected = projected + sides.sum(0).double()
        squares = squares + points.square().sum(0).double()
        products = products + (points.T @ sides).double()
    covariance = (products - torch.outer(total, projected) / count) / (count - 1)
    return Spread(covariance, (squares - total.square() / count) / (count - 1))


def linearized_spread(
    factor: Float[Tensor, "latent values"], projection: Float[Tensor, "values directions"] | None
) -> Spread:
    """U Uᵀ of the rows of Uᵀ."""
    rows = factor.double()
    sides = rows if projection is None else rows @ projection.double()
    return Spread(rows.T @ sides, rows.square().sum(0))


def compared(estimate: Spread, half: Spread, other: Spread) -> Float64[Tensor, "5"]:
    """Correlation of the variances, squared error, the sums of both variances, and the true ||C||_F².

    Halves of the reference make the last four unbiased.
    """
    true = (half.variance + other.variance) / 2
    correlation = torch.corrcoef(torch.stack([estimate.variance, true]))[0, 1]
    error = ((estimate.projected - half.projected) * (estimate.projected - other.projected)).sum()
    norm = (half.projected * other.projected).sum()
    return torch.stack([correlation, error, estimate.variance.sum(), true.sum(), norm])


def random_directions(values: int, directions: int, seed: int) -> Float[Tensor, "values directions"] | None:
    """Orthogonal columns of random directions with E Q Qᵀ = I; None, for Q = I, where they would span all."""
    if values <= directions:
        return None
    draw = torch.randn(values, directions, generator=generator(seed, "directions"))
    basis: Tensor = torch.linalg.qr(draw).Q
    return basis * math.sqrt(values / directions)


def _summary(scores: Float64[Tensor, "images estimates 5"], counts: Sequence[int]) -> TaylorQuality:
    if not scores.isfinite().all():
        raise SigmaeError(
            "The decoder gives an image of NaN, or one and the same for all draws of q, whose variances correlate with "
            "nothing: it has diverged or collapsed."
        )
    correlation, error, total, true, norm = scores.mean(0).unbind(1)
    rows = zip(correlation.tolist(), error.tolist(), (total / true).tolist(), strict=True)
    taylor, *samples = (Quality(*row) for row in rows)
    return TaylorQuality(taylor, dict(zip(counts, samples, strict=True)), norm[0].item())
