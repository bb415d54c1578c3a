"""Derivatives of a decoder by its codes, batch normalization included (see `tangents`)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import nn, Tensor

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
    decode = decode.decoder if isinstance(decode, Probed) else decode
    side_by_side = tangents if tangents.ndim == 2 else tangents.movedim(0, 1)
    outputs, columns = walk(decode, latents, side_by_side, rows)
    return outputs, columns.movedim(1, 0)


def jacobian_columns(decode: Decoder, latents: Float[Tensor, "batch latent"]) -> Float[Tensor, "latent batch *event"]:
    """Column j of J for every example, j first."""
    return push_forward(decode, latents, torch.ones_like(latents))


class Probed(nn.Module):
    """A decoder that pushes a random tangent of every latent forward as it decodes: `pushed` is J v of the last batch.

    The components of v are random signs. Where columns are pushed forward through it, it is as the decoder alone.
    """

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder
        self.pushed: Tensor | None = None

    def forward(self, latents: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *event"]:
        outputs, columns = decode_and_push(self.decoder, latents, random_signs(latents)[None])
        self.pushed = columns[0]
        return outputs


def random_signs(like: Tensor) -> Tensor:
    """Plus or minus one, each with probability 1/2."""
    return torch.empty_like(like).bernoulli_(0.5).mul_(2).sub_(1)


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
