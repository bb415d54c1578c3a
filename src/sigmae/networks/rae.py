"""The networks of "From Variational to Deterministic Autoencoders" (Ghosh et al.), appendix A."""

from collections.abc import Sequence

from torch import nn, Tensor

from sigmae.networks.layers import blocks, doubling, Flatten, halving, keeping, Unflatten
from sigmae.networks.sizes import require_positive, require_side


class Centre(nn.Module):
    """Maps [0, 1] to [-1, 1]."""

    def forward(self, images: Tensor) -> Tensor:
        return 2 * images - 1


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
    require_side(shape, side)
    require_positive("width", width)
    require_positive("decoder_channels", *decoder_channels)
    base = 8 * width
    encoder: list[nn.Module] = [Centre()] if centre_input else []
    encoder += blocks(halving, [shape[0], width, 2 * width, 4 * width, base], kernel)
    encoder += [Flatten(), nn.Linear(base * (side // 16) ** 2, encoder_outputs)]

    decoder: list[nn.Module] = [nn.Linear(latent_dim, 64 * base), Unflatten(1, (base, 8, 8))]
    if dense_norm:
        decoder += [nn.BatchNorm2d(base), nn.ReLU()]
    decoder += blocks(doubling, [base, *(width * times for times in decoder_channels)], kernel)
    decoder += keeping(width * decoder_channels[-1], decoder_shape[0], kernel)
    return nn.Sequential(*encoder), nn.Sequential(*decoder)
