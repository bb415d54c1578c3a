import numpy as np
import pytest
import torch
from scipy.io import savemat

from sigmae.data import load, omniglot
from sigmae.data.omniglot import ALPHABETS, FILE, HELD, SHAPES, TEST, TRAIN
from sigmae.errors import SigmaeError

FEW, FEW_HELD, FEW_TEST = 40, 7, 10
PIXEL = 783  # numbers up to this are exact in a float32 after the division and back


@pytest.fixture
def few(monkeypatch):
    """Files of forty and ten images are taken for the published one."""
    counts = {"data": FEW, "target": FEW, "testdata": FEW_TEST, "testtarget": FEW_TEST}
    for name, count in counts.items():
        monkeypatch.setitem(SHAPES, name, (SHAPES[name][0], count))
    monkeypatch.setattr(omniglot, "HELD", FEW_HELD)


def images(count):
    """Image n: its number in the upper left pixel, and elsewhere how far along its rows a pixel lies."""
    pixels = np.tile(np.arange(784.0).reshape(28, 28), (count, 1, 1))
    pixels[:, 0, 0] = np.arange(count)
    return pixels / PIXEL


def arrays(train=FEW, test=FEW_TEST):
    return {
        "data": np.stack([image.flatten(order="F") for image in images(train)], axis=1),
        "testdata": np.stack([image.flatten(order="F") for image in images(test)], axis=1),
        "target": np.eye(ALPHABETS)[:, np.arange(train) % ALPHABETS],
        "testtarget": np.eye(ALPHABETS)[:, np.arange(test) % ALPHABETS],
        "targetchar": np.ones((1, train)),
    }


def save(folder, **changes):
    kept = {name: array for name, array in (arrays() | changes).items() if array is not None}
    savemat(folder / FILE, kept, do_compression=True)


def numbers(split):
    return split.images[:, 0, 0, 0].mul(PIXEL).round().long().tolist()


def test_images_are_upright_and_real_valued(few, tmp_path):
    save(tmp_path)
    data = load("omniglot", data_dir=tmp_path)
    assert (data.name, data.shape, data.train.images.dtype) == ("omniglot", (1, 28, 28), torch.float32)
    for split in (data.train, data.validation, data.test):
        expected = torch.from_numpy(images(FEW)).float()[numbers(split)]
        assert torch.equal(split.images[:, 0], expected)


def test_the_splits_are_those_of_the_iwae_code(few, tmp_path):
    save(tmp_path)
    data = load("omniglot", data_dir=tmp_path)
    order = np.random.RandomState(123).permutation(FEW).tolist()
    assert numbers(data.train) == order[:-FEW_HELD]
    assert numbers(data.validation) == order[-FEW_HELD:]
    assert sorted(numbers(data.test)) == [*range(FEW_TEST)]
    for split in (data.train, data.validation, data.test):
        assert split.labels.tolist() == [number % ALPHABETS for number in numbers(split)]


def test_the_counts_are_the_published_ones(tmp_path):
    pixels = {"data": np.zeros((784, TRAIN), np.float32), "testdata": np.zeros((784, TEST), np.float32)}
    savemat(tmp_path / FILE, pixels, do_compression=True)
    data = load("omniglot", data_dir=tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (23_000, 1_345, 8_070)
    assert (TRAIN, HELD, TEST) == (24_345, 1_345, 8_070)
    assert data.train.labels is None


def test_thirty_two_pixels_by_padding(few, tmp_path):
    save(tmp_path)
    padded, plain = (load("omniglot", data_dir=tmp_path, image_size=size).test.images for size in (32, None))
    assert torch.equal(padded[:, :, 2:-2, 2:-2], plain)
    assert padded.count_nonzero() == plain.count_nonzero()


@pytest.mark.parametrize("place", ["omniglot", "OMNIGLOT", ""])
def test_where_the_file_is_found(few, tmp_path, place):
    (tmp_path / place).mkdir(exist_ok=True)
    save(tmp_path / place)
    assert len(load("omniglot", data_dir=tmp_path).test) == FEW_TEST


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(SigmaeError, match=r"Omniglot is not downloaded .*chardata\.mat \(published at .*cache.*, or"):
        load("omniglot")
    with pytest.raises(SigmaeError, match=f"into {tmp_path}, or"):
        load("omniglot", data_dir=tmp_path)


@pytest.mark.parametrize("kept", [0, 3, 100, 130, 200, 0.5, 0.99])
def test_a_file_that_was_cut_is_refused(few, tmp_path, kept):
    save(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(SigmaeError, match=r"chardata\.mat (cannot be read as a MATLAB file|has no array)"):
        load("omniglot", data_dir=tmp_path)


@pytest.mark.parametrize("content", [b"\x89HDF\r\n\x1a\n" + bytes(600), b"hello " * 100, b"\x80\x04K\x01." * 99])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(SigmaeError, match="cannot be read as a MATLAB file"):
        load("omniglot", data_dir=tmp_path)


NOT_FINITE, TOO_LARGE, TWICE = (arrays()[name] for name in ("data", "testdata", "target"))
NOT_FINITE[5, 3], TOO_LARGE[5, 3], TWICE[:, 2] = np.nan, 255.0, 1.0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": None}, "has no array data: fetch"),
        ({"data": None, "testdata": None}, "has no array data and no testdata"),
        ({"data": np.zeros((FEW, 784))}, r"data as double \[40, 784\] where floats \[784, 40\] were published"),
        ({"testdata": np.zeros((784, 9))}, r"testdata as double \[784, 9\] where"),
        ({"data": np.zeros((784, FEW), np.uint8)}, r"data as uint8 \[784, 40\] where"),
        ({"data": np.full((784, FEW), "a", object)}, r"data as cell \[784, 40\] where"),
        ({"target": np.zeros((49, FEW))}, r"target as double \[49, 40\] where"),
        ({"data": NOT_FINITE}, "has 1 values that are NaN or infinite"),
        ({"testdata": TOO_LARGE}, r"testdata of .*chardata\.mat has pixels from 0 to 255, outside \[0, 1\]"),
        ({"target": TWICE}, "labels that do not name one alphabet of 50 each"),
        ({"testtarget": np.full((ALPHABETS, FEW_TEST), 1 / ALPHABETS)}, "labels that do not name one alphabet"),
    ],
)
def test_arrays_that_were_not_published_are_refused(few, tmp_path, changes, sentence):
    save(tmp_path, **changes)
    with pytest.raises(SigmaeError, match=sentence):
        load("omniglot", data_dir=tmp_path)
