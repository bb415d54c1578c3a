import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sigmae.data import Dataset, DATASETS, load, Split
from sigmae.errors import SigmaeError

BYTES = np.random.RandomState(1).randint(0, 256, (12, 3, 10, 10)).astype(np.uint8)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Writes a module into the working folder, where a third party's file lies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])

    def write(code, name="their_data"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        Path(f"{name}.py").write_text("import numpy as np\nfrom sigmae.data import Dataset, Split\n" + code)

    yield write
    sys.modules.pop("their_data", None)


def test_every_listed_name_is_known_and_described():
    pictures = ["cifar10", "celeba", "omniglot", "chairs"]
    factors = ["dsprites", "dsprites-all", "shapes3d", "shapes3d-all"]
    assert list(DATASETS) == ["digits", "sprites", "mnist", "fashion-mnist", *pictures, *factors]
    assert all(DATASETS.values())


def test_a_dataset_is_returned_as_it_is():
    data = Dataset("mine", *(Split(torch.full((2, 1, 4, 4), 7.0)) for _ in range(3)))
    assert load(data) is load(data, image_size=4) is data
    assert load(data, image_size=2).shape == (1, 2, 2)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_arrays_and_tensors(kind):
    data = load(kind(BYTES))
    assert (data.shape, len(data.train), data.name) == ((3, 10, 10), 10, "array")
    assert load(kind(BYTES), image_size=5).shape == (3, 5, 5)


def test_a_name_with_a_slip_suggests_the_nearest():
    with pytest.raises(SigmaeError, match=r"Unknown data set or path 'minst'. Did you mean 'mnist'\?"):
        load("minst")
    with pytest.raises(SigmaeError, match="Unknown data set or path ''"):
        load("")


def test_a_path_with_a_slip_suggests_what_lies_beside_it(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(SigmaeError, match=rf"no file or folder '{tmp_path}/fotos'. Did you mean '{tmp_path}/photos'\?"):
        load(tmp_path / "fotos")
    with pytest.raises(SigmaeError, match=r"no file or folder '.*/cifar10'. Did you mean 'cifar10'\?"):
        load(f"{tmp_path}/nowhere/cifar10")
    with pytest.raises(SigmaeError, match=r"no file or folder '.*/zzz.npz'. Check the path"):
        load(tmp_path / "zzz.npz")


def test_a_path_is_a_path_even_with_the_name_of_a_data_set(tmp_path, monkeypatch, save_folder):
    monkeypatch.chdir(tmp_path)
    save_folder(tmp_path / "digits", {f"{n}.png": BYTES[n, 0] for n in range(4)})
    assert load("digits").shape == (1, 8, 8)
    assert load("./digits").shape == load(Path("digits")).shape == (1, 10, 10)


def test_files_of_other_kinds_are_refused(tmp_path):
    for name in ("a.pt", "a.pkl", "a.tar.gz"):
        (tmp_path / name).write_bytes(b"hello")
        with pytest.raises(SigmaeError, match=r"give a folder or \.zip of pictures, a \.npy or a \.npz file"):
            load(tmp_path / name)


@pytest.mark.parametrize("size", [0, -3])
def test_an_image_size_below_one_is_refused(size):
    with pytest.raises(SigmaeError, match=f"cannot have {size} pixels"):
        load("digits", image_size=size)


@pytest.mark.parametrize("source", [3, None, object(), {1, 2}])
def test_what_is_no_data_gets_a_sentence(source):
    with pytest.raises(SigmaeError, match=f"A {type(source).__name__} is no data"):
        load(source)


def test_a_third_party_function_is_called_with_what_it_accepts(plugin):
    plugin(
        "def plain():\n    return np.full((5, 6, 6), 0.5)\n"
        "def sized(image_size=6):\n    return np.full((5, image_size, image_size), 0.5), np.arange(5)\n"
        "def placed(data_dir, image_size):\n    return np.full((5, len(data_dir.name), image_size), 0.5)\n"
    )
    assert load("their_data:plain").shape == (1, 6, 6)
    assert load("their_data:plain", image_size=2).shape == (1, 2, 2)
    assert load("their_data:sized").shape == (1, 6, 6)
    assert load("their_data:sized", image_size=9).shape == (1, 9, 9)
    assert load("their_data:sized").train.labels is not None
    assert load("their_data:placed", data_dir="12345678", image_size=8).shape == (1, 8, 8)
    assert load("their_data:plain").name == "their_data:plain"


def test_a_third_party_object_is_taken(plugin):
    plugin(
        "table = np.arange(12.0).reshape(4, 3)\n"
        "class Numbers:\n    classes = ['even', 'odd']\n    def __len__(self):\n        return 6\n"
        "    def __getitem__(self, index):\n        return np.full((5, 5), index * 10, np.uint8), index % 2\n"
        "numbers = Numbers()\n"
    )
    assert load("their_data:table").shape == (3,)
    for source in ("their_data:numbers", "their_data:Numbers"):
        data = load(source)
        assert data.label_names == ("even", "odd")
        assert (data.train.images[:, 0, 0, 0] // 10 % 2).tolist() == data.train.labels.tolist()


def test_a_third_party_dataset_is_returned_as_it_is(plugin):
    plugin("import torch\nmine = Dataset('mine', *[Split(torch.zeros(2, 3))] * 3)\ndef make():\n    return mine\n")
    data = load("their_data:make")
    assert data is load("their_data:mine")


def test_what_cannot_be_imported_gets_a_sentence(plugin):
    plugin("def plain(): return 3")
    with pytest.raises(SigmaeError, match="data set 'nowhere_at_all:make' cannot be imported"):
        load("nowhere_at_all:make")
    with pytest.raises(SigmaeError, match="their_data has no attribute 'plane'"):
        load("their_data:plane")
    with pytest.raises(SigmaeError, match="A int is no data"):
        load("their_data:plain")


class Listed(list):
    """A list that can have attributes, as a torchvision data set has `classes`."""


def test_pairs_of_pictures_and_labels():
    pairs = Listed((Image.fromarray(np.full((9, 9, 3), n, np.uint8)), n % 3) for n in range(20))
    pairs.classes = ["zero", "one", "two"]
    data = load(pairs)
    assert (data.shape, data.label_names) == ((3, 9, 9), ("zero", "one", "two"))
    assert (data.test.images[:, 0, 0, 0] % 3).tolist() == data.test.labels.tolist()
    assert load(pairs, image_size=4).shape == (3, 4, 4)


@pytest.mark.parametrize(
    ("item", "shape"),
    [
        (torch.rand(3, 5, 5), (3, 5, 5)),
        (np.zeros((5, 5, 3), np.uint8) + 9, (3, 5, 5)),
        (np.full((5, 5), 0.5), (1, 5, 5)),
        (torch.tensor([-3.0, 8.0]), (2,)),
        (Image.new("P", (6, 5)), (3, 5, 6)),
        ((torch.rand(1, 5, 5),), (1, 5, 5)),
    ],
)
def test_examples_without_labels(item, shape):
    data = load([item] * 10 if not isinstance(item, Image.Image) else [item, Image.new("RGB", (6, 5), "white")] * 5)
    assert (data.shape, data.train.labels) == (shape, None)


def test_tensors_as_labels_are_numbers_and_other_targets_are_left_out():
    data = load(torch.utils.data.TensorDataset(torch.rand(10, 1, 4, 4), torch.arange(10)))
    assert sorted(torch.cat([data.train.labels, data.validation.labels, data.test.labels]).tolist()) == [*range(10)]
    assert load(torch.utils.data.TensorDataset(torch.rand(10, 1, 4, 4), torch.rand(10, 2))).train.labels is None


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        (
            [np.zeros((4, 4)), np.zeros((4, 5)), np.zeros((4, 4))],
            r"Example 1 of array is torch.float32 \[4, 5\] and the",
        ),
        ([np.zeros((4, 4)), np.zeros((4, 4), np.uint8)], "Example 1 of array is torch.uint8"),
        (["a.png", "b.png"], "Example 0 of array is a str, not a PIL image, an array or a tensor"),
        ([Image.new("I;16", (4, 4))], "Example 0 of array has more than 8 bits"),
        ([np.zeros((5, 5, 2))] * 3, "which axis holds"),
        ([np.full((4, 4), 0.5)] * 2, "array has 2 examples, too few"),
        ([], "array has shape"),
    ],
)
def test_examples_that_do_not_fit_get_a_sentence(items, sentence):
    with pytest.raises(SigmaeError, match=sentence):
        load(items)


def test_progress_is_told():
    seen = []
    load([np.full((4, 4), 0.5)] * 3, progress=lambda *step: seen.append(step))
    assert seen == [(1, 3), (2, 3), (3, 3)]
