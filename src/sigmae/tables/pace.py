"""How long steps take here: a few steps of the runs that cost the most, timed on random images."""

import time
from collections.abc import Mapping
from itertools import islice
from statistics import median

import torch

from sigmae.data import Dataset, Split
from sigmae.data.names import SIZES
from sigmae.model import Autoencoder
from sigmae.seeds import generator, seeded
from sigmae.studies.cells import Cell
from sigmae.training import make_fabric
from sigmae.training.loop import Loop

TOGETHER = 20.0  # seconds after which no further run is tried
LONGEST = 2.0  # seconds of a step by its arithmetic: one that takes longer is not tried
BATCHES = 4  # of random images: one for a bank of codes, one to warm up, two to time


def seconds_of_steps(least: Mapping[Cell, float]) -> dict[Cell, float]:
    """The seconds of a step of every run, given those of its arithmetic; the first are tried first.

    What is not tried takes as much longer than its arithmetic as the median of what is; empty where nothing is.
    """
    tried: dict[Cell, float] = {}
    end = time.monotonic() + TOGETHER
    for cell in least:
        if least[cell] <= LONGEST and time.monotonic() < end:
            tried[cell] = step_seconds(cell)
    if not tried:
        return {}
    longer = median(tried[cell] / least[cell] for cell in tried)
    return {cell: tried.get(cell, longer * least[cell]) for cell in least}


def shape_of(cell: Cell) -> tuple[int, int, int]:
    """The shape of a run's images, whose data have a known one."""
    channels, height, width = SIZES[cell.source][1]
    return (channels, height, width) if cell.image_size is None else (channels, cell.image_size, cell.image_size)


def step_seconds(cell: Cell) -> float:
    """The seconds of a training step of a run, the shorter of two."""
    size = cell.training.batch_size
    images = torch.randint(256, (BATCHES * size, *shape_of(cell)), dtype=torch.uint8, generator=generator(0, "pace"))
    data = Dataset(cell.source, Split(images), Split(images[:size]), Split(images[:size]))
    found = []
    with seeded(0, "pace"):
        config, objective = cell.configured(data)
        model = Autoencoder.build(config.model, objective=objective)
        loop = Loop(model, data, cell.training, None, lambda report: None, make_fabric(cell.training.precision))
        loop.wrapped.train()
        for indices in islice(loop.batches(), BATCHES - 1):
            started = time.perf_counter()
            loop.step(indices)
            loop.flush()  # reading the terms waits for the device
            found.append(time.perf_counter() - started)
    return min(found[1:])
