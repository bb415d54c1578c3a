"""A forecast of a plan: its runs, the data that they need, and the time that they take, before anything is trained."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn, Tensor
from torch.utils.flop_counter import FlopCounterMode

from sigmae.data import Dataset, Split, Whereabouts, whereabouts
from sigmae.data.names import DATASETS, SIZES
from sigmae.data.sources import HUB, path_of, PLUGIN
from sigmae.kernel_density import bank_size, KernelDensity
from sigmae.metrics.features import FEATURES
from sigmae.model import Autoencoder
from sigmae.objective import Objective
from sigmae.propagations import Linearized, MonteCarlo, Propagation, SigmaPoints
from sigmae.studies.cells import Cell, is_complete
from sigmae.studies.rendering.words import plain
from sigmae.tables.pace import seconds_of_steps, shape_of
from sigmae.tables.plan import Plan

BACKWARD = 2  # a backward pass computes twice what a forward pass does
SIDE, REPEATS = 2048, 3  # of the matrix product that tells how fast this machine is


@dataclass(frozen=True)
class Group:
    """The runs of a plan on one data set: how many there are, how many are complete, and what they cost.

    `operations` are the multiplications and additions of the networks' passes in training, `seconds` what its steps
    take here; None where the size of the data is not known before they are there, or no step could be tried.
    """

    source: str
    where: Whereabouts
    labels: int
    seeds: int
    runs: int
    complete: int
    steps: int | None
    operations: int | float | None
    seconds: float | None


def forecast(plan: Plan, runs: Path) -> list[Group]:
    """The groups of a plan by their data, in its order. A few steps of runs that are to be made are timed."""
    by_source: dict[str, list[Cell]] = {}
    for cell in plan.cells:
        by_source.setdefault(cell.source, []).append(cell)
    places = {source: found(cells[0]) for source, cells in by_source.items()}
    waiting = {source: to_do(plan, cells, places[source], runs) for source, cells in by_source.items()}
    paces = paces_of([cell for cells in waiting.values() for cell in cells])
    return [group(source, places[source], cells, waiting[source], paces) for source, cells in by_source.items()]


def to_do(plan: Plan, cells: Sequence[Cell], where: Whereabouts, runs: Path) -> list[Cell]:
    """The runs on one data set that are not complete."""
    there = where.folder is not None or not where.advice  # what is built in has no folder
    return [cell for cell in cells if not (there and is_complete(cell, cell.folder(runs), plan.scoring))]


def paces_of(cells: Sequence[Cell]) -> dict[Cell, float]:
    """The seconds of a step of every run without its seed, those that are most of the work tried first."""
    work: dict[Cell, float] = {}
    least: dict[Cell, float] = {}
    for cell in (cell.without_seed for cell in cells):
        if known := cost(cell):
            steps, operations = known
            work[cell] = work.get(cell, 0) + operations
            least[cell] = operations / steps / speed() if steps else 0.0
    order = sorted((cell for cell in least if least[cell]), key=lambda cell: -work[cell])
    return seconds_of_steps({cell: least[cell] for cell in order})


def group(
    source: str, where: Whereabouts, cells: Sequence[Cell], waiting: Sequence[Cell], paces: Mapping[Cell, float]
) -> Group:
    """The forecast of the runs on one data set, of which some wait to be made."""
    costs = [(cost(cell.without_seed), paces.get(cell.without_seed)) for cell in waiting]
    known = [(*one, pace) for one, pace in costs if one is not None]
    whole = len(known) == len(costs)
    seconds = [steps * pace for steps, _, pace in known if pace is not None]
    return Group(
        source,
        where,
        labels=len({cell.without_seed for cell in cells}),
        seeds=len({cell.training.seed for cell in cells}),
        runs=len(cells),
        complete=len(cells) - len(waiting),
        steps=sum(steps for steps, _, _ in known) if whole else None,
        operations=sum(operations for _, operations, _ in known) if whole else None,
        seconds=float(sum(seconds)) if len(seconds) == len(costs) else None,
    )


def found(cell: Cell) -> Whereabouts:
    """Where the data of a run are; a path is its own place."""
    if cell.source in DATASETS:
        return whereabouts(cell.source, None if cell.data_dir is None else Path(cell.data_dir))
    if cell.source.startswith(HUB):
        return Whereabouts(None, "Fetched from the Hugging Face hub when needed; complete runs are not counted.")
    if PLUGIN.fullmatch(cell.source):
        return Whereabouts(None, "")
    path = path_of(cell.source)
    return Whereabouts(path, "" if path else f"There is nothing at {Path(cell.source)}.")


@cache
def cost(cell: Cell) -> tuple[int, int | float] | None:
    """Steps and operations of a run; the data are not loaded, so that their size must be known."""
    if cell.source not in SIZES:
        return None
    count, shape = SIZES[cell.source][0], shape_of(cell)
    blank = Split(torch.zeros(1, *shape))
    config, objective = cell.configured(Dataset(cell.source, blank, blank, blank))
    with torch.device("meta"):
        model = Autoencoder.build(config.model, objective=objective)
        encoder = operations(model.encoder, torch.zeros(1, *shape))
        decoder = operations(model.decoder, torch.zeros(1, cell.latent_dim))
    steps = in_an_epoch(objective, min(count, cell.limit or count)) // cell.training.batch_size * cell.training.epochs
    passes = encoder + points(objective.propagation, cell.latent_dim) * decoder
    return steps, steps * cell.training.batch_size * (1 + BACKWARD) * passes


def in_an_epoch(objective: Objective, examples: int) -> int:
    """How many of the training examples an epoch goes through: without those that the objective keeps for itself."""
    match objective.latent:
        case KernelDensity(bank=bank, schedule="refresh"):
            return examples - bank_size(bank, examples)
    return examples


def operations(network: nn.Module, example: Tensor) -> int:
    """Multiplications and additions of one forward pass of one example."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(example)
    return int(counter.get_total_flops())


def points(propagation: Propagation, latent_dim: int) -> int | float:
    """How many latents of an example a propagation decodes, or what its linearization costs in such."""
    match propagation:
        case MonteCarlo(count=count):
            return count
        case SigmaPoints(scheme="all"):
            return 2 * latent_dim + 1
        case SigmaPoints(count=count):
            return count
        case Linearized(share=share):
            return 1 + latent_dim * share
    return 1


@cache
def speed() -> float:
    """Operations a second of a large matrix product on this machine."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    matrix = torch.randn(SIDE, SIDE, device=device)
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        float((matrix @ matrix)[0, 0])  # reading a number waits for the device
        best = min(best, time.perf_counter() - started)
    return 2 * SIDE**3 / best


def least_seconds(groups: Sequence[Group]) -> int | float | None:
    """The time that the training cannot go below on this machine; None where an operation count is not known."""
    counts = [group.operations for group in groups]
    if any(count is None for count in counts):
        return None
    total = sum(filter(None, counts))
    return total / speed() if total else 0.0


def likely_seconds(groups: Sequence[Group]) -> float | None:
    """The time that the training takes here by timed steps; None where some could not be told."""
    known = [group.seconds for group in groups if group.seconds is not None]
    return float(sum(known)) if len(known) == len(groups) else None


def forecast_record(plan: Plan, groups: Sequence[Group]) -> dict[str, Any]:
    """A forecast as JSON-like data."""
    return {
        "table": plan.definition.name,
        "scale": plan.scale,
        "least_seconds": least_seconds(groups),
        "seconds": likely_seconds(groups),
        "groups": [
            {**asdict(group), "where": {"folder": folder_text(group), "advice": group.where.advice}} for group in groups
        ],
        "deviations": plan.deviations,
    }


def folder_text(group: Group) -> str | None:
    """Where the data are, as text."""
    return None if group.where.folder is None else str(group.where.folder)


def forecast_lines(plan: Plan, groups: Sequence[Group]) -> Iterator[str]:
    """A forecast in sentences."""
    yield plain(f"{plan.definition.title} ({plan.definition.source or plan.definition.name}), scale {plan.scale}")
    yield f"{len(plan.entries)} numbers by {', '.join(plan.scoring.metrics)}"
    if not groups:
        yield "Nothing is trained."
    for group in groups:
        steps = "" if group.steps is None else f", {group.steps:,} steps to go"
        done = f"{group.complete} of {group.runs} runs complete{steps}"
        yield f"{group.source}: {group.labels} rows x {group.seeds} seeds, {done}"
        yield f"  {group.where.advice or 'data: ' + (folder_text(group) or 'built in')}"
    if plan.scoring.features:
        yield f"features: {plan.scoring.features}, {FEATURES.get(plan.scoring.features, 'of a third party')}"
    if told := training_time(groups):
        stopping = any(cell.training.patience for cell in plan.cells)
        yield told + (" Runs that stop early take less." if stopping else "")
    for sentence in plan.deviations:
        yield f"- {plain(sentence)}"


def training_time(groups: Sequence[Group]) -> str:
    """How long the training takes, in a sentence; "" where nothing is known or nothing is trained."""
    least, likely = least_seconds(groups), likely_seconds(groups)
    if not groups or least is None:
        return ""
    if likely is None:
        return (
            f"Training takes {duration(least)} at the least: the networks' arithmetic at the speed that a large "
            "matrix product reaches here. Several times as long is usual; evaluation is not counted."
        )
    return (
        f"Training takes about {duration(likely)} here, one run after the other, by a few steps that were timed on "
        "random images; validation and evaluation are not counted."
    )


def duration(seconds: int | float) -> str:
    """A time in the unit that suits it."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"
