"""Full and isotropic Gaussians, sigma points, Wasserstein distances: known values and exact moments."""

import math

import pytest
import torch

from sigmae import DecodedPoints, Delta, IncompatibleParts, KL, Objective, SigmaeError, SquaredError
from sigmae.latent_regularizers import kl_to_prior, spread_difference, Wasserstein2
from sigmae.posteriors import (
    axis_variance,
    detached,
    diagonal_gaussian,
    factor_column,
    factor_columns,
    full_gaussian,
    FullGaussian,
    IsotropicGaussian,
    latent_size,
    PointMass,
    scale_of,
)  # fmt: skip
from sigmae.propagations import Mean, SCHEMES, SigmaPoints

F64 = torch.float64
BATCH, LATENT = 3, 4


def random_factor():
    factor = torch.randn(BATCH, LATENT, LATENT, dtype=F64).tril(-1)
    return factor + torch.diag_embed(torch.rand(BATCH, LATENT, dtype=F64) + 0.3)


def families():
    mean = torch.randn(BATCH, LATENT, dtype=F64)
    scale = torch.rand(BATCH, LATENT, dtype=F64) + 0.2
    return {"diagonal": diagonal_gaussian(mean, scale), "full": full_gaussian(mean, random_factor())}


def covariance(q):
    columns = factor_columns(q)
    return torch.einsum("kbi,kbj->bij", columns, columns)


def moments(part, q, decode=lambda z: z):
    """The mean and covariance of what a propagation decodes."""
    decoded = part(q, decode)
    mean = decoded.average(decoded.outputs)
    centred = decoded.outputs - mean
    return mean, decoded.average(torch.einsum("kbi,kbj->kbij", centred, centred))


@pytest.mark.parametrize("family", ["diagonal", "full"])
def test_factor_columns_make_the_covariance(family):
    q = families()[family]
    dense = torch.stack([torch.diag(v) for v in q.variance]) if family == "diagonal" else q.covariance_matrix
    torch.testing.assert_close(covariance(q), dense)
    axes = torch.tensor([[0, 3, 1], [2, 2, 0]])
    picked = factor_column(q, axes)
    for point, example in ((0, 1), (1, 0), (1, 2)):
        torch.testing.assert_close(picked[point, example], factor_columns(q)[axes[point, example], example])
    if family == "full":
        torch.testing.assert_close(factor_column(q, axes, rows=True)[0, 1], q.scale_tril[1, 3])


@pytest.mark.parametrize("parameterization", ["cholesky", "tanh"])
@pytest.mark.parametrize("latent", [1, 2, 5, 128])
def test_the_full_gaussian_reads_every_number_once(parameterization, latent):
    part = FullGaussian(parameterization)
    outputs = 0.1 * torch.randn(2, part.outputs(latent), dtype=F64)
    outputs.requires_grad_()
    q = part(outputs)
    assert latent_size(part.outputs(latent)) == q.mean.shape[1] == latent
    assert (q.scale_tril.diagonal(dim1=1, dim2=2) > 0).all()
    assert (q.scale_tril.triu(1) == 0).all()
    (q.mean.sum() + (q.scale_tril * torch.randn_like(q.scale_tril)).sum()).backward()
    assert (outputs.grad != 0).all()


def test_the_authors_factor():
    outputs = torch.tensor([[0.0, 0.0, 2 * math.log(2), 2 * math.log(3), 0.5]], dtype=F64)
    expected = [[[2 + 1e-6, 0], [math.tanh(0.5) * 6, 3 + 1e-6]]]
    torch.testing.assert_close(FullGaussian("tanh")(outputs).scale_tril, torch.tensor(expected, dtype=F64))
    assert FullGaussian()(outputs).scale_tril[0, 1, 0] == 0.5


def test_the_isotropic_gaussian_is_learned_fixed_or_a_point():
    outputs = torch.randn(5, 3)
    learned = IsotropicGaussian()
    assert [name for name, _ in learned.named_parameters()] == ["log_variance"]
    torch.testing.assert_close(learned(outputs).variance, torch.ones(5, 3))
    kl_to_prior(learned(outputs)).sum().backward()
    assert learned.log_variance.grad == 0  # a variance of one is the optimum of the divergence
    torch.testing.assert_close(IsotropicGaussian(0.25)(outputs).variance, torch.full((5, 3), 0.25))
    assert isinstance(IsotropicGaussian(0.0)(outputs), PointMass)
    assert [IsotropicGaussian(v).has_density for v in ("learned", 0.25, 0.0)] == [True, True, False]
    with pytest.raises(SigmaeError, match="from 0 to"):
        IsotropicGaussian(-1.0)
    with pytest.raises(SigmaeError, match="Did you mean 'learned'"):
        IsotropicGaussian("learnt")


@pytest.mark.parametrize("family", ["diagonal", "full"])
@pytest.mark.parametrize("kappa", [1e-3, 0.5, 2.0, -1.0])
def test_all_sigma_points_have_the_mean_and_covariance_of_q(family, kappa):
    q = families()[family]
    mean, spread = moments(SigmaPoints(scheme="all", kappa=kappa), q)
    torch.testing.assert_close(mean, q.mean)
    torch.testing.assert_close(spread, covariance(q))


@pytest.mark.parametrize("family", ["diagonal", "full"])
def test_sigma_points_are_exact_for_a_linear_decoder(family):
    q, matrix = families()[family], torch.randn(7, LATENT, dtype=F64)
    mean, spread = moments(SigmaPoints(scheme="all"), q, lambda z: z @ matrix.T + 1)
    torch.testing.assert_close(mean, q.mean @ matrix.T + 1)
    torch.testing.assert_close(spread, matrix @ covariance(q) @ matrix.T)


def test_rows_have_the_covariance_of_the_authors_code():
    q = families()["full"]
    _, spread = moments(SigmaPoints(scheme="all", along="rows"), q)
    torch.testing.assert_close(spread, q.scale_tril.mT @ q.scale_tril)


@pytest.mark.parametrize(("kappa", "factor"), [(0.5, 1.0), (1e-3, 2 * (LATENT + 1e-3) / (2 * LATENT + 1))])
def test_picking_among_all_points_has_their_covariance_on_average(kappa, factor):
    q = families()["full"]
    draws = SigmaPoints(40_000, kappa=kappa)(q, lambda z: z).latents - q.mean
    spread = torch.einsum("kbi,kbj->bij", draws, draws) / len(draws)
    torch.testing.assert_close(spread, factor * covariance(q), rtol=0.05, atol=0.05 * covariance(q).max().item())


@pytest.mark.parametrize("scheme", ["pairs", "largest", "smallest", "mean-pairs"])
def test_pairs_lie_opposite_each_other(scheme):
    q = families()["full"]
    centred = SigmaPoints(5 if scheme == "mean-pairs" else 4, scheme)(q, lambda z: z).latents - q.mean
    if scheme == "mean-pairs":
        assert (centred[0] == 0).all()
        centred = centred[1:]
    torch.testing.assert_close(centred[:2], -centred[2:])
    assert (centred[0] != centred[1]).any(-1).all()


def test_the_largest_and_smallest_axes_are_chosen_by_variance():
    q = diagonal_gaussian(torch.zeros(1, 3), torch.tensor([[0.5, 3.0, 1.0]]))
    for scheme, axis in (("largest", 1), ("smallest", 0)):
        points = SigmaPoints(2, scheme)(q, lambda z: z).latents
        assert points[0, 0].nonzero().tolist() == [[axis]]


def test_the_largest_axis_of_a_full_factor_is_a_column():
    """The second column is the longest, though the last latent has the largest variance."""
    factor = torch.tensor([[[2.0, 0, 0], [0, 1.0, 0], [0, 1.9, 1.5]]], dtype=F64)
    q = full_gaussian(torch.zeros(1, 3, dtype=F64), factor)
    assert q.variance.argmax() == 2
    torch.testing.assert_close(axis_variance(q), torch.tensor([[4.0, 4.61, 2.25]], dtype=F64))
    largest = SigmaPoints(2, "largest", kappa=0.0)(q, lambda z: z).latents[0, 0]
    torch.testing.assert_close(largest, 3**0.5 * factor[0, :, 1])


def test_gathering_columns_copies_the_factor_once_at_most():
    """The gradient of a column has the size of L, not of 2m + 1 copies of it."""
    q = full_gaussian(torch.randn(2, 32), torch.eye(32).repeat(2, 1, 1).requires_grad_())
    axes = torch.arange(32).unsqueeze(1).expand(-1, 2)
    with torch.profiler.profile(profile_memory=True) as profile:
        factor_column(q, axes).sum().backward()
    assert max(event.self_cpu_memory_usage for event in profile.events()) <= 4 * q.scale_tril.nbytes


def test_one_point_of_each_example_stands_for_a_draw():
    """Antithetic points in order lie on one side of the mean; picked at random they do not."""
    q = diagonal_gaussian(torch.zeros(4000, 2), torch.ones(4000, 2))
    draw = SigmaPoints(2, "pairs", kappa=0.0)(q, lambda z: z).draw
    torch.testing.assert_close(draw.mean(0), torch.zeros(2), atol=0.1, rtol=0)
    torch.testing.assert_close(torch.cov(draw.T), torch.eye(2), atol=0.1, rtol=0)


def test_all_pairs_are_the_covariance_of_q_but_for_kappa():
    q = families()["full"]
    _, spread = moments(SigmaPoints(2 * LATENT, "pairs", kappa=0.0), q)
    torch.testing.assert_close(spread, covariance(q))


def test_the_mean_image_is_scored_where_it_is_asked_for():
    q, x = families()["diagonal"], torch.randn(BATCH, LATENT, dtype=F64)
    each = SquaredError()(SigmaPoints(scheme="all")(q, lambda z: z), x)
    mean = SquaredError()(SigmaPoints(scheme="all", pool="mean")(q, lambda z: z), x)
    torch.testing.assert_close(mean, (q.mean - x).square().sum(1).mean())
    torch.testing.assert_close(each, mean + q.variance.sum(1).mean())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"scheme": "pair"}, "Did you mean 'pairs'"),
        ({"scheme": "pairs", "count": 3}, "needs an even count, got 3"),
        ({"scheme": "mean-pairs", "count": 2}, "needs an odd count of 3 or more, got 2"),
        ({"count": 0}, "one or more points, got count=0"),
        ({"pool": "max"}, "Unknown pool"),
        ({"along": "diagonals"}, "Unknown direction"),
    ],
)
def test_wrong_sigma_points_are_refused(settings, sentence):
    with pytest.raises(SigmaeError, match=sentence):
        SigmaPoints(**settings)


def test_more_pairs_than_axes_are_refused():
    with pytest.raises(SigmaeError, match="There are 4 pairs of sigma points, and count=10 asks for 5"):
        SigmaPoints(10, "pairs")(families()["full"], lambda z: z)
    with pytest.raises(SigmaeError, match="kappa must be above minus the latent size 4, got -4"):
        SigmaPoints(kappa=-4.0)(families()["full"], lambda z: z)
    with pytest.raises(IncompatibleParts, match="spreads points"):
        Objective(Delta(), SigmaPoints(), SquaredError())


def test_every_scheme_is_described():
    assert all(SCHEMES.values())


@pytest.mark.parametrize("family", ["diagonal", "full"])
def test_kl_to_the_prior_is_the_closed_form(family):
    q = families()[family]
    dense = torch.distributions.MultivariateNormal(q.mean, covariance(q))
    prior = torch.distributions.MultivariateNormal(torch.zeros(LATENT, dtype=F64), torch.eye(LATENT, dtype=F64))
    torch.testing.assert_close(kl_to_prior(q), torch.distributions.kl_divergence(dense, prior))


def dense_wasserstein(q):
    """||mu||² + tr(Sigma + I - 2 Sigma^(1/2)) by eigenvalues."""
    roots = torch.linalg.eigvalsh(covariance(q)).clamp_min(0).sqrt()
    return (q.mean.square().sum(1) + (roots - 1).square().sum(1)).mean()


def distance(q, form="bound"):
    return Wasserstein2(form=form)(q, DecodedPoints(q.mean[None], q.mean[None]))


@pytest.mark.parametrize("family", ["diagonal", "full"])
def test_wasserstein_is_exact_by_eigenvalues_and_bounded_from_above(family):
    q = families()[family]
    torch.testing.assert_close(distance(q, "exact"), dense_wasserstein(q))
    assert distance(q) >= distance(q, "exact") - 1e-12
    trace = covariance(q).diagonal(dim1=1, dim2=2).sum(1)
    diagonal = factor_columns(q).diagonal(dim1=0, dim2=2).sum(1)
    torch.testing.assert_close(spread_difference(q).square().sum(1), trace - 2 * diagonal + LATENT)


def test_wasserstein_of_a_diagonal_is_by_standard_deviations():
    q = diagonal_gaussian(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.5]]))
    assert distance(q) == distance(q, "exact") == 5 + 4 + 0.25
    assert distance(q, "norms") == pytest.approx(5**0.5 + 4.25**0.5)


@pytest.mark.parametrize("measure", [distance, lambda q: KL()(q, DecodedPoints(q.mean[None], q.mean[None]))])
def test_divergences_vanish_at_the_prior(measure):
    eye, zeros = torch.eye(LATENT, dtype=F64), torch.zeros(2, LATENT, dtype=F64)
    assert measure(full_gaussian(zeros, eye.expand(2, -1, -1))) == 0
    assert measure(diagonal_gaussian(zeros, zeros + 1)) == 0


def test_wasserstein_refuses_points_and_unknown_forms():
    with pytest.raises(IncompatibleParts, match="use SquaredNorm"):
        Objective(Delta(), Mean(), SquaredError(), Wasserstein2())
    with pytest.raises(SigmaeError, match="Did you mean 'exact'"):
        Wasserstein2(form="exactly")


@pytest.mark.parametrize("family", ["diagonal", "full"])
def test_detached_is_equal_and_without_gradient(family):
    q = families()[family]
    scale_of(q).requires_grad_()
    assert not scale_of(detached(q)).requires_grad
    z = torch.randn(2, BATCH, LATENT, dtype=F64)
    torch.testing.assert_close(detached(q).log_prob(z), q.log_prob(z).detach())
