"""3D Chairs: 1,393 chairs, each rendered from 62 directions, from the published folder of pictures."""

from pathlib import Path

from sigmae.data.dataset import Dataset, Progress
from sigmae.data.folders import folder_listing, from_pictures, in_splits
from sigmae.data.names import find, kept, Whereabouts, yours_to_fetch
from sigmae.data.pictures import Picture, square
from sigmae.errors import SigmaeError

ARCHIVE, FOLDER = "rendered_chairs.tar", "rendered_chairs"
PUBLISHED = "https://www.di.ens.fr/willow/research/seeing3Dchairs"
VIEWS = 62  # pictures of each chair: 31 directions at two heights
SIZE = 64


def locate_chairs(data_dir: Path | None = None) -> Whereabouts:
    """Where the folders of the chairs are."""
    place = find("chairs", data_dir, lambda place: _chairs(place) is not None)
    files = f"the folder {FOLDER}, unpacked from {ARCHIVE} (published at {PUBLISHED}),"
    return yours_to_fetch("3D Chairs", files, data_dir or kept("chairs"), place and _chairs(place))


def load_chairs(
    data_dir: Path | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    limit: int | None = None,
) -> Dataset:
    """The renderings of Aubry et al. (2014), 600x600, resized bilinearly to `size` (64); without labels.

    No paper tells its splits: here 80, 10 and 10 percent of the pictures by the fixed permutation, so that a chair
    is in all three, seen from other directions. Never downloaded.
    """
    folder = locate_chairs(data_dir).needed()
    chairs: dict[str, list[Picture]] = {}
    for name, picture in folder_listing(folder).items():
        match name.split("/"):
            case [chair, "renders", _]:
                chairs.setdefault(chair, []).append(picture)
    cut = [chair for chair, pictures in chairs.items() if len(pictures) != VIEWS]
    if cut:
        found = f"{len(cut):,} of {len(chairs):,} chairs, such as {cut[0]} with {len(chairs[cut[0]])}"
        raise SigmaeError(f"{folder} has not {VIEWS} pictures of {found}: unpack {ARCHIVE} again.")
    pictures = [picture for views in chairs.values() for picture in views]
    splits = in_splits({"": pictures}, str(folder))
    return from_pictures("chairs", splits, lambda image: square(image, size or SIZE), progress, limit=limit)


def _chairs(place: Path) -> Path | None:
    folders = (place / FOLDER, place)
    return next((folder for folder in folders if folder.is_dir() and any(folder.glob("*/renders"))), None)
