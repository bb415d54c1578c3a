"""Properties of every loader: what it is given becomes a data set in the documented form, or a sentence."""

import gzip
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn
from tests.reliability.properties import holds_for

from sigmae import Dataset, SigmaeError
from sigmae.data import load
from sigmae.data.idx import read_idx

GROUP = "Numbers that go wrong"
ARRAYS = (
    "An array or tensor of any type, shape, byte order and layout becomes a data set in the documented form, or a "
    "sentence says what to do."
)
NAMED = "Named arrays and labels of any type and length become a data set, or a sentence says what to do."
FILES = "Numbers come back from .npy, .npz, IDX and picture files as they were written."
OBJECTS = "An object that holds no data is refused in a sentence."

NUMBERS = ("uint8", "float32", "float64", "float16", ">f4", ">f8", "int8", "int16", ">i4", "int64", "uint16", "uint64")
OTHERS = ("bool", "complex64", "complex128", "object", "U3", "S2", "datetime64[s]", "timedelta64[s]", "longdouble")
DTYPES = [*map(np.dtype, (*NUMBERS, *OTHERS)), np.dtype([("red", "u1"), ("green", "<f4")])]
LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": lambda a: a if a.ndim == 0 else np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: a if a.ndim == 0 else a[::-1],
    "transposed": lambda a: a.T.copy().T,
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape) if a.dtype != object and a.size else a,
}
TENSORS = {
    "plain": lambda x: x,
    "permuted": lambda x: x.movedim(0, -1).contiguous().movedim(-1, 0),
    "expanded": lambda x: x[:1].expand(x.shape),
    "with a gradient": lambda x: x.requires_grad_(),
    "sparse": lambda x: x.to_sparse(),
    "without values": lambda x: x.to("meta"),
}
VALUES = ("unit", "bytes", "normal", "same", "nan", "inf", "huge")


def filled(seed, shape, dtype, values):
    """An array of that shape and type whose values are of that kind, as far as the type can hold them."""
    draw = np.random.RandomState(seed)
    numbers = {
        "unit": lambda: draw.rand(*shape),
        "bytes": lambda: draw.randint(0, 256, shape),
        "normal": lambda: draw.randn(*shape),
        "same": lambda: np.full(shape, 0.5 if dtype.kind == "f" else 7),
        "nan": lambda: np.where(draw.rand(*shape) < 0.2, np.nan, draw.rand(*shape)),
        "inf": lambda: np.where(draw.rand(*shape) < 0.2, np.inf, draw.rand(*shape)),
        "huge": lambda: draw.rand(*shape) * 1e300,
    }[values]()
    with np.errstate(all="ignore"):
        whole = np.asarray(numbers).astype("i8") if dtype.kind in "mMV" else np.asarray(numbers)
        return whole.astype(dtype)


shapes = hn.array_shapes(min_dims=0, max_dims=6, min_side=0, max_side=7) | st.sampled_from(
    [(9, 8, 8), (9, 6, 7), (9, 1, 4, 5), (9, 4, 5, 3), (12, 4, 4, 4), (3, 2, 5, 4), (20, 3), (3, 1)]
)


def check_documented(data):
    """The form that `Split` documents, in every split."""
    for split in (data.train, data.validation, data.test):
        assert len(split) >= 1
        assert split.images.dtype in (torch.uint8, torch.float32)
        assert split.images.ndim == 4 or (split.images.ndim == 2 and split.images.dtype == torch.float32)
        assert split.images.isfinite().all()
        if data.is_image:
            assert data.shape[0] in (1, 3, 4)
            assert data.unit_range
        assert split.labels is None or split.labels.dtype == torch.int64


def loaded(source, **options):
    """The data set in its documented form, or None where a sentence refuses."""
    try:
        data = load(source, **options)
    except SigmaeError:
        return None
    assert isinstance(data, Dataset)
    check_documented(data)
    return data


@pytest.mark.promise(GROUP, ARRAYS)
@holds_for(
    400,
    seed=st.integers(0, 1000),
    shape=shapes,
    dtype=st.sampled_from(DTYPES),
    values=st.sampled_from(VALUES),
    layout=st.sampled_from(sorted(LAYOUTS)),
)
def test_an_array_is_a_data_set_or_refused(seed, shape, dtype, values, layout):
    array = LAYOUTS[layout](filled(seed, shape, dtype, values))
    data = loaded(array)
    if dtype.kind not in "f" and dtype != np.uint8:
        assert data is None
    if data is not None and data.shape[1:] == shape[2:]:
        found = sorted(float(x) for split in (data.train, data.validation, data.test) for x in split.images.flatten())
        assert found == sorted(np.float32(x) for x in array.flatten())


@pytest.mark.promise(GROUP, ARRAYS)
@holds_for(
    200,
    seed=st.integers(0, 1000),
    shape=shapes,
    dtype=st.sampled_from([dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)]),
    layout=st.sampled_from(sorted(TENSORS)),
)
def test_a_tensor_is_a_data_set_or_refused(seed, shape, dtype, layout):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sparse tensors, which are in beta
            tensor = TENSORS[layout](torch.from_numpy(filled(seed, shape, np.dtype("f8"), "unit")).to(dtype))
    except (RuntimeError, TypeError, IndexError):  # torch has no such tensor
        return
    loaded(tensor)


LABELS = st.sampled_from(["i1", "u1", ">i8", "u8", "f4", "U3", "S2", "bool", "object", "complex64", "datetime64[s]"])
KEYS = st.sampled_from(
    ["images", "x", "data", "labels", "y", "x_train", "x_test", "x_val", "y_train", "y_test", "y_val"]
)


@pytest.mark.promise(GROUP, NAMED)
@holds_for(
    200,
    seed=st.integers(0, 1000),
    dtype=LABELS,
    shape=st.sampled_from([(), (0,), (9,), (9,), (9,), (8,), (9, 1), (1, 9), (9, 2)]),
    kind=st.sampled_from([np.asarray, np.ndarray.tolist, tuple]),
)
def test_labels_go_with_the_images_or_are_refused(seed, dtype, shape, kind):
    labels = filled(seed, shape, np.dtype(dtype), "bytes")
    data = loaded((filled(seed, (9, 8, 8), np.dtype("u1"), "bytes"), labels if shape == () else kind(labels)))
    if data is not None and np.dtype(dtype).kind in "iu" and data.train.labels is not None:
        found = torch.cat([data.train.labels, data.validation.labels, data.test.labels])
        assert sorted(found.tolist()) == sorted(labels.reshape(-1).astype("i8").tolist())


@pytest.mark.promise(GROUP, NAMED)
@holds_for(
    200,
    seed=st.integers(0, 1000),
    names=st.lists(KEYS | st.text(max_size=3) | st.integers(), max_size=6, unique=True),
    kinds=st.lists(st.sampled_from(["images", "fewer", "vectors", "numbers", "texts", "gradient", "none"]), min_size=6),
)
def test_named_arrays_are_a_data_set_or_refused(seed, names, kinds):
    made = {
        "images": filled(seed, (9, 8, 8), np.dtype("u1"), "bytes"),
        "fewer": filled(seed, (3, 8, 8, 1), np.dtype("u1"), "bytes"),
        "vectors": filled(seed, (9, 4), np.dtype("f4"), "normal"),
        "numbers": np.arange(9),
        "texts": np.array(list("aababbaab")),
        "gradient": torch.ones(9, requires_grad=True),
        "none": np.zeros((0, 8, 8), np.uint8),
    }
    loaded({name: made[kind] for name, kind in zip(names, kinds, strict=False)})


@pytest.mark.promise(GROUP, FILES)
@holds_for(60, seed=st.integers(0, 1000), count=st.integers(5, 12), dtype=st.sampled_from(["u1", "f4", ">f8", "f2"]))
def test_arrays_come_back_from_numpy_files(tmp_path_factory, seed, count, dtype):
    folder = tmp_path_factory.mktemp("numpy")
    array = filled(seed, (count, 8, 6), np.dtype(dtype), "bytes" if dtype == "u1" else "unit")
    np.save(folder / "a.npy", array)
    np.savez(folder / "a.npz", images=array)
    np.savez_compressed(folder / "b.npz", array)
    expected = load(array)
    for name in ("a.npy", "a.npz", "b.npz"):
        found = loaded(folder / name)
        for split in ("train", "validation", "test"):
            assert torch.equal(getattr(found, split).images, getattr(expected, split).images)


@pytest.mark.promise(GROUP, FILES)
@holds_for(60, seed=st.integers(0, 1000), shape=hn.array_shapes(max_dims=4, max_side=6), packed=st.booleans())
def test_bytes_come_back_from_idx_files(tmp_path_factory, seed, shape, packed):
    values = filled(seed, shape, np.dtype("u1"), "bytes")
    content = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + values.tobytes()
    path = tmp_path_factory.mktemp("idx") / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(content) if packed else content)
    assert torch.equal(read_idx(path), torch.from_numpy(values))


@pytest.mark.promise(GROUP, FILES)
@holds_for(
    60,
    seed=st.integers(0, 1000),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F", "CMYK"]),
    suffix=st.sampled_from([".png", ".bmp", ".tiff", ".gif", ".ppm"]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_pixels_come_back_from_picture_files(tmp_path_factory, seed, mode, suffix, size):
    from PIL import Image

    folder, images = tmp_path_factory.mktemp("pictures"), []
    for row in range(4):
        shape = (size[1], size[0], 3)
        image = Image.fromarray(filled(seed + row, shape, np.dtype("u1"), "bytes")).convert(mode.partition(";")[0])
        try:
            image.save(folder / f"{row}{suffix}")
        except (OSError, KeyError, ValueError):  # the format has no such mode
            return
        images.append(image)
    data = loaded(folder)
    if mode in ("L", "RGB") and suffix != ".gif":
        found = torch.cat([data.train.images, data.validation.images, data.test.images])
        expected = {np.asarray(image).tobytes() for image in images}
        assert {image.movedim(0, -1).contiguous().numpy().tobytes() for image in found} == expected
        assert data.shape == (len(mode), size[1], size[0])
    elif data is None:
        assert mode in ("I;16", "I", "F")


class Table:
    """Columns by name, as a data frame has them: numbers are no keys."""

    def __len__(self):
        return 9

    def __getitem__(self, key):
        return {"a": [0.0] * 9}[key]


class Unsized:
    """A matrix whose length is not defined, as sparse ones are."""

    def __len__(self):
        raise TypeError("the length is ambiguous")

    def __getitem__(self, key):
        return 0.0


@pytest.mark.promise(GROUP, OBJECTS)
@pytest.mark.parametrize(
    "source",
    [
        *(
            None,
            3,
            2.5,
            True,
            b"digits",
            object(),
            [],
            (),
            {},
            set(),
            [1, 2, 3],
            ["a", "b", "c"],
            [None] * 3,
            [[], [], []],
        ),
        *([np.zeros((8, 8)), np.zeros((8, 9)), np.zeros((8, 8))], [()] * 3, [({}, 1)] * 3),
        *(
            {1: 2},
            {"images": None},
            {"images": 3},
            {None: np.zeros(3)},
            (np.zeros((9, 8, 8)), None),
            range(9),
            "",
            "\0",
        ),
        *(Table(), Unsized(), iter([1]), Path(), Path("absent.npy"), np.float32(3), np.zeros(()), torch.zeros(())),
    ],
    ids=lambda source: f"{type(source).__name__}",
)
def test_what_is_no_data_is_refused(source, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert loaded(source) is None
