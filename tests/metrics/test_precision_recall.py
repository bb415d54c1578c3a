import math

import pytest
import torch

from sigmae.errors import SigmaeError
from sigmae.metrics.precision_recall import histogram_curve, precision_recall_curve, PrecisionRecallCurve

GRID = 5e-3  # relative: the largest F lies between two of the 1,001 angles
SAME_ARITHMETIC = 1e-12


def curve_of(real, generated, **options) -> PrecisionRecallCurve:
    probabilities = [torch.tensor(values, dtype=torch.float64) for values in (real, generated)]
    return PrecisionRecallCurve(*histogram_curve(real=probabilities[0], generated=probabilities[1], **options))


def f(beta, precision, recall):
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def blobs(weights, count=600, features=4, spread=0.05):
    """Vectors around the corners of a cube, `weights` of them at each."""
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 10.0])] * 3)
    corners = torch.nn.functional.pad(corners, (0, features - 3))
    chosen = torch.multinomial(torch.tensor(weights).float(), count, replacement=True)
    return corners[chosen] + spread * torch.randn(count, features)


def test_equal_histograms_are_precise_and_complete():
    curve = curve_of([0.1, 0.2, 0.7], [0.1, 0.2, 0.7])
    assert curve.f8_recall == pytest.approx(1, rel=SAME_ARITHMETIC)
    assert curve.f1_8_precision == pytest.approx(1, rel=SAME_ARITHMETIC)
    assert curve.precision.max() <= 1
    assert curve.recall.max() <= 1


def test_disjoint_histograms_have_neither():
    curve = curve_of([0.5, 0.5, 0, 0], [0, 0, 0.1, 0.9])
    assert curve.f8_recall == curve.f1_8_precision == 0


@pytest.mark.parametrize("share", [0.5, 0.25, 0.1])
def test_a_generator_of_one_mode_recalls_that_modes_share(share):
    curve = curve_of([share, 1 - share], [1.0, 0.0])
    assert float(curve.precision.max()) == pytest.approx(1)
    assert float(curve.recall.max()) == pytest.approx(share)
    assert curve.f8_recall == pytest.approx(f(8, 1, share), rel=GRID)
    assert curve.f1_8_precision == pytest.approx(f(1 / 8, 1, share), rel=GRID)


@pytest.mark.parametrize("share", [0.5, 0.25, 0.1])
def test_an_invented_mode_costs_its_mass_in_precision(share):
    curve = curve_of([1.0, 0.0], [share, 1 - share])
    assert float(curve.recall.max()) == pytest.approx(1)
    assert float(curve.precision.max()) == pytest.approx(share)
    assert curve.f1_8_precision == pytest.approx(f(1 / 8, share, 1), rel=GRID)


def test_the_curve_is_the_sum_over_states_at_every_angle():
    real, generated = [0.2, 0.3, 0.5, 0.0], [0.4, 0.1, 0.1, 0.4]
    curve = curve_of(real, generated, angles=7)
    for i, (p, r) in enumerate(zip(curve.precision.tolist(), curve.recall.tolist(), strict=True)):
        slope = math.tan(1e-10 + i * (math.pi / 2 - 2e-10) / 6)
        assert p == pytest.approx(sum(min(slope * a, b) for a, b in zip(real, generated, strict=True)), rel=1e-6)
        assert r == pytest.approx(sum(min(a, b / slope) for a, b in zip(real, generated, strict=True)), rel=1e-6)


def test_to_exchange_the_sets_is_to_exchange_precision_and_recall():
    real, generated = torch.rand(2, 30).double().softmax(1)
    one = PrecisionRecallCurve(*histogram_curve(real=real, generated=generated))
    other = PrecisionRecallCurve(*histogram_curve(real=generated, generated=real))
    torch.testing.assert_close(one.precision, other.recall.flip(0), rtol=1e-5, atol=1e-9)
    assert one.f8_recall == pytest.approx(other.f1_8_precision, rel=1e-9)


def test_the_curve_goes_from_the_recall_to_the_precision():
    curve = curve_of([0.3, 0.3, 0.4], [0.0, 0.6, 0.4])
    assert (curve.precision.diff() >= 0).all()
    assert (curve.recall.diff() <= SAME_ARITHMETIC).all()


def test_well_separated_modes_have_the_answer_of_their_histograms():
    weights = [1, 1, 1, 1, 0, 0, 0, 0]
    found = precision_recall_curve(real=blobs([1] * 8), generated=blobs(weights), clusters=8, runs=3)
    assert found.f8_recall == pytest.approx(f(8, 1, 0.5), abs=0.06)
    assert found.f1_8_precision == pytest.approx(f(1 / 8, 1, 0.5), abs=0.06)
    assert float(found.precision.max()) == pytest.approx(1)


def test_dropped_modes_lower_f8_and_invented_ones_f1_8():
    every, few = blobs([1] * 8), blobs([1, 1, 0, 0, 0, 0, 0, 0])
    dropping = precision_recall_curve(real=every, generated=few, runs=2)
    inventing = precision_recall_curve(real=few, generated=every, runs=2)
    assert dropping.f8_recall < 0.4 < 0.8 < dropping.f1_8_precision
    assert inventing.f1_8_precision < 0.4 < 0.8 < inventing.f8_recall


def test_copies_have_1_and_1_and_strangers_0_and_0():
    real = torch.randn(300, 6)
    copies = precision_recall_curve(real=real, generated=real[torch.randperm(300)], runs=2)
    assert min(copies.f8_recall, copies.f1_8_precision) == pytest.approx(1)
    strangers = precision_recall_curve(real=real, generated=real + 100, runs=2)
    assert max(strangers.f8_recall, strangers.f1_8_precision) == 0


def test_one_repeated_image_is_found_in_no_real_cluster_but_its_own():
    real = blobs([1] * 8)
    found = precision_recall_curve(real=real, generated=real[:1].expand(600, -1), clusters=8, runs=2)
    assert found.f8_recall < 0.3
    same = precision_recall_curve(real=real[:1].expand(50, -1), generated=real[:1].expand(50, -1), runs=1)
    assert same.f8_recall == pytest.approx(1)


def test_digits_drawn_twice_are_alike_and_noise_is_not(digits):
    images = digits.train.images.flatten(1)
    alike = precision_recall_curve(real=images[:700], generated=images[700:1400], runs=2)
    noise = torch.randint(256, (700, 64), dtype=torch.uint8)
    unlike = precision_recall_curve(real=images[:700], generated=noise, runs=2)
    assert min(alike.f8_recall, alike.f1_8_precision) > 0.9
    assert max(unlike.f8_recall, unlike.f1_8_precision) < 0.1


def test_the_curve_is_the_mean_over_runs():
    real, generated = torch.randn(120, 3), torch.randn(120, 3) + 0.5
    runs = [precision_recall_curve(real=real, generated=generated, runs=count) for count in (1, 2)]
    assert not torch.equal(runs[0].precision, runs[1].precision)  # every run has a clustering of its own
    second = 2 * runs[1].precision - runs[0].precision
    assert second.min() >= -SAME_ARITHMETIC
    assert second.max() <= 1 + SAME_ARITHMETIC


def test_of_the_larger_set_as_many_are_drawn_as_the_smaller_has():
    real, generated = blobs([1] * 8, count=200), blobs([1] * 8, count=1800)
    generated = generated[generated[:, 0].argsort()]  # the first 200 are of few modes
    whole = precision_recall_curve(real=real, generated=generated, clusters=8, runs=1)
    assert min(whole.f8_recall, whole.f1_8_precision) > 0.9
    once, again = (precision_recall_curve(real=real, generated=generated, runs=1, seed=s) for s in (1, 2))
    assert not torch.equal(once.precision, again.precision)


@pytest.mark.promise("The same seed", "Metrics and pictures that draw follow the seed, and it alone.")
def test_the_same_seed_gives_the_same_curve_and_leaves_the_generators_alone():
    import numpy as np

    real, generated = torch.randn(90, 4), torch.randn(130, 4)
    state, other_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    first, second = (precision_recall_curve(real=real, generated=generated, runs=2, seed=3) for _ in range(2))
    assert torch.equal(first.precision, second.precision)
    assert torch.equal(first.recall, second.recall)
    assert torch.equal(state, torch.random.get_rng_state())
    assert (other_state == np.random.get_state()[1]).all()


def test_bad_input_is_refused_in_a_sentence():
    good = torch.randn(30, 3)
    with pytest.raises(SigmaeError, match="20 or more generated vectors, got 19"):
        precision_recall_curve(real=good, generated=good[:19])
    bad = good.clone()
    bad[4, 1] = torch.inf
    with pytest.raises(SigmaeError, match="generated vectors hold NaN or infinity"):
        precision_recall_curve(real=good, generated=bad)
    for options in ({"clusters": 0}, {"runs": 0}, {"angles": 2}):
        with pytest.raises(SigmaeError, match="one or more clusters and runs and three or more angles"):
            precision_recall_curve(real=good, generated=good, **options)
