"""3D Shapes: 480,000 colour images of an object in a room with six known factors, from their published file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from sigmae.data.dataset import Dataset, Progress
from sigmae.data.factors import COUNT, from_grid, Grid
from sigmae.data.names import downloadable, find_file, kept, placing, Whereabouts
from sigmae.download import fetch
from sigmae.errors import SigmaeError

FILE = "3dshapes.h5"
SHA256 = "0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785"
MIRRORS = ("https://storage.googleapis.com/3d-shapes",)
GRID = Grid(
    "shapes3d",
    {"floor hue": 10, "wall hue": 10, "object hue": 10, "scale": 8, "shape": 4, "orientation": 15},
    (3, 64, 64),
)
AT_ONCE = 8192  # images, about; 96 MiB


def locate_shapes3d(data_dir: Path | None = None) -> Whereabouts:
    """Where the file is."""
    return downloadable("shapes3d", FILE, find_file("shapes3d", FILE, data_dir))


def load_shapes3d(
    data_dir: Path | None = None,
    count: int | None = COUNT,
    progress: Progress | None = None,
    mirrors: Sequence[str] = MIRRORS,
) -> Dataset:
    """`count` images of the full grid of six factors in a fixed order (None: all).

    100,000 images take 1.2 GB of memory, all of them 5.9 GB; the file, of 268 MB, is read in parts. Needs the
    extra `shapes3d`. A factor's number is the rank of its value among all in the file.
    """
    try:
        import h5py
    except ImportError as error:
        raise SigmaeError(
            "3D Shapes is an HDF5 file and needs the extra shapes3d: pip install 'sigmae[shapes3d]'."
        ) from error
    path = (locate_shapes3d(data_dir).folder or kept("shapes3d")) / FILE
    fetch(path, f"sha256:{SHA256}", mirrors, placing("shapes3d", FILE), progress)
    try:
        with h5py.File(path, "r") as file:
            images, labels = (_own(file, name) for name in ("images", "labels"))
            _check(path, images, labels)
            return from_grid(GRID, _ranks(labels[:]), _parts(images), count, progress)
    except (OSError, KeyError) as error:
        raise SigmaeError(f"{path} cannot be read ({error}): it was cut or edited; fetch it again.") from error


def _own(file: Any, name: str) -> Any:
    """An array of the file itself; a link to another file is none."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        raise KeyError(f"it has no array '{name}' of its own")
    return file[name]


def _check(path: Path, images: Any, labels: Any) -> None:
    if any(array.external or array.is_virtual for array in (images, labels)):
        raise SigmaeError(f"{path} leads to other files, which are not read in its place: fetch it again.")
    channels, height, width = GRID.shape
    total = min(labels.size // len(GRID.sizes), GRID.total)
    found = [(array.dtype, array.shape) for array in (images, labels)]
    if found != [(np.uint8, (total, height, width, channels)), (np.float64, (total, len(GRID.sizes)))]:
        told = " and ".join(f"{dtype} {list(shape)}" for dtype, shape in found)
        raise SigmaeError(f"{path} holds {told}, not images with six factors each: fetch it again.")


def _ranks(values: np.ndarray[Any, np.dtype[np.float64]]) -> Int64[Tensor, "total factors"]:
    """Each column's values as their positions among its different values."""
    columns = [np.unique(column, return_inverse=True)[1] for column in values.T]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.int64))


def _parts(images: Any) -> Iterator[UInt8[Tensor, "_rows 3 height width"]]:
    """The images in turn, in whole chunks of the file: a chunk cut by two parts is inflated twice."""
    chunk = images.chunks[0] if images.chunks else 1
    step = chunk * max(1, AT_ONCE // chunk)
    for start in range(0, len(images), step):
        yield torch.from_numpy(images[start : start + step]).movedim(-1, 1)
