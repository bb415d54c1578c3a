"""Splits: which examples are held out, by one permutation that no training seed changes."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from sigmae.data.dataset import Dataset, Split
from sigmae.data.mapped import reordered
from sigmae.errors import SigmaeError

Rows = Int64[Tensor, " _rows"]


def shuffled(count: int) -> Rows:
    """The fixed order of `count` examples."""
    # The legacy generator: numpy promises that its stream never changes, and torch makes no such promise.
    return torch.from_numpy(np.random.RandomState(0).permutation(count).astype(np.int64))


def three_ways(count: int, name: str) -> tuple[Rows, Rows, Rows]:
    """The rows of train, validation and test: 80, 10 and 10 percent, at least one each."""
    if count < 3:
        found = {0: "no example", 1: "one example"}.get(count, f"{count} examples")
        raise SigmaeError(f"{name} has {found}, too few for train, validation and test: give three or more.")
    order, tenth = shuffled(count), max(1, count // 10)
    return order[: -2 * tenth], order[-2 * tenth : -tenth], order[-tenth:]


def two_ways(count: int, name: str, part: int = 10) -> tuple[Rows, Rows]:
    """The rows of train and validation where the test split is given: validation is one part of `part`."""
    if count < 2:
        raise SigmaeError(
            f"{name} has {count} examples to train on, too few for train and validation: give two or more."
        )
    order, held = shuffled(count), max(1, count // part)
    return order[:-held], order[-held:]


def divided(name: str, whole: Split, label_names: tuple[str, ...] = (), *, on_disk: bool = False) -> Dataset:
    """A data set whose splits are drawn from `whole` by the fixed permutation, in memory or `on_disk`."""
    ways = three_ways(len(whole), name)
    if not on_disk:
        train, validation, test = (whole[rows] for rows in ways)
    else:
        parts = reordered(whole.images, torch.cat(ways)).split([len(rows) for rows in ways])
        labels = (None if whole.labels is None else whole.labels[rows] for rows in ways)
        train, validation, test = map(Split, parts, labels)
    return Dataset(name, train, validation, test, label_names)


def last_held_out(name: str, train: Split, test: Split, part: int, label_names: tuple[str, ...]) -> Dataset:
    """The official test split, and the last of `part` equal parts of the official train split as validation."""
    held = max(1, len(train) // part)
    return Dataset(name, train[:-held], train[-held:], test, label_names)


def limited(dataset: Dataset, limit: int | None) -> Dataset:
    """The first `limit` examples of every split, in its fixed order; the same where None or none has more."""
    splits = {name: getattr(dataset, name) for name in ("train", "validation", "test")}
    if limit is None or all(len(split) <= limit for split in splits.values()):
        return dataset
    # By index, which copies: the memory of all the others would stay as long as a slice of it.
    return replace(dataset, **{name: split[torch.arange(len(split))[:limit]] for name, split in splits.items()})
