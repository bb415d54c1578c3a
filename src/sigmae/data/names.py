"""The names of the data sets and the folders where their files are looked for; needs no torch."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
    "omniglot": "32,415 handwritten characters of 50 alphabets, 28x28 gray; the file is yours to fetch",
    "chairs": "86,366 renderings of 1,393 chairs, resized to 64x64 colour; the files are yours to fetch",
    "dsprites": "100,000 of the 737,280 images of dSprites, 64x64 binary, five known factors",
    "dsprites-all": "all 737,280 images of dSprites: 3 GB of memory",
    "shapes3d": "100,000 of the 480,000 images of 3D Shapes, 64x64 colour, six known factors",
    "shapes3d-all": "all 480,000 images of 3D Shapes: 6 GB of memory",
}
SIZES: dict[str, tuple[int, tuple[int, int, int]]] = {  # training examples, and the shape of one
    "digits": (1_439, (1, 8, 8)),
    "sprites": (7_680, (1, 64, 64)),
    "mnist": (50_000, (1, 28, 28)),
    "fashion-mnist": (50_000, (1, 28, 28)),
    "cifar10": (40_000, (3, 32, 32)),
    "celeba": (162_770, (3, 64, 64)),
    "omniglot": (23_000, (1, 28, 28)),
    "chairs": (69_094, (3, 64, 64)),
    "dsprites": (80_000, (1, 64, 64)),
    "dsprites-all": (589_824, (1, 64, 64)),
    "shapes3d": (80_000, (3, 64, 64)),
    "shapes3d-all": (384_000, (3, 64, 64)),
}
FOLDERS = {
    "mnist": ("mnist", "MNIST"),
    "fashion-mnist": ("fashion-mnist", "fashion_mnist", "FashionMNIST"),
    "cifar10": ("cifar10", "cifar-10", "CIFAR10"),
    "celeba": ("celeba", "CelebA"),
    "omniglot": ("omniglot", "Omniglot", "OMNIGLOT"),
    "chairs": ("chairs", "3dchairs", "3DChairs", "rendered_chairs"),
    "dsprites": ("dsprites", "dSprites", "dsprites-dataset"),
    "shapes3d": ("shapes3d", "3dshapes", "3d-shapes"),
}


@dataclass(frozen=True)
class Whereabouts:
    """Where the files of a named data set are; where they are nowhere, what happens or what to do, in a sentence.

    What is built in has no files, and needs no advice.
    """

    folder: Path | None
    advice: str = ""

    def needed(self) -> Path:
        """The folder; where there is none, the advice is an error."""
        if self.folder is None:
            raise SigmaeError(self.advice)
        return self.folder


def find(name: str, data_dir: Path | None, holds: Callable[[Path], bool]) -> Path | None:
    """The first folder that holds the files of a named data set, or None.

    Looked at in turn: `data_dir` and its sub-folders of that name, `$SIGMAE_DATA`, the cache folder.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise SigmaeError(f"There is no folder {data_dir}: give the one that holds the files of {name}, or its parent.")
    return next((place for place in _places(name, data_dir) if place.is_dir() and holds(place)), None)


def find_file(name: str, file: str, data_dir: Path | None) -> Path | None:
    """The first folder that holds the one file of a named data set, or None."""
    return find(name, data_dir, lambda place: (place / file).is_file())


def kept(name: str) -> Path:
    """The folder where downloads of a named data set are kept."""
    return cache_folder("data", name)


def placing(name: str, files: str) -> str:
    """Where a person puts files that cannot be downloaded."""
    return f"Put {files} into {kept(name)}, or into a folder that you name as data_dir (--data-dir)."


def downloadable(name: str, files: str, folder: Path | None) -> Whereabouts:
    """The whereabouts of files that are downloaded unless they are in `folder`."""
    if folder:
        return Whereabouts(folder)
    told = f"The files of {name} will be downloaded when they are first loaded; without a network, bring them yourself."
    return Whereabouts(None, f"{told} {placing(name, files)}")


def yours_to_fetch(title: str, files: str, place: Path, folder: Path | None) -> Whereabouts:
    """The whereabouts of files that are never downloaded and belong into `place`."""
    if folder:
        return Whereabouts(folder)
    advice = f"put {files} into {place}, or name their folder as data_dir (--data-dir)."
    return Whereabouts(None, f"{title} is not downloaded by this library: {advice}")


def _places(name: str, data_dir: Path | None) -> Iterator[Path]:
    roots = [] if data_dir is None else [data_dir / folder for folder in (*FOLDERS[name], "")]
    if shared := os.environ.get("SIGMAE_DATA"):
        roots += [Path(shared, folder) for folder in FOLDERS[name]]
    for root in [*roots, kept(name)]:
        yield from (root, root / "raw")
