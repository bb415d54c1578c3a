"""How much the gradient of a loss changes from draw to draw, for one way of passing q through the decoder."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import nn, Tensor

from sigmae.data import scaled
from sigmae.errors import SigmaeError
from sigmae.metrics.inference import evaluating, examples
from sigmae.model import Autoencoder
from sigmae.objective import Objective
from sigmae.propagations import Propagation
from sigmae.seeds import seeded


@dataclass(frozen=True)
class GradientNoise:
    """E ||g - E g||² of the gradient by one network's weights, and ||E g||."""

    variance: float
    mean_norm: float


@dataclass(frozen=True)
class GradientVariance:
    """The noise of the gradient by the encoder's and by the decoder's weights."""

    encoder: GradientNoise
    decoder: GradientNoise


def gradient_variance(
    model: Autoencoder, images: Any, propagation: Propagation | None = None, *, repeats: int = 100, seed: int = 0
) -> GradientVariance:
    """E ||g - E g||² over `repeats` draws, g the gradient of the model's loss on this batch with another propagation.

    The unbiased variance, summed over the weights, with the norm of the mean gradient to relate it to (from the
    unbiased ||E g||², 0 where that is negative). Source: the claims of the unscented autoencoder, Section 3.1, and of
    the sampling-free VAE. `propagation` None is the model's own; the same model and the same seeds serve all, so that
    the numbers of several propagations may be set side by side. 0 for what draws nothing: `Mean`, the scheme "all" of
    `SigmaPoints`, `Linearized` with a share of 1. It falls as 1 / k for `MonteCarlo(k)` and as 1 / batch: always state
    the batch. Best is 0, but a low variance says nothing of bias: `Mean` has none and is another loss.

    The layers are in evaluation mode (no dropout; batch normalization by its running statistics), the propagation in
    training mode. What regularizers draw, such as the prior of `MMD`, counts too. One training step without its update
    for each repeat; memory is that of a step and of two float64 gradients. The model, its gradients and its modes
    are left as they were.
    """
    if repeats < 2:
        raise SigmaeError(f"A variance needs two or more repeats, got {repeats}: give more.")
    x = scaled(examples(model, images).to(model.device))
    objective = model.objective.replace(propagation=propagation or model.objective.propagation)
    sizes = [sum(weight.numel() for weight in trained(network)) for network in (model.encoder, model.decoder)]
    mean = scatter = torch.zeros(sum(sizes), dtype=torch.float64, device=model.device)
    with evaluating(model, objective), seeded(seed, "gradient variance"):
        objective.propagation.train()
        for repeat in range(repeats):
            gradient = _gradient(objective, model, x)
            deviation = gradient - mean
            mean = mean + deviation / (repeat + 1)
            scatter = scatter + deviation * (gradient - mean)  # Welford's: exactly 0 for equal gradients
    parts = zip(mean.split(sizes), scatter.split(sizes), strict=True)
    return GradientVariance(*(_noise(part, spread / (repeats - 1), repeats) for part, spread in parts))


def trained(network: nn.Module) -> list[nn.Parameter]:
    """The weights that gradients are taken of."""
    return [weight for weight in network.parameters() if weight.requires_grad]


def _gradient(objective: Objective, model: Autoencoder, x: Tensor) -> Float64[Tensor, " weights"]:
    """The gradient of one loss by the encoder's weights, then the decoder's."""
    with torch.enable_grad():
        loss = objective(model, x).loss
        gradients = torch.autograd.grad(
            loss, [*trained(model.encoder), *trained(model.decoder)], materialize_grads=True
        )
    return torch.cat([gradient.double().flatten() for gradient in gradients])


def _noise(mean: Float64[Tensor, " weights"], variance: Float64[Tensor, " weights"], repeats: int) -> GradientNoise:
    total = variance.sum()
    norm = (mean.square().sum() - total / repeats).clamp_min(0).sqrt()
    return GradientNoise(total.item(), norm.item())
