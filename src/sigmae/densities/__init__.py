"""Densities: what z is sampled from once a model is trained, fitted to its encodings.

Each is a `torch.distributions.Distribution` over one code, on the CPU, in the precision of the codes (float32
or more). All but `prior`, `scaled-prior` and `second-stage` follow the encodings' location and scale: a fit to
a + c z is the fit to z, moved and scaled.
"""

import re
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from sigmae.densities.codes import Codes, Draw, finite
from sigmae.densities.flows import flow
from sigmae.densities.gaussians import gaussian, gaussian_mixture, scaled_prior, standard_normal
from sigmae.densities.second_stage import second_stage_vae
from sigmae.densities.storage import density_from_tensors, density_tensors
from sigmae.errors import SigmaeError, unknown
from sigmae.seeds import seeded

__all__ = [
    "DENSITIES",
    "FITS",
    "Codes",
    "Draw",
    "Fit",
    "density_from_tensors",
    "density_tensors",
    "fit_density",
    "sample",
]

DENSITIES = {
    "prior": "the standard normal distribution, N(0, I)",
    "scaled-prior": "N(0, (1 - h²) I) with the bandwidth h of the method's kernel density",
    "gaussian": "one Gaussian with the mean and the full covariance of the encodings",
    "gmm10": "a mixture of 10 Gaussians with full covariances; gmm<k> has k",
    "gmm100": "a mixture of 100 Gaussians with full covariances",
    "second-stage": "a VAE of the codes (Dai and Wipf), trained for 800 epochs; second-stage<k> for k",
    "flow": "a neural spline flow; needs the extra flow",
}
DRAWN_AT_ONCE = 1000

Fit = Callable[..., Distribution]

FITS: dict[str, Fit] = {  # a pattern, and the function of the codes and the pattern's numbers
    r"prior": standard_normal,
    r"scaled-prior": scaled_prior,
    r"gaussian": gaussian,
    r"gmm([1-9]\d{0,8})": gaussian_mixture,
    r"second-stage": second_stage_vae,
    r"second-stage([1-9]\d{0,8})": second_stage_vae,
    r"flow": flow,
}


def fit_density(
    name: str,
    z: Float[Tensor, "count latent"],
    *,
    seed: int = 0,
    draw: Draw | None = None,
    prior_scale: float = 1.0,
    device: torch.device | str = "cpu",
) -> Distribution:
    """The density called `name` (one of `DENSITIES`, any `gmm<k>` or `second-stage<k>`), fitted to the encodings `z`.

    `z` are the means of q(z|x). `draw` gives z ~ q(z|x) of the same examples, afresh at each call: a second-stage
    VAE is trained on those, and on `z` where it is None. `prior_scale` is the objective's, for the scaled prior.
    Networks are trained on `device`. `seed` is that of all randomness; no global generator is touched.

    Raises `SigmaeError` for an unknown name, encodings that are not finite or are all equal, more components than
    distinct encodings, the scaled prior of a method that has none, and a flow without its extra.
    """
    for pattern, fit in FITS.items():
        if match := re.fullmatch(pattern, name):
            codes = Codes(finite(z), draw, seed, prior_scale, device)
            return fit(codes, *map(int, match.groups()))
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
