"""What the metrics of a whole model share: evaluation mode, examples that are fit for it, draws of q, mean images."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import nn, Tensor
from torch.distributions import Distribution

from sigmae.errors import SigmaeError
from sigmae.jacobians import Decoder
from sigmae.model import Autoencoder
from sigmae.posteriors import diagonal_gaussian, full_gaussian, scale_of


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every layer is in the mode that it was in."""
    layers = {layer: layer.training for module in modules for layer in module.modules()}
    try:
        for module in modules:
            module.eval()
        with torch.no_grad():
            yield
    finally:
        for layer, training in layers.items():
            layer.training = training


def examples(model: Autoencoder, images: Any, *, least: int = 1) -> Tensor:
    """Images as the model reads them, `least` of them or more, none with NaN or infinity."""
    batch = model.as_batch(images)
    if len(batch) < least:
        raise SigmaeError(f"This is measured on {least} or more images, got {len(batch)}: give more.")
    if batch.is_floating_point() and not batch.isfinite().all():
        raise SigmaeError("Some of the images hold NaN or infinity, of which nothing can be measured: leave them out.")
    return batch


def finite(values: Float64[Tensor, " count"], quantity: str) -> Float64[Tensor, " count"]:
    """One value for each image, on the CPU; NaN and infinity are refused."""
    broken = len(values) - int(values.isfinite().sum())
    if broken:
        raise SigmaeError(
            f"The {quantity} of {broken} of {len(values)} images is NaN or infinite: the model has diverged, or a "
            "variance that it learnt is zero; train it again with a lower learning rate or a fixed variance."
        )
    return values.cpu()


def mean_decoder(model: Autoencoder) -> Decoder:
    """The mean image of p(x|z): the decoder's outputs without a variance, logits as probabilities."""
    return lambda z: model.objective.likelihood.mean(model.decoder(z))


def in_float64(q: Distribution) -> Distribution:
    """The same Gaussian, to compute with in float64."""
    mean, scale = q.mean.double(), scale_of(q).double()
    return diagonal_gaussian(mean, scale) if scale.ndim == 2 else full_gaussian(mean, scale)


def draws_of(
    q: Distribution, count: int, generators: Sequence[torch.Generator]
) -> Float[Tensor, "points batch latent"]:
    """`count` draws of every example's q, by a generator of its own, so that they depend on no other example."""
    mean, scale = q.mean, scale_of(q)
    drawn = [torch.randn(count, mean.shape[1], dtype=mean.dtype, generator=draw) for draw in generators]
    noise = torch.stack(drawn, dim=1).to(mean.device)
    spread = scale * noise if scale.ndim == 2 else torch.einsum("bij,pbj->pbi", scale, noise)
    points: Tensor = mean + spread
    return points
