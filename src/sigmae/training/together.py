"""Several seeds of one configuration as one vectorised program: the same runs, a step of all of them at a time.

The weights of all runs are rows of one tensor, and every model's own weights are views of its row. vmap makes the
forward pass of all rows one pass; as no run's loss depends on another's weights, the gradient of the sum of the
losses holds every run's own. Order of the data, schedules, best weights, records and checkpoints are those of each
run's own `Loop`, so that a folder does not tell how its run was trained. Results agree with those of `train` up to
rounding: a product of many small matrices adds up in another order than one of them.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sigmae.data import Dataset
from sigmae.errors import SigmaeError
from sigmae.machine import memory_explained
from sigmae.model import Autoencoder
from sigmae.parts import Part
from sigmae.seeds import seeded
from sigmae.settings import TrainingConfig
from sigmae.signals import stop_on_signals, StopRequest
from sigmae.training.allocator import keep_memory
from sigmae.training.engine import make_fabric
from sigmae.training.failures import remedy, torch_errors_told
from sigmae.training.loop import check_fit, Loop, Report, run_epoch
from sigmae.training.stacked import joined, stacked, Together
from sigmae.training.state import Progress

if TYPE_CHECKING:
    from lightning_fabric import Fabric

HOOKS = ("begin_epoch", "begin_step", "begin_validation", "end_validation")
TOLERANCES = {"32": 1e-3, "bf16": 0.1}  # of the trial step, as a share of the norm: rounding is far below


def train_together(
    models: Sequence[Autoencoder],
    data: Dataset,
    configs: Sequence[TrainingConfig],
    *,
    folders: Sequence[Path] | None = None,
    observe: Callable[[int, Report], None] = lambda run, report: None,
    warn: Callable[[str], None] = lambda message: None,
    fabric: "Fabric | None" = None,
) -> list[Progress]:
    """Train models of one configuration but for the seed, in place, as `train` would one after another.

    Each folder becomes that of an ordinary run, which either way of training continues. Runs that are continued from
    different steps first end, each alone, the epoch of the furthest. `observe` is told which run a report is of.

    Raises `SigmaeError` with the sentence of `can_train_together`, or when a term of one run is no longer finite: the
    others are saved where they are, and can go on without it. Raises `Interrupted` after Ctrl-C or kill.
    """
    fabric = fabric or make_fabric(configs[0].precision)
    if reason := can_train_together(models, data, configs, fabric=fabric):
        raise SigmaeError(f"{reason} Train these runs one by one.")
    keep_memory()
    loops = loops_of(models, data, configs, folders or [None] * len(models), observe, fabric)
    for loop in loops:
        loop.restore(warn)
    unfinished = [loop for loop in loops if not finished(loop)]
    memory, errors = memory_explained(remedy(configs[0])), torch_errors_told(unfinished)
    with seeded(configs[0].seed), stop_on_signals() as stop, saved_on_error(loops), memory, errors:
        catch_up(unfinished, stop)
        if unfinished and not finished(unfinished[0]):
            with stacked(unfinished) as together:
                while not finished(unfinished[0]):
                    run_epoch(unfinished, together.step, stop)
    return [loop.end() for loop in loops]


def loops_of(
    models: Sequence[Autoencoder],
    data: Dataset,
    configs: Sequence[TrainingConfig],
    folders: Sequence[Path | None],
    observe: Callable[[int, Report], None],
    fabric: "Fabric",
) -> list[Loop]:
    """A `Loop` for every run; they share the images that lie on the device."""
    loops = [
        Loop(model, data, config, folder, partial(observe, run), fabric)
        for run, (model, config, folder) in enumerate(zip(models, configs, folders, strict=True))
    ]
    for loop in loops:
        loop.images = loops[0].images
    return loops


def finished(loop: Loop) -> bool:
    """Whether a run has all its epochs."""
    return loop.state.progress.epoch >= loop.config.epochs


@contextmanager
def saved_on_error(loops: Sequence[Loop]) -> Iterator[None]:
    """When one run fails, save the others where they are."""
    try:
        yield
    except SigmaeError:
        for loop in loops:
            with suppress(SigmaeError):
                loop.save()
        raise


def catch_up(loops: Sequence[Loop], stop: StopRequest) -> None:
    """Let runs that stand at different steps end the epoch of the furthest, each alone."""
    places = {(loop.state.progress.epoch, loop.state.progress.batch) for loop in loops}
    if len(places) > 1:
        epochs = max(epoch + (batch > 0) for epoch, batch in places)
        for loop in loops:
            while loop.state.progress.epoch < epochs:
                loop.epoch(stop)
            loop.save()


def can_train_together(
    models: Sequence[Autoencoder],
    data: Dataset,
    configs: Sequence[TrainingConfig],
    *,
    fabric: "Fabric | None" = None,
) -> str:
    """Why these runs cannot be trained at once, as a sentence; "" if they can.

    What has its own way between steps is refused; beyond that no list of methods decides, but a trial: one step of
    copies of the first two models, together and alone, must give the same terms, gradients and buffers.
    """
    first = configs[0]
    if len(models) < 2:
        return "One run has no other to be trained together with."
    if any(replace(config, seed=first.seed) != first for config in configs):
        return "Runs that are trained together differ in nothing but their seeds."
    if first.patience is not None:
        return "With patience, runs end at different epochs."
    if first.compile:
        return "A compiled step is that of one run."
    fabric = fabric or make_fabric(first.precision)
    if fabric.world_size > 1:
        return "Several devices share the batches of one run, and not several runs."
    if any(outline(model) != outline(models[0]) for model in models):
        return "These models differ in more than the values of their weights."
    tensors = [tensor for model in models for tensor in (*model.parameters(), *model.buffers())]
    if len({id(tensor) for tensor in tensors}) < len(tensors):
        return "These models share weights or buffers: give each an objective and networks of its own."
    for part in models[0].objective.parts().values():
        if part.opponent() is not None:
            return f"{type(part).__name__} has an opponent, which is trained between the steps of its own run."
        if any(getattr(type(part), hook) is not getattr(Part, hook) for hook in HOOKS):
            return f"{type(part).__name__} acts between the steps of its own run."
    check_fit(models[0], data, first)
    with seeded(first.seed):
        return trial(models[:2], data, configs[:2], fabric)


def outline(model: Autoencoder) -> tuple[object, ...]:
    """All of a model but the values of its weights, as far as it can be compared."""
    tensors = (*model.named_parameters(), *model.named_buffers())
    return model.config, [(name, tensor.shape, tensor.dtype, tensor.requires_grad) for name, tensor in tensors]


def trial(models: Sequence[Autoencoder], data: Dataset, configs: Sequence[TrainingConfig], fabric: "Fabric") -> str:
    """What keeps copies of two models from making one step together that is that of each alone; "" if nothing does."""
    alone, together = (
        loops_of([deepcopy(model) for model in models], data, configs, [None, None], lambda run, report: None, fabric)
        for _ in range(2)
    )
    batches = [next(loop.batches()) for loop in alone]
    for loop, batch in zip(alone, batches, strict=True):
        loop.wrapped.train()
        loop.step(batch)
    for loop in together:
        loop.wrapped.train()
    try:
        with warnings.catch_warnings(), stacked(together) as runs:
            warnings.filterwarnings("error", message="There is a performance drop")  # of vmap: one run after the other
            runs.step(batches)
    except Exception as error:
        return f"One step of two runs at once is not possible ({str(error).splitlines()[0]})."
    if not same_step(alone, runs, TOLERANCES[configs[0].precision]):
        return "One step of two runs at once is not that of each alone: some layer draws or keeps what vmap cannot see."
    return ""


def same_step(alone: Sequence[Loop], together: Together, tolerance: float) -> bool:
    """Whether terms, gradients and buffers agree after a step."""
    assert together.weights.grad is not None
    for own, other, gradient in zip(alone, together.loops, together.weights.grad, strict=True):
        weights = [weight for weight in own.model.parameters() if weight.requires_grad]
        pairs = [
            (own.pending[0], other.pending[0]),
            (joined([torch.zeros_like(w) if w.grad is None else w.grad for w in weights]), gradient),
            *zip(own.model.buffers(), other.model.buffers(), strict=True),
        ]
        if not all(close(*pair, tolerance) for pair in pairs):
            return False
    return True


def close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """Whether two tensors differ by no more than a share of their norm; never where a number is missing.

    A unit whose input is rounding away from zero moves single entries of a gradient by more, and the norm by little.
    """
    a, b = a.detach().double(), b.detach().double()
    return a.shape == b.shape and bool((a - b).norm() <= tolerance * a.norm())
