"""The networks of "From Variational to Deterministic Autoencoders" (Ghosh et al.), appendix A.

"Same" padding of the original framework: kernels of 4 with stride 2 take padding 1; kernels of 5 take
padding 2, and output padding 1 where they double the image; the last kernel of 4 with stride 1 has no
symmetric equivalent, so the image comes out one larger and loses its last row and column.
Sizes agree everywhere; with kernels of 5 and stride 2 the sampling grid is shifted by one pixel.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn, Tensor

from sigmae.errors import SigmaeError
from sigmae.networks.sizes import require_positive


class Crop(nn.Module):
    """Drops the last row and column."""

    def forward(self, images: Tensor) -> Tensor:
        return images[..., :-1, :-1]


class Centre(nn.Module):
    """Maps [0, 1] to [-1, 1]."""

    def forward(self, images: Tensor) -> Tensor:
        return 2 * images - 1


def block(layer: nn.Module, channels: int) -> list[nn.Module]:
    """A layer with batch normalization and ReLU."""
    return [layer, nn.BatchNorm2d(channels), nn.ReLU()]


def rae(
    *,
    shape: tuple[int, ...],
    latent_dim: int,
    encoder_outputs: int,
    decoder_shape: tuple[int, ...],
    side: int,
    kernel: int,
    decoder_channels: Sequence[int],
    dense_norm: bool = True,
    centre_input: bool = False,
    width: int = 128,
) -> tuple[nn.Module, nn.Module]:
    """Four convolutions of 1, 2, 4, 8 times `width` channels; a decoder that starts at 8 by 8 by 8 `width`.

    `dense_norm`: batch normalization and ReLU after the decoder's dense layer, as printed (the code has
    neither). `centre_input`: the encoder maps [0, 1] to [-1, 1] first, as the code does for MNIST and CIFAR-10.
    """
    if shape[1:] != (side, side):
        raise SigmaeError(f"This network is for {side} by {side} images, got shape {shape}: add --image-size {side}.")
    require_positive("width", width)
    pad, extra = (kernel - 1) // 2, kernel - 4
    widths = [width, 2 * width, 4 * width, 8 * width]
    encoder: list[nn.Module] = [Centre()] if centre_input else []
    for inputs, outputs in pairwise([shape[0], *widths]):
        encoder += block(nn.Conv2d(inputs, outputs, kernel, 2, pad), outputs)
    encoder += [nn.Flatten(), nn.Linear(8 * width * (side // 16) ** 2, encoder_outputs)]

    base = 8 * width
    decoder: list[nn.Module] = [nn.Linear(latent_dim, 64 * base), nn.Unflatten(1, (base, 8, 8))]
    if dense_norm:
        decoder += [nn.BatchNorm2d(base), nn.ReLU()]
    for inputs, outputs in pairwise([base, *(width * times for times in decoder_channels)]):
        decoder += block(nn.ConvTranspose2d(inputs, outputs, kernel, 2, pad, output_padding=extra), outputs)
    decoder += [nn.ConvTranspose2d(width * decoder_channels[-1], decoder_shape[0], kernel, 1, pad)]
    decoder += [Crop()] if kernel == 4 else []
    return nn.Sequential(*encoder), nn.Sequential(*decoder)
