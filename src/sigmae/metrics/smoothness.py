"""How smooth a decoder is around the codes: its Jacobian's norm, and how far apart perturbed codes decode."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.jacobians import Decoder, jacobian_columns
from sigmae.metrics.inference import evaluating, examples, finite, mean_decoder
from sigmae.model import Autoencoder
from sigmae.seeds import generator

DERIVATIVES_AT_ONCE = 1 << 24
DECODED_AT_ONCE = 1000


@dataclass(frozen=True)
class Smoothness:
    """The mean over images of ||J||_F², and that divided by the latent size, with its standard error."""

    jacobian_norm: float
    els: float
    els_error: float


def expected_local_smoothness(model: Autoencoder, images: Any, *, elements: int = DERIVATIVES_AT_ONCE) -> Smoothness:
    """E_x ||J(mu(x))||_F², exactly, J the Jacobian of the mean image by the code at q's mean.

    Source: AR-ELBO, equation 6, which is `jacobian_norm`; its Tables 1 and 5 print that divided by the latent size,
    `els`, with 8 latents and on training images. Squared data units per squared latent unit, 0 for a constant decoder
    (collapse), ||W||_F² for a linear one; there is no best value. One forward derivative for each latent and image,
    at most `elements` numbers of them at once beside the decoder's own. It depends on the scale of the codes: half
    the codes under a decoder that doubles them is the same model, with four times the norm. Compare models whose
    codes have one scale, such as those under a prior.
    """
    batch, decode = examples(model, images, least=2), mean_decoder(model)
    with evaluating(model):
        codes = model.encode(batch)
        latent = codes.shape[1]
        rows = max(1, elements // (latent * batch[0].numel()))
        parts = [squared_jacobian_norms(decode, z.to(model.device)) for z in codes.split(rows)]
    norms = finite(torch.cat(parts), "Jacobian")
    mean, error = norms.mean().item(), norms.std().item() / math.sqrt(len(norms))
    return Smoothness(mean, mean / latent, error / latent)


def squared_jacobian_norms(decode: Decoder, z: Float[Tensor, "batch latent"]) -> Float64[Tensor, " batch"]:
    """||J||_F² of the decoder at every code."""
    columns = jacobian_columns(decode, z)
    return columns.double().square().transpose(0, 1).flatten(1).sum(1)


def expected_gap(
    model: Autoencoder,
    images: Any,
    *,
    variance: float = 1e-2,
    pairs: int = 10,
    seed: int = 0,
    chunk: int = DECODED_AT_ONCE,
) -> float:
    """E ||f(mu(x) + e) - f(mu(x) + e')||², e and e' independent draws of N(0, variance I), f the mean image.

    Source: AR-ELBO, equation 5 (the square is in its Appendix C), with variances 1e-2 and 1e-3. Squared data units,
    0 for a constant decoder; 2 · variance · ||J||_F² where the decoder is linear at this scale, less where it
    saturates. A mean over `pairs` draws for each image, which are decoded `chunk` at once, twice `pairs` for each.
    It depends on the scale of the codes as `expected_local_smoothness` does, and is dominated by rough images.
    """
    if not 0 < variance < math.inf or min(pairs, chunk) < 1:
        raise SigmaeError(
            f"The gap is between one or more pairs of draws with a variance above 0, got variance={variance}, "
            f"pairs={pairs} and chunk={chunk}."
        )
    batch, decode = examples(model, images), mean_decoder(model)
    draw, gaps = generator(seed, "expected gap"), []
    with evaluating(model):
        codes = model.encode(batch)
        for z in codes.repeat_interleave(pairs, dim=0).split(max(1, chunk // 2)):
            ends = (z + math.sqrt(variance) * torch.randn(z.shape, generator=draw, dtype=z.dtype) for _ in range(2))
            first, second = (decode(end.to(model.device)).double().flatten(1) for end in ends)
            gaps.append((first - second).square().sum(1))
    return finite(torch.cat(gaps), "gap").mean().item()
