import hashlib
import subprocess
import sys

import pytest
import torch

from sigmae.data import Dataset, scaled, Split
from sigmae.errors import SigmaeError


def split(count=4, **changes):
    return Split(**{"images": torch.arange(count * 4, dtype=torch.uint8).view(count, 1, 2, 2), **changes})


def test_scaled_divides_bytes_by_255_and_leaves_floats_alone():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8)
    assert scaled(images).tolist() == pytest.approx([0, 0.2, 1])
    assert images.tolist() == [0, 51, 255]
    floats = torch.tensor([-3.0, 300.0])
    assert scaled(floats) is floats


def test_split_has_a_length_and_rows():
    whole = split(labels=torch.arange(4), factors=torch.arange(8).view(4, 2))
    part = whole[torch.tensor([2, 0])]
    assert (len(whole), len(part)) == (4, 2)
    assert part.labels.tolist() == [2, 0]
    assert part.factors.tolist() == [[4, 5], [0, 1]]
    assert torch.equal(part.images[1], whole.images[0])
    assert split()[1:3].labels is None


def test_fingerprint_is_the_digest_of_types_shapes_and_bytes():
    images = torch.tensor([[0.5, 2.0]])
    expected = hashlib.sha256(b"images float32 [1, 2]" + images.numpy().tobytes()).hexdigest()
    assert Split(images).fingerprint == expected


@pytest.mark.parametrize(
    "other",
    [
        split(5),
        split(labels=torch.arange(4)),
        split(factors=torch.zeros(4, 1, dtype=torch.int64)),
        split(images=split().images.view(4, 2, 2, 1)),
        split(images=split().images.flip(0)),
        split(images=split().images.float()),
    ],
)
def test_fingerprint_tells_splits_apart(other):
    assert split().fingerprint == split().fingerprint
    assert other.fingerprint != split().fingerprint


def test_fingerprint_does_not_depend_on_the_layout_in_memory():
    images = torch.rand(3, 5, 4, 2)
    assert Split(images.permute(0, 3, 1, 2)).fingerprint == Split(images.permute(0, 3, 1, 2).contiguous()).fingerprint


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"images": torch.zeros(4, 2, 2)}, r"float32 \[4, 2, 2\]"),
        ({"images": torch.zeros(4, 1, 2, 2, dtype=torch.float64)}, "float64"),
        ({"images": torch.zeros(4, 9, dtype=torch.uint8)}, r"uint8 \[4, 9\]"),
        ({"labels": torch.arange(3)}, r"labels are int64 \[3\], for 4 examples"),
        ({"labels": torch.zeros(4)}, "labels are float32"),
        ({"factors": torch.arange(4)}, r"factors are int64 \[4\]"),
    ],
)
def test_split_refuses_what_does_not_fit(changes, sentence):
    with pytest.raises(SigmaeError, match=sentence):
        split(**changes)


def test_dataset_knows_shape_kind_and_range():
    images = Dataset("bytes", split(), split(2), split(3))
    assert (images.shape, images.is_image, images.unit_range) == ((1, 2, 2), True, True)
    vectors = Dataset("table", *(Split(torch.tensor([[0.5], [bound]])) for bound in (0.0, 1.0, 1.0)))
    assert (vectors.shape, vectors.is_image, vectors.unit_range) == ((1,), False, True)
    wide = Dataset("wide", *(Split(torch.tensor([[0.5], [bound]])) for bound in (0.0, 1.0, 1.5)))
    assert not wide.unit_range


@pytest.mark.promise("Numbers that go wrong", "A split without examples is refused in a sentence.")
def test_dataset_refuses_splits_that_differ_or_are_empty():
    with pytest.raises(SigmaeError, match=r"test images of mine are uint8 \[2, 2, 2, 1\]"):
        Dataset("mine", split(), split(), split(2, images=split(2).images.view(2, 2, 2, 1)))
    with pytest.raises(SigmaeError, match="validation split of mine is empty"):
        Dataset("mine", split(), split(0), split())


def test_the_names_of_the_data_sets_need_no_torch():
    code = "import sys; from sigmae.data import DATASETS; assert 'mnist' in DATASETS; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_has_only_its_public_names():
    import sigmae.data

    with pytest.raises(AttributeError, match="nothing"):
        sigmae.data.nothing  # noqa: B018
