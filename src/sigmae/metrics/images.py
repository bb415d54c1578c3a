"""Images as metrics see them: 8 bits a value, or compared value by value."""

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from sigmae.errors import SigmaeError

COMPARED_AT_ONCE = 500


def to_uint8(
    images: Float[Tensor, "count channels height width"] | UInt8[Tensor, "count channels height width"],
) -> UInt8[Tensor, "count channels height width"]:
    """Images clipped to [0, 1], times 255, rounded: the inverse of `scaled` on what was 8 bits.

    Images of 8 bits are returned as they are. NaN is no colour, and raises `SigmaeError`.
    """
    if images.dtype == torch.uint8:
        return images
    if images.isnan().any():
        raise SigmaeError(
            f"{int(images.flatten(1).isnan().any(1).sum())} of {len(images)} images hold NaN, which is no colour: "
            "the model has diverged; train it again with a lower learning rate."
        )
    return images.float().clamp(0, 1).mul(255).round().to(torch.uint8)


def squared_error(
    *, real: Float[Tensor, "count *event"], generated: Float[Tensor, "count *event"]
) -> Float64[Tensor, " count"]:
    """||x - x_hat||² of each example, summed over its values in float64."""
    if real.shape != generated.shape:
        raise SigmaeError(
            f"The squared error is of pairs, got {list(real.shape)} real and {list(generated.shape)} generated "
            "values: give both one shape."
        )
    pairs = zip(real.split(COMPARED_AT_ONCE), generated.split(COMPARED_AT_ONCE), strict=True)
    return torch.cat([(x.double() - x_hat).square().flatten(1).sum(1) for x, x_hat in pairs])
