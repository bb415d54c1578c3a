"""A linear VAE and the sampling-free objective with a linear decoder against probabilistic PCA."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sigmae import DiagonalGaussian, Gaussian, KL, Objective
from sigmae.parts import Sizes
from sigmae.posteriors import FullGaussian
from sigmae.propagations import Linearized, SigmaPoints

F64 = torch.float64
VALUES, LATENT, COUNT = 6, 2, 400


@pytest.fixture(scope="module")
def data():
    torch.manual_seed(5)
    factors = torch.randn(COUNT, LATENT, dtype=F64) * torch.tensor([2.0, 1.0], dtype=F64)
    mixing = torch.linalg.qr(torch.randn(VALUES, VALUES, dtype=F64))[0]
    return factors @ mixing[:LATENT] + 0.3 * torch.randn(COUNT, VALUES, dtype=F64) + 0.5


def principal(data):
    """Eigenvalues, largest first, their axes, and the variance that probabilistic PCA leaves to the noise."""
    values, axes = torch.linalg.eigh(torch.cov(data.T, correction=0))
    values, axes = values.flip(0), axes.flip(1)
    return values, axes, values[LATENT:].mean()


def log_likelihood(data):
    """The mean log-likelihood of probabilistic PCA at its optimum (Tipping and Bishop, 1999)."""
    values, _, noise = principal(data)
    logdet = values[:LATENT].log().sum() + (VALUES - LATENT) * noise.log()
    return -0.5 * (VALUES * math.log(2 * math.pi) + logdet + VALUES)


def optimised(objective, data, steps):
    encoder = nn.Linear(VALUES, objective.posterior.outputs(LATENT)).double()
    model = SimpleNamespace(encoder=encoder, decoder=nn.Linear(LATENT, VALUES).double())
    objective.prepare(model, Sizes((VALUES,), LATENT))
    objective.double()
    weights = [*encoder.parameters(), *model.decoder.parameters(), *objective.parameters()]
    optimizer = torch.optim.LBFGS(weights, max_iter=steps, history_size=50, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = objective(model, data).loss
        loss.backward()
        return loss

    optimizer.step(closure)
    return model, objective(model, data).loss.item()


def same_plane(weight, axes):
    """The cosine of the largest angle between two planes."""
    return torch.linalg.svdvals(torch.linalg.qr(weight)[0].T @ axes[:, :LATENT]).min().item()


@pytest.mark.parametrize("posterior", [DiagonalGaussian, FullGaussian])
def test_the_linear_vae_reaches_probabilistic_pca(data, posterior):
    """All sigma points make the expectation of a linear decoder exact, so the optimum can be compared to digits."""
    objective = Objective(posterior(), SigmaPoints(scheme="all"), Gaussian("learned"), KL())
    model, loss = optimised(objective, data, 800)
    _, axes, noise = principal(data)
    assert loss == pytest.approx(-log_likelihood(data).item(), abs=1e-4)
    assert objective.likelihood.data_variance.item() == pytest.approx(noise.item(), rel=1e-3)
    assert same_plane(model.decoder.weight.detach(), axes) == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(model.decoder.bias.detach(), data.mean(0), atol=1e-3, rtol=0)


def test_the_closed_form_variance_reaches_it_too(data):
    objective = Objective(DiagonalGaussian(), SigmaPoints(scheme="all"), Gaussian("optimal"), KL())
    model, loss = optimised(objective, data, 800)
    assert loss == pytest.approx(-log_likelihood(data).item(), abs=1e-4)
    with torch.no_grad():
        for _ in range(1000):  # the running estimate forgets the first steps
            objective(model, data)
    assert objective.likelihood.data_variance.item() == pytest.approx(principal(data)[2].item(), rel=1e-3)


def test_the_sampling_free_objective_with_a_linear_decoder_finds_the_principal_plane(data):
    """Its value is no bound: it may lie above the log-likelihood. The plane of the decoder is that of PCA."""
    noise = principal(data)[2].item()
    model, loss = optimised(Objective(DiagonalGaussian(), Linearized(1.0), Gaussian(noise), KL()), data, 800)
    assert same_plane(model.decoder.weight.detach(), principal(data)[1]) == pytest.approx(1, abs=1e-4)
    assert loss <= -log_likelihood(data).item() + 1e-4
