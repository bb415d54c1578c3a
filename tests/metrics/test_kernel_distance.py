import inspect
import math

import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel

from sigmae.errors import SigmaeError
from sigmae.metrics.kernel_distance import kernel_distance, squared_polynomial_mmd
from sigmae.seeds import generator

SAME_ARITHMETIC = 1e-9  # relative: float64 in another order
DEVIATIONS = 5  # of the mean of independent draws


def by_scikit_learn(u, v):
    """The unbiased estimator as sums over pairs of scikit-learn's kernel (degree 3, 1/d, 1)."""
    u, v = u.double().numpy(), v.double().numpy()

    def distinct(points):
        gram = polynomial_kernel(points, degree=3, coef0=1)
        return sum(gram[i, j] for i in range(len(gram)) for j in range(len(gram)) if i != j) / (
            len(gram) * (len(gram) - 1)
        )

    return distinct(u) + distinct(v) - 2 * polynomial_kernel(u, v, degree=3, coef0=1).mean()


@pytest.mark.parametrize(("count", "others", "features"), [(2, 2, 1), (30, 30, 7), (40, 25, 100)])
def test_the_discrepancy_is_that_of_scikit_learns_kernel(count, others, features):
    u, v = torch.randn(count, features).double(), 1 + 2 * torch.rand(others, features).double()
    expected = by_scikit_learn(u, v)
    assert float(squared_polynomial_mmd(u, v)) == pytest.approx(expected, rel=SAME_ARITHMETIC)


def test_two_points_by_hand():
    u, v = torch.tensor([[0.0], [1.0]]).double(), torch.tensor([[2.0], [3.0]]).double()
    within, between = (0 * 1 + 1) ** 3 + (2 * 3 + 1) ** 3, (1 + 1 + 3**3 + 4**3) / 4
    assert float(squared_polynomial_mmd(u, v)) == within - 2 * between


def test_one_subset_of_everything_is_the_discrepancy_without_a_deviation():
    real, generated = torch.randn(50, 6), torch.rand(50, 6)
    found = kernel_distance(real=real, generated=generated, subsets=3, size=1000)
    expected = by_scikit_learn(real, generated)
    assert found.value == pytest.approx(expected, rel=SAME_ARITHMETIC)
    assert found.deviation == pytest.approx(0, abs=SAME_ARITHMETIC * abs(expected))


def test_subsets_are_as_large_as_the_smaller_set():
    real, generated = torch.randn(40, 3), torch.randn(300, 3) + 1
    found = kernel_distance(real=real, generated=generated, subsets=20, size=100)
    assert found.deviation > 0
    draw = generator(0, "kernel distance")
    expected = []
    for _ in range(20):
        u, v = (vectors[torch.randperm(len(vectors), generator=draw)[:40]] for vectors in (real, generated))
        expected.append(by_scikit_learn(u, v))
    assert found.value == pytest.approx(sum(expected) / 20, rel=SAME_ARITHMETIC)
    assert found.deviation == pytest.approx(torch.tensor(expected).std(correction=0).item(), rel=1e-5)


def test_it_is_unbiased():
    draws = torch.tensor(
        [float(squared_polynomial_mmd(torch.randn(8, 4).double(), torch.randn(8, 4).double())) for _ in range(600)]
    )
    assert abs(float(draws.mean())) < DEVIATIONS * float(draws.std()) / math.sqrt(len(draws))
    assert 0.3 < float((draws < 0).double().mean()) < 0.8  # an estimator that cannot be negative is biased


def test_the_mean_does_not_depend_on_the_size_of_subsets():
    real, generated = torch.randn(2000, 5), 1.3 * torch.randn(2000, 5) + 0.3
    whole = float(squared_polynomial_mmd(real.double(), generated.double()))
    for size in (20, 200):
        found = kernel_distance(real=real, generated=generated, subsets=100, size=size)
        assert found.value == pytest.approx(whole, abs=DEVIATIONS * found.deviation / math.sqrt(100))
        assert found.value > 10 * abs(
            kernel_distance(real=real, generated=torch.randn(2000, 5), size=200, subsets=20).value
        )


def test_it_grows_with_the_shift_and_is_symmetric_on_average():
    real = torch.randn(400, 5)
    near, far = (kernel_distance(real=real, generated=real + shift, subsets=5, size=400).value for shift in (0.2, 1.0))
    assert 0 < near < far
    swapped = kernel_distance(real=real + 1, generated=real, subsets=1, size=400).value
    assert swapped == pytest.approx(far, rel=SAME_ARITHMETIC)


@pytest.mark.promise("The same seed", "Metrics and pictures that draw follow the seed, and it alone.")
def test_the_same_seed_draws_the_same_subsets_and_leaves_torch_alone():
    real, generated = torch.randn(200, 4), torch.randn(150, 4)
    state = torch.random.get_rng_state()
    found = [kernel_distance(real=real, generated=generated, subsets=4, size=50, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(state, torch.random.get_rng_state())
    assert found[0] == found[1] != found[2]


def test_pixels_of_8_bits_are_vectors_too():
    real, generated = (torch.randint(256, (30, 12), dtype=torch.uint8) for _ in range(2))
    found = kernel_distance(real=real, generated=generated, subsets=1)
    assert found.value == pytest.approx(by_scikit_learn(real, generated), rel=SAME_ARITHMETIC)


def test_bad_input_is_refused_in_a_sentence():
    good = torch.randn(10, 3)
    with pytest.raises(SigmaeError, match="2 or more generated vectors, got 1: give more"):
        kernel_distance(real=good, generated=good[:1])
    bad = good.clone()
    bad[4, 1] = torch.nan
    with pytest.raises(SigmaeError, match="real vectors hold NaN or infinity"):
        kernel_distance(real=bad, generated=good)
    for options in ({"subsets": 0}, {"size": 1}):
        with pytest.raises(SigmaeError, match="one or more subsets of two or more"):
            kernel_distance(real=good, generated=good, **options)
    as_released = inspect.unwrap(kernel_distance)  # without the tests' check of shapes
    with pytest.raises(SigmaeError, match=r"3 \(real\) and 2 \(generated\) features cannot be compared"):
        as_released(real=good, generated=good[:, :2])
