"""Classifier features: of a small network that learnt to tell the classes of the data apart."""

from contextlib import suppress
from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped
from safetensors import SafetensorError
from torch import nn, Tensor

from sigmae.data import Dataset, scaled
from sigmae.errors import SigmaeError
from sigmae.files import cache_folder, digest
from sigmae.metrics.named import NamedFeatures
from sigmae.seeds import seeded
from sigmae.tensors import checksum, load_tensors, save_tensors

CLASSIFIER_RECIPE = 1  # raise it with every change of the network or its training: the cache is keyed by it
CLASSIFIER_STEPS = 1200


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
