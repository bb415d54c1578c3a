"""A multilayer perceptron and its mirror image, for vectors and small images."""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from sigmae.networks.sizes import require_positive


def mlp(
    *,
    shape: tuple[int, ...],
    latent_dim: int,
    encoder_outputs: int,
    decoder_shape: tuple[int, ...],
    hidden: Sequence[int] = (512, 256),
) -> tuple[nn.Module, nn.Module]:
    """Layers of `hidden` units with ReLU; the decoder has them in reverse order."""
    require_positive("hidden", *hidden)
    encoder = nn.Sequential(nn.Flatten(), *layers([math.prod(shape), *hidden, encoder_outputs]))
    decoder = nn.Sequential(
        *layers([latent_dim, *reversed(hidden), math.prod(decoder_shape)]), nn.Unflatten(1, decoder_shape)
    )
    return encoder, decoder


def linear(
    *, shape: tuple[int, ...], latent_dim: int, encoder_outputs: int, decoder_shape: tuple[int, ...]
) -> tuple[nn.Module, nn.Module]:
    """One affine map each way."""
    sizes = {"latent_dim": latent_dim, "encoder_outputs": encoder_outputs}
    return mlp(shape=shape, decoder_shape=decoder_shape, hidden=(), **sizes)


def layers(sizes: Sequence[int]) -> list[nn.Module]:
    """Linear layers between the sizes, ReLU between the layers."""
    chain: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        chain += [nn.Linear(inputs, outputs), nn.ReLU()]
    return chain[:-1]
