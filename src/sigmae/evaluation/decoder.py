"""The decoder: how smooth it is, how well it is linearized, and how noisy a gradient each propagation gives."""

from dataclasses import asdict

from sigmae.errors import IncompatibleParts, SigmaeError
from sigmae.evaluation.rows import Row
from sigmae.evaluation.stages import Stages
from sigmae.metrics.gradient_variance import gradient_variance as noise_of
from sigmae.metrics.smoothness import expected_gap, expected_local_smoothness
from sigmae.metrics.taylor import taylor_quality
from sigmae.propagations import Linearized, MonteCarlo, Propagation, SigmaPoints

SMOOTH, EXPANDED, BATCH = 500, 10, 100  # images
REFERENCE, COUNTS = 5000, (5, 10, 25, 50, 70, 100, 235)
REPEATS = 30
GAPS = (1e-2, 1e-3)


def smoothness(stages: Stages) -> list[Row]:
    """Expected local smoothness and expected gaps."""
    stages.tell("smoothness of the decoder")
    images = stages.data.test.images[:SMOOTH]
    found = expected_local_smoothness(stages.model, images)
    told = "exact Jacobian at the codes of the first test images"
    latent = stages.codes("test").shape[1]
    rows = [
        Row("jacobian_norm", "decoder", found.jacobian_norm, "squared", len(images), told, found.els_error * latent),
        Row(
            "els", "decoder", found.els, "squared", len(images), f"{told}, divided by the latent size", found.els_error
        ),
    ]
    for variance in GAPS:
        gap = expected_gap(stages.model, images, variance=variance, seed=stages.seed)
        told = "between two perturbed codes of an image, 10 pairs each"
        rows.append(Row("expected_gap", f"variance {variance:g}", gap, "squared", len(images), told))
    return rows


def taylor(stages: Stages) -> list[Row]:
    """Covariances of decoded posteriors by the Taylor expansion and by few samples, against many."""
    require_spread(stages)
    stages.tell("quality of the Taylor expansion")
    images = stages.data.test.images[:EXPANDED]
    found = taylor_quality(stages.model, images, counts=COUNTS, reference=REFERENCE, seed=stages.seed)
    told = f"against {REFERENCE:,} samples of each of the first test images; mean squared norm {found.squared_norm:.4g}"
    estimates = {"taylor": found.taylor, **{f"{count} samples": found.samples[count] for count in COUNTS}}
    return [
        Row(name, of, value, "", len(images), told)
        for of, quality in estimates.items()
        for name, value in asdict(quality).items()
    ]


def gradient_variance(stages: Stages) -> list[Row]:
    """The variance of the gradient under each propagation, on the same model and batch, and its mean's norm."""
    require_spread(stages)
    images = stages.data.train.images[:BATCH]
    rows = []
    for of, propagation in propagations(stages).items():
        stages.tell(f"variance of the gradient under {of}")
        repeats = 2 if isinstance(propagation, Linearized) else REPEATS  # which draws nothing
        try:
            found = noise_of(stages.model, images, propagation, repeats=repeats, seed=stages.seed)
        except IncompatibleParts:
            continue
        for network, noise in (("encoder", found.encoder), ("decoder", found.decoder)):
            for metric, value, told in (
                (
                    "gradient_variance",
                    noise.variance,
                    f"E ||g - E g||² over {REPEATS} draws, 2 where nothing is random",
                ),
                ("gradient_norm", noise.mean_norm, "||E g||"),
            ):
                protocol = f"{told}, one batch of training images"
                rows.append(Row(metric, f"{network}, {of}", value, "", len(images), protocol))
    return rows


def propagations(stages: Stages) -> dict[str, Propagation]:
    """The propagations whose gradients are compared: with one and with two decoded points, and with none drawn."""
    return {
        "1 sample": MonteCarlo(1),
        "2 samples": MonteCarlo(2),
        "1 sigma point": SigmaPoints(1, "random", kappa=0.5),
        "a pair of sigma points": SigmaPoints(2, "pairs", kappa=0.0),
        "linearized": Linearized(),
    }


def require_spread(stages: Stages) -> None:
    """Refuse a posterior that is a point."""
    if not stages.has_posterior:
        raise SigmaeError("A deterministic encoder has no spread to push through the decoder.")
