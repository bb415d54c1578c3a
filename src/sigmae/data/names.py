"""The names of the data sets and the folders where their files are looked for; needs no torch."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from sigmae.errors import SigmaeError
from sigmae.files import cache_folder

DATASETS = {
    "digits": "1,797 handwritten digits, 8x8 gray, shipped with scikit-learn",
    "sprites": "9,600 squares, ellipses and hearts with known factors, 64x64 binary, drawn here",
    "mnist": "70,000 handwritten digits, 28x28 gray",
    "fashion-mnist": "70,000 pictures of clothes, 28x28 gray",
    "cifar10": "60,000 photographs of ten classes, 32x32 colour",
    "celeba": "202,599 faces, cropped and resized to 64x64 colour; the files are yours to fetch",
    "dsprites": "100,000 of the 737,280 images of dSprites, 64x64 binary, five known factors",
    "dsprites-all": "all 737,280 images of dSprites: 3 GB of memory",
    "shapes3d": "100,000 of the 480,000 images of 3D Shapes, 64x64 colour, six known factors",
    "shapes3d-all": "all 480,000 images of 3D Shapes: 6 GB of memory",
}
FOLDERS = {
    "mnist": ("mnist", "MNIST"),
    "fashion-mnist": ("fashion-mnist", "fashion_mnist", "FashionMNIST"),
    "cifar10": ("cifar10", "cifar-10", "CIFAR10"),
    "celeba": ("celeba", "CelebA"),
    "dsprites": ("dsprites", "dSprites", "dsprites-dataset"),
    "shapes3d": ("shapes3d", "3dshapes", "3d-shapes"),
}


def find(name: str, data_dir: Path | None, holds: Callable[[Path], bool]) -> Path | None:
    """The first folder that holds the files of a named data set, or None.

    Looked at in turn: `data_dir` and its sub-folders of that name, `$SIGMAE_DATA`, the cache folder.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise SigmaeError(f"There is no folder {data_dir}: give the one that holds the files of {name}, or its parent.")
    return next((place for place in _places(name, data_dir) if place.is_dir() and holds(place)), None)


def kept(name: str) -> Path:
    """The folder where downloads of a named data set are kept."""
    return cache_folder("data", name)


def _places(name: str, data_dir: Path | None) -> Iterator[Path]:
    roots = [] if data_dir is None else [data_dir / folder for folder in (*FOLDERS[name], "")]
    if shared := os.environ.get("SIGMAE_DATA"):
        roots += [Path(shared, folder) for folder in FOLDERS[name]]
    for root in [*roots, kept(name)]:
        yield from (root, root / "raw")
