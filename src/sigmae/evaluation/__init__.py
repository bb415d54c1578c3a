"""Evaluation: every metric that applies to a model, by the papers' protocol, as rows and pictures.

Images are clipped to [0, 1] and rounded to 8 bits; encodings are means; the model is in evaluation mode.
Reconstructions of the validation split, samples of every density and points of spherical interpolations
between random validation pairs are compared with the test split (RAE, appendix B).
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from sigmae.data import Dataset
from sigmae.errors import SigmaeError
from sigmae.evaluation.catalogue import Metric, metric_function, METRICS, QUICK, settings_of
from sigmae.evaluation.pictures import pictures
from sigmae.evaluation.rows import as_records, Evaluation, Measured, Row
from sigmae.evaluation.stages import COUNT, POINTS, Stages, UNMEASURABLE
from sigmae.metrics.features import Features
from sigmae.model import Autoencoder

__all__ = [
    "COUNT",
    "METRICS",
    "POINTS",
    "QUICK",
    "Evaluation",
    "Measured",
    "Metric",
    "Row",
    "Stages",
    "as_records",
    "evaluate",
    "evaluate_stages",
    "pictures",
    "settings_of",
]


def evaluate(
    model: Autoencoder,
    data: Dataset,
    features: Features | None = None,
    *,
    metrics: Sequence[str] | None = None,
    densities: Sequence[str] | None = None,
    count: int = COUNT,
    points: int = POINTS,
    seed: int = 0,
    folder: Path | None = None,
    trust: Sequence[str] | None = None,
    tell: Callable[[str], None] = lambda stage: None,
) -> Evaluation:
    """The metrics of a model with fitted densities on its data, in nats or the row's unit.

    `metrics` are names of `METRICS`, or a third party's `module:attribute`, a function of `Stages` that returns rows;
    None is all of ours. `features` is None for data that are not images. The other arguments are those of `Stages`.
    A metric that does not apply is left out with its reason; a model that has diverged raises `SigmaeError`.
    """
    return evaluate_stages(Stages(model, data, features, densities, count, points, seed, folder, tell), metrics, trust)


def evaluate_stages(
    stages: Stages, metrics: Sequence[str] | None = None, trust: Sequence[str] | None = None
) -> Evaluation:
    """`evaluate` of what the stages hold."""
    chosen = {name: metric_function(name, trust) for name in (METRICS if metrics is None else metrics)}
    measured: dict[str, list[Row]] = {name: [] for name in chosen}
    left_out: dict[str, str] = {}
    for name, compute in chosen.items():
        try:
            found = compute(stages)
        except UNMEASURABLE as error:
            if name == "squared_error":  # which applies to every model that has not diverged
                raise
            left_out[name] = str(error)
            continue
        if not (isinstance(found, list) and all(isinstance(row, Row) for row in found)):
            raise SigmaeError(f"The metric '{name}' returns no list of sigmae.evaluation.Row: let it return one.")
        measured[name] = [row for row in found if row.is_finite]
        if not found:
            left_out[name] = "There was nothing to measure, such as samples of a density that could be fitted."
        if broken := [f"{row.metric} of {row.of}" for row in found if not row.is_finite]:
            left_out[name] = f"Not finite: {', '.join(broken)}."
    return Evaluation(measured, left_out)
