"""Tangents: what every layer of a network does with small changes of its input.

A network is walked once, layer by layer. A kernel takes the tangents of all examples as one stacked batch, without its
bias; what acts on every value for itself has a slope, which is worked out once for all tangents. Layers without a rule
here are differentiated by forward mode, each for itself, so that every network may be walked.

In training mode batch normalization ties the examples of a batch together. A derivative here is always that of one
example's output by its own input, with the batch's mean and variance as they are: moving all inputs alike would
otherwise move nothing at all behind such a layer.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import nn, Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from sigmae.networks.layers import Flatten, Unflatten

Layer = Callable[[Tensor], Tensor]
Forward = Callable[..., Tensor] | None
Rows = Int[Tensor, " rows"] | None  # the examples that have tangents; None is all of them
Tangents = Float[Tensor, "rows *axes"]  # [rows, columns, *features], or [rows, features]: a diagonal's columns
Carry = Callable[[Any, Tensor, Tensor, Rows], tuple[Tensor, Tensor]]  # inputs and tangents before and after a layer
Slope = Callable[[Any, Tensor, Rows, Tensor | None], tuple[Tensor, Tensor]]  # outputs, and the slope up to them
Statistics = dict[_BatchNorm, tuple[Tensor, Tensor]]


def walk(
    network: Layer, inputs: Float[Tensor, "batch *features"], tangents: Tangents, rows: Rows = None
) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, "rows columns *event"]]:
    """The network's outputs, and what its derivative at the inputs of `rows` makes of their tangents.

    Slopes that follow each other are multiplied before the tangents are; a single tangent is where its slopes begin.
    Weights that are computed, as behind a spectral norm, are computed once for outputs and tangents alike.
    """
    slope, single = None, tangents.ndim > inputs.ndim and tangents.shape[1] == 1
    with parametrize.cached():
        for layer in layers(network):
            kind = forward_of(layer)
            if kind in SLOPES:
                before = tangents.squeeze(1) if single and slope is None else slope
                inputs, slope = SLOPES[kind](layer, inputs, rows, before)
            else:
                tangents, slope = scaled(tangents, slope, single), None
                inputs, tangents = CARRIES.get(kind, by_forward_mode)(layer, inputs, tangents, rows)
    return inputs, in_columns(scaled(tangents, slope, single))


def layers(network: Layer) -> Iterator[Layer]:
    """The layers one after the other, sequences within sequences unrolled."""
    if isinstance(network, nn.Module) and forward_of(network) is nn.Sequential.forward:
        for layer in network.children():
            yield from layers(layer)
    else:
        yield network


def forward_of(layer: Layer) -> Forward:
    """What calling a layer runs, if that is its class's `forward` and nothing else: rules are found by it."""
    if not isinstance(layer, nn.Module) or layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer):
        return None
    return type(layer).forward


def pick(values: Float[Tensor, "batch *features"], rows: Rows) -> Float[Tensor, "rows *features"]:
    """The values of the examples that have tangents."""
    return values if rows is None else values.index_select(0, rows)


def scaled(tangents: Tangents, slope: Float[Tensor, "#rows *features"] | None, single: bool) -> Tangents:
    """The tangents times a slope, which is the same for all of an example's; a `single` one is in it already."""
    if slope is None:
        return tangents
    slope = slope.to(tangents.dtype)
    if single:
        return slope.unsqueeze(1)
    return tangents * (slope.unsqueeze(1) if tangents.ndim > slope.ndim else slope)


def in_columns(tangents: Tangents) -> Float[Tensor, "rows columns *features"]:
    """A diagonal written out."""
    return torch.diag_embed(tangents) if tangents.ndim == 2 else tangents


def dense(layer: nn.Linear, inputs: Tensor, tangents: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """W t, for a diagonal the columns of W, each times its number: no product of matrices."""
    weight = layer.weight.to(tangents.dtype)
    if tangents.ndim == 2:
        return layer(inputs), tangents.unsqueeze(2) * weight.T
    return layer(inputs), F.linear(tangents, weight)


def stacked(apply: Layer, tangents: Tensor) -> Tensor:
    """A linear map of a batch, here of the batch of all tangents."""
    columns = in_columns(tangents)
    outputs: Tensor = apply(columns.flatten(0, 1)).unflatten(0, columns.shape[:2])
    return outputs


def convolution(
    layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, inputs: Tensor, tangents: Tensor, rows: Rows, *, by: Callable[..., Tensor]
) -> tuple[Tensor, Tensor]:
    """The kernel without its bias."""
    if layer.padding_mode != "zeros":
        return by_forward_mode(layer, inputs, tangents, rows)
    weight = layer.weight.to(tangents.dtype)
    sizes = layer.stride, layer.padding, layer.dilation, layer.groups
    return layer(inputs), stacked(lambda batch: by(batch, weight, None, *sizes), tangents)


def transposed(
    layer: nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d,
    inputs: Tensor,
    tangents: Tensor,
    rows: Rows,
    *,
    by: Callable[..., Tensor],
) -> tuple[Tensor, Tensor]:
    """The kernel without its bias."""
    weight = layer.weight.to(tangents.dtype)
    sizes = layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation
    return layer(inputs), stacked(lambda batch: by(batch, weight, None, *sizes), tangents)


def unchanged(layer: nn.Module, inputs: Tensor, tangents: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """A layer that is linear as it is: it moves values, or averages them."""
    return layer(inputs), stacked(layer, tangents)


def product(
    layer: Layer, inputs: Float[Tensor, "rows *features"], tangent: Float[Tensor, "rows *features"]
) -> tuple[Tensor, Tensor]:
    """A layer's outputs and J t, by forward mode."""
    outputs, pushed = torch.func.jvp(layer, (inputs,), (tangent,))  # type: ignore[misc]  # typed as three
    return outputs, pushed


def by_forward_mode(layer: Layer, inputs: Tensor, tangents: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """Any function: forward-mode products, those of all columns in one pass.

    That pass gives the outputs too, unless they are those of more examples, or of examples that are tied together.
    """
    with recorded_statistics(layer) as statistics:
        alone = rows is None and not any(part.training for part in normalizations(layer))
        outputs = None if alone else layer(inputs)
    picked = pick(inputs, rows)
    with fixed_statistics(statistics):
        passed, columns = torch.func.vmap(partial(product, layer, picked), 1, (None, 1), randomness="same")(  # type: ignore[arg-type]
            in_columns(tangents).to(picked.dtype)
        )
    return passed if outputs is None else outputs, columns.to(tangents.dtype)


def times(slope: Tensor | None, found: Tensor) -> Tensor:
    """The slope of two layers, of which the first may have none."""
    return found if slope is None else slope * found


def normalization(layer: _BatchNorm, inputs: Tensor, rows: Rows, slope: Tensor | None) -> tuple[Tensor, Tensor]:
    """The layer's scale over the standard deviation, the batch's own in training mode."""
    outputs = layer(inputs)
    if layer.training or layer.running_var is None:
        precision, _ = InverseDeviation.apply(inputs, layer.eps)  # type: ignore[no-untyped-call]
    else:
        precision = (layer.running_var + layer.eps).rsqrt()
    return outputs, times(slope, scale_of(layer, precision.view(1, -1, *[1] * (inputs.ndim - 2))))


def rectified(layer: nn.ReLU, inputs: Tensor, rows: Rows, slope: Tensor | None) -> tuple[Tensor, Tensor]:
    """The slope before it where the output is above zero, by the operation that ReLU's backward pass is."""
    outputs = layer(inputs)
    picked = pick(outputs.detach(), rows)  # by which the slope has no derivative, and torch would add up zeros
    before = torch.ones_like(picked[:1]) if slope is None else slope.to(picked.dtype)
    return outputs, torch.ops.aten.threshold_backward(before.expand_as(picked), picked, 0)


def sigmoid(layer: nn.Sigmoid, inputs: Tensor, rows: Rows, slope: Tensor | None) -> tuple[Tensor, Tensor]:
    """s (1 - s)."""
    outputs = layer(inputs)
    picked = pick(outputs, rows)
    return outputs, times(slope, picked * (1 - picked))


def hyperbolic(layer: nn.Tanh, inputs: Tensor, rows: Rows, slope: Tensor | None) -> tuple[Tensor, Tensor]:
    """1 - t²."""
    outputs = layer(inputs)
    return outputs, times(slope, 1 - pick(outputs, rows).square())


def pointwise(layer: nn.Module, inputs: Tensor, rows: Rows, slope: Tensor | None) -> tuple[Tensor, Tensor]:
    """The derivative of a function of every value for itself, by forward mode along ones."""
    outputs, found = product(layer, inputs.clone(), torch.ones_like(inputs))  # some overwrite their inputs
    return outputs, times(slope, pick(found, rows))


class InverseDeviation(torch.autograd.Function):
    """(variance + eps)^(-1/2) of every channel of a batch, and its mean, as batch normalization computes them.

    torch's own variance takes far longer where channels are last in memory.
    """

    @staticmethod
    def forward(inputs: Float[Tensor, "batch channels *rest"], eps: float) -> tuple[Tensor, Tensor]:
        mean, variance = torch.batch_norm_update_stats(inputs, None, None, 0.0)
        return (variance + eps).rsqrt().to(inputs.dtype), mean.to(inputs.dtype)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None], inputs: Tensor, eps: float) -> tuple[Any, tuple[int, int]]:
        """Of several runs at once: their channels side by side, for which there is a kernel."""
        runs = inputs.movedim(in_dims[0], 1)
        precision, mean = InverseDeviation.apply(runs.flatten(1, 2), eps)  # type: ignore[no-untyped-call]
        return (precision.unflatten(0, runs.shape[1:3]), mean.unflatten(0, runs.shape[1:3])), (0, 0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(inputs[0], *output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, " channels"], _: Tensor) -> tuple[Tensor, None]:
        inputs, precision, mean = ctx.saved_tensors
        factor = -gradient * precision**3 * (len(mean) / inputs.numel())
        shape = (1, -1, *[1] * (inputs.ndim - 2))
        return torch.addcmul((-factor * mean).view(shape), factor.view(shape), inputs), None


CARRIES: Mapping[Forward, Carry] = {
    nn.Linear.forward: dense,
    nn.Conv1d.forward: partial(convolution, by=F.conv1d),
    nn.Conv2d.forward: partial(convolution, by=F.conv2d),
    nn.Conv3d.forward: partial(convolution, by=F.conv3d),
    nn.ConvTranspose1d.forward: partial(transposed, by=F.conv_transpose1d),
    nn.ConvTranspose2d.forward: partial(transposed, by=F.conv_transpose2d),
    nn.ConvTranspose3d.forward: partial(transposed, by=F.conv_transpose3d),
    nn.Flatten.forward: unchanged,
    nn.Unflatten.forward: unchanged,
    Flatten.forward: unchanged,
    Unflatten.forward: unchanged,
    nn.Identity.forward: unchanged,
    nn.Upsample.forward: unchanged,
    nn.PixelShuffle.forward: unchanged,
    nn.AvgPool2d.forward: unchanged,
    nn.ZeroPad2d.forward: unchanged,
}
SLOPES: Mapping[Forward, Slope] = {
    _BatchNorm.forward: normalization,
    nn.ReLU.forward: rectified,
    nn.Sigmoid.forward: sigmoid,
    nn.Tanh.forward: hyperbolic,
    nn.LeakyReLU.forward: pointwise,
    nn.ELU.forward: pointwise,
    nn.GELU.forward: pointwise,
    nn.SiLU.forward: pointwise,
    nn.Softplus.forward: pointwise,
    nn.Dropout.forward: pointwise,
}


def normalizations(network: Layer) -> list[_BatchNorm]:
    """The layers of batch normalization; none in a function that is no module."""
    modules = network.modules() if isinstance(network, nn.Module) else []
    return [layer for layer in modules if isinstance(layer, _BatchNorm)]


def batch_statistics(inputs: Float[Tensor, "batch channels *rest"]) -> tuple[Tensor, Tensor]:
    """Mean and variance of every channel, with dimensions of size one for the others."""
    dims = [dim for dim in range(inputs.ndim) if dim != 1]
    variance, mean = torch.var_mean(inputs, dims, correction=0, keepdim=True)
    return mean, variance


@contextmanager
def recorded_statistics(network: Layer) -> Iterator[Statistics]:
    """Keep mean and variance of every batch normalization in training mode, as the passes within compute them."""
    statistics: Statistics = {}

    def record(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(layer, _BatchNorm)
        statistics[layer] = batch_statistics(inputs[0])

    hooks = [layer.register_forward_pre_hook(record) for layer in normalizations(network) if layer.training]
    try:
        yield statistics
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def fixed_statistics(statistics: Mapping[_BatchNorm, tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Let batch normalization use these means and variances; gradients by the weights still flow through them."""
    try:
        for layer, (mean, variance) in statistics.items():
            layer.forward = normalized(layer, mean, variance)  # type: ignore[method-assign, assignment]
        yield
    finally:
        for layer in statistics:
            del layer.forward


def normalized(layer: _BatchNorm, mean: Tensor, variance: Tensor) -> Layer:
    """What the layer does with a mean and a variance."""
    scale = scale_of(layer, (variance + layer.eps).rsqrt())[0]
    bias = torch.zeros_like(scale) if layer.bias is None else layer.bias.view(scale.shape)
    return lambda inputs: (inputs - mean[0]) * scale + bias


def scale_of(layer: _BatchNorm, precision: Float[Tensor, "1 channels *ones"]) -> Float[Tensor, "1 channels *ones"]:
    """What the layer multiplies by where one over the standard deviation is `precision`."""
    return precision if layer.weight is None else precision * layer.weight.view(precision.shape)
