"""Posterior collapse: which latents say nothing about x."""

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor
from torch.distributions import Distribution

from sigmae.errors import SigmaeError
from sigmae.posteriors import scale_of

EPSILON, DELTA = 0.05, 0.01
ACTIVE = 0.01


def divergences(q: Distribution) -> Float[Tensor, "batch latent"]:
    """KL(q(z_j|x) || N(0, 1)) of every latent in nats: 1/2 (mu_j² + sigma_j² - 1 - ln sigma_j²), by q's marginals."""
    scale_of(q)  # refuses a point
    variance: Tensor = q.variance
    return 0.5 * (q.mean.square() + variance - 1 - variance.log())


def collapsed(
    nats: Float[Tensor, "count latent"], *, epsilon: float = EPSILON, delta: float = DELTA
) -> Bool[Tensor, " latent"]:
    """Whether a latent's divergence is below `epsilon` nats for a share of 1 - `delta` or more of the examples.

    (epsilon, delta)-collapse of Lucas et al. (2019), as the sampling-free VAE reports it (eq. 22). Latents of
    a small mean divergence are not collapsed as long as they are used for some examples.
    """
    return (checked(nats) < epsilon).double().mean(0) >= 1 - delta


def collapsed_share(q: Distribution) -> float:
    """The share of latents that are collapsed."""
    with torch.no_grad():
        return float(collapsed(divergences(q)).double().mean())


def mean_divergences(nats: Float[Tensor, "count latent"]) -> Float64[Tensor, " latent"]:
    """Each latent's divergence in nats, averaged over the examples in float64: how much of x it is told.

    0 for a latent that follows the prior whatever x is. For a diagonal q they add up to the KL of the ELBO. There is
    no best value, and a mean hides a latent that few examples use: `collapsed` does not.
    """
    return checked(nats).double().mean(0)


def checked(nats: Float[Tensor, "count latent"]) -> Float[Tensor, "count latent"]:
    """Divergences of one example or more, without NaN."""
    if not len(nats) or nats.isnan().any():
        raise SigmaeError("Divergences are averaged over one example or more, without NaN: check the model's codes.")
    return nats


def active_units(means: Float[Tensor, "count latent"], *, threshold: float = ACTIVE) -> Bool[Tensor, " latent"]:
    """Whether the mean of q(z_j|x) varies over x by more than `threshold`, in variance.

    Their number is the active units of Burda et al. (2016, "Importance weighted autoencoders", Section 5.2): from 0
    to the latent size, which is best where all latents are meant to be used. The threshold is for codes that are
    pulled to N(0, 1); without a prior, a latent that is used can be narrower than that.
    """
    if len(means) < 2 or not means.isfinite().all():
        raise SigmaeError(
            f"Active units are counted over two or more examples of finite codes, got {list(means.shape)} with "
            f"{int((~means.isfinite()).sum())} that are not finite: encode more examples, or check the model."
        )
    return means.double().var(0) > threshold
