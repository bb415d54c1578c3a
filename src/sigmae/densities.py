"""Densities: what z is sampled from once a model is trained, fitted to its encodings.

Each is a `torch.distributions.Distribution` over one code, on the CPU, in the precision of the codes (float32
or more); fitting is done in float64. All but `prior` follow the encodings' location and scale: a fit to
a + c z is the fit to z, moved and scaled.
"""

import re
import warnings
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import (
    Categorical,
    constraints,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from sigmae.errors import SigmaeError, unknown
from sigmae.posteriors import diagonal_gaussian
from sigmae.seeds import derived_seed, seeded

DENSITIES = {
    "prior": "the standard normal distribution, N(0, I)",
    "gaussian": "one Gaussian with the mean and the full covariance of the encodings",
    "gmm10": "a mixture of 10 Gaussians with full covariances; gmm<k> has k",
    "gmm100": "a mixture of 100 Gaussians with full covariances",
}
VARIANCE_FLOOR = 1e-8
COVARIANCE_REGULARIZATION = 1e-6
EM_ITERATIONS = 100
WEIGHT_STEP = 2.0**-24
DRAWN_AT_ONCE = 1000
CONSTRAINTS = {
    "mean": (constraints.real, "is not finite"),
    "scale": (constraints.positive, "is not above zero"),
    "factor": (constraints.lower_cholesky, "is not the Cholesky factor of a positive definite covariance"),
    "weights": (constraints.simplex, "are not shares of one"),
}


def fit_density(name: str, z: Float[Tensor, "count latent"], *, seed: int = 0) -> Distribution:
    """The density called `name` (one of `DENSITIES`, or any `gmm<k>`), fitted to the encodings `z`.

    `seed` is that of a mixture's k-means; no global generator is touched. Raises `SigmaeError` for an unknown
    name, encodings that are not finite or are all equal, and more components than distinct encodings.
    """
    for pattern, fit in FITS.items():
        if match := re.fullmatch(pattern, name):
            return fit(_finite(z), seed, *map(int, match.groups()))
    raise unknown("density", name, DENSITIES)


def sample(density: Distribution, count: int, *, seed: int) -> Float[Tensor, "count latent"]:
    """`count` draws, the same for the same seed; the global generators are as they were before.

    Drawn a thousand at a time, since a mixture draws from all its components for every sample it returns.
    """
    if count < 1:
        raise SigmaeError(f"A number of samples must be 1 or more, got {count}.")
    sizes = [min(DRAWN_AT_ONCE, count - start) for start in range(0, count, DRAWN_AT_ONCE)]
    with seeded(seed, "samples"):
        return torch.cat([density.sample(torch.Size((size,))) for size in sizes])


def standard_normal(z: Float[Tensor, "count latent"], seed: int) -> Distribution:
    """N(0, I) of the encodings' size, whatever they are."""
    return diagonal_gaussian(z.new_zeros(z.shape[1]), z.new_ones(z.shape[1]))


def gaussian(z: Float[Tensor, "count latent"], seed: int) -> Distribution:
    """The empirical mean and the unbiased full covariance (Ghosh et al., column N of Table 1).

    Variances under 1e-8 of the mean one, along any direction, are raised to that: a collapsed dimension
    keeps a density, and every other covariance is exact.
    """
    _refuse_a_single_point(z)
    points, latent = z.double(), z.shape[1]
    values, vectors = torch.linalg.eigh(points.T.cov().view(latent, latent))
    raised = values.clamp_min(VARIANCE_FLOOR * values.mean().item())
    factor = torch.linalg.cholesky((vectors * raised) @ vectors.T)
    return MultivariateNormal(points.mean(0).to(z), scale_tril=factor.to(z))


def gaussian_mixture(z: Float[Tensor, "count latent"], seed: int, components: int) -> Distribution:
    """Full covariances by EM, at most 100 iterations from one k-means (Ghosh et al., Section 7).

    scikit-learn's `reg_covar` of 1e-6 is added to covariances in units of the encodings' mean variance, so
    that encodings of any scale get the same mixture. EM that has not converged by then is used as it is.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    _refuse_a_single_point(z)
    distinct = len(torch.unique(z, dim=0))
    if components > distinct:
        raise SigmaeError(
            f"A mixture of {components} Gaussians cannot be fitted to {distinct} distinct encodings: "
            f"use gmm{max(1, distinct // 10)}, or encode more data."
        )
    points = z.double()
    center, scale = points.mean(0), points.var(0).mean().sqrt()
    start = derived_seed(seed, "mixture") % 2**32
    mixture = GaussianMixture(
        components, reg_covar=COVARIANCE_REGULARIZATION, max_iter=EM_ITERATIONS, random_state=start
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(((points - center) / scale).numpy())
    mean = center + scale * torch.from_numpy(mixture.means_)
    factor = scale * torch.linalg.cholesky(torch.from_numpy(mixture.covariances_))
    return _mixture(_exact_weights(torch.from_numpy(mixture.weights_)).to(z), mean.to(z), factor.to(z))


Fit = Callable[..., Distribution]

FITS: dict[str, Fit] = {  # a pattern, and the function of (z, seed, the pattern's numbers)
    r"prior": standard_normal,
    r"gaussian": gaussian,
    r"gmm([1-9]\d*)": gaussian_mixture,
}


def density_tensors(density: Distribution) -> dict[str, Tensor]:
    """The parameters that `density_from_tensors` makes the same density of, bit for bit.

    `mean` and `scale` of independent normals; `mean` and `factor` (Cholesky's) of a Gaussian; these and
    `weights` of a mixture.
    """
    match density:
        case Independent(base_dist=Normal(loc=mean, scale=scale)):
            tensors = {"mean": mean, "scale": scale}
        case MultivariateNormal():
            tensors = {"mean": density.loc, "factor": density.scale_tril}
        case MixtureSameFamily(component_distribution=MultivariateNormal() as parts, mixture_distribution=choice):
            tensors = {"weights": choice.probs, "mean": parts.loc, "factor": parts.scale_tril}
        case _:
            known = "independent normals, a Gaussian or a mixture of Gaussians"
            raise SigmaeError(f"A density to be saved must be {known}, got {type(density).__name__}.")
    return {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}


def density_from_tensors(tensors: Mapping[str, Tensor]) -> Distribution:
    """The density that `density_tensors` took apart; raises `SigmaeError` where the tensors are not one."""
    _refuse_damage(tensors)
    mean = tensors["mean"]
    if "scale" in tensors:
        return diagonal_gaussian(mean, tensors["scale"])
    if "weights" in tensors:
        return _mixture(tensors["weights"], mean, tensors["factor"])
    return MultivariateNormal(mean, scale_tril=tensors["factor"])


def _refuse_damage(tensors: Mapping[str, Tensor]) -> None:
    if set(tensors) not in ({"mean", "scale"}, {"mean", "factor"}, {"mean", "factor", "weights"}):
        raise _damaged(f"it holds {', '.join(sorted(tensors)) or 'nothing'}")
    mean = tensors["mean"]
    *batch, latent = mean.shape or [0]
    shapes = {
        "mean": [*batch, latent],
        "scale": [latent],
        "factor": [*batch, latent, latent],
        "weights": batch,
    }
    if not mean.is_floating_point() or latent == 0 or len(batch) != ("weights" in tensors):
        raise _damaged(f"its mean is a {mean.dtype} tensor of shape {list(mean.shape)}")
    for name, tensor in tensors.items():
        if list(tensor.shape) != shapes[name] or tensor.dtype != mean.dtype:
            raise _damaged(f"its {name} is a {tensor.dtype} tensor of shape {list(tensor.shape)}")
        constraint, complaint = CONSTRAINTS[name]
        if not (tensor.isfinite().all() and constraint.check(tensor).all()):
            raise _damaged(f"its {name} {complaint}")


def _damaged(reason: str) -> SigmaeError:
    return SigmaeError(f"This is not a whole density, {reason}: the file was cut or edited; fit the density again.")


def _mixture(
    weights: Float[Tensor, " components"],
    mean: Float[Tensor, "components latent"],
    factor: Float[Tensor, "components latent latent"],
) -> MixtureSameFamily:
    return MixtureSameFamily(Categorical(weights), MultivariateNormal(mean, scale_tril=factor))


def _exact_weights(weights: Float[Tensor, " components"]) -> Float[Tensor, " components"]:
    """The weights as multiples of 2^-24 that add up to one exactly, in any order and in float32.

    `Categorical` divides by the sum of what it is given: a saved mixture would drift by a rounding otherwise.
    """
    steps = (weights / WEIGHT_STEP).round()
    steps[steps.argmax()] += 1 / WEIGHT_STEP - steps.sum()
    return steps * WEIGHT_STEP


def _finite(z: Float[Tensor, "count latent"]) -> Float[Tensor, "count latent"]:
    broken = len(z) - int(z.isfinite().all(1).sum())
    if broken:
        raise SigmaeError(
            f"{broken} of {len(z)} encodings hold NaN or infinity, and no density has those: "
            "the model has diverged; train it again with a lower learning rate."
        )
    return z.detach().to("cpu", torch.promote_types(z.dtype, torch.float32))


def _refuse_a_single_point(z: Float[Tensor, "count latent"]) -> None:
    if (z == z[:1]).all():
        raise SigmaeError(
            f"A density is fitted to two or more different encodings, and these {len(z)} are all the same: "
            "encode more data; if that does not help, the encoder has collapsed: use the prior."
        )
