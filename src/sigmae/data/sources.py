"""Sources: from whatever names or holds data to a `Dataset`."""

import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from sigmae.data.arrays import array_of, from_arrays, from_mapping, load_file
from sigmae.data.celeba import load_celeba, locate_celeba
from sigmae.data.chairs import load_chairs, locate_chairs
from sigmae.data.cifar import load_cifar10, locate_cifar10
from sigmae.data.dataset import Dataset, Progress
from sigmae.data.digits import load_digits
from sigmae.data.dsprites import load_dsprites, locate_dsprites
from sigmae.data.examples import Examples, from_examples
from sigmae.data.folders import load_pictures
from sigmae.data.hub import load_hub
from sigmae.data.idx import load_idx, locate_idx
from sigmae.data.names import DATASETS, Whereabouts
from sigmae.data.omniglot import load_omniglot, locate_omniglot
from sigmae.data.pictures import SUFFIXES
from sigmae.data.resize import fitted, padded
from sigmae.data.shapes3d import load_shapes3d, locate_shapes3d
from sigmae.data.splits import limited
from sigmae.data.sprites import load_sprites
from sigmae.errors import SigmaeError, unknown
from sigmae.plugins import resolve

HUB = "hf:"
SIDE = 4096  # pixels; more would take more memory than any model is for
PADDED = ("mnist", "fashion-mnist", "omniglot")
LOCATE: dict[str, Callable[[Path | None], Whereabouts]] = {
    "mnist": partial(locate_idx, "mnist"),
    "fashion-mnist": partial(locate_idx, "fashion-mnist"),
    "cifar10": locate_cifar10,
    "celeba": locate_celeba,
    "omniglot": locate_omniglot,
    "chairs": locate_chairs,
    "dsprites": locate_dsprites,
    "dsprites-all": locate_dsprites,
    "shapes3d": locate_shapes3d,
    "shapes3d-all": locate_shapes3d,
}
PLUGIN = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")


def load(
    source: Any,
    *,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
    trust: Sequence[str] | None = None,
) -> Dataset:
    """The data set that `source` names or holds, in three fixed splits.

    A name of `DATASETS` (its files are looked for in `data_dir`, `$SIGMAE_DATA`, the cache folder, then
    downloaded); `hf:owner/name` of the Hugging Face hub; a path to a folder or .zip of pictures, to .npy or
    .npz; `module:attribute`, a third party's function or object; an array or tensor, a pair (images,
    labels) or a mapping of arrays; a `Dataset`; or anything with a length and numbered examples.
    A name comes before a file of that name: write ./mnist for the file.

    `image_size` crops to the central square and resizes bilinearly; MNIST, Fashion-MNIST and Omniglot go from 28
    to 32 by zero padding. `limit` takes the first so many examples of every split: a fixed subset, and no others
    are kept in memory. `trust` as for `plugins.resolve`. Errors: `SigmaeError`, for all that cannot be a data set.
    """
    if image_size is not None and not 1 <= image_size <= SIDE:
        raise SigmaeError(f"An image cannot have {image_size} pixels a side: give an image_size of 1 to {SIDE}.")
    if limit is not None and limit < 1:
        raise SigmaeError(f"A split cannot be limited to {limit} examples: give a limit of 1 or more.")
    folder = None if data_dir is None else Path(data_dir).expanduser()
    if isinstance(source, str | Path):
        whole = _from_text(source, folder, image_size, limit, progress, trust)
    else:
        whole = _from_object(source, "array", image_size, progress)
    fit = padded if isinstance(source, str) and source in PADDED else None
    return fitted(limited(whole, limit), image_size, fit)


def whereabouts(name: str, data_dir: str | Path | None = None) -> Whereabouts:
    """Where the files of a data set of `DATASETS` are now; nothing is read or downloaded.

    Looked for as by `load`. Where they are nowhere, the advice says that they will be downloaded, or which files to
    put where. `digits` and `sprites` are built in: no folder, no advice.
    """
    if name not in DATASETS:
        raise unknown("data set", name, DATASETS)
    folder = None if data_dir is None else Path(data_dir).expanduser()
    return LOCATE[name](folder) if name in LOCATE else Whereabouts(None)


def path_of(source: str) -> Path | None:
    """The file or folder that `load` reads for this text, resolved; None where it reads something else."""
    path = Path(source).expanduser()
    if not source or source in DATASETS or source.startswith(HUB) or not os.path.exists(path):  # noqa: PTH110  # as below
        return None
    return path.resolve()


def _from_text(
    source: str | Path,
    data_dir: Path | None,
    size: int | None,
    limit: int | None,
    progress: Progress | None,
    trust: Sequence[str] | None,
) -> Dataset:
    text, path = str(source), Path(source).expanduser()
    if source in DATASETS:
        return _named(text, data_dir, size, limit, progress)
    if isinstance(source, str) and source.startswith(HUB):
        return load_hub(source.removeprefix(HUB), size, progress, limit)
    if text and os.path.exists(path):  # noqa: PTH110  # Path.exists raises on a name too long to be one
        return _from_path(path, size, limit, progress)
    if isinstance(source, str) and PLUGIN.fullmatch(source):
        return _from_plugin(source, data_dir, size, progress, trust)
    raise _missing(text, path)


def _named(name: str, data_dir: Path | None, size: int | None, limit: int | None, progress: Progress | None) -> Dataset:
    match name:
        case "mnist" | "fashion-mnist":
            return load_idx(name, data_dir, progress)
        case "cifar10":
            return load_cifar10(data_dir, progress, limit=limit)
        case "celeba":
            return load_celeba(data_dir, size, progress, limit)
        case "omniglot":
            return load_omniglot(data_dir)
        case "chairs":
            return load_chairs(data_dir, size, progress, limit)
        case "dsprites":
            return load_dsprites(data_dir, progress=progress)
        case "dsprites-all":
            return load_dsprites(data_dir, None, progress)
        case "shapes3d":
            return load_shapes3d(data_dir, progress=progress)
        case "shapes3d-all":
            return load_shapes3d(data_dir, None, progress)
        case "sprites":
            return load_sprites()
        case _:
            return load_digits()


def _from_path(path: Path, size: int | None, limit: int | None, progress: Progress | None) -> Dataset:
    suffix = path.suffix.lower()
    if path.is_dir() or suffix == ".zip":
        return load_pictures(path, size, progress, limit=limit)
    if suffix in (".npy", ".npz"):
        return load_file(path)
    if suffix in SUFFIXES:
        raise SigmaeError(f"{path} is one picture: give a folder or zip of three or more.")
    raise SigmaeError(f"{path} is no data that can be read: give a folder or .zip of pictures, a .npy or a .npz file.")


def _from_plugin(
    source: str,
    data_dir: Path | None,
    size: int | None,
    progress: Progress | None,
    trust: Sequence[str] | None,
) -> Dataset:
    """The object a third party's attribute is, or what it returns, called with the arguments it accepts."""
    found = resolve("data set", source, {}, trust)
    if isinstance(found, type) or (callable(found) and not isinstance(found, Examples)):
        accepted = inspect.signature(found).parameters
        given = {"image_size": size, "data_dir": data_dir}
        found = found(**{key: value for key, value in given.items() if key in accepted and value is not None})
    return _from_object(found, source, size, progress)


def _from_object(source: Any, name: str, size: int | None, progress: Progress | None) -> Dataset:
    match source:
        case Dataset():
            return source
        case np.ndarray() | Tensor():
            return from_arrays(source, name=name)
        case Mapping():
            return from_mapping({str(key): array_of(key, values) for key, values in source.items()}, name)
        case (np.ndarray() | Tensor() as images, np.ndarray() | Tensor() | list() as labels) if type(source) is tuple:
            return from_arrays(images, labels, name)
        case Examples():
            return from_examples(source, name, size, progress)
    raise SigmaeError(
        f"A {type(source).__name__} is no data: give a name, a path, an array, a tensor, a sigmae.data.Dataset, "
        "or an object with a length and numbered examples."
    )


def _missing(text: str, path: Path) -> SigmaeError:
    if len(path.parts) < 2 and not path.suffix:
        return unknown("data set or path", text, DATASETS)
    beside = {file.name: str(file) for file in path.parent.iterdir()} if os.path.isdir(path.parent) else {}  # noqa: PTH112  # as above
    near = get_close_matches(path.name, [*beside, *DATASETS], n=1)
    hint = f" Did you mean '{beside.get(near[0], near[0])}'?" if near else " Check the path."
    return SigmaeError(f"There is no file or folder '{text}'.{hint}")
