"""The energy distance: known distributions, and what it sees that two moments do not."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import energy_distance as distance_of_scipy, norm

from sigmae import SigmaeError
from sigmae.metrics.aggregate import gaussian_divergence
from sigmae.metrics.energy import distance_to_normal, energy_distance


def normal(count, latent, seed=0):
    return torch.randn(count, latent, generator=torch.Generator().manual_seed(seed)).double()


def test_the_mean_distance_to_a_normal_draw_is_that_of_many_draws():
    draws = normal(200_000, 5)
    for length in (0.0, 1.0, 30.0):
        point = torch.zeros(1, 5).double()
        point[0, 0] = length
        assert float(distance_to_normal(point)[0]) == pytest.approx(float(torch.cdist(point, draws).mean()), rel=2e-3)
    assert float(distance_to_normal(torch.zeros(1, 2).double())[0]) == pytest.approx(math.sqrt(math.pi / 2), rel=1e-12)


def test_a_line_of_codes_has_the_distance_that_scipy_finds():
    """Its own is the root of twice the integral of the squared difference of the distribution functions."""
    codes = normal(2000, 1, 3) * 1.5 + 0.4
    quantiles = norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    squared = distance_of_scipy(codes[:, 0].numpy(), quantiles) ** 2
    own_pairs = float(torch.cdist(codes, codes).sum()) * (1 / (2000 * 1999) - 1 / 2000**2)  # scipy keeps z with itself
    assert energy_distance(codes) == pytest.approx(squared - own_pairs, abs=1e-4)


def test_normal_draws_have_none_on_average_and_the_scale_is_that_of_the_prior():
    found = [energy_distance(normal(400, 8, seed)) for seed in range(40)]
    assert abs(np.mean(found)) < 3 * np.std(found) / math.sqrt(40)
    codes = normal(300, 4) + 0.2
    assert energy_distance(0.5 * codes, scale=0.5) == pytest.approx(0.5 * energy_distance(codes))


def test_it_sees_what_two_moments_do_not():
    signs = torch.randint(2, (3000, 4), generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    assert gaussian_divergence(signs) < 0.02
    assert energy_distance(signs) > 10 * abs(energy_distance(normal(3000, 4)))


def test_bad_codes_and_scales_are_refused():
    with pytest.raises(SigmaeError, match="two or more codes"):
        energy_distance(normal(1, 3))
    with pytest.raises(SigmaeError, match="NaN or infinity"):
        energy_distance(torch.full((4, 2), math.nan))
    for scale in (0.0, -1.0, math.inf):
        with pytest.raises(SigmaeError, match="scale of a prior"):
            energy_distance(normal(9, 2), scale=scale)
