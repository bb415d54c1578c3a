"""The networks of "AR-ELBO: Preventing Posterior Collapse Induced by Oversmoothing in Gaussian VAE"."""

from torch import nn

from sigmae.networks.layers import block, blocks, doubling, Flatten, halving, keeping, Unflatten
from sigmae.networks.sizes import require_positive, require_side


def ar_elbo_mnist(
    *,
    shape: tuple[int, ...],
    latent_dim: int,
    encoder_outputs: int,
    decoder_shape: tuple[int, ...],
    kernel: int,
    norm: bool,
    width: int = 64,
) -> tuple[nn.Module, nn.Module]:
    """Appendices D.1 (kernels of 4, no `norm`) and J.1 (kernels of 5, `norm`): 28 by 28 images.

    Convolutions of 1 and 2 times `width` channels, a layer of 16 `width` units, and their mirror image. `norm` is batch
    normalization of every hidden layer but the two convolutions; that of a dense layer has a scale for each unit.
    J.1 gives no kernel and no stride for the last layer, and 14 to 28 needs stride 2: it is 4 by 4 with stride 2, as
    in the InfoGAN that the paper starts from. D.1's list has 16 latents, its text and tables 8.
    """
    require_side(shape, 28)
    require_positive("width", width)
    flat, hidden = 2 * width * 7 * 7, 16 * width
    encoder = nn.Sequential(
        *blocks(halving, [shape[0], width, 2 * width], kernel, norm=False),
        Flatten(),
        *block(nn.Linear(flat, hidden), norm=norm),
        nn.Linear(hidden, encoder_outputs),
    )
    decoder = nn.Sequential(
        *block(nn.Linear(latent_dim, hidden), norm=norm),
        *block(nn.Linear(hidden, flat), norm=norm),
        Unflatten(1, (2 * width, 7, 7)),
        *block(doubling(2 * width, width, kernel), norm=norm),
        doubling(width, decoder_shape[0]),
    )
    return encoder, decoder


def ar_elbo_celeba(
    *,
    shape: tuple[int, ...],
    latent_dim: int,
    encoder_outputs: int,
    decoder_shape: tuple[int, ...],
    width: int = 128,
) -> tuple[nn.Module, nn.Module]:
    """Appendix J.2: four convolutions of 1, 2, 4, 8 times `width` channels; a decoder that starts at 8 by 8.

    Kernels of 5; batch normalization of all but the first convolution each way and the dense layers, as printed. The
    last layer's kernel is not printed: 5 here. No output activation is printed either: `network.output=linear`.
    """
    require_side(shape, 64)
    require_positive("width", width)
    base = 8 * width
    encoder = nn.Sequential(
        *block(halving(shape[0], width, 5), norm=False),
        *blocks(halving, [width, 2 * width, 4 * width, base], 5),
        Flatten(),
        nn.Linear(base * 4 * 4, encoder_outputs),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_dim, base * 8 * 8),
        Unflatten(1, (base, 8, 8)),
        *block(doubling(base, 4 * width, 5), norm=False),
        *blocks(doubling, [4 * width, 2 * width, width], 5),
        *keeping(width, decoder_shape[0], 5),
    )
    return encoder, decoder
