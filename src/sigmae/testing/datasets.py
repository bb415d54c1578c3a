"""Laws of data sets: whatever `sigmae.data.load` reads, a third party's `module:attribute` before all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sigmae.api import plan
from sigmae.data import Dataset, load, Split
from sigmae.data.examples import Examples
from sigmae.errors import SigmaeError
from sigmae.files import digest
from sigmae.seeds import seeded
from sigmae.settings import TrainingConfig
from sigmae.testing.laws import Law, LawBroken, require
from sigmae.training import make_fabric, train

SPLITS = ("train", "validation", "test")
SHARED = 0.05  # of the held-out examples, that may look like one of training by chance
LIMIT = 50
SIDE = 12


@dataclass(frozen=True)
class DatasetTrial:
    """A data set on trial: what `load` reads, with its options."""

    name: str
    source: Any
    options: Mapping[str, Any]

    def __str__(self) -> str:
        return self.name

    def load(self, **options: Any) -> Dataset:
        """The data set, read anew."""
        return load(self.source, **{**self.options, **options})

    @cached_property
    def data(self) -> Dataset:
        """The data set as it is first read."""
        return self.load()

    def splits(self) -> Iterator[tuple[str, Split]]:
        """Its splits by name."""
        for name in SPLITS:
            yield name, getattr(self.data, name)


def dataset_trial(source: Any, options: Mapping[str, Any]) -> DatasetTrial:
    """The trial of what `load` reads, or of a function, which is found again by its name as on the command line."""
    if isinstance(source, Dataset):
        return DatasetTrial(source.name, source, options)
    if isinstance(source, type) or (callable(source) and not isinstance(source, Examples)):
        source = f"{source.__module__}:{source.__qualname__}"
        require("<" not in source, f"{source} cannot be found again by its name: define it outside functions.")
    return DatasetTrial(source if isinstance(source, str) else f"a {type(source).__name__}", source, options)


def it_is_read_the_same_twice(trial: DatasetTrial) -> None:
    """Two readings hold the same bits in the same order, wherever the generators stand: runs are continued on them."""
    with seeded(1, "stream"):
        again = trial.load()
    for name, split in trial.splits():
        same = split.fingerprint == getattr(again, name).fingerprint
        require(same, f"the {name} split of {trial} differs in two readings: sort files, and draw with a fixed seed.")


def splits_are_disjoint(trial: DatasetTrial) -> None:
    """Held-out examples are no examples of training."""
    seen = {digest(content(image)) for image in trial.data.train.images}
    for name, split in list(trial.splits())[1:]:
        shared = sum(digest(content(image)) in seen for image in split.images) / len(split)
        told = f"{shared:.0%} of the {name} examples of {trial} are in its training split too"
        require(shared <= SHARED, f"{told}: draw the splits without replacement, and drop copies before.")


def content(image: Tensor) -> bytes:
    """The bytes of one example."""
    return image.contiguous().numpy().tobytes()


def values_are_those_of_pictures_or_numbers(trial: DatasetTrial) -> None:
    """Examples are uint8, floats in [0, 1] for pictures, finite for vectors; and they are not all alike."""
    for name, split in trial.splits():
        images = split.images
        require(images.isfinite().all(), f"the {name} split of {trial} holds NaN or infinity: leave them out.")
        if trial.data.is_image and images.is_floating_point():
            low, high = images.aminmax()
            told = f"pictures of the {name} split of {trial} are from {low:.4g} to {high:.4g}"
            require(low >= 0 and high <= 1, f"{told}: divide by their largest value, or give uint8.")
    first = trial.data.train.images[0]
    require((trial.data.train.images != first).any(), f"all training examples of {trial} are the same.")


def labels_have_names_and_factors_sizes(trial: DatasetTrial) -> None:
    """Labels and factors are known for all splits or for none, and lie within their names and sizes."""
    data = trial.data
    known = {name: [getattr(split, name) for _, split in trial.splits()] for name in ("labels", "factors")}
    for name, found in known.items():
        some = [values for values in found if values is not None]
        require(len(some) in (0, len(SPLITS)), f"{name} of {trial} are known for {len(some)} of 3 splits: give all.")
        require(all((values >= 0).all() for values in some), f"{name} of {trial} are below 0: count from 0.")
    labels, factors = ([values for values in found if values is not None] for found in known.values())
    if labels and data.label_names:
        most, names = max(int(values.max()) for values in labels), len(data.label_names)
        require(most < names, f"{trial} has the label {most} and {names} label_names: name them all.")
    if factors:
        sizes, most_of = data.factor_sizes, torch.cat(factors).amax(0).tolist()
        within = len(sizes) == len(most_of) and all(most < size for most, size in zip(most_of, sizes, strict=True))
        require(within, f"{trial} has factors up to {most_of}, and factor_sizes {sizes}: give one above each.")
        require(len(data.factor_names) == len(sizes), f"{trial} has {len(sizes)} factors: give as many factor_names.")


def an_image_size_is_heeded(trial: DatasetTrial) -> None:
    """Pictures come in the size that is asked for; vectors refuse to have one."""
    try:
        shape = trial.load(image_size=SIDE, limit=LIMIT).shape
    except SigmaeError as error:
        if trial.data.is_image:
            raise LawBroken(f"{trial} cannot be had with an image_size of {SIDE}: {error}") from error
        return
    require(shape[1:] == (SIDE, SIDE), f"{trial} has examples of the shape {shape} for an image_size of {SIDE}.")


def a_limit_takes_the_first(trial: DatasetTrial) -> None:
    """With a limit, every split is the beginning of the whole one."""
    few = trial.load(limit=LIMIT)
    for name, split in trial.splits():
        same = torch.equal(split.images[:LIMIT], getattr(few, name).images)
        require(same, f"with a limit of {LIMIT}, the {name} split of {trial} is not its first {LIMIT} examples.")


def a_model_trains_on_it(trial: DatasetTrial) -> None:
    """An epoch of an autoencoder on its first examples ends with a finite loss."""
    data = trial.load(limit=LIMIT)
    training = TrainingConfig(epochs=1, batch_size=min(10, len(data.train)))
    planned = plan(data, "ae", latent_dim=2, network="mlp", settings=["network.hidden=[16]"], training=training)
    train(planned.model, data, training, fabric=make_fabric(device="cpu"))


DATASET: tuple[Law, ...] = (
    it_is_read_the_same_twice,
    splits_are_disjoint,
    values_are_those_of_pictures_or_numbers,
    labels_have_names_and_factors_sizes,
    an_image_size_is_heeded,
    a_limit_takes_the_first,
    a_model_trains_on_it,
)
