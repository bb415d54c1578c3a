"""Evaluation: every metric that applies to a model, by the papers' protocol, as rows and pictures.

Images are clipped to [0, 1] and rounded to 8 bits; encodings are means; the model is in evaluation mode.
Reconstructions of the validation split, samples of every density and points of spherical interpolations
between random validation pairs are compared with the test split (RAE, appendix B).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigmae.data import Dataset
from sigmae.errors import SigmaeError
from sigmae.evaluation import decoder, disentangled, generation, latent, likelihood
from sigmae.evaluation.pictures import pictures
from sigmae.evaluation.rows import as_records, Evaluation, Measured, Row
from sigmae.evaluation.stages import COUNT, POINTS, Stages, UNMEASURABLE
from sigmae.metrics.features import Features
from sigmae.model import Autoencoder
from sigmae.plugins import resolve

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

Compute = Callable[[Stages], list[Row]]
FEATURED = ("features", "densities", "count")
SAMPLED = ("densities", "count")


@dataclass(frozen=True)
class Metric:
    """How the rows of a metric are computed; `quick` ones are computed after every training.

    `settings` are those of features, densities, count and points that its rows depend on.
    """

    group: str
    description: str
    compute: Compute
    settings: tuple[str, ...] = ()
    quick: bool = False


METRICS = {
    "squared_error": Metric(
        "generation",
        "Squared error of the test split, summed over an image's values: of decoded means, and of draws.",
        generation.squared_error,
        quick=True,
    ),
    "decoder_variance": Metric(
        "generation",
        "The variance of p(x|z) that training found, for learned and optimal variances.",
        generation.decoder_variance,
        quick=True,
    ),
    "fid": Metric(
        "generation",
        "Fréchet distance to the test split of reconstructions, samples per density, interpolations.",
        generation.fid,
        FEATURED,
        quick=True,
    ),
    "kid": Metric("generation", "Kernel distance of the same.", generation.kid, FEATURED),
    "prd": Metric(
        "generation",
        "Precision and recall of distributions of the same: F8 and F1/8 by clusters.",
        generation.prd,
        FEATURED,
    ),
    "precision_recall": Metric(
        "generation",
        "Improved precision and recall, density and coverage of the same, by neighbourhoods.",
        generation.precision_recall,
        FEATURED,
    ),
    "memorisation": Metric(
        "generation",
        "Whether samples are nearer to training images than held-out images are.",
        generation.copies,
        SAMPLED,
    ),
    "elbo": Metric("likelihood", "Evidence lower bound of test images.", likelihood.elbo),
    "log_likelihood": Metric(
        "likelihood",
        "Importance-sampled ln p(x) of test images, with and without its constant.",
        likelihood.log_likelihood,
        ("points",),
    ),
    "linearized_log_likelihood": Metric(
        "likelihood",
        "ln p(x) of a linearized decoder under a Gaussian of the codes, for deterministic encoders.",
        likelihood.linearized_log_likelihood,
    ),
    "aggregate_divergence": Metric(
        "latent", "KL of a Gaussian fit of held-out codes to the prior.", latent.aggregate_divergence, ("count",)
    ),
    "energy_distance": Metric("latent", "Energy distance of held-out codes from the prior.", latent.energy, ("count",)),
    "entropy": Metric("latent", "Entropy of whitened held-out codes by three estimators.", latent.entropy, ("count",)),
    "mutual_information": Metric(
        "latent", "Upper bound of I(x; z), leave-one-out.", latent.mutual_information, ("count",)
    ),
    "collapse": Metric("latent", "Collapsed latents, and the divergence of each from the prior.", latent.collapse),
    "active_units": Metric("latent", "How many latents vary with x.", latent.active),
    "encoder_variance": Metric("latent", "The variance of q(z|x), its mean.", latent.encoder_variance),
    "holes": Metric("latent", "Samples of each density that fall where no codes are.", latent.holes, SAMPLED),
    "smoothness": Metric("decoder", "Expected local smoothness and expected gap.", decoder.smoothness),
    "taylor": Metric("decoder", "Quality of the Taylor expansion, beside few samples, against many.", decoder.taylor),
    "gradient_variance": Metric(
        "decoder", "Variance of the gradient by samples, sigma points, linearized.", decoder.gradient_variance
    ),
    "disentanglement": Metric(
        "disentanglement",
        "MIG, FactorVAE, their PCA forms, DCI and angles, for data with known factors.",
        disentangled.disentanglement,
    ),
}
QUICK = [name for name, metric in METRICS.items() if metric.quick]


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


def metric_function(name: str, trust: Sequence[str] | None = None) -> Compute:
    """The function that computes the metric of that name."""
    found = resolve("metric", name, METRICS, trust)
    if isinstance(found, Metric):
        return found.compute
    if not callable(found):
        raise SigmaeError(f"The metric '{name}' cannot be called: name a function of Stages that returns rows.")
    compute: Compute = found
    return compute


def settings_of(metric: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings of an evaluation that the rows of a metric depend on: of a third party's metric, all."""
    if metric not in METRICS:
        return dict(settings)
    return {name: settings[name] for name in ("split", "seed", *METRICS[metric].settings)}
