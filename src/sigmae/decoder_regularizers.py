"""Decoder regularizers: what keeps the decoder smooth."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import nn, Tensor
from torch.distributions import Distribution
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from sigmae.errors import SigmaeError
from sigmae.parts import Networks, Part, Sizes
from sigmae.propagations import DecodedPoints, Decoder


class DecoderRegularizer(Part):
    """A bound on how fast the decoder changes."""

    @abstractmethod
    def forward(self, q: Distribution, decoded: DecodedPoints, decoder: nn.Module) -> Float[Tensor, ""]:
        """The weighted term."""


def layers_with_kernel(network: nn.Module) -> list[nn.Linear | _ConvNd]:
    """The layers with a kernel: linear, convolution, transposed convolution."""
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear | _ConvNd)]


@dataclass(eq=False)
class WeightNorm(DecoderRegularizer):
    """weight · sum of W² over the decoder's kernels, without biases and normalization scales: RAE-L2."""

    weight: float = 1.0

    def forward(self, q: Distribution, decoded: DecodedPoints, decoder: nn.Module) -> Float[Tensor, ""]:
        return self.weight * squared_weights(decoder)


def squared_weights(network: nn.Module) -> Float[Tensor, ""]:
    """The sum of squares of all kernels."""
    return torch.stack([layer.weight.square().sum() for layer in layers_with_kernel(network)]).sum()


@dataclass(eq=False)
class GradientPenalty(DecoderRegularizer):
    """weight · ||J||_F², J = df/dz the decoder's Jacobian at the points that were decoded: RAE-GP.

    "probe" is Hutchinson's unbiased estimate by one random sign per output and costs one more backward
    pass; "exact" sums the squares of all columns of J and costs as many forward passes as there are latents.
    Batch normalization in training mode couples the examples of a batch: "probe" then measures the Jacobian
    of the whole batch, "exact" the response to moving all its codes alike along each axis.
    """

    weight: float = 1.0
    estimate: str = "probe"

    def __post_init__(self) -> None:
        if self.estimate not in ("probe", "exact"):
            raise SigmaeError(f"GradientPenalty estimates by 'probe' or 'exact', got '{self.estimate}'.")

    def forward(self, q: Distribution, decoded: DecodedPoints, decoder: nn.Module) -> Float[Tensor, ""]:
        if self.estimate == "exact":
            return self.weight * exact_squared_norm(decoder, decoded.latents.flatten(0, 1)).mean()
        return self.weight * probed_squared_norm(*differentiable(decoded, decoder)).mean()


def differentiable(decoded: DecodedPoints, decoder: nn.Module) -> tuple[Tensor, Tensor]:
    """Latents and outputs joined by a graph: those at hand, or decoded again where none was recorded."""
    if torch.is_grad_enabled() and decoded.latents.requires_grad:
        return decoded.latents, decoded.outputs
    with torch.enable_grad(), frozen_statistics(decoder):
        latents = decoded.latents.detach().requires_grad_()
        return latents, decoder(latents.flatten(0, 1)).view_as(decoded.outputs)


def probed_squared_norm(
    latents: Float[Tensor, "*batch latent"], outputs: Float[Tensor, "*batch_and_event"]
) -> Float[Tensor, "*batch"]:
    """||v^T J||² with v random signs, whose expectation is ||J||_F²; differentiable once more."""
    signs = torch.empty_like(outputs).bernoulli_(0.5).mul_(2).sub_(1)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(outputs, latents, signs, create_graph=True)
    return gradient.square().sum(-1)


def exact_squared_norm(decoder: nn.Module, latents: Float[Tensor, "batch latent"]) -> Float[Tensor, " batch"]:
    """||J||_F² of every example: one forward-mode product per latent, all of them stacked."""
    with frozen_statistics(decoder):
        columns = jacobian_columns(decoder, latents)
    return columns.flatten(2).square().sum((0, 2))


def jacobian_columns(decode: Decoder, latents: Float[Tensor, "batch latent"]) -> Float[Tensor, "latent batch *event"]:
    """Column j of J for every example, j first."""
    basis = torch.eye(latents.shape[1], dtype=latents.dtype, device=latents.device)
    tangents = basis.unsqueeze(1).expand(-1, *latents.shape)
    columns: Tensor = torch.func.vmap(lambda tangent: torch.func.jvp(decode, (latents,), (tangent,))[1])(tangents)
    return columns


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Let batch normalization use the batch's statistics without recording them a second time."""
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    try:
        for layer in layers:
            layer.track_running_stats = False
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


@dataclass(eq=False)
class SpectralNorm(DecoderRegularizer):
    """Every kernel of the decoder divided by its largest singular value: RAE-SN. No term in the loss.

    One step of power iteration a training pass, on the kernel flattened to a matrix (Miyato et al., 2018).
    """

    def prepare(self, networks: Networks, sizes: Sizes | None) -> None:
        for layer in layers_with_kernel(networks.decoder):
            if not is_parametrized(layer, "weight"):
                spectral_norm(layer)

    def forward(self, q: Distribution, decoded: DecodedPoints, decoder: nn.Module) -> Float[Tensor, ""]:
        if not all(is_parametrized(layer, "weight") for layer in layers_with_kernel(decoder)):
            raise SigmaeError(
                "SpectralNorm needs a decoder that it prepared: build Autoencoder(encoder, decoder, objective), "
                "or call objective.prepare(networks, sizes) before the optimizer is made."
            )
        return decoded.latents.new_zeros(())
