import numpy as np
import pytest
import torch
from PIL import Image

from sigmae.data import Dataset, pictures, Split
from sigmae.data.resize import CHUNK, fitted, padded, resized
from sigmae.errors import SigmaeError


def dataset(images):
    return Dataset("x", *(Split(images.clone()) for _ in range(3)))


def test_padding_puts_two_zeros_around_28_pixels():
    images = torch.full((2, 1, 28, 28), 9, dtype=torch.uint8)
    result = padded(images, 32)
    assert result.shape == (2, 1, 32, 32)
    assert torch.equal(result[:, :, 2:30, 2:30], images)
    assert int(result.sum()) == int(images.sum())


def test_padding_is_for_32_alone():
    images = torch.full((2, 1, 28, 28), 9, dtype=torch.uint8)
    assert torch.equal(padded(images, 14), torch.full((2, 1, 14, 14), 9, dtype=torch.uint8))


@pytest.mark.parametrize(("shape", "size"), [((3, 20, 30), 10), ((1, 31, 17), 8), ((3, 8, 8), 24), ((3, 9, 12), 9)])
def test_resizing_agrees_with_pillow(shape, size):
    images = torch.randint(0, 256, (2, *shape), dtype=torch.uint8)
    ours = resized(images, size)
    for image, result in zip(images, ours, strict=True):
        reference = Image.fromarray(image.permute(1, 2, 0).squeeze(-1).numpy())
        expected = pictures.pixels(pictures.square(reference, size))
        assert np.abs(expected.astype(int) - result.numpy().astype(int)).max() <= 1


def test_resizing_keeps_a_ramp_of_floats_and_the_unit_range():
    ramp = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    result = resized(ramp, 16)
    inner = [(4 * i + 1.5) / 63 for i in range(1, 15)]  # the mean of four pixels; a ramp is flat beyond its ends
    assert result[0, 0, 5, 1:-1].tolist() == pytest.approx(inner, abs=1e-6)
    white = resized(torch.ones(CHUNK + 1, 1, 7, 7), 3)  # sizes whose weights sum to just over 1
    assert white.shape == (CHUNK + 1, 1, 3, 3)
    assert white.max() <= 1
    assert white.min() > 0.999


def test_bytes_are_rounded():
    assert resized(torch.tensor([[[[1, 2], [2, 2]]]], dtype=torch.uint8), 1).tolist() == [[[[2]]]]


def test_fitted_changes_every_split_or_nothing():
    data = dataset(torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8))
    assert fitted(data, None) is data
    assert fitted(data, 8) is data
    small = fitted(data, 4)
    assert small.shape == (3, 4, 4)
    assert small.test.images.shape == small.validation.images.shape == (2, 3, 4, 4)


def test_vectors_and_huge_sizes_are_refused():
    with pytest.raises(SigmaeError, match="holds vectors, which have no image size"):
        fitted(dataset(torch.rand(2, 5)), 8)
    with pytest.raises(SigmaeError, match=r"need .* GiB, over the bound of 16 GiB: give a smaller image_size"):
        fitted(dataset(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)), 100_000)
