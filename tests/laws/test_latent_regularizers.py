"""Latent regularizers: known values, and where they vanish."""

import pytest
import torch

from sigmae import DecodedPoints, KL, MMD, SigmaeError, SquaredNorm
from sigmae.kernels import IMQ_SCALES, inverse_multiquadric, radial_basis, squared_distances
from sigmae.latent_regularizers import squared_mmd
from sigmae.posteriors import diagonal_gaussian, PointMass

F64 = torch.float64


def points(z):
    """Codes that were decoded to anything."""
    return DecodedPoints(z[None], torch.zeros(1, len(z), 1, dtype=z.dtype))


def gaussian(mean, variance, dim, batch=3):
    return diagonal_gaussian(
        torch.full((batch, dim), mean, dtype=F64), torch.full((batch, dim), variance, dtype=F64).sqrt()
    )


@pytest.mark.parametrize(("variance", "value"), [(10.0, 26.79), (7.943, 19.48), (1.0, 0.0)])
def test_kl_of_the_ar_elbo_table(variance, value):
    q = gaussian(0.0, variance, dim=8)
    assert KL()(q, points(q.mean)).item() == pytest.approx(value, abs=0.005)


def test_kl_is_the_closed_form():
    mean, scale = torch.randn(6, 4, dtype=F64), torch.rand(6, 4, dtype=F64) + 0.1
    closed = 0.5 * (mean**2 + scale**2 - 1 - 2 * scale.log()).sum(1).mean()
    torch.testing.assert_close(KL()(diagonal_gaussian(mean, scale), points(mean)), closed)


def test_squared_norm_has_no_half():
    z = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert SquaredNorm().measure(PointMass(z), points(z)).item() == 12.5


def test_squared_distances_are_cdist():
    u, v = torch.randn(7, 5, dtype=F64), torch.randn(9, 5, dtype=F64)
    torch.testing.assert_close(squared_distances(u, v), torch.cdist(u, v).square())


def reference_mmd(z, prior, kernel):
    """The estimator of Tolstikhin et al. written as its sums."""
    count = len(z)
    total = 0.0
    for i in range(count):
        for j in range(count):
            if i != j:
                total += (kernel(z[i], z[j]) + kernel(prior[i], prior[j])) / (count * (count - 1))
            total -= 2 * kernel(z[i], prior[j]) / count**2
    return total


def test_mmd_is_the_sum_of_the_paper():
    z, prior = torch.randn(6, 4, dtype=F64), torch.randn(6, 4, dtype=F64) + 1

    def imq(u, v):
        return sum(8 * s / (8 * s + (u - v).square().sum()) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    def rbf(u, v):
        return (-(u - v).square().sum() / 8).exp()

    torch.testing.assert_close(squared_mmd(z, prior), reference_mmd(z, prior, imq))
    torch.testing.assert_close(squared_mmd(z, prior, radial_basis), reference_mmd(z, prior, rbf))


@pytest.mark.parametrize("kernel", [inverse_multiquadric, radial_basis])
def test_mmd_is_unbiased_at_equality_and_grows_with_distance(kernel):
    draws = [squared_mmd(torch.randn(64, 3), torch.randn(64, 3), kernel).item() for _ in range(200)]
    spread = torch.tensor(draws).std() / 200**0.5
    assert abs(sum(draws) / 200) < 4 * spread
    assert min(draws) < 0 < max(draws)
    z, prior = torch.randn(500, 3), torch.randn(500, 3)
    near, far = squared_mmd(z + 0.5, prior, kernel), squared_mmd(z + 2, prior, kernel)
    assert spread < near < far


def test_the_inverse_multiquadric_is_one_per_scale_at_distance_zero():
    assert inverse_multiquadric(torch.zeros(1, 1), 3).item() == len(IMQ_SCALES)


def test_mmd_needs_two_examples_and_a_known_kernel():
    q = PointMass(torch.zeros(1, 3))
    with pytest.raises(SigmaeError, match="raise the batch size or use SquaredNorm"):
        MMD().measure(q, points(q.mean))
    with pytest.raises(SigmaeError, match="Did you mean 'rbf'"):
        MMD(kernel="rbff")
