"""Local smoothness and the expected gap: the laws of a linear decoder, autograd's Jacobian, saturation."""

import math

import pytest
import torch
from torch import nn

from sigmae import (
    Autoencoder,
    Bernoulli,
    Delta,
    DiagonalGaussian,
    Gaussian,
    KL,
    Mean,
    MonteCarlo,
    Objective,
    SigmaeError,
    SquaredError,
)
from sigmae.metrics.smoothness import expected_gap, expected_local_smoothness, squared_jacobian_norms

VALUES, LATENT = 6, 3
SINGLE = 1e-5  # relative, of float32 products
SIGMAS = 5


def model_of(decoder, likelihood=None):
    torch.manual_seed(1)
    return Autoencoder(nn.Linear(VALUES, LATENT), decoder, Objective(Delta(), Mean(), likelihood or SquaredError()))


@pytest.fixture
def x():
    return torch.randn(9, VALUES)


def network():
    return nn.Sequential(nn.Linear(LATENT, 8), nn.Tanh(), nn.BatchNorm1d(8), nn.Linear(8, VALUES))


@pytest.mark.parametrize("elements", [1, 50, 1 << 20])
def test_a_linear_decoder_has_the_norm_of_its_weights(x, elements):
    model = model_of(nn.Linear(LATENT, VALUES))
    norm = model.decoder.weight.square().sum().item()
    smoothness = expected_local_smoothness(model, x, elements=elements)
    assert smoothness.jacobian_norm == pytest.approx(norm, rel=SINGLE)
    assert smoothness.els == pytest.approx(norm / LATENT, rel=SINGLE)
    assert smoothness.els_error == pytest.approx(0, abs=SINGLE)


def test_a_network_agrees_with_the_jacobian_by_reverse_mode(x):
    model = model_of(network()).eval()
    codes = model.encode(x)
    norms = [torch.autograd.functional.jacobian(model.decoder, z.unsqueeze(0)).square().sum().item() for z in codes]
    torch.testing.assert_close(squared_jacobian_norms(model.decoder, codes), torch.tensor(norms).double())
    smoothness = expected_local_smoothness(model, x)
    assert smoothness.jacobian_norm == pytest.approx(sum(norms) / len(x), rel=SINGLE)
    error = torch.tensor(norms).std().item() / 3 / LATENT
    assert smoothness.els_error == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize("variance", [1e-2, 1e-3])
def test_the_gap_of_a_linear_decoder_is_twice_the_variance_times_the_norm(x, variance):
    """||W (e - e')||² has mean 2 s² ||W||_F² and variance 8 s⁴ ||Wᵀ W||_F²."""
    model, pairs = model_of(nn.Linear(LATENT, VALUES)), 3000
    weight = model.decoder.weight.detach()
    expected = 2 * variance * weight.square().sum().item()
    error = math.sqrt(8 * variance**2 * (weight.T @ weight).square().sum().item() / (pairs * len(x)))
    assert expected_gap(model, x, variance=variance, pairs=pairs) == pytest.approx(expected, abs=SIGMAS * error)
    els = expected_local_smoothness(model, x).els
    assert expected / (2 * LATENT * variance) == pytest.approx(els, rel=SINGLE)


def test_a_decoder_that_saturates_has_a_smaller_gap_at_the_larger_variance(x):
    """ReLU-like steps: the derivative at the code says more than the images reach."""
    model = model_of(nn.Sequential(nn.Linear(LATENT, VALUES), nn.Tanh()))
    with torch.no_grad():
        model.encoder.weight.zero_()
        model.encoder.bias.zero_()
        model.decoder[0].weight.mul_(10)
        model.decoder[0].bias.zero_()
    norm = expected_local_smoothness(model, x).jacobian_norm
    ratios = [expected_gap(model, x, variance=variance, pairs=500) / (2 * variance) / norm for variance in (1e-1, 1e-4)]
    assert ratios[0] < 0.5 < 0.9 < ratios[1] < 1.05


def test_a_collapsed_decoder_has_none(x):
    model = model_of(nn.Linear(LATENT, VALUES))
    with torch.no_grad():
        model.decoder.weight.zero_()
    assert expected_local_smoothness(model, x).els == 0
    assert expected_gap(model, x) == 0


def test_the_mean_image_is_what_moves(x):
    """Logits by their sigmoid; a variance that the decoder gives is no part of the image."""
    decoder = nn.Linear(LATENT, VALUES)
    squashed = nn.Sequential(decoder, nn.Sigmoid())
    logits, plain = (
        expected_local_smoothness(model_of(*parts), x) for parts in ((decoder, Bernoulli()), (squashed, SquaredError()))
    )
    assert logits.els == pytest.approx(plain.els, rel=SINGLE)
    assert expected_gap(model_of(decoder, Bernoulli()), x) == pytest.approx(expected_gap(model_of(squashed), x))


def test_a_posterior_with_a_spread_is_taken_at_its_mean(x):
    encoder, decoder = nn.Linear(VALUES, 2 * LATENT), network()
    model = Autoencoder(encoder, decoder, Objective(DiagonalGaussian(), MonteCarlo(), Gaussian(), KL())).eval()
    norms = squared_jacobian_norms(decoder, model.posterior(x).mean.detach())
    assert expected_local_smoothness(model, x).jacobian_norm == pytest.approx(norms.mean().item(), rel=SINGLE)


@pytest.mark.promise("The same seed", "Metrics and pictures that draw follow the seed, and it alone.")
def test_the_same_seed_gives_the_same_gap_and_nothing_else_changes(x):
    model = model_of(network()).train()
    model.decoder[1].eval()
    modes = [layer.training for layer in model.modules()]
    buffers = [buffer.clone() for buffer in model.buffers()]
    state = torch.get_rng_state()
    assert expected_gap(model, x) == expected_gap(model, x)
    assert expected_gap(model, x) != expected_gap(model, x, seed=1)
    expected_local_smoothness(model, x)
    assert torch.get_rng_state().equal(state)
    assert [layer.training for layer in model.modules()] == modes
    assert all(map(torch.equal, buffers, model.buffers()))
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("pairs", [1, 7])
def test_no_more_codes_are_decoded_at_once_than_the_chunk(x, pairs):
    model, sizes = model_of(nn.Linear(LATENT, VALUES)), []
    model.decoder.register_forward_hook(lambda layer, inputs, outputs: sizes.append(len(outputs)))
    expected_gap(model, x, pairs=pairs, chunk=10)
    assert max(sizes) <= 10
    assert sum(sizes) == 2 * pairs * len(x)


def test_wrong_requests_are_refused(x):
    model = model_of(nn.Linear(LATENT, VALUES))
    for wrong in ({"variance": 0.0}, {"variance": math.nan}, {"pairs": 0}):
        with pytest.raises(SigmaeError, match="one or more pairs of draws with a variance above 0"):
            expected_gap(model, x, **wrong)
    with pytest.raises(SigmaeError, match="2 or more images, got 1"):
        expected_local_smoothness(model, x[:1])
    with pytest.raises(SigmaeError, match="NaN or infinity"):
        expected_gap(model, x * math.nan)
    with torch.no_grad():
        model.decoder.weight.fill_(math.nan)
    with pytest.raises(SigmaeError, match="9 of 9 images is NaN"):
        expected_local_smoothness(model, x)
