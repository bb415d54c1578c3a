"""Likelihoods: what p(x|z) is, and what a reconstruction costs."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from sigmae.errors import IncompatibleParts, SigmaeError
from sigmae.parts import Part
from sigmae.propagations import DecodedPoints

if TYPE_CHECKING:
    from sigmae.objective import Objective


class Likelihood(Part):
    """Scores decoder outputs against the data, in nats where `is_density`, summed over the event.

    `reads_logits` says that the decoder must end without an activation; `unit_range` that x must lie in [0, 1].
    """

    accepts: ClassVar[tuple[type, ...]] = (DecodedPoints,)
    is_density: ClassVar[bool] = True
    reads_logits: ClassVar[bool] = False
    unit_range: ClassVar[bool] = False

    def check(self, objective: "Objective") -> None:
        handed = objective.propagation.hands_on
        if handed not in self.accepts:
            raise IncompatibleParts(
                f"{type(self).__name__} cannot score the {handed.__name__} of "
                f"{type(objective.propagation).__name__}: use a Gaussian likelihood, or MonteCarlo."
            )

    def decoder_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that the decoder must give for examples of a shape: more where it has a variance to say."""
        return shape

    @abstractmethod
    def distortion(
        self, outputs: Float[Tensor, "points batch *event"], x: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "points batch"]:
        """-ln p(x|z) of every point and example (for `SquaredError` its weighted squared error)."""

    def mean(self, outputs: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """The mean of p(x|z), which is the picture to show, from the decoder's outputs."""
        return outputs

    def forward(self, decoded: DecodedPoints, x: Float[Tensor, "batch *event"]) -> Float[Tensor, ""]:
        """The reconstruction term: the mean distortion over points and batch, or that of the points' mean image."""
        if decoded.pooled:
            return self.distortion(decoded.average(decoded.outputs).unsqueeze(0), x).mean()
        return decoded.average(self.distortion(decoded.outputs, x)).mean()


def squared_error(
    outputs: Float[Tensor, "points batch *event"], x: Float[Tensor, "batch *event"]
) -> Float[Tensor, "points batch"]:
    """||x - x_hat||², summed over the event."""
    return (outputs - x).square().flatten(2).sum(-1)


@dataclass(eq=False)
class SquaredError(Likelihood):
    """The papers' plain reconstruction term: weight · ||x - x_hat||², by `reduction` over the event.

    "sum" is the convention of this library. "mean" divides by the number of values D: a Gaussian of
    variance D / (2 weight) without its constant, the scale of the RAE and UAE authors' code.
    """

    reduction: str = "sum"
    weight: float = 1.0
    is_density = False

    def __post_init__(self) -> None:
        if self.reduction not in ("sum", "mean"):
            raise SigmaeError(f"SquaredError reduces by 'sum' or 'mean', got '{self.reduction}'.")

    def distortion(
        self, outputs: Float[Tensor, "points batch *event"], x: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "points batch"]:
        scale = self.weight if self.reduction == "sum" else self.weight / x[0].numel()
        return scale * squared_error(outputs, x)


@dataclass(eq=False)
class Gaussian(Likelihood):
    """N(x; f(z), variance · I) with a fixed variance; its constant n/2 ln(2 pi variance) is included.

    Variance 1/2 is SSE + constant, what code that omits the 1/(2 variance) minimises.
    """

    variance: float = 0.5

    def __post_init__(self) -> None:
        if not self.variance > 0:
            raise SigmaeError(f"Gaussian needs a variance above 0, got {self.variance}.")

    def distortion(
        self, outputs: Float[Tensor, "points batch *event"], x: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "points batch"]:
        constant = 0.5 * x[0].numel() * math.log(2 * math.pi * self.variance)
        return squared_error(outputs, x) / (2 * self.variance) + constant


@dataclass(eq=False)
class Bernoulli(Likelihood):
    """Independent Bernoulli values with logits f(z); x in [0, 1] is read as a probability (cross-entropy)."""

    reads_logits = True
    unit_range = True

    def distortion(
        self, outputs: Float[Tensor, "points batch *event"], x: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "points batch"]:
        target = x.expand_as(outputs)
        return binary_cross_entropy_with_logits(outputs, target, reduction="none").flatten(2).sum(-1)

    def mean(self, outputs: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return torch.sigmoid(outputs)
