"""Latent regularizers: what keeps the latent space together."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from sigmae.errors import IncompatibleParts, SigmaeError, unknown
from sigmae.kernels import inverse_multiquadric, radial_basis, squared_distances
from sigmae.parts import Part
from sigmae.posteriors import diagonal_gaussian, Posterior
from sigmae.propagations import DecodedPoints

if TYPE_CHECKING:
    from sigmae.objective import Objective

Kernel = Callable[[Tensor, int], Tensor]
KERNELS: dict[str, Kernel] = {"imq": inverse_multiquadric, "rbf": radial_basis}


class LatentRegularizer(Part):
    """weight · (a pull of q(z|x), or of the aggregate posterior, towards the prior N(0, I))."""

    weight: float

    def matches_prior(self, posterior: Posterior) -> bool:
        """Whether codes follow N(0, I) once the term is small, so that the prior is worth sampling."""
        return True

    @abstractmethod
    def measure(self, q: Distribution, decoded: DecodedPoints) -> Float[Tensor, ""]:
        """The quantity itself, before its weight."""

    def forward(self, q: Distribution, decoded: DecodedPoints) -> Float[Tensor, ""]:
        """The weighted term."""
        return self.weight * self.measure(q, decoded)


@dataclass(eq=False)
class KL(LatentRegularizer):
    """KL(q(z|x) || N(0, I)) in nats, summed over the latents, mean over the batch, with its factor 1/2."""

    weight: float = 1.0

    def check(self, objective: "Objective") -> None:
        if not objective.posterior.has_density:
            raise IncompatibleParts(
                f"KL needs a posterior with a density, got {type(objective.posterior).__name__}: "
                "use SquaredNorm or MMD, or a DiagonalGaussian posterior."
            )

    def matches_prior(self, posterior: Posterior) -> bool:
        return posterior.learns_spread  # with a fixed spread, KL is a squared norm and a constant

    def measure(self, q: Distribution, decoded: DecodedPoints) -> Float[Tensor, ""]:
        prior = diagonal_gaussian(torch.zeros_like(q.mean), torch.ones_like(q.mean))
        return kl_divergence(q, prior).mean()


@dataclass(eq=False)
class SquaredNorm(LatentRegularizer):
    """||z||², summed over the latents, without a factor 1/2: the RAE's latent term."""

    weight: float = 1.0

    def matches_prior(self, posterior: Posterior) -> bool:
        return False

    def measure(self, q: Distribution, decoded: DecodedPoints) -> Float[Tensor, ""]:
        return decoded.average(decoded.latents.square().sum(-1)).mean()


@dataclass(eq=False)
class MMD(LatentRegularizer):
    """Squared maximum mean discrepancy between the batch's codes and as many draws of the prior.

    `kernel` is "imq", the sum of inverse multiquadrics at seven scales, or "rbf".
    """

    weight: float = 1.0
    kernel: str = "imq"

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise unknown("kernel", self.kernel, KERNELS)

    def measure(self, q: Distribution, decoded: DecodedPoints) -> Float[Tensor, ""]:
        z = decoded.latents[0]
        return squared_mmd(z, torch.randn_like(z), KERNELS[self.kernel])


def squared_mmd(
    z: Float[Tensor, "count latent"],
    prior: Float[Tensor, "count latent"],
    kernel: Kernel = inverse_multiquadric,
) -> Float[Tensor, ""]:
    """Mean k(z, z') + mean k(p, p') over distinct pairs, minus 2 mean k(z, p) over all pairs.

    This is the estimator of Tolstikhin et al. (2018): unbiased, so it can be slightly negative.
    """
    count, latent_dim = z.shape
    if count < 2:
        raise SigmaeError("MMD needs two or more examples, got a batch of 1: raise the batch size or use SquaredNorm.")
    both = torch.cat([z, prior])
    gram = kernel(squared_distances(both, both), latent_dim)
    within = (gram[:count, :count].sum() + gram[count:, count:].sum() - gram.trace()) / (count * (count - 1))
    return within - 2 * gram[:count, count:].mean()
