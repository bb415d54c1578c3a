"""Steps: networks, training steps and what they compute, which several benchmarks share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Adam
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.comparison import Run
from sigmae.config import ModelConfig
from sigmae.data import Dataset
from sigmae.model import Autoencoder
from sigmae.networks import NetworkConfig
from sigmae.objective import Objective
from sigmae.seeds import generator, seeded
from sigmae.settings import TrainingConfig
from sigmae.training import make_fabric
from sigmae.training.allocator import keep_memory
from sigmae.training.loop import Loop

LATENT = 16
REPEATS = 20  # of what takes about a millisecond


@dataclass(frozen=True)
class Network:
    """A network by its name, for images of a shape."""

    name: str
    shape: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)
    init: str = "default"

    def model(self, objective: Objective, latent_dim: int = LATENT) -> Autoencoder:
        """A model with weights that depend on its layers alone, laid out in memory as the training loop does."""
        network = NetworkConfig(self.name, options=self.options, init=self.init)
        config = ModelConfig("benchmark", self.shape, latent_dim, {}, network)
        with seeded(0, "weights"):
            model = Autoencoder.build(config, objective=objective)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model

    def images(self, count: int) -> Float[Tensor, "count *shape"]:
        """Random images between 0 and 1."""
        return torch.rand(count, *self.shape, generator=generator(0, "images"))


def loop_of(model: Autoencoder, data: Dataset, *, device: str = "cpu", **settings: Any) -> Loop:
    """The training loop, with freed memory kept as `train` does; nothing is written or observed."""
    keep_memory()
    config = TrainingConfig(**settings)
    loop = Loop(model, data, config, None, lambda report: None, make_fabric(config.precision, device))
    loop.wrapped.train()
    return loop


def training_step(model: Autoencoder, x: Float[Tensor, "batch *event"]) -> Run:
    """Forward, backward and Adam on a batch, with freed memory kept as `train` does; no gradients stay."""
    keep_memory()
    optimizer = Adam(model.parameters(), fused=True)

    def step() -> None:
        model(x).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def repeated(run: Run) -> Run:
    """So many runs in one."""

    def runs() -> None:
        for _ in range(REPEATS):
            run()

    return runs


def flops(run: Run) -> int:
    """The floating-point operations of the products and convolutions in a run."""
    with FlopCounterMode(display=False) as counter:
        run()
    total: int = counter.get_total_flops()
    return total


def loss_and_gradient(
    model: Autoencoder, x: Float[Tensor, "batch *event"]
) -> tuple[Float[Tensor, "1"], Float[Tensor, " weights"]]:
    """The loss and its gradient by all weights, with the same noise at every call."""
    with seeded(0, "noise"):
        loss: Tensor = model(x).loss
    gradients = torch.autograd.grad(loss, [*model.parameters()])
    return loss.detach().view(1), torch.cat([gradient.flatten() for gradient in gradients])


def apart(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest relative difference of two lists of vectors, by their norms."""
    pairs = zip(found, expected, strict=True)
    return max(float((one - other).norm() / other.norm()) for one, other in pairs)
