r"""The Fréchet distance between two sets of images, each seen as one Gaussian of its features.

    ||mu_r - mu_g||² + tr S_r + tr S_g - 2 tr (S_r S_g)^{1/2}

the squared 2-Wasserstein distance of N(mu_r, S_r) and N(mu_g, S_g). Source: Heusel et al. 2017, "GANs trained by
a two time-scale update rule", equation 6, whose FID it is with Inception features. It is in the features'
squared units, 0 is best, and it falls with the number of images: compare only numbers of equal counts, of the
same features and against the same real images. The papers take 10,000 images and the test split.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.metrics.features import extract, Features

SUMMED_AT_ONCE = 1000


@dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """The mean and the unbiased covariance of `count` feature vectors, in float64 on the CPU.

    `factor` is A with A Aᵀ the covariance, kept where the vectors were so few that it has no more columns than rows.
    """

    mean: Float64[Tensor, " features"]
    covariance: Float64[Tensor, "features features"]
    count: int
    factor: Float64[Tensor, "features rank"] | None = None

    def __post_init__(self) -> None:
        if self.count < 2:
            raise SigmaeError(f"A covariance of features needs two or more images, got {self.count}: give more images.")
        if not (self.mean.isfinite().all() and self.covariance.isfinite().all()):
            raise SigmaeError(
                "The features of these images hold NaN or infinity, and have no covariance: "
                "check the images, or choose other features."
            )


def feature_statistics(
    features: Float[Tensor, "count features"] | Iterable[Float[Tensor, "batch features"]],
) -> FeatureStatistics:
    """The statistics of feature vectors, or of an iterable of batches of them, which is read once.

    Mean and scatter are updated batch by batch (Chan, Golub and LeVeque 1979), so a large mean costs no digits. A
    batch adds RᵀR of a few rows R to the scatter; while all of them are no more than the features, they are its factor.
    """
    batches = [features] if isinstance(features, Tensor) else features
    count, mean, scatter = 0, torch.zeros(1).double(), torch.zeros(1, 1).double()
    rows: list[Tensor] = []
    few = True
    for part in (part for batch in batches for part in batch.split(SUMMED_AT_ONCE) if len(batch)):
        points = part.detach().to("cpu", torch.float64)
        center = points.mean(0)
        shift, total = center - mean, count + len(points)
        rows += [points - center, shift.unsqueeze(0) * math.sqrt(count * len(points) / total)]
        mean, count = mean + shift * (len(points) / total), total
        if sum(map(len, rows)) > points.shape[1]:
            scatter, rows, few = scatter + _scatter(rows), [], False
    divisor = max(count - 1, 1)
    if rows:
        scatter = scatter + _scatter(rows)
    factor = torch.cat(rows).T / math.sqrt(divisor) if rows and few else None
    return FeatureStatistics(mean, scatter / divisor, count, factor)


def _scatter(rows: Sequence[Float64[Tensor, "_rows features"]]) -> Float64[Tensor, "features features"]:
    whole = torch.cat([*rows])
    return whole.T @ whole


def frechet_distance(*, real: FeatureStatistics, generated: FeatureStatistics) -> float:
    """The distance in the module's docstring, exactly and in float64, singular covariances included.

    0 for equal statistics and the squared shift for equal covariances, up to rounding. Costs one Cholesky
    decomposition of each covariance and one set of symmetric eigenvalues: seconds for 2,048 features. Of fewer images
    than features it costs the singular values of a matrix with a row and a column for each image.
    """
    if real.mean.shape != generated.mean.shape:
        raise SigmaeError(
            f"The real images have {len(real.mean)} features and the generated ones {len(generated.mean)}, "
            "which cannot be compared: extract both with the same features."
        )
    shift = (real.mean - generated.mean).square().sum()
    traces = real.covariance.trace() + generated.covariance.trace()
    distance = shift + traces - 2 * trace_of_root(real, generated)
    return distance.clamp_min(0).item()


def trace_of_root(real: FeatureStatistics, generated: FeatureStatistics) -> Float64[Tensor, ""]:
    """tr (S T)^{1/2} of the two covariances S = A Aᵀ and T = B Bᵀ: the sum of the singular values of Aᵀ B.

    They are the roots of the eigenvalues of Aᵀ T A, which are found faster. But of a singular matrix some of these
    would be rounding errors, whose square roots are not small.
    """
    (factor, regular), (other, other_regular) = _factored(real), _factored(generated)
    roots: Tensor
    if regular and other_regular:
        roots = torch.linalg.eigvalsh(factor.T @ generated.covariance @ factor).clamp_min(0).sqrt()
    else:
        roots = torch.linalg.svdvals(factor.T @ other)
    return roots.sum()


def _factored(statistics: FeatureStatistics) -> tuple[Float64[Tensor, "features rank"], bool]:
    """A with A Aᵀ the covariance, and whether that is regular: then its Cholesky factor."""
    if statistics.factor is not None:
        return statistics.factor, False
    factor, singular = torch.linalg.cholesky_ex(statistics.covariance)
    return (_thin_factor(statistics.covariance), False) if singular else (factor, True)


def _thin_factor(matrix: Float64[Tensor, "features features"]) -> Float64[Tensor, "features rank"]:
    """A with A Aᵀ the matrix, and a column for each eigenvalue above rounding."""
    values, vectors = torch.linalg.eigh(matrix)
    kept = values > len(values) * torch.finfo(values.dtype).eps * values[-1].clamp_min(0)
    factor: Tensor = vectors[:, kept] * values[kept].sqrt()
    return factor


def fid(
    *,
    real: UInt8[Tensor, "count channels height width"],
    generated: UInt8[Tensor, "others channels height width"],
    features: Features,
    device: str = "cpu",
) -> float:
    """The Fréchet distance between two sets of 8-bit images in the given features."""
    statistics = [feature_statistics(extract(features, images, device=device)) for images in (real, generated)]
    return frechet_distance(real=statistics[0], generated=statistics[1])
