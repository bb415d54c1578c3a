"""What stops training, told in a sentence: memory that is short, matrices that diverged, a batch of one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from sigmae.errors import SigmaeError
from sigmae.settings import TrainingConfig

if TYPE_CHECKING:
    from sigmae.training.loop import Loop

ONE_VALUE = "Expected more than 1 value per channel"  # as torch says it


def remedy(config: TrainingConfig) -> str:
    """What to do where a batch does not fit into memory."""
    return (
        f"A step on {config.batch_size} images does not fit; what was saved is whole. Free some memory and repeat the "
        "command, or take a smaller --batch-size, in another --out."
    )


@contextmanager
def torch_errors_told(loops: "Sequence[Loop]") -> Iterator[None]:
    """Tell in a sentence what stops these runs by an error of torch: matrices that diverged, and a batch of one."""
    try:
        yield
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        for loop in loops:
            loop.flush()  # a term that was not finite before says more
        what = f"the numbers of a matrix are not finite or too large ({str(error).partition(':')[0]} failed)"
        raise loops[0].diverged(what, loops[0].state.progress.step + 1) from error
    except ValueError as error:
        if ONE_VALUE not in str(error):
            raise
        raise SigmaeError(
            "Batch normalization compares the examples of a batch, and this network leaves one value of each: "
            "use --batch-size 2 or more, for every process, or another --network."
        ) from error
