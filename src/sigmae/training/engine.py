"""The engine of training: Lightning Fabric, for one device or several."""

from typing import Any, TYPE_CHECKING

import torch

from sigmae.errors import SigmaeError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed"}


def make_fabric(precision: str = "32", device: str = "auto", devices: int = 1, nodes: int = 1) -> "Fabric":
    """The engine: one device by default, several devices or machines by data-parallel training."""
    from lightning_fabric import Fabric

    for option, number in {"devices": devices, "nodes": nodes}.items():
        if number < 1:
            raise SigmaeError(f"{option} must be 1 or more, got {number}.")
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device != "auto" and not present[device]:
        there = ", ".join(name for name, is_there in present.items() if is_there)
        raise SigmaeError(f"There is no device '{device}' on this machine, or torch cannot use it. There is: {there}.")
    if device in ("auto", "cuda") and 0 < torch.cuda.device_count() < devices:
        raise SigmaeError(f"This machine has {torch.cuda.device_count()} CUDA devices, not {devices}.")
    strategy = "ddp" if devices * nodes > 1 else "auto"
    fabric = Fabric(
        accelerator=device, devices=devices, num_nodes=nodes, precision=PRECISIONS[precision], strategy=strategy
    )
    fabric.strategy.precision.convert_input = lambda data: data  # type: ignore[method-assign]  # images keep 32 bits
    return fabric


def needs_no_wrappers(fabric: "Fabric") -> bool:
    """Whether what Fabric wraps around model and optimizer only chooses the precision, and takes time.

    Of a fabric of one's own, other precisions may scale the loss.
    """
    return fabric.world_size == 1 and fabric.strategy.precision.precision in PRECISIONS.values()
