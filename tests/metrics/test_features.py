import sys

import pytest
import torch
from torch import nn, Tensor

from sigmae.data import Dataset, scaled, Split
from sigmae.errors import SigmaeError
from sigmae.metrics import extract, FEATURES, Features, fid, load_features, NamedFeatures, to_uint8
from sigmae.metrics.features import random_features


def noisy(images: Tensor, deviation: float) -> Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    return to_uint8(scaled(images) + deviation * noise)


def blurred(images: Tensor, width: float) -> Tensor:
    line = torch.exp(-(torch.arange(-3, 4.0) ** 2) / (2 * width**2 + 1e-9))
    kernel = torch.outer(line, line) / line.sum() ** 2
    padded = nn.functional.pad(scaled(images), (3, 3, 3, 3))
    return to_uint8(nn.functional.conv2d(padded, kernel.expand(1, 1, 7, 7)))


def sums(images: Tensor) -> Tensor:
    return images.flatten(1).double().cumsum(1)


SUMS = NamedFeatures("sums", sums, {})


# extract


@pytest.mark.parametrize("batch_size", [1, 7, 100, 1000])
def test_batches_do_not_matter(batch_size):
    images = torch.randint(256, (100, 3, 4, 5), dtype=torch.uint8)
    assert torch.equal(extract(SUMS, images, batch_size), sums(images))
    assert torch.equal(extract(SUMS, iter(images.split(33)), batch_size), sums(images))


def test_never_more_than_a_batch_is_given_at_once():
    seen = []
    features = NamedFeatures("seen", lambda images: seen.append(len(images)) or sums(images), {})
    extract(features, torch.zeros(60, 1, 2, 2, dtype=torch.uint8), batch_size=25)
    assert seen == [25, 25, 10]


def test_features_carry_no_gradient():
    weight = torch.ones(4, requires_grad=True)
    features = NamedFeatures("weighted", lambda images: images.flatten(1) * weight, {})
    assert not extract(features, torch.ones(3, 1, 2, 2, dtype=torch.uint8)).requires_grad


def test_no_images_are_refused():
    with pytest.raises(SigmaeError, match="no images"):
        extract(SUMS, [])


@pytest.mark.parametrize("images", [torch.zeros(2, 1, 4, 4), torch.zeros(2, 16, dtype=torch.uint8)])
def test_what_are_no_8_bit_images_is_refused(images):
    with pytest.raises(SigmaeError, match=r"uint8 images .* got torch\.(float32|uint8) \[2.*to_uint8"):
        extract(SUMS, iter([images]))


@pytest.mark.parametrize(
    "compute",
    [lambda images: images.float(), lambda images: images.flatten(1), lambda images: sums(images)[:1]],
    ids=["images", "integers", "one row"],
)
def test_features_of_another_form_are_refused(compute):
    class Odd:
        name = "odd"

        def __call__(self, images):
            return compute(images)

    with pytest.raises(SigmaeError, match=r"features 'odd' gave .* for 2 images"):
        extract(Odd(), torch.zeros(2, 1, 4, 4, dtype=torch.uint8))


# random


def test_random_features_are_the_same_on_every_machine():
    assert random_features(1).details["fingerprint"].startswith("30877e9219ea5d05")
    assert random_features(3).details["fingerprint"] != random_features(1).details["fingerprint"]


@pytest.mark.promise("The same seed", "The generators of torch and numpy that everyone shares are left as they were.")
def test_random_features_do_not_depend_on_or_disturb_the_global_generator():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    images = torch.randint(256, (4, 3, 9, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    first = extract(random_features(3), images)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(extract(random_features(3), images), first)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (4, 17, 40), (1, 1, 1)])
def test_random_features_take_any_size_and_channels(shape):
    images = torch.randint(256, (5, *shape), dtype=torch.uint8)
    values = extract(random_features(shape[0]), images)
    assert values.shape == (5, 256)
    assert values.isfinite().all()


def test_random_features_keep_their_scale_over_the_layers(digits):
    layers = extract(random_features(1), digits.train.images).std(0).split([32, 96, 128])
    scales = torch.stack([layer.mean() for layer in layers])
    assert scales.max() < 3 * scales.min()


@pytest.mark.parametrize(
    ("spoil", "steps"), [(noisy, [0, 0.05, 0.1, 0.2, 0.4]), (blurred, [0, 0.4, 0.6, 0.8, 1.2])], ids=["noise", "blur"]
)
@pytest.mark.parametrize("name", ["random", "classifier"])
def test_the_distance_grows_as_images_get_worse(digits, digit_features, name, spoil, steps):
    features = digit_features[name]
    real, held_out = digits.train.images[:700], digits.train.images[700:]
    distances = [fid(real=real, generated=spoil(held_out, step), features=features) for step in steps]
    assert distances == sorted(distances)
    assert distances[-1] > 5 * distances[0]


@pytest.mark.parametrize("name", ["random", "classifier"])
def test_the_distance_grows_as_modes_are_dropped(digits, digit_features, name):
    features = digit_features[name]
    real, held_out = digits.train.images[:700], digits.train[torch.arange(700, 1400)]
    kept = [held_out.images[held_out.labels < modes] for modes in (10, 7, 4, 1)]
    distances = [fid(real=real, generated=images, features=features) for images in kept]
    assert distances == sorted(distances)
    assert distances[-1] > 5 * distances[0]


@pytest.mark.parametrize("name", ["random", "classifier"])
def test_features_move_images_to_their_device(digits, short_training, name):
    here = load_features(name, digits)
    elsewhere = load_features(name, digits, device="meta")
    values = elsewhere(digits.test.images[:3])
    assert values.device.type == "meta"
    assert values.shape == here(digits.test.images[:3]).shape
    assert elsewhere.details == here.details


# load_features


def test_vectors_have_no_features():
    split = Split(torch.zeros(4, 7))
    for name in FEATURES:
        with pytest.raises(SigmaeError, match="Features are of images, and table holds vectors of 7 values"):
            load_features(name, Dataset("table", split, split, split))


def test_unknown_features_name_the_nearest(digits):
    with pytest.raises(SigmaeError, match=r"Unknown features 'incepton'\. Did you mean 'inception'"):
        load_features("incepton", digits)


def test_the_file_is_handed_to_inception(digits, tmp_path):
    with pytest.raises(SigmaeError, match=r"no file .*absent\.pt"):
        load_features("inception", digits, inception_file=tmp_path / "absent.pt")


THIRD_PARTY = """
import torch

def pixels(images):
    return images.flatten(1).float()

def scaled_pixels(dataset):
    def compute(images):
        return images.flatten(1).float() / dataset.train.images.max()
    return compute

class Named:
    name = "corner"
    details = {"fingerprint": "abc"}
    def __init__(self, dataset):
        self.count = len(dataset.train)
    def __call__(self, images):
        return images[:, :, :2, :2].flatten(1).double()

class Dropped(torch.nn.Module):
    def forward(self, images):
        return torch.nn.functional.dropout(images.flatten(1).float(), 0.5, self.training)

dropped = Dropped()
number = 3
"""


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text(THIRD_PARTY)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("theirs", None)


def test_a_third_partys_features(digits, third_party):
    images = digits.test.images
    pixels = load_features("theirs:pixels", digits)
    assert isinstance(pixels, Features)
    assert (pixels.name, pixels.details) == ("theirs:pixels", {})
    assert torch.equal(extract(pixels, images), images.flatten(1).float())
    assert torch.equal(extract(load_features("theirs:dropped", digits), images), images.flatten(1).float())
    assert extract(load_features("theirs:scaled_pixels", digits), images).max() <= 1
    corner = load_features("theirs:Named", digits)
    assert (corner.name, corner.details) == ("corner", {"fingerprint": "abc"})
    assert extract(corner, images).shape == (len(images), 4)


def test_a_third_partys_mistakes(digits, third_party):
    with pytest.raises(SigmaeError, match="'theirs:number' cannot be called"):
        load_features("theirs:number", digits)
    with pytest.raises(SigmaeError, match="no attribute 'absent'"):
        load_features("theirs:absent", digits)
