"""The second-stage VAE of Dai and Wipf (2019): a VAE whose data u are the codes of the first one.

w ~ N(0, I) of the codes' own size, u = û(w) + γ ε. Its codes are nearer to N(0, I) than those of the first,
since the codes fill their space, where images lie on a manifold.
"""

import math
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import nn, Tensor
from torch.distributions import constraints, Distribution, kl_divergence
from torch.optim import Adam

from sigmae.densities.codes import Codes, refuse_a_single_point
from sigmae.densities.steps import train_epoch
from sigmae.errors import SigmaeError
from sigmae.posteriors import diagonal_gaussian
from sigmae.seeds import seeded

WIDTH = 1024
EPOCHS = 800
BATCH_SIZE = 64
LEARNING_RATE = 1e-4


class Skip(nn.Module):
    """Three hidden layers of ReLUs; the linear output sees the input beside the last of them."""

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        layers = [[nn.Linear(size, width), nn.ReLU()] for size in (inputs, width, width)]
        self.hidden = nn.Sequential(*(module for layer in layers for module in layer))
        self.output = nn.Linear(inputs + width, outputs)

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """The output layer on [x, h]."""
        y: Tensor = self.output(torch.cat([x, self.hidden(x)], dim=-1))
        return y


class SecondStage(nn.Module):
    """q(w|u), p(u|w) with one learned standard deviation γ, and the loss of their VAE."""

    def __init__(self, latent: int, width: int = WIDTH) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = Skip(latent, 2 * latent, width)
        self.decoder = Skip(latent, latent, width)
        self.log_gamma = nn.Parameter(torch.zeros(()))

    def posterior(self, u: Float[Tensor, "*batch latent"]) -> Distribution:
        """q(w|u): the encoder gives means, then the logarithms of standard deviations."""
        mean, log_scale = self.encoder(u).chunk(2, dim=-1)
        return diagonal_gaussian(mean, log_scale.exp())

    def likelihood(self, w: Float[Tensor, "*batch latent"]) -> Distribution:
        """p(u|w) = N(û(w), γ² I)."""
        mean = self.decoder(w)
        return diagonal_gaussian(mean, self.log_gamma.exp().expand_as(mean))

    def prior(self) -> Distribution:
        """p(w) = N(0, I)."""
        zeros = self.log_gamma.new_zeros(self.latent)
        return diagonal_gaussian(zeros, zeros + 1)

    def forward(self, u: Float[Tensor, "batch latent"]) -> Float[Tensor, ""]:
        """KL(q(w|u) || p(w)) - ln p(u|w) with one draw of w, in nats, mean over the batch."""
        q = self.posterior(u)
        return (kl_divergence(q, self.prior()) - self.likelihood(q.rsample()).log_prob(u)).mean()


class SecondStageVAE(Distribution):
    """The distribution of u = û(w) + γ ε, w ~ N(0, I). It has samples, and no density in closed form."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, networks: SecondStage) -> None:
        self.networks = networks.requires_grad_(False)
        super().__init__(event_shape=torch.Size((networks.latent,)), validate_args=False)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws of u."""
        w = self.networks.prior().rsample(torch.Size(sample_shape))
        u: Tensor = self.networks.likelihood(w).rsample()
        return u

    def log_prob(self, value: Tensor) -> Tensor:
        raise SigmaeError(
            "A second-stage VAE has no density in closed form: "
            "use estimated_log_prob, or a flow or a mixture of Gaussians, which have one."
        )

    def estimated_log_prob(self, value: Float[Tensor, "batch latent"], count: int = 100) -> Float[Tensor, " batch"]:
        """ln mean_k p(u|w_k) p(w_k) / q(w_k|u) with `count` draws of q: in expectation at most ln p(u), its limit."""
        q = self.networks.posterior(value)
        w = q.rsample(torch.Size((count,)))
        weights = self.networks.likelihood(w).log_prob(value) + self.networks.prior().log_prob(w) - q.log_prob(w)
        return weights.logsumexp(0) - math.log(count)


def second_stage_vae(codes: Codes, epochs: int = EPOCHS, *, width: int = WIDTH) -> Distribution:
    """Train a second-stage VAE as Dai and Wipf do: Adam at 1e-4, halved after 300 and 600 of 800 epochs, batch 64.

    With another number of epochs the rate is halved at the same fractions of training. The data are draws
    u ~ q(z|x), afresh every epoch (the codes themselves, for a deterministic encoder), and not normalised:
    of codes much wider or narrower than 1 the fit is a poor one.
    """
    refuse_a_single_point(codes.means)
    with seeded(codes.seed, "second-stage"):
        networks = SecondStage(codes.latent, width).to(codes.device, codes.means.dtype)
        optimizer = Adam(networks.parameters(), lr=LEARNING_RATE)
        for epoch in range(epochs):
            optimizer.param_groups[0]["lr"] = learning_rate(epoch, epochs)
            train_epoch(networks, codes.to_train_on(), optimizer, BATCH_SIZE)
    return SecondStageVAE(networks.cpu())


def learning_rate(epoch: int, epochs: int) -> float:
    """1e-4, halved after every 3/8 of the epochs."""
    return LEARNING_RATE * 0.5 ** (8 * epoch // (3 * epochs))
