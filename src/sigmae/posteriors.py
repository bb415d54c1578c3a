"""Posteriors: what the encoder says about z."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import nn, Size, Tensor
from torch.distributions import constraints, Distribution, Independent, MultivariateNormal, Normal

from sigmae.errors import SigmaeError, unknown
from sigmae.joint import gathered
from sigmae.parts import Part

CODE_FLOOR = 1e-6
WIDEST = 1e18  # a standard deviation whose square 32 bits can hold


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


def full_gaussian(
    mean: Float[Tensor, "*batch latent"], factor: Float[Tensor, "*batch latent latent"]
) -> MultivariateNormal:
    """N(mean, L Lᵀ) with a lower triangular factor L; arguments are not validated."""
    return MultivariateNormal(mean, scale_tril=factor, validate_args=False)


def scale_of(q: Distribution) -> Float[Tensor, "batch ..."]:
    """The standard deviations of a diagonal Gaussian [batch, latent], or the factor L [batch, latent, latent]."""
    match q:
        case Independent(base_dist=Normal(scale=scale)):
            return scale
        case MultivariateNormal():
            return q.scale_tril
    raise SigmaeError(f"A {type(q).__name__} has no factor: use a posterior with a spread, such as DiagonalGaussian.")


def factor_diagonal(q: Distribution) -> Float[Tensor, "batch latent"]:
    """The diagonal of L, whose logarithms add up to ln det L."""
    scale = scale_of(q)
    return scale if scale.ndim == 2 else scale.diagonal(dim1=-2, dim2=-1)


def factor_column(
    q: Distribution, axes: Int[Tensor, "points batch"], *, rows: bool = False
) -> Float[Tensor, "points batch latent"]:
    """Column `axes` of every example's L (its row, if asked), gathered: the rest of L is never copied."""
    scale, latent = scale_of(q), q.mean.shape[1]
    if scale.ndim == 2:
        return scale.new_zeros(*axes.shape, latent).scatter(
            -1, axes.unsqueeze(-1), scale.gather(1, axes.T).T[..., None]
        )
    if rows:
        return scale.gather(1, axes.T.unsqueeze(2).expand(-1, -1, latent)).transpose(0, 1)
    return scale.gather(2, axes.T.unsqueeze(1).expand(-1, latent, -1)).movedim(2, 0)


def factor_columns(q: Distribution) -> Float[Tensor, "latent batch latent"]:
    """All columns of L, the column first."""
    scale = scale_of(q)
    return (torch.diag_embed(scale) if scale.ndim == 2 else scale).movedim(-1, 0)


def axis_variance(q: Distribution) -> Float[Tensor, "batch latent"]:
    """||L_i||² of every column of L: the variance along the axis of its sigma points."""
    scale = scale_of(q)
    return scale.square() if scale.ndim == 2 else scale.square().sum(-2)


def detached(q: Distribution) -> Distribution:
    """The same Gaussian, with parameters that no gradient reaches."""
    return gaussian_of(q.mean.detach(), scale_of(q).detach())


def of_joint_batch(q: Distribution) -> Distribution:
    """The Gaussians of all examples of the joint batch, where q has those of this process's share."""
    return gaussian_of(gathered(q.mean), gathered(scale_of(q)))


def gaussian_of(mean: Float[Tensor, "batch latent"], scale: Float[Tensor, "batch ..."]) -> Distribution:
    """The Gaussian whose `scale_of` is given: standard deviations, or a factor."""
    return diagonal_gaussian(mean, scale) if scale.ndim == 2 else full_gaussian(mean, scale)


class Posterior(Part):
    """The family of q(z|x): reads the encoder's outputs and returns a distribution over z."""

    @property
    def has_density(self) -> bool:
        """Whether q is more than a point."""
        return True

    @property
    def learns_spread(self) -> bool:
        """Whether training decides how wide q is."""
        return True

    @abstractmethod
    def outputs(self, latent_dim: int) -> int:
        """How many numbers the encoder must give for each example."""

    @abstractmethod
    def forward(self, outputs: Float[Tensor, "batch outputs"]) -> Distribution:
        """The distribution q(z|x) of each example, with batch shape [batch] and event shape [latent]."""


@dataclass(eq=False)
class Delta(Posterior):
    """A deterministic encoder: z is the encoder's output."""

    @property
    def has_density(self) -> bool:
        return False

    @property
    def learns_spread(self) -> bool:
        return False

    def outputs(self, latent_dim: int) -> int:
        return latent_dim

    def forward(self, outputs: Float[Tensor, "batch outputs"]) -> Distribution:
        return PointMass(outputs)


@dataclass(eq=False)
class FixedGaussian(Posterior):
    """N(mu(x), scale² I) with a constant scale: the CV-VAE of Ghosh et al. The limit scale 0 is `Delta`."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.scale <= WIDEST:
            raise SigmaeError(
                f"FixedGaussian needs a scale above 0 and up to {WIDEST:g}, got {self.scale}: use Delta for none."
            )

    @property
    def learns_spread(self) -> bool:
        return False

    def outputs(self, latent_dim: int) -> int:
        return latent_dim

    def forward(self, outputs: Float[Tensor, "batch outputs"]) -> Distribution:
        return diagonal_gaussian(outputs, torch.full_like(outputs, self.scale))


@dataclass(eq=False)
class IsotropicGaussian(Posterior):
    """N(mu(x), variance · I) with one variance for all x, "learned" (from 1) or given, zero included (AR-ELBO §3.2)."""

    variance: float | str = "learned"

    def __post_init__(self) -> None:
        if isinstance(self.variance, str):
            if self.variance != "learned":
                raise unknown("variance", self.variance, ["learned"])
            self.log_variance = nn.Parameter(torch.zeros(()))
        elif not 0 <= self.variance <= WIDEST**2:
            raise SigmaeError(f"IsotropicGaussian needs a variance from 0 to {WIDEST**2:g}, got {self.variance}.")

    @property
    def has_density(self) -> bool:
        return self.variance != 0

    @property
    def learns_spread(self) -> bool:
        return self.variance == "learned"

    def outputs(self, latent_dim: int) -> int:
        return latent_dim

    def forward(self, outputs: Float[Tensor, "batch outputs"]) -> Distribution:
        if isinstance(self.variance, str):
            return diagonal_gaussian(outputs, (0.5 * self.log_variance).exp().to(outputs.dtype).expand_as(outputs))
        if self.variance == 0:
            return PointMass(outputs)
        return diagonal_gaussian(outputs, torch.full_like(outputs, self.variance**0.5))


@dataclass(eq=False)
class DiagonalGaussian(Posterior):
    """N(mu(x), diag(sigma(x)²)); the encoder gives the means, then the log-variances."""

    def outputs(self, latent_dim: int) -> int:
        return 2 * latent_dim

    def forward(self, outputs: Float[Tensor, "batch outputs"]) -> Distribution:
        mean, log_variance = outputs.chunk(2, dim=-1)
        return diagonal_gaussian(mean, (0.5 * log_variance).exp())


@dataclass(eq=False)
class FullGaussian(Posterior):
    """N(mu(x), L Lᵀ); the encoder gives the means, then 2 ln of L's diagonal, then its strictly lower entries r.

    "cholesky" takes r as they are. "tanh" is the UAE authors' code: L_ij = tanh(r_ij) sigma_i sigma_j, and
    1e-6 added to the diagonal; its numbers look like correlations, but those of L Lᵀ are others.
    """

    parameterization: str = "cholesky"

    def __post_init__(self) -> None:
        if self.parameterization not in ("cholesky", "tanh"):
            raise unknown("parameterization", self.parameterization, ["cholesky", "tanh"])

    def outputs(self, latent_dim: int) -> int:
        return 2 * latent_dim + latent_dim * (latent_dim - 1) // 2

    def forward(self, outputs: Float[Tensor, "batch outputs"]) -> Distribution:
        latent = latent_size(outputs.shape[-1])
        mean, log_variance, lower = outputs.split([latent, latent, outputs.shape[-1] - 2 * latent], dim=-1)
        scale = (0.5 * log_variance).exp()
        rows, columns = torch.tril_indices(latent, latent, -1, device=outputs.device)
        if self.parameterization == "tanh":
            lower = lower.tanh() * scale[:, rows] * scale[:, columns]
            scale = scale + CODE_FLOOR
        factor = torch.diag_embed(scale)
        factor[:, rows, columns] = lower
        return full_gaussian(mean, factor)


def latent_size(outputs: int) -> int:
    """m from the 2 m + m (m - 1) / 2 numbers of a full Gaussian."""
    return (math.isqrt(9 + 8 * outputs) - 3) // 2
