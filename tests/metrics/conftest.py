from functools import partial

import pytest
import torch

from sigmae.data import Dataset, Split
from sigmae.metrics import load_features, NamedFeatures
from sigmae.metrics.classifier import train_classifier


@pytest.fixture(scope="session")
def digits() -> Dataset:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = torch.randperm(len(bunch.target), generator=torch.Generator().manual_seed(0))
    images = torch.from_numpy(bunch.images / 16 * 255).round().to(torch.uint8)[order, None]
    parts = Split(images, torch.from_numpy(bunch.target).long()[order])
    return Dataset("digits", parts[:1400], parts[1400:1600], parts[1600:])


@pytest.fixture(scope="session")
def digit_features(digits, tmp_path_factory) -> dict[str, NamedFeatures]:
    """Features for digits by name; the classifier's after a training that is short, and long enough for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGMAE_CACHE", str(tmp_path_factory.mktemp("digit-features")))
        patch.setattr("sigmae.metrics.classifier.train_classifier", partial(train_classifier, steps=300))
        return {name: load_features(name, digits) for name in ("random", "classifier")}


@pytest.fixture
def short_training(monkeypatch, tmp_path):
    """An empty cache, and a training of few steps; returns the list of trainings that took place."""
    trainings = []

    def train(images, targets, **options):
        trainings.append(len(images))
        return train_classifier(images, targets, steps=5, **options)

    monkeypatch.setenv("SIGMAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sigmae.metrics.classifier.train_classifier", train)
    return trainings
