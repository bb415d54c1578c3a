from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sigmae.data import scaled, Split
from sigmae.errors import SigmaeError
from sigmae.files import cache_folder
from sigmae.metrics import extract, load_features
from sigmae.metrics.classifier import Classifier, train_classifier


def cache_file() -> Path:
    (path,) = cache_folder("features").glob("classifier-*.safetensors")
    return path


def test_classifier_tells_held_out_digits_apart(digits, digit_features):
    features = digit_features["classifier"]
    assert features.name == "classifier"
    assert features.details["accuracy"] > 0.96
    assert extract(features, digits.test.images).shape == (len(digits.test), 128)


def test_the_accuracy_is_that_of_the_validation_split(digits, short_training, monkeypatch):
    class Constant(Classifier):
        def forward(self, images):
            return torch.nn.functional.one_hot(torch.full((len(images),), 2), self.head[1].out_features).float()

    monkeypatch.setattr(
        "sigmae.metrics.classifier.train_classifier", lambda images, targets, device: Constant((1, 8, 8), 10)
    )
    labels = digits.train.labels * 3 - 4  # any integers are labels
    held_out = torch.tensor([2] * 30 + [5] * 60 + [999] * 110)
    data = replace(
        digits, train=Split(digits.train.images, labels), validation=Split(digits.validation.images, held_out)
    )
    assert load_features("classifier", data).details["accuracy"] == 30 / 200


def test_classifier_is_trained_once(digits, short_training):
    first, second = load_features("classifier", digits), load_features("classifier", digits)
    assert short_training == [1400]
    assert first.details == second.details
    images = digits.test.images
    assert torch.equal(extract(first, images), extract(second, images))


def test_classifier_is_the_same_when_trained_again(digits, short_training):
    torch.manual_seed(3)
    first = load_features("classifier", digits)
    cache_file().unlink()
    torch.manual_seed(4)
    state = torch.get_rng_state()
    assert load_features("classifier", digits).details == first.details
    assert torch.equal(torch.get_rng_state(), state)
    assert len(short_training) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "text"])
def test_a_damaged_cache_is_made_again(digits, short_training, damage):
    first = load_features("classifier", digits)
    content = bytearray(cache_file().read_bytes())
    content[-1000] ^= 1
    damaged = {"cut": content[:-500], "flipped": content, "emptied": b"", "text": b"not tensors at all"}
    cache_file().write_bytes(damaged[damage])
    assert load_features("classifier", digits).details == first.details
    assert load_features("classifier", digits).details == first.details
    assert len(short_training) == 2


@pytest.mark.parametrize("what", ["an image", "a label", "a held-out label"])
def test_other_data_have_another_classifier(digits, short_training, what):
    load_features("classifier", digits)
    images, labels, held_out = (
        digits.train.images.clone(),
        digits.train.labels.clone(),
        digits.validation.labels.clone(),
    )
    {"an image": images[0, 0], "a label": labels, "a held-out label": held_out}[what][0] += 1
    load_features(
        "classifier", replace(digits, train=Split(images, labels), validation=Split(digits.validation.images, held_out))
    )
    assert len(short_training) == 2


def test_a_cache_that_cannot_be_written_does_not_matter(digits, short_training, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SIGMAE_CACHE", str(tmp_path / "file"))
    assert extract(load_features("classifier", digits), digits.test.images[:2]).shape == (2, 128)


def test_classifier_trains_under_no_grad(digits, short_training):
    with torch.no_grad():
        load_features("classifier", digits)
    assert short_training == [1400]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (4, 33, 70), (3, 128, 128)])
def test_classifier_takes_any_size_and_channels(shape):
    network = Classifier(shape, 5).eval()
    images = torch.rand(3, *shape)
    assert network(images).shape == (3, 5)
    assert network.hidden(images).shape == (3, 128)
    assert sum(weight.numel() for weight in network.parameters()) < 800_000


def test_classifier_needs_labels(digits):
    bare = Split(digits.train.images)
    for data in (replace(digits, train=bare), replace(digits, validation=Split(digits.validation.images))):
        with pytest.raises(SigmaeError, match=r"learn from labels, and digits has none.*'random'.*'inception'"):
            load_features("classifier", data)


def test_classifier_needs_two_classes(digits):
    data = replace(digits, train=Split(digits.train.images, torch.ones(1400, dtype=torch.int64)))
    with pytest.raises(SigmaeError, match=r"tell classes apart, and digits has one.*'random'"):
        load_features("classifier", data)


def test_classifier_learns_real_mnist(real_data):
    from sigmae.data import load

    data = load("mnist", data_dir=real_data)
    network = train_classifier(data.train.images, data.train.labels, steps=150)
    with torch.no_grad():
        told = network(scaled(data.test.images[:2000])).argmax(1)
    assert (told == data.test.labels[:2000]).double().mean() > 0.95
