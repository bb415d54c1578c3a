"""The Taylor expansion's quality: exact for a linear decoder, known errors of samples, dense covariances."""

import math

import pytest
import torch
from torch import nn

from sigmae import (
    Autoencoder,
    Delta,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    KL,
    Mean,
    MonteCarlo,
    Objective,
    SigmaeError,
    SquaredError,
)
from sigmae.data import scaled
from sigmae.metrics.taylor import compared, linearized_spread, random_directions, spread, taylor_quality
from sigmae.posteriors import scale_of

VALUES, LATENT = 12, 3
F64 = torch.float64
REFERENCE = 0.1  # relative, of 4,000 reference samples
DIRECTIONS = 0.15  # relative, of covariances seen along 200 of 600 directions


def model_of(decoder, posterior=None, spread=0.5):
    """q has a mean that depends on x, and the same factor for all x."""
    torch.manual_seed(1)
    posterior = posterior or DiagonalGaussian()
    encoder = nn.Linear(VALUES, posterior.outputs(LATENT))
    with torch.no_grad():
        encoder.weight[LATENT:] = 0
        encoder.bias[LATENT:] = 0.3
        encoder.bias[LATENT : 2 * LATENT] = 2 * math.log(spread)
    return Autoencoder(encoder, decoder, Objective(posterior, MonteCarlo(), Gaussian(), KL()))


def network(outputs=VALUES):
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(LATENT, 16), nn.Tanh(), nn.Linear(16, outputs))


@pytest.fixture
def x():
    return torch.randn(40, VALUES)


@pytest.mark.parametrize("posterior", [DiagonalGaussian(), FullGaussian()])
def test_a_linear_decoder_is_propagated_exactly_and_samples_err_by_their_number(x, posterior):
    """k Gaussian samples have an expected squared error of (||C||² + tr(C)²) / (k - 1)."""
    torch.manual_seed(3)
    model = model_of(nn.Linear(LATENT, VALUES), posterior)
    with torch.no_grad():
        scale = scale_of(model.posterior(x[:1]))
        factor = model.decoder.weight @ (torch.diag_embed(scale) if scale.ndim == 2 else scale)[0]
    true = factor @ factor.T
    square, trace = true.square().sum().item(), true.trace().item()
    result = taylor_quality(model, x, counts=[5, 50], reference=4000)
    assert result.squared_norm == pytest.approx(square, rel=REFERENCE)
    assert abs(result.taylor.covariance_error) < 1e-3 * square
    assert result.taylor.variance_correlation > 0.998
    assert result.taylor.overestimation == pytest.approx(1, abs=0.01)
    for count, tolerance in ((5, 0.5), (50, 0.4)):
        expected = (square + trace**2) / (count - 1)
        assert result.samples[count].covariance_error == pytest.approx(expected, rel=tolerance)
        assert result.samples[count].overestimation == pytest.approx(1, abs=0.3)
    correlations = [result.samples[count].variance_correlation for count in (5, 50)]
    assert correlations[0] < correlations[1] < result.taylor.variance_correlation


def test_the_error_is_that_of_dense_covariances():
    """A reference of 400,000 points formed here."""
    decoder = network()
    model, x = model_of(decoder, spread=1.0), torch.randn(1, VALUES)
    result = taylor_quality(model, x, counts=[2], reference=60_000, chunk=5000)
    with torch.no_grad():
        q = model.posterior(x)
        images = decoder(q.sample((400_000,)).squeeze(1)).double()
        jacobian = torch.autograd.functional.jacobian(decoder, q.mean)[0, :, 0].double()
    true, taylor = torch.cov(images.T), (jacobian * q.variance.double()) @ jacobian.T
    error = (taylor - true).square().sum().item()
    assert result.taylor.covariance_error == pytest.approx(error, rel=0.05)
    assert result.squared_norm == pytest.approx(true.square().sum().item(), rel=0.03)
    ratio = (taylor.trace() / true.trace()).item()
    assert result.taylor.overestimation == pytest.approx(ratio, rel=0.02)
    correlation = torch.corrcoef(torch.stack([taylor.diagonal(), true.diagonal()]))[0, 1].item()
    assert result.taylor.variance_correlation == pytest.approx(correlation, abs=5e-3)
    assert error > 0.05 * true.square().sum().item()  # otherwise this would test nothing


def test_a_rectifier_at_its_corner_is_overestimated_by_a_known_factor():
    """relu(z) of z ~ N(0+, s²) has the variance s² (1/2 - 1/(2 pi)), and the expansion says s²."""
    decoder = nn.Sequential(nn.Linear(LATENT, VALUES), nn.ReLU())
    model = model_of(decoder)
    with torch.no_grad():
        model.encoder.weight.zero_()
        model.encoder.bias[:LATENT] = 1e-6
        decoder[0].weight.abs_()
        decoder[0].bias.zero_()
    result = taylor_quality(model, torch.zeros(3, VALUES), counts=[], reference=20_000)
    assert result.taylor.overestimation == pytest.approx(1 / (0.5 - 0.5 / math.pi), rel=0.03)
    assert result.samples == {}


def test_a_spread_is_the_covariance_of_numpy():
    points, directions = torch.randn(50, 9, dtype=F64) + 3, torch.randn(9, 4, dtype=F64)
    expected = torch.cov(points.T)
    whole, seen = spread(points.split(7), None), spread(points.split(16), directions)
    torch.testing.assert_close(whole.projected, expected)
    torch.testing.assert_close(whole.variance, expected.diagonal())
    torch.testing.assert_close(seen.projected, expected @ directions)
    torch.testing.assert_close(seen.variance, expected.diagonal())
    factor = torch.randn(4, 9, dtype=F64)
    torch.testing.assert_close(linearized_spread(factor, directions).projected, factor.T @ factor @ directions)


def test_the_references_own_error_adds_no_bias():
    """An exact estimate has error 0 on average even beside four samples, whose own covariance is far off."""
    torch.manual_seed(0)
    factor = torch.randn(LATENT, VALUES, dtype=F64)
    exact, errors = linearized_spread(factor, None), []
    for _ in range(600):
        halves = (spread([torch.randn(4, LATENT, dtype=F64) @ factor], None) for _ in range(2))
        errors.append(compared(exact, *halves)[1])
    values = torch.stack(errors)
    assert values.mean().abs() < 5 * values.std() / math.sqrt(len(values))
    assert values.std() > 1


def test_random_directions_keep_squared_norms_and_small_images_need_none():
    assert random_directions(100, 100, 0) is None
    directions = random_directions(600, 200, 0).double()
    torch.testing.assert_close(directions.T @ directions, 3 * torch.eye(200, dtype=F64), atol=1e-4, rtol=0)
    factor = torch.randn(LATENT, 600, dtype=F64)
    exact = linearized_spread(factor, None).projected.square().sum()
    seen = linearized_spread(factor, directions).projected.square().sum()
    assert seen == pytest.approx(exact.item(), rel=DIRECTIONS)


def test_images_of_many_values_have_the_same_quality_within_the_directions_error():
    model, x = model_of(network(600), spread=1.0), torch.randn(8, VALUES)
    exact, seen = (
        taylor_quality(model, x, counts=[10], reference=2000, directions=directions) for directions in (600, 200)
    )
    assert seen.squared_norm == pytest.approx(exact.squared_norm, rel=DIRECTIONS)
    assert seen.taylor.covariance_error == pytest.approx(exact.taylor.covariance_error, rel=DIRECTIONS)
    assert seen.samples[10].covariance_error == pytest.approx(exact.samples[10].covariance_error, rel=DIRECTIONS)
    assert seen.taylor.variance_correlation == pytest.approx(exact.taylor.variance_correlation)


def test_a_trained_decoder_is_carried_better_by_the_expansion_than_by_five_samples(digits):
    """And its variances are too large, by about 1.2 in the paper."""
    images, size = digits.train.images, digits.train.images[0].numel()
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, 2 * LATENT))
    decoder = nn.Sequential(nn.Linear(LATENT, 64), nn.ReLU(), nn.Linear(64, size), nn.Sigmoid())
    decoder.append(nn.Unflatten(1, digits.shape))
    model = Autoencoder(encoder, decoder, Objective(DiagonalGaussian(), MonteCarlo(), Gaussian(0.1), KL()))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(400):
        loss = model(scaled(images[torch.randint(len(images), (64,))])).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    result = taylor_quality(model, digits.test.images[:20], counts=[5], reference=2000)
    assert result.taylor.variance_correlation > result.samples[5].variance_correlation
    assert result.taylor.covariance_error < result.samples[5].covariance_error
    assert 1 < result.taylor.overestimation < 2


def test_no_more_codes_are_decoded_at_once_than_the_chunk():
    model, sizes = model_of(network()), []
    model.decoder.register_forward_hook(lambda layer, inputs, outputs: sizes.append(len(outputs)))
    taylor_quality(model, torch.randn(2, VALUES), counts=[5, 30], reference=101, chunk=20)
    assert max(sizes) <= 20
    assert sum(sizes) == 2 * (1 + 1 + 101 + 35)  # the centre, the derivative's pass, the reference, the samples


@pytest.mark.promise("The same seed", "The generators of torch and numpy that everyone shares are left as they were.")
def test_the_model_and_the_global_generator_are_left_as_they_were(x):
    model = model_of(nn.Sequential(nn.Linear(LATENT, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, VALUES)))
    before, state = {name: tensor.clone() for name, tensor in model.state_dict().items()}, torch.get_rng_state()
    first = taylor_quality(model, x[:3], counts=[5], reference=50)
    assert first == taylor_quality(model, x[:3], counts=[5], reference=50)
    assert first != taylor_quality(model, x[:3], counts=[5], reference=50, seed=1)
    assert torch.get_rng_state().equal(state)
    assert all(layer.training for layer in model.modules())
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_wrong_requests_are_refused(x):
    model = model_of(network())
    for wrong in ({"counts": [1]}, {"reference": 3}, {"directions": 0}):
        with pytest.raises(SigmaeError, match="two or more samples and its reference four or more"):
            taylor_quality(model, x, **wrong)
    with pytest.raises(SigmaeError, match="NaN or infinity"):
        taylor_quality(model, x * math.nan)
    point = Autoencoder(nn.Linear(VALUES, LATENT), network(), Objective(Delta(), Mean(), SquaredError()))
    with pytest.raises(SigmaeError, match="PointMass has no factor"):
        taylor_quality(point, x[:1], reference=10)
    with torch.no_grad():
        model.decoder[2].weight.zero_()
    with pytest.raises(SigmaeError, match="diverged or collapsed"):
        taylor_quality(model, x[:2], counts=[5], reference=10)
