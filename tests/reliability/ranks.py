"""What the ranks of a training run: `python ranks.py TASK FOLDER RANKS [ARGUMENTS]`, one process a rank.

Every rank writes what it found to `FOLDER/rankN.json`; `launch` starts them all and reads it.
"""

import json
import os
import signal
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import torch
from lightning_fabric.plugins.environments import LightningEnvironment
from torch.nn.parallel import DistributedDataParallel

from sigmae import (
    Dataset,
    Delta,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    KernelDensity,
    Mean,
    MMD,
    MonteCarlo,
    Objective,
    Split,
    SquaredError,
    TrainingConfig,
)
from sigmae.adversarial import Adversarial
from sigmae.api import plan
from sigmae.joint import own_share, sharing
from sigmae.recipes import METHODS
from sigmae.total_correlation import TotalCorrelation
from sigmae.training import Interrupted, loop, make_fabric, train
from sigmae.training.noise import JointNoise
from sigmae.training.opponents import opponents

SETTINGS = {"batch_size": 20, "lr": 1e-3}
PATIENCE = 280  # seconds until processes that wait for one another count as hung
SMALL = {"latent_dim": 3, "network": "mlp", "settings": ["network.hidden=[12]", "network.activation=tanh"]}


def launch(folder, count, task, *arguments, **environment):
    """What every rank found, by its number."""
    place = LightningEnvironment()
    known = {"MASTER_ADDR": place.main_address, "MASTER_PORT": str(place.main_port), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, task, str(folder), str(count), *map(str, arguments)]
    told = [folder / f"rank{rank}.err" for rank in range(count)]
    started = []
    for rank, path in enumerate(told):
        own = os.environ | known | environment | {"LOCAL_RANK": str(rank)}
        with path.open("w") as file:
            started.append(subprocess.Popen(command, env=own, stderr=file))
    try:
        ended = [process.wait(PATIENCE) for process in started]
        assert ended == [0] * count, "\n".join(path.read_text() for path in told)
    finally:
        for process in started:
            process.kill()
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(count)]


def blobs() -> Dataset:
    """Small gray images, each with a blob somewhere."""
    places = 5 * torch.rand(160, 2, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="ij")
    blob = torch.exp(-((rows - places[:, 0]).square() + (columns - places[:, 1]).square()) / 4)
    images = (255 * blob).round().to(torch.uint8)
    return Dataset("blobs", Split(images[:120]), Split(images[120:140]), Split(images[140:]))


def small(method):
    """The objective of a method, without anything large."""
    objective = METHODS[method].objective()
    if hasattr(objective.latent, "hidden"):
        objective.latent.hidden = (8,)
    return objective


def trajectory(fabric, method, epochs=2, seed=3, **options):
    """The weights and the record of a method's training."""
    settings = TrainingConfig(epochs=epochs, seed=seed, **SETTINGS)
    model = plan(blobs(), small(method), training=settings, **SMALL).model
    progress = train(model, blobs(), settings, fabric=fabric, **options)
    history = [[*record["train"].values(), *record["validation"].values()] for record in progress.history]
    return {"history": history, "weights": [weight.double().sum().item() for weight in model.state_dict().values()]}


def trajectories(fabric, folder, seed, *methods):
    """Those of some methods, by name."""
    return {method: trajectory(fabric, method, seed=int(seed)) for method in methods}


def continued(fabric, folder, stop, *methods):
    """Trainings that are asked to stop after a number of steps, in their last process alone; 0 for never."""

    def watch(report):
        if fabric.global_rank == fabric.world_size - 1 and 0 < int(stop) <= report.progress.step:
            signal.raise_signal(signal.SIGTERM)

    found, loop.FLUSH_EVERY = {}, 4
    for method in methods:
        try:
            found[method] = trajectory(fabric, method, 6, folder=Path(folder, method), observe=watch)
        except Interrupted:
            found[method] = "stopped"
    return found


PARTS = {
    "mmd": lambda: Objective(Delta(), Mean(), SquaredError(), MMD(5.0)),
    "tc": lambda: Objective(DiagonalGaussian(), MonteCarlo(2), SquaredError(), TotalCorrelation(3.0)),
    "tc of full Gaussians": lambda: Objective(FullGaussian(), MonteCarlo(), SquaredError(), TotalCorrelation(3.0)),
    "tc decomposed": lambda: Objective(
        DiagonalGaussian(), MonteCarlo(), SquaredError(), TotalCorrelation(3.0, "decomposed")
    ),
    "tc by a discriminator": lambda: Objective(
        DiagonalGaussian(), MonteCarlo(), SquaredError(), TotalCorrelation(3.0, "discriminator", hidden=(8,))
    ),
    "adversarial": lambda: Objective(Delta(), Mean(), SquaredError(), Adversarial(hidden=(8,))),
    "queue": lambda: Objective(Delta(), Mean(), SquaredError(), KernelDensity(20, schedule="queue", first_error=1.0)),
    **{
        f"optimal {shape} {per}": lambda shape=shape, per=per: Objective(
            DiagonalGaussian(), MonteCarlo(), Gaussian("optimal", shape, per), MMD()
        )
        for shape in ("iso", "diag")
        for per in ("dataset", "sample")
    },
}


def gradients(fabric, folder):
    """By part, the largest difference of a gradient or buffer of all processes' step from that of the joint batch."""
    data = blobs()
    return {name: difference(fabric, data, make) for name, make in PARTS.items()}


def difference(fabric, data, make):
    """What `gradients` tells of one part."""
    model = plan(data, make(), training=TrainingConfig(**SETTINGS), **SMALL).model.double()
    if isinstance(model.objective.latent, KernelDensity):
        latent = model.objective.latent
        latent.codes = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        latent.upcoming = latent.codes.flip(0)
    alone, batch = deepcopy(model), data.train.images[:20].double() / 255
    torch.manual_seed(5)
    whole = step(alone, alone, batch, lambda gradient: gradient)
    with sharing(fabric.global_rank, fabric.world_size), JointNoise(20 // fabric.world_size, 5):
        shared = step(DistributedDataParallel(model), model, own_share(batch), fabric.all_reduce)
    return max((one - other).abs().max().item() for one, other in zip(whole, shared, strict=True))


def step(wrapped, model, batch, reduce):
    """Gradients of the loss and of the opponents', and the buffers after."""
    wrapped(batch).loss.backward()
    found = [weight.grad for weight in model.parameters() if weight.grad is not None]
    for opponent in opponents([model.objective.latent]):
        for weight in opponent.weights:
            weight.requires_grad_(True)
        loss = opponent.part.opponent_loss()
        found += [reduce(gradient) for gradient in torch.autograd.grad(loss, opponent.weights)]
    return [*found, *(buffer for buffer in model.buffers() if buffer.is_floating_point())]


if __name__ == "__main__":
    torch.manual_seed(int(os.environ.get("PYTHONHASHSEED", "0")))  # which nothing may depend on
    task, folder, ranks = sys.argv[1:4]
    fabric = make_fabric(device="cpu", devices=int(ranks))
    fabric.launch()
    found = globals()[task](fabric, folder, *sys.argv[4:])
    Path(folder, f"rank{fabric.global_rank}.json").write_text(json.dumps(found))
