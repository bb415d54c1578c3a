import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.metrics import feature_statistics, FeatureStatistics, fid, frechet_distance, NamedFeatures

FACTORS = 1e-6  # relative: what singular covariances lose where their factors are not known


def gaussian(mean: Tensor, covariance: Tensor) -> FeatureStatistics:
    return FeatureStatistics(mean.double(), covariance.double(), 1000)


def random_covariance(size: int, rank: int | None = None) -> Tensor:
    factor = torch.randn(size, rank or 2 * size, dtype=torch.float64)
    return factor @ factor.T / factor.shape[1]


def by_scipy(real: FeatureStatistics, generated: FeatureStatistics) -> float:
    root = sqrtm(real.covariance.numpy() @ generated.covariance.numpy()).real
    shift = (real.mean - generated.mean).square().sum()
    return (shift + real.covariance.trace() + generated.covariance.trace() - 2 * np.trace(root)).item()


def test_statistics_are_those_of_numpy():
    features = torch.randn(2345, 7) + torch.arange(7)
    statistics = feature_statistics(features)
    points = features.double().numpy()
    assert statistics.count == 2345
    np.testing.assert_allclose(statistics.mean, points.mean(0), rtol=1e-12)
    np.testing.assert_allclose(statistics.covariance, np.cov(points.T), rtol=1e-10, atol=1e-13)


def test_statistics_of_batches_are_those_of_the_whole():
    features = torch.randn(2000, 5) * torch.tensor([1e-3, 1, 1, 10, 1e3]) + 1e4
    whole = feature_statistics(features)
    spread = whole.covariance.diagonal().sqrt()
    for size in (1, 3, 999, 2000):
        batches = feature_statistics(batch for batch in [features[:0], *features.split(size), features[:0]])
        assert batches.count == 2000
        torch.testing.assert_close(batches.mean, whole.mean, rtol=1e-13, atol=0)
        difference = (batches.covariance - whole.covariance) / torch.outer(spread, spread)
        assert difference.abs().max() < 1e-8


def test_a_large_mean_costs_no_digits():
    features = torch.randn(1000, 3, dtype=torch.float64)
    moved = feature_statistics((features + 1e6).split(100))
    torch.testing.assert_close(moved.covariance, feature_statistics(features).covariance, rtol=1e-8, atol=1e-9)


def test_equal_statistics_have_no_distance():
    statistics = feature_statistics(torch.randn(500, 20))
    assert frechet_distance(real=statistics, generated=statistics) == pytest.approx(0, abs=1e-10)


def test_a_shift_costs_its_square():
    covariance, shift = random_covariance(6), torch.randn(6).double()
    real, generated = gaussian(torch.zeros(6), covariance), gaussian(shift, covariance)
    assert frechet_distance(real=real, generated=generated) == pytest.approx(shift.square().sum().item(), rel=1e-12)


def test_one_dimension():
    real, generated = (
        gaussian(torch.tensor([1.0]), torch.tensor([[4.0]])),
        gaussian(torch.tensor([4.0]), torch.eye(1) * 25),
    )
    assert frechet_distance(real=real, generated=generated) == pytest.approx(3**2 + (5 - 2) ** 2)


def test_scaled_gaussians():
    covariance = random_covariance(8)
    real, generated = gaussian(torch.zeros(8), covariance), gaussian(torch.zeros(8), 9 * covariance)
    expected = (3 - 1) ** 2 * covariance.trace().item()
    assert frechet_distance(real=real, generated=generated) == pytest.approx(expected, rel=1e-12)


def test_diagonal_covariances():
    a, b = torch.rand(10).double() + 0.1, torch.rand(10).double() + 0.1
    real, generated = gaussian(torch.zeros(10), a.diag()), gaussian(torch.zeros(10), b.diag())
    expected = (a.sqrt() - b.sqrt()).square().sum().item()
    assert frechet_distance(real=real, generated=generated) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("size", [1, 2, 30, 200])
def test_regular_covariances_agree_with_scipy(size):
    real = gaussian(torch.randn(size), random_covariance(size))
    generated = gaussian(torch.randn(size), 3 * random_covariance(size))
    assert frechet_distance(real=real, generated=generated) == pytest.approx(by_scipy(real, generated), rel=1e-9)


def test_badly_conditioned_covariances_agree_with_scipy():
    basis, other = (torch.linalg.qr(torch.randn(60, 60).double()).Q for _ in range(2))
    spectrum = torch.logspace(1, -7, 60, dtype=torch.float64)
    real = gaussian(torch.zeros(60), (basis * spectrum) @ basis.T)
    generated = gaussian(torch.zeros(60), (other * spectrum) @ other.T)
    assert frechet_distance(real=real, generated=generated) == pytest.approx(by_scipy(real, generated), rel=1e-6)


@pytest.mark.parametrize(("real_rank", "generated_rank"), [(40, 80), (80, 40), (40, 40), (5, 60)])
def test_singular_covariances_have_the_nuclear_norm_of_their_factors(real_rank, generated_rank):
    a, b = torch.randn(60, real_rank).double(), torch.randn(60, generated_rank).double()
    real, generated = gaussian(torch.zeros(60), a @ a.T), gaussian(torch.zeros(60), b @ b.T)
    root = np.linalg.norm((a.T @ b).numpy(), "nuc")
    expected = (a.square().sum() + b.square().sum()).item() - 2 * root
    assert frechet_distance(real=real, generated=generated) == pytest.approx(expected, rel=1e-9)


def test_fewer_images_than_features_agree_with_scipy():
    real, generated = feature_statistics(torch.randn(30, 50)), feature_statistics(2 * torch.randn(20, 50) + 1)
    small = [FeatureStatistics(s.mean, s.covariance + 1e-13 * torch.eye(50), s.count) for s in (real, generated)]
    assert frechet_distance(real=real, generated=generated) == pytest.approx(by_scipy(*small), rel=1e-5)
    assert frechet_distance(real=real, generated=real) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("counts", [(30, 20), (30, 400), (400, 20)])
@pytest.mark.parametrize("size", [7, 1000])
def test_the_factors_of_few_images_agree_with_their_covariances(counts, size):
    features = [scale * torch.rand(count, 50) + 100 for scale, count in zip((1, 3), counts, strict=True)]
    real, generated = (feature_statistics(iter(points.split(size))) for points in features)
    for statistics, count in zip((real, generated), counts, strict=True):
        assert (statistics.factor is not None) is (count < 50)
        if statistics.factor is not None:
            torch.testing.assert_close(statistics.factor @ statistics.factor.T, statistics.covariance)
    plain = [FeatureStatistics(s.mean, s.covariance, s.count) for s in (real, generated)]
    distance = frechet_distance(real=real, generated=generated)
    assert distance == pytest.approx(frechet_distance(real=plain[0], generated=plain[1]), rel=FACTORS)
    assert distance == pytest.approx(frechet_distance(real=plain[0], generated=generated), rel=FACTORS)


def test_the_distance_of_few_images_takes_no_covariance_apart(monkeypatch):
    def refuse(matrix):
        raise AssertionError("a covariance was decomposed")

    real, generated = feature_statistics(torch.randn(30, 50)), feature_statistics(torch.randn(20, 50))
    for name in ("eigh", "cholesky_ex"):
        monkeypatch.setattr(torch.linalg, name, refuse)
    assert frechet_distance(real=real, generated=generated) > 1


@pytest.mark.parametrize(("sizes", "few"), [([11], True), ([5, 5], True), ([5, 5, 1], False), ([12], False)])
def test_a_factor_has_no_more_columns_than_features(sizes, few):
    """A batch adds one for each of its images, and one for the shift of the mean."""
    statistics = feature_statistics(torch.randn(size, 12) for size in sizes)
    assert (statistics.factor is not None) is few


def test_features_that_never_vary_are_left_out_of_the_root():
    features, others = torch.rand(100, 12), torch.rand(100, 12) ** 2
    plain = frechet_distance(real=feature_statistics(features), generated=feature_statistics(others))
    dead = torch.nn.functional.pad
    padded = [feature_statistics(dead(points, (0, 3))) for points in (features, others)]
    assert frechet_distance(real=padded[0], generated=padded[1]) == pytest.approx(plain, rel=1e-9)


def test_a_collapsed_generator_is_as_far_as_its_point():
    real = feature_statistics(torch.randn(200, 6))
    point = feature_statistics(torch.ones(50, 6))
    expected = (real.mean - 1).square().sum().item() + real.covariance.trace().item()
    assert frechet_distance(real=real, generated=point) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(real=point, generated=point) == 0


def test_symmetry_and_rotation_leave_the_distance_alone():
    a, b = torch.randn(300, 9).double(), torch.randn(300, 9).double() @ torch.randn(9, 9).double()
    turn = torch.linalg.qr(torch.randn(9, 9).double()).Q
    distance = frechet_distance(real=feature_statistics(a), generated=feature_statistics(b))
    swapped = frechet_distance(real=feature_statistics(b), generated=feature_statistics(a))
    turned = frechet_distance(real=feature_statistics(a @ turn), generated=feature_statistics(b @ turn))
    assert swapped == pytest.approx(distance, rel=1e-10)
    assert turned == pytest.approx(distance, rel=1e-10)
    assert frechet_distance(real=feature_statistics(2 * a), generated=feature_statistics(2 * b)) == pytest.approx(
        4 * distance, rel=1e-10
    )


@pytest.mark.parametrize("features", [torch.randn(1, 4), torch.randn(0, 4), []])
def test_fewer_than_two_images_are_refused(features):
    with pytest.raises(SigmaeError, match=r"two or more images, got [01]: give more"):
        feature_statistics(features)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_features_that_are_not_finite_are_refused(bad):
    features = torch.randn(50, 3)
    features[20, 1] = bad
    with pytest.raises(SigmaeError, match="NaN or infinity"):
        feature_statistics(features)


def test_different_numbers_of_features_are_refused():
    real, generated = feature_statistics(torch.randn(9, 4)), feature_statistics(torch.randn(9, 5))
    with pytest.raises(SigmaeError, match="have 4 features and the generated ones 5"):
        frechet_distance(real=real, generated=generated)


def test_fid_of_images_is_the_distance_of_their_features():
    features = NamedFeatures("pixels", lambda images: images.flatten(1).float(), {})
    real = torch.randint(256, (300, 1, 3, 2), dtype=torch.uint8)
    generated = torch.randint(200, (260, 1, 3, 2), dtype=torch.uint8)
    statistics = [feature_statistics(images.flatten(1).float()) for images in (real, generated)]
    expected = frechet_distance(real=statistics[0], generated=statistics[1])
    assert fid(real=real, generated=generated, features=features) == pytest.approx(expected, rel=1e-12)
    assert expected > 100
