"""Latent regularizers: what keeps the latent space together."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from sigmae.errors import IncompatibleParts, SigmaeError, unknown
from sigmae.joint import gathered
from sigmae.kernels import inverse_multiquadric, radial_basis, squared_distances
from sigmae.parts import Part
from sigmae.posteriors import factor_diagonal, Posterior, scale_of
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

    @property
    def prior_scale(self) -> float:
        """The standard deviation of the codes once the term is small."""
        return 1.0

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
        return kl_to_prior(q).mean()


def kl_to_prior(q: Distribution) -> Float[Tensor, " batch"]:
    """KL(N(mu, L Lᵀ) || N(0, I)) = 1/2 (||mu||² + tr L Lᵀ - m) - ln det L, for a diagonal L or a full one."""
    moments = q.mean.square() + q.variance - 1
    divergence: Tensor = (0.5 * moments - factor_diagonal(q).log()).sum(-1)
    return divergence


@dataclass(eq=False)
class Wasserstein2(LatentRegularizer):
    """The squared 2-Wasserstein distance from q(z|x) to N(0, I), without a factor 1/2 (UAE, eqs. 10 and 18).

    `form` "bound" is ||mu||² + ||L - I||_F²: exact for a diagonal L, and never below the distance for a Cholesky
    factor. "exact" has the trace of the square root of Sigma, the sum of L's singular values, in place of L's own.
    "norms" is the authors' code: ||mu||_2 + ||L - I||_F, the norms themselves. (Their Table 1 prints the variances
    where eq. 10 has the standard deviations; this follows eq. 10.)
    """

    weight: float = 1.0
    form: str = "bound"

    def __post_init__(self) -> None:
        if self.form not in ("bound", "exact", "norms"):
            raise unknown("form", self.form, ["bound", "exact", "norms"])

    def matches_prior(self, posterior: Posterior) -> bool:
        return False  # the paper fits a density afterwards

    def check(self, objective: "Objective") -> None:
        if not objective.posterior.has_density:
            raise IncompatibleParts(
                f"Wasserstein2 needs a posterior with a spread, got {type(objective.posterior).__name__}: "
                "use SquaredNorm, which it is for a point but for a constant."
            )

    def measure(self, q: Distribution, decoded: DecodedPoints) -> Float[Tensor, ""]:
        mean: Tensor = q.mean
        difference = spread_difference(q, exact=self.form == "exact")
        if self.form == "norms":
            norms: Tensor = torch.linalg.vector_norm(mean, dim=-1) + torch.linalg.vector_norm(difference, dim=-1)
            return norms.mean()
        return (mean.square().sum(-1) + difference.square().sum(-1)).mean()


def spread_difference(q: Distribution, *, exact: bool = False) -> Float[Tensor, "batch entries"]:
    """The entries of L - I, whose squares add up to tr Sigma - 2 tr L + m.

    `exact`: the singular values of L minus 1, whose squares add up to tr Sigma - 2 tr Sigma^(1/2) + m.
    """
    scale = scale_of(q)
    if scale.ndim == 2:
        return scale - 1
    if exact:
        values: Tensor = torch.linalg.svdvals(scale)
        return values - 1
    return (scale - torch.eye(scale.shape[-1], dtype=scale.dtype, device=scale.device)).flatten(1)


@dataclass(eq=False)
class SquaredNorm(LatentRegularizer):
    """||z||², summed over the latents, without a factor 1/2: the RAE's latent term."""

    weight: float = 1.0

    def matches_prior(self, posterior: Posterior) -> bool:
        return False

    def measure(self, q: Distribution, decoded: DecodedPoints) -> Float[Tensor, ""]:
        return decoded.expectation(decoded.latents.square().sum(-1))


@dataclass(eq=False)
class PlainNorm(LatentRegularizer):
    """||z||_2, not squared: the latent term of the UAE authors' code for its RAE baselines."""

    weight: float = 1.0

    def matches_prior(self, posterior: Posterior) -> bool:
        return False

    def measure(self, q: Distribution, decoded: DecodedPoints) -> Float[Tensor, ""]:
        norms: Tensor = torch.linalg.vector_norm(decoded.latents, dim=-1)
        return decoded.expectation(norms)


@dataclass(eq=False)
class MMD(LatentRegularizer):
    """Squared maximum mean discrepancy between the batch's codes, one for each example, and as many draws of the prior.

    `kernel` is "imq", the sum of inverse multiquadrics at seven scales, or "rbf".
    """

    weight: float = 1.0
    kernel: str = "imq"

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise unknown("kernel", self.kernel, KERNELS)

    def measure(self, q: Distribution, decoded: DecodedPoints) -> Float[Tensor, ""]:
        z = decoded.draw
        return squared_mmd(gathered(z), gathered(torch.randn_like(z)), KERNELS[self.kernel])


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
