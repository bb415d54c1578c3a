"""MNIST and Fashion-MNIST, from their IDX files."""

import gzip
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from sigmae.data.dataset import Dataset, Progress, Split
from sigmae.data.names import downloadable, find, kept, placing, Whereabouts
from sigmae.data.splits import last_held_out
from sigmae.download import fetch
from sigmae.errors import SigmaeError

MD5 = {
    "mnist": {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
}
MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
    ),
    "fashion-mnist": (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
    ),
}
LABELS = {
    "mnist": tuple("0123456789"),
    "fashion-mnist": (
        *("T-shirt", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
}
UNSIGNED_BYTE = 0x08
LIMIT = 1 << 32  # bytes; a gzip file that holds more is no data set of this kind
BLOCK = 1 << 24  # bytes
SIX = 6  # validation is the last sixth of train: 10,000 of 60,000


def locate_idx(name: str, data_dir: Path | None = None) -> Whereabouts:
    """Where the four files are; some of them among the downloads are completed, elsewhere they are an error."""
    folder = find(name, data_dir, lambda place: any(_existing(place, file) for file in MD5[name]))
    if folder == kept(name) and not all(_existing(folder, file) for file in MD5[name]):
        folder = None
    return downloadable(name, ", ".join(MD5[name]), folder)


def load_idx(
    name: str,
    data_dir: Path | None = None,
    progress: Progress | None = None,
    mirrors: Sequence[str] | None = None,
) -> Dataset:
    """MNIST or Fashion-MNIST, downloaded where no folder has its four files (gzipped or not)."""
    folder = locate_idx(name, data_dir).folder
    if folder is None:
        folder = _download(name, MIRRORS[name] if mirrors is None else mirrors, progress)
    train, test = (_pair(folder, half) for half in ("train", "t10k"))
    return last_held_out(name, train, test, SIX, LABELS[name])


def read_idx(path: Path) -> UInt8[Tensor, "*shape"]:
    """The bytes of an IDX file, plain or gzipped, in their shape; a cut or foreign file is named.

    The format: two zeros, the type, the count of axes, their big-endian sizes, then the values.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            start = file.read(4)
            zeros, kind, axes = struct.unpack(">HBB", start.ljust(4, b"\xff"))
            if zeros != 0 or kind != UNSIGNED_BYTE:
                raise SigmaeError(f"{path} is no IDX file of bytes (it begins with {start.hex(' ')}): fetch it again.")
            shape = struct.unpack(f">{axes}I", file.read(4 * axes).ljust(4 * axes, b"\0"))
            values = b"".join(_blocks(file.read, min(math.prod(shape), LIMIT) + 1))
    except (OSError, EOFError, zlib.error) as error:
        raise SigmaeError(f"{path} cannot be read ({error}): it was cut; fetch it again.") from error
    if not 0 < len(values) == math.prod(shape):
        counts = f"{len(values):,} values or more, and its header promises {math.prod(shape):,}"
        raise SigmaeError(f"{path} has {counts}: it was cut or edited; fetch it again.")
    return torch.frombuffer(bytearray(values), dtype=torch.uint8).view(shape)


def _blocks(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    """The next `size` bytes, or what is left, in blocks: a header may promise more than there is memory for."""
    while size > 0 and (block := read(min(size, BLOCK))):
        size -= len(block)
        yield block


def _pair(folder: Path, half: str) -> Split:
    images, labels = (_needed(folder, f"{half}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    pixels, classes = read_idx(images), read_idx(labels)
    if pixels.ndim != 3 or classes.shape != pixels.shape[:1]:
        shapes = f"{list(pixels.shape)} and {list(classes.shape)}"
        raise SigmaeError(f"{images} and {labels} hold {shapes}, not images with a label each: fetch them again.")
    return Split(pixels.unsqueeze(1), classes.long())


def _existing(folder: Path, file: str) -> Path | None:
    """The file under the names in use: gzipped or plain, with a hyphen or a dot before `idx`."""
    plain = file.removesuffix(".gz")
    names = (file, plain, file.replace("-idx", ".idx"), plain.replace("-idx", ".idx"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _needed(folder: Path, file: str) -> Path:
    path = _existing(folder, file)
    if path is None:
        raise SigmaeError(f"{folder} has no {file}: put all four IDX files there.")
    return path


def _download(name: str, mirrors: Sequence[str], progress: Progress | None) -> Path:
    folder, advice = kept(name), placing(name, ", ".join(MD5[name]))
    for file, md5 in MD5[name].items():
        fetch(folder / file, f"md5:{md5}", mirrors, advice, progress)
    return folder
