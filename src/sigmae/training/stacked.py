"""Runs whose weights are rows of one tensor, and the step that all of them make at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import nn, Tensor
from torch.func import functional_call, vmap
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam
from torch.overrides import TorchFunctionMode

from sigmae.data import scaled
from sigmae.training.loop import Loop
from sigmae.training.noise import DRAWS, FRESH, LIKE

MOMENTS = ("exp_avg", "exp_avg_sq")


class Together:
    """Runs that stand at the same step, and the step that all of them make at once.

    Between steps a run's `Loop` finds weights, buffers and the moments of its optimizer in their places.
    """

    def __init__(self, loops: Sequence[Loop]) -> None:
        self.loops, self.fabric, self.images = loops, loops[0].fabric, loops[0].images
        self.model = loops[0].model
        named = [dict(loop.model.named_parameters()) for loop in loops]
        self.trained = {name: weight.shape for name, weight in named[0].items() if weight.requires_grad}
        weights = [[own[name] for name in self.trained] for own in named]
        self.weights = torch.stack([joined(own) for own in weights]).requires_grad_()
        frozen = [
            {name: tensor for name, tensor in (*own.items(), *loop.model.named_buffers()) if name not in self.trained}
            for own, loop in zip(named, loops, strict=True)
        ]
        self.rest = {name: torch.stack([own[name].detach() for own in frozen]) for name in frozen[0]}
        rows = [nn.Parameter(row) for row in self.weights.detach()]
        self.optimizer = Adam([{"params": [row]} for row in rows], **loops[0].state.optimizer.defaults)
        for run, (loop, row, own) in enumerate(zip(loops, rows, weights, strict=True)):
            self.optimizer.state[row] = shared_moments(loop.state.optimizer, own)
            for weight, view in zip(own, views(row.detach(), list(self.trained.values())), strict=True):
                weight.data = view
            for name, tensor in frozen[run].items():
                tensor.data = self.rest[name][run]

    def step(self, batches: Sequence[Int[Tensor, " batch"]]) -> None:
        """One step of every run, on its own batch."""
        runs = torch.arange(len(self.loops), device=self.fabric.device)
        indices = torch.stack(list(batches)).to(self.images.device)
        x = scaled(self.images.index_select(0, indices.flatten()).to(self.fabric.device)).unflatten(0, indices.shape)
        noise = partial(Noise, [loop.noise_seed() for loop in self.loops])
        with self.fabric.autocast():
            terms = vmap(partial(self.terms, noise), randomness="same")(self.stacked_weights(), self.rest, x, runs)
        self.weights.grad = None
        self.fabric.backward(terms.sum())
        self.update()
        for loop, own in zip(self.loops, terms.detach(), strict=True):
            loop.count(own)

    def stacked_weights(self) -> dict[str, Tensor]:
        """The weights of all runs by name, each [runs, *shape]: one split, whose gradient is one concatenation."""
        parts = self.weights.split([shape.numel() for shape in self.trained.values()], dim=1)
        return {name: part.reshape(-1, *shape) for (name, shape), part in zip(self.trained.items(), parts, strict=True)}

    def terms(
        self,
        noise: Callable[[Tensor], "Noise"],
        weights: Mapping[str, Tensor],
        rest: Mapping[str, Tensor],
        x: Float[Tensor, "batch *event"],
        run: Int[Tensor, ""],
    ) -> Float[Tensor, "3"]:
        """The terms of one run, as vmap sees it."""
        with noise(run):
            return torch.stack(list(functional_call(self.model, (dict(weights), dict(rest)), (x,))))

    def update(self) -> None:
        """A step of the optimizer in every row, at the run's own rate."""
        assert self.weights.grad is not None
        for loop, group, gradient in zip(self.loops, self.optimizer.param_groups, self.weights.grad, strict=True):
            (row,) = group["params"]
            row.grad = gradient
            group["lr"] = loop.state.optimizer.param_groups[0]["lr"]
            if loop.config.clip is not None:
                clip_grad_norm_([row], loop.config.clip)
        self.optimizer.step()

    def release(self) -> None:
        """Give every model tensors of its own again, in the layout that its `Loop` gave them."""
        for loop in self.loops:
            for tensor in (*loop.model.parameters(), *loop.model.buffers()):
                tensor.data = tensor.data.clone()
            loop.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@contextmanager
def stacked(loops: Sequence[Loop]) -> Iterator[Together]:
    """The runs of these loops together, for a block."""
    together = Together(loops)
    try:
        yield together
    finally:
        together.release()


def joined(tensors: Sequence[Tensor]) -> Float[Tensor, " size"]:
    """All entries of some tensors, one after the other."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def views(row: Float[Tensor, " size"], shapes: Sequence[torch.Size]) -> list[Tensor]:
    """The inverse of `joined`, as views."""
    parts = row.split([shape.numel() for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def shared_moments(optimizer: torch.optim.Optimizer, weights: Sequence[Tensor]) -> dict[str, Tensor]:
    """What Adam keeps for the row of these weights; that of the run's own optimizer becomes views of it."""
    own, shapes = optimizer.state, [weight.shape for weight in weights]
    begun = [weight for weight in weights if weight in own]  # none yet, or all that the loss depends on
    step = own[begun[0]]["step"] if begun else torch.zeros((), device=weights[0].device)
    row = {key: joined([own[w][key] if w in own else torch.zeros_like(w) for w in weights]) for key in MOMENTS}
    parts = {key: views(tensor, shapes) for key, tensor in row.items()}
    for index, weight in enumerate(weights):
        own[weight] = {"step": step, **{key: parts[key][index] for key in MOMENTS}}
    return {"step": step, **row}


class Noise(TorchFunctionMode):
    """Within vmap over runs: whatever is drawn, every run gets the numbers that it would draw alone.

    The draws of all runs are made one after another, each by a generator with the run's seed for the step, and
    picked by the run's number. A tensor to be filled is not: the numbers are handed back in a new one.
    """

    def __init__(self, seeds: Sequence[int], run: Int[Tensor, ""]) -> None:
        super().__init__()
        self.seeds, self.run = seeds, run
        self.generators: dict[torch.device, list[torch.Generator]] = {}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function not in DRAWS or kwargs.get("generator") is not None:
            return function(*args, **kwargs)
        if function in FRESH:
            device = torch.device(kwargs.get("device") or torch.get_default_device())
            return self.picked(device, lambda own: function(*args, **kwargs | {"generator": own}))
        if function in LIKE:
            return self.filled(LIKE[function], torch.empty_like(*args, **kwargs))
        return self.filled(function, *args, **kwargs)

    def filled(self, fill: Callable[..., Tensor], blank: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Numbers in the shape of a tensor, by one of its methods."""

        def draw(own: torch.Generator) -> Tensor:
            empty = torch.empty(blank.shape, dtype=blank.dtype, device=blank.device)
            return fill(empty, *args, **kwargs | {"generator": own})

        return self.picked(blank.device, draw)

    def picked(self, device: torch.device, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        """The draw of this run among those of all."""
        if device not in self.generators:
            self.generators[device] = [torch.Generator(device).manual_seed(seed) for seed in self.seeds]
        draws = torch.stack([draw(own) for own in self.generators[device]])
        return draws.index_select(0, self.run.view(1)).squeeze(0)
