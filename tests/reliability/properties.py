"""Properties: what holds for every one of many random inputs, which are the same every time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

F64 = torch.float64


@dataclass(frozen=True)
class Batch:
    """The sizes, the scale and the seed of random codes."""

    seed: int
    size: int
    latent: int
    scale: float

    def normal(self, *shape: int, stream: int = 0) -> Tensor:
        """Standard normal numbers; those of another shape or stream have nothing to do with them."""
        draw = torch.Generator().manual_seed(hash((self.seed, stream, *shape)) % 2**32)
        return torch.randn(shape, generator=draw, dtype=F64)

    @property
    def codes(self) -> Tensor:
        """A code of every example, of the batch's scale."""
        return self.scale * self.normal(self.size, self.latent)

    @property
    def order(self) -> Tensor:
        """Another order of the examples."""
        return self.normal(self.size, stream=1).argsort()


def batches(size: tuple[int, int] = (1, 8), latent: tuple[int, int] = (1, 6)) -> st.SearchStrategy[Batch]:
    """Batches of such sizes, and scales from 1e-3 to 1e3."""
    seeds, scales = st.integers(0, 2**32 - 1), st.floats(-3, 3).map(lambda power: 10.0**power)
    return st.builds(Batch, seeds, st.integers(*size), st.integers(*latent), scales)


def holds_for(tries: int, **inputs: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A test of so many random inputs, each a try of the promise that it keeps."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        every = settings(max_examples=tries, deadline=None, derandomize=True)(given(**inputs)(test))
        every.tries = tries  # for the ledger
        return every

    return decorate
