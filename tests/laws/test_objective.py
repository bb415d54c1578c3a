"""Every product of parts trains a step, or is refused with its sentence."""

from itertools import product
from types import SimpleNamespace

import pytest
import torch

from sigmae import (
    Bernoulli,
    Delta,
    DiagonalGaussian,
    FixedGaussian,
    Gaussian,
    GradientPenalty,
    IncompatibleParts,
    KL,
    Mean,
    MMD,
    MonteCarlo,
    NoRegularizer,
    Objective,
    SpectralNorm,
    SquaredError,
    SquaredNorm,
    WeightNorm,
)  # fmt: skip
from sigmae.config import make_objective, objective_config
from sigmae.networks import build, NetworkConfig
from sigmae.parts import Sizes

POSTERIORS = [Delta, lambda: FixedGaussian(0.5), DiagonalGaussian]
PROPAGATIONS = [Mean, MonteCarlo, lambda: MonteCarlo(3)]
LIKELIHOODS = [SquaredError, Gaussian, Bernoulli]
LATENTS = [NoRegularizer, KL, SquaredNorm, MMD, lambda: MMD(kernel="rbf")]
DECODERS = [NoRegularizer, WeightNorm, GradientPenalty, lambda: GradientPenalty(estimate="exact"), SpectralNorm]

SHAPE, LATENT = (1, 6, 6), 3


def networks(objective):
    encoder, decoder = build(
        NetworkConfig("mlp", "linear", {"hidden": (8,)}),
        shape=SHAPE,
        latent_dim=LATENT,
        encoder_outputs=objective.posterior.outputs(LATENT),
        decoder_shape=objective.likelihood.decoder_shape(SHAPE),
    )
    model = SimpleNamespace(encoder=encoder, decoder=decoder)
    objective.prepare(model, Sizes(SHAPE, LATENT))
    return model


def refusal(posterior, propagation, latent):
    if isinstance(posterior, Delta) and isinstance(propagation, MonteCarlo):
        return "MonteCarlo draws samples"
    if isinstance(posterior, Delta) and isinstance(latent, KL):
        return "KL needs a posterior with a density"
    return None


@pytest.mark.parametrize("parts", list(product(POSTERIORS, PROPAGATIONS, LIKELIHOODS, LATENTS, DECODERS)))
def test_every_product_trains_a_step_or_is_refused(parts):
    posterior, propagation, likelihood, latent, decoder = (make() for make in parts)
    sentence = refusal(posterior, propagation, latent)
    if sentence is not None:
        with pytest.raises(IncompatibleParts, match=sentence):
            Objective(posterior, propagation, likelihood, latent, decoder)
        return
    objective = Objective(posterior, propagation, likelihood, latent, decoder)
    model = networks(objective)
    terms = objective(model, torch.rand(4, *SHAPE))
    terms.loss.backward()
    gradients = [p.grad for p in (*model.encoder.parameters(), *model.decoder.parameters())]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    torch.testing.assert_close(terms.loss, terms.reconstruction + terms.latent + terms.decoder)
    assert repr(make_objective(objective_config(objective))) == repr(objective)


def test_an_ablation_exchanges_one_part():
    objective = Objective(DiagonalGaussian(), MonteCarlo(), SquaredError(), KL())
    ablation = objective.replace(latent=SquaredNorm(0.1))
    assert isinstance(objective.latent, KL)
    assert isinstance(ablation.latent, SquaredNorm)
    assert ablation.posterior is objective.posterior
    with pytest.raises(IncompatibleParts):
        objective.replace(posterior=Delta())


def test_more_samples_estimate_the_same_loss_with_less_noise():
    single = Objective(DiagonalGaussian(), MonteCarlo(1), SquaredError(), KL())
    many = single.replace(propagation=MonteCarlo(16))
    model, x = networks(single), torch.rand(32, *SHAPE)
    with torch.no_grad():
        ones = torch.tensor([single(model, x).loss for _ in range(300)])
        manys = torch.tensor([many(model, x).loss for _ in range(300)])
    assert abs(ones.mean() - manys.mean()) < 5 * ones.std() / 300**0.5
    assert manys.std() < 0.5 * ones.std()


def test_mean_equals_monte_carlo_in_the_limit_of_no_spread():
    narrow = Objective(FixedGaussian(1e-6), MonteCarlo(), SquaredError())
    point = narrow.replace(propagation=Mean())
    model, x = networks(narrow), torch.rand(8, *SHAPE)
    torch.testing.assert_close(narrow(model, x).loss, point(model, x).loss, rtol=1e-4, atol=1e-4)
