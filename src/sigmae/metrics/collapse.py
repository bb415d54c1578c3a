"""Posterior collapse: which latents say nothing about x."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.distributions import Distribution

from sigmae.posteriors import scale_of

EPSILON, DELTA = 0.05, 0.01


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
    return (nats < epsilon).double().mean(0) >= 1 - delta


def collapsed_share(q: Distribution) -> float:
    """The share of latents that are collapsed."""
    with torch.no_grad():
        return float(collapsed(divergences(q)).double().mean())
