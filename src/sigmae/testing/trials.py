"""What is on trial, in a small world: pictures of two factors, networks of one hidden layer, the real training loop."""

import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sigmae.config import ModelConfig, objective_config
from sigmae.data import Dataset, scaled, Split
from sigmae.data.splits import shuffled
from sigmae.model import Autoencoder
from sigmae.networks import NetworkConfig
from sigmae.networks.mlp import mlp
from sigmae.objective import Objective, Terms
from sigmae.parts import Moment
from sigmae.seeds import seeded
from sigmae.settings import TrainingConfig
from sigmae.signals import StopRequest
from sigmae.training import Interrupted, make_fabric, train
from sigmae.training.loop import Loop

SHAPE, LATENT = (1, 6, 6), 3
ROWS, COLUMNS = 16, 11
HELD_OUT = 32
NETWORK = NetworkConfig("mlp", "linear", {"hidden": (16,), "activation": "tanh"})
TRAINING = TrainingConfig(epochs=2, batch_size=8)
STOPPED_AFTER = 7  # steps, in the midst of the first epoch


@cache
def pictures() -> Dataset:
    """Gray images whose rows and columns brighten with one factor each; a label says which of them is the larger."""
    factors = torch.cartesian_prod(torch.arange(ROWS), torch.arange(COLUMNS))
    ramp = torch.linspace(0, 1, SHAPE[-1])
    levels = factors / torch.tensor([ROWS - 1, COLUMNS - 1])
    images = (levels[:, :1, None] * ramp + levels[:, 1:, None] * ramp[:, None])[:, None] / 2
    labels = (levels[:, 0] > levels[:, 1]).long()
    whole = Split((images * 255).round().to(torch.uint8), labels, factors)[shuffled(len(images))]
    train, held_out = whole[: -2 * HELD_OUT], whole[-2 * HELD_OUT :]
    names = {"label_names": ("columns", "rows"), "factor_names": ("rows", "columns")}
    return Dataset("pictures", train, held_out[:HELD_OUT], held_out[HELD_OUT:], **names, factor_sizes=(ROWS, COLUMNS))


class Trained(NamedTuple):
    """A model that was trained, and the state dict that it had then."""

    model: Autoencoder
    state: dict[str, Tensor]


@dataclass(frozen=True)
class Trial:
    """An objective on trial: the function makes a new one at every call."""

    name: str
    objective: Callable[[], Objective]

    def __str__(self) -> str:
        return self.name

    def model(self) -> Autoencoder:
        """A model with the objective, its weights always the same."""
        with seeded(0, "weights"):
            objective = self.objective()
            config = ModelConfig(self.name, SHAPE, LATENT, objective_config(objective), NETWORK)
            encoder, decoder = mlp(
                shape=SHAPE,
                latent_dim=LATENT,
                encoder_outputs=objective.posterior.outputs(LATENT),
                decoder_shape=objective.likelihood.decoder_shape(SHAPE),
                **NETWORK.options,
            )
            return Autoencoder(encoder, decoder, objective, config=config)

    def at_first_step(self, dtype: torch.dtype = torch.float32) -> Autoencoder:
        """A model on which training has called what it calls before the first step."""
        model = self.model().to(dtype)
        data = pictures()
        moment = Moment(model, data.train, data.validation, epoch=0, step=0)
        parts = model.objective.parts().values()
        with seeded(0, "hooks"):
            for part in parts:
                part.begin_epoch(moment)
            for part in parts:
                part.begin_step(moment)
        return model

    @cached_property
    def trained(self) -> Trained:
        """A model that was trained without a stop."""
        model = self.model()
        train(model, pictures(), TRAINING, fabric=make_fabric(device="cpu"))
        return Trained(model, {name: value.clone() for name, value in model.state_dict().items()})

    def trained_with_a_stop(self) -> Autoencoder:
        """A model that was trained as in two processes, the first of which was told to stop."""
        first, model, fabric = self.model(), self.model(), make_fabric(device="cpu")
        request, steps = StopRequest(), count(1)

        def stop(*_: Any) -> None:
            if next(steps) == STOPPED_AFTER:
                request.number = signal.SIGINT

        first.register_forward_hook(stop)
        with tempfile.TemporaryDirectory() as folder:
            with seeded(TRAINING.seed), suppress(Interrupted):
                Loop(first, pictures(), TRAINING, Path(folder), lambda report: None, fabric).epoch(request)
            train(model, pictures(), TRAINING, folder=Path(folder), fabric=fabric)
        return model


def batch(examples: int = 8, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images as training gives them to a model."""
    return scaled(pictures().train.images[:examples]).to(dtype)


def terms_of(model: Autoencoder, x: Tensor) -> Terms:
    """The terms of the loss on a batch, always with the same noise."""
    with seeded(0, "noise"):
        terms: Terms = model(x)
        return terms


def shown(values: Tensor) -> str:
    """Numbers as a sentence tells them, with all the digits that 32 bits have."""
    return ", ".join(f"{value:.9g}" for value in values.tolist())


def same_bits(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The names of what differs between two state dicts."""
    both = one.keys() & other.keys()
    return sorted({*(one.keys() ^ other.keys()), *(name for name in both if not torch.equal(one[name], other[name]))})
