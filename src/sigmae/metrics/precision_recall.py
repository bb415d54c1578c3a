"""Precision and recall of distributions: which part of a generator's mass is real, and which part of the real mass
it reaches, as a curve (Sajjadi et al. 2018, "Assessing generative models via precision and recall").
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64, Real
from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.metrics.neighbours import check_vectors
from sigmae.seeds import derived_seed, generator

FIRST_ANGLE = 1e-10
BETA = 8.0


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Precision and recall for every angle, both in [0, 1]: the precision rises from 0, the recall falls to 0."""

    precision: Float64[Tensor, " angles"]
    recall: Float64[Tensor, " angles"]

    def largest(self, beta: float) -> float:
        """max F_beta over the curve, F_beta = (1 + beta²) p r / (beta² p + r): beta above 1 weighs the recall."""
        p, r = self.precision, self.recall
        scores = (1 + beta**2) * p * r / (beta**2 * p + r).clamp_min(torch.finfo(p.dtype).tiny)
        return float(scores.max())

    @property
    def f8_recall(self) -> float:
        """max F_8, in [0, 1], 1 is best: low where modes of the data are missing."""
        return self.largest(BETA)

    @property
    def f1_8_precision(self) -> float:
        """max F_1/8, in [0, 1], 1 is best: low where images are unlike the data."""
        return self.largest(1 / BETA)


def precision_recall_curve(
    *,
    real: Real[Tensor, "count features"],
    generated: Real[Tensor, "others features"],
    clusters: int = 20,
    angles: int = 1001,
    runs: int = 10,
    seed: int = 0,
) -> PrecisionRecallCurve:
    """The curve of feature vectors, as `histogram_curve` of their clusters, averaged over runs of the clustering.

    The protocol of the authors' code: mini-batch k-means of both sets together (scikit-learn's, from the best of ten
    starts), then the histogram of each set over the clusters. A larger set would pull the clusters, so that both must
    be equally large: of the larger one, as many vectors as the smaller one has are drawn by the seed.

    1 is best. Differences within a cluster are not seen, so that two sets can have 1 and 1 and look unlike; finite
    sets of one distribution stay just below 1. Compare only equal counts (the papers take 10,000 of each) in the same
    features. Costs a clustering for each run, and memory for two copies of both sets in float32.
    """
    if min(clusters, runs) < 1 or angles < 3:
        raise SigmaeError(
            "Precision and recall need one or more clusters and runs and three or more angles, "
            f"got {clusters}, {runs} and {angles}."
        )
    check_vectors(clusters, real=real, generated=generated)
    size = min(len(real), len(generated))
    draw = generator(seed, "precision and recall")
    both = torch.cat([_subset(vectors, size, draw).detach().cpu().float() for vectors in (real, generated)])
    curves = []
    for run in range(runs):
        labels = _clustered(both, clusters, derived_seed(seed, "precision and recall", run))
        counts = [torch.bincount(part, minlength=clusters).double() / size for part in labels.split(size)]
        curves.append(histogram_curve(real=counts[0], generated=counts[1], angles=angles))
    precision, recall = (torch.stack(found).mean(0) for found in zip(*curves, strict=True))
    return PrecisionRecallCurve(precision, recall)


def histogram_curve(
    *, real: Float64[Tensor, " states"], generated: Float64[Tensor, " states"], angles: int = 1001
) -> tuple[Float64[Tensor, " {angles}"], Float64[Tensor, " {angles}"]]:
    """Precision a(t) = sum_i min(t P_i, Q_i) and recall a(t) / t of probabilities P (real) and Q (generated).

    The slopes t are tangents of equal steps between 0 and pi / 2, so that to exchange P and Q is to exchange
    precision and recall, in reverse order.
    """
    slopes = torch.linspace(FIRST_ANGLE, math.pi / 2 - FIRST_ANGLE, angles, dtype=torch.float64).tan()
    precision = torch.minimum(slopes[:, None] * real, generated).sum(1)
    recall = precision / slopes
    return precision.clamp(0, 1), recall.clamp(0, 1)


def _subset(vectors: Tensor, size: int, draw: torch.Generator) -> Tensor:
    return vectors if len(vectors) == size else vectors[torch.randperm(len(vectors), generator=draw)[:size]]


def _clustered(vectors: Tensor, clusters: int, seed: int) -> Int64[Tensor, " count"]:
    """The cluster of each vector."""
    from sklearn.cluster import MiniBatchKMeans

    kmeans = MiniBatchKMeans(clusters, n_init=10, random_state=seed % 2**32)
    return torch.from_numpy(kmeans.fit(vectors.numpy()).labels_).long()
