import hashlib
import sys

import numpy as np
import pytest
import torch

from sigmae.data import load
from sigmae.data.shapes3d import FILE, GRID, load_shapes3d, MIRRORS, SHA256
from sigmae.data.splits import shuffled
from sigmae.errors import SigmaeError

h5py = pytest.importorskip("h5py")

COUNT = 60
VALUES = [
    *[np.linspace(0, 0.9, 10)] * 3,
    np.linspace(0.75, 1.25, 8),
    np.arange(4.0),
    np.linspace(-30, 30, 15),
]


def ranks(count=COUNT):
    return np.stack([np.arange(count) % len(values) for values in VALUES], axis=1)


def labels(count=COUNT):
    return np.stack([values[column] for values, column in zip(VALUES, ranks(count).T, strict=True)], axis=1)


def images(count=COUNT):
    """Images that tell their row (the first value) and their axes."""
    pixels = np.zeros((count, 64, 64, 3), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(count)
    pixels[:, 0, 1, 0], pixels[:, 1, 0, 0], pixels[:, 0, 0, 1] = 101, 102, 103
    return pixels


def save_shapes3d(folder, chunks=None, **replaced):
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / FILE, "w") as file:
        for name, array in {"images": images(), "labels": labels(), **replaced}.items():
            if array is not None:
                file.create_dataset(name, data=array, chunks=chunks if name == "images" else None)


def rows_of(data):
    return torch.cat([split.images[:, 0, 0, 0].long() for split in (data.train, data.validation, data.test)])


def test_the_images_come_channels_first_with_the_ranks_of_their_factors(tmp_path):
    save_shapes3d(tmp_path)
    data = load("shapes3d", data_dir=tmp_path)
    assert (data.name, data.shape, data.train.images.dtype) == ("shapes3d", (3, 64, 64), torch.uint8)
    assert data.factor_names == ("floor hue", "wall hue", "object hue", "scale", "shape", "orientation")
    assert data.factor_sizes == (10, 10, 10, 8, 4, 15)
    first = data.train.images[0]
    assert (first[0, 0, 1], first[0, 1, 0], first[1, 0, 0]) == (101, 102, 103)
    factors = torch.cat([split.factors for split in (data.train, data.validation, data.test)])
    assert torch.equal(factors, torch.from_numpy(ranks())[rows_of(data)])


def test_the_splits_are_the_fixed_permutation_and_a_draw_is_its_start(tmp_path):
    save_shapes3d(tmp_path)
    whole, draw = load("shapes3d-all", data_dir=tmp_path), load_shapes3d(tmp_path, count=20)
    assert [len(split) for split in (whole.train, whole.validation, whole.test)] == [48, 6, 6]
    assert torch.equal(rows_of(whole), shuffled(COUNT))
    assert torch.equal(rows_of(draw), shuffled(COUNT)[:20])
    assert (whole.name, draw.name) == ("shapes3d-all", "shapes3d")


@pytest.mark.parametrize(("chunk", "told"), [(7, [14, 28, 42, 56, 60]), (25, [25, 50, 60]), (None, [20, 40, 60])])
def test_a_file_of_many_parts_is_read_in_whole_chunks(tmp_path, monkeypatch, chunk, told):
    monkeypatch.setattr("sigmae.data.shapes3d.AT_ONCE", 20)
    save_shapes3d(tmp_path, None if chunk is None else (chunk, 64, 64, 3))
    steps = []
    data = load_shapes3d(tmp_path, progress=lambda done, total: steps.append(done))
    assert steps == told
    assert torch.equal(rows_of(data), shuffled(COUNT))


@pytest.mark.parametrize("place", ["", "shapes3d", "3dshapes", "3d-shapes"])
def test_the_file_is_found_in_the_folder_or_its_parent(tmp_path, place, monkeypatch):
    save_shapes3d(tmp_path / place)
    assert load("shapes3d", data_dir=tmp_path, image_size=16).shape == (3, 16, 16)
    if place:
        monkeypatch.setenv("SIGMAE_DATA", str(tmp_path))
        assert len(load("shapes3d").test) == 6


WRONG = {
    "a missing array": ({"images": None}, "cannot be read"),
    "floats": ({"images": images().astype(float)}, r"holds float64 \[60, 64, 64, 3\] and float64 \[60, 6\]"),
    "channels first": ({"images": images().transpose(0, 3, 1, 2)}, r"holds uint8 \[60, 3, 64, 64\]"),
    "fewer": ({"labels": labels()[:-1]}, r"and float64 \[59, 6\]"),
    "columns": ({"labels": labels()[:, :5]}, r"and float64 \[60, 5\]"),
    "a number": ({"labels": 1.0}, r"and float64 \[\]"),
    "a value": ({"labels": labels() * [1, 1, 1, 0, 1, 1]}, "1 values from 0 to 0 of the scale, not 8"),
    "NaN": ({"labels": np.where(np.arange(60)[:, None] == 3, np.nan, labels())}, "11 values .* of the floor hue"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_foreign_file_is_told(tmp_path, name):
    replaced, told = WRONG[name]
    save_shapes3d(tmp_path, **replaced)
    with pytest.raises(SigmaeError, match=told):
        load("shapes3d", data_dir=tmp_path)


@pytest.mark.parametrize("share", [0, 0.1, 0.9])
def test_a_cut_file_is_told(tmp_path, share):
    save_shapes3d(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(SigmaeError, match="cannot be read"):
        load("shapes3d", data_dir=tmp_path)


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    save_shapes3d(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(SigmaeError, match=r"pip install 'sigmae\[shapes3d\]'"):
        load("shapes3d", data_dir=tmp_path)


def test_what_cannot_be_downloaded_is_told():
    with pytest.raises(SigmaeError, match=rf"{FILE} could not be downloaded .* Put {FILE} into .*shapes3d, or"):
        load_shapes3d(mirrors=["http://127.0.0.1:9"])


@pytest.mark.promise(
    "Files of strangers",
    "A download is taken over https alone, and has its name only once it is whole and its hash is right.",
)
def test_the_hash_is_one_and_the_mirror_is_https():
    assert len(bytes.fromhex(SHA256)) == hashlib.sha256(b"").digest_size
    assert all(mirror.startswith("https://") for mirror in MIRRORS)
    assert GRID.total == 480_000
