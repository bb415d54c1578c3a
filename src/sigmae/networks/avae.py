"""The networks of the aggregate variational autoencoder, AVAE (Tables VIII and IX)."""

from collections.abc import Sequence

from torch import nn

from sigmae.networks.layers import block, blocks, doubling, Flatten, halving, keeping, Unflatten
from sigmae.networks.sizes import require_positive, require_side


def avae(
    *,
    shape: tuple[int, ...],
    latent_dim: int,
    encoder_outputs: int,
    decoder_shape: tuple[int, ...],
    side: int,
    start: int,
    decoder_channels: Sequence[int],
    width: int = 64,
) -> tuple[nn.Module, nn.Module]:
    """Table VIII: four convolutions of 1, 2, 4, 8 times `width` channels; a decoder that starts at `start` squared.

    Batch normalization and ReLU everywhere but after the decoder's dense layer, which has neither. The last layer
    doubles the image where it is not as large as the data yet, and keeps its size where it is. The paper maps CelebA
    to [-1, 1] and ends in a tanh there. Its code maps the images by 2x - 1 once more, in the encoder: not done here.
    """
    require_side(shape, side)
    require_positive("width", width)
    require_positive("decoder_channels", *decoder_channels)
    base = 8 * width
    up = [base, *(width * times for times in decoder_channels)]
    full = start * 2 ** len(decoder_channels) == side
    encoder = nn.Sequential(
        *blocks(halving, [shape[0], width, 2 * width, 4 * width, base]),
        Flatten(),
        nn.Linear(base * (side // 16) ** 2, encoder_outputs),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_dim, base * start**2),
        Unflatten(1, (base, start, start)),
        *blocks(doubling, up),
        *(keeping(up[-1], decoder_shape[0]) if full else [doubling(up[-1], decoder_shape[0])]),
    )
    return encoder, decoder


def avae_factors(
    *,
    shape: tuple[int, ...],
    latent_dim: int,
    encoder_outputs: int,
    decoder_shape: tuple[int, ...],
    dense: bool = True,
    width: int = 32,
) -> tuple[nn.Module, nn.Module]:
    """Table IX, for dSprites and 3D Shapes: convolutions of 1, 1, 2, 2 times `width` channels, ReLU alone.

    `dense`: as the code and the networks that the paper cites, a layer of 8 `width` units with ReLU between
    convolutions and code each way, and ReLU after the decoder's last dense layer; the paper prints none of these.
    """
    require_side(shape, 64)
    require_positive("width", width)
    flat, hidden = 32 * width, 8 * width
    encoder = nn.Sequential(
        *blocks(halving, [shape[0], width, width, 2 * width, 2 * width], norm=False),
        Flatten(),
        *(block(nn.Linear(flat, hidden), norm=False) if dense else []),
        nn.Linear(hidden if dense else flat, encoder_outputs),
    )
    widening = [*block(nn.Linear(latent_dim, hidden), norm=False), *block(nn.Linear(hidden, flat), norm=False)]
    decoder = nn.Sequential(
        *(widening if dense else [nn.Linear(latent_dim, flat)]),
        Unflatten(1, (2 * width, 4, 4)),
        *blocks(doubling, [2 * width, 2 * width, width, width], norm=False),
        doubling(width, decoder_shape[0]),
    )
    return encoder, decoder
