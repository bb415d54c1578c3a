"""CelebA, from the aligned pictures and the official partition."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from sigmae.data.dataset import Dataset, Progress
from sigmae.data.folders import folder_listing, from_pictures, zip_listing
from sigmae.data.names import find, kept, Whereabouts, yours_to_fetch
from sigmae.data.pictures import Picture, square
from sigmae.errors import SigmaeError
from sigmae.files import read_bytes

if TYPE_CHECKING:
    import PIL.Image

PICTURES, ZIP = "img_align_celeba", "img_align_celeba.zip"
PARTITIONS = ("list_eval_partition.txt", "Eval/list_eval_partition.txt", "list_eval_partition.csv")
ALIGNED = (178, 218)  # width and height of an aligned picture
FACE = (19, 39, 159, 179)  # left, top, right, bottom of the central 140 x 140 pixels
SIZE = 64


def locate_celeba(data_dir: Path | None = None) -> Whereabouts:
    """Where the pictures and the partition are."""
    folder = find("celeba", data_dir, lambda place: bool(_partitions(place)) and _has_pictures(place))
    files = f"{ZIP} (or the folder {PICTURES}) and {PARTITIONS[0]}"
    return yours_to_fetch("CelebA", files, data_dir or kept("celeba"), folder)


def load_celeba(
    data_dir: Path | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    limit: int | None = None,
) -> Dataset:
    """CelebA in its official splits, cropped to 140 x 140 as RAE and AR-ELBO do, resized bilinearly to `size` (64).

    Never downloaded: the error tells which files to put where.
    """
    folder = locate_celeba(data_dir).needed()
    with ExitStack() as stack:
        zipped = folder / ZIP
        listing = zip_listing(zipped, stack) if zipped.is_file() else folder_listing(folder / PICTURES)
        pictures = {Path(name).name: picture for name, picture in listing.items()}
        splits = _official(folder, pictures)
        return from_pictures("celeba", splits, lambda image: square(_face(image), size or SIZE), progress, limit=limit)


def _has_pictures(place: Path) -> bool:
    return (place / ZIP).is_file() or (place / PICTURES).is_dir()


def _partitions(place: Path) -> list[Path]:
    return [place / name for name in PARTITIONS if (place / name).is_file()]


def _official(folder: Path, pictures: dict[str, Picture]) -> dict[str, list[Picture]]:
    """Each line of the partition names a picture and its split: 0 for train, 1 for validation, 2 for test."""
    partition, *_ = _partitions(folder)
    splits: dict[str, list[Picture]] = {"0": [], "1": [], "2": []}
    missing = []
    for line in read_bytes(partition).decode(errors="replace").splitlines():
        fields = line.replace(",", " ").split()
        if not fields or fields[0] == "image_id":  # the header of the CSV form
            continue
        if len(fields) != 2 or fields[1] not in splits:
            raise SigmaeError(f"{partition} has the line '{line}', not a picture and 0, 1 or 2: fetch it again.")
        if fields[0] in pictures:
            splits[fields[1]].append(pictures[fields[0]])
        else:
            missing.append(fields[0])
    if missing:
        raise SigmaeError(
            f"{len(missing):,} pictures of {partition} are not there, such as {missing[0]}: fetch them all."
        )
    return dict(zip(("train", "validation", "test"), splits.values(), strict=True))


def _face(image: "PIL.Image.Image") -> "PIL.Image.Image":
    if image.size != ALIGNED:
        found = "x".join(map(str, image.size))
        raise SigmaeError(f"A picture of CelebA is {found}, not 178x218: use the aligned and cropped version ({ZIP}).")
    return image.crop(FACE)
