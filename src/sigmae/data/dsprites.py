"""dSprites: 737,280 binary images of a square, an ellipse or a heart with known factors, from their published file."""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from numpy.lib import format as npy
from torch import Tensor

from sigmae.data.dataset import Dataset, Progress
from sigmae.data.factors import COUNT, from_grid, Grid
from sigmae.data.names import downloadable, find_file, kept, placing, Whereabouts
from sigmae.download import fetch
from sigmae.errors import SigmaeError

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
MD5 = "7da33b31b13a06f4b04a70402ce90c2e"
MIRRORS = ("https://raw.githubusercontent.com/google-deepmind/dsprites-dataset/master",)
SIZE = 64  # pixels a side
GRID = Grid("dsprites", {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}, (1, SIZE, SIZE))
AT_ONCE = 4096  # images; 16 MiB
COLOUR = 1  # the first factor of the file has one value and is left out


@runtime_checkable
class Readable(Protocol):
    """What gives its bytes in turn."""

    def read(self, size: int = -1, /) -> bytes:
        """The next `size` bytes, or what is left."""


def locate_dsprites(data_dir: Path | None = None) -> Whereabouts:
    """Where the file is."""
    return downloadable("dsprites", FILE, find_file("dsprites", FILE, data_dir))


def load_dsprites(
    data_dir: Path | None = None,
    count: int | None = COUNT,
    progress: Progress | None = None,
    mirrors: Sequence[str] = MIRRORS,
) -> Dataset:
    """`count` images of the full grid of five factors in a fixed order (None: all), as 0 and 255.

    100,000 images take 0.4 GB of memory, all of them 3 GB; the file, of 27 MB, is read in parts. The first and
    the last of the 40 orientations are one angle, 0 and 2 pi: where all images are taken, one in twenty has its
    equal, often in another split.
    """
    path = (locate_dsprites(data_dir).folder or kept("dsprites")) / FILE
    fetch(path, f"md5:{MD5}", mirrors, placing("dsprites", FILE), progress)
    try:
        with ZipFile(path) as archive:
            factors = _factors(archive, path)
            return from_grid(GRID, factors, _parts(archive, path, len(factors)), count, progress)
    except (BadZipFile, KeyError, ValueError, OSError, EOFError, zlib.error) as error:
        raise SigmaeError(f"{path} cannot be read ({error}): it was cut or edited; fetch it again.") from error


def _factors(archive: ZipFile, path: Path) -> Int64[Tensor, "total factors"]:
    with archive.open("latents_classes.npy") as member:
        total, columns = _shape(member, path, np.dtype(np.int64), 2)
        if total > GRID.total or columns != COLOUR + len(GRID.sizes):
            raise SigmaeError(f"{path} has {total:,} rows of {columns} factors, more or others: fetch it again.")
        values = np.frombuffer(_read(member, total * columns * 8), np.int64).reshape(total, columns)
        return torch.from_numpy(values[:, COLOUR:].copy())


def _parts(archive: ZipFile, path: Path, total: int) -> Iterator[UInt8[Tensor, "_rows 1 height width"]]:
    """The images in turn, some at a time; the file's other arrays, one of them pickled, are never touched."""
    with archive.open("imgs.npy") as member:
        shape = _shape(member, path, np.dtype(np.uint8), 3)
        if shape != (total, SIZE, SIZE):
            raise SigmaeError(f"{path} has images {list(shape)} for {total:,} rows of factors: fetch it again.")
        for start in range(0, total, AT_ONCE):
            rows = min(AT_ONCE, total - start)
            pixels = torch.frombuffer(_read(member, rows * SIZE * SIZE), dtype=torch.uint8)
            yield pixels.view(rows, 1, SIZE, SIZE).clamp_(max=1).mul_(255)


def _shape(member: Readable, path: Path, kind: np.dtype[np.generic], axes: int) -> tuple[int, ...]:
    """The shape in the head of an array, whose values must be of this kind and in the order of their rows."""
    version = npy.read_magic(member)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, found = read(member)
    if found != kind or by_columns or len(shape) != axes:
        raise SigmaeError(
            f"{path} holds {found} {list(shape)} where {kind} in {axes} axes were published: fetch it again."
        )
    return shape


def _read(member: Readable, size: int) -> bytearray:
    values = bytearray(member.read(size))
    if len(values) < size:
        raise EOFError(f"{len(values):,} of {size:,} bytes")
    return values
