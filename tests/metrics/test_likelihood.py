"""ELBO and likelihoods: exact on linear-Gaussian models, by quadrature where they are not; modes and draws."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from sigmae import (
    Autoencoder,
    Bernoulli,
    Delta,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    KL,
    Linearized,
    Mean,
    ModelConfig,
    MonteCarlo,
    Objective,
    SigmaeError,
    SquaredError,
    Wasserstein2,
)
from sigmae.latent_regularizers import kl_to_prior
from sigmae.metrics.likelihood import elbo, linearized_log_likelihood, log_likelihood, trained_bound
from sigmae.posteriors import diagonal_gaussian

VALUES, LATENT, VARIANCE = 7, 3, 0.3
SINGLE = 2e-5  # what float32 weights and decodings cost, in nats, where the answer is exact
QUADRATURE = 1e-4  # of the trapezoidal rule below, beside the draws' own error
ROUNDING = 1e-4  # nats: of float32 decodings of other sizes
SIGMAS = 5  # standard errors that a fixed seed may be off


def linear(inputs, outputs, weight, bias):
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


def linear_model(widen=1.0, objective=None):
    """A linear decoder, and the encoder of its true posterior, with all of L multiplied by `widen`."""
    torch.manual_seed(2)
    weight, bias = torch.randn(VALUES, LATENT), torch.randn(VALUES)
    precision = weight.T @ weight / VARIANCE + torch.eye(LATENT)
    gain = torch.linalg.solve(precision, weight.T) / VARIANCE
    factor = widen * torch.linalg.cholesky(precision.inverse())
    lower = factor[tuple(torch.tril_indices(LATENT, LATENT, -1))]
    constants = torch.cat([-gain @ bias, 2 * factor.diagonal().log(), lower])
    rows = torch.cat([gain, torch.zeros(len(constants) - LATENT, VALUES)])
    objective = objective or Objective(FullGaussian(), MonteCarlo(), Gaussian(VARIANCE), KL())
    outputs = objective.posterior.outputs(LATENT)
    return Autoencoder(
        linear(VALUES, outputs, rows[:outputs], constants[:outputs]),
        linear(LATENT, VALUES, weight, bias),
        objective,
    )


def marginal(model, x, mean=None, covariance=None):
    """ln p(x) of a linear decoder under N(mean, covariance), N(0, I) by default."""
    weight, bias = model.decoder.weight.detach().double(), model.decoder.bias.detach().double()
    mean = torch.zeros(LATENT).double() if mean is None else mean
    spread = weight @ weight.T if covariance is None else weight @ covariance @ weight.T
    noise = VARIANCE * torch.eye(VALUES).double()
    return MultivariateNormal(bias + weight @ mean, spread + noise).log_prob(x.double())


@pytest.fixture
def x():
    return torch.randn(6, VALUES)


def test_the_true_posterior_gives_the_likelihood_exactly(x):
    model = linear_model()
    result = log_likelihood(model, x, count=20, elements=8 * VALUES)
    torch.testing.assert_close(result.values, marginal(model, x), atol=SINGLE, rtol=0)
    torch.testing.assert_close(result.effective, torch.full((6,), 20.0).double(), atol=1e-3, rtol=0)
    assert result.warning is None
    assert result.nll() == pytest.approx(-marginal(model, x).mean().item(), abs=SINGLE)


@pytest.mark.parametrize("widen", [1.4, 0.8])
def test_another_posterior_gives_it_within_the_error_of_the_draws(x, widen):
    model, count = linear_model(widen), 20_000
    result = log_likelihood(model, x, count=count)
    error = (1 / result.effective - 1 / count).sqrt()
    assert ((result.values - marginal(model, x)).abs() < SIGMAS * error).all()
    assert (error < 0.05).all()
    assert (result.effective < 0.9 * count).all()


def test_the_bound_is_its_closed_form_below_the_likelihood(x):
    """E_q ln p(x|z) of a linear decoder is -n/2 ln(2 pi c) - (||r||² + ||W L||²) / (2 c)."""
    model, samples = linear_model(1.3), 20_000
    q = model.posterior(x)
    residual = (x - model.decoder(q.mean)).square().sum(1) + (model.decoder.weight @ q.scale_tril).square().sum((1, 2))
    constant = VALUES / 2 * math.log(2 * math.pi * VARIANCE)
    kl = torch.distributions.kl_divergence(q, MultivariateNormal(torch.zeros(LATENT), torch.eye(LATENT)))
    expected = (-constant - residual / (2 * VARIANCE) - kl).detach().double()
    bound = elbo(model, x, samples=samples)
    torch.testing.assert_close(bound, expected, atol=0.1, rtol=0)
    assert (bound.mean() - expected.mean()).abs() < 0.03
    assert (expected < marginal(model, x)).all()


def test_a_bound_at_the_true_posterior_is_the_likelihood(x):
    model = linear_model()
    torch.testing.assert_close(elbo(model, x, samples=20_000), marginal(model, x), atol=0.1, rtol=0)


class Curve(nn.Module):
    """A decoder from one latent to four values that is far from linear."""

    def forward(self, z):
        return torch.cat([torch.sin(2 * z), z, z.square() / 2, torch.tanh(3 * z)], dim=1)


def quadrature(log_density, mean=0.0, scale=1.0):
    """ln of the integral of exp(log_density(z)) N(z; mean, scale²) dz for each example."""
    z = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    prior = -0.5 * ((z - mean) / scale).square() - math.log(scale * math.sqrt(2 * math.pi))
    return (log_density(z.unsqueeze(1)) + prior.unsqueeze(1)).logsumexp(0) + math.log(z[1] - z[0])


def curved_model(likelihood, posterior=None, bias=(0.2, -1.0)):
    encoder = linear(4, len(bias), torch.zeros(len(bias), 4), torch.tensor(bias))
    posterior = posterior or DiagonalGaussian()
    propagation, latent = (MonteCarlo(), KL()) if posterior.has_density else (Mean(), None)
    parts = {} if latent is None else {"latent": latent}
    return Autoencoder(encoder, Curve(), Objective(posterior, propagation, likelihood, **parts))


def test_a_curved_gaussian_decoder_agrees_with_quadrature():
    images = Curve()(torch.tensor([[0.3], [0.1], [0.5]])) + 0.3 * torch.randn(3, 4)
    result = log_likelihood(curved_model(Gaussian(0.5)), images, count=40_000)

    def score(z):
        errors = (images.double() - Curve()(z).unsqueeze(1)).square().sum(-1)
        return -errors / (2 * 0.5) - 2 * math.log(2 * math.pi * 0.5)

    error = SIGMAS * (1 / result.effective - 1 / 40_000).sqrt() + QUADRATURE
    assert ((result.values - quadrature(lambda z: score(z))).abs() < error).all()
    assert (elbo(curved_model(Gaussian(0.5)), images, samples=2000) < result.values).all()


def test_bernoulli_values_agree_with_quadrature():
    images = torch.tensor([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
    result = log_likelihood(curved_model(Bernoulli()), images, count=40_000)

    def score(z):
        p = torch.sigmoid(Curve()(z)).unsqueeze(1)
        return (images * p.log() + (1 - images) * (1 - p).log()).sum(-1)

    error = SIGMAS * (1 / result.effective - 1 / 40_000).sqrt() + QUADRATURE
    assert ((result.values - quadrature(score)).abs() < error).all()
    assert result.constant == 0
    assert result.nll(with_constant=False) == result.nll()


def test_the_constant_of_a_fixed_variance_may_be_left_out():
    """n/2 ln(2 pi c) is 448.73 for 784 values and c = 1/2."""
    model = Autoencoder(nn.Linear(784, 4), nn.Linear(2, 784), Objective(DiagonalGaussian(), MonteCarlo(), Gaussian()))
    result = log_likelihood(model, torch.rand(2, 784), count=5)
    assert result.constant == pytest.approx(448.73, abs=0.005)
    assert result.nll() - result.nll(with_constant=False) == pytest.approx(448.73, abs=0.005)


def configured(likelihood, decoder_outputs=VALUES):
    config = ModelConfig("test", (VALUES,), LATENT, {}, None)
    objective = Objective(DiagonalGaussian(), MonteCarlo(), likelihood, KL())
    torch.manual_seed(4)
    encoder, decoder = nn.Linear(VALUES, 2 * LATENT), nn.Linear(LATENT, VALUES)
    if decoder_outputs == VALUES:
        return Autoencoder(encoder, decoder, objective, config=config)
    head = nn.Linear(LATENT, decoder_outputs)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(math.log(0.2))
        head.weight[:VALUES], head.bias[:VALUES] = decoder.weight, decoder.bias
    return Autoencoder(encoder, head, objective, config=config)


def found(likelihood, outputs=VALUES):
    """A model whose training found a variance of 1/5, whatever its kind."""
    model = configured(likelihood, outputs)
    with torch.no_grad():
        if model.objective.likelihood.variance == "optimal":
            model.objective.likelihood.estimate.fill_(0.2)
        elif outputs == VALUES:
            model.objective.likelihood.log_variance.fill_(math.log(0.2))
    return model


VARIANCES = [
    (Gaussian("learned"), VALUES),
    (Gaussian("learned", "diag"), VALUES),
    (Gaussian("optimal"), VALUES),
    (Gaussian("optimal", "diag"), VALUES),
    (Gaussian("learned", "iso", "sample"), VALUES + 1),
    (Gaussian("learned", "diag", "sample"), 2 * VALUES),
]


@pytest.mark.parametrize(("likelihood", "outputs"), VARIANCES)
def test_the_variance_is_what_training_found(x, likelihood, outputs):
    """Not the optimum of the batch that is scored; learned variances of single values have 1e-6 on top."""
    fixed = log_likelihood(configured(Gaussian(0.2)), x, count=50)
    result = log_likelihood(found(likelihood, outputs), x, count=50)
    torch.testing.assert_close(result.values, fixed.values, atol=1e-3, rtol=0)
    assert result.constant is None
    with pytest.raises(SigmaeError, match="no constant to leave out"):
        result.nll(with_constant=False)


def test_a_squared_error_is_scored_by_a_variance_that_one_names(x):
    w2 = Objective(FullGaussian(), MonteCarlo(), SquaredError(weight=2.0), Wasserstein2())
    model = linear_model(1.2, w2)
    with pytest.raises(SigmaeError, match=r"no density p\(x\|z\).*0\.25 makes it this error"):
        log_likelihood(model, x)
    mean = Objective(FullGaussian(), MonteCarlo(), SquaredError("mean"), Wasserstein2())
    with pytest.raises(SigmaeError, match=r"0\.5 times the number of values"):
        elbo(linear_model(1.2, mean), x)
    named = log_likelihood(model, x, count=30, variance=VARIANCE)
    assert named.values.equal(log_likelihood(linear_model(1.2), x, count=30).values)


def test_a_weight_of_the_divergence_is_no_part_of_the_bound(x):
    beta = linear_model(objective=Objective(FullGaussian(), MonteCarlo(), Gaussian(VARIANCE), KL(7.0)))
    assert elbo(beta, x, samples=5).equal(elbo(linear_model(), x, samples=5))


def test_a_point_has_no_likelihood_and_is_told_of_the_linearized_one(x):
    model = linear_model(objective=Objective(Delta(), Mean(), SquaredError()))
    for metric in (elbo, log_likelihood):
        with pytest.raises(SigmaeError, match="linearized_log_likelihood"):
            metric(model, x)


def test_the_linearized_likelihood_of_a_linear_decoder_is_exact(x):
    model = linear_model(objective=Objective(Delta(), Mean(), SquaredError()))
    root = torch.randn(LATENT, LATENT).double()
    mean, covariance = torch.randn(LATENT).double(), root @ root.T + 0.1 * torch.eye(LATENT)
    density = MultivariateNormal(mean.float(), covariance.float())
    expected = marginal(model, x, mean, covariance)
    for elements in (1, 1 << 20):
        values = linearized_log_likelihood(model, x, density, variance=VARIANCE, elements=elements)
        torch.testing.assert_close(values, expected, atol=1e-3, rtol=1e-5)
    prior = diagonal_gaussian(torch.zeros(LATENT), torch.ones(LATENT))
    values = linearized_log_likelihood(model, x, prior, variance=VARIANCE)
    torch.testing.assert_close(values, marginal(model, x), atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize(("variance", "tolerance"), [(1e-4, 1e-3), (1e-2, 0.05)])
def test_the_linearized_likelihood_is_near_where_the_variance_is_small(variance, tolerance):
    """Images on the curve, whose codes are known; the tolerance is what the bend costs."""
    model = curved_model(SquaredError(), Delta(), bias=(0.2,))
    images = Curve()(torch.tensor([[0.2]]))
    density = diagonal_gaussian(torch.tensor([0.5]), torch.tensor([1.5]))

    def score(z):
        errors = (images.double() - Curve()(z).unsqueeze(1)).square().sum(-1)
        return -errors / (2 * variance) - 2 * math.log(2 * math.pi * variance)

    value = linearized_log_likelihood(model, images, density, variance=variance)
    torch.testing.assert_close(value, quadrature(score, 0.5, 1.5), atol=tolerance, rtol=0)


def test_a_mixture_or_no_variance_is_refused(x):
    model = linear_model()
    gaussians = MultivariateNormal(torch.zeros(2, LATENT), torch.eye(LATENT))
    mixture = MixtureSameFamily(Categorical(torch.ones(2)), gaussians)
    with pytest.raises(SigmaeError, match="fit the density 'gaussian'"):
        linearized_log_likelihood(model, x, mixture, variance=1.0)
    for variance in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(SigmaeError, match="above 0 and finite"):
            log_likelihood(model, x, variance=variance)
        with pytest.raises(SigmaeError, match="above 0 and finite"):
            linearized_log_likelihood(model, x, gaussians, variance=variance)


def test_too_few_images_draws_or_numbers_are_refused(x):
    model = linear_model()
    with pytest.raises(SigmaeError, match="1 or more images, got 0"):
        log_likelihood(model, x[:0])
    assert log_likelihood(model, x[:1], count=5).standard_error is None
    with pytest.raises(SigmaeError, match="1 or more images, got 0"):
        elbo(model, x[:0])
    with pytest.raises(SigmaeError, match="NaN or infinity"):
        elbo(model, x.clone().fill_(math.nan))
    with pytest.raises(SigmaeError, match="got 0 draws"):
        log_likelihood(model, x, count=0)
    with torch.no_grad():
        model.decoder.bias.fill_(math.nan)
    with pytest.raises(SigmaeError, match="of 6 of 6 images is NaN or infinite"):
        log_likelihood(model, x, count=3)


def test_few_draws_that_carry_the_weight_are_warned_of(x):
    warning = log_likelihood(linear_model(0.05), x, count=500).warning
    assert warning is not None
    assert "fewer than 10 of 500 draws" in warning


def test_an_image_is_scored_alike_in_any_company_and_for_any_run(x):
    model = linear_model(1.3)
    state = torch.get_rng_state()
    result = log_likelihood(model, x, count=64, elements=200 * VALUES)
    again = log_likelihood(model, x[:2], count=64, elements=200 * VALUES)
    torch.testing.assert_close(result.values[:2], again.values, atol=SINGLE, rtol=0)
    assert result.values.equal(log_likelihood(model, x, count=64, elements=200 * VALUES).values)
    assert not result.values.isclose(log_likelihood(model, x, count=64, elements=200 * VALUES, seed=1).values).any()
    assert torch.get_rng_state().equal(state)


@pytest.mark.parametrize(("count", "chunk"), [(100, 30), (10, 30), (7, 1)])
def test_no_more_codes_are_decoded_at_once_than_the_chunk(x, count, chunk):
    model, sizes = linear_model(), []
    model.decoder.register_forward_hook(lambda layer, inputs, outputs: sizes.append(len(outputs)))
    log_likelihood(model, x, count=count, elements=chunk * VALUES + 1)
    assert max(sizes) <= chunk
    assert sum(sizes) == count * len(x)


@pytest.mark.parametrize("kind", [Gaussian(VARIANCE), Gaussian("learned", "diag"), Bernoulli()])
def test_how_much_is_decoded_at_once_changes_rounding_alone(x, kind):
    """Below and above the number of draws that are made at once, for one image at a time and for all."""
    model, images, count = perceptron(kind), x[:2].sigmoid(), 2100
    whole = log_likelihood(model, images, count=count, elements=len(images) * count * VALUES)
    bound = elbo(model, images, samples=count, elements=len(images) * count * VALUES)
    for draws in (90, 1000, 1500, 2100):
        result = log_likelihood(model, images, count=count, elements=draws * VALUES)
        torch.testing.assert_close(result.values, whole.values, atol=ROUNDING, rtol=0)
        torch.testing.assert_close(result.effective, whole.effective, atol=0, rtol=10 * ROUNDING)
        again = elbo(model, images, samples=count, elements=draws * VALUES)
        torch.testing.assert_close(again, bound, atol=ROUNDING, rtol=0)


class Opaque(nn.Module):
    """A decoder whose layers cannot be looked at."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, z):
        return self.layers(z)


def perceptron(likelihood, *, opaque=False, bias=True, hidden=5, event=(VALUES,)):
    """A decoder that ends in a linear layer."""
    torch.manual_seed(3)
    last = nn.Linear(hidden, math.prod(event), bias=bias)
    decoder = nn.Sequential(nn.Linear(LATENT, hidden), nn.ReLU(), last, nn.Unflatten(1, event))
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(event), 2 * LATENT))
    objective = Objective(DiagonalGaussian(), MonteCarlo(), likelihood, KL())
    config = ModelConfig("test", event, LATENT, {}, None)
    return Autoencoder(encoder, Opaque(decoder) if opaque else decoder, objective, config=config)


@pytest.mark.parametrize("likelihood", [Gaussian(1e-2), Gaussian("optimal"), SquaredError()])
@pytest.mark.parametrize(
    ("bias", "hidden", "event"), [(True, 5, (VALUES,)), (False, 3, (2, 4, 4)), (True, 9, (VALUES,))]
)
def test_a_last_layer_without_its_rotation_scores_alike(likelihood, bias, hidden, event):
    images = torch.rand(4, *event)
    variance = 1e-2 if isinstance(likelihood, SquaredError) else None
    for metric, options in ((log_likelihood, {"count": 50}), (elbo, {"samples": 50})):
        found, expected = (
            metric(model, images, variance=variance, **options)
            for model in (
                perceptron(likelihood, opaque=opaque, bias=bias, hidden=hidden, event=event) for opaque in (False, True)
            )
        )
        if metric is log_likelihood:
            assert found.constant == expected.constant
            torch.testing.assert_close(found.effective, expected.effective, atol=0, rtol=1e-3)
            found, expected = found.values, expected.values
        torch.testing.assert_close(found, expected, atol=0, rtol=SINGLE)


def test_a_wide_last_layer_is_not_computed_in_full():
    """Only the hidden layer runs as it is; narrow ones, and those with several variances, run whole."""
    for likelihood, hidden, full in ((Gaussian(), 5, 0), (Gaussian(), 9, 1), (Gaussian("learned", "diag"), 5, 1)):
        model, calls = perceptron(likelihood, hidden=hidden), []
        model.decoder[2].register_forward_hook(lambda layer, inputs, outputs, calls=calls: calls.append(1))
        log_likelihood(model, torch.rand(2, VALUES), count=10)
        assert bool(calls) is bool(full)


def test_the_model_is_left_as_it_was(x):
    encoder = nn.Sequential(nn.BatchNorm1d(VALUES), nn.Dropout(), nn.Linear(VALUES, 2 * LATENT))
    model = Autoencoder(encoder, nn.Linear(LATENT, VALUES), Objective(DiagonalGaussian(), MonteCarlo(), Gaussian()))
    model.train()
    encoder[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = elbo(model, x, samples=3)
    assert first.equal(elbo(model, x, samples=3))
    assert [layer.training for layer in encoder] == [True, False, True]
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    assert not first.requires_grad


def test_the_trained_bound_is_minus_the_loss_whatever_the_batches():
    objective = Objective(FullGaussian(), Linearized(gamma=1.0), Gaussian(VARIANCE), KL())
    model, x = linear_model(1.3, objective), torch.randn(7, VALUES)
    q, decoder = model.posterior(x), model.decoder.weight.detach().double()
    spread = decoder @ q.covariance_matrix.detach().double() @ decoder.T + VARIANCE * torch.eye(VALUES)
    likelihood = MultivariateNormal(model.decode(q.mean.detach()).double(), spread).log_prob(x.double())
    bound = float((likelihood.mean() - kl_to_prior(q).mean()).detach())
    assert trained_bound(model, x) == pytest.approx(bound, abs=ROUNDING)
    assert trained_bound(model, x, batch_size=3) == pytest.approx(bound, abs=ROUNDING)
    assert trained_bound(model, x) > float(elbo(model, x).mean())
    assert model.training


def test_the_trained_bound_of_a_vae_is_its_bound_by_one_draw():
    model, x = linear_model(), torch.randn(2000, VALUES)
    by_many = elbo(model, x, samples=10)
    assert trained_bound(model, x) == pytest.approx(float(by_many.mean()), abs=SIGMAS * LATENT / math.sqrt(len(x)))
    assert trained_bound(model, x, seed=1) == trained_bound(model, x, seed=1) != trained_bound(model, x, seed=2)


def test_a_trained_bound_that_is_not_a_number_is_refused():
    model = linear_model()
    with torch.no_grad():
        model.decoder.bias[0] = math.inf
    with pytest.raises(SigmaeError, match="trained bound"):
        trained_bound(model, torch.randn(3, VALUES))
