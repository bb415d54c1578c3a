"""The evaluation's protocol on a model whose decoder inverts its encoder."""

import math

import pytest
import torch
from torch import nn

from sigmae import (
    Autoencoder,
    Dataset,
    DecodedPoints,
    Delta,
    FixedGaussian,
    Gaussian,
    Mean,
    ModelConfig,
    MonteCarlo,
    Objective,
    SigmaeError,
    Split,
    SquaredError,
)
from sigmae.evaluation import evaluate, QUICK, Row, Stages
from sigmae.evaluation.stages import between
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
    done = evaluate(identity, data, features, metrics=QUICK)
    rows = {(row.metric, row.of): row for row in done.rows}
    assert list(rows) == [
        ("squared_error", "reconstructions"),
        ("fid-random", "reconstructions"),
        ("fid-random", "gaussian"),
        ("fid-random", "interpolations"),
        ("fid-random", "random-interpolations"),
    ]
    assert list(done.left_out) == ["decoder_variance"]
    assert rows["squared_error", "reconstructions"].value == 0
    assert rows["squared_error", "reconstructions"].count == 60
    expected = fid(real=data.test.images, generated=data.validation.images, features=features)
    got = rows["fid-random", "reconstructions"]
    assert got.value == pytest.approx(expected, rel=1e-6)
    assert (got.count, rows["fid-random", "gaussian"].count) == (50, 60)


def test_the_squared_error_is_a_sum_over_an_image(identity, data):
    shifted = Autoencoder(identity.encoder, nn.Sequential(identity.decoder, Shift(0.5)), identity.objective)
    shifted.register_parameter("anchor", identity.anchor)
    assert evaluate(shifted, data, metrics=QUICK).rows[0].value == pytest.approx(16 * 0.25)


def test_the_squared_error_of_draws_is_that_of_means_and_what_their_spread_adds(identity, data):
    """Through an identity of 16 values, draws of variance 0.25 are 16 · 0.25 away in the mean."""
    parts = Objective(FixedGaussian(0.5), MonteCarlo(), SquaredError())
    model = Autoencoder(nn.Flatten(), nn.Unflatten(1, SHAPE), parts, config=identity.config)
    model.register_parameter("anchor", identity.anchor)
    of_means, of_draws = evaluate(model, data, metrics=["squared_error"]).rows
    assert (of_means.of, of_means.value) == ("reconstructions", 0)
    assert (of_draws.of, of_draws.count) == ("draws", 60)
    assert of_draws.value == pytest.approx(4, rel=0.2)  # of 960 squares, four standard errors


class Shift(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, images):
        return images + self.by


def test_interpolations_are_between_different_codes():
    codes = torch.eye(6)
    middle, anywhere = between(codes, 200, 0), between(codes, 200, 0, random=True)
    for points in (middle, anywhere):
        torch.testing.assert_close(points.norm(dim=1), torch.ones(200))
        assert ((points > 1e-4).sum(1) == 2).all()
    assert torch.equal(middle, between(codes, 200, seed=0))
    torch.testing.assert_close(middle.max(1).values, torch.full((200,), 0.5**0.5))
    assert 0.8 < anywhere.max(1).values.mean() < 0.95  # (2/pi) of the integral of cos over [0, pi/4], twice: 0.900
    assert torch.equal(middle > 1e-4, anywhere > 1e-4)


def test_a_prior_that_is_not_matched_is_sampled_only_when_asked_for(identity, data):
    identity.fit_density("prior", identity.encode(data.train.images))
    paths = ["interpolations", "random-interpolations"]
    assert Stages(identity, data).generated() == ["reconstructions", "gaussian", *paths]
    assert Stages(identity, data, densities=["prior"]).generated() == ["reconstructions", "prior", *paths]


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
    rows = {row.metric: row.value for row in evaluate(model, data, metrics=QUICK).rows}
    assert rows.get("decoder_variance") == (None if value is None else pytest.approx(value, abs=2e-6))


def test_one_test_image_has_an_error_and_no_distance(identity, data):
    tiny = Dataset("tiny", data.train, data.validation, data.test[:1])
    done = evaluate(identity, tiny, random_features(1), metrics=QUICK)
    assert [row.metric for row in done.rows] == ["squared_error"]
    assert "the test split has one" in done.left_out["fid"]


class Counted:
    """Random features that count the images that they see."""

    def __init__(self):
        self.inner, self.seen, self.name = random_features(1), 0, "random"
        self.details = self.inner.details

    def __call__(self, images):
        self.seen += len(images)
        return self.inner(images)


def test_stages_are_kept_and_made_again_only_when_something_changed(identity, data, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGMAE_CACHE", str(tmp_path / "shared"))
    features = Counted()

    def values(**options):
        features.seen = 0
        done = evaluate(identity, data, features, metrics=QUICK, folder=tmp_path / "cache", **options)
        return [row.value for row in done.rows]

    first = values()
    images = 60 + 50 + 3 * 60  # the test split, reconstructions of the validation split, three sets of 60
    assert features.seen == images
    assert values() == first
    assert features.seen == 0
    values(seed=1)
    assert features.seen == images - 60  # real images have no seed
    values()
    assert features.seen == images - 60  # the new took the place of the old
    with torch.no_grad():
        identity.anchor.add_(1)
    values()
    assert features.seen == images - 60
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:-3])
    assert values() == first
    assert features.seen == images - 60


def test_features_that_cannot_say_what_they_are_are_not_kept(identity, data, tmp_path):
    features = Counted()
    features.details = {}
    for _ in range(2):
        features.seen = 0
        evaluate(identity, data, features, metrics=["fid"], folder=tmp_path)
        assert features.seen == 290


def test_a_model_that_has_diverged_is_told(identity, data):
    broken = Autoencoder(identity.encoder, nn.Sequential(identity.decoder, Shift(float("nan"))), identity.objective)
    broken.register_parameter("anchor", identity.anchor)
    with pytest.raises(SigmaeError, match="diverged"):
        evaluate(broken, data)


def infinite(stages):
    return [Row("mine", "codes", 1.0, "", 2, ""), Row("mine", "draws", math.inf, "", 2, "")]


def test_a_metric_of_ones_own_and_a_value_that_is_no_number(identity, data):
    done = evaluate(identity, data, metrics=[f"{__name__}:infinite"])
    assert [(row.metric, row.of) for row in done.rows] == [("mine", "codes")]
    assert done.left_out == {f"{__name__}:infinite": "Not finite: mine of draws."}
    with pytest.raises(SigmaeError, match="fid"):
        evaluate(identity, data, metrics=["fidd"])
    with pytest.raises(SigmaeError, match="--trust"):
        evaluate(identity, data, metrics=["elsewhere:metric"], trust=())
