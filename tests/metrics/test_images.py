import numpy as np
import pytest
import torch

from sigmae.data import scaled
from sigmae.errors import SigmaeError
from sigmae.metrics import squared_error, to_uint8


def test_every_8_bit_value_survives_scaling():
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_uint8(scaled(values)), values)


def test_images_of_8_bits_are_returned_as_they_are():
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert to_uint8(images) is images


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_values_are_clipped_and_rounded(dtype):
    inside = [0.0, 0.4 / 255, 0.6 / 255, 99.6 / 255, 1.0]
    outside = [-0.1, 1.2, -torch.inf, torch.inf]
    images = torch.tensor(inside + outside, dtype=dtype).view(1, 1, 1, 9)
    assert to_uint8(images).flatten().tolist() == [0, 0, 1, 100, 255, 0, 255, 0, 255]


def test_images_are_left_as_they_were():
    images = torch.full((1, 1, 2, 2), 2.0)
    to_uint8(images)
    assert (images == 2).all()


def test_nan_is_refused():
    images = torch.rand(5, 3, 4, 4)
    images[1, 0, 0, 0] = images[1, 1, 1, 1] = images[4, 2, 0, 0] = torch.nan
    with pytest.raises(SigmaeError, match="2 of 5 images hold NaN"):
        to_uint8(images)


@pytest.mark.parametrize("shape", [(1203, 3, 4, 5), (7, 6), (1, 1, 1, 1)])
def test_squared_error_is_the_sum_over_an_images_values(shape):
    real, generated = torch.rand(shape), torch.rand(shape)
    difference = real.numpy().astype(np.float64) - generated.numpy().astype(np.float64)
    expected = (difference**2).reshape(shape[0], -1).sum(1)
    error = squared_error(real=real, generated=generated)
    assert error.dtype == torch.float64
    np.testing.assert_allclose(error, expected, rtol=1e-14)


def test_squared_error_is_added_up_in_float64():
    real = torch.zeros(1, 1, 512, 512)
    generated = torch.full((1, 1, 512, 512), 0.1)
    assert squared_error(real=real, generated=generated).item() == pytest.approx(
        512**2 * float(np.float32(0.1)) ** 2, rel=1e-13
    )


def test_squared_error_of_unequal_numbers_of_images_is_refused():
    as_released = getattr(squared_error, "__wrapped__", squared_error)  # without the tests' check of shapes
    with pytest.raises(SigmaeError, match=r"of pairs, got \[2, 3\] real and \[1, 3\] generated"):
        as_released(real=torch.zeros(2, 3), generated=torch.zeros(1, 3))
