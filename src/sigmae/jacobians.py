"""Derivatives of a decoder by its codes, batch normalization included.

In training mode batch normalization ties the examples of a batch together. A derivative here is always that of
one example's image by its own code, with the batch's mean and variance as they are: moving all codes alike would
otherwise move nothing at all behind such a layer.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import nn, Tensor
from torch.nn.modules.batchnorm import _BatchNorm

Decoder = Callable[[Tensor], Tensor]
Statistics = dict[_BatchNorm, tuple[Tensor, Tensor]]


def push_forward(
    decode: Decoder,
    latents: Float[Tensor, "batch latent"],
    tangents: Float[Tensor, "columns batch latent"],
    statistics: Mapping[_BatchNorm, tuple[Tensor, Tensor]] | None = None,
) -> Float[Tensor, "columns batch *event"]:
    """J t of every tangent t and example: forward-mode products, all of them in one stacked pass.

    `statistics` are those of the pass that the derivative is of (see `recorded_statistics`); without them, one is
    made for them where a layer needs it. Differentiable once more, by latents, tangents and weights.
    """
    network = decode if isinstance(decode, nn.Module) else nn.Module()
    if statistics is None:
        with recorded_statistics(network) as statistics, frozen_statistics(network):
            if any(layer.training for layer in normalizations(network)):
                decode(latents)
    with fixed_statistics(statistics):
        columns: Tensor = torch.func.vmap(
            lambda tangent: torch.func.jvp(decode, (latents,), (tangent,))[1], randomness="same"
        )(tangents)
    return columns


def jacobian_columns(decode: Decoder, latents: Float[Tensor, "batch latent"]) -> Float[Tensor, "latent batch *event"]:
    """Column j of J for every example, j first."""
    basis = torch.eye(latents.shape[1], dtype=latents.dtype, device=latents.device)
    return push_forward(decode, latents, basis.unsqueeze(1).expand(-1, *latents.shape))


def normalizations(network: nn.Module) -> list[_BatchNorm]:
    """The layers of batch normalization."""
    return [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Let batch normalization use the batch's statistics without recording them a second time."""
    layers = [layer for layer in normalizations(network) if layer.training and layer.track_running_stats]
    try:
        for layer in layers:
            layer.track_running_stats = False
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


@contextmanager
def recorded_statistics(network: nn.Module) -> Iterator[Statistics]:
    """Keep mean and variance of every batch normalization in training mode, as the passes within compute them."""
    statistics: Statistics = {}

    def record(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(layer, _BatchNorm)
        dims = [dim for dim in range(inputs[0].ndim) if dim != 1]
        variance, mean = torch.var_mean(inputs[0], dims, correction=0, keepdim=True)
        statistics[layer] = mean, variance

    hooks = [layer.register_forward_pre_hook(record) for layer in normalizations(network) if layer.training]
    try:
        yield statistics
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def fixed_statistics(statistics: Mapping[_BatchNorm, tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Let batch normalization use these means and variances; gradients by the weights still flow through them."""
    try:
        for layer, (mean, variance) in statistics.items():
            layer.forward = normalized(layer, mean, variance)  # type: ignore[method-assign, assignment]
        yield
    finally:
        for layer in statistics:
            del layer.forward


def normalized(layer: _BatchNorm, mean: Tensor, variance: Tensor) -> Decoder:
    """What the layer does with a mean and a variance."""
    shape = mean.shape[1:]
    weight = torch.ones_like(mean[0]) if layer.weight is None else layer.weight.view(shape)
    bias = torch.zeros_like(mean[0]) if layer.bias is None else layer.bias.view(shape)
    scale = weight * (variance[0] + layer.eps).rsqrt()
    return lambda inputs: (inputs - mean[0]) * scale + bias
