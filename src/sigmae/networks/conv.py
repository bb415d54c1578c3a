"""A strided convolutional encoder and its mirror image, for images of any size and channel count."""

from itertools import pairwise

from torch import nn

from sigmae.errors import SigmaeError
from sigmae.networks.layers import Flatten, Unflatten
from sigmae.networks.sizes import require_positive


def conv(
    *,
    shape: tuple[int, ...],
    latent_dim: int,
    encoder_outputs: int,
    decoder_shape: tuple[int, ...],
    width: int = 32,
) -> tuple[nn.Module, nn.Module]:
    """Halve the image down to about 4 by 4 while channels double from `width`; the decoder mirrors it.

    4 by 4 kernels of stride 2, batch normalization and ReLU; an odd side is met by output padding.
    """
    if len(shape) != 3 or min(shape[1:]) < 4:
        raise SigmaeError(f"The conv network needs images of 4 by 4 or more, got shape {shape}: use the network mlp.")
    require_positive("width", width)
    sides = halved(shape[1:])
    channels = [width * min(2**level, 8) for level in range(len(sides) - 1)]
    base = (channels[-1], *sides[-1])
    flat = base[0] * base[1] * base[2]

    down: list[nn.Module] = []
    for inputs, outputs in pairwise([shape[0], *channels]):
        down += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

    up: list[nn.Module] = []
    small_to_large = list(pairwise(reversed(sides)))
    for level, (inputs, outputs) in enumerate(pairwise([*reversed(channels), decoder_shape[0]])):
        small, large = small_to_large[level]
        padding = (large[0] - 2 * small[0], large[1] - 2 * small[1])
        last = level == len(channels) - 1
        up += [nn.BatchNorm2d(inputs), nn.ReLU()]
        up += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, output_padding=padding, bias=last)]

    encoder = nn.Sequential(*down, Flatten(), nn.Linear(flat, encoder_outputs))
    decoder = nn.Sequential(nn.Linear(latent_dim, flat, bias=False), Unflatten(1, base), *up)
    return encoder, decoder


def halved(sides: tuple[int, ...]) -> list[tuple[int, int]]:
    """The sizes of the image at every level, the last one with a shorter side of 4 to 7 (2 or 3 for tiny ones)."""
    sizes = [(sides[0], sides[1])]
    while len(sizes) == 1 or min(sizes[-1]) >= 8:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes
