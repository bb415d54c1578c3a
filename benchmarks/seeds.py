"""Five seeds trained as one program, against one after the other."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import nn, Tensor

from benchmarks.comparison import Comparison
from benchmarks.training_step import new_model, random_images, Setting
from sigmae import Autoencoder, Dataset, TrainingConfig
from sigmae.training import make_fabric, train, train_together
from sigmae.training.allocator import keep_memory
from sigmae.training.state import Progress

SEEDS, METHOD = 5, "vae"
EQUAL = 1e-9  # largest share by which a term of the validation loss differs


def settings(toy: bool) -> list[Setting]:
    """The networks; `examples` is what an epoch sees."""
    if toy:
        return [Setting("mlp 64-32", "mlp", (1, 8, 8), ("network.hidden=[32]",), batch=8, examples=24)]
    return [
        Setting("mlp 784-512-256", "mlp", (1, 28, 28), batch=100, examples=4_000),
        Setting("mlp 784-200-200", "mlp", (1, 28, 28), ("network.hidden=[200,200]",), batch=20, examples=2_000),
        Setting("mlp 64-32", "mlp", (1, 8, 8), ("network.hidden=[32]",), batch=100, examples=20_000),
        Setting("conv 8-16-32, 32x32", "conv", (1, 32, 32), ("network.width=8",), batch=32, examples=1_280),
        Setting("conv 16-32-64, 32x32", "conv", (1, 32, 32), ("network.width=16",), batch=100, examples=2_000),
    ]


@dataclass(frozen=True)
class Runs:
    """Models of one configuration but for the seed, and all that they are trained with."""

    models: Sequence[Autoencoder]
    data: Dataset
    configs: Sequence[TrainingConfig]

    def together(self) -> list[Progress]:
        """An epoch of copies as one program."""
        fabric = make_fabric()
        return train_together([deepcopy(model) for model in self.models], self.data, self.configs, fabric=fabric)

    def alone(self) -> list[Progress]:
        """An epoch of copies, one after the other."""
        fabric = make_fabric()
        pairs = zip(self.models, self.configs, strict=True)
        return [train(deepcopy(model), self.data, config, fabric=fabric) for model, config in pairs]

    def difference(self) -> float:
        """The largest share by which a term of a seed's validation loss differs, in 64 bits."""
        runs = replace(self, models=[widened(model) for model in self.models])
        together, alone = terms(runs.together()), terms(runs.alone())
        return float(((together - alone).abs() / alone.abs()).max())


class Widening(nn.Module):
    """Makes 64 bits of 32."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return x.double()


def widened(model: Autoencoder) -> Autoencoder:
    """A copy in 64 bits: in 32, rounding on which side of zero a ReLU's input lies leads runs apart."""
    wide = deepcopy(model).double()
    wide.encoder = nn.Sequential(Widening(), wide.encoder)
    return wide


def terms(ends: Sequence[Progress]) -> Float[Tensor, "seeds 2"]:
    """The terms of the last validation that are not zero."""
    records = [end.history[-1]["validation"] for end in ends]
    return torch.tensor([[record["reconstruction"], record["latent"]] for record in records], dtype=torch.float64)


def against_one_by_one(setting: Setting) -> Comparison:
    """All seeds at once, and each by itself."""
    keep_memory()
    data, config = random_images(setting), TrainingConfig(epochs=1, batch_size=setting.batch)
    configs = [replace(config, seed=seed) for seed in range(SEEDS)]
    runs = Runs([new_model(setting, METHOD, data, config) for config in configs], data, configs)
    return Comparison(
        name=f"{SEEDS} seeds, {setting.name}, batch {setting.batch}",
        sides={"together": runs.together, "one by one": runs.alone},
        ours="together",
        base="one by one",
        agree=runs.difference,
        tolerance=EQUAL,
        about=f"{METHOD}, an epoch of {setting.examples // setting.batch} steps, validation, and the trial step that "
        "tells whether runs can be trained together. No goal: it pays where the share is below 1. Agreement: the "
        "largest share by which a term of a seed's validation loss differs, in 64 bits.",
    )


def comparisons(toy: bool) -> Iterator[Comparison]:
    """Five seeds of every network."""
    for setting in settings(toy):
        yield against_one_by_one(setting)
