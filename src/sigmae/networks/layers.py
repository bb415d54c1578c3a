"""Layers that the published networks share, padded like the "same" of the framework most of them were written in.

Kernels of 4 with stride 2 take padding 1; kernels of 5 take padding 2, and output padding 1 where they double the
image; kernels of 4 with stride 1 have no symmetric equivalent, so the image comes out one larger and loses its last
row and column. Sizes agree everywhere; with odd kernels and stride 2 the sampling grid is shifted by one pixel.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from jaxtyping import Float
from torch import nn, Tensor
from torch.autograd import Function

Layer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


class Flatten(nn.Flatten):
    """Flattens images; in training their gradient comes back with its channels last in memory, as they are."""

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch values"]:
        if images.requires_grad:
            images = GradientChannelsLast.apply(images)  # type: ignore[no-untyped-call]
        return super().forward(images)


class Unflatten(nn.Unflatten):
    """Makes images of values; in training with their channels last in memory, as the layers behind want them."""

    def forward(self, values: Float[Tensor, "batch values"]) -> Float[Tensor, "batch channels height width"]:
        images = super().forward(values)
        return channels_last(images) if images.requires_grad else images


def channels_last(images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
    """The same images in the memory format of that name, by operations that vmap knows."""
    return images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


class GradientChannelsLast(Function):
    """Leaves images as they are, and their gradient too but for its layout: where two layouts meet, all is slow."""

    generate_vmap_rule = True

    @staticmethod
    def forward(images: Tensor) -> Tensor:
        return images.view_as(images)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return channels_last(gradient)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        return tangent.view_as(tangent)


class Crop(nn.Module):
    """Drops the last row and column."""

    def forward(self, images: Tensor) -> Tensor:
        return images[..., :-1, :-1]


def halving(inputs: int, outputs: int, kernel: int = 4) -> nn.Conv2d:
    """A convolution of stride 2: half the rows and columns."""
    return nn.Conv2d(inputs, outputs, kernel, 2, (kernel - 1) // 2)


def doubling(inputs: int, outputs: int, kernel: int = 4) -> nn.ConvTranspose2d:
    """A transposed convolution of stride 2: twice the rows and columns."""
    return nn.ConvTranspose2d(inputs, outputs, kernel, 2, (kernel - 1) // 2, output_padding=kernel % 2)


def keeping(inputs: int, outputs: int, kernel: int = 4) -> list[nn.Module]:
    """A transposed convolution of stride 1: as many rows and columns, by a crop where the kernel is even."""
    layer = nn.ConvTranspose2d(inputs, outputs, kernel, 1, (kernel - 1) // 2)
    return [layer] if kernel % 2 else [layer, Crop()]


def block(layer: Layer, *, norm: bool = True, activation: Callable[[], nn.Module] = nn.ReLU) -> list[nn.Module]:
    """A layer, its batch normalization unless there is none, its activation."""
    if not norm:
        return [layer, activation()]
    if isinstance(layer, nn.Linear):
        return [layer, nn.BatchNorm1d(layer.out_features), activation()]
    return [layer, nn.BatchNorm2d(layer.out_channels), activation()]


def blocks(
    layer: Callable[[int, int, int], Layer],
    channels: Sequence[int],
    kernel: int = 4,
    *,
    norm: bool = True,
    activation: Callable[[], nn.Module] = nn.ReLU,
) -> list[nn.Module]:
    """A block from each number of channels to the next; `layer` is `halving` or `doubling`."""
    chain: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        chain += block(layer(inputs, outputs, kernel), norm=norm, activation=activation)
    return chain
