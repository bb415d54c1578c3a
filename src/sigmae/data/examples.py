"""Any object with a length and examples by number, such as a torchvision data set."""

from collections.abc import Callable
from operator import getitem
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from sigmae.data.arrays import examples, label_numbers, to_tensor
from sigmae.data.dataset import Dataset, Progress, Split
from sigmae.data.pictures import check_memory, eight_bits, pixels, square
from sigmae.data.splits import divided
from sigmae.errors import SigmaeError


@runtime_checkable
class Examples(Protocol):
    """What has examples by number: each an image (PIL, array or tensor), or an (image, label) pair."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def from_examples(source: Examples, name: str, size: int | None = None, progress: Progress | None = None) -> Dataset:
    """A data set of all examples, read once, split 80, 10 and 10 percent by the fixed permutation.

    Labels are kept where every example has an integer or a string, their names from an attribute `classes`.
    """
    images, labels = _collected(source, name, size, progress)
    checked = examples(images.unsqueeze(1) if images.ndim == 3 else images, name)
    if any(label is None for label in labels):
        return divided(name, Split(checked))
    numbers, names = label_numbers(labels, len(checked), name)
    return divided(name, Split(checked, numbers), names or tuple(map(str, getattr(source, "classes", ()))))


def _collected(source: Examples, name: str, size: int | None, progress: Progress | None) -> tuple[Tensor, list[Any]]:
    images, labels, count = torch.empty(0), [], _asked(len, name, source)
    for index in range(count):
        image, label = _pair(_asked(getitem, name, source, index))
        row = _row(image, size, f"Example {index} of {name}")
        if index == 0:
            check_memory(count, row.shape)
            images = torch.empty(count, *row.shape, dtype=row.dtype)
        if (row.shape, row.dtype) != (images.shape[1:], images.dtype):
            found, first = f"{row.dtype} {list(row.shape)}", f"{images.dtype} {list(images.shape[1:])}"
            raise SigmaeError(f"Example {index} of {name} is {found} and the first is {first}: give all of one kind.")
        images[index] = row
        labels.append(label)
        if progress:
            progress(index + 1, count)
    return images, labels


def _asked(question: Callable[..., Any], name: str, source: Examples, *index: int) -> Any:
    """The length of an object, or an example; one that has columns, or no length, is told to become an array."""
    try:
        return question(source, *index)
    except (LookupError, TypeError) as error:
        raise SigmaeError(
            f"{name} is a {type(source).__name__} without a length and numbered examples "
            f"({type(error).__name__}: {error!s:.200}): give an array, such as its to_numpy() or toarray()."
        ) from error


def _pair(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, tuple) or not item:
        return item, None
    image, *rest = item
    label = rest[0] if rest else None
    if isinstance(label, Tensor | np.ndarray) and label.ndim == 0:
        label = label.item()
    return image, label if isinstance(label, int | str | np.integer) else None


def _row(image: Any, size: int | None, name: str) -> Tensor:
    from PIL.Image import Image

    if isinstance(image, Image):
        image = pixels(square(eight_bits(image, name), size))
    if not isinstance(image, np.ndarray | Tensor):
        raise SigmaeError(f"{name} is a {type(image).__name__}, not a PIL image, an array or a tensor.")
    return to_tensor(image, name)
