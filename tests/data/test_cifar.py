import tarfile

import numpy as np
import pytest
import torch

from sigmae.data import load
from sigmae.data.cifar import FOLDER, LABELS, MIRRORS
from sigmae.errors import SigmaeError

FILES = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]


def records(file, count=4):
    rng = np.random.RandomState(FILES.index(file))
    return rng.randint(0, 10, count), rng.randint(0, 256, (count, 3, 32, 32)).astype(np.uint8)


def binary(file):
    return b"".join(bytes([label]) + image.tobytes() for label, image in zip(*records(file), strict=True))


def save_batches(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        (folder / file).write_bytes(binary(file))


def save_archive(folder, files=FILES):
    save_batches(folder / FOLDER)
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as tar:
        for file in reversed(files):
            tar.add(folder / FOLDER / file, f"{FOLDER}/{file}")
    for file in FILES:
        (folder / FOLDER / file).unlink()


def check(data):
    labels, images = zip(*(records(file) for file in FILES), strict=True)
    assert (len(data.train), len(data.validation), len(data.test)) == (16, 4, 4)
    assert np.array_equal(torch.cat([data.train.images, data.validation.images]).numpy(), np.concatenate(images[:5]))
    assert torch.cat([data.train.labels, data.validation.labels]).tolist() == np.concatenate(labels[:5]).tolist()
    assert np.array_equal(data.test.images.numpy(), images[5])
    assert (data.name, data.label_names, data.shape) == ("cifar10", LABELS, (3, 32, 32))


@pytest.mark.parametrize("place", ["", "cifar10", f"cifar-10/{FOLDER}", FOLDER])
def test_binary_batches_are_read(tmp_path, place):
    save_batches(tmp_path / place)
    check(load("cifar10", data_dir=tmp_path))


def test_the_archive_is_read_in_any_order(tmp_path):
    save_archive(tmp_path / "cifar10")
    check(load("cifar10", data_dir=tmp_path))


@pytest.mark.parametrize("zipped", [True, False])
def test_pictures_in_class_folders_are_read(tmp_path, save_folder, zipped):
    for split, value in (("train", 10), ("test", 100)):
        pictures = {
            f"{label}/{n}.jpg": np.full((32, 32, 3), value + number, np.uint8)
            for number, label in enumerate(LABELS)
            for n in range(2)
        }
        save_folder(tmp_path / (f"{split}.zip" if zipped else split), pictures)
    data = load("cifar10", data_dir=tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (16, 4, 20)
    assert (data.name, data.label_names) == ("cifar10", LABELS)
    assert (data.test.images[:, 0, 0, 0] - 100).tolist() == data.test.labels.tolist()


def test_the_python_version_is_refused(tmp_path):
    for name in ("cifar-10-batches-py", "cifar-10-python.tar.gz"):
        (tmp_path / name).mkdir()
        with pytest.raises(SigmaeError, match=r"Python version of CIFAR-10.*binary version \(cifar-10-binary.tar.gz\)"):
            load("cifar10", data_dir=tmp_path)
        (tmp_path / name).rmdir()


def test_what_is_cut_or_missing_is_named(tmp_path):
    save_batches(tmp_path)
    (tmp_path / FILES[2]).write_bytes(binary(FILES[2])[:-1])
    with pytest.raises(SigmaeError, match=r"data_batch_3\.bin has 12,291 bytes, not whole records of 3,073"):
        load("cifar10", data_dir=tmp_path)
    (tmp_path / FILES[2]).unlink()
    with pytest.raises(SigmaeError, match=r"has no data_batch_3\.bin: put all six batches there"):
        load("cifar10", data_dir=tmp_path)
    save_batches(tmp_path)
    (tmp_path / FILES[0]).write_bytes(bytes([77]) + bytes(3072))
    with pytest.raises(SigmaeError, match="a class 77, over 9"):
        load("cifar10", data_dir=tmp_path)


def test_a_cut_or_short_archive_is_named(tmp_path):
    save_archive(tmp_path)
    archive = tmp_path / "cifar-10-binary.tar.gz"
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SigmaeError, match=r"cifar-10-binary\.tar\.gz cannot be unpacked"):
        load("cifar10", data_dir=tmp_path)
    save_archive(tmp_path, FILES[1:])
    with pytest.raises(SigmaeError, match=r"has no data_batch_1\.bin"):
        load("cifar10", data_dir=tmp_path)


def test_the_mirror_is_https():
    assert all(mirror.startswith("https://") for mirror in MIRRORS)


@pytest.mark.slow
def test_the_real_pictures_are_read(real_data):
    data = load("cifar10", data_dir=real_data)
    assert (len(data.train), len(data.validation), len(data.test)) == (16_000, 4_000, 10_000)
    assert data.label_names == LABELS
    assert data.test.labels.bincount().tolist() == [1000] * 10
    assert torch.cat([data.train.labels, data.validation.labels]).bincount().tolist() == [2000] * 10
    assert data.validation.labels.bincount().min() > 300
    means = data.test.images.float().div(255).mean((0, 2, 3)).tolist()
    assert means == pytest.approx([0.4942, 0.4851, 0.4504], abs=2e-3)  # of the official test images
