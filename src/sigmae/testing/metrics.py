"""Laws of metrics: functions of `Stages` that return rows."""

import json
import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import torch
from torch import Tensor

from sigmae.densities import density_tensors
from sigmae.evaluation import as_records, Stages
from sigmae.evaluation.catalogue import metric_function
from sigmae.evaluation.stages import UNMEASURABLE
from sigmae.latent_regularizers import KL, SquaredNorm
from sigmae.likelihoods import Gaussian, SquaredError
from sigmae.metrics import load_features
from sigmae.model import Autoencoder
from sigmae.objective import Objective
from sigmae.posteriors import Delta, DiagonalGaussian
from sigmae.propagations import Mean, MonteCarlo
from sigmae.seeds import seeded
from sigmae.testing.laws import Law, require
from sigmae.testing.trials import pictures, same_bits, Trial

POINTS = 20
TEXTS = ("metric", "of", "unit", "protocol")


@cache
def small_models() -> tuple[Autoencoder, ...]:
    """A model with a posterior and a learned variance, and a deterministic one, with fitted densities; to be copied."""
    variational = Objective(DiagonalGaussian(), MonteCarlo(), Gaussian("learned"), KL(0.1))
    deterministic = Objective(Delta(), Mean(), SquaredError(), SquaredNorm(0.01))
    models = []
    for name, objective in {"variational": variational, "deterministic": deterministic}.items():
        model = Trial(name, partial(deepcopy, objective)).trained.model
        for density in ("prior", "gaussian"):
            model.fit_density(density, model.encode(pictures().train.images))
        models.append(model)
    return tuple(models)


def small_stages() -> list[Stages]:
    """Both models in stages of their own, on pictures with labels and factors."""
    data = pictures()
    return [Stages(deepcopy(m), data, load_features("random", data), points=POINTS) for m in small_models()]


@dataclass(frozen=True)
class Measured:
    """What a metric returned, or why it does not apply; and what it changed."""

    rows: Any
    refusal: str
    changed: list[str]


@dataclass(frozen=True)
class MetricTrial:
    """A metric on trial, in stages that are made anew for each time that it is computed."""

    name: str
    compute: Callable[[Stages], Any]
    stages: Callable[[], Sequence[Stages]]

    def __str__(self) -> str:
        return self.name

    @cached_property
    def first(self) -> list[Measured]:
        """In every stages."""
        return [measured(self.compute, stages, 0) for stages in self.stages()]

    @cached_property
    def second(self) -> list[Measured]:
        """In every stages once more, from another place in the stream of torch's generators."""
        return [measured(self.compute, stages, 1) for stages in self.stages()]


def metric_trial(metric: str | Callable[[Stages], Any], stages: Callable[[], Sequence[Stages]] | None) -> MetricTrial:
    """The trial of a function, or of a metric by the name that the command line takes."""
    name = metric if isinstance(metric, str) else str(getattr(metric, "__name__", metric))
    compute = metric_function(metric) if isinstance(metric, str) else metric
    return MetricTrial(name, compute, stages or small_stages)


def measured(compute: Callable[[Stages], Any], stages: Stages, place: int) -> Measured:
    """Compute a metric, and compare the model and the data with what they were."""
    before = contents(stages)
    with seeded(place, "stream"):
        try:
            rows, refusal = compute(stages), ""
        except UNMEASURABLE as error:
            rows, refusal = [], str(error)
    return Measured(rows, refusal, same_bits(before, contents(stages)))


def contents(stages: Stages) -> dict[str, Tensor]:
    """Copies of all that other metrics read, by name."""
    model, data = stages.model, stages.data
    found = {f"model.{name}": value for name, value in model.state_dict().items()}
    found |= {f"gradient.{name}": w.grad for name, w in model.named_parameters() if w.grad is not None}
    for density, q in model.densities.items():
        found |= {f"{density}.{name}": value for name, value in density_tensors(q).items()}
    found |= {f"{name} images": getattr(data, name).images for name in ("train", "validation", "test")}
    found["training mode"] = torch.tensor([module.training for module in model.modules()])
    found["requires_grad"] = torch.tensor([weight.requires_grad for weight in model.parameters()])
    return {name: value.detach().clone() for name, value in found.items()}


def it_measures_or_says_why_not(trial: MetricTrial) -> None:
    """A metric returns a list of rows, and refuses what it does not apply to by a `SigmaeError`, but not everything."""
    for found in trial.first:
        kinds = {type(row).__name__ for row in found.rows} if isinstance(found.rows, list) else {"no list"}
        require(kinds <= {"Row"}, f"{trial} returns {', '.join(kinds)}: return a list of sigmae.evaluation.Row.")
    told = "; ".join(found.refusal for found in trial.first)
    measures = any(found.rows for found in trial.first)
    require(measures, f"{trial} applies to none of the stages ({told}): give stages= that it is for.")


def rows_are_numbers_with_a_protocol(trial: MetricTrial) -> None:
    """Each row is a finite number with its unit, how many examples took part, and how it was obtained, as JSON."""
    for row in (row for found in trial.first for row in found.rows):
        for name in TEXTS:
            text = getattr(row, name)
            told = isinstance(text, str) and (text or name == "unit")
            require(told, f"the {name} of a row of {trial} is {text!r}: give it a text.")
        told = f"{row.metric} of {row.of}, by {trial},"
        number = isinstance(row.value, float) and isinstance(row.error, float | None)
        require(number, f"{told} is a {type(row.value).__name__}, with an error of {row.error!r}: write float(value).")
        finite = math.isfinite(row.value) and math.isfinite(row.error or 0.0)
        require(finite, f"{told} is {row.value} on plain pictures: raise a SigmaeError where it cannot be measured.")
        require(type(row.count) is int and row.count > 0, f"{told} has the count {row.count!r}: give an int above 0.")
        json.dumps(as_records([row]), allow_nan=False)


def no_row_hides_another(trial: MetricTrial) -> None:
    """Tables look rows up by what they measure and of what, so that no two of a metric are alike in both."""
    for found in trial.first:
        keys = [(row.metric, row.of) for row in found.rows]
        twice = sorted({f"{metric} of {of}" for metric, of in keys if keys.count((metric, of)) > 1})
        require(not twice, f"{trial} has more than one row of {', '.join(twice)}: tell them apart in `of`.")


def the_same_seed_gives_the_same_rows(trial: MetricTrial) -> None:
    """All noise of a metric is of the seed of its stages, wherever torch's generators stand."""
    for one, other in zip(trial.first, trial.second, strict=True):
        different = [f"{a.metric} of {a.of}" for a, b in zip(one.rows, other.rows, strict=False) if a != b]
        different += ["the number of rows"] * (len(one.rows) != len(other.rows))
        told = f"{', '.join(different)} of {trial} changed when it was computed again"
        require(not different, f"{told}: draw by sigmae.seeds.generator(stages.seed, ...).")


def model_and_data_are_left_as_they_are(trial: MetricTrial) -> None:
    """Other metrics find the weights, their gradients, the mode, the densities and the images as they were."""
    for found in trial.first:
        told = f"{trial} changes {', '.join(found.changed)}"
        require(not found.changed, f"{told}: use what stages give, and sigmae.metrics.inference.evaluating.")


METRIC: tuple[Law, ...] = (
    it_measures_or_says_why_not,
    rows_are_numbers_with_a_protocol,
    no_row_hides_another,
    the_same_seed_gives_the_same_rows,
    model_and_data_are_left_as_they_are,
)
