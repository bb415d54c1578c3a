"""Trained models against what theory says they become."""

import pytest
import torch
from torch import nn

import sigmae
from sigmae import Delta, DiagonalGaussian, Gaussian, KL, Mean, MonteCarlo, Objective, SquaredError


def linear_pair(inputs, latent_dim, outputs):
    return nn.Linear(inputs, outputs), nn.Linear(latent_dim, inputs)


def gaussian_data(count=2000, inputs=6):
    draw = torch.Generator().manual_seed(0)
    scales = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.4, 0.3])[:inputs]
    rotation = torch.linalg.qr(torch.randn(inputs, inputs, generator=draw)).Q
    return (torch.randn(count, inputs, generator=draw) * scales) @ rotation


def test_a_linear_autoencoder_reaches_the_principal_subspace():
    x = gaussian_data()
    pair = linear_pair(6, 2, 2)
    model = sigmae.fit(
        x, Objective(Delta(), Mean(), SquaredError()), network=pair, latent_dim=2, epochs=60, batch_size=100, lr=1e-2
    )
    spectrum = torch.linalg.eigvalsh(torch.cov(x.T))
    error = (model.reconstruct(x) - x).square().sum(1).mean()
    assert abs(error - spectrum[:-2].sum()) < 0.05 * spectrum[:-2].sum()


@pytest.mark.slow
def test_a_linear_vae_reaches_the_evidence_of_probabilistic_pca():
    """At the optimum of the ELBO the posterior is exact, so -ELBO is -ln p(x) of PPCA (Lucas et al., 2019)."""
    x, variance = gaussian_data(), 0.3
    pair = linear_pair(6, 2, 4)
    objective = Objective(DiagonalGaussian(), MonteCarlo(8), Gaussian(variance), KL())
    model = sigmae.fit(x, objective, network=pair, latent_dim=2, epochs=80, batch_size=100, lr=1e-2)
    covariance = torch.cov(x.T, correction=0)
    values, vectors = torch.linalg.eigh(covariance)
    loadings = vectors[:, -2:] * (values[-2:] - variance).sqrt()
    evidence = torch.distributions.MultivariateNormal(x.mean(0), loadings @ loadings.T + variance * torch.eye(6))
    with torch.no_grad():
        bound = torch.stack([objective(model, x).loss for _ in range(20)]).mean()
    best = -evidence.log_prob(x).mean()
    assert best - 0.01 < bound < best + 0.05
