"""Gaussians and their mixtures: the densities with a fit in closed form, or by EM. Fitting is done in float64."""

import warnings

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily, MultivariateNormal

from sigmae.densities.codes import Codes, refuse_a_single_point
from sigmae.errors import SigmaeError
from sigmae.posteriors import diagonal_gaussian
from sigmae.seeds import derived_seed

VARIANCE_FLOOR = 1e-8
COVARIANCE_REGULARIZATION = 1e-6
EM_ITERATIONS = 100
WEIGHT_STEP = 2.0**-24


def standard_normal(codes: Codes) -> Distribution:
    """N(0, I) of the encodings' size, whatever they are."""
    return diagonal_gaussian(codes.means.new_zeros(codes.latent), codes.means.new_ones(codes.latent))


def scaled_prior(codes: Codes) -> Distribution:
    """N(0, (1 - h²) I): what the codes of a kernel density estimate of bandwidth h follow when it matches N(0, I).

    The sampling prior of the aggregate VAE (Saha et al., Section III-B); its scale is the objective's
    `prior_scale`. Raises `SigmaeError` where that is 1.
    """
    if codes.prior_scale == 1:
        raise SigmaeError(
            "Only a method with a kernel density of its codes has a scaled prior, and this one's is N(0, I): "
            "use the prior."
        )
    return diagonal_gaussian(
        codes.means.new_zeros(codes.latent), codes.means.new_full((codes.latent,), codes.prior_scale)
    )


def gaussian(codes: Codes) -> Distribution:
    """The empirical mean and the unbiased full covariance (Ghosh et al., column N of Table 1).

    Variances under 1e-8 of the mean one, along any direction, are raised to that: a collapsed dimension
    keeps a density, and every other covariance is exact.
    """
    z = codes.means
    refuse_a_single_point(z)
    points = z.double()
    values, vectors = torch.linalg.eigh(points.T.cov().view(codes.latent, codes.latent))
    raised = values.clamp_min(VARIANCE_FLOOR * values.mean().item())
    factor = torch.linalg.cholesky((vectors * raised) @ vectors.T)
    return MultivariateNormal(points.mean(0).to(z), scale_tril=factor.to(z))


def gaussian_mixture(codes: Codes, components: int) -> Distribution:
    """Full covariances by EM, at most 100 iterations from one k-means (Ghosh et al., Section 7).

    scikit-learn's `reg_covar` of 1e-6 is added to covariances in units of the encodings' mean variance, so
    that encodings of any scale get the same mixture. EM that has not converged by then is used as it is.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    z = codes.means
    refuse_a_single_point(z)
    distinct = len(torch.unique(z, dim=0))
    if components > distinct:
        raise SigmaeError(
            f"A mixture of {components} Gaussians cannot be fitted to {distinct} distinct encodings: "
            f"use gmm{max(1, distinct // 10)}, or encode more data."
        )
    points = z.double()
    center, scale = points.mean(0), points.var(0).mean().sqrt()
    start = derived_seed(codes.seed, "mixture") % 2**32
    fitted = GaussianMixture(
        components, reg_covar=COVARIANCE_REGULARIZATION, max_iter=EM_ITERATIONS, random_state=start
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted.fit(((points - center) / scale).numpy())
    mean = center + scale * torch.from_numpy(fitted.means_)
    factor = scale * torch.linalg.cholesky(torch.from_numpy(fitted.covariances_))
    return mixture(exact_weights(torch.from_numpy(fitted.weights_)).to(z), mean.to(z), factor.to(z))


def mixture(
    weights: Float[Tensor, " components"],
    mean: Float[Tensor, "components latent"],
    factor: Float[Tensor, "components latent latent"],
) -> MixtureSameFamily:
    """The mixture of N(mean_k, factor_k factor_kᵀ)."""
    return MixtureSameFamily(Categorical(weights), MultivariateNormal(mean, scale_tril=factor))


def exact_weights(weights: Float[Tensor, " components"]) -> Float[Tensor, " components"]:
    """The weights as multiples of 2^-24 that add up to one exactly, in any order and in float32.

    `Categorical` divides by the sum of what it is given: a saved mixture would drift by a rounding otherwise.
    """
    steps = (weights / WEIGHT_STEP).round()
    steps[steps.argmax()] += 1 / WEIGHT_STEP - steps.sum()
    return steps * WEIGHT_STEP
