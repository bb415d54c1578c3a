"""Arrays in memory, .npy and .npz files: checked, and brought to one layout."""

import math
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import is_zipfile, ZipFile

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int64, Shaped
from numpy.lib.format import MAGIC_PREFIX
from torch import Tensor

from sigmae.data.dataset import Dataset, Split
from sigmae.data.mapped import HELD
from sigmae.data.pictures import MEMORY_LIMIT
from sigmae.data.splits import divided, two_ways
from sigmae.errors import SigmaeError

Array = npt.NDArray[Any] | Tensor
Labels = Array | list[Any]
CHANNELS = (1, 3, 4)
CHECKED_AT_ONCE = 1 << 24  # values
IMAGE_KEYS, LABEL_KEYS = ("images", "x", "data"), ("labels", "y")


def from_arrays(images: Array, labels: Labels | None = None, name: str = "array") -> Dataset:
    """A data set of `examples(images)`, split 80, 10 and 10 percent by the fixed permutation.

    Of an array that is `streamed` the splits are on disk as well.
    """
    checked = examples(images, name)
    classes, names = (None, ()) if labels is None else label_numbers(labels, len(checked), name)
    return divided(name, Split(checked, classes), names, on_disk=streamed(images))


def from_mapping(arrays: Mapping[str, Array], name: str) -> Dataset:
    """A data set of named arrays.

    Understood: images, x or data with labels or y; x_train and x_test with y_train and y_test, and the same
    with _val where validation is given; one array of any name.
    """
    if {"x_train", "x_test"} <= arrays.keys():
        return _from_splits(arrays, name)
    found = [key for key in IMAGE_KEYS if key in arrays] or (list(arrays) if len(arrays) == 1 else [])
    if not found:
        raise SigmaeError(
            f"{name} has the arrays {', '.join(arrays) or 'none'}: name them images (or x, data) and labels (or y), "
            "or x_train, y_train, x_test and y_test."
        )
    labels = next((arrays[key] for key in LABEL_KEYS if key in arrays), None)
    return from_arrays(arrays[found[0]], labels, name)


def load_file(path: Path) -> Dataset:
    """A .npy or .npz file; pickled objects in it are refused, and a large .npy file is not read into memory."""
    try:
        if is_zipfile(path):
            _check_archive(path)
        elif path.stat().st_size > HELD:
            return replace(from_arrays(np.load(path, "r", allow_pickle=False), name=str(path)), name=path.stem)
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            whole = isinstance(loaded, np.ndarray)
            dataset = from_arrays(loaded, name=str(path)) if whole else from_mapping(loaded, str(path))
    except SigmaeError:
        raise
    except Exception as error:  # the readers of numpy and of zip files raise whatever they meet in a broken one
        raise SigmaeError(
            f"{path} cannot be read as numpy arrays of numbers ({error!s:.200}): it was cut, holds Python objects, "
            "or is of another kind; save it again with numpy.save or numpy.savez."
        ) from error
    return replace(dataset, name=path.stem)


def _check_archive(path: Path) -> None:
    with ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > MEMORY_LIMIT:
            raise SigmaeError(f"{path} would inflate to {size:,} bytes, over {MEMORY_LIMIT:,}: split it.")
        for member in archive.infolist():  # numpy hands out what is none of its arrays as bytes, inflated without bound
            with archive.open(member) as file:
                if file.read(len(MAGIC_PREFIX)) != MAGIC_PREFIX:
                    raise ValueError(f"{member.filename} in it is no array")


def streamed(array: Array) -> bool:
    """Whether the array is a large file that is mapped into memory, and shall stay on disk."""
    return isinstance(array, np.memmap) and array.nbytes > HELD


def examples(array: Array, name: str) -> Shaped[Tensor, "count ..."]:
    """The array as a `Split` holds it: uint8 or float32 [count, channels, height, width], or float32 [count, features].

    Two axes are vectors of any finite floats. Three are gray images [count, height, width]. Four are images
    whose channels (1, 3 or 4) come second or last; where both could be, the choice that makes the images square.
    Images are uint8, or floats in [0, 1].
    """
    tensor = to_tensor(array, name)
    if tensor.ndim not in (2, 3, 4) or 0 in tensor.shape:
        raise SigmaeError(
            f"{name} has shape {list(tensor.shape)}: give images as [count, height, width], [count, channels, "
            "height, width] or [count, height, width, channels], or vectors as [count, features], none of them empty."
        )
    if tensor.ndim == 2 and tensor.dtype == torch.uint8:
        raise SigmaeError(
            f"{name} is a table of uint8 {list(tensor.shape)}: reshape images to [count, height, width], "
            "or convert vectors to float."
        )
    if tensor.ndim > 2:
        tensor = _channels_first(tensor, name)
    _check_values(tensor, name)
    return tensor if streamed(array) else tensor.contiguous()


def to_tensor(array: Array, name: str) -> Tensor:
    """A uint8 or float32 tensor in main memory."""
    if isinstance(array, Tensor):
        _check_dense(array, name)
    else:
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
    kind = str(array.dtype).removeprefix("torch.")
    if kind not in ("uint8", "float16", "bfloat16", "float32", "float64"):
        raise SigmaeError(f"{name} has values of type {kind}: convert them to uint8 from 0 to 255, or to float.")
    if isinstance(array, np.ndarray):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a mapped file must not be written to: nothing does
            array = torch.from_numpy(np.require(array, requirements=["C"] if streamed(array) else ["C", "W"]))
    return array.detach().cpu() if kind == "uint8" else array.detach().to("cpu", torch.float32)


def array_of(key: object, values: Any) -> Array:
    """What is given under a name: an array or a tensor as it is, a list as an array; nothing else."""
    if isinstance(values, np.ndarray | Tensor):
        return values
    with suppress(ValueError):  # of lists of unequal lengths
        if isinstance(values, list):
            return np.asarray(values)
    raise SigmaeError(f"{key!r} names a {type(values).__name__} that is no array: give an array, a tensor or a list.")


def label_numbers(labels: Labels, count: int, name: str) -> tuple[Int64[Tensor, " count"], tuple[str, ...]]:
    """Labels as int64 numbers, with their names where they are strings."""
    values = _label_array(labels, f"The labels of {name}")
    if values.shape == (count, 1):
        values = values[:, 0]
    if values.shape != (count,) or values.dtype.kind not in "iuU":
        raise SigmaeError(
            f"The labels of {name} are {values.dtype} {list(values.shape)}, for {count} examples: "
            "give one integer or string an example."
        )
    if values.dtype.kind != "U":
        return torch.from_numpy(values.astype(np.int64)), ()
    names, numbers = np.unique(values, return_inverse=True)
    return torch.from_numpy(numbers.astype(np.int64)), tuple(names.tolist())


def _label_array(labels: Labels, name: str) -> npt.NDArray[Any]:
    if isinstance(labels, Tensor):
        _check_dense(labels, name)
        labels = labels.detach().cpu()
        return labels.float().numpy() if labels.is_floating_point() else labels.numpy()
    return np.asarray(array_of(name, labels))


def _check_dense(tensor: Tensor, name: str) -> None:
    if tensor.layout != torch.strided or tensor.is_meta:
        raise SigmaeError(f"{name} is a tensor that is sparse, or without values: give a dense one, by its to_dense().")


def _from_splits(arrays: Mapping[str, Array], name: str) -> Dataset:
    keys = [key for key in ("train", "val", "test") if f"x_{key}" in arrays]
    images = [examples(arrays[f"x_{key}"], f"x_{key} of {name}") for key in keys]
    labels: list[Tensor | None] = [None for _ in keys]
    names: tuple[str, ...] = ()
    if all(f"y_{key}" in arrays for key in keys):
        given = [_label_array(arrays[f"y_{key}"], f"y_{key} of {name}").reshape(-1) for key in keys]
        sizes = [len(tensor) for tensor in images]
        if [len(part) for part in given] != sizes:
            raise SigmaeError(f"{name} has {[len(part) for part in given]} labels for {sizes} examples: give one each.")
        numbers, names = label_numbers(np.concatenate(given), sum(sizes), name)
        labels = list(torch.split(numbers, sizes))
    splits = dict(zip(keys, map(Split, images, labels), strict=True))
    train, validation = splits["train"], splits.get("val")
    if validation is None:
        rows = two_ways(len(train), name)
        train, validation = train[rows[0]], train[rows[1]]
    return Dataset(name, train, validation, splits["test"], names)


def _channels_first(tensor: Tensor, name: str) -> Tensor:
    shape = list(tensor.shape)
    if tensor.ndim == 3:
        if shape[0] in (1, 3) or (shape[2] in CHANNELS and shape[1] != shape[2]):
            raise SigmaeError(f"{name} of shape {shape} reads as one image: give three or more, with a channel axis.")
        return tensor.unsqueeze(1)
    second, last = shape[1] in CHANNELS, shape[3] in CHANNELS
    if second and last:
        second, last = shape[2] == shape[3], shape[1] == shape[2]
    if second == last:
        raise SigmaeError(
            f"{name} has shape {shape}, and which axis holds 1, 3 or 4 channels, the second or the last, is not clear: "
            "build a sigmae.data.Dataset, whose images are [count, channels, height, width]."
        )
    return tensor if second else tensor.permute(0, 3, 1, 2)


def _check_values(tensor: Tensor, name: str) -> None:
    rows = max(1, CHECKED_AT_ONCE // tensor[0].numel())
    bounds = torch.stack([torch.stack([*part.aminmax()]) for part in tensor.split(rows)])
    low, high = bounds[:, 0].min().item(), bounds[:, 1].max().item()
    if not math.isfinite(low + high):
        wrong = ~torch.isfinite(tensor)
        first = np.unravel_index(int(wrong.reshape(-1).byte().argmax()), tensor.shape)
        raise SigmaeError(
            f"{name} has {int(wrong.sum()):,} values that are NaN or infinite, the first at {list(map(int, first))} "
            f"of {list(tensor.shape)}: remove or replace them."
        )
    if tensor.dtype == torch.uint8 and high <= 1:
        raise SigmaeError(f"The uint8 images of {name} have no value over {high}: multiply binary images by 255.")
    if tensor.ndim == 4 and tensor.is_floating_point() and not 0 <= low <= high <= 1:
        raise SigmaeError(
            f"{name} has pixels from {low:g} to {high:g}, outside [0, 1]: divide by 255, rescale, or pass uint8."
        )
