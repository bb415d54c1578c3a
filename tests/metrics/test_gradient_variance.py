"""The gradient's variance: closed forms of a linear decoder, zero for what draws nothing, a model left alone."""

import pytest
import torch
from torch import nn

from sigmae import (
    Autoencoder,
    Delta,
    DiagonalGaussian,
    Gaussian,
    IncompatibleParts,
    KL,
    Mean,
    MMD,
    MonteCarlo,
    Objective,
    SigmaeError,
    SigmaPoints,
    SquaredError,
)
from sigmae.metrics.gradient_variance import gradient_variance
from sigmae.propagations import Linearized

VALUES, LATENT, BATCH, VARIANCE = 5, 3, 4, 0.5
REPEATS = 500
SAMPLING = 0.2  # relative, of a variance by that many repeats


class Shift(nn.Module):
    """q of mean `bias`, the only weight, and constant variances."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(LATENT))
        self.log_variance = nn.Buffer(torch.tensor([-1.0, 0.0, -2.0]))

    def forward(self, x):
        return torch.cat([self.bias, self.log_variance]).expand(len(x), -1)


@pytest.fixture
def model():
    torch.manual_seed(1)
    decoder = nn.Linear(LATENT, VALUES)
    decoder.weight.requires_grad_(False)
    return Autoencoder(Shift(), decoder, Objective(DiagonalGaussian(), MonteCarlo(), Gaussian(VARIANCE), KL()))


@pytest.fixture
def x():
    return torch.randn(BATCH, VALUES)


def expected(model):
    """Of one sample: the gradient by the bias is W e / c, by the code's mean Wᵀ W e / c, a mean over the batch."""
    weight, spread = model.decoder.weight, model.encoder.log_variance.exp()
    columns = weight / VARIANCE / BATCH**0.5
    return (weight.T @ columns).square().matmul(spread).sum().item(), columns.square().matmul(spread).sum().item()


@pytest.mark.parametrize("count", [1, 4])
def test_samples_have_the_variance_of_the_linear_model(model, x, count):
    noise = gradient_variance(model, x, MonteCarlo(count), repeats=REPEATS)
    encoder, decoder = expected(model)
    assert noise.encoder.variance == pytest.approx(encoder / count, rel=SAMPLING)
    assert noise.decoder.variance == pytest.approx(decoder / count, rel=SAMPLING)


def test_a_sigma_point_at_random_has_that_of_a_sample_with_the_same_covariance(model, x):
    """kappa 1/2 gives the points the covariance of q."""
    noise = gradient_variance(model, x, SigmaPoints(1, "random", kappa=0.5), repeats=REPEATS)
    assert noise.decoder.variance == pytest.approx(expected(model)[1], rel=SAMPLING)


def test_antithetic_pairs_have_none_where_the_decoder_is_linear(model, x):
    noise = gradient_variance(model, x, SigmaPoints(2, "pairs"), repeats=50)
    assert noise.decoder.variance == pytest.approx(0, abs=1e-10)


def test_the_mean_gradient_is_that_without_noise(model, x):
    noise = gradient_variance(model, x, repeats=REPEATS)
    exact = gradient_variance(model, x, SigmaPoints(scheme="all"), repeats=2)
    assert noise.decoder.mean_norm == pytest.approx(exact.decoder.mean_norm, rel=0.1)
    model.objective.replace(propagation=SigmaPoints(scheme="all"))(model, x).loss.backward()
    assert exact.decoder.mean_norm == pytest.approx(model.decoder.bias.grad.norm().item(), rel=1e-5)
    assert exact.encoder.mean_norm == pytest.approx(model.encoder.bias.grad.norm().item(), rel=1e-5)


@pytest.mark.parametrize("propagation", [Mean(), SigmaPoints(scheme="all"), SigmaPoints(2, "largest"), Linearized()])
def test_what_draws_nothing_has_exactly_none(model, x, propagation):
    noise = gradient_variance(model, x, propagation, repeats=3)
    assert noise.encoder.variance == noise.decoder.variance == 0


def test_a_share_of_the_batch_is_drawn(model, x):
    noise = gradient_variance(model, x, Linearized(share=0.5), repeats=20)
    assert noise.encoder.variance > 0


def test_without_a_propagation_it_is_the_models_own(model, x):
    assert gradient_variance(model, x, repeats=5) == gradient_variance(model, x, MonteCarlo(1), repeats=5)


def test_the_draws_of_a_regularizer_count():
    objective = Objective(Delta(), Mean(), SquaredError(), MMD())
    model = Autoencoder(nn.Linear(VALUES, LATENT), nn.Linear(LATENT, VALUES), objective)
    noise = gradient_variance(model, torch.randn(BATCH, VALUES), repeats=5)
    assert noise.encoder.variance > 0 == noise.decoder.variance


def test_the_model_is_left_as_it_was(x):
    encoder = nn.Sequential(nn.BatchNorm1d(VALUES), nn.Dropout(), nn.Linear(VALUES, 2 * LATENT))
    objective = Objective(DiagonalGaussian(), Linearized(share=0.5), Gaussian(VARIANCE), KL())
    model = Autoencoder(encoder, nn.Linear(LATENT, VALUES), objective).train()
    encoder[1].eval()
    own, other = objective.propagation, MonteCarlo().eval()
    before, state = {name: tensor.clone() for name, tensor in model.state_dict().items()}, torch.get_rng_state()
    with torch.no_grad():
        first = gradient_variance(model, x, other, repeats=3)
    assert first == gradient_variance(model, x, other, repeats=3)
    assert first != gradient_variance(model, x, other, repeats=3, seed=1)
    gradient_variance(model, x, repeats=2)
    assert torch.get_rng_state().equal(state)
    assert [layer.training for layer in encoder] == [True, False, True]
    assert (own.training, other.training, objective.training) == (True, False, True)
    assert model.objective.propagation is own
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_an_optimal_variance_does_not_learn_from_it(x):
    from sigmae import ModelConfig

    objective = Objective(DiagonalGaussian(), MonteCarlo(), Gaussian("optimal"), KL())
    config = ModelConfig("test", (VALUES,), LATENT, {}, None)
    model = Autoencoder(nn.Linear(VALUES, 2 * LATENT), nn.Linear(LATENT, VALUES), objective, config=config)
    gradient_variance(model, x, repeats=3)
    assert objective.likelihood.batches == 0


def test_wrong_requests_are_refused(model, x):
    with pytest.raises(SigmaeError, match="two or more repeats, got 1"):
        gradient_variance(model, x, repeats=1)
    with pytest.raises(SigmaeError, match="NaN or infinity"):
        gradient_variance(model, x / 0)
    point = Autoencoder(
        nn.Linear(VALUES, LATENT), nn.Linear(LATENT, VALUES), Objective(Delta(), Mean(), SquaredError())
    )
    with pytest.raises(IncompatibleParts, match="draws samples"):
        gradient_variance(point, x, MonteCarlo())
