"""Features: what distances between sets of images are measured in.

A choice, stored with the number: a distance in one set of features says nothing beside one in another.
"""

import inspect
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import nn, Tensor

from sigmae.data import Dataset, scaled
from sigmae.errors import SigmaeError
from sigmae.metrics.classifier import classifier_features
from sigmae.metrics.inception import inception_features
from sigmae.metrics.named import NamedFeatures
from sigmae.plugins import resolve
from sigmae.tensors import checksum

FEATURES = {
    "classifier": "128 values of a small network, trained once on the labelled training split",
    "inception": "2,048 values of the Inception network that published FIDs use; a file of 96 MB, fetched once",
    "random": "256 values of a fixed random network, for data without labels: to rank, not to publish",
}


@runtime_checkable
class Features(Protocol):
    """A function of 8-bit images, with the name that its numbers carry."""

    @property
    def name(self) -> str:
        """What a metric in these features is called after: `fid-NAME`."""

    def __call__(self, images: UInt8[Tensor, "batch channels height width"]) -> Float[Tensor, "batch features"]:
        """A vector for each image."""


def extract(
    features: Features,
    images: UInt8[Tensor, "count channels height width"] | Iterable[Tensor],
    batch_size: int = 250,
    device: str = "cpu",
) -> Float[Tensor, "count features"]:
    """The features of images, or of an iterable of batches of them, on the CPU.

    `batch_size` images at a time are handed to `features` on `device`; floats never exist of more than these.
    """
    batches = [images] if isinstance(images, Tensor) else images
    with torch.no_grad():
        parts = [_features_of(features, part.to(device)).cpu() for batch in batches for part in batch.split(batch_size)]
    if not parts:
        raise SigmaeError("There are no images to take features of: give one batch or more.")
    return torch.cat(parts)


def _features_of(features: Features, images: Tensor) -> Tensor:
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise SigmaeError(
            f"Features are of uint8 images [count, channels, height, width], got {images.dtype} "
            f"{list(images.shape)}: pass floats in [0, 1] through to_uint8."
        )
    values = features(images)
    if values.ndim != 2 or len(values) != len(images) or not values.is_floating_point():
        raise SigmaeError(
            f"The features '{features.name}' gave {values.dtype} {list(values.shape)} for {len(images)} images: "
            "they must return floats [batch, features]."
        )
    return values


def load_features(
    name: str, dataset: Dataset, *, inception_file: Path | None = None, device: str = "cpu"
) -> NamedFeatures:
    """The features called `name` (one of `FEATURES`, or `module:attribute`) for images like those of `dataset`.

    A third party's attribute is called with 8-bit images and returns [batch, features]; a function or class
    whose first parameter is called `dataset` is called with the data set, and makes such a callable. Its own
    `name` and `details` are kept where it has them.
    """
    found = resolve("features", name, FEATURES)
    if not dataset.is_image:
        raise SigmaeError(
            f"Features are of images, and {dataset.name} holds vectors of {dataset.shape[0]} values: "
            "use metrics without features, such as the squared error."
        )
    match name:
        case "classifier":
            return classifier_features(dataset, device=device)
        case "inception":
            return inception_features(inception_file, device=device)
        case "random":
            return random_features(dataset.shape[0], device=device)
    return _third_party_features(name, found, dataset, device)


def _third_party_features(name: str, found: Any, dataset: Dataset, device: str) -> NamedFeatures:
    if not callable(found):
        raise SigmaeError(f"The features '{name}' cannot be called: name a function of images, or of a dataset.")
    if next(iter(inspect.signature(found).parameters), "") == "dataset":
        found = found(dataset)
    if isinstance(found, nn.Module):
        found = found.to(device).eval()
    return NamedFeatures(getattr(found, "name", name), found, dict(getattr(found, "details", {})), device)


def random_features(channels: int, *, device: str = "cpu") -> NamedFeatures:
    """A fixed convolutional network with random weights, for images of any size; the same on every machine."""
    network = RandomNetwork(channels)
    details = {"fingerprint": checksum(network.state_dict(), "")}
    network.to(device)
    return NamedFeatures("random", lambda images: network(scaled(images)), details, device)


class RandomNetwork(nn.Module):
    """Three convolutions with ReLU; the features are every channel's means over the quarters of the image.

    He's uniform initialization keeps the scale of the activations from layer to layer.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # torch.rand depends on random bits alone, torch.randn on the machine's logarithm too
        draw = torch.Generator().manual_seed(0)
        for level, (inputs, outputs) in enumerate(pairwise([channels, 8, 24, 32])):
            weight = 2 * torch.rand(outputs, inputs, 3, 3, generator=draw) - 1
            self.register_buffer(f"weight{level}", weight * (6 / (9 * inputs)) ** 0.5)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch 256"]:
        hidden, pooled = 2 * images - 1, []
        for level, weight in enumerate(self.buffers()):
            hidden = nn.functional.conv2d(hidden, weight, stride=1 if level == 0 else 2, padding=1).relu()
            pooled.append(nn.functional.adaptive_avg_pool2d(hidden, 2).flatten(1))
        return torch.cat(pooled, dim=1)
