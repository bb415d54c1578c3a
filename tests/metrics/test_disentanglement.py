"""Disentanglement on the factors of the sprites: what perfect, turned, constant and random codes score."""

import math

import numpy as np
import pytest
import torch

from sigmae import SigmaeError
from sigmae.data.sprites import FACTORS, load_sprites
from sigmae.metrics.disentanglement import (
    dci,
    direction_angles,
    factor_information,
    factor_vae_score,
    mig,
    pca_directions,
    pca_factor_vae_score,
    pca_mig,
    traversal,
)
from sigmae.metrics.disentanglement.factors import draw_votes
from sigmae.metrics.disentanglement.importance import concentration

SCORES = [mig, factor_vae_score, pca_mig, pca_factor_vae_score, lambda *data: dci(*data).disentanglement]
# The splits hold part of the grid, in which factors are almost independent.
PARTIAL = 0.01
# Of shares that 5,000 votes measure, with as much for the 10,000 that teach them.
CHANCE = 0.04
DEGREES = 1e-4


@pytest.fixture(scope="module")
def sprites() -> torch.Tensor:
    """The factors of the training split."""
    factors = load_sprites().train.factors
    assert factors is not None
    return factors


@pytest.fixture(scope="module")
def perfect(sprites) -> torch.Tensor:
    """Every factor in a latent of its own, each of another width."""
    unit = (sprites - sprites.double().mean(0)) / sprites.double().std(0)
    return unit * torch.tensor([1.0, 0.5, 2.0, 1.5, 0.7]).double()


@pytest.fixture(scope="module")
def turned(perfect) -> torch.Tensor:
    turn = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    return perfect @ turn


@pytest.mark.parametrize("score", SCORES)
def test_a_perfect_code_scores_one(score, perfect, sprites):
    assert score(perfect[:, [2, 0, 4, 1, 3]].neg(), sprites) == pytest.approx(1, abs=PARTIAL)


@pytest.mark.parametrize("score", SCORES)
def test_a_constant_code_scores_nothing(score, sprites):
    assert score(torch.full((len(sprites), 4), 0.3), sprites) == 0


@pytest.mark.parametrize("score", [pca_mig, pca_factor_vae_score])
def test_a_turned_perfect_code_scores_one_along_directions(score, turned, sprites):
    assert score(turned, sprites) == pytest.approx(1, abs=PARTIAL)


def test_a_turned_perfect_code_is_not_perfect_along_axes(turned, sprites):
    assert mig(turned, sprites) < 0.3
    assert factor_vae_score(turned, sprites) < 0.95
    assert dci(turned[::4], sprites[::4]).disentanglement < 0.5


@pytest.mark.parametrize(
    ("score", "chance"), [(mig, 0), (factor_vae_score, 0.2), (pca_mig, 0), (pca_factor_vae_score, 0.2)]
)
def test_a_random_code_scores_by_chance(score, chance, sprites):
    assert score(torch.randn(len(sprites), 5), sprites) == pytest.approx(chance, abs=CHANCE)


def test_latents_that_are_not_used_change_nothing(perfect, turned, sprites):
    silent, blur = 0.01 * normal(len(sprites), 3), 0.05 * normal(*turned.shape)
    for score, codes in {factor_vae_score: perfect + blur, pca_factor_vae_score: turned + blur}.items():
        assert score(torch.cat([silent, codes], 1), sprites) == pytest.approx(1, abs=PARTIAL)
    # without pruning, they vary least whatever is fixed
    assert pca_factor_vae_score(torch.cat([silent, turned + blur], 1), sprites, pruned=0.0) < 0.5


@pytest.mark.promise("The same seed", "Metrics and pictures that draw follow the seed, and it alone.")
def test_scores_are_the_same_for_the_same_seed(turned, sprites):
    state = torch.random.get_rng_state()
    for score in (factor_vae_score, pca_factor_vae_score):
        noisy = turned + 0.5 * normal(*turned.shape)
        first, again, other = (score(noisy, sprites, seed=seed) for seed in (3, 3, 4))
        assert first == again != other
    assert torch.equal(torch.random.get_rng_state(), state)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_information_agrees_with_scikit_learn():
    from sklearn.metrics import mutual_info_score

    factors = torch.stack([torch.randint(5, (400,)), torch.randint(3, (400,)) ** 3], 1)
    codes = (factors[:, :1] + torch.randn(400, 3)).double()
    shares = factor_information(codes, factors, bins=20)
    for j, column in enumerate(codes.T.numpy()):
        binned = np.digitize(column, np.histogram(column, 20)[1][:-1])
        for k, values in enumerate(factors.T.numpy()):
            share = mutual_info_score(binned, values) / mutual_info_score(values, values)
            assert float(shares[j, k]) == pytest.approx(share, abs=1e-12)
    first, second = shares.sort(0, descending=True).values[:2]
    assert mig(codes, factors) == pytest.approx(float((first - second).mean()), rel=1e-12)


def test_the_gap_is_whole_on_a_grid_and_closed_by_a_copy():
    grid = torch.cartesian_prod(torch.arange(4), torch.arange(5))
    assert mig(grid.double(), grid) == pytest.approx(1, abs=1e-12)
    assert mig(grid.double()[:, [0, 0, 1]], grid) == pytest.approx(0.5, abs=1e-12)
    assert mig(grid.double()[:, :1], grid) == pytest.approx(0.5, abs=1e-12)  # one latent is ahead of none
    assert mig(grid.double(), grid, bins=2) < 0.6


def test_votes_share_the_value_of_the_factor_that_they_fix(sprites):
    votes = list(draw_votes(sprites, 1234, 64, 2, torch.Generator().manual_seed(0)))
    factor, rows = torch.cat([part.factor for part in votes]), torch.cat([part.rows for part in votes])
    assert rows.shape == (1234, 64)
    values = sprites[rows].movedim(2, 0)
    for number, size in enumerate(FACTORS.values()):
        fixed = values[:, factor == number]
        assert (fixed[number] == fixed[number][:, :1]).all()
        assert set(fixed[number][:, 0].tolist()) == set(range(size))
        free = torch.stack([fixed[other].double().std(1).mean() for other in range(5) if other != number])
        assert (free > 0.5).all()
        assert (factor == number).double().mean() == pytest.approx(0.2, abs=CHANCE)


def test_every_example_of_a_value_is_drawn():
    factors = torch.stack([torch.arange(6) // 3, torch.tensor([0, 1, 1, 0, 0, 1])], 1)
    (votes,) = draw_votes(factors, 400, 3, 3, torch.Generator().manual_seed(0))
    for factor in (0, 1):
        assert votes.rows[votes.factor == factor].unique().tolist() == list(range(6))


def test_the_factor_vae_score_is_the_accuracy_of_the_majority():
    # Both factors leave the only latent least varying: it stands for the one that most votes fixed.
    factors = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    score = factor_vae_score(factors.double().sum(1, keepdim=True), factors, votes=2000, judged=4000)
    assert score == pytest.approx(0.5, abs=CHANCE)


def test_directions_are_those_that_the_code_was_turned_to(perfect, turned, sprites):
    turn = torch.linalg.lstsq(perfect, turned).solution
    directions = pca_directions(turned, sprites)
    torch.testing.assert_close(directions, turn, rtol=0, atol=1e-6)
    assert (direction_angles(directions) - 90 + 90 * torch.eye(5)).abs().max() < DEGREES
    flipped = pca_directions(-turned, sprites)  # they grow with their factors
    torch.testing.assert_close(flipped, -turn, rtol=0, atol=1e-6)


def test_directions_at_hand_are_taken(turned, sprites):
    directions = pca_directions(turned, sprites, votes=500)
    assert pca_mig(turned, sprites, directions=directions) == pytest.approx(1, abs=PARTIAL)
    assert pca_factor_vae_score(turned, sprites, directions=directions) == 1
    shuffled = directions[[1, 2, 3, 4, 0]]
    assert pca_factor_vae_score(turned, sprites, directions=shuffled) == 0
    assert pca_mig(turned, sprites, directions=shuffled) == pytest.approx(1, abs=PARTIAL)
    for wrong in (directions[:4], directions[:, :4], directions * math.nan):
        with pytest.raises(SigmaeError, match=r"direction .* for every factor"):
            as_released(pca_mig)(turned, sprites, directions=wrong)


def test_directions_of_two_factors_that_share_a_latent_are_one(sprites):
    mixed = torch.stack([sprites[:, 3] + sprites[:, 4], *sprites[:, :3].T], 1).double()
    angles = direction_angles(pca_directions(mixed / mixed.std(0), sprites, votes=2000))
    assert float(angles[3, 4]) < 10
    assert float(angles[0, 3]) > 70


def test_angles_are_folded():
    directions = torch.tensor([[2.0, 0.0], [-1.0, 1.0], [-3.0, 0.0]])
    expected = torch.tensor([[0.0, 45, 0], [45, 0, 45], [0, 45, 0]])
    assert (direction_angles(directions) - expected).abs().max() < DEGREES
    with pytest.raises(SigmaeError, match="length above 0"):
        direction_angles(torch.zeros(2, 3))


def test_a_collapsed_encoder_has_no_directions(sprites):
    with pytest.raises(SigmaeError, match=r"standard deviation above 0\.05"):
        pca_directions(0.01 * torch.randn(len(sprites), 3), sprites)


def test_dci_tells_its_three_scores_apart(perfect, sprites):
    codes, factors = perfect[::4], sprites[::4]
    doubled = dci(torch.cat([codes, codes], 1), factors)  # each latent knows one factor, each factor two latents
    assert doubled.disentanglement == pytest.approx(1, abs=PARTIAL)
    assert doubled.completeness < 0.8
    assert doubled.informativeness == pytest.approx(1, abs=PARTIAL)
    joint = (codes[:, :1] * 100).round() + codes[:, 1:2]  # one latent knows two factors, which have but this one
    both = dci(torch.cat([joint, codes[:, 2:3]], 1), factors[:, :3])
    assert both.disentanglement < 0.7
    assert both.completeness == pytest.approx(1, abs=0.05)
    half = dci(codes[:, :2], factors)
    assert half.importance.shape == (2, 5)
    assert half.informativeness == pytest.approx(0.4, abs=0.05)  # two of five factors, the others by chance


def test_dci_is_one_less_the_entropy_of_importances():
    from scipy.stats import entropy

    importance = torch.tensor([[0.6, 0.1], [0.3, 0.0], [0.1, 0.9]]).double()
    weights = importance.sum(1).numpy() / 2
    rows = 1 - entropy(importance.numpy(), axis=1, base=2)
    columns = 1 - entropy(importance.numpy(), axis=0, base=3)
    assert concentration(importance) == pytest.approx(float(weights @ rows))
    assert concentration(importance.T) == pytest.approx(columns.mean())


@pytest.mark.promise("The same seed", "Metrics and pictures that draw follow the seed, and it alone.")
def test_dci_is_the_same_for_the_same_seed(turned, sprites):
    codes, factors = turned[::16], sprites[::16]
    first, again, other = (dci(codes, factors, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.importance, again.importance)
    assert not torch.equal(first.importance, other.importance)


@pytest.mark.parametrize("direction", [1, torch.tensor([0.0, 5.0, 0.0])])
def test_a_traversal_moves_one_latent_alone(direction):
    code = torch.tensor([1.0, 7.0, -2.0])
    codes = traversal(code, direction, steps=5, span=(-2.0, 2.0))
    assert codes.tolist() == [[1, value, -2] for value in (-2, -1, 0, 1, 2)]


def test_a_traversal_along_a_direction_leaves_the_rest_of_the_code():
    code, direction = torch.randn(6).double(), torch.randn(6).double()
    unit = direction / direction.norm()
    codes = traversal(code, direction, span=(-4.0, 1.0))
    torch.testing.assert_close(codes @ unit, torch.linspace(-4, 1, 8).double())
    moved = codes - code
    torch.testing.assert_close(moved - torch.outer(moved @ unit, unit), torch.zeros(8, 6).double())


@pytest.mark.parametrize(
    ("direction", "steps", "reason"),
    [(3, 8, "no latent 3"), (-1, 8, "no latent -1"), (torch.zeros(3), 8, "length above 0"), (0, 0, "got 0 steps")],
)
def test_traversals_to_nowhere_are_refused(direction, steps, reason):
    with pytest.raises(SigmaeError, match=reason):
        traversal(torch.ones(3), direction, steps=steps)


def as_released(function):
    """Without the tests' check of shapes."""
    return getattr(function, "__wrapped__", function)


@pytest.mark.parametrize(
    "score", [factor_information, factor_vae_score, pca_mig, pca_factor_vae_score, dci, pca_directions]
)
def test_bad_codes_and_factors_are_refused(score):
    codes, factors = torch.randn(60, 3), torch.randint(2, (60, 2))
    with pytest.raises(SigmaeError, match="59 codes and the factors of 60 examples"):
        as_released(score)(codes[:59], factors)
    with pytest.raises(SigmaeError, match=r"those numbered \[1\] have one value"):
        score(codes, factors * torch.tensor([1, 0]))
    with pytest.raises(SigmaeError, match="Two or more factors"):
        score(codes, factors[:, :1])
    codes[7, 0] = math.nan
    with pytest.raises(SigmaeError, match="1 of 60 codes hold NaN"):
        score(codes, factors)


@pytest.mark.parametrize("score", [factor_vae_score, pca_factor_vae_score, pca_directions])
def test_a_value_of_too_few_examples_is_refused(score):
    factors = torch.randint(2, (60, 2))
    factors[8, 1] = 5
    with pytest.raises(SigmaeError, match=r"Factor 1 has the value 5 in 1 of 60 examples, and this needs [24] or more"):
        score(torch.randn(60, 3), factors)


def test_votes_of_too_few_examples_are_refused(turned, sprites):
    with pytest.raises(SigmaeError, match="votes of 5 examples cannot be: take 1 or more, of 6 or more"):
        pca_directions(turned, sprites, images=5)
    with pytest.raises(SigmaeError, match="0 votes"):
        factor_vae_score(turned, sprites, votes=0)


def test_too_few_bins_and_latents_are_refused(perfect, sprites):
    with pytest.raises(SigmaeError, match="two or more bins, got 1"):
        mig(perfect, sprites, bins=1)
    with pytest.raises(SigmaeError, match="two or more latents"):
        dci(perfect[:, :1], sprites)
