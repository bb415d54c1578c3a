"""All that training is at one moment, and how it is saved and continued exactly.

Batches and noise are drawn from seeds derived from (seed, epoch) and (seed, step), so no generator has a
state to save. A checkpoint is one file: weights, optimizer moments and best weights as tensors, the rest
as JSON. The last two are kept; one that is damaged or of another model is passed over for the one before.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn, Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sigmae.errors import SigmaeError
from sigmae.tensors import load_tensors, save_tensors

KEPT = 2
RECORD = {"progress", "rates", "schedule", "examples", "processes"}


@dataclass
class Progress:
    """Counters and records; `epoch` and `batch` are the next to be done."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    best_loss: float = float("inf")
    best_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class State:
    """Model, optimizer, schedule, the opponents' optimizers, the best weights so far, and the counters.

    `examples` tells the data: what began on some is not continued on others. `processes` made the last steps.
    """

    model: nn.Module
    optimizer: Optimizer
    schedule: ReduceLROnPlateau
    opponents: list[Optimizer] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    best: dict[str, Tensor] = field(default_factory=dict)
    examples: str = ""
    processes: int = 1

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """The model's and those of its opponents, by their names in a checkpoint."""
        return {"optimizer": self.optimizer} | {f"opponent{i}": other for i, other in enumerate(self.opponents)}

    def keep_best(self) -> None:
        """Remember the present weights as the best."""
        self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}


def save(state: State, folder: Path) -> Path:
    """Write checkpoints/step-N.safetensors under a run's folder, then drop all but the last two."""
    tensors = {f"model.{name}": tensor for name, tensor in state.model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in state.best.items()}
    for name, optimizer in state.optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{key}": value for key, value in values.items()}
    rates = [group["lr"] for group in state.optimizer.param_groups]  # an opponent's follows from it
    path = folder / "checkpoints" / f"step-{state.progress.step:08d}.safetensors"
    record = {"examples": state.examples, "processes": state.processes, "rates": rates}
    counters = {"progress": asdict(state.progress), "schedule": state.schedule.state_dict()}
    save_tensors(path, tensors, record | {name: json_ready(values) for name, values in counters.items()})
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints under a run's folder, the newest last."""
    return sorted((folder / "checkpoints").glob("step-*.safetensors"))


def set_aside(path: Path) -> Path:
    """Where a checkpoint goes that is of no use: nothing that is a file of the user's is deleted."""
    return path.with_suffix(".unusable")


def json_ready(values: dict[str, Any]) -> dict[str, Any]:
    """Numbers that JSON lacks, as text."""
    return {key: repr(value) if value in (float("inf"), -float("inf")) else value for key, value in values.items()}


def from_json(values: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `json_ready`."""
    return {key: float(value) if value in ("inf", "-inf") else value for key, value in values.items()}


def restore(state: State, folder: Path, warn: Callable[[str], None]) -> list[Path]:
    """Continue from the newest checkpoint that can be used, if there is one; those that were passed over for it.

    They are told to `warn`. Raises `SigmaeError` where the data are not those of the checkpoint.
    """
    passed_over: list[Path] = []
    known = checkpoints(folder)
    while known:
        path = known.pop()
        try:
            tensors, record = load_tensors(path)
            groups = grouped(state, tensors)
            check(state, groups, record, path)
        except SigmaeError as error:
            instead = f"{known[-1].name} is tried instead" if known else "there is no other: training starts anew"
            warn(f"{error} It is set aside as {set_aside(path).name}; {instead}.")
            passed_over.append(path)
            continue
        if record.get("examples", state.examples) != state.examples:
            raise SigmaeError(
                f"The run in {folder} began on other data than there are now: put back what was added, removed or "
                "changed to continue it, or choose another --out."
            )
        apply(state, groups, record)
        break
    return passed_over


Groups = dict[str, dict[str, Tensor]]


def grouped(state: State, tensors: dict[str, Tensor]) -> Groups:
    """A checkpoint's tensors by the first part of their names."""
    groups: Groups = {name: {} for name in ("model", "best", *state.optimizers)}
    for key, tensor in tensors.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = tensor
    return groups


def check(state: State, groups: Groups, record: dict[str, Any], path: Path) -> None:
    """Refuse a checkpoint that is not of such a model, or that holds more or less than ours do."""
    weights = {name: weights_of(optimizer) for name, optimizer in state.optimizers.items()}
    fits = (
        record.keys() | {"examples", "processes"} == RECORD
        and record["progress"].keys() == {counter.name for counter in fields(Progress)}
        and len(record["rates"]) == len(state.optimizer.param_groups)
        and groups.keys() == {"model", "best", *weights}
        and all(belongs(key, tensor, weights[name]) for name in weights for key, tensor in groups[name].items())
        and can_load(state.model, groups["model"], groups["best"] or groups["model"])
    )
    if not fits:
        raise SigmaeError(f"{path} is of another model, or was written by another version of sigmae.")


def weights_of(optimizer: Optimizer) -> list[Tensor]:
    """The weights of an optimizer, in the order by which its state is numbered."""
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def belongs(key: str, tensor: Tensor, weights: list[Tensor]) -> bool:
    """Whether a tensor, by "index of the weight.name", can be the state of one of these weights."""
    index = key.partition(".")[0]
    return index.isdecimal() and int(index) < len(weights) and tensor.shape in ((), weights[int(index)].shape)


def can_load(model: nn.Module, *choices: dict[str, Tensor]) -> bool:
    """Whether a model can take each of these weights, found by a trial, since some buffers change in size.

    It keeps its own.
    """
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        for weights in choices:
            model.load_state_dict(weights)
    except RuntimeError:
        return False
    finally:
        model.load_state_dict(own)
    return True


def apply(state: State, groups: Groups, record: dict[str, Any]) -> None:
    """Put a checkpoint's content into `state`."""
    state.model.load_state_dict(groups["model"])
    state.best = groups["best"]
    for name, optimizer in state.optimizers.items():
        apply_moments(optimizer, groups[name])
    for rates, rate in zip(state.optimizer.param_groups, record["rates"], strict=True):
        rates["lr"] = rate
    state.schedule.load_state_dict(from_json(record["schedule"]))
    state.progress = Progress(**from_json(record["progress"]))
    state.processes = record.get("processes", 1)


def apply_moments(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put the state of an optimizer back: tensors by "index of the weight.name"."""
    moments = optimizer.state_dict()
    moments["state"] = {}
    weights = weights_of(optimizer)
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        like = weights[int(index)]  # fused Adam reads memory in order, so the layout must be the weight's
        same = tensor if tensor.shape != like.shape else torch.empty_like(like).copy_(tensor)
        moments["state"].setdefault(int(index), {})[name] = same
    optimizer.load_state_dict(moments)
