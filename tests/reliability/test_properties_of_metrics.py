"""Properties of every metric and density, over random sets of codes and features: spread out, equal, on a line, far."""

import math
from dataclasses import asdict, is_dataclass

import pytest
import torch
from hypothesis import strategies as st
from tests.reliability.properties import batches, holds_for

from sigmae import SigmaeError
from sigmae.densities import density_from_tensors, density_tensors, fit_density, flows, sample
from sigmae.metrics import (
    active_units,
    collapsed,
    dci,
    divergences,
    factor_vae_score,
    feature_statistics,
    frechet_distance,
    gaussian_divergence,
    holes,
    kernel_distance,
    mean_divergences,
    memorisation,
    mig,
    mutual_information,
    neighbourhoods,
    pca_factor_vae_score,
    pca_mig,
    precision_recall_curve,
    squared_error,
    whitened_entropy,
)  # fmt: skip
from sigmae.metrics.energy import energy_distance
from sigmae.posteriors import diagonal_gaussian

GROUP = "Numbers that go wrong"
FINITE = "Every metric of codes and features is a finite number or refused, wherever these lie: equal, on a line, far."
SHARES = "Precision, recall, coverage, shares and scores lie between 0 and 1."
ORDERED = "The order of the examples changes no metric."
DISTANCES = "Distances between sets are symmetric, never negative, and zero between equal ones."
DENSITIES = "Every density has draws of the codes' shape with a finite density, or is refused, wherever the codes lie."

KINDS = {
    "spread out": lambda z: z,
    "equal": lambda z: z[:1].repeat(len(z), 1),
    "two points": lambda z: z[torch.arange(len(z)) % 2],
    "one constant": lambda z: torch.cat([torch.full_like(z[:, :1], 0.1), z[:, 1:]], 1),
    "on a line": lambda z: z[:, :1].repeat(1, z.shape[1]),
    "far": lambda z: z + 1e4 * z[:1].abs().max(),
    "one apart": lambda z: torch.cat([z[:1].repeat(len(z) - 1, 1), z[-1:] + 1]),
}
kinds = st.sampled_from(sorted(KINDS))
sets = batches((2, 30), (1, 5))
features = batches((8, 30), (1, 5))


def codes(batch, kind, stream=0, count=None):
    """Codes of a batch, in 32 bits, of which some are of one kind."""
    z = KINDS[kind](batch.normal(count or batch.size, batch.latent, stream=stream))
    return (batch.scale * z).float()


def numbers(found):
    """All the numbers in what a metric returns."""
    if is_dataclass(found):
        return [number for value in asdict(found).values() for number in numbers(value)]
    return found.double().flatten().tolist() if isinstance(found, torch.Tensor) else [float(found)]


def spreads(batch):
    """A variance for each code."""
    return (batch.scale**2 * batch.normal(batch.size, batch.latent, stream=5).exp()).float()


def distance(real, generated):
    """The Fréchet distance of two sets of features."""
    return frechet_distance(real=feature_statistics(real), generated=feature_statistics(generated))


OF_CODES = {  # of codes, and a variance for each
    "gaussian_divergence": lambda z, v: gaussian_divergence(z),
    "energy_distance": lambda z, v: energy_distance(z),
    "whitened_entropy": lambda z, v: whitened_entropy(z, bandwidth=0.5),
    "active_units": lambda z, v: active_units(z),
    "mean_divergences": lambda z, v: mean_divergences(divergences(diagonal_gaussian(z, v.sqrt()))),
    "collapsed": lambda z, v: collapsed(divergences(diagonal_gaussian(z, v.sqrt()))),
    "holes": lambda z, v: holes(z, held_out=z + v.mean().sqrt(), samples=z - v.max().sqrt()),
}
OF_PAIRS = {  # whose noise, or whose pairs, follow the order
    "mutual_information": lambda z, v: mutual_information(z, v),
    "mutual_information of points": lambda z, v: mutual_information(z, 0.01),
    "squared_error": lambda z, v: squared_error(real=z, generated=v),
}
OF_SETS = {
    "frechet_distance": distance,
    "kernel_distance": lambda a, b: kernel_distance(real=a, generated=b, subsets=2),
    "neighbourhoods": lambda a, b: neighbourhoods(real=a, generated=b),
    "memorisation": lambda a, b: memorisation(train=a, held_out=b + 0.1 * b.std(), generated=b, tail=0.3),
}
OF_CLUSTERS = {  # which depend on the order
    "precision_recall": lambda a, b: precision_recall_curve(real=a, generated=b, clusters=3, runs=2, angles=11),
}
SCORES = {
    "mig": mig,
    "pca_mig": pca_mig,
    "factor_vae": lambda z, f: factor_vae_score(z, f, votes=40, judged=20, images=8),
    "pca_factor_vae": lambda z, f: pca_factor_vae_score(z, f, judged=20, images=8),
    "dci": dci,
}


@pytest.mark.promise(GROUP, FINITE)
@pytest.mark.parametrize("name", OF_CODES | OF_PAIRS)
@holds_for(25, batch=sets, kind=kinds)
def test_metrics_of_codes_are_finite_or_refused(name, batch, kind):
    try:
        found = (OF_CODES | OF_PAIRS)[name](codes(batch, kind), spreads(batch))
    except SigmaeError:
        assert kind != "spread out" or batch.size <= batch.latent
        return
    assert all(map(math.isfinite, numbers(found)))


@pytest.mark.promise(GROUP, FINITE)
@pytest.mark.parametrize("name", OF_SETS | OF_CLUSTERS)
@holds_for(15, batch=features, kind=kinds, other=kinds)
def test_metrics_of_two_sets_are_finite(name, batch, kind, other):
    found = (OF_SETS | OF_CLUSTERS)[name](codes(batch, kind), codes(batch, other, stream=1, count=9))
    assert all(map(math.isfinite, numbers(found)))


@pytest.mark.promise(GROUP, ORDERED)
@pytest.mark.parametrize("name", OF_CODES)
@holds_for(15, batch=batches((12, 30), (1, 5)))
def test_metrics_of_codes_do_not_know_the_order(name, batch):
    z, variances, order = codes(batch, "spread out"), spreads(batch), batch.order
    expected, found = OF_CODES[name](z, variances), OF_CODES[name](z[order], variances[order])
    assert numbers(found) == pytest.approx(numbers(expected), rel=1e-5, abs=1e-5 * batch.scale)


@pytest.mark.promise(GROUP, ORDERED)
@pytest.mark.parametrize("name", OF_SETS)
@holds_for(15, batch=features)
def test_metrics_of_two_sets_do_not_know_the_order(name, batch):
    a, b = codes(batch, "spread out"), codes(batch, "spread out", stream=1)
    expected, found = OF_SETS[name](a, b), OF_SETS[name](a[batch.order], b.flip(0))
    assert numbers(found) == pytest.approx(numbers(expected), rel=1e-6, abs=1e-9 * max(1, batch.scale) ** 6)


@pytest.mark.promise(GROUP, DISTANCES)
@holds_for(25, batch=features, kind=kinds, other=kinds)
def test_distances_are_symmetric_and_zero_between_equal_sets(batch, kind, other):
    a, b = codes(batch, kind), codes(batch, other, stream=1, count=9)
    size = float(a.double().square().mean() + b.double().square().mean())
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-6, abs=1e-6 * size)
    assert 0 <= distance(a, a) <= 1e-6 * size
    there, back = kernel_distance(real=a, generated=b, subsets=1), kernel_distance(real=b, generated=a, subsets=1)
    if len(a) == len(b):
        assert there.value == pytest.approx(back.value, rel=1e-6, abs=1e-6 * (1 + size) ** 3)
    assert kernel_distance(real=a, generated=a, subsets=1).value <= 1e-9 * (1 + size) ** 3
    assert (squared_error(real=a, generated=a) == 0).all()
    assert torch.equal(squared_error(real=a[:1], generated=b[:1]), squared_error(real=b[:1], generated=a[:1]))


@pytest.mark.promise(GROUP, DISTANCES)
@holds_for(25, batch=sets, kind=kinds)
def test_divergences_are_not_negative(batch, kind):
    z = codes(batch, kind)
    assert (divergences(diagonal_gaussian(z, spreads(batch).sqrt())) >= -1e-6 * max(1, batch.scale**2)).all()
    try:
        assert gaussian_divergence(z) >= 0
    except SigmaeError:
        assert kind != "spread out" or batch.size <= batch.latent


@pytest.mark.promise(GROUP, SHARES)
@holds_for(25, batch=features, kind=kinds, other=kinds)
def test_shares_lie_between_0_and_1(batch, kind, other):
    a, b = codes(batch, kind), codes(batch, other, stream=1, count=9)
    found, back = neighbourhoods(real=a, generated=b), neighbourhoods(real=b, generated=a)
    copies, gaps = OF_SETS["memorisation"](a, b), holes(a, held_out=b, samples=a)
    curve = OF_CLUSTERS["precision_recall"](a, b)
    shares = [found.precision, found.recall, found.coverage, *numbers(copies), gaps.outside, gaps.farther]
    assert all(0 <= share <= 1 for share in [*shares, *numbers(curve), curve.f8_recall, curve.f1_8_precision])
    assert found.density >= 0
    assert (found.precision, found.recall) == (back.recall, back.precision)
    same = neighbourhoods(real=a, generated=a)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)


@pytest.mark.promise(GROUP, SHARES)
@pytest.mark.parametrize("name", SCORES)
@holds_for(10, batch=batches((60, 80), (1, 5)), kind=kinds)
def test_scores_of_disentanglement_lie_between_0_and_1(name, batch, kind):
    factors = torch.stack([torch.arange(batch.size) % 3, torch.arange(batch.size) // 3 % 2], dim=1)
    z = codes(batch, kind)
    try:
        found = SCORES[name](z, factors)
    except SigmaeError:
        assert (name, batch.latent) == ("dci", 1)
        return
    assert all(-1e-12 <= score <= 1 + 1e-12 for score in numbers(found))
    if name == "mig":
        assert SCORES[name](z[batch.order], factors[batch.order]) == pytest.approx(found)


@pytest.mark.promise(GROUP, DENSITIES)
@pytest.mark.parametrize("name", ["prior", "scaled-prior", "gaussian", "gmm1", "gmm2"])
@holds_for(25, batch=batches((1, 30), (1, 6)), kind=kinds)
def test_densities_of_any_codes(name, batch, kind):
    check_density(name, codes(batch, kind))


@pytest.mark.promise(GROUP, DENSITIES)
@pytest.mark.parametrize("name", ["second-stage1", "flow"])
@holds_for(6, batch=batches((2, 12), (1, 4)), kind=kinds)
def test_trained_densities_of_any_codes(name, batch, kind):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flows, "EPOCHS", 1)
        check_density(name, codes(batch, kind))


def check_density(name, z):
    """Draws, their density, and the same after a file; or a sentence."""
    try:
        density = fit_density(name, z, prior_scale=0.6)
    except SigmaeError:
        assert len(z.unique(dim=0)) <= 2 or name == "second-stage1"  # which does not standardise its codes
        return
    draws = sample(density, 7, seed=0)
    assert draws.shape == (7, z.shape[1])
    assert draws.isfinite().all()
    assert torch.equal(sample(density_from_tensors(density_tensors(density)), 7, seed=0), draws)
    if name != "second-stage1":  # which has none in closed form
        assert density.log_prob(draws).isfinite().all()
