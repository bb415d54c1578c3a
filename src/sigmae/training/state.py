"""All that training is at one moment, and how it is saved and continued exactly.

Batches and noise are drawn from seeds derived from (seed, epoch) and (seed, step), so no generator has a
state to save. A checkpoint is one file: weights, optimizer moments and best weights as tensors, the rest
as JSON. The last two are kept; a damaged one is passed over for the one before.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn, Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sigmae.errors import SigmaeError
from sigmae.tensors import load_tensors, save_tensors

KEPT = 2


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
    """Model, optimizer, schedule, the opponents' optimizers, the best weights so far, and the counters."""

    model: nn.Module
    optimizer: Optimizer
    schedule: ReduceLROnPlateau
    opponents: list[Optimizer] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    best: dict[str, Tensor] = field(default_factory=dict)

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
    record = {"progress": json_ready(asdict(state.progress)), "rates": rates}
    save_tensors(path, tensors, record | {"schedule": json_ready(state.schedule.state_dict())})
    for old in sorted(path.parent.glob("step-*.safetensors"))[:-KEPT]:
        old.unlink()
    return path


def json_ready(values: dict[str, Any]) -> dict[str, Any]:
    """Numbers that JSON lacks, as text."""
    return {key: repr(value) if value in (float("inf"), -float("inf")) else value for key, value in values.items()}


def from_json(values: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `json_ready`."""
    return {key: float(value) if value in ("inf", "-inf") else value for key, value in values.items()}


def restore(state: State, folder: Path, warn: Callable[[str], None]) -> bool:
    """Continue from the newest whole checkpoint; whether there was one. Damaged ones are told to `warn`."""
    for path in sorted((folder / "checkpoints").glob("step-*.safetensors"), reverse=True):
        try:
            tensors, record = load_tensors(path)
        except SigmaeError as error:
            warn(f"{error} The checkpoint before it is used.")
            continue
        apply(state, tensors, record)
        return True
    return False


def apply(state: State, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Put a checkpoint's content into `state`."""
    groups: dict[str, dict[str, Tensor]] = {name: {} for name in ("model", "best", *state.optimizers)}
    for key, tensor in tensors.items():
        group, _, name = key.partition(".")
        groups[group][name] = tensor
    state.model.load_state_dict(groups["model"])
    state.best = groups["best"]
    for name, optimizer in state.optimizers.items():
        apply_moments(optimizer, groups[name])
    for rates, rate in zip(state.optimizer.param_groups, record["rates"], strict=True):
        rates["lr"] = rate
    state.schedule.load_state_dict(from_json(record["schedule"]))
    state.progress = Progress(**from_json(record["progress"]))


def apply_moments(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put the state of an optimizer back: tensors by "index of the weight.name"."""
    moments = optimizer.state_dict()
    moments["state"] = {}
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        like = weights[int(index)]  # fused Adam reads memory in order, so the layout must be the weight's
        same = tensor if tensor.shape != like.shape else torch.empty_like(like).copy_(tensor)
        moments["state"].setdefault(int(index), {})[name] = same
    optimizer.load_state_dict(moments)


def finite(model: nn.Module) -> bool:
    """Whether every weight is a finite number."""
    sums = [tensor.detach().sum() for tensor in model.parameters()]
    return bool(torch.stack(sums).isfinite().all())
