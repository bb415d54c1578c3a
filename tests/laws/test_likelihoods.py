"""Likelihoods against torch's and closed-form densities."""

import math

import pytest
import torch
from torch.distributions import Bernoulli as TorchBernoulli, Independent, Normal

from sigmae import Bernoulli, DecodedPoints, Gaussian, SigmaeError, SquaredError

X = torch.rand(4, 1, 3, 2, dtype=torch.float64)
OUTPUTS = torch.randn(5, 4, 1, 3, 2, dtype=torch.float64)


@pytest.mark.parametrize("variance", [0.1, 0.5, 3.0])
def test_gaussian_is_torchs_density(variance):
    density = Independent(Normal(OUTPUTS, math.sqrt(variance)), 3)
    torch.testing.assert_close(Gaussian(variance).distortion(OUTPUTS, X), -density.log_prob(X))


def test_bernoulli_is_torchs_density_on_binary_data():
    binary = X.round()
    density = Independent(TorchBernoulli(logits=OUTPUTS), 3)
    torch.testing.assert_close(Bernoulli().distortion(OUTPUTS, binary), -density.log_prob(binary))


def test_gaussian_constant_of_the_papers():
    """n/2 ln(2 pi c) at c = 1/2: 448.73 for MNIST, 7033.22 for CelebA (sampling-free VAE)."""
    for n, constant in ((784, 448.73), (12288, 7033.22)):
        x = torch.zeros(1, n)
        assert Gaussian(0.5).distortion(x[None], x).item() == pytest.approx(constant, abs=0.01)


def test_gaussian_of_variance_one_half_is_the_squared_error_and_a_constant():
    difference = Gaussian(0.5).distortion(OUTPUTS, X) - SquaredError().distortion(OUTPUTS, X)
    torch.testing.assert_close(difference, torch.full_like(difference, 3 * math.log(math.pi)))


def test_mean_reduction_divides_by_the_number_of_values():
    mean = SquaredError(reduction="mean", weight=2.0).distortion(OUTPUTS, X)
    torch.testing.assert_close(mean, SquaredError().distortion(OUTPUTS, X) / 3)


@pytest.mark.parametrize("likelihood", [SquaredError(), Gaussian(0.3), Bernoulli()], ids=repr)
def test_the_term_is_the_mean_over_points_and_batch(likelihood):
    decoded = DecodedPoints(torch.zeros(5, 4, 2), OUTPUTS)
    torch.testing.assert_close(likelihood(decoded, X), likelihood.distortion(OUTPUTS, X).mean())


def test_bernoulli_is_least_where_the_mean_is_the_data():
    logits = torch.logit(X.clamp(0.01, 0.99))[None]
    torch.testing.assert_close(Bernoulli().mean(logits)[0], X.clamp(0.01, 0.99))
    assert (Bernoulli().distortion(logits, X) <= Bernoulli().distortion(logits + 0.3, X)).all()


@pytest.mark.parametrize("make", [lambda: Gaussian(0.0), lambda: Gaussian(-1.0), lambda: SquaredError("median")])
def test_impossible_fields_are_refused(make):
    with pytest.raises(SigmaeError):
        make()
