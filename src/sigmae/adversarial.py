"""The adversarial regularizer: a discriminator tells codes from draws of the prior, and the encoder deceives it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import nn, Tensor
from torch.distributions import Distribution
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from sigmae.discriminators import discriminator, require_rate
from sigmae.latent_regularizers import LatentRegularizer
from sigmae.parts import Networks, Sizes
from sigmae.propagations import DecodedPoints


@dataclass(eq=False)
class Adversarial(LatentRegularizer):
    """-ln D(z): the codes shall pass for draws of N(0, I) (Makhzani et al. 2016, in the non-saturating form).

    D has a leaky ReLU of that slope after each of its hidden layers, and ends in one logit. It is trained after every
    step of the model, at `relative_lr` times the model's learning rate. ln 2 is where it cannot tell the two apart.
    z is one decoded point of every example, picked at random: the code itself for a deterministic encoder, a sample
    of q with MonteCarlo.
    """

    weight: float = 1.0
    hidden: tuple[int, ...] = (100, 100, 100)
    slope: float = 0.2
    relative_lr: float = 1.0

    def __post_init__(self) -> None:
        require_rate(self.relative_lr)

    def prepare(self, networks: Networks, sizes: Sizes | None) -> None:
        if not hasattr(self, "discriminator"):
            self.discriminator = discriminator(self.known(sizes).latent_dim, self.hidden, 1, slope=self.slope)

    def measure(self, q: Distribution, decoded: DecodedPoints) -> Float[Tensor, ""]:
        z = decoded.draw
        self.codes = z.detach()
        return mistaken_for(self.discriminator(z), prior=True)

    def opponent(self) -> nn.Module:
        return self.discriminator

    @property
    def opponent_rate(self) -> float:
        return self.relative_lr

    def opponent_loss(self) -> Float[Tensor, ""]:
        drawn = self.discriminator(torch.randn_like(self.codes))
        return mistaken_for(drawn, prior=True) + mistaken_for(self.discriminator(self.codes), prior=False)


def mistaken_for(logits: Float[Tensor, "batch 1"], *, prior: bool) -> Float[Tensor, ""]:
    """The mean cross-entropy of logits against one answer for all: draws of the prior, or codes."""
    return cross_entropy(logits, torch.full_like(logits, float(prior)))
