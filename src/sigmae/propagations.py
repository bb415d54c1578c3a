"""Propagations: how q(z|x) passes through the decoder."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from sigmae.errors import IncompatibleParts, SigmaeError
from sigmae.parts import Part

if TYPE_CHECKING:
    from sigmae.objective import Objective

Decoder = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class DecodedPoints:
    """Points of the latent space, what the decoder makes of them, and their weights, which add up to one.

    `weights` None means equal ones; `pooled` that their weighted mean image is scored in place of each of them.
    """

    latents: Float[Tensor, "points batch latent"]
    outputs: Float[Tensor, "points batch *event"]
    weights: Float[Tensor, " points"] | None = None
    pooled: bool = False

    def average(self, values: Float[Tensor, "points batch *rest"]) -> Float[Tensor, "batch *rest"]:
        """The weighted mean of a quantity over the points."""
        return values.mean(0) if self.weights is None else torch.tensordot(self.weights, values, 1)


class Propagation(Part):
    """Pushes q through the decoder; `hands_on` says what a likelihood gets to see."""

    hands_on: ClassVar[type] = DecodedPoints

    @abstractmethod
    def forward(self, q: Distribution, decode: Decoder) -> DecodedPoints:
        """Decode what stands for q: one `decode` of a stacked batch."""


def decode_points(decode: Decoder, latents: Float[Tensor, "points batch latent"]) -> DecodedPoints:
    """Decode every point of every example as one large batch."""
    outputs = decode(latents.flatten(0, 1))
    return DecodedPoints(latents, outputs.unflatten(0, latents.shape[:2]))


@dataclass(eq=False)
class Mean(Propagation):
    """Decode the mean of q and nothing else."""

    def forward(self, q: Distribution, decode: Decoder) -> DecodedPoints:
        return decode_points(decode, q.mean.unsqueeze(0))


@dataclass(eq=False)
class MonteCarlo(Propagation):
    """Decode `count` reparameterised samples of q."""

    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise SigmaeError(f"MonteCarlo draws one or more samples, got count={self.count}: use Mean for none.")

    def check(self, objective: "Objective") -> None:
        if not objective.posterior.has_density:
            name = type(objective.posterior).__name__
            raise IncompatibleParts(
                f"MonteCarlo draws samples, but all samples of {name} are the same point: "
                "use Mean, or a posterior with a spread such as DiagonalGaussian."
            )

    def forward(self, q: Distribution, decode: Decoder) -> DecodedPoints:
        return decode_points(decode, q.rsample((self.count,)))
