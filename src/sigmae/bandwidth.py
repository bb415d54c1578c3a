"""The bandwidth with which a kernel density estimate of standard normal draws is nearest to N(0, I)."""

import math
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.files import cache_folder, read_json, write_json
from sigmae.kernels import squared_distances
from sigmae.seeds import generator

SEED = 0
# Distances to average over: h is known to 0.003, and to 0.03 for two latents, where a few far targets decide.
PAIRS = 30_000_000
GROUP = 500  # targets that share their draws, of which there are fewer the more draws there are
ELEMENTS = 1 << 22  # distances held at once: 32 MB
STEPS = 50


@cache
def optimal_bandwidth(latent_dim: int, count: int) -> float:
    """h_opt = argmax_h E_{z ~ N(0, I)} ln q_h(z), q_h the kernel density estimate of `count` draws of N(0, I).

    This minimises KL(N(0, I) || q_h): equation 10 of the aggregate VAE, which prints q_h without its logarithm.
    In float64 from a fixed seed, rounded to six decimals. It is computed once (a few seconds at 10,000 draws) and
    kept in the process and, where that can be written, in the cache folder. Raises `SigmaeError` for a size below 1.
    """
    for name, size in {"latent size": latent_dim, "number of draws": count}.items():
        if size < 1:
            raise SigmaeError(f"A bandwidth needs a {name} of 1 or more, got {size}.")
    path = cache_folder("bandwidths") / f"{latent_dim}-{count}-{PAIRS}.json"
    with suppress(SigmaeError, OSError):
        if isinstance(kept := read_json(path), float) and 0 < kept < math.inf:
            return kept
    found = round(maximise(latent_dim, count), 6)
    with suppress(OSError):
        write_json(path, found)
    return found


def corrected_bandwidth(optimal: float) -> float:
    """h = alpha h_opt with alpha² = 1 / (1 + h_opt²) (aggregate VAE, equation 11), so that alpha² = 1 - h².

    The estimate of draws of N(0, alpha² I) with bandwidth h is that of draws of N(0, I) with h_opt, shrunk by
    alpha: its covariance is alpha² + h² = 1.
    """
    return optimal / math.sqrt(1 + optimal**2)


def maximise(latent_dim: int, count: int) -> float:
    """Newton's method for s = -2 ln h, where the slope of E ln q_h is (m - E[t]) / 2, t = d² / h².

    Where the curvature has the wrong sign, a step of expectation maximisation, h² = E[d²] / m, goes uphill too.
    """
    s = 2 * math.log(count * (latent_dim + 2) / 4) / (latent_dim + 4)  # the normal reference rule
    for _ in range(STEPS):
        first, second = moments(latent_dim, count, math.exp(s))
        slope, curvature = (latent_dim - first) / 2, second / 4 - first / 2
        newton = -slope / curvature if curvature < 0 else math.log(latent_dim / first)
        step = max(-1.0, min(1.0, newton))
        s += step
        if abs(step) < 1e-4:  # it converges quadratically: 1e-8 is left
            break
    return math.exp(-s / 2)


def moments(latent_dim: int, count: int, precision: float) -> tuple[float, float]:
    """Means over targets of E[t] and Var[t], t = `precision` · d², under the softmax weights of -t / 2."""
    sums, targets = torch.zeros(2, dtype=torch.float64), 0
    for distances in chunks(latent_dim, count):
        scaled = distances * precision
        weights = (-scaled / 2).softmax(1)
        mean = torch.linalg.vecdot(weights, scaled)
        second = torch.linalg.vecdot(weights, scaled.square_())
        sums += torch.stack([mean.sum(), (second - mean.square()).sum()])
        targets += len(distances)
    average, spread = (sums / targets).tolist()
    return average, spread


def chunks(latent_dim: int, count: int) -> Iterator[Float[Tensor, "_targets count"]]:
    """Squared distances of targets to the draws that they are scored with, the same at every call."""
    draw = generator(SEED, "bandwidth", latent_dim, count)
    for _ in range(min(200, max(2, PAIRS // (GROUP * count)))):
        targets, draws = (torch.randn(size, latent_dim, generator=draw, dtype=torch.float64) for size in (GROUP, count))
        for part in targets.split(max(1, ELEMENTS // count)):
            yield squared_distances(part, draws)
