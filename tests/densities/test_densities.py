import math
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import kstest, multivariate_normal

from sigmae.densities import DENSITIES, density_from_tensors, density_tensors, fit_density, flows, sample
from sigmae.errors import SigmaeError
from sigmae.seeds import derived_seed

CENTERS = torch.tensor([[-6.0, 0.0], [0.0, 5.0], [7.0, -2.0]])
SHARES = torch.tensor([0.2, 0.3, 0.5])


def three_modes(count: int = 3000) -> torch.Tensor:
    """Three narrow Gaussians at `CENTERS`, with `SHARES` of the points, of covariance [[.25, .15], [.15, .34]]."""
    modes = torch.repeat_interleave(torch.arange(3), (SHARES * count).long())
    factor = torch.tensor([[0.5, 0.0], [0.3, 0.5]])
    return CENTERS[modes] + torch.randn(count, 2) @ factor.T


def correlated(count: int = 500) -> torch.Tensor:
    return torch.randn(count, 4) @ torch.randn(4, 4) + torch.tensor([3.0, -1.0, 0.0, 10.0])


NAMES = ["prior", "gaussian", "gmm1", "gmm3", "second-stage1", "flow"]


@pytest.fixture(autouse=True)
def _quick_flows(monkeypatch):
    monkeypatch.setattr(flows, "EPOCHS", 1)


@pytest.mark.parametrize("name", ["prior", "gaussian", "gmm3"])
def test_log_prob_is_that_of_scipy(name):
    z = three_modes().double()
    density = fit_density(name, z)
    tensors = {key: value.numpy() for key, value in density_tensors(density).items()}
    points = z[::100]
    if name == "prior":
        expected = multivariate_normal(np.zeros(2), np.eye(2)).logpdf(points)
    elif name == "gaussian":
        expected = multivariate_normal(z.mean(0).numpy(), np.cov(z.numpy().T)).logpdf(points)
    else:
        covariances = tensors["factor"] @ tensors["factor"].transpose(0, 2, 1)
        parts = zip(tensors["weights"], tensors["mean"], covariances, strict=True)
        expected = np.log(sum(w * multivariate_normal(m, s).pdf(points) for w, m, s in parts))
    np.testing.assert_allclose(density.log_prob(points), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["prior", "gaussian", "gmm1", "gmm3"])
def test_densities_integrate_to_one(name):
    density = fit_density(name, three_modes())
    axis = torch.linspace(-25, 25, 1001)
    grid = torch.cartesian_prod(axis, axis)
    mass = density.log_prob(grid).exp().double().sum() * (axis[1] - axis[0]) ** 2
    assert mass == pytest.approx(1, abs=1e-4)


def test_prior_ignores_the_encodings():
    density = fit_density("prior", correlated())
    assert torch.equal(density.mean, torch.zeros(4))
    assert torch.equal(density.variance, torch.ones(4))


def test_the_scaled_prior_is_the_prior_scaled():
    density = fit_density("scaled-prior", correlated(), prior_scale=0.6)
    assert torch.equal(density.mean, torch.zeros(4))
    torch.testing.assert_close(density.variance, torch.full((4,), 0.36))


def test_a_prior_that_is_not_scaled_is_refused_as_a_scaled_one():
    with pytest.raises(SigmaeError, match=r"Only a method with a kernel density .* use the prior"):
        fit_density("scaled-prior", correlated())


def test_gaussian_has_the_empirical_mean_and_covariance():
    z = correlated()
    density = fit_density("gaussian", z)
    torch.testing.assert_close(density.mean, z.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(density.covariance_matrix, z.T.cov(), rtol=1e-4, atol=1e-5)


def test_one_component_is_the_gaussian():
    z = correlated().double()
    mixture, density = fit_density("gmm1", z), fit_density("gaussian", z)
    covariance = mixture.component_distribution.covariance_matrix[0] * len(z) / (len(z) - 1)
    torch.testing.assert_close(mixture.mean, density.mean)
    torch.testing.assert_close(covariance, density.covariance_matrix, rtol=1e-4, atol=1e-4)


def test_mixture_recovers_three_modes():
    tensors = density_tensors(fit_density("gmm3", three_modes()))
    order = tensors["mean"][:, 0].argsort()
    torch.testing.assert_close(tensors["mean"][order], CENTERS, rtol=0, atol=0.1)
    torch.testing.assert_close(tensors["weights"][order], SHARES, rtol=0, atol=0.01)
    covariances = tensors["factor"] @ tensors["factor"].mT
    expected = torch.tensor([[0.25, 0.15], [0.15, 0.34]]).expand(3, 2, 2)
    torch.testing.assert_close(covariances, expected, rtol=0, atol=0.06)


def test_mixture_agrees_with_scikit_learn():
    from sklearn.mixture import GaussianMixture

    z = three_modes().double()
    reference = GaussianMixture(5, max_iter=100, random_state=derived_seed(3, "mixture") % 2**32).fit(z.numpy())
    theirs = reference.score_samples(z.numpy()).mean()
    assert fit_density("gmm5", z, seed=3).log_prob(z).mean().item() == pytest.approx(theirs, abs=2e-3)


@pytest.mark.parametrize("name", ["gaussian", "gmm3"])
@pytest.mark.parametrize("scale", [1e-5, 1e5])
def test_fits_follow_location_and_scale(name, scale):
    z = three_modes(600).double()
    moved = torch.tensor([5.0, -3.0]) * scale
    density, other = fit_density(name, z), fit_density(name, moved + scale * z)
    expected = density.log_prob(z) - 2 * math.log(scale)
    torch.testing.assert_close(other.log_prob(moved + scale * z), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["prior", "gaussian", "gmm3"])
def test_samples_have_the_densitys_moments(name):
    density = fit_density(name, three_modes())
    draws = sample(density, 20_500, seed=0)
    assert draws.shape == (20_500, 2)
    assert draws.dtype == torch.float32
    spread = density.variance.sqrt()
    torch.testing.assert_close(draws.mean(0) / spread, density.mean / spread, rtol=0, atol=0.03)
    torch.testing.assert_close(draws.std(0) / spread, torch.ones(2), rtol=0, atol=0.02)
    whitened = (draws[:, 0] - density.mean[0]) / spread[0]
    assert (kstest(whitened.numpy(), "norm").pvalue > 0.001) == (name != "gmm3")


def test_samples_of_a_gaussian_are_correlated_as_the_encodings_are():
    z = correlated()
    draws = sample(fit_density("gaussian", z), 40_000, seed=1)
    torch.testing.assert_close(draws.T.corrcoef(), z.T.corrcoef(), rtol=0, atol=0.03)


@pytest.mark.promise(
    "The same seed", "Weights, order, noise, points, banks, densities and pairs follow the seed, and it alone."
)
@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_density_and_same_samples(name):
    z = three_modes(300)
    torch.manual_seed(5)
    first = sample(fit_density(name, z, seed=1), 1500, seed=2)
    torch.manual_seed(6)
    second = sample(fit_density(name, z, seed=1), 1500, seed=2)
    assert torch.equal(first, second)
    assert not torch.equal(first, sample(fit_density(name, z, seed=1), 1500, seed=3))
    assert len(first.unique(dim=0)) == 1500


@pytest.mark.promise("The same seed", "The generators of torch and numpy that everyone shares are left as they were.")
@pytest.mark.parametrize("name", NAMES)
def test_global_generators_are_left_alone(name):
    z = three_modes(300)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    sample(fit_density(name, z), 10, seed=0)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


@pytest.mark.parametrize("count", [1, 999, 1000, 1001])
def test_any_number_of_samples(count):
    assert sample(fit_density("prior", torch.zeros(1, 3)), count, seed=0).shape == (count, 3)


def test_no_samples_are_refused():
    with pytest.raises(SigmaeError, match="1 or more, got 0"):
        sample(fit_density("prior", torch.zeros(1, 3)), 0, seed=0)


@pytest.mark.parametrize("seed", [-1, 2**40])
def test_any_integer_is_a_seed(seed):
    assert sample(fit_density("gmm2", three_modes(100), seed=seed), 1, seed=seed).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_precision_is_that_of_the_encodings_and_float32_at_least(name, dtype):
    draws = sample(fit_density(name, three_modes(300).to(dtype)), 3, seed=0)
    assert draws.dtype == (torch.float32 if dtype == torch.bfloat16 else dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", [*NAMES, "gmm7"])
def test_tensors_make_the_same_density_bit_for_bit(name, dtype, tmp_path):
    from safetensors.torch import load_file, save_file

    density = fit_density(name, three_modes(300).to(dtype))
    save_file(density_tensors(density), tmp_path / "density.safetensors")
    again = density_from_tensors(load_file(tmp_path / "density.safetensors"))
    assert type(again) is type(density)
    tensors, others = density_tensors(density), density_tensors(again)
    assert all(torch.equal(tensors[key], others[key]) for key in tensors.keys() | others.keys())
    assert torch.equal(sample(density, 100, seed=0), sample(again, 100, seed=0))


def test_weights_do_not_drift_when_a_mixture_is_saved_again():
    for seed in range(12):
        density = fit_density("gmm10", torch.randn(200, 2), seed=seed)
        tensors = density_tensors(density)
        assert torch.equal(density_tensors(density_from_tensors(tensors))["weights"], tensors["weights"])
        assert tensors["weights"].sum() == 1


@pytest.mark.promise(
    "Numbers that go wrong",
    "Every density has draws of the codes' shape with a finite density, or is refused, wherever the codes lie.",
)
@pytest.mark.parametrize("name", ["gaussian", "gmm3"])
def test_rank_deficient_encodings_have_a_density(name):
    plane = three_modes(600)
    z = torch.cat([plane, plane.sum(1, keepdim=True), torch.full((600, 1), 0.1)], dim=1)
    density = fit_density(name, z)
    draws = sample(density, 2000, seed=0)
    assert density.log_prob(z).isfinite().all()
    tolerance = 2e-2 * plane.std().item()
    torch.testing.assert_close(draws[:, 2], draws[:, :2].sum(1), rtol=0, atol=tolerance)
    torch.testing.assert_close(draws[:, 3], torch.full((2000,), 0.1), rtol=0, atol=tolerance)


@pytest.mark.promise(
    "Numbers that go wrong",
    "Every density has draws of the codes' shape with a finite density, or is refused, wherever the codes lie.",
)
def test_fewer_encodings_than_dimensions_have_a_gaussian():
    z = torch.randn(5, 20)
    draws = sample(fit_density("gaussian", z), 100, seed=0).double()
    residual = draws - z[0]
    span = (z[1:] - z[0]).double()
    off = residual - residual @ torch.linalg.pinv(span) @ span
    assert off.norm(dim=1).max() < 1e-2 * residual.norm(dim=1).min()


def test_one_dimension():
    z = torch.randn(200, 1)
    density = fit_density("gaussian", z)
    torch.testing.assert_close(density.covariance_matrix, z.var(0, keepdim=True))
    assert sample(fit_density("gmm2", z), 4, seed=0).shape == (4, 1)


def test_em_that_has_not_converged_is_silent(monkeypatch):
    monkeypatch.setattr("sigmae.densities.gaussians.EM_ITERATIONS", 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit_density("gmm5", torch.rand(300, 2))
    assert not caught


@pytest.mark.promise(
    "Numbers that go wrong",
    "Every density has draws of the codes' shape with a finite density, or is refused, wherever the codes lie.",
)
@pytest.mark.parametrize("name", ["prior", "gaussian", "gmm3"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_encodings_that_are_not_finite_are_refused(name, bad):
    z = torch.randn(50, 3)
    z[7, 1] = z[7, 2] = z[20, 0] = bad
    with pytest.raises(SigmaeError, match="2 of 50 encodings hold NaN or infinity"):
        fit_density(name, z)


@pytest.mark.promise(
    "Numbers that go wrong",
    "Every density has draws of the codes' shape with a finite density, or is refused, wherever the codes lie.",
)
@pytest.mark.parametrize("name", ["gaussian", "gmm1", "gmm3", "second-stage1", "flow"])
@pytest.mark.parametrize("z", [torch.full((50, 3), 0.1), torch.randn(1, 3), torch.empty(0, 3)])
def test_a_single_point_is_refused(name, z):
    with pytest.raises(SigmaeError, match=r"two or more different encodings.*use the prior"):
        fit_density(name, z)


def test_a_mixture_of_more_components_than_encodings_names_a_smaller_one():
    with pytest.raises(SigmaeError, match=r"100 Gaussians .* 50 distinct encodings: use gmm5,"):
        fit_density("gmm100", torch.randn(50, 2).repeat(10, 1))


@pytest.mark.parametrize(
    "name", ["gmm", "gmm0", "gmm-3", "gmm010", "gausian", "xgmm10", "gmm10x", "second-stage0", "2-stage", ""]
)
def test_unknown_names_are_refused(name):
    with pytest.raises(
        SigmaeError, match=r"Unknown density.*flow, gaussian, gmm10, gmm100, prior, scaled-prior, second-stage"
    ):
        fit_density(name, torch.randn(50, 2))


def test_every_described_density_can_be_fitted():
    z = torch.randn(300, 2)
    for name in DENSITIES:
        quick = name.replace("second-stage", "second-stage1")
        assert sample(fit_density(quick, z, prior_scale=0.5), 2, seed=0).isfinite().all()


def test_a_density_of_another_form_cannot_be_taken_apart():
    with pytest.raises(SigmaeError, match="got Gamma"):
        density_tensors(torch.distributions.Gamma(torch.ones(2), torch.ones(2)))


MIXTURE = {
    "weights": torch.tensor([0.25, 0.75]),
    "mean": torch.zeros(2, 3),
    "factor": torch.eye(3).repeat(2, 1, 1),
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"weights": None, "mean": None, "factor": None}, "holds nothing"),
        ({"mean": None}, "holds factor, weights"),
        ({"factor": None}, "holds mean, weights"),
        ({"weights": None}, "mean is a torch.float32 tensor of shape"),
        ({"extra": torch.zeros(1)}, "holds extra, factor, mean, weights"),
        ({"mean": torch.zeros(2, 3, dtype=torch.int64)}, "mean is a torch.int64"),
        ({"mean": torch.tensor(0.0)}, "mean is a torch.float32 tensor of shape"),
        ({"mean": torch.zeros(2, 0)}, "mean is a torch.float32 tensor of shape"),
        ({"mean": torch.zeros(2, 4)}, "factor is a torch.float32 tensor of shape"),
        ({"mean": torch.full((2, 3), math.nan)}, "mean is not finite"),
        ({"factor": torch.eye(3)}, "factor is a torch.float32 tensor of shape"),
        ({"factor": MIXTURE["factor"].double()}, "factor is a torch.float64 tensor"),
        ({"factor": -MIXTURE["factor"]}, "factor is not the Cholesky factor"),
        ({"factor": torch.ones(2, 3, 3)}, "factor is not the Cholesky factor"),
        ({"factor": torch.zeros(2, 3, 3)}, "factor is not the Cholesky factor"),
        ({"factor": MIXTURE["factor"] * math.inf}, "factor is not the Cholesky factor"),
        ({"weights": torch.tensor([0.5, 0.6])}, "weights are not shares"),
        ({"weights": torch.tensor([-0.5, 1.5])}, "weights are not shares"),
        ({"weights": torch.tensor([math.nan, 1.0])}, "weights are not shares"),
        ({"weights": torch.tensor([0.2, 0.3, 0.5])}, "weights is a torch.float32 tensor of shape"),
    ],
)
def test_damaged_mixtures_are_refused(change, reason):
    tensors = {key: value for key, value in {**MIXTURE, **change}.items() if value is not None}
    with pytest.raises(SigmaeError, match=f"not a whole density.*{reason}"):
        density_from_tensors(tensors)


def test_whole_tensors_are_accepted_and_a_scale_of_zero_is_not():
    assert density_from_tensors(MIXTURE).mean.shape == (3,)
    with pytest.raises(SigmaeError, match="scale is not above zero"):
        density_from_tensors({"mean": torch.zeros(3), "scale": torch.tensor([1.0, 0.0, 1.0])})
