"""What draws, and the noise of data-parallel training: every process takes its share of that of the joint batch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sigmae.joint import joint_size, own_share

SIZED = {torch.rand, torch.randn, torch.randint}
FRESH = {*SIZED, torch.randperm}
LIKE: dict[Any, Callable[..., Tensor]] = {torch.rand_like: Tensor.uniform_, torch.randn_like: Tensor.normal_}
FILLING = {Tensor.uniform_, Tensor.normal_, Tensor.bernoulli_}
DRAWS = FRESH | LIKE.keys() | FILLING


class JointNoise(TorchFunctionMode):
    """In a step: what is drawn for a share of `size` examples is the share of what one process draws for all of them.

    An axis that is as long as the share, or else a multiple of it, is that of the examples. Where there is none, all
    processes draw the same. Permutations, and what layers draw out of sight, are each process's own.
    """

    def __init__(self, size: int, seed: int) -> None:
        super().__init__()
        self.size, self.seed = size, seed
        self.generators: dict[torch.device, torch.Generator] = {}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function not in DRAWS - {torch.randperm} or kwargs.get("generator") is not None:
            return function(*args, **kwargs)
        if function in FILLING:
            blank, *numbers = args
            return blank.copy_(self.filled(function, blank, *numbers, **kwargs))
        if function in LIKE:
            return self.filled(LIKE[function], torch.empty_like(*args, **kwargs))
        blank = function(*args, **kwargs)  # its numbers are not used
        bounds = [bound for bound in args if isinstance(bound, int)] if function is torch.randint else []
        kwargs = {key: value for key, value in kwargs.items() if key != "size"}
        return self.share(blank, partial(function, *bounds, **kwargs))

    def filled(self, fill: Callable[..., Tensor], blank: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Numbers in the shape of a tensor, by one of its methods."""

        def draw(size: tuple[int, ...], generator: torch.Generator) -> Tensor:
            return fill(blank.new_empty(size), *args, **kwargs | {"generator": generator})

        return self.share(blank, draw)

    def share(self, blank: Tensor, draw: Callable[..., Tensor]) -> Tensor:
        """The share of what is drawn for the joint batch, in the shape of `blank`."""
        if blank.device not in self.generators:
            self.generators[blank.device] = torch.Generator(blank.device).manual_seed(self.seed)
        generator, shape = self.generators[blank.device], tuple(blank.shape)
        multiples = [axis for axis, length in enumerate(shape) if length and length % self.size == 0]
        if not multiples:
            return draw(size=shape, generator=generator)
        axis = min(multiples, key=lambda axis: (shape[axis] != self.size, axis))
        size = (*shape[:axis], joint_size(shape[axis]), *shape[axis + 1 :])
        points = draw(size=size, generator=generator).unflatten(axis, (-1, joint_size(self.size)))
        return own_share(points.movedim(axis + 1, 0)).movedim(0, axis + 1).flatten(axis, axis + 1)
