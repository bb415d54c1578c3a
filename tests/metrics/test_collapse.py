"""Collapse and active units: known answers at their thresholds."""

import math

import pytest
import torch

from sigmae import SigmaeError
from sigmae.latent_regularizers import kl_to_prior
from sigmae.metrics.collapse import active_units, collapsed, collapsed_share, divergences, mean_divergences
from sigmae.posteriors import diagonal_gaussian, full_gaussian, PointMass


def test_the_prior_for_every_image_is_whole_collapse():
    assert collapsed_share(diagonal_gaussian(torch.zeros(10, 4), torch.ones(10, 4))) == 1


def test_latents_that_are_used_are_counted_out():
    mean = torch.zeros(200, 4)
    mean[:, 0] = 1.0
    mean[:2, 1] = 1.0  # one example of a hundred: as many as may be left out
    mean[:3, 2] = 1.0
    assert collapsed(divergences(diagonal_gaussian(mean, torch.ones(200, 4)))).tolist() == [False, True, False, True]


def test_epsilon_is_a_divergence_in_nats():
    below, above = torch.full((10, 1), 0.0499), torch.full((10, 1), 0.0501)
    assert collapsed(torch.cat([below, above], 1)).tolist() == [True, False]
    assert collapsed(above, epsilon=0.06).all()


def test_divergences_add_up_to_that_of_a_diagonal_posterior():
    q = diagonal_gaussian(torch.randn(6, 3), torch.rand(6, 3) + 0.1)
    torch.testing.assert_close(divergences(q).sum(1), kl_to_prior(q))
    full = full_gaussian(q.mean, torch.diag_embed(q.variance.sqrt()))
    torch.testing.assert_close(divergences(full), divergences(q))


def test_a_point_has_no_divergence():
    with pytest.raises(SigmaeError, match="has no factor"):
        divergences(PointMass(torch.zeros(2, 2)))


def test_units_are_active_whose_means_vary_by_more_than_a_hundredth():
    means = torch.tensor([-1.0, 1.0]).repeat(500)[:, None] * torch.tensor([0.0, 0.0999, 0.1001, 1.0]) + 1000
    assert active_units(means).tolist() == [False, False, True, True]
    assert active_units(means, threshold=0.5).tolist() == [False, False, False, True]


def test_a_unit_with_a_mean_divergence_can_be_inactive():
    q = diagonal_gaussian(torch.zeros(9, 2), torch.tensor([[0.1, 1.0]]).expand(9, 2))
    assert not active_units(q.mean).any()
    nats = mean_divergences(divergences(q))
    assert nats.tolist() == pytest.approx([math.log(10) + 0.5 * (0.01 - 1), 0])


def test_mean_divergences_add_up_to_the_mean_of_the_kl():
    q = diagonal_gaussian(torch.randn(50, 3), torch.rand(50, 3) + 0.1)
    nats = mean_divergences(divergences(q))
    assert nats.dtype == torch.float64
    assert float(nats.sum()) == pytest.approx(float(kl_to_prior(q).mean()), rel=1e-6)


@pytest.mark.parametrize("means", [torch.zeros(1, 2), torch.full((4, 2), math.nan)])
def test_units_of_too_few_or_broken_codes_are_refused(means):
    with pytest.raises(SigmaeError, match="two or more examples of finite codes"):
        active_units(means)


@pytest.mark.parametrize("nats", [torch.zeros(0, 2), torch.full((4, 2), math.nan)])
def test_divergences_without_a_mean_are_refused(nats):
    with pytest.raises(SigmaeError, match="one example or more, without NaN"):
        mean_divergences(nats)
