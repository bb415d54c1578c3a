"""The aggregate posterior: known answers, laws, and direct sums as references."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, kl_divergence, MultivariateNormal, Normal

from sigmae import bandwidth, SigmaeError
from sigmae.bandwidth import optimal_bandwidth
from sigmae.metrics.aggregate import gaussian_divergence, holes, mutual_information, whitened_entropy

# The same sums in another order.
ROUNDING = 1e-9
# Ten thousand draws, another generator than the reference's: three standard deviations over seeds.
FLOORED_SPREAD, UNFLOORED_SPREAD = 0.06, {16: 0.06, 64: 0.5, 128: 0.9}
# h of the aggregate VAE's Table II, and what its estimator gives N(0, I) with the floor and without.
NORMAL_ENTROPIES = {16: (0.584, 8.80, 9.35), 64: (0.714, 32.37, 50.91), 128: (0.746, 56.12, 116.97)}


def normal(count: int, latent: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, latent, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exactly(mean: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Points with exactly these two moments."""
    points = normal(200, len(mean))
    points = points - points.mean(0)
    points = torch.linalg.solve_triangular(torch.linalg.cholesky(points.T.cov()), points.T, upper=False)
    return mean + (torch.linalg.cholesky(covariance) @ points).T


def clusters(count: int, seed: int) -> torch.Tensor:
    """Four narrow clusters in the plane, with the mean and variances of N(0, I)."""
    draw = torch.Generator().manual_seed(seed)
    signs = torch.randint(2, (count, 2), generator=draw) * 2.0 - 1
    return (0.99**0.5 * signs + 0.1 * torch.randn(count, 2, generator=draw)).double()


@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_divergence_is_that_of_the_gaussian_with_the_codes_moments(scale):
    mean, factor = torch.tensor([0.3, -1.0, 2.0]).double(), torch.randn(3, 3).double()
    covariance = factor @ factor.T + 0.1 * torch.eye(3)
    expected = kl_divergence(
        MultivariateNormal(mean, covariance),
        MultivariateNormal(torch.zeros(3).double(), scale**2 * torch.eye(3).double()),
    )
    divergence = gaussian_divergence(exactly(mean, covariance), scale=scale)
    assert divergence == pytest.approx(float(expected), rel=ROUNDING)
    assert gaussian_divergence(exactly(mean, covariance) / scale) == pytest.approx(divergence, rel=ROUNDING)


@pytest.mark.parametrize(("h", "latent", "expected"), [(0.584, 16, 0.61), (0.714, 64, 6.50), (0.746, 128, 16.41)])
def test_divergence_of_the_codes_that_a_kernel_density_asks_for(h, latent, expected):
    codes = exactly(torch.zeros(latent).double(), (1 - h**2) * torch.eye(latent).double())
    assert gaussian_divergence(codes) == pytest.approx(expected, abs=0.02)
    assert gaussian_divergence(codes, scale=math.sqrt(1 - h**2)) == pytest.approx(0, abs=ROUNDING)


def test_divergence_of_normal_draws_is_their_number_s_bias():
    mean = np.mean([gaussian_divergence(normal(2000, 20, seed).float()) for seed in range(20)])
    assert mean == pytest.approx(20 * 23 / (4 * 2000), rel=0.05)


@pytest.mark.promise(
    "Numbers that go wrong",
    "Every metric of codes and features is a finite number or refused, wherever these lie: equal, on a line, far.",
)
def test_codes_without_a_density_are_refused():
    flat = normal(50, 3)
    flat[:, 2] = flat[:, 0] + flat[:, 1]
    for codes in (flat, flat.float(), normal(3, 3), torch.ones(9, 3)):
        for function in (gaussian_divergence, whitened_entropy):
            with pytest.raises(SigmaeError, match=r"vary along [02] of 3 directions"):
                function(codes)


@pytest.mark.promise(
    "Numbers that go wrong",
    "Every metric of codes and features is a finite number or refused, wherever these lie: equal, on a line, far.",
)
@pytest.mark.parametrize(
    "function",
    [
        gaussian_divergence,
        whitened_entropy,
        lambda z: mutual_information(z, 1.0),
        lambda z: holes(z, held_out=z, samples=z),
    ],
)
def test_codes_that_are_not_finite_or_too_few_are_refused(function):
    codes = normal(20, 2)
    codes[3, 1], codes[5, 0] = math.nan, math.inf
    with pytest.raises(SigmaeError, match="2 of 20 codes hold NaN or infinity"):
        function(codes)
    with pytest.raises(SigmaeError, match=r"needs two or more codes .* got \[1, 2\]"):
        function(codes[:1])


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_a_prior_without_a_width_is_refused(scale):
    with pytest.raises(SigmaeError, match="scale of a prior"):
        gaussian_divergence(normal(9, 2), scale=scale)


@pytest.mark.slow
@pytest.mark.parametrize("latent", [16, 64, 128])
def test_entropies_of_normal_draws(latent):
    h, floored, unfloored = NORMAL_ENTROPIES[latent]
    entropy = whitened_entropy(normal(10_000, latent), bandwidth=h)
    assert entropy.floored == pytest.approx(floored, abs=FLOORED_SPREAD)
    assert entropy.leave_one_out == pytest.approx(unfloored, abs=UNFLOORED_SPREAD[latent])
    assert entropy.normal == latent / 2
    assert (entropy.ceiling - entropy.floored < FLOORED_SPREAD) == (latent > 16)


def test_entropies_are_the_sums_in_their_docstring():
    from scipy.linalg import sqrtm
    from scipy.special import digamma, gammaln
    from scipy.stats import chi2

    codes, h = (normal(60, 3).exp() + 1).numpy(), 0.5
    count = len(codes)

    def kernels(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        distances = np.linalg.norm(points[:, None] - points, axis=2) + np.diag(np.full(count, np.inf))
        return np.exp(-(distances**2) / (2 * h**2)).sum(1) / (count - 1) / h**3, distances.min(1)

    by_authors = codes @ np.linalg.inv(np.real(sqrtm(codes.T @ codes / (count - 1) + 1e-4 * np.eye(3))))
    exact = (codes - codes.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(codes.T))).T
    eps = np.exp(-chi2.ppf(1 - 5e-4, 3) / 2) / h**3
    ball = 1.5 * np.log(np.pi) - gammaln(2.5) - 1.5 * np.log(2 * np.pi)
    nearest = digamma(count) - digamma(1) + ball + 3 * np.log(kernels(exact)[1]).mean()
    entropy = whitened_entropy(torch.from_numpy(codes), bandwidth=h)
    assert entropy.floored == pytest.approx(-np.log(kernels(by_authors)[0] + eps).mean(), rel=1e-7)
    assert entropy.leave_one_out == pytest.approx(-np.log(kernels(exact)[0]).mean(), rel=1e-7)
    assert entropy.nearest_neighbour == pytest.approx(nearest, rel=1e-7)
    assert entropy.ceiling == pytest.approx(-np.log(eps), rel=ROUNDING)


def test_entropies_beyond_the_second_moment_do_not_see_it():
    codes, turn = clusters(500, seed=1), torch.tensor([[2.0, 0.3], [-4.0, 5.0]]).double()
    plain, moved = (whitened_entropy(z, bandwidth=0.3) for z in (codes, codes @ turn + 30))
    assert moved.leave_one_out == pytest.approx(plain.leave_one_out, rel=1e-7)
    assert moved.nearest_neighbour == pytest.approx(plain.nearest_neighbour, rel=1e-7)
    assert moved.floored < plain.floored - 0.3  # the authors' whitening is not centred


def test_clusters_have_less_entropy_than_a_gaussian_of_their_covariance():
    codes = clusters(2000, seed=1)
    assert gaussian_divergence(codes) < 0.01
    found, gaussian = (whitened_entropy(z, bandwidth=0.2) for z in (codes, normal(2000, 2)))
    for name in ("floored", "leave_one_out", "nearest_neighbour"):
        assert getattr(found, name) < getattr(gaussian, name) - 0.5
    # a mixture of four: the entropy of one, and ln 4 for which one
    assert found.nearest_neighbour == pytest.approx(1 + 2 * math.log(0.1) + math.log(4), abs=0.1)
    assert gaussian.nearest_neighbour == pytest.approx(gaussian.normal, abs=0.1)


@pytest.mark.promise(
    "Numbers that go wrong",
    "Every metric of codes and features is a finite number or refused, wherever these lie: equal, on a line, far.",
)
def test_equal_codes_leave_the_entropy_finite():
    codes = normal(300, 2)
    doubled = torch.cat([codes, codes])
    entropy = whitened_entropy(doubled, bandwidth=0.5)
    assert entropy.nearest_neighbour == pytest.approx(whitened_entropy(codes, bandwidth=0.5).nearest_neighbour)


def test_the_bandwidth_is_that_of_training_with_as_many_codes(monkeypatch):
    monkeypatch.setattr(bandwidth, "PAIRS", 100_000)
    optimal_bandwidth.cache_clear()
    h_opt = optimal_bandwidth(3, 80)
    codes = normal(80, 3)
    assert whitened_entropy(codes) == whitened_entropy(codes, bandwidth=h_opt / math.sqrt(1 + h_opt**2))
    optimal_bandwidth.cache_clear()
    with pytest.raises(SigmaeError, match="bandwidth is above 0"):
        whitened_entropy(codes, bandwidth=0.0)


@pytest.mark.parametrize(("latent", "variance"), [(1, 1.0), (2, 0.3)])
def test_mutual_information_of_a_gaussian_channel(latent, variance):
    information = latent / 2 * math.log(1 + 1 / variance)
    found = np.mean([mutual_information(normal(1000, latent, seed), variance, seed=seed) for seed in range(10)])
    assert found == pytest.approx(information, abs=0.04)


def test_mutual_information_is_a_bound_from_above_however_few_the_examples():
    information = 0.5 * math.log(2) * 4
    found = [mutual_information(normal(10, 4, seed), 1.0, seed=seed) for seed in range(200)]
    assert np.mean(found) > information + 0.2


def test_mutual_information_leaves_the_example_itself_out():
    codes = 100.0 * torch.arange(50).double()[:, None]
    # Nearest neighbours at 100 standard deviations: about 100² / 2, where with itself ln 50 would be the most.
    assert mutual_information(codes, 1.0) == pytest.approx(5000, rel=0.05)


def test_mutual_information_is_the_mean_log_ratio_of_densities():
    mean, deviation = 3 * torch.randn(7, 2).double() + 40, torch.rand(7, 2).double() + 0.5
    q = Independent(Normal(mean, deviation), 1)
    bounds = []
    for seed in range(400):
        z = q.sample() if seed else q.mean
        others = q.log_prob(z.unsqueeze(1)).fill_diagonal_(-math.inf).logsumexp(1) - math.log(6)
        bounds.append(float((-q.entropy() - others).mean()))
    found = [mutual_information(mean, deviation**2, seed=seed) for seed in range(400)]
    spread = 4 * (np.var(bounds) / 400 + np.var(found) / 400) ** 0.5
    assert np.mean(found) == pytest.approx(np.mean(bounds), abs=spread)
    assert spread < 0.5


def test_mutual_information_takes_one_variance_for_all():
    mean = torch.randn(40, 3)
    apart = mutual_information(mean, torch.full((40, 3), 0.04, dtype=torch.float64), seed=5)
    assert mutual_information(mean, 0.04, seed=5) == pytest.approx(apart, rel=ROUNDING)
    assert mutual_information(torch.zeros(40, 3), 1.0) == pytest.approx(0, abs=0.3)


def test_mutual_information_is_the_same_in_chunks(monkeypatch):
    mean, variance = torch.randn(50, 3), torch.rand(50, 3) + 0.1
    whole, entropy = mutual_information(mean, variance), whitened_entropy(mean, bandwidth=0.5)
    monkeypatch.setattr("sigmae.metrics.aggregate.ELEMENTS", 7 * 50)
    assert mutual_information(mean, variance) == pytest.approx(whole, rel=ROUNDING)
    assert whitened_entropy(mean, bandwidth=0.5).leave_one_out == pytest.approx(entropy.leave_one_out, rel=ROUNDING)


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan])
def test_variances_that_are_none_are_refused(variance):
    with pytest.raises(SigmaeError, match="deterministic encoder"):
        mutual_information(torch.randn(4, 2), variance)


def test_variances_of_another_shape_are_refused():
    with pytest.raises(SigmaeError, match=r"\[4, 2\] means, or one; got \[4, 1\]"):
        as_released(mutual_information)(torch.randn(4, 2), torch.ones(4, 1))


def as_released(function):
    """Without the tests' check of shapes."""
    return getattr(function, "__wrapped__", function)


def test_samples_like_the_codes_find_no_holes():
    found = holes(normal(4000, 5, 1), held_out=normal(2000, 5, 2), samples=normal(2000, 5, 3))
    assert found.outside == pytest.approx(0.05, abs=0.02)
    assert found.farther == pytest.approx(0.5, abs=0.03)
    strict = holes(normal(4000, 5, 1), held_out=normal(2000, 5, 2), samples=normal(2000, 5, 3), quantile=0.99)
    assert strict.outside == pytest.approx(0.01, abs=0.01)
    assert strict.distance > found.distance
    assert strict.farther == found.farther


def test_the_prior_falls_into_the_holes_between_clusters():
    found = holes(clusters(2000, 1), held_out=clusters(500, 2), samples=normal(1000, 2))
    assert found.outside > 0.9
    assert found.farther > 0.9


def test_the_codes_of_a_linear_autoencoder_of_digits_have_holes_that_a_gaussian_does_not_fill():
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA

    pixels = load_digits().data[np.random.RandomState(0).permutation(1797)]
    codes = torch.from_numpy(PCA(8, whiten=True, random_state=0).fit_transform(pixels))
    found = holes(codes[:1400], held_out=codes[1400:], samples=normal(1000, 8))
    assert found.outside > 0.5
    assert found.farther > 0.9
    assert gaussian_divergence(codes) < 0.01


def test_holes_are_counted():
    codes = torch.tensor([[0.0], [10.0]])
    held_out = torch.tensor([[1.0], [12.0], [-3.0], [6.0]])  # at 1, 2, 3 and 4
    samples = torch.tensor([[0.0], [0.0], [12.0], [17.0]])  # at 0, 0, 2 and 7
    found = holes(codes, held_out=held_out, samples=samples, quantile=0.5)
    assert (found.distance, found.outside) == (2.5, 0.25)
    assert found.farther == (0 + 0 + 1.5 + 4) / 16


def test_holes_of_what_cannot_be_compared_are_refused():
    with pytest.raises(SigmaeError, match="2 latents, the held-out ones 3 and the samples 2"):
        as_released(holes)(torch.randn(5, 2), held_out=torch.randn(5, 3), samples=torch.randn(5, 2))
    with pytest.raises(SigmaeError, match="quantile lies between"):
        holes(torch.randn(5, 2), held_out=torch.randn(5, 2), samples=torch.randn(5, 2), quantile=1.0)


@pytest.mark.promise("The same seed", "The generators of torch and numpy that everyone shares are left as they were.")
def test_results_leave_the_global_generator_alone():
    before = torch.random.get_rng_state()
    first, again = (mutual_information(normal(30, 2), 0.5, seed=7) for _ in range(2))
    assert first == again
    assert torch.equal(torch.random.get_rng_state(), before)
