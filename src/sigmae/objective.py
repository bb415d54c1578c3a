"""The objective: reconstruction + latent term + decoder term, from five parts."""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from sigmae.decoder_regularizers import DecoderRegularizer
from sigmae.latent_regularizers import LatentRegularizer
from sigmae.likelihoods import Likelihood
from sigmae.parts import Networks, NoRegularizer, Part, Sizes
from sigmae.posteriors import Posterior
from sigmae.propagations import Propagation


class Terms(NamedTuple):
    """The weighted terms of a loss: means over the batch, in nats for a likelihood that is a density."""

    reconstruction: Float[Tensor, ""]
    latent: Float[Tensor, ""]
    decoder: Float[Tensor, ""]

    @property
    def loss(self) -> Float[Tensor, ""]:
        """What is minimised: the sum of the terms."""
        return self.reconstruction + self.latent + self.decoder


@dataclass(eq=False)
class Objective(Part):
    """Five parts, and the loss they make. Parts that cannot go together are refused here."""

    posterior: Posterior
    propagation: Propagation
    likelihood: Likelihood
    latent: LatentRegularizer | NoRegularizer = field(default_factory=NoRegularizer)
    decoder: DecoderRegularizer | NoRegularizer = field(default_factory=NoRegularizer)

    def __post_init__(self) -> None:
        for part in self.parts().values():
            part.check(self)

    def prepare(self, networks: Networks, sizes: Sizes | None) -> None:
        """Prepare every part."""
        for part in self.parts().values():
            part.prepare(networks, sizes)

    def forward(self, model: Networks, x: Float[Tensor, "batch *event"]) -> Terms:
        """The terms of the loss on a batch."""
        q = self.encode(model, x)
        decoder = self.decoder.joined(model.decoder)
        decoded = self.propagation(q, decoder)
        return Terms(
            reconstruction=self.likelihood(decoded, x),
            latent=self.latent(q, decoded),
            decoder=self.decoder(q, decoded, decoder),
        )

    def encode(self, model: Networks, x: Float[Tensor, "batch *event"]) -> Distribution:
        """q(z|x), in 32 bits or more: 16 cannot tell a narrow posterior's codes from its mean."""
        outputs: Tensor = model.encoder(x)
        q: Distribution = self.posterior(outputs.to(torch.promote_types(outputs.dtype, torch.float32)))
        return q

    def parts(self) -> dict[str, Part]:
        """The five parts by their axis, in the order of the equation."""
        return self.settings()

    def replace(self, **parts: Any) -> "Objective":
        """The same objective with some parts exchanged: an ablation."""
        return replace(self, **parts)

    @property
    def prior_scale(self) -> float:
        """The standard deviation of the prior that the codes are matched to: N(0, prior_scale² I)."""
        return self.latent.prior_scale

    @property
    def matches_prior(self) -> bool:
        """Whether the method means N(0, I) to be sampled; otherwise its simplest density is a Gaussian."""
        return isinstance(self.latent, LatentRegularizer) and self.latent.matches_prior(self.posterior)
