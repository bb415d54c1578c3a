"""Total correlation: how far the aggregate posterior q(z) = E_x q(z|x) is from the product of its marginals.

TC = KL(q(z) || prod_l q(z_l)) in nats. Without densities of q(z) at hand, it is estimated from a batch: by weighting
its posteriors (beta-TCVAE, Chen et al. 2018), or by a discriminator (FactorVAE, Kim and Mnih 2018).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import nn, Tensor
from torch.distributions import Distribution, Normal
from torch.nn.functional import cross_entropy

from sigmae.discriminators import discriminator, require_rate
from sigmae.errors import IncompatibleParts, unknown
from sigmae.joint import gathered, own_share
from sigmae.latent_regularizers import kl_to_prior, LatentRegularizer
from sigmae.parts import Networks, Sizes
from sigmae.posteriors import diagonal_gaussian, of_joint_batch, Posterior, scale_of
from sigmae.propagations import DecodedPoints

if TYPE_CHECKING:
    from sigmae.objective import Objective

ESTIMATES = {
    "analytic": "the KL in closed form, TC by minibatch weighting",
    "decomposed": "all terms of the KL by minibatch weighting, as in the original repository",
    "discriminator": "the KL in closed form, TC by a discriminator",
}


@dataclass(eq=False)
class TotalCorrelation(LatentRegularizer):
    """KL(q(z|x) || N(0, I)) + weight · TC; a beta-TCVAE of beta has the weight beta - 1.

    `estimate` is one of `ESTIMATES`; "analytic" and "decomposed" have the same expectation.
    "discriminator" is the FactorVAE: leaky ReLUs of slope 0.2 after each `hidden` layer, and two logits whose
    difference is ln q(z) - ln prod_l q(z_l). It is trained after every step of the model, at `relative_lr` times the
    model's learning rate, on the batch's codes and their `permuted` selves. z is a sample of q drawn for this
    term alone, whatever the propagation decodes.
    """

    weight: float = 1.0
    estimate: str = "analytic"
    hidden: tuple[int, ...] = (1000,) * 6
    relative_lr: float = 1.0

    def __post_init__(self) -> None:
        if self.estimate not in ESTIMATES:
            raise unknown("estimate", self.estimate, ESTIMATES)
        require_rate(self.relative_lr)

    def check(self, objective: "Objective") -> None:
        if not objective.posterior.has_density:
            raise IncompatibleParts(
                f"TotalCorrelation needs a posterior with a density, got {type(objective.posterior).__name__}: "
                "use Adversarial or MMD, or a DiagonalGaussian posterior."
            )

    def prepare(self, networks: Networks, sizes: Sizes | None) -> None:
        if self.estimate == "discriminator" and not hasattr(self, "discriminator"):
            self.discriminator = discriminator(self.known(sizes).latent_dim, self.hidden, 2)

    def matches_prior(self, posterior: Posterior) -> bool:
        return posterior.learns_spread

    def forward(self, q: Distribution, decoded: DecodedPoints) -> Float[Tensor, ""]:
        if self.estimate == "decomposed":
            information, correlation, dimension_wise = decomposition(q, q.rsample())
            return information + (1 + self.weight) * correlation + dimension_wise
        return kl_to_prior(q).mean() + self.weight * self.measure(q, decoded)

    def measure(self, q: Distribution, decoded: DecodedPoints) -> Float[Tensor, ""]:
        z = q.rsample()
        if self.estimate != "discriminator":
            return total_correlation(q, z)
        self.codes = z.detach()
        logits: Tensor = self.discriminator(z)
        return (logits[:, 0] - logits[:, 1]).mean()

    def opponent(self) -> nn.Module | None:
        return self.discriminator if self.estimate == "discriminator" else None

    @property
    def opponent_rate(self) -> float:
        return self.relative_lr

    def opponent_loss(self) -> Float[Tensor, ""]:
        logits = self.discriminator(torch.cat([self.codes, permuted(self.codes)]))
        truth = torch.arange(2, device=logits.device).repeat_interleave(len(self.codes))
        return cross_entropy(logits, truth)


class LogDensities(NamedTuple):
    """ln q(z) and the ln q(z_l) of some codes."""

    joint: Float[Tensor, " count"]
    marginals: Float[Tensor, "count latent"]


class Decomposition(NamedTuple):
    """I(x; z), TC and sum_l KL(q(z_l) || p(z_l)), whose sum is the KL (Chen et al. 2018, eq. 2), means over codes."""

    mutual_information: Float[Tensor, ""]
    total_correlation: Float[Tensor, ""]
    dimension_wise: Float[Tensor, ""]


def minibatch_log_densities(q: Distribution, z: Float[Tensor, "count latent"]) -> LogDensities:
    """The log densities of codes under the mixture of a batch's Gaussians, diagonal or full: 1/B sum_i q(z|x_i).

    The batch is the joint one in data-parallel training, where the codes are of this process's share.

    Minibatch-weighted sampling divides by the number N of training examples as well. This shifts the total
    correlation by the constant (m - 1) ln N and changes no gradient; it is left out, so that a large batch gives
    independent latents none. A small batch gives too much of it, at most (m - 1) ln B for one code of each posterior.
    """
    q = of_joint_batch(q)
    scale = scale_of(q)
    diagonal = scale.ndim == 2
    marginals = Normal(q.mean, scale if diagonal else q.stddev, validate_args=False).log_prob(z.unsqueeze(1))
    joint = marginals.sum(-1) if diagonal else q.log_prob(z.unsqueeze(1))
    size = math.log(len(scale))
    return LogDensities(joint.logsumexp(1) - size, marginals.logsumexp(1) - size)


def total_correlation(q: Distribution, z: Float[Tensor, "batch latent"]) -> Float[Tensor, ""]:
    """The mean of ln q(z) - sum_l ln q(z_l) over one sample z of each of the batch's posteriors q."""
    joint, marginals = minibatch_log_densities(q, z)
    return (joint - marginals.sum(1)).mean()


def decomposition(q: Distribution, z: Float[Tensor, "batch latent"]) -> Decomposition:
    """The KL in three by minibatch weighting; the sum is the mean of ln q(z|x) - ln p(z), exactly."""
    joint, marginals = minibatch_log_densities(q, z)
    independent = marginals.sum(1)
    prior = diagonal_gaussian(torch.zeros_like(z), torch.ones_like(z)).log_prob(z)
    return Decomposition((q.log_prob(z) - joint).mean(), (joint - independent).mean(), (independent - prior).mean())


def permuted(z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch latent"]:
    """Every latent permuted across the joint batch by itself: the marginals stay, the dependence goes."""
    order = gathered(torch.rand(z.shape, device=z.device)).argsort(0)
    return own_share(gathered(z).gather(0, order))
