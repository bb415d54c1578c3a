"""The mutual information of latents with factors, and its gap."""

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.metrics.disentanglement.factors import codes_of_factors

EDGE = 1e-9  # of a bin: a value on an edge belongs to the upper bin, whichever way it was rounded


def mig(codes: Float[Tensor, "count latent"], factors: Int64[Tensor, "count factors"], *, bins: int = 20) -> float:
    """The mutual information gap (Chen et al. 2018): how far the latent that knows most of a factor is ahead of the
    next, as a share of the factor's entropy, averaged over factors; from 0 to 1, which is best.

    The papers take 10,000 means and 20 bins. A factor of more values than bins, or of values that are unevenly far
    apart in the code, cannot reach 1. A code that spreads a factor over two latents gets 0 for it, however well it
    knows it. Costs one count of all examples for each latent and factor.
    """
    shares = factor_information(codes, factors, bins=bins)
    first, second = torch.cat([shares, torch.zeros_like(shares[:1])]).topk(2, dim=0).values
    return float((first - second).mean())


def factor_information(
    codes: Float[Tensor, "count latent"], factors: Int64[Tensor, "count factors"], *, bins: int = 20
) -> Float64[Tensor, "latent factors"]:
    """I(z_j; v_k) / H(v_k), 0 to 1, of every latent in `bins` of equal width between its extremes, and every factor.

    By counting, which gives independent pairs of b bins and v values about (b - 1) (v - 1) / 2N nats for N examples.
    """
    if bins < 2:
        raise SigmaeError(f"A latent is told apart by two or more bins, got {bins}: 20 are usual.")
    points = codes_of_factors(codes, factors)
    low, high = points.aminmax(dim=0)
    width = (high - low) / bins
    scaled = (points - low) / torch.where(width > 0, width, 1)
    numbers = (scaled + EDGE).long().clamp_max(bins - 1)
    values = [column.unique(return_inverse=True)[1] for column in factors.T]
    return torch.stack([torch.stack([_share(binned, value, bins) for value in values]) for binned in numbers.T])


def _share(binned: Int64[Tensor, " count"], value: Int64[Tensor, " count"], bins: int) -> Float64[Tensor, ""]:
    """I / H of two columns of numbers from 0, H the entropy of the second."""
    values = int(value.max()) + 1
    joint = torch.bincount(binned * values + value, minlength=bins * values).view(bins, values).double() / len(value)
    row, column, both = (torch.special.entr(table).sum() for table in (joint.sum(1), joint.sum(0), joint))
    share: Tensor = (row + column - both) / column
    return share.clamp(0, 1)
