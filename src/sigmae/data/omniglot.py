"""Omniglot: handwritten characters of fifty alphabets, 28x28 gray, from the file of the IWAE code."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int64
from torch import Tensor

from sigmae.data.arrays import examples
from sigmae.data.dataset import Dataset, Split
from sigmae.data.names import find_file, kept, Whereabouts, yours_to_fetch
from sigmae.data.splits import shuffled
from sigmae.errors import SigmaeError

FILE, PUBLISHED = "chardata.mat", "https://github.com/yburda/iwae, folder datasets/OMNIGLOT"
TRAIN, HELD, TEST = 24_345, 1_345, 8_070  # images; those held out for validation are among those to train on
SIZE, ALPHABETS = 28, 50
SEED = 123  # of the IWAE code's shuffling
SHAPES = {
    "data": (SIZE * SIZE, TRAIN),
    "testdata": (SIZE * SIZE, TEST),
    "target": (ALPHABETS, TRAIN),
    "testtarget": (ALPHABETS, TEST),
}

Columns = npt.NDArray[Any]


def locate_omniglot(data_dir: Path | None = None) -> Whereabouts:
    """Where the file is."""
    folder = find_file("omniglot", FILE, data_dir)
    return yours_to_fetch("Omniglot", f"{FILE} (published at {PUBLISHED})", data_dir or kept("omniglot"), folder)


def load_omniglot(data_dir: Path | None = None) -> Dataset:
    """Omniglot as Burda et al. (2016) prepared it: 23,000 images to train on, 1,345 for validation, 8,070 to test.

    The values are real, in [0, 1], as the sampling-free VAE takes them; labels, where the file has them, number the
    alphabets. As in the authors' code, not said in the papers, the images to train on are shuffled by numpy's seed
    123 before the last ones are held out; those to test are in the fixed order of this library. Never downloaded.
    """
    path = locate_omniglot(data_dir).needed() / FILE
    arrays = _arrays(path)
    labelled = {"target", "testtarget"} <= arrays.keys()
    whole, test = (
        Split(_images(arrays[data], f"{data} of {path}"), _alphabets(arrays[target], path) if labelled else None)
        for data, target in (("data", "target"), ("testdata", "testtarget"))
    )
    order = torch.from_numpy(np.random.RandomState(SEED).permutation(len(whole)))
    return Dataset("omniglot", whole[order[:-HELD]], whole[order[-HELD:]], test[shuffled(len(test))])


def _arrays(path: Path) -> dict[str, Columns]:
    """The arrays of floats in the file, once their names, types and shapes are known to be those published."""
    from scipy import io

    try:
        found = {name: (kind, tuple(shape)) for name, shape, kind in io.whosmat(path) if name in SHAPES}
        _check(path, found)
        read = io.loadmat(path, variable_names=list(found))
    except SigmaeError:
        raise
    except Exception as error:  # scipy's reader raises whatever it meets in a broken file.
        reason = f"{type(error).__name__}: {error}"
        raise SigmaeError(f"{path} cannot be read as a MATLAB file ({reason}): it was cut; fetch it again.") from error
    return {name: read[name] for name in found}


def _check(path: Path, found: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    missing = {"data", "testdata"} - found.keys()
    if missing:
        raise SigmaeError(f"{path} has no array {' and no '.join(sorted(missing))}: fetch {FILE} from {PUBLISHED}.")
    for name, (kind, shape) in found.items():
        if kind not in ("double", "single") or shape != SHAPES[name]:
            raise SigmaeError(
                f"{path} holds {name} as {kind} {list(shape)} where floats {list(SHAPES[name])} were published: "
                "fetch it again."
            )


def _images(columns: Columns, name: str) -> Tensor:
    # A column holds one image, and that image's own columns one after another.
    images: Tensor = examples(columns.T.reshape(-1, SIZE, SIZE).transpose(0, 2, 1), name)
    return images


def _alphabets(columns: Columns, path: Path) -> Int64[Tensor, " count"]:
    """The row of the single one in every column."""
    if not ((columns == 0) | (columns == 1)).all() or not (columns.sum(0) == 1).all():
        raise SigmaeError(f"{path} has labels that do not name one alphabet of {ALPHABETS} each: fetch it again.")
    return torch.from_numpy(columns.argmax(0).astype(np.int64))
