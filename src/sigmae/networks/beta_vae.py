"""The convolutional network of "Sampling-free Variational Inference" (appendix B.1), which is that of beta-VAE."""

from torch import nn

from sigmae.networks.layers import block, blocks, doubling, halving
from sigmae.networks.sizes import require_positive, require_side


def beta_vae(
    *,
    shape: tuple[int, ...],
    latent_dim: int,
    encoder_outputs: int,
    decoder_shape: tuple[int, ...],
    width: int = 32,
) -> tuple[nn.Module, nn.Module]:
    """Convolutions of 1, 1, 2, 2 and 8 times `width` channels with ReLU, and their mirror image; 64 by 64 images.

    The fifth convolution has stride 1 and no padding, as in the paper's list of layers (its text says stride 2 for
    all). It names no initialization: its study of collapse comes out with `network.init=kaiming`, which the public code
    of this network defines and never calls.
    """
    require_side(shape, 64)
    require_positive("width", width)
    code = 8 * width
    encoder = nn.Sequential(
        *blocks(halving, [shape[0], width, width, 2 * width, 2 * width], norm=False),
        *block(nn.Conv2d(2 * width, code, 4), norm=False),
        nn.Flatten(),
        nn.Linear(code, encoder_outputs),
    )
    decoder = nn.Sequential(
        *block(nn.Linear(latent_dim, code), norm=False),
        nn.Unflatten(1, (code, 1, 1)),
        *block(nn.ConvTranspose2d(code, 2 * width, 4), norm=False),
        *blocks(doubling, [2 * width, 2 * width, width, width], norm=False),
        doubling(width, decoder_shape[0]),
    )
    return encoder, decoder
