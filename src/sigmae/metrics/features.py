"""Features: what distances between sets of images are measured in.

A choice, stored with the number: a distance in one set of features says nothing beside one in another.
"""

import inspect
import io
import os
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.error import HTTPError
from urllib.request import urlopen

import torch
from jaxtyping import Float, Int64, Shaped, UInt8
from safetensors import SafetensorError
from torch import nn, Tensor

from sigmae.data import Dataset, scaled
from sigmae.errors import SigmaeError
from sigmae.files import cache_folder, digest, write_atomically
from sigmae.plugins import resolve
from sigmae.seeds import seeded
from sigmae.tensors import checksum, load_tensors, save_tensors

FEATURES = {
    "classifier": "128 values of a small network, trained once on the labelled training split",
    "inception": "2,048 values of the Inception network that published FIDs use; a file of 96 MB, fetched once",
    "random": "256 values of a fixed random network, for data without labels: to rank, not to publish",
}
INCEPTION_URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
INCEPTION_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
CLASSIFIER_RECIPE = 1  # raise it with every change of the network or its training: the cache is keyed by it
CLASSIFIER_STEPS = 1200


@runtime_checkable
class Features(Protocol):
    """A function of 8-bit images, with the name that its numbers carry."""

    @property
    def name(self) -> str:
        """What a metric in these features is called after: `fid-NAME`."""

    def __call__(self, images: UInt8[Tensor, "batch channels height width"]) -> Float[Tensor, "batch features"]:
        """A vector for each image."""


@dataclass(frozen=True, eq=False)
class NamedFeatures:
    """Features computed on `device` by `compute`; `details` say which they are, as JSON-like values."""

    name: str
    compute: Callable[[Tensor], Tensor]
    details: dict[str, Any]
    device: str = "cpu"

    def __call__(self, images: UInt8[Tensor, "batch channels height width"]) -> Float[Tensor, "batch features"]:
        return self.compute(images.to(self.device))


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


def classifier_features(dataset: Dataset, *, device: str = "cpu") -> NamedFeatures:
    """The last hidden layer of a `Classifier` of the training split; `details` has its validation accuracy.

    Trained once and cached, by the content of the data; a damaged cache file is made again.
    """
    labels, held_out = dataset.train.labels, dataset.validation.labels
    if labels is None or held_out is None:
        raise SigmaeError(
            f"The features 'classifier' learn from labels, and {dataset.name} has none: "
            "use the features 'random', or 'inception' for colour pictures."
        )
    classes = len(labels.unique())
    if classes < 2:
        raise SigmaeError(
            f"The features 'classifier' learn to tell classes apart, and {dataset.name} has one: use 'random'."
        )
    key = f"{CLASSIFIER_RECIPE} {dataset.train.fingerprint} {dataset.validation.fingerprint}"
    path = cache_folder("features", f"classifier-{digest(key.encode())[:32]}.safetensors")
    try:
        tensors, details = load_tensors(path)
    except (SigmaeError, OSError):
        tensors, details = _trained(dataset, labels, held_out, device)
        with suppress(OSError, SafetensorError):  # a cache that cannot be written is no reason to stop
            save_tensors(path, tensors, details)
    with torch.device("meta"):  # where no weights are drawn only to be replaced
        network = Classifier(dataset.shape, classes)
    network.load_state_dict(tensors, assign=True)
    hidden = network.eval().to(device).hidden
    return NamedFeatures("classifier", lambda images: hidden(scaled(images)), details, device)


def _trained(
    dataset: Dataset, labels: Int64[Tensor, " count"], held_out: Int64[Tensor, " others"], device: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A classifier's tensors, on the CPU, and its details; a class that it was not taught counts as wrong."""
    classes, targets = labels.unique(return_inverse=True)
    network = train_classifier(dataset.train.images, targets, device=device)
    with torch.no_grad():
        parts = dataset.validation.images.split(500)
        told = torch.cat([network(scaled(part.to(device))).argmax(1).cpu() for part in parts])
    accuracy = int((classes[told] == held_out).sum()) / len(held_out)
    tensors = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
    return tensors, {"accuracy": accuracy, "fingerprint": checksum(tensors, ""), "recipe": CLASSIFIER_RECIPE}


class Classifier(nn.Module):
    """3 by 3 convolutions of stride 2 down to about 4 by 4, 128 hidden values (the features), and the classes."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        layers: list[nn.Module] = []
        while len(layers) < 6 or min(height, width) > 4:
            outputs = min(128, 16 * 2 ** (len(layers) // 3))
            layers += [nn.Conv2d(channels, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            channels, height, width = outputs, -(-height // 2), -(-width // 2)
        self.hidden = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, 128))
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(128, classes))

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        logits: Tensor = self.head(self.hidden(images))
        return logits


def train_classifier(
    images: Shaped[Tensor, "count channels height width"],
    targets: Int64[Tensor, " count"],
    *,
    steps: int = CLASSIFIER_STEPS,
    device: str = "cpu",
) -> Classifier:
    """Cross-entropy by Adam over `steps` random batches of 128, whatever the number of images; always one seed.

    `targets` count classes from 0; images are uint8, or floats in [0, 1].
    """
    with seeded(CLASSIFIER_RECIPE, "classifier features"), torch.enable_grad():
        network = Classifier(tuple(images.shape[1:]), int(targets.max()) + 1).to(device)
        optimizer = torch.optim.Adam(network.parameters(), fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps)
        for _ in range(steps):
            rows = torch.randint(len(images), (128,))
            logits = network(scaled(images[rows].to(device)))
            loss = nn.functional.cross_entropy(logits, targets[rows].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def inception_features(
    file: Path | None = None, *, device: str = "cpu", url: str = INCEPTION_URL, sha256: str = INCEPTION_SHA256
) -> NamedFeatures:
    """The pool_3 layer of the 2015-12-05 Inception network, whose own resizing to 299 by 299 takes any size.

    Its TorchScript file is `file`, else what SIGMAE_INCEPTION names, else the cached one, else fetched from
    `url`. The file is code: one without the hash `sha256` is refused, not loaded.
    """
    content = _inception_file(file, url, sha256)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit: it is the form that the file has
        network = torch.jit.load(io.BytesIO(content), map_location=device).eval()
    details = {"fingerprint": sha256}
    return NamedFeatures("inception", lambda images: network(_rgb(images), return_features=True), details, device)


def _inception_file(file: Path | None, url: str, sha256: str) -> bytes:
    named = file or os.environ.get("SIGMAE_INCEPTION")
    path = Path(named) if named else cache_folder("features", Path(url).name)
    if path.is_file():
        return _checked(path.read_bytes(), sha256, str(path))
    if named:
        raise SigmaeError(f"There is no file {path} with the Inception network: name {Path(url).name}.")
    try:
        with urlopen(url, timeout=30) as response:
            content = _checked(response.read(), sha256, url)
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()  # it is the server's answer, and holds a socket
        raise SigmaeError(
            f"The Inception network could not be fetched from {url} ({error}): save {Path(url).name} as {path}, or "
            "name it with SIGMAE_INCEPTION, or use the features 'classifier' or 'random'."
        ) from error
    with suppress(OSError):  # a cache that cannot be written is no reason to stop
        write_atomically(path, lambda temporary: _write(temporary, content))
    return content


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _checked(content: bytes, sha256: str, source: str) -> bytes:
    if digest(content) != sha256:
        raise SigmaeError(
            f"{source} is not the Inception network, since its SHA-256 begins {digest(content)[:12]} and not "
            f"{sha256[:12]}, and it is code: it was not loaded; delete it and get it again."
        )
    return content


def _rgb(images: UInt8[Tensor, "batch channels height width"]) -> UInt8[Tensor, "batch 3 height width"]:
    if images.shape[1] not in (1, 3):
        raise SigmaeError(
            f"The Inception network sees 1 or 3 channels, and these images have {images.shape[1]}: use 'random'."
        )
    return images.expand(-1, 3, -1, -1)
