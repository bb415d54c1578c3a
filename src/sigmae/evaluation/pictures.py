"""The pictures of an evaluation, as PNG files by stem."""

import torch
from torch import Tensor

from sigmae import figures
from sigmae.data import Dataset, scaled
from sigmae.metrics.images import to_uint8
from sigmae.model import Autoencoder


def default_densities(model: Autoencoder) -> list[str]:
    """The fitted densities, without a prior that the method does not match."""
    return [name for name in model.densities if name != "prior" or model.default_density == "prior"]


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
