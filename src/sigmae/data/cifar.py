"""CIFAR-10, from the binary version of its files or from pictures in folders named by class."""

import gzip
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import torch

from sigmae.data.dataset import Dataset, Progress, Split
from sigmae.data.folders import load_pictures
from sigmae.data.names import downloadable, find, kept, placing, Whereabouts
from sigmae.data.splits import last_held_out
from sigmae.download import fetch
from sigmae.errors import SigmaeError

ARCHIVE, FOLDER = "cifar-10-binary.tar.gz", "cifar-10-batches-bin"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
MIRRORS = ("https://www.cs.toronto.edu/~kriz",)
PICKLED = ("cifar-10-python.tar.gz", "cifar-10-batches-py")
TRAIN, TEST = tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD = 1 + 3 * 32 * 32  # bytes: the class, then the planes of red, green and blue
LIMIT = 1 << 26  # bytes; a batch has less than half of it
INFLATED = 1 << 28  # bytes of the archive that are looked at; it has 184 million
FIFTH = 5  # validation is a fifth of train: 10,000 of 50,000


def locate_cifar10(data_dir: Path | None = None) -> Whereabouts:
    """Where the batches or the pictures are."""
    folder = _found(data_dir)
    if folder and not _batches(folder) and not _pictures(folder):
        return Whereabouts(None, _only_pickles(folder))
    return downloadable("cifar10", ARCHIVE, folder)


def load_cifar10(
    data_dir: Path | None = None,
    progress: Progress | None = None,
    mirrors: Sequence[str] = MIRRORS,
    limit: int | None = None,
) -> Dataset:
    """CIFAR-10, downloaded where no folder has it; validation is the last fifth of train.

    Of pictures in `train` and `test` folders or zip files, which are sorted by class, the fifth is drawn by
    the fixed permutation instead, and only `limit` of a split are decoded.
    """
    folder = _found(data_dir)
    if folder is None:
        advice = placing("cifar10", "it")
        folder = fetch(kept("cifar10") / ARCHIVE, f"md5:{MD5}", mirrors, advice, progress).parent
    if batches := _batches(folder):
        data = _archived(batches) if batches.is_file() else _unpacked(batches)
        train, test = _split(b"".join(data[file] for file in TRAIN)), _split(data[TEST])
        return last_held_out("cifar10", train, test, FIFTH, LABELS)
    if _pictures(folder):
        return replace(load_pictures(folder, progress=progress, part=FIFTH, limit=limit), name="cifar10")
    raise SigmaeError(_only_pickles(folder))


def _found(data_dir: Path | None) -> Path | None:
    return find("cifar10", data_dir, lambda place: bool(_batches(place) or _pictures(place) or _pickled(place)))


def _only_pickles(folder: Path) -> str:
    return (
        f"{folder} has the Python version of CIFAR-10, whose pickles could run any code: "
        f"put the binary version ({ARCHIVE}) there instead."
    )


def _batches(place: Path) -> Path | None:
    """The folder with the binary batches, or the archive of them."""
    for folder in (place / FOLDER, place):
        if any((folder / file).is_file() for file in (*TRAIN, TEST)):
            return folder
    return place / ARCHIVE if (place / ARCHIVE).is_file() else None


def _pictures(place: Path) -> bool:
    return all((place / f"{split}.zip").is_file() or (place / split).is_dir() for split in ("train", "test"))


def _pickled(place: Path) -> bool:
    return any((place / name).exists() for name in PICKLED)


def _unpacked(folder: Path) -> dict[str, bytes]:
    missing = [file for file in (*TRAIN, TEST) if not (folder / file).is_file()]
    if missing:
        raise SigmaeError(f"{folder} has no {', '.join(missing)}: put all six batches there.")
    return {file: _whole((folder / file).read_bytes(), folder / file) for file in (*TRAIN, TEST)}


def _archived(archive: Path) -> dict[str, bytes]:
    """The batches, read in the order in which they lie in the archive; nothing is unpacked to disk."""
    data = {}
    try:
        with gzip.open(archive) as packed, tarfile.open(fileobj=BytesIO(packed.read(INFLATED))) as tar:
            for member in tar:
                file = Path(member.name).name
                if file in (*TRAIN, TEST) and (content := tar.extractfile(member)):
                    data[file] = _whole(content.read(LIMIT), archive / file)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise SigmaeError(f"{archive} cannot be unpacked ({error}): it was cut; fetch it again.") from error
    if missing := {*TRAIN, TEST} - data.keys():
        raise SigmaeError(f"{archive} has no {', '.join(sorted(missing))}: fetch it again.")
    return data


def _whole(data: bytes, path: Path) -> bytes:
    if not data or len(data) % RECORD:
        raise SigmaeError(
            f"{path} has {len(data):,} bytes, not whole records of {RECORD:,}: it was cut; fetch it again."
        )
    return data


def _split(data: bytes) -> Split:
    records = torch.frombuffer(bytearray(data), dtype=torch.uint8).view(-1, RECORD)
    labels = records[:, 0].long()
    if labels.max() >= len(LABELS):
        raise SigmaeError(f"The CIFAR-10 batches have a class {labels.max()}, over 9: fetch the ten-class version.")
    return Split(records[:, 1:].reshape(-1, 3, 32, 32), labels)
