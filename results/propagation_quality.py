"""How well a posterior passes through the decoder, on VAEs trained by sampling on MNIST.

    python results/propagation_quality.py [RUNS]

The Taylor expansion and k samples against 15,000 samples (sampling-free VAE, Table 1), and the noise that each
propagation leaves in the gradient. RUNS (default: runs) holds vae-0, vae-1 and vae-2 of latent_metrics.py, which are
trained if they are missing. Writes propagation-quality.csv (a row a number) and propagation-quality.md.
"""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import torch
from latent_metrics import SEEDS, SETTINGS, trained
from runs import entries, HERE, made_with, spread, table, write_csv
from torch import Tensor

from sigmae import Autoencoder, load
from sigmae.metrics.gradient_variance import gradient_variance
from sigmae.metrics.taylor import REFERENCE, taylor_quality
from sigmae.posteriors import diagonal_gaussian
from sigmae.propagations import Linearized, MonteCarlo, Propagation, SigmaPoints
from sigmae.runs import run_data
from sigmae.seeds import seeded

IMAGES, BATCH, REPEATS = 20, 100, 100
PUBLISHED = {  # Table 1: correlation of the variances for CelebA and 3D Chairs, squared Frobenius error for CelebA
    "Taylor": (0.967, 0.975, 297),
    "5 samples": (0.680, 0.686, 17446),
    "10 samples": (0.816, 0.819, 7779),
    "25 samples": (0.912, 0.914, 2951),
    "50 samples": (0.955, 0.953, 1456),
    "70 samples": (0.966, 0.966, 1033),
    "100 samples": (0.976, 0.976, 737),
    "235 samples": (0.988, 0.988, 302),
}
COUNTS = [int(way.partition(" ")[0]) for way in list(PUBLISHED)[1:]]
UNEVENNESS = 0.75  # of the published variances: what their correlation at 5 samples takes
WIDTHS = {"": 1.0, ", half as wide": 0.5, ", a quarter as wide": 0.25}  # of q, beside what the encoder says
PROPAGATIONS: dict[str, tuple[Propagation, str]] = {  # and what is decoded for each image
    "1 sample": (MonteCarlo(1), "1"),
    "2 samples": (MonteCarlo(2), "2"),
    "5 samples": (MonteCarlo(5), "5"),
    "1 sigma point": (SigmaPoints(1, "random", kappa=0.5), "1"),
    "a pair of sigma points": (SigmaPoints(2, "pairs", kappa=0.0), "2"),
    "all sigma points": (SigmaPoints(scheme="all"), "33"),
    "linearized": (Linearized(), "1, and 16 derivatives"),
}

Rows = Iterator[tuple[str, str, float]]  # way, measure, value
Found = dict[tuple[str, str], list[float]]  # of a way and a measure: one value a seed


def expanded(model: Autoencoder, images: Tensor, seed: int, width: str) -> Rows:
    """Covariances of the decoded posteriors, which are first brought to another width."""
    handle = model.objective.posterior.register_forward_hook(
        lambda posterior, outputs, q: diagonal_gaussian(q.mean, q.stddev * WIDTHS[width])
    )
    quality = taylor_quality(model, images, counts=COUNTS, seed=seed)
    handle.remove()
    for way, found in {"Taylor": quality.taylor, **{f"{k} samples": quality.samples[k] for k in COUNTS}}.items():
        yield way + width, "variance correlation", found.variance_correlation
        yield way + width, "squared error", found.covariance_error
        yield way + width, "relative error", found.covariance_error / quality.squared_norm
        yield way + width, "overestimation", found.overestimation
    law = constant({k: quality.samples[k].covariance_error for k in COUNTS})
    yield "samples" + width, "error times k - 1", law
    yield "Taylor" + width, "worth", 1 + law / quality.taylor.covariance_error


def constant(errors: dict[int, float]) -> float:
    """The squared error of k samples times k - 1, which is the same for all k."""
    return mean(error * (k - 1) for k, error in errors.items())


def expected(model: Autoencoder, images: Tensor, seed: int) -> Rows:
    """How uneven an image's true variances are, and the correlation that k samples therefore reach."""
    with seeded(seed, "expected"), torch.no_grad():
        draws = model.eval().posterior(images).sample((REFERENCE // 5,))
    variances = torch.stack([model.decode(z).flatten(1).var(0) for z in draws.unbind(1)])
    uneven = (variances.std(1) / variances.mean(1)).square().tolist()
    yield "images", "unevenness", mean(uneven)
    for k in COUNTS:
        yield f"{k} samples", "expected correlation", mean(correlation(c, k) for c in uneven)


def correlation(uneven: float, k: int) -> float:
    """Of true variances with those of k normal samples, for many independent values.

    `uneven` is the squared coefficient of variation of the true ones; an estimate's relative variance is 2 / (k - 1).
    """
    return math.sqrt(uneven / (uneven + 2 * (1 + uneven) / (k - 1)))


def noise(model: Autoencoder, images: Tensor, seed: int) -> Rows:
    """Gradients of one batch."""
    for way, (propagation, _) in PROPAGATIONS.items():
        found = gradient_variance(model, images, propagation, repeats=REPEATS, seed=seed)
        for network, gradient in (("encoder", found.encoder), ("decoder", found.decoder)):
            yield way, f"{network}: variance", gradient.variance
            yield way, f"{network}: relative", gradient.variance / gradient.mean_norm**2


def taylor_table(found: Found) -> str:
    """Table 1, and ours."""
    header = ["", "correlation: CelebA", "3D Chairs", "MNIST", "squared error: CelebA", "MNIST", "of ‖C‖²", "variances"]
    rows = []
    for way in [*PUBLISHED, *(f"Taylor{width}" for width in list(WIDTHS)[1:])]:
        celeba, chairs, error = (str(number) for number in PUBLISHED.get(way, ("", "", "")))
        ours = [spread(found[way, "variance correlation"], ".3f"), spread(found[way, "squared error"], ".2g")]
        ours += [spread(found[way, name]) for name in ("relative error", "overestimation")]
        rows.append([way, celeba, chairs, ours[0], error, *ours[1:]])
    return table(header, rows)


def gradient_table(found: Found) -> str:
    """The noise of every propagation, and relative to the gradient."""
    measures = [f"{network}: {kind}" for network in ("encoder", "decoder") for kind in ("variance", "relative")]
    rows = [
        [way, decoded, *(spread(found[way, measure], ".3g") for measure in measures)]
        for way, (_, decoded) in PROPAGATIONS.items()
    ]
    return table(["", "decoded", *measures], rows)


def of_expansions(found: Found) -> str:
    """What the first table says."""
    law = constant({k: PUBLISHED[f"{k} samples"][2] for k in COUNTS})
    ours, *narrower = (spread(found["Taylor" + width, "worth"], ".0f") for width in WIDTHS)
    theirs = max(abs(PUBLISHED[f"{k} samples"][0] - correlation(UNEVENNESS, k)) for k in COUNTS)
    measured, predicted = (
        [mean(found[f"{k} samples", f"{kind} correlation"]) for k in COUNTS] for kind in ("variance", "expected")
    )
    missed = max(abs(one - other) for one, other in zip(measured, predicted, strict=True))
    return entries(
        f"""The published "Frobenius norm" is squared: times k - 1 it is the same for every number k of samples,
        {law:,.0f} on average, as the error of k samples must be. By that constant the expansion of the published model
        is worth {1 + law / PUBLISHED["Taylor"][2]:.0f} samples, and that of ours {ours}. The width of q decides: with
        its standard deviations halved and quartered, the expansion of the same models is worth {narrower[0]} and
        {narrower[1]} samples.""",
        f"""The variances are over-estimated by a factor of {spread(found["Taylor", "overestimation"])} (published:
        about 1.2), and by less where q is narrower.""",
        f"""Samples correlate better here, because the variances of a digit are less even: most pixels are background.
        For normal outputs the correlation is about sqrt(c / (c + 2 (1 + c) / (k - 1))), c the squared coefficient of
        variation of an image's variances. c = {UNEVENNESS} reproduces the published column of CelebA to {theirs:.3f};
        here c is {spread(found["images", "unevenness"], ".1f")}, which reproduces ours to {missed:.3f}. So the
        correlation of an expansion says little, unless it stands beside that of samples on the same data.""",
    )


def of_gradients(found: Found) -> str:
    """What the second table says."""
    single, pair = (
        [
            f"{mean(found[points, f'{network}: variance']) / mean(found[samples, f'{network}: variance']):.2f}"
            for network in ("encoder", "decoder")
        ]
        for points, samples in (("1 sigma point", "1 sample"), ("a pair of sigma points", "2 samples"))
    )
    return entries(
        """Where all sigma points are decoded, or the decoder is linearized, nothing is drawn and the noise is 0. This
        is not to say that such a gradient is that of the expectation: sigma points carry two moments, and the
        linearized loss is another one.""",
        f"""A pair of sigma points has {pair[0]} of the noise of two samples for the encoder, and {pair[1]} for the
        decoder.""",
        f"""One sigma point has {single[0]} of the noise of one sample for the encoder, and {single[1]} for the decoder:
        one random point, with which the unscented autoencoder's main results were made, is not quieter throughout.""",
    )


def markdown(found: Found, folder: Path) -> str:
    """Both tables, what they say, and how they were made."""
    return f"""\
# How a posterior passes through the decoder

Three VAEs trained by sampling on MNIST (16 latents, decoder variance 1/2), mean and deviation over their seeds. The
covariance C of the mean images f(z), z ~ q(z|x), is taken from {REFERENCE:,} samples for each of {IMAGES} test images.

## Quality of the Taylor expansion (sampling-free VAE, Table 1)

{taylor_table(found)}

Correlation of an image's estimated and true variances; squared Frobenius error of the estimate of C, and its share of
‖C‖²; the sum of the estimated variances over that of the true ones. The paper has CelebA and 3D Chairs, by a
convolutional network after a million steps; it has no MNIST, and no covariances of 3D Chairs. Squared errors of
different data are not comparable, since they add up over all pairs of values; their ratios are.

{of_expansions(found)}

## Noise of the gradient

{gradient_table(found)}

E ‖g - E g‖² over {REPEATS} draws, g the gradient of the loss of one batch of {BATCH} training images by the weights of
the encoder or the decoder, and the same over ‖E g‖² ("relative"), for the models as trained. The papers claim less
noise, and print no such number.

{of_gradients(found)}

{made_with(folder)}
`sigmae train mnist --method vae {SETTINGS}`, seeds {SEEDS[0]} to {SEEDS[-1]}; made by
`python results/propagation_quality.py`.
"""


def main(runs: Path) -> None:
    """Train what is missing, measure, write."""
    found: Found = {}
    rows = []
    folders = [trained(runs, "vae", seed) for seed in SEEDS]
    for seed, folder in zip(SEEDS, folders, strict=True):
        model, data = load(folder), run_data(folder)
        images = data.test.images[:IMAGES]
        measured = [row for width in WIDTHS for row in expanded(model, images, seed, width)]
        measured += [*expected(model, images, seed), *noise(model, data.train.images[:BATCH], seed)]
        for way, measure, value in measured:
            found.setdefault((way, measure), []).append(value)
            rows.append([way, measure, seed, value])
    write_csv("propagation-quality.csv", ["way", "measure", "seed", "value"], rows)
    (HERE / "propagation-quality.md").write_text(markdown(found, folders[0]))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs"))
