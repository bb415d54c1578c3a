"""Folders and zip files of pictures: what is in them, which split it belongs to, which class."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import accumulate, takewhile
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

import torch

from sigmae.data.dataset import Dataset, Progress, Split
from sigmae.data.pictures import decode, Picture, Prepare, square, SUFFIXES
from sigmae.data.splits import shuffled, three_ways, two_ways
from sigmae.errors import SigmaeError

FILE_LIMIT = 256 << 20  # bytes of one picture file
TOTAL_LIMIT = 64 << 30  # bytes of all the picture files in a zip, inflated
SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}

ORDER = ("train", "validation", "test")

Listing = dict[str, Picture]  # by the name relative to the folder or zip, with forward slashes


def load_pictures(
    path: Path,
    size: int | None = None,
    progress: Progress | None = None,
    part: int = 10,
    limit: int | None = None,
) -> Dataset:
    """The pictures of a folder or a zip file, in splits that depend on their names alone.

    With `train` and `test` (and `validation`) as sub-folders, or as zip files in the folder, those are the
    splits, and whatever lies beside them is left out; without `validation`, one part of `part` of train is
    held out. Otherwise 80, 10 and 10 percent. Sub-folders are classes. Links that leave the folder, and
    linked sub-folders, are not followed; zip files are never unpacked to disk.
    """
    with ExitStack() as stack:
        splits = in_splits(_labelled(_groups(path, stack)), str(path), part)
        name = path.resolve().name.removesuffix(".zip")
        return from_pictures(name, splits, lambda image: square(image, size), progress, limit=limit)


def listed(path: Path, stack: ExitStack) -> list[Picture]:
    """The pictures that `load_pictures` would decode, the zip files that they are in kept open by `stack`."""
    return [picture for group in _groups(path, stack).values() for picture in group.values()]


def in_splits(groups: Mapping[str, Sequence[Picture]], name: str, part: int = 10) -> dict[str, list[Picture]]:
    """Train, validation and test in the fixed order, from those groups, from train and test, or from one group."""
    if "test" not in groups:
        (whole,) = groups.values()
        sources, rows = [whole, whole, whole], list(three_ways(len(whole), name))
    elif "validation" in groups:
        sources = [groups[split] for split in ORDER]
        rows = [shuffled(len(source)) for source in sources]
    else:
        train, test = groups["train"], groups["test"]
        sources, rows = [train, train, test], [*two_ways(len(train), name, part), shuffled(len(test))]
    return {
        split: [source[row] for row in chosen.tolist()]
        for split, source, chosen in zip(ORDER, sources, rows, strict=True)
    }


def from_pictures(
    name: str,
    splits: Mapping[str, Sequence[Picture]],
    prepare: Prepare,
    progress: Progress | None = None,
    label_names: Sequence[str] = (),
    limit: int | None = None,
) -> Dataset:
    """The data set of pictures in three splits; with labels where there are two classes or more.

    The labels are positions in `label_names`, by default the sorted names of the classes. Only the first `limit`
    pictures of each split are decoded; the classes are those of all.
    """
    labels = {picture.label for split in ORDER for picture in splits[split]}
    ordered = [splits[split][:limit] for split in ORDER]
    pictures = [picture for split in ordered for picture in split]
    images = decode(pictures, prepare, progress)
    names = tuple(label_names) or tuple(sorted(label for label in labels if label is not None))
    if len(names) < 2 or None in labels:
        whole, names = Split(images), ()
    else:
        numbers = {label: number for number, label in enumerate(names)}
        whole = Split(images, torch.tensor([numbers[str(picture.label)] for picture in pictures]))
    first, second, _ = accumulate(len(split) for split in ordered)
    return Dataset(name, whole[:first], whole[first:second], whole[second:], names)


def folder_listing(root: Path) -> Listing:
    """The pictures below a folder, hidden ones left out, sorted by name."""
    home = root.resolve()
    listing = {}
    for file in root.rglob("*"):
        name = file.relative_to(root).as_posix()
        leaves = file.is_symlink() and not file.resolve().is_relative_to(home)
        if _is_picture(name) and not leaves and file.is_file():
            listing[name] = Picture(str(file), partial(_read_file, file))
    return dict(sorted(listing.items()))


def zip_listing(path: Path, stack: ExitStack) -> Listing:
    """The pictures in a zip file that `stack` keeps open, hidden ones left out, sorted by name."""
    try:
        archive = stack.enter_context(ZipFile(path))
    except (BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise SigmaeError(f"{path} is not a whole zip file ({error}): it was cut; make it again.") from error
    members = {member.filename: member for member in archive.infolist() if _is_picture(member.filename)}
    total = sum(member.file_size for member in members.values())
    if total > TOTAL_LIMIT:
        raise SigmaeError(
            f"{path} would inflate to {total:,} bytes, over the bound of {TOTAL_LIMIT:,}: unpack it first."
        )
    readers = {name: partial(_read_member, archive, members[name]) for name in sorted(members)}
    return {name: Picture(f"{name} in {path}", read) for name, read in readers.items()}


def _groups(path: Path, stack: ExitStack) -> dict[str, Listing]:
    """The listings by split, or all under the empty name; every name in them has one folder more in front."""
    zips = {SPLITS[file.stem]: file for file in path.glob("*.zip") if file.stem in SPLITS} if path.is_dir() else {}
    if {"train", "test"} <= zips.keys():
        return {split: _below(split, _not_empty(zip_listing(file, stack), file)) for split, file in zips.items()}
    listing = _not_empty(folder_listing(path) if path.is_dir() else zip_listing(path, stack), path)
    wrapping = _shared_folders(listing)
    groups: dict[str, Listing] = {}
    for name, picture in listing.items():
        inner = name.split("/", wrapping)[-1]
        if split := SPLITS.get(inner.partition("/")[0].lower()):
            groups.setdefault(split, {})[inner] = picture
    if {"train", "validation"} == groups.keys():
        raise SigmaeError(f"{path} has pictures for train and validation and none for test: add a test folder.")
    return groups if {"train", "test"} <= groups.keys() else {"": _below("", listing)}


def _labelled(groups: Mapping[str, Listing]) -> dict[str, list[Picture]]:
    """The pictures of each group, their first folder that not all share as the class, where all have one."""
    inner = [name.partition("/")[2] for group in groups.values() for name in group]
    depth = 1 + _shared_folders(inner)
    if any(name.count("/") < depth for name in inner):
        return {split: list(group.values()) for split, group in groups.items()}
    return {
        split: [replace(picture, label=name.split("/")[depth]) for name, picture in group.items()]
        for split, group in groups.items()
    }


def _shared_folders(names: Iterable[str]) -> int:
    """How many leading folders all names share."""
    levels = zip(*(name.split("/")[:-1] for name in names), strict=False)
    return len(list(takewhile(lambda level: len(set(level)) == 1, levels)))


def _below(folder: str, listing: Listing) -> Listing:
    return {f"{folder}/{name}": picture for name, picture in listing.items()}


def _not_empty(listing: Listing, path: Path) -> Listing:
    if not listing:
        raise SigmaeError(
            f"{path} has no pictures ({', '.join(sorted(SUFFIXES))}; hidden files and links that leave it do not "
            "count): give a folder or zip that has. The files of a named data set are read by its name "
            "and data_dir (--data-dir)."
        )
    return listing


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden


def _read_file(path: Path) -> bytes:
    _check_size(path.stat().st_size)
    return path.read_bytes()


def _read_member(archive: ZipFile, member: ZipInfo) -> bytes:
    _check_size(member.file_size)
    with archive.open(member) as file:
        # A read without a bound would inflate all there is, whatever size the zip's directory states.
        return file.read(member.file_size + 1)


def _check_size(size: int) -> None:
    if size > FILE_LIMIT:
        raise ValueError(f"{size:,} bytes, over the bound of {FILE_LIMIT:,}")
