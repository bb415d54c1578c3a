"""The evaluation's protocol on a model whose decoder inverts its encoder."""

import pytest
import torch
from torch import nn

from sigmae import (
    Autoencoder,
    Dataset,
    DecodedPoints,
    Delta,
    Gaussian,
    Mean,
    ModelConfig,
    Objective,
    Split,
    SquaredError,
)
from sigmae.evaluation import compared, evaluate, midpoints, nearest_images, pictures
from sigmae.metrics.features import random_features
from sigmae.metrics.frechet import fid

SHAPE = (1, 4, 4)


def split(count, seed):
    draw = torch.Generator().manual_seed(seed)
    return Split(torch.randint(0, 256, (count, *SHAPE), dtype=torch.uint8, generator=draw))


@pytest.fixture
def data():
    return Dataset("noise", split(200, 0), split(50, 1), split(60, 2))


@pytest.fixture
def identity(data):
    config = ModelConfig("custom", SHAPE, 16, {}, None)
    parts = Objective(Delta(), Mean(), SquaredError())
    model = Autoencoder(nn.Flatten(), nn.Unflatten(1, SHAPE), parts, config=config)
    model.register_parameter("anchor", nn.Parameter(torch.zeros(())))  # says on which device the model is
    model.fit_density("gaussian", model.encode(data.train.images))
    return model


def test_rows_follow_the_protocol(identity, data):
    features = random_features(1)
    rows = {(row.metric, row.of): row for row in evaluate(identity, data, features)}
    assert list(rows) == [
        ("squared_error", "reconstructions"),
        ("fid-random", "reconstructions"),
        ("fid-random", "gaussian"),
        ("fid-random", "interpolations"),
    ]
    assert rows["squared_error", "reconstructions"].value == 0
    assert rows["squared_error", "reconstructions"].count == 60
    expected = fid(real=data.test.images, generated=data.validation.images, features=features)
    got = rows["fid-random", "reconstructions"]
    assert got.value == pytest.approx(expected, rel=1e-6)
    assert (got.count, rows["fid-random", "gaussian"].count) == (50, 60)


def test_the_squared_error_is_a_sum_over_an_image(identity, data):
    shifted = Autoencoder(identity.encoder, nn.Sequential(identity.decoder, Shift(0.5)), identity.objective)
    shifted.register_parameter("anchor", identity.anchor)
    assert evaluate(shifted, data, None)[0].value == pytest.approx(16 * 0.25)


class Shift(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, images):
        return images + self.by


def test_midpoints_are_of_pairs_of_different_codes():
    codes = torch.eye(6)
    middle = midpoints(codes, 200, seed=0)
    torch.testing.assert_close(middle.norm(dim=1), torch.ones(200))
    assert ((middle > 0.1).sum(1) == 2).all()
    assert torch.equal(middle, midpoints(codes, 200, seed=0))


def test_a_prior_that_is_not_matched_is_sampled_only_when_asked_for(identity, data):
    identity.fit_density("prior", identity.encode(data.train.images))
    assert list(compared(identity, data, None, 10, 0)) == ["reconstructions", "gaussian", "interpolations"]
    assert list(compared(identity, data, ["prior"], 10, 0)) == ["reconstructions", "prior", "interpolations"]


@pytest.mark.parametrize(
    ("likelihood", "value"),
    [
        (Gaussian("optimal"), 0.25),
        (Gaussian("optimal", "diag", "sample"), 0.25),
        (Gaussian("learned"), 1.0),
        (Gaussian(0.5), None),
    ],
)
def test_a_variance_that_training_found_is_reported(data, likelihood, value):
    config = ModelConfig("custom", SHAPE, 16, {}, None)
    model = Autoencoder(nn.Flatten(), nn.Unflatten(1, SHAPE), Objective(Delta(), Mean(), likelihood), config=config)
    model.register_parameter("anchor", nn.Parameter(torch.zeros(())))
    x = torch.zeros(3, *SHAPE)
    likelihood(DecodedPoints(torch.zeros(1, 3, 16), x[None] + 0.5), x)
    rows = {row.metric: row.value for row in evaluate(model, data, None)}
    assert rows.get("decoder_variance") == value


def test_one_test_image_has_an_error_and_no_distance(identity, data):
    tiny = Dataset("tiny", data.train, data.validation, data.test[:1])
    told = []
    assert len(evaluate(identity, tiny, random_features(1), tell=told.append)) == 1
    assert "one image" in told[-1]


def test_nearest_images_are_found_across_batches(data):
    wanted = data.train.images[[3, 150, 199]]
    noisy = (wanted / 255 + 0.01).clamp(0, 1)
    assert torch.equal(nearest_images(noisy, data.train.images, batch_size=64), wanted)


def test_pictures_are_made_for_every_density(identity, data):
    drawn = pictures(identity, data)
    assert set(drawn) == {"reconstructions", "samples-gaussian", "interpolations", "neighbours"}
    assert all(png.startswith(b"\x89PNG") for png in drawn.values())
