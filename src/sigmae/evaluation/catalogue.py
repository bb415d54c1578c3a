"""The metrics by their names: how each is computed, on which settings it depends, and which rows it gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sigmae.errors import SigmaeError
from sigmae.evaluation import decoder, disentangled, generation, latent, likelihood
from sigmae.evaluation.rows import Row
from sigmae.evaluation.stages import Stages
from sigmae.plugins import resolve

Compute = Callable[[Stages], list[Row]]
FEATURED = ("features", "densities", "count")
SAMPLED = ("densities", "count")
DENSITY = "<density>"
GENERATED = ("reconstructions", DENSITY, "interpolations", "random-interpolations")
ENCODED = ("codes", "means")
IMAGES = ("test images",)


@dataclass(frozen=True)
class Metric:
    """How the rows of a metric are computed; `quick` ones are computed after every training.

    `rows` says what they are called (before the name of their features), and of what each can be: `DENSITY` is
    the name of any density, * any text. `settings` are those of features, densities, count and points that they
    depend on.
    """

    group: str
    description: str
    compute: Compute
    rows: Mapping[str, tuple[str, ...]]
    settings: tuple[str, ...] = ()
    quick: bool = False


METRICS = {
    "squared_error": Metric(
        "generation",
        "Squared error of the test split, summed over an image's values: of decoded means, and of draws.",
        generation.squared_error,
        {"squared_error": ("reconstructions", "draws")},
        quick=True,
    ),
    "decoder_variance": Metric(
        "generation",
        "The variance of p(x|z) that training found, for learned and optimal variances.",
        generation.decoder_variance,
        {"decoder_variance": ("p(x|z)",)},
        quick=True,
    ),
    "fid": Metric(
        "generation",
        "Fréchet distance to the test split of reconstructions, samples per density, interpolations.",
        generation.fid,
        {"fid": GENERATED},
        FEATURED,
        quick=True,
    ),
    "kid": Metric("generation", "Kernel distance of the same.", generation.kid, {"kid": GENERATED}, FEATURED),
    "prd": Metric(
        "generation",
        "Precision and recall of distributions of the same: F8 and F1/8 by clusters.",
        generation.prd,
        dict.fromkeys(("f8_recall", "f1_8_precision"), GENERATED),
        FEATURED,
    ),
    "precision_recall": Metric(
        "generation",
        "Improved precision and recall, density and coverage of the same, by neighbourhoods.",
        generation.precision_recall,
        dict.fromkeys(("precision", "recall", "density", "coverage"), GENERATED),
        FEATURED,
    ),
    "memorisation": Metric(
        "generation",
        "Whether samples are nearer to training images than held-out images are.",
        generation.copies,
        dict.fromkeys(("nearer_than_held_out", "copies"), (DENSITY,)),
        SAMPLED,
    ),
    "elbo": Metric("likelihood", "Evidence lower bound of test images.", likelihood.elbo, {"elbo": IMAGES}),
    "trained_bound": Metric(
        "likelihood",
        "Minus the loss that was trained, of test images: the objective's own bound.",
        likelihood.trained_bound,
        {"trained_bound": IMAGES},
    ),
    "log_likelihood": Metric(
        "likelihood",
        "Importance-sampled ln p(x) of test images, with and without its constant.",
        likelihood.log_likelihood,
        dict.fromkeys(("log_likelihood", "nll_without_constant", "effective_samples"), IMAGES),
        ("points",),
    ),
    "linearized_log_likelihood": Metric(
        "likelihood",
        "ln p(x) of a linearized decoder under a Gaussian of the codes, for deterministic encoders.",
        likelihood.linearized_log_likelihood,
        {"linearized_log_likelihood": IMAGES},
    ),
    "aggregate_divergence": Metric(
        "latent",
        "KL of a Gaussian fit of held-out codes to the prior.",
        latent.aggregate_divergence,
        {"aggregate_divergence": ENCODED},
        ("count",),
    ),
    "energy_distance": Metric(
        "latent",
        "Energy distance of held-out codes from the prior.",
        latent.energy,
        {"energy_distance": ENCODED},
        ("count",),
    ),
    "entropy": Metric(
        "latent",
        "Entropy of whitened held-out codes by three estimators.",
        latent.entropy,
        dict.fromkeys(
            ("entropy-floored", "entropy-leave-one-out", "entropy-nearest-neighbour"), (*ENCODED, "normal draws")
        ),
        ("count",),
    ),
    "mutual_information": Metric(
        "latent",
        "Upper bound of I(x; z), leave-one-out.",
        latent.mutual_information,
        {"mutual_information": ("codes",)},
        ("count",),
    ),
    "collapse": Metric(
        "latent",
        "Collapsed latents, and the divergence of each from the prior.",
        latent.collapse,
        {"collapsed": ("latents",), "kl": ("all latents",), "latent_kl": ("latent *",)},
    ),
    "active_units": Metric("latent", "How many latents vary with x.", latent.active, {"active_units": ("latents",)}),
    "encoder_variance": Metric(
        "latent", "The variance of q(z|x), its mean.", latent.encoder_variance, {"encoder_variance": ("q(z|x)",)}
    ),
    "holes": Metric(
        "latent",
        "Samples of each density that fall where no codes are.",
        latent.holes,
        dict.fromkeys(("holes", "farther_than_held_out"), (DENSITY,)),
        SAMPLED,
    ),
    "smoothness": Metric(
        "decoder",
        "Expected local smoothness and expected gap.",
        decoder.smoothness,
        {"jacobian_norm": ("decoder",), "els": ("decoder",), "expected_gap": ("variance *",)},
    ),
    "taylor": Metric(
        "decoder",
        "Quality of the Taylor expansion, beside few samples, against many.",
        decoder.taylor,
        dict.fromkeys(("variance_correlation", "covariance_error", "overestimation"), ("taylor", "* samples")),
    ),
    "gradient_variance": Metric(
        "decoder",
        "Variance of the gradient by samples, sigma points, linearized.",
        decoder.gradient_variance,
        dict.fromkeys(("gradient_variance", "gradient_norm"), ("encoder, *", "decoder, *")),
    ),
    "disentanglement": Metric(
        "disentanglement",
        "MIG, FactorVAE, their PCA forms, DCI and angles, for data with known factors.",
        disentangled.disentanglement,
        {
            **dict.fromkeys(("mig", "factor_vae", "pca_mig", "pca_factor_vae"), ("codes",)),
            **dict.fromkeys(("dci-disentanglement", "dci-completeness", "dci-informativeness"), ("codes",)),
            "least_angle": ("directions",),
        },
    ),
}
QUICK = [name for name, metric in METRICS.items() if metric.quick]


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
