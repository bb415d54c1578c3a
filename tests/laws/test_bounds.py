"""Importance weighted bounds and sticking the landing: special cases, order, and where the gradient vanishes."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sigmae import (
    DiagonalGaussian,
    Gaussian,
    GradientPenalty,
    IncompatibleParts,
    KL,
    Mean,
    MonteCarlo,
    Objective,
    recipes,
    SquaredError,
    SquaredNorm,
)
from sigmae.bounds import ImportanceWeighted, log_ratio, StickingTheLanding
from sigmae.config import make_objective, objective_config
from sigmae.posteriors import FullGaussian
from sigmae.propagations import decode_points

F64 = torch.float64
VALUES, LATENT = 6, 2


def pair(outputs=2 * LATENT):
    encoder = nn.Linear(VALUES, outputs).double()
    decoder = nn.Sequential(nn.Linear(LATENT, 8), nn.Tanh(), nn.Linear(8, VALUES)).double()
    return SimpleNamespace(encoder=encoder, decoder=decoder)


def bound(kind, count, posterior=None):
    return kind(posterior or DiagonalGaussian(), MonteCarlo(count), Gaussian(0.1), KL())


def seeded(objective, model, x):
    torch.manual_seed(3)
    return objective(model, x)


@pytest.mark.parametrize("posterior", [DiagonalGaussian(), FullGaussian()])
def test_one_sample_is_the_sampled_elbo(posterior):
    model, x = pair(posterior.outputs(LATENT)), torch.rand(5, VALUES, dtype=F64)
    single = seeded(bound(ImportanceWeighted, 1, posterior), model, x)
    landing = seeded(bound(StickingTheLanding, 1, posterior), model, x)
    torch.manual_seed(3)
    q = posterior(model.encoder(x))
    decoded = decode_points(model.decoder, q.rsample((1,)))
    elbo = Gaussian(0.1).distortion(decoded.outputs, x).mean() + log_ratio(q, decoded).mean()
    torch.testing.assert_close(single.loss, elbo)
    torch.testing.assert_close(landing.loss, elbo)
    torch.testing.assert_close(single.reconstruction, landing.reconstruction)


def test_the_sampled_divergence_is_the_closed_one_on_average():
    model, x = pair(), torch.rand(5, VALUES, dtype=F64)
    many = bound(StickingTheLanding, 20_000)
    closed = Objective(DiagonalGaussian(), MonteCarlo(1), Gaussian(0.1), KL())
    assert many(model, x).latent.item() == pytest.approx(closed(model, x).latent.item(), abs=0.05)


def test_more_samples_tighten_the_bound():
    model, x = pair(), torch.rand(20, VALUES, dtype=F64)
    with torch.no_grad():
        values = [
            torch.stack([bound(ImportanceWeighted, k)(model, x).loss for _ in range(200)]).mean()
            for k in (1, 2, 5, 20, 100)
        ]
    assert values == sorted(values, reverse=True)


def test_many_samples_reach_the_marginal_likelihood_of_a_linear_model():
    model, x = pair(), torch.rand(4, VALUES, dtype=F64)
    model.decoder = nn.Linear(LATENT, VALUES).double()
    covariance = model.decoder.weight @ model.decoder.weight.T + 0.1 * torch.eye(VALUES, dtype=F64)
    exact = -torch.distributions.MultivariateNormal(model.decoder.bias, covariance).log_prob(x).mean()
    assert bound(ImportanceWeighted, 100_000)(model, x).loss.item() == pytest.approx(exact.item(), abs=0.02)


def test_the_gradient_is_the_softmax_weighted_one():
    model, x = pair(), torch.rand(5, VALUES, dtype=F64)
    objective = bound(ImportanceWeighted, 4)
    weights = list(model.decoder.parameters())
    gradients = torch.autograd.grad(seeded(objective, model, x).loss, weights)
    torch.manual_seed(3)
    q = objective.posterior(model.encoder(x))
    decoded = objective.propagation(q, model.decoder)
    minus = Gaussian(0.1).distortion(decoded.outputs, x) + log_ratio(q, decoded)
    surrogate = ((-minus).softmax(0).detach() * minus).sum(0).mean()
    for gradient, expected in zip(gradients, torch.autograd.grad(surrogate, weights), strict=True):
        torch.testing.assert_close(gradient, expected)


def true_posterior_model():
    """A linear decoder without noise axes mixed, and the encoder that gives its exact posterior."""
    decoder = nn.Linear(LATENT, VALUES, bias=False).double()
    with torch.no_grad():
        decoder.weight.copy_(torch.linalg.qr(torch.randn(VALUES, LATENT, dtype=F64))[0])
    variance = 0.1 / (1 + 0.1)
    encoder = nn.Linear(VALUES, 2 * LATENT).double()
    with torch.no_grad():
        encoder.weight[:LATENT] = decoder.weight.T / 1.1
        encoder.weight[LATENT:] = 0
        encoder.bias[:LATENT] = 0
        encoder.bias[LATENT:] = torch.tensor(variance).log()
    return SimpleNamespace(encoder=encoder, decoder=decoder)


def test_the_landing_sticks_at_the_true_posterior():
    model, x = true_posterior_model(), torch.rand(5, VALUES, dtype=F64)
    sticking = bound(StickingTheLanding, 1)
    sampled = bound(ImportanceWeighted, 1)

    def largest(objective):
        gradients = torch.autograd.grad(objective(model, x).loss, list(model.encoder.parameters()))
        return max(gradient.abs().max().item() for gradient in gradients)

    assert largest(sticking) < 1e-6
    assert largest(sampled) > 1e-2


def test_bounds_are_saved_and_ablated():
    objective = recipes.iwae(samples=7)
    assert objective_config(objective)["bound"] == {"type": "ImportanceWeighted"}
    assert isinstance(make_objective(objective_config(objective)), ImportanceWeighted)
    assert isinstance(objective.replace(propagation=MonteCarlo(2)), ImportanceWeighted)
    assert "bound" not in objective_config(recipes.vae())


@pytest.mark.parametrize("kind", [ImportanceWeighted, StickingTheLanding])
@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"propagation": Mean()}, "weighs samples of q: use MonteCarlo"),
        ({"likelihood": SquaredError()}, "needs a density p"),
        ({"likelihood": Gaussian("optimal")}, "needs a density p"),
        ({"latent": SquaredNorm()}, "use KL with weight 1"),
        ({"latent": KL(2.0)}, "use KL with weight 1"),
        ({"decoder": GradientPenalty()}, "use no decoder regularizer"),
    ],
)
def test_what_is_no_bound_is_refused(kind, parts, sentence):
    with pytest.raises(IncompatibleParts, match=sentence):
        bound(kind, 2).replace(**parts)
