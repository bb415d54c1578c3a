"""The energy distance of codes from N(0, I), to which no moment and no kernel width is blind."""

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sigmae.bandwidth import ELEMENTS
from sigmae.errors import SigmaeError
from sigmae.metrics.aggregate import finite_codes


def energy_distance(codes: Float[Tensor, "count latent"], *, scale: float = 1.0) -> float:
    """2 E||z - y|| - E||z - z'|| - E||y - y'|| for codes z and y ~ N(0, scale² I), in units of the codes.

    0 if and only if the codes follow that normal distribution; unbiased, so that of N normal draws it scatters about 0
    and may be negative. Expectations over y are exact, those over pairs of codes leave out a code with itself. Source:
    Székely and Rizzo 2005, "A new test for multivariate normality", equation 6. Costs the distances of all pairs, at
    most 2^22 of which are held at once. Differences in the few directions of many latents move it little.
    """
    if not 0 < scale < math.inf:
        raise SigmaeError(f"The scale of a prior is above 0 and finite, got {scale:g}: use 1 for N(0, I).")
    points = finite_codes(codes) / scale
    count, latent_dim = points.shape
    parts = points.split(max(1, ELEMENTS // count))
    pairs = sum(float(torch.cdist(part, points).sum()) for part in parts) / (count * (count - 1))
    origin = torch.zeros(1, latent_dim).double()
    normal = math.sqrt(2) * float(distance_to_normal(origin))  # y - y' is normal, of twice the variance
    return scale * (2 * float(distance_to_normal(points).mean()) - pairs - normal)


def distance_to_normal(points: Float64[Tensor, "count latent"]) -> Float64[Tensor, " count"]:
    """E||z - y|| over y ~ N(0, I), by Kummer's function: the mean of a noncentral chi distribution."""
    from scipy.special import hyp1f1

    half = points.shape[1] / 2
    central = math.sqrt(2) * math.exp(math.lgamma(half + 0.5) - math.lgamma(half))
    squares = points.square().sum(1) / 2
    return central * torch.from_numpy(hyp1f1(-0.5, half, -squares.numpy()))
