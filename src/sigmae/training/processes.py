"""Several processes that train one model: what they decide alike, what they cannot share, how a lost one is told."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sigmae.errors import SigmaeError


class ProcessLost(SigmaeError):
    """Another process of this training has ended before its time, and says why itself."""


@contextmanager
def losses_told() -> Iterator[None]:
    """Tell in a sentence that a process is gone which this one has to wait for."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.distributed.DistError) and "gloo/" not in str(error):
            raise
        raise ProcessLost(
            "Another process of this training has ended before its time; what was saved is whole, and the same "
            "command continues."
        ) from error


class Agreement:
    """What all processes decide alike, over a connection between processors that no GPU is waited for.

    A process that has ended is noticed here.
    """

    def __init__(self, processes: int) -> None:
        self.group = torch.distributed.new_group(backend="gloo") if processes > 1 else None

    def largest(self, *numbers: int) -> list[int]:
        """The largest of each number over the processes."""
        if self.group is None:
            return list(numbers)
        wishes = torch.tensor(numbers)
        torch.distributed.all_reduce(wishes, torch.distributed.ReduceOp.MAX, self.group)
        return wishes.tolist()


def check_shares(batch_size: int, processes: int) -> None:
    """Refuse a batch of which not all processes would have a share alike."""
    if batch_size % processes:
        raise SigmaeError(
            f"A batch of {batch_size} examples cannot be shared alike by {processes} processes: "
            f"use --batch-size {max(1, batch_size // processes) * processes}."
        )


def not_shared(model: nn.Module, processes: int, before: int) -> str:
    """What makes training differ from that of one process, or of the number of processes `before`; "" for nothing."""
    if max(processes, before) == 1 or not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return ""
    shared = "Batch normalization takes the statistics of each process's share of a batch"
    if processes == before:
        return f"{shared}: this run will not be that of one process."
    return f"{shared}: trained by {before} so far, this run will not end as if it had not changed to {processes}."
