import hashlib
import io
import os
import zipfile

import numpy as np
import pytest
import torch

from sigmae.data import load
from sigmae.data.dsprites import AT_ONCE, FILE, GRID, load_dsprites, MD5, MIRRORS
from sigmae.data.splits import shuffled
from sigmae.errors import SigmaeError

COUNT = 90


class Trap:
    """Leaves a folder behind where its pickle is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def classes(count):
    """Colour, shape, scale, orientation, x and y."""
    rows = np.arange(count)
    return np.stack([0 * rows, rows % 3, rows % 6, rows % 40, rows % 32, (rows // 2) % 32], axis=1).astype(np.int64)


def images(count):
    """Binary images that tell their row: its bits in the first line."""
    pixels = np.zeros((count, 64, 64), np.uint8)
    pixels[:, 0, :16] = (np.arange(count)[:, None] >> np.arange(16)) & 1
    return pixels


def rows_of(split):
    return (split.images[:, 0, 0, :16].long() // 255 * 2 ** torch.arange(16)).sum(1)


def save_dsprites(folder, count=COUNT, **replaced):
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "metadata": np.array({"trap": Trap(folder / "sprung")}, dtype=object),
        "imgs": images(count),
        "latents_classes": classes(count),
        "latents_values": classes(count).astype(float),
        **replaced,
    }
    np.savez_compressed(folder / FILE, **{name: array for name, array in arrays.items() if array is not None})


def test_the_images_keep_their_factors_and_colour_is_left_out(tmp_path):
    save_dsprites(tmp_path)
    data = load("dsprites", data_dir=tmp_path)
    assert (data.name, data.shape, data.train.images.dtype) == ("dsprites", (1, 64, 64), torch.uint8)
    assert data.factor_names == ("shape", "scale", "orientation", "x", "y")
    assert data.factor_sizes == (3, 6, 40, 32, 32)
    for split in (data.train, data.validation, data.test):
        assert torch.equal(split.factors, torch.from_numpy(classes(COUNT))[rows_of(split), 1:])
        assert set(split.images.unique().tolist()) == {0, 255}


def test_the_splits_are_the_fixed_permutation(tmp_path):
    save_dsprites(tmp_path)
    data = load("dsprites", data_dir=tmp_path)
    found = [rows_of(split) for split in (data.train, data.validation, data.test)]
    assert [len(rows) for rows in found] == [72, 9, 9]
    assert torch.equal(torch.cat(found), shuffled(COUNT))


def test_a_draw_is_the_start_of_the_whole_in_the_fixed_order(tmp_path):
    save_dsprites(tmp_path)
    draw = load_dsprites(tmp_path, count=20)
    found = torch.cat([rows_of(split) for split in (draw.train, draw.validation, draw.test)])
    assert torch.equal(found, shuffled(COUNT)[:20])
    assert [len(split) for split in (draw.train, draw.validation, draw.test)] == [16, 2, 2]
    whole = load("dsprites-all", data_dir=tmp_path)
    assert (whole.name, len(whole.train)) == ("dsprites-all", 72)


def test_a_file_of_many_parts_is_read_whole_with_progress(tmp_path):
    count = 2 * AT_ONCE + 5
    save_dsprites(tmp_path, count)
    told = []
    data = load_dsprites(tmp_path, count=50, progress=lambda done, total: told.append((done, total)))
    assert told == [(AT_ONCE, count), (2 * AT_ONCE, count), (count, count)]
    found = torch.cat([rows_of(split) for split in (data.train, data.validation, data.test)])
    assert torch.equal(found, shuffled(count)[:50])


@pytest.mark.promise(
    "Files of strangers", "Loading a model, a run, a data file or a study never runs code that the file holds."
)
def test_nothing_pickled_is_loaded(tmp_path):
    save_dsprites(tmp_path)
    load("dsprites", data_dir=tmp_path)
    assert not (tmp_path / "sprung").exists()
    with np.load(tmp_path / FILE, allow_pickle=True) as archive:
        archive["metadata"]
    assert (tmp_path / "sprung").exists()  # the trap works
    for name in ("imgs", "latents_classes"):
        save_dsprites(tmp_path / name, **{name: np.array([Trap(tmp_path / name / "sprung")], dtype=object)})
        with pytest.raises(SigmaeError, match=r"holds object \[1\] where"):
            load("dsprites", data_dir=tmp_path / name)
        assert not (tmp_path / name / "sprung").exists()


@pytest.mark.parametrize("place", ["", "dsprites", "dSprites", "dsprites-dataset"])
def test_the_file_is_found_in_the_folder_or_its_parent(tmp_path, place, monkeypatch):
    save_dsprites(tmp_path / place)
    assert len(load("dsprites", data_dir=tmp_path).test) == 9
    if place:
        monkeypatch.setenv("SIGMAE_DATA", str(tmp_path))
        assert len(load("dsprites").test) == 9


def test_images_are_resized(tmp_path):
    save_dsprites(tmp_path)
    assert load("dsprites", data_dir=tmp_path, image_size=32).shape == (1, 32, 32)


WRONG = {
    "a missing array": ({"imgs": None}, r"cannot be read .*imgs\.npy"),
    "floats": ({"imgs": images(COUNT).astype(float)}, r"holds float64 \[90, 64, 64\] where uint8 in 3 axes"),
    "by columns": ({"latents_classes": np.asfortranarray(classes(COUNT))}, r"holds int64 \[90, 6\]"),
    "small": ({"imgs": images(COUNT)[:, :32]}, r"images \[90, 32, 64\] for 90 rows"),
    "fewer": ({"imgs": images(COUNT)[:-1]}, r"images \[89, 64, 64\] for 90 rows"),
    "columns": ({"latents_classes": classes(COUNT)[:, :5].copy()}, "90 rows of 5 factors"),
    "a value": ({"latents_classes": classes(COUNT) + 1}, "3 values from 1 to 3 of the shape, not 3 from 0 to 2"),
    "too few": ({"latents_classes": classes(30), "imgs": images(30)}, "30 values .* of the orientation"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_foreign_file_is_told(tmp_path, name):
    replaced, told = WRONG[name]
    save_dsprites(tmp_path, **replaced)
    with pytest.raises(SigmaeError, match=told):
        load("dsprites", data_dir=tmp_path)


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_cut_file_is_told(tmp_path, share):
    save_dsprites(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(SigmaeError, match="cannot be read"):
        load("dsprites", data_dir=tmp_path)


def test_a_head_that_promises_more_than_there_is_is_told(tmp_path):
    save_dsprites(tmp_path)
    longer, cut = io.BytesIO(), io.BytesIO()
    np.save(longer, images(COUNT))
    cut.write(longer.getvalue()[:-100])
    with zipfile.ZipFile(tmp_path / FILE) as archive:
        kept = archive.read("latents_classes.npy")
    with zipfile.ZipFile(tmp_path / FILE, "w") as archive:
        archive.writestr("latents_classes.npy", kept)
        archive.writestr("imgs.npy", cut.getvalue())
    with pytest.raises(SigmaeError, match=r"cannot be read \(368,540 of 368,640 bytes\)"):
        load("dsprites", data_dir=tmp_path)
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<i8", "fortran_order": False, "shape": (GRID.total + 1, 6)})
    with zipfile.ZipFile(tmp_path / FILE, "w") as archive:
        archive.writestr("latents_classes.npy", head.getvalue())
    with pytest.raises(SigmaeError, match="737,281 rows of 6 factors"):
        load("dsprites", data_dir=tmp_path)


def test_what_cannot_be_downloaded_is_told():
    with pytest.raises(SigmaeError, match=rf"{FILE} could not be downloaded .* Put {FILE} into .*dsprites, or"):
        load_dsprites(mirrors=["http://127.0.0.1:9"])


def test_the_file_is_fetched_into_the_cache_by_its_hash(monkeypatch):
    asked = {}
    monkeypatch.setattr("sigmae.data.dsprites.fetch", lambda path, checksum, *rest: asked.update({path: checksum}))
    with pytest.raises(SigmaeError, match="cannot be read"):
        load_dsprites()
    ((path, checksum),) = asked.items()
    assert (path.name, path.parent.name, checksum) == (FILE, "dsprites", f"md5:{MD5}")


@pytest.mark.promise(
    "Files of strangers",
    "A download is taken over https alone, and has its name only once it is whole and its hash is right.",
)
def test_the_hash_is_one_and_the_mirror_is_https():
    assert len(bytes.fromhex(MD5)) == hashlib.md5(b"").digest_size
    assert all(mirror.startswith("https://") for mirror in MIRRORS)
    assert GRID.total == 737_280
