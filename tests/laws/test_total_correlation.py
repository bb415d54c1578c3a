"""Total correlation: its closed form for Gaussians, the published estimators, and what a discriminator makes of it."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.distributions import Categorical, kl_divergence, MixtureSameFamily, MultivariateNormal, Normal

from sigmae import DecodedPoints, Delta, IncompatibleParts, Mean, Objective, SigmaeError, SquaredError
from sigmae.latent_regularizers import kl_to_prior
from sigmae.parts import Sizes
from sigmae.posteriors import diagonal_gaussian, DiagonalGaussian, FixedGaussian, full_gaussian
from sigmae.total_correlation import (
    decomposition,
    minibatch_log_densities,
    permuted,
    total_correlation,
    TotalCorrelation,
)
from sigmae.training import make_fabric
from sigmae.training.opponents import Opponent

F64 = torch.float64
NETWORKS = SimpleNamespace(encoder=torch.nn.Identity(), decoder=torch.nn.Identity())


def nothing(q):
    """Points that nobody looks at."""
    return DecodedPoints(q.mean[None], q.mean[None])


def diagonal(batch=7, latent=3):
    return diagonal_gaussian(torch.randn(batch, latent, dtype=F64), torch.rand(batch, latent, dtype=F64) + 0.3)


def full(batch=7, latent=3):
    factor = torch.randn(batch, latent, latent, dtype=F64).tril(-1)
    return full_gaussian(
        torch.randn(batch, latent, dtype=F64), factor + torch.diag_embed(torch.rand(batch, latent, dtype=F64) + 0.3)
    )


def correlated(batch, correlation, dtype=F64):
    """Posteriors of variance 1 whose aggregate is N(0, 4 R), with R of that correlation, and its TC, -1/2 ln det R."""
    covariance = torch.tensor([[3, 4 * correlation], [4 * correlation, 3]], dtype=dtype)
    mean = torch.randn(batch, 2, dtype=dtype) @ torch.linalg.cholesky(covariance).T
    return diagonal_gaussian(mean, torch.ones_like(mean)), -0.5 * math.log(1 - correlation**2)


@pytest.mark.parametrize("family", [diagonal, full])
def test_the_densities_are_those_of_the_batch_s_mixture(family):
    q = family()
    z = torch.randn(5, 3, dtype=F64)
    weights = Categorical(torch.ones(7, dtype=F64))
    covariance = q.covariance_matrix if family is full else torch.diag_embed(q.variance)
    joint, marginals = minibatch_log_densities(q, z)
    torch.testing.assert_close(joint, MixtureSameFamily(weights, MultivariateNormal(q.mean, covariance)).log_prob(z))
    for index in range(3):
        marginal = MixtureSameFamily(weights, Normal(q.mean[:, index], covariance[:, index, index].sqrt()))
        torch.testing.assert_close(marginals[:, index], marginal.log_prob(z[:, index]))


@pytest.mark.parametrize("correlation", [0.0, 0.3, -0.7])
def test_a_large_batch_gives_the_closed_form_of_gaussians(correlation):
    q, exact = correlated(1500, correlation)
    assert total_correlation(q, q.rsample()).item() == pytest.approx(exact, abs=0.04)


def test_a_small_batch_gives_too_much_up_to_its_bound():
    q, exact = correlated(10, 0.0)
    assert total_correlation(q, q.mean) > exact + 0.05
    apart = diagonal_gaussian(torch.arange(8, dtype=F64)[:, None].expand(8, 4), torch.full((8, 4), 1e-3, dtype=F64))
    assert total_correlation(apart, apart.rsample()).item() == pytest.approx(3 * math.log(8))


def test_the_published_weights_shift_it_by_a_constant():
    """log_importance_weight of the original: 1 / (B N) inside every logarithm."""
    mean = torch.randn(6, 4, dtype=F64, requires_grad=True)
    q = diagonal_gaussian(mean, torch.full((6, 4), 0.5, dtype=F64))
    z = q.rsample()
    pairs = Normal(mean, 0.5).log_prob(z[:, None])
    published = (pairs.sum(2).logsumexp(1) - math.log(6 * 60000)) - (pairs.logsumexp(1) - math.log(6 * 60000)).sum(1)
    ours = total_correlation(q, z)
    torch.testing.assert_close(published.mean() - ours, torch.tensor(3 * math.log(60000), dtype=F64))
    expected = torch.autograd.grad(published.mean(), mean, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(ours, mean), expected)


@pytest.mark.parametrize("family", [diagonal, full])
def test_three_terms_add_up_to_the_sampled_divergence(family):
    q = family()
    z = q.rsample()
    prior = diagonal_gaussian(torch.zeros_like(z), torch.ones_like(z))
    torch.testing.assert_close(sum(decomposition(q, z)), (q.log_prob(z) - prior.log_prob(z)).mean())


def test_mutual_information_and_dimension_wise_divergence_are_those_of_gaussians():
    q, exact = correlated(1500, 0.6)
    terms = decomposition(q, q.rsample())
    covariance = torch.tensor([[4, 2.4], [2.4, 4]], dtype=F64)
    marginal = kl_divergence(Normal(0.0, 2.0), Normal(0.0, 1.0)).item()
    assert terms.mutual_information.item() == pytest.approx(0.5 * covariance.logdet().item(), abs=0.05)
    assert terms.total_correlation.item() == pytest.approx(exact, abs=0.04)
    assert terms.dimension_wise.item() == pytest.approx(2 * marginal, abs=0.2)


@pytest.mark.parametrize("family", [diagonal, full])
def test_both_published_forms_have_the_same_expected_gradient(family):
    mean = family().mean.requires_grad_()
    q = diagonal_gaussian(mean, torch.full_like(mean, 0.6)) if family is diagonal else full(7)
    q = q if family is diagonal else full_gaussian(mean, q.scale_tril)

    def gradient(estimate, seed):
        torch.manual_seed(seed)  # the same sample for both forms, so that their difference has little noise
        return torch.autograd.grad(TotalCorrelation(3.0, estimate)(q, nothing(q)), mean)[0]

    difference = torch.stack([gradient("analytic", seed) - gradient("decomposed", seed) for seed in range(200)])
    error = difference.std(0) / 200**0.5
    assert 0 < error.max() < 0.04
    assert (difference.mean(0).abs() < 4 * error).all()


def test_weight_zero_is_the_divergence_and_one_sample_is_as_documented():
    q = diagonal()
    torch.testing.assert_close(TotalCorrelation(0.0)(q, nothing(q)), kl_to_prior(q).mean())
    torch.manual_seed(4)
    term = TotalCorrelation(2.5)(q, nothing(q))
    torch.manual_seed(4)
    torch.testing.assert_close(term, kl_to_prior(q).mean() + 2.5 * total_correlation(q, q.rsample()))


def test_narrow_posteriors_of_sixteen_bits_are_told_apart():
    mean = torch.linspace(2, 2.1, 8)[:, None].expand(8, 3)
    wide, narrow = (diagonal_gaussian(mean.to(kind), torch.full((8, 3), 1e-3)) for kind in (F64, torch.bfloat16))
    term = TotalCorrelation(1.0, "decomposed")
    assert term(narrow, nothing(narrow)).dtype is torch.float32
    assert term(narrow, nothing(narrow)).item() == pytest.approx(term(wide, nothing(wide)).item(), rel=0.2)


def test_permuted_codes_keep_their_marginals_and_lose_their_dependence():
    z = torch.randn(4000, 1, dtype=F64).expand(4000, 3) * torch.tensor([1.0, 2.0, 3.0])
    shuffled = permuted(z)
    torch.testing.assert_close(shuffled.sort(0).values, z.sort(0).values, rtol=0, atol=0)
    assert torch.corrcoef(z.T).min() > 0.999
    assert (torch.corrcoef(shuffled.T) - torch.eye(3)).abs().max() < 0.06


def prepared(**options):
    term = TotalCorrelation(estimate="discriminator", **options)
    term.prepare(NETWORKS, Sizes((1, 4, 4), 2))
    return term


def test_the_discriminator_is_that_of_the_paper():
    term = prepared()
    linear = [layer for layer in term.opponent() if isinstance(layer, torch.nn.Linear)]
    assert [layer.out_features for layer in linear] == [1000] * 6 + [2]
    assert {layer.negative_slope for layer in term.opponent() if isinstance(layer, torch.nn.LeakyReLU)} == {0.2}
    network = term.opponent()
    term.prepare(NETWORKS, Sizes((1, 4, 4), 2))
    assert term.opponent() is network
    assert TotalCorrelation().opponent() is None


def test_a_blind_discriminator_sees_no_correlation_and_has_the_loss_ln_2():
    term = prepared(hidden=(5,))
    for weight in term.opponent().parameters():
        weight.zero_()
    q, _ = correlated(50, 0.7, torch.float32)
    assert term.measure(q, nothing(q)).item() == 0
    assert term.opponent_loss().item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_a_trained_discriminator_knows_the_total_correlation(correlation):
    term = prepared(hidden=(32, 32))
    opponent, fabric = Opponent(term, term.opponent()), make_fabric(device="cpu")
    for step in range(250):
        q, exact = correlated(500, correlation, torch.float32)
        term.measure(q, nothing(q))
        opponent.step(5e-3 if step < 120 else 1e-3, fabric)
    q, _ = correlated(20000, correlation, torch.float32)
    assert term.measure(q, nothing(q)).item() == pytest.approx(exact, abs=0.08)


def test_neither_step_reaches_the_other_s_weights():
    term, encoder = prepared(hidden=(6,)), torch.nn.Linear(3, 4)
    q = DiagonalGaussian()(encoder(torch.randn(10, 3)))
    (term(q, nothing(q)) - kl_to_prior(q).mean()).backward()
    assert all(weight.grad is None for weight in term.parameters())
    assert all(weight.grad.abs().sum() > 0 for weight in encoder.parameters())
    encoder.zero_grad()
    loss = term.opponent_loss()
    assert not loss.requires_grad
    before = [weight.clone() for weight in term.parameters()]
    Opponent(term, term.opponent()).step(0.01, make_fabric(device="cpu"))
    assert all(weight.grad is None for weight in encoder.parameters())
    assert not any(torch.equal(old, new) for old, new in zip(before, term.parameters(), strict=True))


def test_what_cannot_be_is_told():
    with pytest.raises(SigmaeError, match="Did you mean 'analytic'"):
        TotalCorrelation(estimate="analytical")
    with pytest.raises(IncompatibleParts, match="TotalCorrelation needs a posterior with a density, got Delta"):
        Objective(Delta(), Mean(), SquaredError(), TotalCorrelation())
    with pytest.raises(SigmaeError, match="relative_lr times the model's rate, above 0; got 0"):
        TotalCorrelation(relative_lr=0.0)
    with pytest.raises(SigmaeError, match="hidden must be 1 or more"):
        prepared(hidden=(8, 0))
    with pytest.raises(SigmaeError, match="has to know the sizes of the model"):
        TotalCorrelation(estimate="discriminator").prepare(NETWORKS, None)
    assert TotalCorrelation().matches_prior(DiagonalGaussian())
    assert not TotalCorrelation().matches_prior(FixedGaussian())
