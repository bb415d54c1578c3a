"""The networks of "Unscented Autoencoder" (Janjoš et al.), as in the authors' code."""

from torch import nn

from sigmae.networks.layers import blocks, doubling, Flatten, halving, keeping, Unflatten
from sigmae.networks.sizes import require_positive, require_side

DECODER_CHANNELS = {32: (32, 16, 8), 64: (32, 16, 8, 4)}  # by the image's side, in widths


def uae(
    *,
    shape: tuple[int, ...],
    latent_dim: int,
    encoder_outputs: int,
    decoder_shape: tuple[int, ...],
    width: int = 32,
) -> tuple[nn.Module, nn.Module]:
    """Six convolutions of `width` to 32 `width` channels, down to one pixel; a decoder that starts at 8 by 8.

    Batch normalization and leaky ReLU (0.01) everywhere but after the decoder's dense layer, which has neither.
    Images of 32 by 32 or 64 by 64. The code ends in a tanh for all data, here by the setting `network.output`.
    """
    require_side(shape, *DECODER_CHANNELS)
    require_positive("width", width)
    down = [shape[0], *(width * 2**level for level in range(6))]
    up = [width * times for times in DECODER_CHANNELS[shape[1]]]
    encoder = nn.Sequential(
        *blocks(halving, down, kernel=3, activation=nn.LeakyReLU),
        Flatten(),
        nn.Linear(down[-1], encoder_outputs),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_dim, 64 * up[0]),
        Unflatten(1, (up[0], 8, 8)),
        *blocks(doubling, up, activation=nn.LeakyReLU),
        *keeping(up[-1], decoder_shape[0], kernel=3),
    )
    return encoder, decoder
