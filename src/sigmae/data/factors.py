"""Grids of known factors in large files: a fixed draw of the images, or all, read part by part."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from sigmae.data.dataset import Dataset, Progress, Split
from sigmae.data.splits import shuffled, three_ways
from sigmae.errors import SigmaeError

COUNT = 100_000  # images of the default draw; enough for every metric of disentanglement


@dataclass(frozen=True)
class Grid:
    """Every combination of factors once: how many values each has, in the order of their columns."""

    name: str
    sizes: Mapping[str, int]
    shape: tuple[int, int, int]  # channels, height, width

    @property
    def total(self) -> int:
        """How many images there are."""
        return math.prod(self.sizes.values())


def from_grid(
    grid: Grid,
    factors: Int64[Tensor, "total factors"],
    parts: Iterable[UInt8[Tensor, "_rows channels height width"]],
    count: int | None = COUNT,
    progress: Progress | None = None,
) -> Dataset:
    """The first `count` images in the fixed order (None: all) in splits of 80, 10 and 10 percent.

    `parts` gives the images of all `factors` in turn, some at a time. Memory: the images kept and one part.
    """
    _check(grid, factors)
    rows = shuffled(len(factors))[:count]
    lengths = [len(split) for split in three_ways(len(rows), grid.name)]
    images, start = torch.empty(len(rows), *grid.shape, dtype=torch.uint8), 0
    for part in parts:
        here = (rows >= start) & (rows < start + len(part))
        images[here] = part[rows[here] - start]
        start += len(part)
        if progress:
            progress(start, len(factors))
    pairs = zip(images.split(lengths), factors[rows].split(lengths), strict=True)
    train, validation, test = (Split(pixels, factors=values) for pixels, values in pairs)
    name = grid.name if count else f"{grid.name}-all"
    return Dataset(
        name, train, validation, test, factor_names=tuple(grid.sizes), factor_sizes=tuple(grid.sizes.values())
    )


def _check(grid: Grid, factors: Int64[Tensor, "total factors"]) -> None:
    for (factor, size), values in zip(grid.sizes.items(), factors.T, strict=True):
        found = values.unique().tolist()
        if found != list(range(size)):
            told = f"{len(found)} values from {found[0]} to {found[-1]}" if found else "no value"
            raise SigmaeError(
                f"The file of {grid.name} has {told} of the {factor}, not {size} from 0 to {size - 1}: fetch it again."
            )
