"""How the page names metrics, pictures and parts, and how it writes values."""

import math
import re
from typing import Any

METRICS = {
    "squared_error": "Squared error",
    "fid": "Fréchet distance (FID)",
    "kid": "Kernel distance (KID)",
    "precision": "Precision",
    "recall": "Recall",
}

PARTS = {
    "posterior": ("Posterior", "What the encoder says about z"),
    "propagation": ("Propagation", "How that passes through the decoder"),
    "likelihood": ("Likelihood", "How the decoded image is scored"),
    "latent": ("Latent regularizer", "What keeps the latent space together"),
    "decoder": ("Decoder regularizer", "What keeps the decoder smooth"),
}

CAPTIONS = {
    "reconstructions": "Held-out images, and what the model makes of them.",
    "samples-prior": "Latents drawn from N(0, I), decoded.",
    "samples-scaled-prior": "Latents drawn from N(0, (1 - h²) I), decoded.",
    "samples-gaussian": "Latents drawn from one Gaussian fitted to the encodings, decoded.",
    "samples-gmm": "Latents drawn from a mixture of Gaussians fitted to the encodings, decoded.",
    "samples-second-stage": "Latents drawn from a second VAE, trained on the encodings, decoded.",
    "samples-flow": "Latents drawn from a normalizing flow fitted to the encodings, decoded.",
    "samples": "Latents drawn from this density, decoded.",
    "interpolations": "Paths between the encodings of held-out images, decoded.",
    "neighbours": "Decoded samples, and the training image nearest to each. "
    "A sample that equals its neighbour is a copy.",
}


def sentence_case(name: str) -> str:
    """`batch_size` as "Batch size"."""
    words = re.sub(r"[_\s]+", " ", name).strip()
    return words[:1].upper() + words[1:]


def metric_name(metric: str) -> str:
    """`fid-classifier` as "Fréchet distance (FID), classifier features"; unknown names only tidied."""
    kind, _, features = metric.partition("-")
    if features and kind in METRICS:
        return f"{METRICS[kind]}, {features} features"
    return METRICS.get(metric) or sentence_case(metric)


def subject(of: str) -> str:
    """What was measured or drawn: `gmm10` as "samples from a mixture of 10 Gaussians"."""
    densities = {
        "prior": "samples from the prior",
        "scaled-prior": "samples from the scaled prior",
        "gaussian": "samples from a fitted Gaussian",
        "flow": "samples from a normalizing flow",
    }
    if of.startswith("second-stage"):
        return "samples from a second-stage VAE"
    if mixture := re.fullmatch(r"gmm(\d+)", of):
        return f"samples from a mixture of {mixture[1]} Gaussians"
    return densities.get(of, of)


def picture_rank(stem: str) -> tuple[int, int, str]:
    """Sorts the pictures that have a caption into its order, and the others behind them."""
    ranks = [rank for rank, start in enumerate(CAPTIONS) if stem.startswith(start)]
    return min(ranks, default=len(CAPTIONS)), len(stem), stem


def picture_caption(stem: str) -> str:
    """A sentence on what the picture shows; empty for a picture that is none of ours."""
    return next((caption for start, caption in CAPTIONS.items() if stem.startswith(start)), "")


def picture_title(stem: str) -> str:
    """`samples-gmm10` as "Samples from a mixture of 10 Gaussians"."""
    if stem == "neighbours":
        return "Nearest training images"
    of = stem.removeprefix("samples-")
    return sentence_case(subject(of) if subject(of) != of else stem.replace("samples-", "Samples, "))


def measured(value: Any) -> str:
    """A measurement with four digits, a count in full."""
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
