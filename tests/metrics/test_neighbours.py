import inspect
import math

import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu
from sklearn.neighbors import NearestNeighbors

from sigmae.errors import SigmaeError
from sigmae.metrics import neighbours
from sigmae.metrics.neighbours import memorisation, nearest, Neighbourhoods, neighbourhoods, squared_radii

DEVIATIONS = 5  # of a mean over independent draws
DISTANCES = 1e-9  # relative, of float64 by a matrix product


def by_brute_force(real, generated, precision_k, density_k) -> Neighbourhoods:
    """The definitions, ball by ball."""
    real, generated = real.double().numpy(), generated.double().numpy()
    between = cdist(real, generated)
    radii = {
        k: NearestNeighbors(n_neighbors=k).fit(real).kneighbors()[0][:, -1] for k in (precision_k, density_k)
    }  # without a query, a vector is not its own neighbour
    generated_radii = NearestNeighbors(n_neighbors=precision_k).fit(generated).kneighbors()[0][:, -1]
    precise = [any(between[i, j] <= radii[precision_k][i] for i in range(len(real))) for j in range(len(generated))]
    recalled = [any(between[i, j] <= generated_radii[j] for j in range(len(generated))) for i in range(len(real))]
    inside = [[between[i, j] <= radii[density_k][i] for j in range(len(generated))] for i in range(len(real))]
    return Neighbourhoods(
        sum(precise) / len(precise),
        sum(recalled) / len(recalled),
        sum(map(sum, inside)) / (density_k * len(generated)),
        sum(map(any, inside)) / len(real),
    )


def assert_same(found: Neighbourhoods, expected: Neighbourhoods):
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-12), name


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of seven; returns the largest sides that distances were computed of."""
    sides = []

    def watched(u, v):
        sides.append(max(len(u), len(v)))
        return torch.cdist(u, v, compute_mode="donot_use_mm_for_euclid_dist").square()

    monkeypatch.setattr(neighbours, "BLOCK", 7)
    monkeypatch.setattr(neighbours, "squared_distances", watched)
    return sides


@pytest.mark.parametrize(
    ("count", "others", "features", "precision_k", "density_k"),
    [(60, 45, 3, 3, 5), (30, 80, 20, 1, 2), (6, 6, 1, 5, 5)],
)
def test_neighbourhoods_are_those_of_brute_force(count, others, features, precision_k, density_k):
    real, generated = torch.randn(count, features), 1.2 * torch.randn(others, features) + 0.3
    found = neighbourhoods(real=real, generated=generated, precision_k=precision_k, density_k=density_k)
    assert_same(found, by_brute_force(real, generated, precision_k, density_k))


def test_blocks_change_nothing_and_bound_the_distances(small_blocks, monkeypatch):
    real, generated, held_out = torch.randn(50, 3), torch.randn(33, 3) + 0.5, torch.randn(100, 3)
    found = neighbourhoods(real=real, generated=generated), nearest(real=real, generated=generated)
    copied = memorisation(train=real, held_out=held_out, generated=generated)
    assert max(small_blocks) == 7
    assert len(small_blocks) > 100
    monkeypatch.undo()
    assert_same(found[0], neighbourhoods(real=real, generated=generated))
    torch.testing.assert_close(found[1], nearest(real=real, generated=generated), rtol=0, atol=0)
    assert copied == memorisation(train=real, held_out=held_out, generated=generated)


def test_points_on_a_line_by_hand():
    real = torch.tensor([[0.0], [1.0], [2.0], [3.0], [10.0]])  # radii for k = 1: 1, 1, 1, 1, 7
    generated = torch.tensor([[0.5], [2.5], [3.5], [30.0]])  # radii for k = 1: 2, 1, 1, 26.5
    found = neighbourhoods(real=real, generated=generated, precision_k=1, density_k=1)
    # 0.5 is in the balls of 0 and 1, 2.5 of 2 and 3, 3.5 of 3 and of the far 10, which makes it look real twice.
    assert_same(found, Neighbourhoods(3 / 4, 5 / 5, 6 / 4, 5 / 5))


@pytest.mark.parametrize("step", [1.0, 0.1])  # 0.1 has no exact float: equal distances differ by rounding
def test_a_vector_on_the_border_is_inside(step):
    line = torch.arange(5, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line, line)
    for shift, precision in {1.0: 1, 1.001: 0}.items():
        beside = torch.cat([axis * (4 + shift) + (1 - axis) * grid for axis in torch.eye(3).double()])
        found = neighbourhoods(real=step * grid, generated=step * beside, precision_k=1, density_k=1)
        assert found.precision == precision


@pytest.mark.parametrize("vectors", [torch.rand(200, 30), torch.randint(256, (200, 64), dtype=torch.uint8)])
def test_copies_of_the_data_lie_in_its_neighbourhoods(vectors):
    found = neighbourhoods(real=vectors, generated=vectors[torch.randperm(200)])
    assert_same(found, Neighbourhoods(1.0, 1.0, (5 + 1) / 5, 1.0))  # a ball holds its centre and k others


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1])
def test_one_repeated_image_on_both_sides_is_a_match(value):
    vectors = torch.full((20, 300), value)
    found = neighbourhoods(real=vectors, generated=vectors)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_equal_distributions_have_the_expected_density_and_coverage():
    count, others, k = 60, 40, 5
    runs = [neighbourhoods(real=torch.randn(count, 8), generated=torch.randn(others, 8)) for _ in range(150)]
    uncovered = math.prod((count - i) / (count + others - i) for i in range(1, k + 1))
    for name, expected in {"density": 1.0, "coverage": 1 - uncovered}.items():
        values = torch.tensor([getattr(run, name) for run in runs])
        assert abs(float(values.mean()) - expected) < DEVIATIONS * float(values.std()) / math.sqrt(len(runs)), name


def test_equal_counts_of_one_distribution_have_coverage_1_less_2_to_the_minus_k():
    found = neighbourhoods(real=torch.randn(3000, 4), generated=torch.randn(3000, 4))
    assert found.coverage == pytest.approx(1 - 2**-5, abs=0.02)
    assert found.density == pytest.approx(1, abs=0.05)


def test_a_collapsed_generator_is_precise_and_recalls_nothing():
    real = torch.randn(500, 6)
    found = neighbourhoods(real=real, generated=real[:1] + 1e-3 * torch.randn(400, 6))
    assert found.precision == 1
    assert found.recall < 0.01
    assert found.coverage < 0.1


def test_the_sets_keep_their_sides():
    wide, narrow = 3 * torch.randn(400, 4), 0.5 * torch.randn(400, 4)
    dropping, inventing = neighbourhoods(real=wide, generated=narrow), neighbourhoods(real=narrow, generated=wide)
    assert dropping.precision > 0.9 > 0.3 > dropping.recall
    assert inventing.precision == dropping.recall
    assert inventing.recall == dropping.precision


def test_distances_do_not_depend_on_where_the_origin_is():
    real, generated = torch.randn(100, 5).double(), torch.randn(100, 5).double()
    assert_same(
        neighbourhoods(real=real + 1e6, generated=generated + 1e6), neighbourhoods(real=real, generated=generated)
    )


def test_radii_are_those_of_scikit_learn():
    points = torch.randn(80, 6)
    expected = torch.from_numpy(NearestNeighbors(n_neighbors=4).fit(points.double().numpy()).kneighbors()[0]).square()
    found = squared_radii(points, 4)
    torch.testing.assert_close(found[1:].T, expected, rtol=DISTANCES, atol=0)
    assert found[0].max() < DISTANCES


def test_nearest_is_that_of_brute_force():
    real, generated = torch.randn(300, 10), torch.randn(200, 10)
    indices, squares = nearest(real=real, generated=generated)
    distances = cdist(generated.double(), real.double(), "sqeuclidean")
    assert indices.tolist() == distances.argmin(1).tolist()
    torch.testing.assert_close(squares, torch.from_numpy(distances.min(1)), rtol=1e-12, atol=0)


def test_copies_are_found_at_a_distance_of_exactly_0():
    real = 100 + torch.rand(3000, 40)
    chosen = torch.randperm(3000)[:2000]
    indices, squares = nearest(real=real, generated=real[chosen])
    assert torch.equal(indices, chosen)
    assert (squares == 0).all()


def test_nearest_digits_are_mostly_of_the_same_class(digits):
    train, test = digits.train, digits.test
    indices, _ = nearest(real=train.images.flatten(1), generated=test.images.flatten(1))
    assert float((train.labels[indices] == test.labels).double().mean()) > 0.95


def test_memorisation_is_the_mann_whitney_statistic():
    train, held_out = torch.randn(300, 3), torch.randn(100, 3)
    generated = torch.cat([train[:30], torch.randn(120, 3)])
    known, new = (cdist(vectors.double(), train.double(), "sqeuclidean").min(1) for vectors in (held_out, generated))
    found = memorisation(train=train, held_out=held_out, generated=generated)
    expected = mannwhitneyu(known, new).statistic / (100 * 150)
    assert found.nearer == pytest.approx(expected, rel=1e-12)
    assert found.copies == pytest.approx((new <= known.min()).mean())


def test_ties_count_half():
    train = torch.zeros(1, 1)
    held_out, generated = torch.tensor([[1.0], [1.0], [2.0], [3.0]]), torch.tensor([[1.0], [2.0], [-2.0], [5.0]])
    # of 16 pairs: 1 is nearer than 2 of 4 and ties with 2, 2 is nearer than 1 and ties with 1 (twice), 5 than none
    found = memorisation(train=train, held_out=held_out, generated=generated, tail=0.25)
    assert found.nearer == (2 + 2 / 2 + 2 * (1 + 1 / 2) + 0) / 16
    assert found.copies == 1 / 4


def test_new_data_are_as_near_as_held_out_data():
    runs = [
        memorisation(train=torch.randn(200, 5), held_out=torch.randn(100, 5), generated=torch.randn(150, 5), tail=0.1)
        for _ in range(100)
    ]
    nearer, copies = (torch.tensor([getattr(run, name) for run in runs]) for name in ("nearer", "copies"))
    deviation = math.sqrt((100 + 150 + 1) / (12 * 100 * 150))
    assert abs(float(nearer.mean()) - 0.5) < DEVIATIONS * deviation / 10
    assert float(nearer.std()) == pytest.approx(deviation, rel=0.3)
    assert abs(float(copies.mean()) - 10 / 101) < DEVIATIONS * float(copies.std()) / 10  # rank k of n: k / (n + 1)


def test_copied_digits_are_told_from_new_ones(digits):
    train, held_out, new = (part.images.flatten(1) for part in (digits.train, digits.validation, digits.test))
    noise = torch.randint(256, (300, 64), dtype=torch.uint8)
    honest, copied, unlike = (
        memorisation(train=train, held_out=held_out, generated=generated) for generated in (new, train[:300], noise)
    )
    assert 0.4 < honest.nearer < 0.6
    assert honest.copies < 0.05
    assert (copied.nearer, copied.copies) == (1, 1)
    assert unlike.nearer < 0.01
    assert unlike.copies == 0


def test_a_half_copying_generator_is_seen_in_the_copies(digits):
    train, held_out, new = (part.images.flatten(1) for part in (digits.train, digits.validation, digits.test))
    generated = torch.cat([train[:100], new[:100]])
    assert memorisation(train=train, held_out=held_out, generated=generated).copies == pytest.approx(0.5, abs=0.03)


def test_blur_looks_like_memorisation_unless_held_out_images_are_blurred_too():
    axes = torch.randn(5, 50)
    train, held_out, new = (
        torch.randn(count, 5) @ axes for count in (400, 300, 300)
    )  # shapes, to which texture is added
    textured = train + torch.randn(400, 50), held_out + torch.randn(300, 50)
    unfair = memorisation(train=textured[0], held_out=textured[1], generated=new)
    fair = memorisation(train=textured[0], held_out=held_out, generated=new)
    assert unfair.nearer > 0.9
    assert 0.4 < fair.nearer < 0.6


def test_a_large_tail_is_all_held_out_vectors():
    train, held_out = torch.zeros(3, 1), torch.tensor([[1.0], [2.0]])
    found = memorisation(train=train, held_out=held_out, generated=torch.tensor([[2.0], [3.0]]), tail=0.99)
    assert found.copies == 0.5


def test_repeated_held_out_images_do_not_hide_copies():
    train = torch.randn(50, 4)
    held_out = torch.cat([train[:10], torch.randn(90, 4)])
    assert memorisation(train=train, held_out=held_out, generated=train).copies == 1
    assert memorisation(train=train, held_out=held_out, generated=held_out).copies == 0.1


def test_bad_input_is_refused_in_a_sentence():
    good = torch.randn(120, 3)
    bad = good.clone()
    bad[70, 1] = torch.nan
    with pytest.raises(SigmaeError, match="6 or more generated vectors, got 5"):
        neighbourhoods(real=good, generated=good[:5])
    for options in ({"precision_k": 0}, {"density_k": -1}):
        with pytest.raises(SigmaeError, match=r"a (precision|density)_k of 1 or more, got"):
            neighbourhoods(real=good, generated=good, **options)
    with pytest.raises(SigmaeError, match="real vectors hold NaN or infinity"):
        neighbourhoods(real=bad, generated=good)
    with pytest.raises(SigmaeError, match="1 or more real vectors, got 0"):
        nearest(real=good[:0], generated=good)
    with pytest.raises(SigmaeError, match="train vectors hold NaN or infinity"):
        memorisation(train=bad, held_out=good, generated=good)
    with pytest.raises(SigmaeError, match=r"nearest 0.01 of 98 held-out vectors are less than one: hold out more"):
        memorisation(train=good, held_out=good[:98], generated=good)
    for tail in (0.0, 1.0, math.nan):
        with pytest.raises(SigmaeError, match="A tail lies between 0 and 1"):
            memorisation(train=good, held_out=good, generated=good, tail=tail)
    for function in (neighbourhoods, nearest):
        as_released = inspect.unwrap(function)  # without the tests' check of shapes
        with pytest.raises(SigmaeError, match=r"3 \(real\) and 2 \(generated\) features cannot be compared"):
            as_released(real=good, generated=good[:, :2])
