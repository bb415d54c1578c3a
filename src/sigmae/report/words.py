"""How the page names metrics, pictures and parts, and how it writes values."""

import math
import re
from dataclasses import dataclass, replace
from typing import Any

GROUPS = {
    "generation": (
        "Generation",
        {
            "squared_error": "Squared error",
            "decoder_variance": "Variance of the decoder",
            "fid": "Fréchet distance (FID)",
            "kid": "Kernel distance (KID)",
            "f8_recall": "Recall of distributions (F8)",
            "f1_8_precision": "Precision of distributions (F1/8)",
            "precision": "Precision",
            "recall": "Recall",
            "density": "Density",
            "coverage": "Coverage",
            "nearer_than_held_out": "Nearer to training images than held-out images are",
            "copies": "As near to a training image as the nearest held-out images are (copies)",
        },
    ),
    "likelihood": (
        "Likelihood",
        {
            "elbo": "Evidence lower bound (ELBO)",
            "trained_bound": "Minus the loss that was trained",
            "log_likelihood": "Log-likelihood",
            "nll_without_constant": "Negative log-likelihood without its constant",
            "effective_samples": "Effective importance samples",
            "linearized_log_likelihood": "Log-likelihood of the linearized decoder",
        },
    ),
    "latent": (
        "Latent space",
        {
            "aggregate_divergence": "Divergence of the aggregate posterior from the prior",
            "energy_distance": "Energy distance of the aggregate posterior from the prior",
            "entropy-floored": "Entropy, the aggregate VAE's estimator",
            "entropy-leave-one-out": "Entropy, leave-one-out",
            "entropy-nearest-neighbour": "Entropy, nearest neighbours",
            "mutual_information": "Mutual information of image and code",
            "collapsed": "Collapsed latents",
            "kl": "Divergence of the posterior from the prior",
            "latent_kl": "Divergence of each latent from the prior",
            "active_units": "Latents that vary with the image (active units)",
            "encoder_variance": "Variance of the encoder",
            "holes": "Samples in holes between the codes (holes)",
            "farther_than_held_out": "Farther from the codes than held-out codes are",
        },
    ),
    "decoder": (
        "Decoder",
        {
            "jacobian_norm": "Squared norm of the Jacobian",
            "els": "Expected local smoothness (ELS)",
            "expected_gap": "Expected gap",
            "variance_correlation": "Correlation of variances",
            "covariance_error": "Error of the covariance",
            "overestimation": "Overestimation of the variance",
            "gradient_variance": "Variance of the gradient",
            "gradient_norm": "Norm of the mean gradient",
        },
    ),
    "disentanglement": (
        "Disentanglement",
        {
            "mig": "Mutual information gap (MIG)",
            "factor_vae": "FactorVAE score",
            "pca_mig": "MIG along directions (PCA-MIG)",
            "pca_factor_vae": "FactorVAE score along directions (PCA-FactorVAE)",
            "dci-disentanglement": "Disentanglement (DCI)",
            "dci-completeness": "Completeness (DCI)",
            "dci-informativeness": "Informativeness (DCI)",
            "least_angle": "Least angle between directions",
        },
    ),
    "other": ("Other", {}),
}
METRICS = {metric: name for _, named in GROUPS.values() for metric, name in named.items()}

PARTS = {
    "posterior": ("Posterior", "What the encoder says about z"),
    "propagation": ("Propagation", "How that passes through the decoder"),
    "likelihood": ("Likelihood", "How the decoded image is scored"),
    "latent": ("Latent regularizer", "What keeps the latent space together"),
    "decoder": ("Decoder regularizer", "What keeps the decoder smooth"),
}


@dataclass(frozen=True)
class Picture:
    """What a picture is called, what it shows and what to look for, and of which kind it is."""

    title: str
    caption: str
    kind: str = "Images"


PICTURES = {
    "reconstructions": Picture(
        "Reconstructions",
        "Held-out images, and what the model makes of them. What is lost here, no density brings back.",
    ),
    "samples-prior": Picture("", "Latents drawn from N(0, I), decoded."),
    "samples-scaled-prior": Picture("", "Latents drawn from N(0, (1 - h²) I), decoded."),
    "samples-gaussian": Picture("", "Latents drawn from one Gaussian fitted to the encodings, decoded."),
    "samples-gmm": Picture("", "Latents drawn from a mixture of Gaussians fitted to the encodings, decoded."),
    "samples-second-stage": Picture("", "Latents drawn from a second VAE, trained on the encodings, decoded."),
    "samples-flow": Picture("", "Latents drawn from a normalizing flow fitted to the encodings, decoded."),
    "samples": Picture("", "Latents drawn from this density, decoded."),
    "interpolations": Picture(
        "Interpolations",
        "Spherical paths between the encodings of held-out images, decoded. Good ones pass through images of the same "
        "kind, and not through a mixture of their ends.",
    ),
    "neighbours": Picture(
        "Nearest training images",
        "Decoded samples, and the training images nearest to each by squared error. A sample that equals its "
        "neighbour is a copy.",
    ),
    "traversals": Picture(
        "Traversals of latents",
        "One latent at a time of a held-out image, moved over three standard deviations of all encodings to either "
        "side. A row that does not change belongs to a latent that is not used.",
    ),
    "direction-traversals": Picture(
        "Traversals along the factors' directions",
        "The same along the direction of each known factor: it alone should change in its row.",
    ),
    "manifold": Picture(
        "A plane of latents",
        "The decoded plane of both latents, or of the two directions in which the encodings vary most. Where images "
        "break up, no encodings lie.",
    ),
    "divergences": Picture(
        "Divergence of each latent",
        "How many nats each latent tells of an image, the largest first; collapsed ones are gray.",
        "Bar chart",
    ),
    "map-tsne": Picture(
        "Map by t-SNE",
        "Encodings of held-out images (draws of q, coloured by label) beside samples of the prior in gray, in the "
        "latents that are not collapsed. Gray where no colour is: the decoder is sampled where it was not trained. "
        "Neighbours are kept, distances are not.",
        "Scatter plot",
    ),
    "map-mds": Picture(
        "Map by metric scaling",
        "The same points, their distances kept as well as two dimensions can.",
        "Scatter plot",
    ),
    "precision-recall": Picture(
        "Precision and recall of distributions",
        "How much of what is generated is real, over how much of what is real is reached: the farther to the upper "
        "right, the better.",
        "Curves",
    ),
    "angles": Picture(
        "Angles between directions",
        "In degrees, between the directions of the known factors: 90 off the diagonal where factors are apart.",
        "Matrix",
    ),
}


def sentence_case(name: str) -> str:
    """`batch_size` as "Batch size"."""
    words = re.sub(r"[_\s]+", " ", name).strip()
    return words[:1].upper() + words[1:]


def feature_set(metric: str) -> str:
    """The features that a number's name ends with: "classifier" of `fid-classifier`; empty for other numbers."""
    kind, _, features = metric.partition("-")
    return features if metric not in METRICS and kind in METRICS else ""


def metric_kind(metric: str) -> str:
    """The name without its features: `fid` of `fid-classifier`."""
    features = feature_set(metric)
    return metric.removesuffix(f"-{features}") if features else metric


def metric_group(metric: str) -> str:
    """The group that a number belongs to: "generation", "latent", ..., or "other" where it is not ours."""
    kind = metric_kind(metric)
    return next((group for group, (_, named) in GROUPS.items() if kind in named), "other")


def metric_name(metric: str) -> str:
    """`fid-classifier` as "Fréchet distance (FID), classifier features"; unknown names only tidied."""
    features = feature_set(metric)
    name = METRICS.get(metric_kind(metric)) or sentence_case(metric)
    return f"{name}, {features} features" if features else name


def metric_heading(metric: str) -> str:
    """The name as a column's heading, under which its features are told: "FID"."""
    name = metric_name(metric_kind(metric))
    abbreviation = re.search(r"\((.+)\)$", name)
    return sentence_case(abbreviation[1]) if abbreviation and not name.endswith("(DCI)") else name


def subject(of: str) -> str:
    """What was measured or drawn: `gmm10` as "samples from a mixture of 10 Gaussians"."""
    densities = {
        "prior": "samples from the prior",
        "scaled-prior": "samples from the scaled prior",
        "gaussian": "samples from a fitted Gaussian",
        "flow": "samples from a normalizing flow",
        "random-interpolations": "interpolations at random ratios",
        "taylor": "Taylor expansion",
    }
    if of.startswith("second-stage"):
        return "samples from a second-stage VAE"
    if mixture := re.fullmatch(r"gmm(\d+)", of):
        return f"samples from a mixture of {mixture[1]} Gaussians"
    return densities.get(of, of)


def picture_rank(stem: str) -> tuple[int, int, str]:
    """Sorts the pictures that have words into their order, and the others behind them."""
    ranks = [rank for rank, start in enumerate(PICTURES) if stem.startswith(start)]
    return min(ranks, default=len(PICTURES)), len(stem), stem


def picture_words(stem: str) -> Picture:
    """Title, caption and kind of a picture; its own name, and no caption, for one that is none of ours."""
    found = next((words for start, words in PICTURES.items() if stem.startswith(start)), Picture("", ""))
    of = stem.removeprefix("samples-")
    title = sentence_case(subject(of) if subject(of) != of else stem.replace("samples-", "Samples, "))
    return replace(found, title=found.title or title)


def measured(value: Any, error: Any = None) -> str:
    """A measurement with four digits, a count in full; behind it ± its error, where it has one."""
    if isinstance(error, int | float) and math.isfinite(error):
        return f"{measured(value)} ± {error:,.0f}" if error >= 10 else f"{measured(value)} ± {error:.2g}"
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return written(value)
    if not math.isfinite(value):
        return "not finite"
    counted = isinstance(value, int) or abs(value) >= 999.95
    return (f"{value:,.0f}" if counted else f"{value:#.4g}").replace("-", "−")


def written(value: Any) -> str:
    """A setting as it was set; a list as its members."""
    if isinstance(value, list):
        return ", ".join(map(written, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} = {written(member)}" for key, member in value.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
