"""The pictures of an evaluation: which there are for which model and data, and what they show."""

import io
import sys
from functools import partial

import pytest
import torch
from PIL import Image
from torch import nn

from sigmae import (
    Autoencoder,
    Dataset,
    Delta,
    DiagonalGaussian,
    Gaussian as Likelihood,
    KL,
    Mean,
    ModelConfig,
    MonteCarlo,
    Objective,
    Split,
    SquaredError,
)
from sigmae.evaluation import pictures, Stages
from sigmae.evaluation.generation import prd_curve
from sigmae.evaluation.pictures import nearest_rows, used
from sigmae.figures.plane import principal_directions
from sigmae.metrics.features import random_features
from sigmae.metrics.precision_recall import precision_recall_curve

MODULE = sys.modules["sigmae.evaluation.pictures"]  # whose name in the package is the function's
IMAGES = {"reconstructions.png", "interpolations.png", "neighbours.png", "traversals.png", "samples-gaussian.png"}
MAPS = {"map-tsne.png", "map-tsne.svg", "map-mds.png", "map-mds.svg"}
CURVES = {"precision-recall.png", "precision-recall.svg"}
DIVERGENCES = {"divergences.png", "divergences.svg"}
FACTORS = {"direction-traversals.png", "angles.png", "angles.svg"}


class Spread(nn.Module):
    """A mean and a log variance for every value; `informed` latents are narrow, the others follow the prior."""

    def __init__(self, size, informed):
        super().__init__()
        self.size, self.informed = size, informed

    def forward(self, x):
        flat = x.flatten(1)[:, : self.size]
        known = torch.arange(self.size) < self.informed
        return torch.cat([flat * known, torch.where(known, -3.0, 0.0).expand_as(flat)], dim=1)


class Repeated(nn.Module):
    """An image whose every value is the sum of the latents."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape

    def forward(self, z):
        return z.sum(1).view(-1, *[1] * len(self.shape)).expand(-1, *self.shape)


def split(shape, count, seed, **known):
    draw = torch.Generator().manual_seed(seed)
    if len(shape) == 1:
        return Split(torch.randn(count, *shape, generator=draw), **known)
    return Split(torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=draw), **known)


def dataset(shape, test=40):
    return Dataset("noise", split(shape, 60, 0), split(shape, 30, 1), split(shape, test, 2))


def stages(data, latent=None, *, informed=1, **options):
    """Stages of an identity without a posterior, or of `latent` latents with one."""
    size = int(torch.tensor(data.shape).prod())
    if latent is None:
        parts = nn.Flatten(), nn.Unflatten(1, data.shape), Objective(Delta(), Mean(), SquaredError())
    else:
        objective = Objective(DiagonalGaussian(), MonteCarlo(1), Likelihood(1.0), KL())
        parts = Spread(latent, informed), Repeated(data.shape), objective
    config = ModelConfig("custom", data.shape, latent or size, {}, None)
    model = Autoencoder(*parts, config=config)
    model.register_parameter("anchor", nn.Parameter(torch.zeros(())))  # says on which device the model is
    model.fit_density("gaussian", model.encode(data.train.images) + 0.01 * torch.randn(60, latent or size))
    features = random_features(data.shape[0]) if len(data.shape) == 3 else None
    return Stages(model, data, features, ["gaussian"], **options)


@pytest.fixture(autouse=True)
def _few_points_and_clusters(monkeypatch):
    monkeypatch.setattr(MODULE, "COUNT", 20)
    quick = partial(precision_recall_curve, clusters=3, runs=1)
    monkeypatch.setattr("sigmae.evaluation.generation.precision_recall_curve", quick)
    monkeypatch.setattr("sigmae.figures.maps.embedded", flattened)


def flattened(points, method, *, seed):
    """A map without its cost, which refuses what the true ones refuse."""
    directions, _ = principal_directions(points)
    return points @ directions.T


def size(png):
    return Image.open(io.BytesIO(png)).size


def test_the_quick_ones_are_grids():
    drawn = pictures(stages(dataset((1, 4, 4))), quick=True)
    assert drawn.keys() == IMAGES
    for content in drawn.values():
        assert min(size(content)) > 10


def test_all_of_a_model_with_a_posterior_and_two_latents():
    drawn = pictures(stages(dataset((3, 4, 4)), 2))
    assert drawn.keys() == IMAGES | {"manifold.png"} | DIVERGENCES | MAPS | CURVES
    for name, content in drawn.items():
        assert content.startswith(b"\x89PNG" if name.endswith(".png") else b"<svg")
    assert b">latent 0<" not in drawn["divergences.svg"]
    assert b">1 collapsed<" in drawn["divergences.svg"]


def test_a_deterministic_encoder_has_no_divergences():
    assert pictures(stages(dataset((1, 4, 4)))).keys() == IMAGES | {"manifold.png"} | MAPS | CURVES


def test_vectors_have_charts_alone():
    assert pictures(stages(dataset((6,)), 3)).keys() == DIVERGENCES | MAPS
    assert pictures(stages(dataset((6,))), quick=True) == {}


@pytest.mark.parametrize("channels", [2, 5])
def test_channels_that_no_picture_shows(channels):
    assert pictures(stages(dataset((channels, 4, 4)), 3)).keys() == DIVERGENCES | MAPS | CURVES


@pytest.mark.promise(
    "Numbers that go wrong", "One or two examples in a split are trained on and evaluated, or refused in a sentence."
)
def test_one_test_image_and_one_latent():
    drawn = pictures(stages(dataset((1, 4, 4), test=1), 1))
    expected = IMAGES | {"divergences.png", "divergences.svg"}
    assert drawn.keys() == expected - {"interpolations.png"}  # which need two


@pytest.fixture
def traversed(monkeypatch):
    """The images of the last picture of traversals, by name."""
    shown = {}

    def record(images, names):
        shown.clear()
        shown.update(zip(names, images, strict=True))
        return b""

    monkeypatch.setattr("sigmae.figures.traversals", record)
    return shown


def test_traversals_reach_three_deviations_from_the_first_test_image(traversed):
    data = dataset((1, 4, 4))
    scale = torch.linspace(1, 0.1, 16).view(1, 4, 4)
    data = Dataset("scaled", *(Split(s.images / 255 * scale) for s in (data.train, data.validation, data.test)))
    pictures(stages(data), quick=True, columns=7)
    codes = data.test.images.flatten(1)
    assert list(traversed) == [f"latent {j}" for j in codes.var(0).argsort(descending=True).tolist()]
    reach = 3 * codes.std(0, correction=0)
    for j in (0, 5):
        row = traversed[f"latent {j}"].flatten(1) / 255
        expected = codes[0].repeat(7, 1)
        expected[:, j] = torch.linspace(codes.mean(0)[j] - reach[j], codes.mean(0)[j] + reach[j], 7)
        torch.testing.assert_close(row, expected.clamp(0, 1), atol=0.5 / 255 + 1e-6, rtol=0)


def test_data_with_factors(traversed):
    shape = (1, 4, 4)
    codes = torch.cartesian_prod(torch.arange(6), torch.arange(5), torch.arange(4))[torch.randperm(120)]

    def part(rows):
        images = torch.zeros(len(rows), 16)
        images[:, :2] = rows[:, :2] / 5
        return Split(images.view(-1, *shape), factors=rows[:, :2].contiguous())

    data = Dataset("grid", *map(part, codes.split([60, 30, 30])), factor_names=("x", "y"), factor_sizes=(6, 5))
    drawn = pictures(stages(data, 2, informed=2))
    assert drawn.keys() >= FACTORS
    assert list(traversed) == ["x", "y"]
    assert b">90<" in drawn["angles.svg"]
    assert b">x<" in drawn["angles.svg"]


def test_at_most_sixteen_latents_are_traversed(traversed):
    pictures(stages(dataset((1, 6, 6))), quick=True)
    assert len(traversed) == 16


def test_neighbours_are_the_nearest_of_all_training_images(monkeypatch):
    data = dataset((1, 4, 4))
    shown = []
    monkeypatch.setattr("sigmae.figures.neighbours", lambda *images, columns: shown.extend(images) or b"")
    pictures(stages(data), quick=True, columns=5)
    samples, nearest = (images.double().flatten(-3) for images in shown)
    assert nearest.shape == (5, 3, 16)
    distances = torch.cdist(samples, data.train.images.double().flatten(1))
    torch.testing.assert_close((nearest - samples[:, None]).norm(dim=2), distances.sort(1).values[:, :3])


def test_nearest_rows_are_found_across_blocks(monkeypatch):
    monkeypatch.setattr("sigmae.metrics.neighbours.BLOCK", 7)
    points, others = torch.randn(15, 4), torch.randn(40, 4)
    expected = torch.cdist(points, others).argsort(1)
    assert torch.equal(nearest_rows(points, others, 3), expected[:, :3])
    assert torch.equal(nearest_rows(points, others[:2], 3), torch.cdist(points, others[:2]).argsort(1))


def test_maps_show_the_latents_in_use():
    data = dataset((1, 4, 4))
    assert used(stages(data, 5, informed=3)).tolist() == [True, True, True, False, False]
    assert used(stages(data, 5, informed=1)).all()  # one alone is no map
    assert used(stages(data)).all()


@pytest.mark.promise("The same seed", "Metrics and pictures that draw follow the seed, and it alone.")
def test_the_same_stages_give_the_same_bytes_and_leave_the_generator_alone():
    data = dataset((1, 4, 4))
    one, other = stages(data, 3), stages(data, 3)
    other.model.densities = one.model.densities
    before = torch.get_rng_state()
    assert pictures(one) == pictures(other)
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_is_computed_twice(monkeypatch, tmp_path):
    data, told = dataset((1, 4, 4)), []
    first = stages(data, 3, folder=tmp_path, tell=told.append)
    pictures(first)
    assert told.count("codes of the test split") == 1
    assert "codes of the train split" not in told
    expected = prd_curve(first, "gaussian")
    monkeypatch.setattr("sigmae.evaluation.generation.precision_recall_curve", None)
    again = Stages(first.model, data, first.features, ["gaussian"], folder=tmp_path)
    found = prd_curve(again, "gaussian")
    assert torch.equal(found.precision, expected.precision)
    assert torch.equal(found.recall, expected.recall)
