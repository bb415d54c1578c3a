import struct
import tracemalloc
from contextlib import ExitStack
from zipfile import BadZipFile, ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import torch
from PIL import Image

from sigmae.data import folders, load
from sigmae.errors import SigmaeError


def picture(number, height=8, width=8, colour=False):
    """A picture with its own number as the value of every pixel."""
    return np.full((height, width, 3) if colour else (height, width), number, np.uint8)


def numbers(split):
    return split.images[:, 0, 0, 0].tolist()


def everything(data):
    return [number for split in (data.train, data.validation, data.test) for number in numbers(split)]


FLAT = {f"{number:03}.png": picture(number) for number in range(20)}
CLASSES = {f"{'cat' if number % 2 else 'dog'}/{number:03}.png": picture(number) for number in range(20)}
SPLITS = {f"{split}/{name}": value for split in ("train", "test") for name, value in CLASSES.items()}


@pytest.mark.parametrize("place", ["photos", "photos.zip"])
def test_a_flat_folder_is_divided(tmp_path, save_folder, place):
    save_folder(tmp_path / place, FLAT)
    data = load(tmp_path / place)
    assert (data.name, data.shape) == ("photos", (1, 8, 8))
    assert (len(data.train), len(data.validation), len(data.test)) == (16, 2, 2)
    assert sorted(everything(data)) == list(range(20))
    assert data.train.labels is None


def test_a_zip_is_the_folder_it_was_made_of(tmp_path, save_folder):
    save_folder(tmp_path / "photos", CLASSES)
    save_folder(tmp_path / "photos.zip", CLASSES)
    save_folder(tmp_path / "wrapped.zip", {f"photos/{name}": value for name, value in CLASSES.items()})
    expected = load(tmp_path / "photos").train.fingerprint
    assert load(str(tmp_path / "photos.zip")).train.fingerprint == expected
    assert load(tmp_path / "wrapped.zip").train.fingerprint == expected


@pytest.mark.parametrize("place", ["photos", "photos.zip"])
def test_sub_folders_are_classes(tmp_path, save_folder, place):
    save_folder(tmp_path / place, CLASSES)
    data = load(tmp_path / place)
    assert data.label_names == ("cat", "dog")
    for split in (data.train, data.validation, data.test):
        assert split.labels.tolist() == [1 - number % 2 for number in numbers(split)]


def test_a_single_sub_folder_is_no_class(tmp_path, save_folder):
    save_folder(tmp_path / "photos", {f"images/{name}": value for name, value in FLAT.items()})
    data = load(tmp_path / "photos")
    assert (data.label_names, data.train.labels) == ((), None)


def test_pictures_beside_class_folders_mean_no_classes(tmp_path, save_folder):
    save_folder(tmp_path / "photos", CLASSES | {"loose.png": picture(99)})
    assert load(tmp_path / "photos").train.labels is None


@pytest.mark.parametrize("place", ["photos", "photos.zip"])
def test_train_and_test_folders_are_the_splits(tmp_path, save_folder, place):
    save_folder(tmp_path / place, SPLITS | {"extra/a.png": picture(200), "teaser.png": picture(201)})
    data = load(tmp_path / place)
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 20)
    assert sorted(numbers(data.train) + numbers(data.validation)) == sorted(numbers(data.test)) == list(range(20))
    assert data.test.labels.tolist() == [1 - number % 2 for number in numbers(data.test)]


def test_a_test_split_does_not_begin_with_a_single_class(tmp_path, save_folder):
    save_folder(tmp_path / "photos", SPLITS)
    assert set(load(tmp_path / "photos").test.labels[:6].tolist()) == {0, 1}


@pytest.mark.parametrize("name", ["validation", "val", "valid", "Validation"])
def test_a_validation_folder_is_a_split(tmp_path, save_folder, name):
    save_folder(tmp_path / "photos", SPLITS | {f"{name}/cat/{n}.png": picture(100 + n) for n in range(3)})
    data = load(tmp_path / "photos")
    assert sorted(numbers(data.validation)) == [100, 101, 102]
    assert sorted(numbers(data.train)) == list(range(20))


def test_train_and_test_zips_are_the_splits(tmp_path, save_folder):
    for split in ("train", "test"):
        save_folder(tmp_path / "photos" / f"{split}.zip", CLASSES)
    data = load(tmp_path / "photos")
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 20)
    save_folder(tmp_path / "photos" / "val.zip", {"cat/a.png": picture(100), "dog/b.png": picture(101)})
    data = load(tmp_path / "photos")
    assert sorted(numbers(data.validation)) == [100, 101]
    assert data.label_names == ("cat", "dog")


def test_a_class_called_train_is_a_class(tmp_path, save_folder):
    save_folder(tmp_path / "photos", CLASSES | {f"train/{n}.png": picture(100 + n) for n in range(3)})
    assert load(tmp_path / "photos").label_names == ("cat", "dog", "train")


def test_train_and_validation_without_test_are_refused(tmp_path, save_folder):
    save_folder(tmp_path / "photos", {f"{split}/{n}.png": picture(n) for split in ("train", "val") for n in range(3)})
    with pytest.raises(SigmaeError, match="for train and validation and none for test"):
        load(tmp_path / "photos")


@pytest.mark.promise(
    "The same seed",
    "The order of the data depends on no number of threads, workers or images at once, nor on how files are listed.",
)
def test_the_splits_do_not_depend_on_the_order_of_files(tmp_path, save_folder):
    save_folder(tmp_path / "a.zip", FLAT)
    save_folder(tmp_path / "b.zip", dict(reversed(FLAT.items())))
    assert everything(load(tmp_path / "a.zip")) == everything(load(tmp_path / "b.zip"))


def test_mixed_sizes_need_an_image_size(tmp_path, save_folder):
    save_folder(tmp_path / "photos", {"a.png": picture(1), "b.png": picture(2, 4, 6), "c.png": picture(3, 20, 10)})
    with pytest.raises(SigmaeError, match=r"\.png is \d+x\d+ and .*\.png is \d+x\d+: give image_size"):
        load(tmp_path / "photos")
    data = load(tmp_path / "photos", image_size=5)
    assert data.shape == (1, 5, 5)
    assert sorted(everything(data)) == [1, 2, 3]


def test_gray_and_colour_are_not_mixed(tmp_path, save_folder):
    save_folder(tmp_path / "photos", FLAT | {"colour.png": picture(1, colour=True)})
    with pytest.raises(SigmaeError, match=r"\.png is gray and .*colour\.png is in colour"):
        load(tmp_path / "photos", image_size=8)


def test_a_broken_file_is_named(tmp_path, save_folder):
    save_folder(tmp_path / "photos", FLAT)
    (tmp_path / "photos" / "005.png").write_text("hello")
    with pytest.raises(SigmaeError, match=r"005\.png cannot be read as a picture"):
        load(tmp_path / "photos")


def test_no_pictures_and_one_picture(tmp_path, save_folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("hello")
    with pytest.raises(SigmaeError, match=r"empty has no pictures \(.bmp, .*.webp"):
        load(tmp_path / "empty")
    save_folder(tmp_path / "one", {"a.png": picture(1)})
    with pytest.raises(SigmaeError, match="one has one example, too few"):
        load(tmp_path / "one")
    with pytest.raises(SigmaeError, match=r"a\.png is one picture"):
        load(tmp_path / "one" / "a.png")


def test_hidden_files_and_others_are_left_out(tmp_path, save_folder):
    save_folder(tmp_path / "photos", FLAT | {".thumbs/a.png": picture(99), ".b.png": picture(98)})
    (tmp_path / "photos" / "README.md").write_text("hello")
    save_folder(tmp_path / "mac.zip", FLAT | {"__MACOSX/000.png": picture(99)})
    assert sorted(everything(load(tmp_path / "photos"))) == list(range(20))
    assert sorted(everything(load(tmp_path / "mac.zip"))) == list(range(20))


def test_links_that_leave_the_folder_are_not_followed(tmp_path, save_folder):
    save_folder(tmp_path / "photos", FLAT)
    save_folder(tmp_path / "secret", {"s.png": picture(99)})
    (tmp_path / "photos" / "file.png").symlink_to(tmp_path / "secret" / "s.png")
    (tmp_path / "photos" / "folder").symlink_to(tmp_path / "secret")
    (tmp_path / "photos" / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "photos" / "inside.png").symlink_to("000.png")
    (tmp_path / "linked").symlink_to(tmp_path / "photos")
    for name in ("photos", "linked"):
        assert sorted(everything(load(tmp_path / name))) == [0, *range(20)]


@pytest.mark.promise(
    "Files of strangers", "A zip file is never unpacked to disk, whatever the names of its members say."
)
def test_a_zip_is_never_unpacked(tmp_path, save_folder):
    escaping = {f"/{tmp_path}/{number}.png": picture(number) for number in range(3)}
    save_folder(tmp_path / "in" / "photos.zip", escaping | {"../3.png": picture(3)})
    assert sorted(everything(load(tmp_path / "in" / "photos.zip"))) == [0, 1, 2]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["photos.zip"]


def test_a_cut_zip_is_named(tmp_path, save_folder):
    save_folder(tmp_path / "photos.zip", FLAT)
    whole = (tmp_path / "photos.zip").read_bytes()
    (tmp_path / "photos.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SigmaeError, match=r"photos\.zip is not a whole zip file"):
        load(tmp_path / "photos.zip")


@pytest.mark.promise("Files of strangers", "What would inflate or decode past the stated bounds is refused.")
def test_inflated_sizes_are_bounded(tmp_path, save_folder, monkeypatch):
    save_folder(tmp_path / "photos.zip", FLAT)
    size = sum(info.file_size for info in ZipFile(tmp_path / "photos.zip").infolist())
    monkeypatch.setattr(folders, "TOTAL_LIMIT", size - 1)
    with pytest.raises(SigmaeError, match=f"would inflate to {size:,} bytes, over the bound of {size - 1:,}"):
        load(tmp_path / "photos.zip")
    monkeypatch.setattr(folders, "TOTAL_LIMIT", size)
    monkeypatch.setattr(folders, "FILE_LIMIT", 20)
    with pytest.raises(SigmaeError, match=r"\.png in .*photos\.zip cannot be read .* bytes, over the bound of 20"):
        load(tmp_path / "photos.zip")
    save_folder(tmp_path / "photos", FLAT)
    with pytest.raises(SigmaeError, match=r"photos/.*\.png cannot be read .* bytes, over the bound of 20"):
        load(tmp_path / "photos")


@pytest.mark.promise("Files of strangers", "What would inflate or decode past the stated bounds is refused.")
def test_a_zip_that_lies_about_a_size_is_not_inflated(tmp_path):
    size = 64 << 20
    with ZipFile(tmp_path / "liar.zip", "w", ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(size))
    data = (tmp_path / "liar.zip").read_bytes().replace(struct.pack("<I", size), struct.pack("<I", 100))
    (tmp_path / "liar.zip").write_bytes(data)
    with ExitStack() as stack:
        (picture,) = folders.zip_listing(tmp_path / "liar.zip", stack).values()
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        with pytest.raises(BadZipFile, match="CRC"):
            picture.read()
        assert tracemalloc.get_traced_memory()[1] < size / 8


def test_progress_is_told(tmp_path, save_folder):
    save_folder(tmp_path / "photos", FLAT)
    seen = []
    load(tmp_path / "photos", progress=lambda *step: seen.append(step))
    assert seen == [(20, 20)]


def test_jpegs_are_decoded_as_pillow_does(tmp_path, save_folder):
    noise = np.random.RandomState(0).randint(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    save_folder(tmp_path / "photos", {f"{number}.jpg": array for number, array in enumerate(noise)})
    data = load(tmp_path / "photos")
    found = torch.cat([data.train.images, data.validation.images, data.test.images])
    expected = np.stack([np.asarray(Image.open(tmp_path / "photos" / f"{n}.jpg")) for n in range(4)])
    order = folders.shuffled(4)
    assert np.array_equal(found.permute(0, 2, 3, 1).numpy(), expected[order.numpy()])
