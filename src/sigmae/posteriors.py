"""Posteriors: what the encoder says about z."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Size, Tensor
from torch.distributions import constraints, Distribution, Independent, Normal

from sigmae.errors import SigmaeError
from sigmae.parts import Part


class PointMass(Distribution):
    """All probability on one point: the posterior of a deterministic encoder. It has no density."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {"value": constraints.real_vector}
    has_rsample = True

    def __init__(self, value: Float[Tensor, "*batch latent"]) -> None:
        self.value = value
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The point."""
        return self.value

    @property
    def variance(self) -> Tensor:
        """Zero everywhere."""
        return torch.zeros_like(self.value)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """The point, repeated."""
        return self.value.expand(Size(sample_shape) + self.value.shape)


def diagonal_gaussian(mean: Float[Tensor, "*batch latent"], scale: Float[Tensor, "*batch latent"]) -> Distribution:
    """N(mean, diag(scale²)); arguments are not validated, since that would synchronise every step."""
    return Independent(Normal(mean, scale, validate_args=False), 1, validate_args=False)


class Posterior(Part):
    """The family of q(z|x): reads the encoder's outputs and returns a distribution over z."""

    has_density: ClassVar[bool] = True
    learns_spread: ClassVar[bool] = True

    @abstractmethod
    def outputs(self, latent_dim: int) -> int:
        """How many numbers the encoder must give for each example."""

    @abstractmethod
    def forward(self, outputs: Float[Tensor, "batch outputs"]) -> Distribution:
        """The distribution q(z|x) of each example, with batch shape [batch] and event shape [latent]."""


@dataclass(eq=False)
class Delta(Posterior):
    """A deterministic encoder: z is the encoder's output."""

    has_density = False
    learns_spread = False

    def outputs(self, latent_dim: int) -> int:
        return latent_dim

    def forward(self, outputs: Float[Tensor, "batch outputs"]) -> Distribution:
        return PointMass(outputs)


@dataclass(eq=False)
class FixedGaussian(Posterior):
    """N(mu(x), scale² I) with a constant scale: the CV-VAE of Ghosh et al. The limit scale 0 is `Delta`."""

    scale: float = 1.0
    learns_spread = False

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise SigmaeError(f"FixedGaussian needs a scale above 0, got {self.scale}: use Delta for none.")

    def outputs(self, latent_dim: int) -> int:
        return latent_dim

    def forward(self, outputs: Float[Tensor, "batch outputs"]) -> Distribution:
        return diagonal_gaussian(outputs, torch.full_like(outputs, self.scale))


@dataclass(eq=False)
class DiagonalGaussian(Posterior):
    """N(mu(x), diag(sigma(x)²)); the encoder gives the means, then the log-variances."""

    def outputs(self, latent_dim: int) -> int:
        return 2 * latent_dim

    def forward(self, outputs: Float[Tensor, "batch outputs"]) -> Distribution:
        mean, log_variance = outputs.chunk(2, dim=-1)
        return diagonal_gaussian(mean, (0.5 * log_variance).exp())
