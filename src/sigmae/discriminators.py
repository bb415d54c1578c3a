"""Discriminators: networks that tell codes from draws of another distribution."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from sigmae.errors import SigmaeError
from sigmae.networks.sizes import require_bounded, require_positive, WEIGHTS


def discriminator(latent_dim: int, hidden: Sequence[int], logits: int, *, slope: float = 0.2) -> nn.Sequential:
    """Linear layers with leaky ReLUs of that slope between them, from a code to its logits.

    The weights require no gradients: the model's step passes through them, and only the opponent's own moves them.
    """
    require_positive("hidden", *hidden)
    sizes = list(pairwise([latent_dim, *hidden, logits]))
    require_bounded("number of weights of a discriminator", sum(inputs * outputs for inputs, outputs in sizes), WEIGHTS)
    chain: list[nn.Module] = []
    for inputs, outputs in sizes:
        chain += [nn.Linear(inputs, outputs), nn.LeakyReLU(slope)]
    return nn.Sequential(*chain[:-1]).requires_grad_(False)


def require_rate(relative_lr: float) -> None:
    """Refuse a discriminator that would stand still, or learn to be wrong."""
    if not relative_lr > 0:
        raise SigmaeError(f"A discriminator learns at relative_lr times the model's rate, above 0; got {relative_lr}.")
