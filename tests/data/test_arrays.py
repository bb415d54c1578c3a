import numpy as np
import pytest
import torch

from sigmae.data import arrays, load
from sigmae.data.arrays import examples
from sigmae.errors import SigmaeError

BYTES = np.random.RandomState(1).randint(0, 256, (10, 6, 7, 3)).astype(np.uint8)


def test_gray_images_get_a_channel():
    assert torch.equal(examples(BYTES[..., 0], "x"), torch.from_numpy(BYTES[..., 0].copy()).unsqueeze(1))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_last_become_first(channels):
    image = np.random.RandomState(2).randint(0, 256, (5, 6, 7, channels)).astype(np.uint8)
    result = examples(image, "x")
    assert result.is_contiguous()
    assert np.array_equal(result.numpy(), np.moveaxis(image, 3, 1))
    assert torch.equal(examples(np.ascontiguousarray(np.moveaxis(image, 3, 1)), "x"), result)


@pytest.mark.parametrize(
    ("shape", "expected"), [((9, 1, 4, 4), (1, 4, 4)), ((9, 4, 4, 3), (3, 4, 4)), ((9, 4, 4), (1, 4, 4))]
)
def test_small_square_images_are_recognised(shape, expected):
    assert examples(np.full(shape, 0.5), "x").shape == (9, *expected)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_become_float32(kind):
    values = np.linspace(0, 1, 16).astype(kind).reshape(4, 2, 2)
    result = examples(values, "x")
    assert result.dtype == torch.float32
    assert result.flatten().tolist() == pytest.approx(values.flatten().astype(float).tolist(), abs=1e-7)


def test_vectors_of_any_finite_floats_stay_vectors():
    table = torch.tensor([[-1e6, 2.0], [3.0, 4.0], [0.0, 1e9]], dtype=torch.float64)
    assert torch.equal(examples(table, "x"), table.float())


def test_a_read_only_or_reversed_array_is_taken():
    frozen = BYTES.copy()
    frozen.flags.writeable = False
    assert np.array_equal(examples(frozen[::-1], "x").numpy(), np.moveaxis(BYTES[::-1], 3, 1))


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros(5), r"shape \[5\]"),
        (np.zeros((2, 3, 4, 5, 6), np.float32), r"shape \[2, 3, 4, 5, 6\]"),
        (np.zeros((0, 8, 8), np.uint8), r"shape \[0, 8, 8\].*none of them empty"),
        (np.zeros((9, 784), np.uint8), r"table of uint8 \[9, 784\]: reshape"),
        (np.zeros((9, 8, 8), np.int64), "values of type int64"),
        (np.zeros((9, 8, 8), bool), "values of type bool"),
        (np.zeros((9, 8), object), "values of type object"),
        (torch.zeros(9, 8, 8, dtype=torch.complex64), "values of type complex64"),
        (np.zeros((64, 48, 3), np.uint8), "reads as one image"),
        (np.zeros((1, 64, 48), np.uint8), "reads as one image"),
        (np.zeros((9, 3, 8, 3), np.uint8), r"\[9, 3, 8, 3\], and which axis holds 1, 3 or 4 channels"),
        (np.zeros((9, 8, 8, 5), np.uint8), "which axis holds"),
        (np.ones((9, 8, 8), np.uint8), "no value over 1: multiply binary images by 255"),
        (np.full((9, 8, 8), 255.0), r"pixels from 255 to 255, outside \[0, 1\]: divide by 255"),
        (np.linspace(-1, 1, 64).reshape(4, 4, 4), "pixels from -1 to 1"),
    ],
)
def test_what_cannot_be_examples_gets_a_sentence(array, sentence):
    with pytest.raises(SigmaeError, match=sentence):
        examples(array, "mine")


@pytest.mark.promise(
    "Numbers that go wrong", "Data with NaN or infinity are refused, with their number and the place of the first."
)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted_and_placed(bad):
    images = np.zeros((4, 5, 6), np.float32)
    images[2, 3, 4] = images[3, 0, 0] = bad
    with pytest.raises(SigmaeError, match=r"2 values that are NaN or infinite, the first at \[2, 0, 3, 4\]"):
        examples(images, "mine")
    with pytest.raises(SigmaeError, match=r"1 values .* the first at \[1, 0\]"):
        examples(np.array([[0.0], [bad], [1.0]]), "mine")
    last = np.moveaxis(np.stack([images] * 3, axis=1), 1, 3)
    with pytest.raises(SigmaeError, match=r"6 values .* the first at \[2, 0, 3, 4\] of \[4, 3, 5, 6\]"):
        examples(last, "mine")


@pytest.mark.promise(
    "Numbers that go wrong", "Data with NaN or infinity are refused, with their number and the place of the first."
)
def test_a_double_beyond_float32_is_infinite():
    with pytest.raises(SigmaeError, match="NaN or infinite"):
        examples(np.full((3, 2), 1e300), "mine")


def test_labels_go_with_their_images():
    gray = BYTES[..., 0]
    data = load((gray, np.arange(10)))
    found = torch.cat([data.train.labels, data.validation.labels, data.test.labels])
    images = torch.cat([data.train.images, data.validation.images, data.test.images])
    assert np.array_equal(images[:, 0].numpy(), gray[found.numpy()])


@pytest.mark.parametrize("kind", [list, np.array])
def test_strings_are_named_labels(kind):
    data = load((BYTES, kind(list("cabcabcabc"))))
    assert data.label_names == ("a", "b", "c")
    assert torch.cat([data.train.labels, data.validation.labels, data.test.labels]).bincount().tolist() == [3, 3, 4]


@pytest.mark.promise(
    "Numbers that go wrong",
    "Named arrays and labels of any type and length become a data set, or a sentence says what to do.",
)
@pytest.mark.parametrize("labels", [np.arange(9), np.zeros(10), np.eye(10, dtype=int), np.array([None] * 10)])
def test_labels_that_do_not_fit_are_refused(labels):
    with pytest.raises(SigmaeError, match="one integer or string an example"):
        load((BYTES, labels))


def test_a_column_of_labels_is_taken():
    assert load((BYTES, torch.arange(10).view(10, 1))).train.labels.shape == (8,)


def test_npy_and_npz_agree_with_the_array(tmp_path):
    np.save(tmp_path / "mine.npy", BYTES)
    np.savez(tmp_path / "named.npz", images=BYTES, labels=np.arange(10), other=np.zeros(3))
    np.savez_compressed(tmp_path / "single.npz", BYTES)
    expected = load(BYTES)
    for name in ("mine.npy", "named.npz", "single.npz"):
        data = load(tmp_path / name)
        assert torch.equal(data.train.images, expected.train.images)
        assert data.name == name.partition(".")[0]
    assert load(tmp_path / "named.npz").test.labels is not None


@pytest.mark.parametrize("key", ["images", "x", "data"])
@pytest.mark.parametrize("label", ["labels", "y"])
def test_understood_keys(tmp_path, key, label):
    np.savez(tmp_path / "a.npz", **{key: BYTES, label: np.arange(10)})
    assert load(tmp_path / "a.npz").train.labels is not None


def test_given_splits_are_kept(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=BYTES, y_train=np.arange(10), x_test=BYTES[:3], y_test=np.arange(3))
    data = load(tmp_path / "a.npz")
    assert (len(data.train), len(data.validation), len(data.test)) == (9, 1, 3)
    assert np.array_equal(data.test.images.numpy(), np.moveaxis(BYTES[:3], 3, 1))
    assert sorted([*data.train.labels.tolist(), *data.validation.labels.tolist()]) == list(range(10))


def test_a_given_validation_split_is_kept():
    data = load({"x_train": BYTES, "x_val": BYTES[:4], "x_test": BYTES[:3]})
    assert (len(data.train), len(data.validation), len(data.test)) == (10, 4, 3)
    assert data.train.labels is None


def test_names_of_labels_are_shared_by_the_splits():
    letters = {"y_train": np.array(list("bbbbbbbbbc")), "y_test": np.array(["a"])}
    data = load({"x_train": BYTES, "x_test": BYTES[:1], **letters})
    assert data.label_names == ("a", "b", "c")
    assert data.test.labels.tolist() == [0]


def test_labels_of_splits_are_counted():
    with pytest.raises(SigmaeError, match=r"\[9, 2\] labels for \[10, 2\] examples"):
        load({"x_train": BYTES, "y_train": np.arange(9), "x_test": BYTES[:2], "y_test": np.arange(2)})


def test_an_npz_without_a_known_key_lists_its_keys(tmp_path):
    np.savez(tmp_path / "a.npz", pics=BYTES, tags=np.arange(10))
    with pytest.raises(SigmaeError, match="has the arrays pics, tags: name them images"):
        load(tmp_path / "a.npz")


@pytest.mark.promise(
    "Files of strangers", "Loading a model, a run, a data file or a study never runs code that the file holds."
)
def test_files_that_are_cut_or_pickled_are_refused(tmp_path):
    np.save(tmp_path / "whole.npy", BYTES)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-9])
    np.save(tmp_path / "objects.npy", np.array([{}, {}, {}]), allow_pickle=True)
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "whole.npz", BYTES)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-9])
    for name in ("cut.npy", "objects.npy", "text.npz", "cut.npz"):
        with pytest.raises(SigmaeError, match=f"{name} cannot be read as numpy arrays of numbers"):
            load(tmp_path / name)


@pytest.mark.promise("Files of strangers", "What would inflate or decode past the stated bounds is refused.")
def test_an_npz_that_inflates_too_far_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "MEMORY_LIMIT", 1000)
    np.savez_compressed(tmp_path / "bomb.npz", np.zeros(2000, np.uint8))
    with pytest.raises(SigmaeError, match=r"would inflate to 2,\d+ bytes, over 1,000"):
        load(tmp_path / "bomb.npz")


def test_the_array_given_is_not_changed_nor_shared():
    values = np.random.RandomState(3).rand(10, 4, 4).astype(np.float32)
    kept = values.copy()
    data = load(values)
    data.train.images.zero_()
    assert np.array_equal(values, kept)
