"""Every product of parts trains a step, or is refused with its sentence."""

from functools import partial
from itertools import combinations, product
from types import SimpleNamespace

import pytest
import torch

from sigmae import (
    Adversarial,
    Bernoulli,
    Delta,
    DiagonalGaussian,
    FixedGaussian,
    FullGaussian,
    Gaussian,
    GradientPenalty,
    IncompatibleParts,
    IsotropicGaussian,
    KernelDensity,
    KL,
    Linearized,
    Mean,
    MMD,
    MonteCarlo,
    NoRegularizer,
    Objective,
    OutputGradient,
    PlainNorm,
    SigmaPoints,
    SpectralNorm,
    SpectralSum,
    SquaredError,
    SquaredNorm,
    TotalCorrelation,
    Wasserstein2,
    WeightNorm,
)  # fmt: skip
from sigmae.config import make_objective, objective_config
from sigmae.networks import build, NetworkConfig
from sigmae.parts import Sizes

POSTERIORS = [
    Delta,
    lambda: FixedGaussian(0.5),
    IsotropicGaussian,
    lambda: IsotropicGaussian(0.0),
    DiagonalGaussian,
    FullGaussian,
]
PROPAGATIONS = [
    Mean,
    MonteCarlo,
    lambda: MonteCarlo(3),
    SigmaPoints,
    lambda: SigmaPoints(scheme="all", pool="mean"),
    lambda: SigmaPoints(3, "mean-pairs"),
    Linearized,
]
LIKELIHOODS = [SquaredError, Gaussian, Bernoulli, *[
    partial(Gaussian, variance, shape, per)
    for variance in ("learned", "optimal") for shape in ("iso", "diag") for per in ("dataset", "sample")
]]  # fmt: skip
LATENTS = [
    NoRegularizer,
    KL,
    Wasserstein2,
    lambda: Wasserstein2(form="exact"),
    SquaredNorm,
    PlainNorm,
    MMD,
    lambda: MMD(kernel="rbf"),
    TotalCorrelation,
    lambda: TotalCorrelation(estimate="discriminator", hidden=(4,)),
    Adversarial,
    lambda: KernelDensity(5),
]
DECODERS = [
    NoRegularizer,
    WeightNorm,
    GradientPenalty,
    lambda: GradientPenalty(estimate="exact"),
    lambda: GradientPenalty(scale="largest-eigenvalue"),
    OutputGradient,
    lambda: OutputGradient(outputs="plain", scale="largest-variance"),
    SpectralNorm,
    SpectralSum,
]

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


def refusal(posterior, propagation, likelihood, latent, decoder):
    """The sentence with which a product is refused, if it is: the first part that cannot work says so."""
    point = isinstance(posterior, Delta) or repr(posterior) == repr(IsotropicGaussian(0.0))
    if point and not isinstance(propagation, Mean):
        return "but all samples of"
    if getattr(propagation, "pool", "points") == "mean" and not likelihood.reads_means:
        return "are not images alone"
    if isinstance(propagation, Linearized):
        if not isinstance(likelihood, Gaussian):
            return "cannot score the LinearizedPoints"
        if likelihood.variance == "optimal" or likelihood.per == "sample":
            return "adds the decoder's spread to a variance that is known before"
    if point and isinstance(latent, KL | TotalCorrelation):
        return "needs a posterior with a density"
    if point and isinstance(latent, Wasserstein2):
        return "needs a posterior with a spread"
    if point and getattr(decoder, "scale", "none") != "none":
        return "cannot be scaled by the variance"
    return None


def check_product(makers):
    """Train a step of a product, or find it refused with its sentence."""
    parts = [make() for make in makers]
    sentence = refusal(*parts)
    if sentence is not None:
        with pytest.raises(IncompatibleParts, match=sentence):
            Objective(*parts)
        return
    objective = Objective(*parts)
    model = networks(objective)
    if isinstance(objective.latent, KernelDensity):
        objective.latent.codes = torch.randn(5, LATENT)  # what the training loop has it encode
    terms = objective(model, torch.rand(4, *SHAPE))
    terms.loss.backward()
    gradients = [p.grad for p in (*model.encoder.parameters(), *model.decoder.parameters())]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    torch.testing.assert_close(terms.loss, terms.reconstruction + terms.latent + terms.decoder)
    assert repr(make_objective(objective_config(objective))) == repr(objective)


AXES = [POSTERIORS, PROPAGATIONS, LIKELIHOODS, LATENTS, DECODERS]
PLAIN = [DiagonalGaussian, MonteCarlo, Gaussian, KL, NoRegularizer]


@pytest.mark.parametrize("axes", list(combinations(range(5), 2)))
def test_every_pair_of_parts_trains_a_step_or_is_refused(axes):
    for pair in product(*(AXES[axis] for axis in axes)):
        makers = list(PLAIN)
        for axis, make in zip(axes, pair, strict=True):
            makers[axis] = make
        check_product(makers)


@pytest.mark.slow
@pytest.mark.parametrize("posterior", range(len(POSTERIORS)))
def test_every_product_trains_a_step_or_is_refused(posterior):
    for makers in product(POSTERIORS[posterior : posterior + 1], *AXES[1:]):
        check_product(makers)


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
