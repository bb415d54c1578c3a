"""Opponents: networks that are trained against the model, each by an optimizer of its own, a step after each of its."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.optim import Adam

from sigmae.parts import Part

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Opponent:
    """The opponent of a part. Its learning rate is the model's times the part's `opponent_rate`."""

    def __init__(self, part: Part, network: nn.Module) -> None:
        self.part, self.weights = part, list(network.parameters())
        self.relative_lr = part.opponent_rate
        self.optimizer = Adam(self.weights, fused=True)

    def step(self, lr: float, fabric: "Fabric") -> None:
        """One step of the opponent, beside a model that learns at the rate `lr`."""
        with requiring_gradients(self.weights), fabric.autocast():
            gradients = torch.autograd.grad(self.part.opponent_loss(), self.weights)
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = fabric.all_reduce(gradient)  # type: ignore[assignment]
        for group in self.optimizer.param_groups:
            group["lr"] = self.relative_lr * lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def opponents(parts: Sequence[Part]) -> list[Opponent]:
    """The opponents of those parts that have one, in their order."""
    return [Opponent(part, network) for part in parts if (network := part.opponent()) is not None]


@contextmanager
def requiring_gradients(weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Let frozen weights require gradients for a block."""
    for weight in weights:
        weight.requires_grad_(True)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(False)
