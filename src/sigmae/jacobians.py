"""Derivatives of a decoder by its codes, batch normalization included (see `tangents`)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from sigmae.tangents import normalizations, Rows, walk

Decoder = Callable[[Tensor], Tensor]


def push_forward(
    decode: Decoder,
    latents: Float[Tensor, "batch latent"],
    tangents: Float[Tensor, "columns batch latent"] | Float[Tensor, "batch latent"],
) -> Float[Tensor, "columns batch *event"]:
    """J t of every tangent t and example, all of them in one stacked pass.

    Tangents [batch, latent] are the diagonals of matrices whose columns are the tangents. The products are in the
    tangents' own type. Differentiable once more, by latents, tangents and weights.
    """
    with frozen_statistics(decode):
        return decode_and_push(decode, latents, tangents)[1]


def decode_and_push(
    decode: Decoder,
    latents: Float[Tensor, "batch latent"],
    tangents: Float[Tensor, "columns rows latent"] | Float[Tensor, "rows latent"],
    rows: Rows = None,
) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, "columns rows *event"]]:
    """The decoded latents, and J t of every tangent t of the examples `rows` (None is all), as by `push_forward`."""
    side_by_side = tangents if tangents.ndim == 2 else tangents.movedim(0, 1)
    outputs, columns = walk(decode, latents, side_by_side, rows)
    return outputs, columns.movedim(1, 0)


def jacobian_columns(decode: Decoder, latents: Float[Tensor, "batch latent"]) -> Float[Tensor, "latent batch *event"]:
    """Column j of J for every example, j first."""
    return push_forward(decode, latents, torch.ones_like(latents))


@contextmanager
def frozen_statistics(network: Decoder) -> Iterator[None]:
    """Let batch normalization use the batch's statistics without recording them a second time."""
    layers = [layer for layer in normalizations(network) if layer.training and layer.track_running_stats]
    try:
        for layer in layers:
            layer.track_running_stats = False
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
