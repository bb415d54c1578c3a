"""Decoder regularizers: what keeps the decoder smooth."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import nn, Tensor
from torch.distributions import Distribution, MultivariateNormal
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from sigmae.errors import IncompatibleParts, SigmaeError, unknown
from sigmae.jacobians import Decoder, frozen_statistics, jacobian_columns, Probed, push_forward, random_signs
from sigmae.likelihoods import event_sum
from sigmae.parts import Networks, Part, Sizes
from sigmae.propagations import DecodedPoints

if TYPE_CHECKING:
    from sigmae.objective import Objective


class DecoderRegularizer(Part):
    """A bound on how fast the decoder changes."""

    def joined(self, decoder: nn.Module) -> nn.Module:
        """What the objective decodes with: the decoder, or what works out on the way what this term needs of it."""
        return decoder

    @abstractmethod
    def forward(self, q: Distribution, decoded: DecodedPoints, decoder: nn.Module) -> Float[Tensor, ""]:
        """The weighted term; `decoder` is what `joined` made."""


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


SCALES = ("none", "largest-variance", "largest-eigenvalue")


def scale_by(name: str, q: Distribution) -> Float[Tensor, " batch"]:
    """What a penalty is multiplied by: 1, the largest diagonal entry of Sigma, or its largest eigenvalue."""
    if name == "none":
        return torch.ones_like(q.mean[:, 0])
    if name == "largest-eigenvalue" and isinstance(q, MultivariateNormal):
        largest: Tensor = torch.linalg.matrix_norm(q.scale_tril, 2)
        return largest.square()
    variance: Tensor = q.variance
    return variance.amax(-1)


@dataclass(eq=False)
class GradientPenalty(DecoderRegularizer):
    """weight · scale · ||J||_F², J = df/dz the decoder's Jacobian at the points that were decoded: RAE-GP and UAE.

    "probe" is Hutchinson's unbiased estimate by one random sign per latent, ||J v||², pushed forward while the points
    are decoded; "exact" sums the squares of all columns of J and costs as many forward passes as there are latents.
    Both are of every example alone, batch normalization at the batch's statistics.

    `scale` is "none", or of Sigma "largest-variance", its largest diagonal entry, by which the UAE paper replaces
    "largest-eigenvalue". Gradients flow through it.
    """

    weight: float = 1.0
    estimate: str = "probe"
    scale: str = "none"

    def __post_init__(self) -> None:
        if self.estimate not in ("probe", "exact"):
            raise SigmaeError(f"GradientPenalty estimates by 'probe' or 'exact', got '{self.estimate}'.")
        if self.scale not in SCALES:
            raise unknown("scale", self.scale, SCALES)

    def check(self, objective: "Objective") -> None:
        require_variance(self, self.scale, objective)

    def joined(self, decoder: nn.Module) -> nn.Module:
        return Probed(decoder) if self.estimate == "probe" else decoder

    def forward(self, q: Distribution, decoded: DecodedPoints, decoder: nn.Module) -> Float[Tensor, ""]:
        if isinstance(decoder, Probed) and decoder.pushed is not None:
            norms = event_sum(decoder.pushed.square().unsqueeze(0))
        else:
            squared_norm = exact_squared_norm if self.estimate == "exact" else probed_squared_norm
            norms = squared_norm(decoder, decoded.latents.flatten(0, 1))
        norms = norms.view(decoded.latents.shape[:2])
        if self.scale == "none":
            return self.weight * decoded.expectation(norms)
        return self.weight * (scale_by(self.scale, q) * decoded.average(norms)).mean()


def require_variance(part: DecoderRegularizer, scale: str, objective: "Objective") -> None:
    """Refuse to scale by the variance of a point."""
    if scale != "none" and not objective.posterior.has_density:
        raise IncompatibleParts(
            f"{type(part).__name__} cannot be scaled by the variance of {type(objective.posterior).__name__}, "
            "which has none: set scale to none, or use a posterior with a spread."
        )


@dataclass(eq=False)
class OutputGradient(DecoderRegularizer):
    """The penalties of the RAE and UAE authors' code: the gradient g of all outputs' sum by the mean code.

    Not a norm of J: opposite changes of two pixels cancel. "square" sums the squares of the outputs and penalises
    ||g||² = ||2 Jᵀ f||² (RAE); "plain" sums the outputs and penalises ||g||_2 (UAE), scaled by the variance up to
    `cap`, and in training only, since the code selects its model without it.
    """

    weight: float = 1.0
    outputs: str = "square"
    scale: str = "none"
    cap: float = 100.0

    def __post_init__(self) -> None:
        if self.outputs not in ("square", "plain"):
            raise unknown("sum of outputs", self.outputs, ["square", "plain"])
        if self.scale not in SCALES:
            raise unknown("scale", self.scale, SCALES)

    def check(self, objective: "Objective") -> None:
        require_variance(self, self.scale, objective)

    def forward(self, q: Distribution, decoded: DecodedPoints, decoder: nn.Module) -> Float[Tensor, ""]:
        if self.outputs == "plain" and not self.training:
            return q.mean.new_zeros(())
        with frozen_statistics(decoder):
            gradient: Tensor = torch.func.grad(lambda mean: self.total(decoder(mean)))(q.mean)
        if self.outputs == "square":
            return self.weight * gradient.square().sum(-1).mean()
        norms: Tensor = torch.linalg.vector_norm(gradient, dim=-1)
        return self.weight * (scale_by(self.scale, q).clamp(max=self.cap) * norms).mean()

    def total(self, images: Float[Tensor, "batch *event"]) -> Float[Tensor, ""]:
        """What the gradient is of."""
        return (images.square() if self.outputs == "square" else images).sum()


def probed_squared_norm(decoder: Decoder, latents: Float[Tensor, "batch latent"]) -> Float[Tensor, " batch"]:
    """||J v||² of every example, v random signs, whose expectation is ||J||_F²."""
    return event_sum(push_forward(decoder, latents, random_signs(latents)[None]).square()).squeeze(0)


def exact_squared_norm(decoder: Decoder, latents: Float[Tensor, "batch latent"]) -> Float[Tensor, " batch"]:
    """||J||_F² of every example: one forward-mode product per latent, all of them stacked."""
    return event_sum(jacobian_columns(decoder, latents).square()).sum(0)


@dataclass(eq=False)
class SpectralNorm(DecoderRegularizer):
    """Every kernel of the decoder divided by its largest singular value: RAE-SN. No term in the loss.

    One step of power iteration a training pass, on the kernel flattened to a matrix (Miyato et al., 2018).
    `encoder` normalizes the encoder's kernels too, as the authors' code does.
    """

    encoder: bool = False

    def prepare(self, networks: Networks, sizes: Sizes | None) -> None:
        for network in (networks.decoder, networks.encoder)[: 1 + self.encoder]:
            for layer in layers_with_kernel(network):
                if not is_parametrized(layer, "weight"):
                    spectral_norm(layer)

    def forward(self, q: Distribution, decoded: DecodedPoints, decoder: nn.Module) -> Float[Tensor, ""]:
        if not all(is_parametrized(layer, "weight") for layer in layers_with_kernel(decoder)):
            raise SigmaeError(
                "SpectralNorm needs a decoder that it prepared: build Autoencoder(encoder, decoder, objective), "
                "or call objective.prepare(networks, sizes) before the optimizer is made."
            )
        return decoded.latents.new_zeros(())


@dataclass(eq=False)
class SpectralSum(DecoderRegularizer):
    """weight · the sum of the kernels' largest singular values: what the UAE authors' code calls weight decay."""

    weight: float = 1.0

    def forward(self, q: Distribution, decoded: DecodedPoints, decoder: nn.Module) -> Float[Tensor, ""]:
        kernels = [layer.weight.flatten(1) for layer in layers_with_kernel(decoder)]
        return self.weight * torch.stack([torch.linalg.matrix_norm(kernel, 2) for kernel in kernels]).sum()
