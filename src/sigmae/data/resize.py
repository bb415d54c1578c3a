"""Image sizes: centre crop to a square and bilinear resize, or zero padding."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.nn.functional import interpolate, pad

from sigmae.data.dataset import Dataset
from sigmae.data.pictures import check_memory
from sigmae.errors import SigmaeError

CHUNK = 1024  # images resized at once, so that their float copies stay small

Images = Shaped[Tensor, "count channels height width"]
Squares = Shaped[Tensor, "count channels {size} {size}"]


def fitted(dataset: Dataset, size: int | None, fit: Callable[[Tensor, int], Tensor] | None = None) -> Dataset:
    """The data set with square images of `size` pixels, by `fit`; the same where None or already so."""
    if size is None or dataset.shape[1:] == (size, size):
        return dataset
    if not dataset.is_image:
        raise SigmaeError(f"{dataset.name} holds vectors, which have no image size: leave image_size out.")
    change = fit or resized
    splits = {name: getattr(dataset, name) for name in ("train", "validation", "test")}
    return replace(dataset, **{name: replace(s, images=change(s.images, size)) for name, s in splits.items()})


def resized(images: Images, size: int) -> Squares:
    """Centre-cropped to a square, then resized bilinearly with antialiasing; uint8 is rounded."""
    check_memory(len(images), (images.shape[1], size, size))
    height, width = images.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = images[:, :, top : top + side, left : left + side]
    result = torch.empty(*images.shape[:2], size, size, dtype=images.dtype)
    for old, new in zip(torch.split(square, CHUNK), torch.split(result, CHUNK), strict=True):
        smooth = interpolate(old.float(), (size, size), mode="bilinear", antialias=True)
        # A weighted mean lies within the range of the images; its rounding error need not.
        smooth.clamp_(*(bound.item() for bound in old.aminmax()))
        new.copy_(smooth if images.is_floating_point() else smooth.round_())
    return result


def padded(images: Images, size: int) -> Squares:
    """28 pixels to 32 by a border of two zeros, as the RAE and AVAE papers do; other sizes are `resized`."""
    if (*images.shape[2:], size) != (28, 28, 32):
        return resized(images, size)
    return pad(images, (2, 2, 2, 2))
