"""The joint batch: in data-parallel training each process has a share of it, and what compares examples needs them all.

The share of process r of R is every R-th example, from the r-th on. Gradients are averaged over the processes in the
end, and those that pass through here are such that the average is the gradient of one process with the joint batch.
Outside of `sharing` a batch is whole, and is left as it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.autograd import Function

_process, _processes = 0, 1


@contextmanager
def sharing(process: int, processes: int) -> Iterator[None]:
    """In this block, batches are the share that one of `processes` has; all of them have equally many examples."""
    global _process, _processes
    before = _process, _processes
    _process, _processes = process, processes
    try:
        yield
    finally:
        _process, _processes = before


def joint_size(share: int) -> int:
    """How many examples the joint batch has."""
    return share * _processes


def gathered(share: Float[Tensor, "share *rest"]) -> Float[Tensor, "joint *rest"]:
    """The values of all examples of the joint batch, in its order."""
    if _processes == 1:
        return share
    places = share.new_zeros(len(share), _processes, *share.shape[1:])
    places[:, _process] = share
    joint: Tensor = Summed.apply(places)  # type: ignore[no-untyped-call]
    return joint.flatten(0, 1)


def own_share(joint: Shaped[Tensor, "joint *rest"]) -> Shaped[Tensor, "share *rest"]:
    """Those values of the joint batch that belong to the examples of this process."""
    return joint[_process::_processes]


def averaged(value: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The mean of a value over the processes: of a mean over the share, the mean over the joint batch."""
    if _processes == 1:
        return value
    total: Tensor = Summed.apply(value)  # type: ignore[no-untyped-call]
    return total / _processes


class Summed(Function):
    """The sum over all processes. So is its gradient: every process has a loss of its own that depends on the sum."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        """The sum, which leaves the value as it is."""
        total = value.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """The sum of the gradients, for every process the same."""
        summed: Tensor = Summed.apply(gradient)  # type: ignore[no-untyped-call]
        return summed
