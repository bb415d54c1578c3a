"""Kernels between sets of points, as functions of squared distances."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

IMQ_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def squared_distances(
    u: Float[Tensor, "points latent"], v: Float[Tensor, "others latent"]
) -> Float[Tensor, "points others"]:
    """||u_i - v_j||² by one matrix product; rounding below zero is clamped."""
    with torch.autocast(u.device.type, enabled=False):  # the differences of squares need their 32 bits
        squares = u.square().sum(-1, keepdim=True) + v.square().sum(-1)
        return torch.addmm(squares, u, v.T, alpha=-2).clamp_min(0)


def inverse_multiquadric(
    distances: Float[Tensor, "points others"], latent_dim: int, scales: Sequence[float] = IMQ_SCALES
) -> Float[Tensor, "points others"]:
    """sum_s C_s / (C_s + d²) with C_s = 2 m s, the kernel of the WAE (Tolstikhin et al., seven scales)."""
    constants = [2 * latent_dim * scale for scale in scales]
    return torch.stack([constant / (constant + distances) for constant in constants]).sum(0)


def radial_basis(
    distances: Float[Tensor, "points others"], latent_dim: int, scales: Sequence[float] = (1.0,)
) -> Float[Tensor, "points others"]:
    """sum_s exp(-d² / C_s) with C_s = 2 m s, the expected squared distance of two draws of N(0, I)."""
    constants = [2 * latent_dim * scale for scale in scales]
    return torch.stack([(-distances / constant).exp() for constant in constants]).sum(0)
