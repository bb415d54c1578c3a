"""The FactorVAE score: latents vote for the factor that is fixed."""

import torch
from jaxtyping import Float, Float64, Int64
from torch import Generator, Tensor

from sigmae.metrics.disentanglement.factors import codes_of_factors, draw_votes, JUDGED, PRUNED, VOTES
from sigmae.seeds import generator


def factor_vae_score(
    codes: Float[Tensor, "count latent"],
    factors: Int64[Tensor, "count factors"],
    *,
    votes: int = VOTES,
    judged: int = JUDGED,
    images: int = 64,
    pruned: float = PRUNED,
    seed: int = 0,
) -> float:
    """The share of `judged` votes whose factor is told by the latent that varies least among `images` examples that
    share a value of it, in units of its variance over all codes (Kim and Mnih 2018, "Disentangling by factorising").

    A latent stands for the factor that most of its `votes` fixed; latents of a standard deviation up to `pruned` do
    not vote, and without any other the score is 0. One that knows nothing of K factors gets 1 / K; 1 is best. It does
    not see a factor that is spread over several latents, nor a latent that mixes in some of another factor. The
    numbers of votes are those of Locatello et al. (2019). Costs a variance of `images` codes a vote.
    """
    points = codes_of_factors(codes, factors)
    points = points[:, points.std(0) > pruned]
    if not points.shape[1]:
        return 0.0
    points = points / points.std(0)
    taught, asked = (
        _counts(points, factors, count, images, generator(seed, "factor-vae", purpose))
        for purpose, count in (("votes", votes), ("judged", judged))
    )
    told = asked.gather(1, taught.argmax(1, keepdim=True)).sum()
    return float(told / judged)


def _counts(
    points: Float64[Tensor, "count latent"],
    factors: Int64[Tensor, "count factors"],
    votes: int,
    images: int,
    draw: Generator,
) -> Int64[Tensor, "latent factors"]:
    """How many votes fix each factor and have each latent vary least."""
    counts = torch.zeros(points.shape[1], factors.shape[1], dtype=torch.int64)
    for part in draw_votes(factors, votes, images, 2, draw):
        least = points[part.rows].var(1).argmin(1)
        counts.index_put_((least, part.factor), torch.ones_like(least), accumulate=True)
    return counts
