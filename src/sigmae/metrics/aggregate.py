"""The aggregate posterior: how the codes of a data set lie, beside N(0, I).

Codes are draws of q(z|x), one of each example, or its means where the encoder is deterministic: means of a VAE lie
closer together than what its decoder was trained on. All is done in float64 on the CPU, and at most 2^22 distances
(32 MB) are held at once.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sigmae.bandwidth import corrected_bandwidth, ELEMENTS, optimal_bandwidth
from sigmae.errors import SigmaeError
from sigmae.kernel_density import log_floor
from sigmae.kernels import squared_distances
from sigmae.metrics.neighbours import larger_share, nearest, squared_radii
from sigmae.seeds import generator

SINGULAR = 1e-13  # of the largest variance; a linear dependence rounded to 32 bits leaves about 1e-15
EQUAL = 1e-28  # of the largest square: by rounding alone, equal codes leave about 1e-32
EIGENVALUE_OFFSET = 1e-4  # the authors', in their whitening
TAIL = 5e-4  # the authors', of the chi-squared distribution that sets their floor


def finite_codes(codes: Float[Tensor, "count latent"]) -> Float64[Tensor, "count latent"]:
    """The codes in float64 on the CPU; fewer than two of them, NaN and infinity are refused."""
    if len(codes) < 2 or not codes.shape[1]:
        raise SigmaeError(
            f"This needs two or more codes of one or more latents, got {list(codes.shape)}: encode more examples."
        )
    broken = len(codes) - int(codes.isfinite().all(1).sum())
    if broken:
        raise SigmaeError(
            f"{broken} of {len(codes)} codes hold NaN or infinity, and lie nowhere: "
            "the model has diverged; train it again with a lower learning rate."
        )
    return codes.detach().to("cpu", torch.float64)


def gaussian_divergence(codes: Float[Tensor, "count latent"], *, scale: float = 1.0) -> float:
    """KL(N(m, S) || N(0, scale² I)) in nats, m and S the codes' mean and unbiased covariance; 0 is best.

    Table V of the aggregate VAE, from 10,000 codes of held-out images. There, `scale` is alpha for the aggregate VAE
    (the objective's `prior_scale`), which counts out the bias of its kernel density, and 1 for all others.

    It sees two moments only: codes in clusters, or with holes, can score 0. N draws of N(0, I) themselves score
    about m (m + 3) / (4 N) for m latents: 0.42 for 128 of them and 10,000 codes. Codes on fewer directions than
    latents have an infinite divergence, and are refused. Costs one covariance.
    """
    if not 0 < scale < math.inf:
        raise SigmaeError(f"The scale of a prior is above 0 and finite, got {scale:g}: use 1 for N(0, I).")
    points = finite_codes(codes) / scale
    variances, _ = _principal_axes(points)
    squares = variances.sum() + points.mean(0).square().sum()
    return max(0.0, 0.5 * float(squares - variances.log().sum() - points.shape[1]))


@dataclass(frozen=True)
class WhitenedEntropy:
    """Entropies of the same whitened codes in nats, without the constant m/2 ln 2 pi: N(0, I) has `normal`, m/2.

    `floored` cannot exceed `ceiling`; near it, it says nothing.
    """

    floored: float
    leave_one_out: float
    nearest_neighbour: float
    normal: float
    ceiling: float


def whitened_entropy(codes: Float[Tensor, "count latent"], *, bandwidth: float | None = None) -> WhitenedEntropy:
    """How far from Gaussian codes are beyond their covariance, by three estimates of the entropy; higher is better.

    `floored`: Table VI of the aggregate VAE (eq. 12), as its authors' code has it, from 10,000 codes of held-out
    images. Whitened by the uncentred second moment, each scored by the kernels h^-m exp(-d² / (2 h²)) on the others
    and a constant: the kernel at a distance that a normal draw exceeds with probability 5e-4. h is `bandwidth`, or
    the one that training with as many kernels takes.

    `leave_one_out`: the same without the constant, whitened exactly.

    `nearest_neighbour`: the estimate of Kozachenko and Leonenko (1987), whitened exactly, without a bandwidth; equal
    codes count once. The last two do not change when codes are moved, turned or stretched.

    All tend to be too high, more so with more latents: compare with as many draws of N(0, I). Of 10,000 of them,
    those of 16, 64 and 128 latents (`normal` 8, 32, 64) get 8.8, 32.4 and 56.1 `floored`, the two last at the ceiling;
    9.3, 51 and 117 by `leave_one_out`; 8.2, 39 and 86 by `nearest_neighbour`. None knows of the prior: codes of any
    Gaussian are perfect. Codes on fewer directions than latents cannot be whitened, and are refused. Costs the
    distances of all pairs of codes three times; the first bandwidth of its size takes some seconds more.
    """
    points = finite_codes(codes)
    count, latent_dim = points.shape
    exact = _whitened(points)
    h = corrected_bandwidth(optimal_bandwidth(latent_dim, count)) if bandwidth is None else bandwidth
    if not 0 < h < math.inf:
        raise SigmaeError(f"A bandwidth is above 0 and finite, got {h:g}: None takes that of the aggregate VAE.")
    floor = log_floor(latent_dim, h, TAIL)
    by_authors = _log_kernels(_whitened_by_authors(points), h).logaddexp(torch.tensor(floor).double())
    return WhitenedEntropy(
        floored=-float(by_authors.mean()),
        leave_one_out=-float(_log_kernels(exact, h).mean()),
        nearest_neighbour=_nearest_neighbour_entropy(_whitened(points.unique(dim=0))),
        normal=latent_dim / 2,
        ceiling=-floor,
    )


def mutual_information(
    means: Float[Tensor, "count latent"], variance: float | Float[Tensor, "count latent"], *, seed: int = 0
) -> float:
    """An upper bound of I(x; z) in nats for q(z|x) = N(mean, diag(variance)): E ln q(z|x) - ln mean_{x'} q(z|x').

    One z is drawn of each q, and x' runs over all other examples: leaving x out makes it a bound (Poole et al. 2019,
    "On variational bounds of mutual information"), on average over draws, whatever the variances; with one variance for
    all it is equation 29 of the AR-ELBO, which takes 10,000 examples at a time and averages. A deterministic encoder
    has no variance, and an infinite I(x; z): give the one to look at it with, such as 0.01.

    0 says that z knows nothing of x. There is no best value, and little use above ln N for N examples, where it
    measures how far codes lie apart in units of q: the tables of the AR-ELBO reach 760. Costs two products with each
    pair of examples.
    """
    mean = finite_codes(means)
    if isinstance(variance, Tensor) and variance.shape != mean.shape:
        raise SigmaeError(f"Give a variance for each of {list(mean.shape)} means, or one; got {list(variance.shape)}.")
    variances = torch.as_tensor(variance, dtype=torch.float64, device="cpu").detach().expand_as(mean)
    if not ((variances > 0) & variances.isfinite()).all():
        raise SigmaeError("The variances of q are above 0 and finite: give a deterministic encoder one, such as 0.01.")
    mean = mean - mean.mean(0)  # so that few digits cancel below
    z = mean + variances.sqrt() * torch.randn(mean.shape, generator=generator(seed, "codes"), dtype=torch.float64)
    precision = 1 / variances
    pull = mean * precision
    own = (mean * pull + variances.log()).sum(1)
    total = torch.zeros(()).double()
    for rows in _chunks(len(mean)):
        square = z[rows].square() @ precision.T - 2 * z[rows] @ pull.T + own
        total += _without_own(square, rows).mul_(-0.5).logsumexp(1).sum()
    average = total / len(mean) - math.log(len(mean) - 1)
    return float(-0.5 * (variances.log().sum(1).mean() + mean.shape[1]) - average)


@dataclass(frozen=True)
class Holes:
    """Samples beside held-out codes, by the distance to the nearest training code.

    `outside` is the share of samples farther than `distance`, which is a quantile of the held-out codes' distances;
    `farther` is the probability that a sample is farther than a held-out code, where ties count half.
    """

    outside: float
    farther: float
    distance: float


def holes(
    codes: Float[Tensor, "count latent"],
    *,
    held_out: Float[Tensor, "others latent"],
    samples: Float[Tensor, "draws latent"],
    quantile: float = 0.95,
) -> Holes:
    """Whether samples of the prior, or of any density, fall where there are no codes: shares between 0 and 1.

    Where samples follow the codes' own distribution, `outside` is 0.05 (1 - `quantile`) and `farther` is 0.5, the
    Mann-Whitney statistic over the number of pairs; near 1, the decoder is asked for what it has never been trained
    on. Lower values are no better: such samples keep to where codes are dense, and leave others out.

    The measure is ours. Distances are Euclidean, in the units of the latents: a few wide latents outvote many narrow
    ones. With many latents and few codes, all distances are alike, and only a wrong scale shows. Costs a distance of
    each held-out code and each sample to each code.
    """
    if not 0 < quantile < 1:
        raise SigmaeError(f"A quantile lies between 0 and 1, got {quantile:g}: 0.95 is usual.")
    if not codes.shape[1] == held_out.shape[1] == samples.shape[1]:
        raise SigmaeError(
            f"The codes have {codes.shape[1]} latents, the held-out ones {held_out.shape[1]} and the samples "
            f"{samples.shape[1]}: give all from one model."
        )
    bank = finite_codes(codes)
    usual, drawn = (nearest(real=bank, generated=finite_codes(points))[1].sqrt() for points in (held_out, samples))
    distance = usual.quantile(quantile)
    return Holes(
        outside=float((drawn > distance).double().mean()),
        farther=larger_share(drawn, than=usual),
        distance=float(distance),
    )


def _principal_axes(
    points: Float64[Tensor, "count latent"],
) -> tuple[Float64[Tensor, " latent"], Float64[Tensor, "latent latent"]]:
    """The variances along the axes of the unbiased covariance, and the axes as columns; all must be above rounding."""
    latent_dim = points.shape[1]
    variances, axes = torch.linalg.eigh(points.T.cov().view(latent_dim, latent_dim))
    rounding = torch.maximum(SINGULAR * variances[-1], EQUAL * points.square().max())
    used = int((variances > rounding).sum())
    if used < latent_dim:
        raise SigmaeError(
            f"These {len(points)} codes vary along {used} of {latent_dim} directions, and have no density: encode "
            "more examples, leave the latents out that are always the same, or take draws of q in place of its means."
        )
    return variances, axes


def _whitened(points: Float64[Tensor, "count latent"]) -> Float64[Tensor, "count latent"]:
    """Of mean 0 and covariance I."""
    variances, axes = _principal_axes(points)
    return (points - points.mean(0)) @ (axes / variances.sqrt())


def _whitened_by_authors(points: Float64[Tensor, "count latent"]) -> Float64[Tensor, "count latent"]:
    """Of second moment about I, not centred; their turn back to the latent axes would change no distance."""
    values, axes = torch.linalg.eigh(points.T @ points / (len(points) - 1))
    whitened: Tensor = points @ (axes / (values + EIGENVALUE_OFFSET).sqrt())
    return whitened


def _chunks(count: int) -> Iterator[slice]:
    """Rows of so few points that their pairs with all points can be held."""
    size = max(1, ELEMENTS // count)
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _without_own(table: Float64[Tensor, "rows count"], rows: slice) -> Float64[Tensor, "rows count"]:
    """A table of distances in which that of every point to itself is made infinite."""
    table.diagonal(rows.start).fill_(math.inf)
    return table


def _log_kernels(points: Float64[Tensor, "count latent"], bandwidth: float) -> Float64[Tensor, " count"]:
    """ln of the mean of h^-m exp(-d² / (2 h²)) over all other points."""
    count, latent_dim = points.shape
    sums = [
        _without_own(squared_distances(points[rows], points), rows).mul_(-0.5 / bandwidth**2).logsumexp(1)
        for rows in _chunks(count)
    ]
    return torch.cat(sums) - math.log(count - 1) - latent_dim * math.log(bandwidth)


def _nearest_neighbour_entropy(points: Float64[Tensor, "count latent"]) -> float:
    """psi(N) - psi(1) + ln V + m E ln d in nats less m/2 ln 2 pi, V the volume of the unit ball; points differ."""
    count, latent_dim = points.shape
    squares = squared_radii(points, 1)[1]
    rank = torch.digamma(torch.tensor([count, 1.0]).double())
    ball = -latent_dim / 2 * math.log(2) - math.lgamma(latent_dim / 2 + 1)
    return float(rank[0] - rank[1] + ball + latent_dim / 2 * squares.log().mean())
