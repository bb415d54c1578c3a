"""(epsilon, delta)-collapse: known answers at both thresholds."""

import pytest
import torch

from sigmae import SigmaeError
from sigmae.latent_regularizers import kl_to_prior
from sigmae.metrics.collapse import collapsed, collapsed_share, divergences
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
