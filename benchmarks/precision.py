"""bfloat16 against 32 bits: training steps at several batch sizes, and their largest kernels by themselves.

A step under autocast also casts weights, inputs and gradients, and Adam works in 32 bits: no step gains as much as its
kernels do.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from benchmarks.comparison import Comparison
from benchmarks.steps import apart, repeated
from benchmarks.training_step import new_loop, of_two_loops, Setting, settings, SHORT
from sigmae.seeds import generator

METHOD = "vae"
GOALS = {"mlp": 0.65, "conv": 0.75}
MULTIPLES = {"mlp": (1, 2, 5, 10), "conv": (1, 2)}  # of a setting's batch
KERNEL = 0.02  # largest share by which results of a kernel differ
Kernel = Callable[..., Tensor]
Kernels = Mapping[str, tuple[Kernel, tuple[Tensor, ...]]]


def comparisons(toy: bool) -> Iterator[Comparison]:
    """Steps of one method on every network, then what its layers call."""
    for setting in settings(toy):
        for multiple in MULTIPLES[setting.network]:
            batch = multiple * setting.batch
            examples = max(setting.examples, 2 * batch)
            steps = min(setting.steps, examples // batch)
            yield of_steps(replace(setting, batch=batch, examples=examples, steps=steps))
    for name, kernels in [linear(8, 12, 10), convolution(8, 4, 8)] if toy else [linear(), convolution()]:
        for what, (kernel, tensors) in kernels.items():
            yield of_a_kernel(f"{what}, {name}", kernel, tensors)


def of_steps(setting: Setting) -> Comparison:
    """Our loop in bfloat16 and in 32 bits."""
    return of_two_loops(
        setting,
        {precision: new_loop(setting, METHOD, precision=precision) for precision in ("bf16", "32")},
        name=f"{METHOD}, {setting.name}, batch {setting.batch}",
        goal=GOALS[setting.network],
        tolerance=SHORT,
        about=f"{setting.steps} steps of {setting.batch} images under autocast, weights in 32 bits. Agreement: the "
        "share by which the losses differ after a step.",
    )


def linear(batch: int = 100, inputs: int = 784, outputs: int = 512) -> tuple[str, Kernels]:
    """A layer of a perceptron."""
    x, weight, gradient = normal((batch, inputs), (outputs, inputs), (batch, outputs))
    return f"linear {inputs} to {outputs}, batch {batch}", {
        "forward": (torch.nn.functional.linear, (x, weight)),
        "gradient of the inputs": (torch.mm, (gradient, weight)),
        "gradient of the weights": (torch.mm, (gradient.T, x)),
    }


def convolution(batch: int = 100, channels: int = 64, size: int = 8) -> tuple[str, Kernels]:
    """A convolution with stride 2 that doubles the channels, which lie last."""
    after, half = 2 * channels, size // 2
    shapes = (batch, channels, size, size), (after, channels, 4, 4), (batch, after, half, half)
    x, weight, gradient = (tensor.to(memory_format=torch.channels_last) for tensor in normal(*shapes))
    return f"convolution {channels} to {after} on {size}x{size}, batch {batch}", {
        "forward": (partial(torch.conv2d, stride=2, padding=1), (x, weight)),
        "gradient of the inputs": (partial(convolution_backward, 0), (gradient, x, weight)),
        "gradient of the weights": (partial(convolution_backward, 1), (gradient, x, weight)),
    }


def normal(*shapes: Sequence[int]) -> list[Tensor]:
    """Normal numbers in tensors of these shapes."""
    draw = generator(0, "kernels")
    return [torch.randn(*shape, generator=draw) for shape in shapes]


def convolution_backward(which: int, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """One gradient of `convolution`: of its inputs (0) or of its weights (1)."""
    geometry = ([2, 2], [1, 1], [1, 1], False, [0, 0], 1)
    wanted = [which == 0, which == 1, False]
    found: Tensor = torch.ops.aten.convolution_backward(gradient, x, weight, None, *geometry, wanted)[which]
    return found


def of_a_kernel(name: str, kernel: Kernel, tensors: tuple[Tensor, ...]) -> Comparison:
    """A kernel on tensors in 16 bits and in 32; the casts are not counted."""
    half = tuple(tensor.to(torch.bfloat16) for tensor in tensors)
    return Comparison(
        name=name,
        sides={"bf16": repeated(partial(kernel, *half)), "32": repeated(partial(kernel, *tensors))},
        ours="bf16",
        base="32",
        agree=lambda: apart([kernel(*half).float()], [kernel(*tensors)]),
        tolerance=KERNEL,
        about="Agreement: the relative difference of the results.",
    )
