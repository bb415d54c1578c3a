"""Disentanglement, completeness and informativeness, by how well a forest predicts the factors."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.metrics.disentanglement.factors import codes_of_factors
from sigmae.seeds import derived_seed, generator

TREES = 20
HELD_OUT = 3  # one example of three


@dataclass(frozen=True, eq=False)
class DCI:
    """Three scores, 0 to 1, which is best, and the importance of every latent for every factor."""

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Float64[Tensor, "latent factors"]


def dci(codes: Float[Tensor, "count latent"], factors: Int64[Tensor, "count factors"], *, seed: int = 0) -> DCI:
    """Eastwood and Williams (2018), "A framework for the quantitative evaluation of disentangled representations".

    `disentanglement`: a latent matters for one factor only: 1 less the entropy, in units of ln K, of its importances,
    averaged over latents in proportion to them. `completeness`: one latent only matters for a factor: the same for
    factors, in units of ln m. `informativeness`: how well the codes predict the factors, at all.

    Factors are classes, each predicted by a random forest of 20 trees that see all latents at every split, from two
    thirds of the examples; the importance is the decrease of Gini impurity. Informativeness is of the other third:
    accuracy, on the scale where the most frequent value has 0. (The paper reports errors of regression; Locatello
    et al. 2019 accuracies, of boosted trees, which take hours for factors of many values.) With few examples
    the trees split on noise, which lowers all three. Compare only numbers of as many examples.
    """
    points = codes_of_factors(codes, factors)
    if points.shape[1] < 2 or len(points) < HELD_OUT:
        raise SigmaeError(f"DCI compares two or more latents of {HELD_OUT} or more codes, got {list(points.shape)}.")
    order = torch.randperm(len(points), generator=generator(seed, "dci", "split"))
    test, train = order.tensor_split([len(order) // HELD_OUT])
    columns, accuracies = [], []
    for number, column in enumerate(factors.T):
        start = derived_seed(seed, "dci", "forest", number) % 2**32
        importance, accuracy = _forest(points[train], column[train], points[test], column[test], start)
        columns.append(importance)
        accuracies.append(accuracy)
    importance = torch.stack(columns, 1)
    return DCI(
        disentanglement=concentration(importance),
        completeness=concentration(importance.T),
        informativeness=sum(accuracies) / len(accuracies),
        importance=importance,
    )


def _forest(
    points: Float64[Tensor, "train latent"],
    values: Int64[Tensor, " train"],
    others: Float64[Tensor, "test latent"],
    truth: Int64[Tensor, " test"],
    start: int,
) -> tuple[Float64[Tensor, " latent"], float]:
    """The importance of every latent, adding up to 1 or all 0, and the accuracy on the held-out examples."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(TREES, max_features=None, random_state=start).fit(points.numpy(), values.numpy())
    accuracy = float(forest.score(others.numpy(), truth.numpy()))
    chance = float((truth == values.mode().values).double().mean())
    above = (accuracy - chance) / (1 - chance) if chance < 1 else 0.0
    return torch.from_numpy(forest.feature_importances_), max(0.0, above)


def concentration(importance: Float64[Tensor, "rows columns"]) -> float:
    """1 - H(row) / ln columns, averaged over rows in proportion to their sums; 0 where nothing matters."""
    sums = importance.sum(1, keepdim=True)
    if not sums.any():
        return 0.0
    shares = importance / torch.where(sums > 0, sums, 1)
    spread = torch.special.entr(shares).sum(1) / math.log(importance.shape[1])
    return float((sums.squeeze(1) * (1 - spread)).sum() / sums.sum())
