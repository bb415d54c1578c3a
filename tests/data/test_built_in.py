import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from sigmae.data import load
from sigmae.data.sprites import FACTORS


def everything(data):
    return torch.cat([split.images for split in (data.train, data.validation, data.test)])


def test_digits_are_those_of_scikit_learn():
    data, reference = load("digits"), load_digits()
    assert (len(data.train), len(data.validation), len(data.test)) == (1439, 179, 179)
    assert (data.shape, data.is_image, data.train.images.dtype) == ((1, 8, 8), True, torch.uint8)
    ours = sorted(bytes(image.flatten().tolist()) for image in everything(data))
    assert ours == sorted(bytes(np.floor(image * 255 / 16 + 0.5).astype(int).tolist()) for image in reference.data)
    assert data.train.images.max() == 255
    labels = torch.cat([data.train.labels, data.validation.labels, data.test.labels])
    assert labels.bincount().tolist() == np.bincount(reference.target).tolist()


def test_digits_labels_stay_with_their_images():
    data, reference = load("digits"), load_digits()
    known = {tuple(np.rint(x * 255 / 16).astype(int)): y for x, y in zip(reference.data, reference.target, strict=True)}
    assert [known[tuple(image.flatten().tolist())] for image in data.test.images] == data.test.labels.tolist()


def test_digits_are_the_same_every_time():
    torch.manual_seed(5)
    first = load("digits").train.fingerprint
    torch.manual_seed(6)
    assert load("digits").train.fingerprint == first
    assert load("digits", image_size=16).shape == (1, 16, 16)


@pytest.fixture(scope="module")
def sprites():
    return load("sprites")


def test_sprites_are_the_whole_grid(sprites):
    assert (sprites.shape, sprites.factor_names) == ((1, 64, 64), ("shape", "scale", "orientation", "x", "y"))
    assert sprites.factor_sizes == tuple(FACTORS.values()) == (3, 4, 8, 10, 10)
    factors = torch.cat([split.factors for split in (sprites.train, sprites.validation, sprites.test)])
    assert len(torch.unique(factors, dim=0)) == len(factors) == 9600
    assert (factors.amin(0).tolist(), factors.amax(0).tolist()) == ([0] * 5, [2, 3, 7, 9, 9])


def test_sprites_are_binary_whole_and_all_different(sprites):
    images = everything(sprites).view(-1, 64, 64)
    assert ((images == 0) | (images == 255)).all()
    assert len({image.numpy().tobytes() for image in images}) == 9600
    edge = torch.cat([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]])
    assert not edge.any()


def test_factors_say_what_is_drawn(sprites):
    images, factors = sprites.test.images[:, 0].bool(), sprites.test.factors
    shape, scale, _, x, y = factors.unbind(1)
    area = images.sum((1, 2)).float()
    rows, columns = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    centre = [(images * axis).sum((1, 2)) / area for axis in (columns, rows)]
    balanced = shape < 2  # the centre of mass of a heart is not its centre
    assert (centre[0] - (14 + 4 * x))[balanced].abs().max() < 0.51
    assert (centre[1] - (14 + 4 * y))[balanced].abs().max() < 0.51
    radius = 11 * (0.5 + scale / 6)
    expected = torch.where(shape == 0, (1.6 * radius) ** 2, torch.pi / 2 * radius**2)
    assert ((area - expected).abs() < 2.7 * radius)[balanced].all()  # less than half of the outline, in pixels


def test_orientation_turns_the_ellipse(sprites):
    images = torch.cat([sprites.train.images, sprites.test.images, sprites.validation.images])[:, 0].float()
    factors = torch.cat([sprites.train.factors, sprites.test.factors, sprites.validation.factors])
    largest = (factors[:, 0] == 1) & (factors[:, 1] == 3)
    axis = torch.arange(64.0)
    for image, orientation in zip(images[largest], factors[largest, 2], strict=True):
        mass = image / image.sum()
        x, y = axis - (mass.sum(0) @ axis), axis - (mass.sum(1) @ axis)
        angle = 0.5 * torch.atan2(2 * (y @ mass @ x), mass.sum(0) @ x**2 - mass.sum(1) @ y**2)
        assert angle.item() == pytest.approx(orientation.item() * torch.pi / 16, abs=0.06)
