"""Evaluation: every metric that applies to a model, by the papers' protocol, as rows and pictures.

Images are clipped to [0, 1] and rounded to 8 bits; encodings are means; the model is in evaluation mode.
Reconstructions of the validation split, samples of every density and midpoints of spherical interpolations
between random validation pairs are compared with the test split (RAE, appendix B).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sigmae import figures
from sigmae.data import Dataset, scaled, Split
from sigmae.likelihoods import Gaussian
from sigmae.metrics.features import extract, Features
from sigmae.metrics.frechet import feature_statistics, frechet_distance
from sigmae.metrics.images import squared_error, to_uint8
from sigmae.model import Autoencoder, slerp
from sigmae.seeds import generator

COUNT = 10_000
PROTOCOL = "against the test split; reconstructions and interpolations of the validation split"
METRICS = {
    "squared_error": "Squared error of reconstructions of the test split, summed over an image's values.",
    "decoder_variance": "The variance of p(x|z) that training found, for learned and optimal variances.",
    "fid-FEATURES": "Fréchet distance to the test split of reconstructions, samples per density, interpolations.",
}


@dataclass(frozen=True)
class Row:
    """One number, what it is of, and how it was obtained."""

    metric: str
    of: str
    value: float
    unit: str
    count: int
    protocol: str


def evaluate(
    model: Autoencoder,
    data: Dataset,
    features: Features | None,
    *,
    densities: Sequence[str] | None = None,
    count: int = COUNT,
    seed: int = 0,
    tell: Callable[[str], None] = lambda stage: None,
) -> list[Row]:
    """The metrics of a model with fitted densities on its data, in nats or the row's unit.

    `features` is None for data that are not images: then only the squared error applies. At most `count`
    images take part in each distance, and no more samples are drawn than the test split has images.
    """
    tell("squared error")
    rows = [error_row(model, data.test), *variance_rows(model, data)]
    if features is None:
        return rows
    count = min(count, len(data.test))
    if count < 2:
        tell("no distances: the test split has one image")
        return rows
    tell("features of the test split")
    real = feature_statistics(extract(features, to_uint8(data.test.images[:count])))
    for of, latents in compared(model, data, densities, count, seed).items():
        tell(f"fid of {of}")
        statistics = feature_statistics(extract(features, decoded(model, part)) for part in latents.split(1000))
        distance = frechet_distance(real=real, generated=statistics)
        rows.append(Row(f"fid-{features.name}", of, distance, "", len(latents), PROTOCOL))
    return rows


def error_row(model: Autoencoder, split: Split) -> Row:
    """The mean squared error of reconstructions of a split, summed over an image's values."""
    parts = [squared_error(real=scaled(x), generated=model.reconstruct(x)) for x in split.images.split(1000)]
    error = float(torch.cat(parts).mean())
    return Row("squared_error", "reconstructions", error, "sum per image", len(split), "test split, means")


def variance_rows(model: Autoencoder, data: Dataset) -> list[Row]:
    """The decoder's variance where training has found one for all codes: its mean over the values of an example."""
    likelihood = model.objective.likelihood
    if not isinstance(likelihood, Gaussian) or not isinstance(likelihood.variance, str) or likelihood.in_decoder:
        return []
    variance = float(likelihood.data_variance.detach().mean())
    found = "learned, or the running optimum"
    return [Row("decoder_variance", "p(x|z)", variance, "mean per value", len(data.train), found)]


def compared(
    model: Autoencoder, data: Dataset, densities: Sequence[str] | None, count: int, seed: int
) -> dict[str, Tensor]:
    """What is compared with real images, by name, as latents: images are decoded when they are needed."""
    codes = model.encode(data.validation.images)
    drawn = {
        name: model.sample_latents(count, density=name, seed=seed) for name in densities or default_densities(model)
    }
    return {"reconstructions": codes[:count], **drawn, "interpolations": midpoints(codes, count, seed)}


def decoded(model: Autoencoder, latents: Tensor) -> Tensor:
    """The images of latents, clipped and rounded to 8 bits."""
    return to_uint8(model.decode(latents))


def default_densities(model: Autoencoder) -> list[str]:
    """The fitted densities, without a prior that the method does not match."""
    return [name for name in model.densities if name != "prior" or model.default_density == "prior"]


def midpoints(codes: Tensor, count: int, seed: int) -> Tensor:
    """Midpoints of the spherical paths between random pairs of different codes."""
    draw = generator(seed, "interpolations")
    first = torch.randint(len(codes), (count,), generator=draw)
    second = (first + torch.randint(1, max(2, len(codes)), (count,), generator=draw)) % len(codes)
    return slerp(codes[first], codes[second], torch.full((count,), 0.5))


def pictures(model: Autoencoder, data: Dataset, *, seed: int = 0, columns: int = 10) -> dict[str, bytes]:
    """PNG files by stem: reconstructions, samples per density, interpolations, nearest training images."""
    test = data.test.images[:columns]
    pair = {"test": to_uint8(test), "decoded": to_uint8(model.reconstruct(test))}
    drawn = {"reconstructions": figures.rows(pair, columns=columns)}
    for name in default_densities(model):
        images = to_uint8(model.sample(8 * columns, density=name, seed=seed))
        drawn[f"samples-{name}"] = figures.grid(images, columns=columns)
    ends = data.test.images[: 2 * (len(data.test) // 2)][:16]
    if len(ends):
        paths = to_uint8(model.interpolate(ends[0::2], ends[1::2], steps=columns).flatten(0, 1))
        drawn["interpolations"] = figures.grid(paths, columns=columns)
    density = "gmm10" if "gmm10" in model.densities else model.default_density
    samples = model.sample(columns, density=density, seed=seed)
    nearest = nearest_images(samples, data.train.images)
    pair = {f"{density} sample": to_uint8(samples), "nearest training": to_uint8(nearest)}
    drawn["neighbours"] = figures.rows(pair, columns=columns)
    return drawn


def nearest_images(samples: Tensor, images: Tensor, batch_size: int = 2000) -> Tensor:
    """For every sample the image with the least squared error, sought in batches."""
    parts = [torch.cdist(samples.flatten(1), scaled(part).flatten(1)) for part in images.split(batch_size)]
    return images[torch.cat(parts, dim=1).argmin(1)]


def as_records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as JSON-like objects."""
    return [asdict(row) for row in rows]
