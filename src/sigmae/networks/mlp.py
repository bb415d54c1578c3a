"""A multilayer perceptron and its mirror image, for vectors and small images."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from torch import nn

from sigmae.errors import unknown
from sigmae.networks.sizes import require_positive

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


def mlp(
    *,
    shape: tuple[int, ...],
    latent_dim: int,
    encoder_outputs: int,
    decoder_shape: tuple[int, ...],
    hidden: Sequence[int] = (512, 256),
    activation: str = "relu",
) -> tuple[nn.Module, nn.Module]:
    """Layers of `hidden` units with an `activation`, "relu" or "tanh"; the decoder has them in reverse order."""
    require_positive("hidden", *hidden)
    if activation not in ACTIVATIONS:
        raise unknown("activation", activation, ACTIVATIONS)
    between = ACTIVATIONS[activation]
    encoder = nn.Sequential(nn.Flatten(), *layers([math.prod(shape), *hidden, encoder_outputs], between))
    decoder = nn.Sequential(
        *layers([latent_dim, *reversed(hidden), math.prod(decoder_shape)], between), nn.Unflatten(1, decoder_shape)
    )
    return encoder, decoder


def linear(
    *, shape: tuple[int, ...], latent_dim: int, encoder_outputs: int, decoder_shape: tuple[int, ...]
) -> tuple[nn.Module, nn.Module]:
    """One affine map each way."""
    sizes: dict[str, Any] = {"latent_dim": latent_dim, "encoder_outputs": encoder_outputs}
    return mlp(shape=shape, decoder_shape=decoder_shape, hidden=(), **sizes)


def layers(sizes: Sequence[int], activation: Callable[[], nn.Module]) -> list[nn.Module]:
    """Linear layers between the sizes, an activation between the layers."""
    chain: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        chain += [nn.Linear(inputs, outputs), activation()]
    return chain[:-1]
