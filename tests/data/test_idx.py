import gzip
import hashlib
import struct

import numpy as np
import pytest
import torch

from sigmae.data import load
from sigmae.data.idx import MD5, MIRRORS, read_idx
from sigmae.errors import SigmaeError

# Of the unpacked files, as published with the data: the hash of a gzip file depends on who packed it.
UNPACKED = {
    "train-images": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels": "a25bea736e30d166cdddb491f175f624",
    "t10k-images": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels": "27ae3e4e09519cfbb04c329615203637",
}


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def save_idx(folder, train=12, test=4, packed=True):
    folder.mkdir(parents=True, exist_ok=True)
    for half, count in (("train", train), ("t10k", test)):
        images = np.arange(count * 28 * 28).reshape(count, 28, 28) % 251
        for kind, array in (("images-idx3", images), ("labels-idx1", np.arange(count) % 10)):
            path = folder / f"{half}-{kind}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))


@pytest.mark.parametrize("packed", [True, False])
def test_an_idx_file_is_read_in_its_shape(tmp_path, packed):
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    result = read_idx(path)
    assert result.dtype == torch.uint8
    assert np.array_equal(result.numpy(), array)


@pytest.mark.parametrize("cut", [0, 3, 10, 30])
@pytest.mark.parametrize("packed", [True, False])
def test_a_cut_idx_file_is_named(tmp_path, cut, packed):
    whole = idx(np.arange(24).reshape(2, 3, 4))
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(whole)[:cut] if packed else whole[:cut])
    with pytest.raises(SigmaeError, match=r"a(\.gz)? (cannot be read|is no IDX|has .* values)"):
        read_idx(path)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (struct.pack(">HBBI", 0, 13, 1, 4) + bytes(16), "no IDX file of bytes .it begins with 00 00 0d 01"),
        (b"\x89PNG1234", "no IDX file"),
        (idx(np.zeros(4)) + b"more", "5 values or more, and its header promises 4"),
        (idx(np.zeros((0, 28, 28))), "promises 0"),
    ],
)
def test_a_foreign_file_is_named(tmp_path, data, sentence):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(SigmaeError, match=sentence):
        read_idx(tmp_path / "a")


@pytest.mark.parametrize("place", ["", "mnist", "mnist/raw", "MNIST/raw", "raw"])
def test_the_files_are_found_in_the_folder_or_its_parent(tmp_path, place):
    save_idx(tmp_path / place)
    data = load("mnist", data_dir=tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (10, 2, 4)
    assert data.validation.labels.tolist() == [0, 1]
    assert (data.shape, data.label_names) == ((1, 28, 28), tuple("0123456789"))


@pytest.mark.parametrize("separator", ["-", "."])
@pytest.mark.parametrize("packed", [True, False])
def test_packed_or_not_with_either_name(tmp_path, packed, separator):
    save_idx(tmp_path, packed=packed)
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", f"{separator}idx")))
    assert len(load("mnist", data_dir=tmp_path).test) == 4


def test_each_name_has_its_own_folder(tmp_path, monkeypatch):
    save_idx(tmp_path / "mnist", test=4)
    save_idx(tmp_path / "FashionMNIST" / "raw", test=5)
    monkeypatch.setenv("SIGMAE_DATA", str(tmp_path))
    assert len(load("mnist").test) == 4
    fashion = load("fashion-mnist")
    assert len(fashion.test) == 5
    assert fashion.label_names[9] == "ankle boot"


def test_data_dir_comes_before_the_environment_and_that_before_the_cache(tmp_path, monkeypatch):
    save_idx(tmp_path / "cache" / "data" / "mnist", test=3)
    assert len(load("mnist").test) == 3
    save_idx(tmp_path / "shared" / "mnist", test=4)
    monkeypatch.setenv("SIGMAE_DATA", str(tmp_path / "shared"))
    assert len(load("mnist").test) == 4
    save_idx(tmp_path / "mine", test=5)
    assert len(load("mnist", data_dir=str(tmp_path / "mine")).test) == 5


def test_padding_and_resizing(tmp_path):
    save_idx(tmp_path)
    native, padded = load("mnist", data_dir=tmp_path), load("mnist", data_dir=tmp_path, image_size=32)
    assert padded.shape == (1, 32, 32)
    assert torch.equal(padded.train.images[:, :, 2:-2, 2:-2], native.train.images)
    assert padded.train.images.sum() == native.train.images.sum()
    assert load("mnist", data_dir=tmp_path, image_size=16).shape == (1, 16, 16)


def test_what_is_missing_or_does_not_fit_is_named(tmp_path):
    with pytest.raises(SigmaeError, match=r"There is no folder .*nowhere: give the one that holds the files of mnist"):
        load("mnist", data_dir=tmp_path / "nowhere")
    save_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(3))))
    with pytest.raises(SigmaeError, match=r"hold \[4, 28, 28\] and \[3\], not images with a label each"):
        load("mnist", data_dir=tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(SigmaeError, match=r"has no t10k-labels-idx1-ubyte\.gz: put all four IDX files there"):
        load("mnist", data_dir=tmp_path)


@pytest.mark.promise(
    "Files of strangers",
    "A download is taken over https alone, and has its name only once it is whole and its hash is right.",
)
def test_every_file_has_a_hash_and_every_mirror_is_https():
    for name in ("mnist", "fashion-mnist"):
        assert [len(bytes.fromhex(md5)) for md5 in MD5[name].values()] == [16] * 4
        assert all(mirror.startswith("https://") for mirror in MIRRORS[name])


def test_the_real_mnist_is_the_published_one(real_data):
    for file, md5 in UNPACKED.items():
        (path,) = (real_data / "mnist").glob(f"{file}*")
        with gzip.open(path) as stream:
            assert hashlib.md5(stream.read()).hexdigest() == md5


@pytest.mark.parametrize("place", ["", "mnist"])
def test_the_real_mnist_is_read(real_data, place):
    data = load("mnist", data_dir=real_data / place)
    assert (len(data.train), len(data.validation), len(data.test)) == (50_000, 10_000, 10_000)
    assert data.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    everything = torch.cat([data.train.images, data.validation.images])
    assert everything.float().div(255).mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert everything.float().div(255).std().item() == pytest.approx(0.3081, abs=5e-5)
