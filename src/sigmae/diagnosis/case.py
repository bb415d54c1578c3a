"""A case: a model with its data, its history and its configuration, and the distances that all checks weigh."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sigmae.commands import train_command
from sigmae.config import RunConfig
from sigmae.data import scaled
from sigmae.errors import SigmaeError
from sigmae.evaluation.stages import Stages, UNMEASURABLE

EXAMINED = 1000  # images, where a check decodes
NONE = 1e-12  # of a squared error or a distance: an exact reconstruction has as much, so that all can be related to it


@dataclass(frozen=True)
class Finding:
    """What is wrong, in a sentence with its numbers, and the command that mends it.

    `gain` is the share of the samples' distance to real images that mending it takes away: what was `measured`, or
    the most that it can be; None where no distance is known. Of copies, it is the share of the samples: see `gain_of`.
    """

    name: str
    says: str
    remedy: str
    gain: float | None
    evidence: dict[str, float]
    measured: bool = False
    gain_of: str = "of the samples' distance"

    @property
    def is_finite(self) -> bool:
        """Whether all its numbers are."""
        return all(map(math.isfinite, (*self.evidence.values(), self.gain or 0.0)))


@dataclass(eq=False)
class Case:
    """What the checks look at; `density` is the one whose samples are asked about."""

    stages: Stages
    config: RunConfig
    history: Sequence[Mapping[str, Any]]
    run: str
    density: str

    @cached_property
    def distances(self) -> dict[str, float]:
        """Fréchet distances to the test split, of reconstructions and of samples by density, where they can be had.

        There are none without features, of a density that could not be fitted, or of a single image.
        """
        stages, found = self.stages, {}
        fitted = [name for name in stages.model.densities if name != "prior"]
        for of in dict.fromkeys(["reconstructions", self.density, *fitted]):
            with suppress(*UNMEASURABLE):
                found[of] = stages.distance(of)
        return found

    @property
    def limit(self) -> float | None:
        """The share of the samples' distance that reconstructions have too: the most that a better decoder gains."""
        if not {"reconstructions", self.density} <= self.distances.keys():
            return None
        return min(1.0, self.distances["reconstructions"] / max(self.distances[self.density], NONE))

    @cached_property
    def examined(self) -> tuple[Float[Tensor, "count *event"], Float[Tensor, "count *event"]]:
        """Validation images, and their reconstructions."""
        images = scaled(self.stages.data.validation.images[:EXAMINED])
        return images, self.stages.model.decode(self.stages.codes("validation")[:EXAMINED])

    @cached_property
    def residual(self) -> float:
        """The mean squared error of a value, decoded from draws of q: the decoder variance that these data ask for."""
        images, _ = self.examined
        decoded = self.stages.model.decode(self.stages.draws("validation")[:EXAMINED])
        error = float((images - decoded).double().square().mean())
        if not math.isfinite(error):
            raise SigmaeError("What is decoded from draws of q is not finite: the model has diverged.")
        return max(error, NONE)

    @cached_property
    def spread(self) -> float:
        """The variance of a value of the data, at its place."""
        images, _ = self.examined
        return float(images.double().var(0).mean()) if len(images) > 1 else 0.0

    def train(self, suffix: str, *settings: str, **changes: Any) -> str:
        """The command that trains the run with changes, into a folder beside it."""
        return train_command(self.config, self.beside(suffix), *settings, **changes)

    def beside(self, suffix: str) -> str:
        """A folder beside the run's."""
        return f"{self.run.rstrip('/')}-{suffix}"


def percent(share: float) -> str:
    """A share as people read it."""
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.1g} %"


def sharpness(images: Float[Tensor, "count channels height width"]) -> float:
    """The mean squared difference of neighbouring values."""
    down, right = images.diff(dim=-2).double().square(), images.diff(dim=-1).double().square()
    return float(torch.cat([down.flatten(), right.flatten()]).mean())
