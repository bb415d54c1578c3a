"""Directions: a unit vector of the latent space for every factor, whichever way the latent axes lie.

Algorithm 2 of the aggregate VAE, and the scores of the latent axes carried over to its directions.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Float64, Int64
from torch import Generator, Tensor

from sigmae.errors import SigmaeError
from sigmae.metrics.disentanglement.factors import codes_of_factors, draw_votes, JUDGED, PRUNED, VOTES
from sigmae.metrics.disentanglement.gap import mig
from sigmae.seeds import generator

Codes = Float[Tensor, "count latent"]
Factors = Int64[Tensor, "count factors"]
Directions = Float[Tensor, "factors latent"]


def pca_directions(
    codes: Codes, factors: Factors, *, votes: int = VOTES, images: int = 100, pruned: float = PRUNED, seed: int = 0
) -> Float64[Tensor, "factors latent"]:
    """For every factor the direction along which codes vary least while it is fixed, where it grows with the factor.

    Each vote fixes a factor and takes the principal axis of least variance of `images` codes; a factor's direction d
    maximises the sum of (d · axis)² over its votes: the top eigenvector of their mean outer product, which the
    authors' code centres first. Directions need not be orthogonal (see `direction_angles`).

    Principal axes of all codes with a standard deviation up to `pruned` are left out, as in the FactorVAE score,
    since a latent that is not used varies least whatever is fixed; 0 keeps all that vary, as the authors do. Their
    code takes 10,000 images a vote, the paper does not say. Codes are not whitened: a factor that is mixed with others
    is missed where another latent is narrower than what fixing it leaves. Costs an eigendecomposition a vote.
    """
    points = codes_of_factors(codes, factors)
    basis = _used_axes(points, pruned)
    if not basis.shape[1]:
        raise SigmaeError(
            f"No direction of these codes has a standard deviation above {pruned:g}: the encoder has collapsed, "
            "or its codes are small and need a smaller `pruned`."
        )
    moments = torch.zeros(factors.shape[1], basis.shape[1], basis.shape[1], dtype=torch.float64)
    for factor, axes in _least_axes(points @ basis, factors, votes, images, generator(seed, "pca", "votes")):
        moments.index_add_(0, factor, axes.unsqueeze(2) * axes.unsqueeze(1))
    directions = torch.linalg.eigh(moments).eigenvectors[..., -1] @ basis.T
    growth = (factors.double() - factors.double().mean(0)).T @ points
    return torch.where((directions * growth).sum(1, keepdim=True) < 0, -directions, directions)


def pca_mig(
    codes: Codes, factors: Factors, *, directions: Directions | None = None, bins: int = 10, seed: int = 0
) -> float:
    """The MIG of the codes' coordinates along `directions`, or along `pca_directions`; 0 to 1, which is best.

    Aggregate VAE, Section IV; its authors' code takes 10 bins, where MIG takes 20. Where two directions are nearly
    one, their gap is small. Directions are found with the same examples that are scored.
    """
    points = codes_of_factors(codes, factors)
    if directions is None:
        if not _used_axes(points, PRUNED).shape[1]:
            return 0.0
        directions = pca_directions(codes, factors, seed=seed)
    _require_all(directions, points, factors)
    return mig(points @ directions.double().T, factors, bins=bins)


def pca_factor_vae_score(
    codes: Codes,
    factors: Factors,
    *,
    directions: Directions | None = None,
    judged: int = JUDGED,
    images: int = 100,
    pruned: float = PRUNED,
    seed: int = 0,
) -> float:
    """The share of `judged` votes whose axis of least variance is closest, by its angle, to the direction of the
    factor that they fixed: `directions`, or `pca_directions`.

    Aggregate VAE, Section IV; 1 is best, 1 / K says nothing of K factors, and 0 is for codes that are pruned
    whole. It asks only which direction is closest: directions that are nearly one can score 1.
    """
    points = codes_of_factors(codes, factors)
    basis = _used_axes(points, pruned)
    if not basis.shape[1]:
        return 0.0
    if directions is None:
        directions = pca_directions(codes, factors, images=images, pruned=pruned, seed=seed)
    _require_all(directions, points, factors)
    inside, told = directions.double() @ basis, 0
    for factor, axes in _least_axes(points @ basis, factors, judged, images, generator(seed, "pca", "judged")):
        told += int(((axes @ inside.T).square().argmax(1) == factor).sum())
    return told / judged


def direction_angles(directions: Directions) -> Float64[Tensor, "factors factors"]:
    """The angle between every two directions in degrees, 0 to 90: which way a direction points does not count.

    Figure 4 of the aggregate VAE; 90 off the diagonal is best.
    """
    units = torch.stack([_unit(direction.double()) for direction in directions])
    return (units @ units.T).abs().clamp_max(1).arccos().rad2deg()


def traversal(
    code: Float[Tensor, " latent"],
    direction: int | Float[Tensor, " latent"],
    *,
    steps: int = 8,
    span: tuple[float, float] = (-3.0, 3.0),
) -> Float[Tensor, "steps latent"]:
    """Codes to decode: the coordinate along a direction, or the latent of that number, runs over `span` in even
    steps, while all that is orthogonal to it stays as in `code`.
    """
    if isinstance(direction, int):
        if not 0 <= direction < len(code):
            raise SigmaeError(f"There is no latent {direction} in a code of {len(code)}: the first is 0.")
        direction = torch.eye(len(code))[direction]
    if steps < 1 or len(direction) != len(code):
        raise SigmaeError(
            f"A traversal takes 1 or more steps along as many latents as the code has, got {steps} steps and "
            f"{len(direction)} for {len(code)} latents."
        )
    unit = _unit(direction.to(code))
    coordinates = torch.linspace(*span, steps).to(code)
    codes: Tensor = code - (code @ unit) * unit + coordinates.outer(unit)
    return codes


def _unit(direction: Float[Tensor, " latent"]) -> Float[Tensor, " latent"]:
    length = torch.linalg.vector_norm(direction)
    if not 0 < length < torch.inf:
        raise SigmaeError(f"A direction has a length above 0 and finite, got {length:g}.")
    unit: Tensor = direction / length
    return unit


def _require_all(directions: Float[Tensor, "rows columns"], points: Codes, factors: Factors) -> None:
    expected = (factors.shape[1], points.shape[1])
    if tuple(directions.shape) != expected or not directions.isfinite().all():
        raise SigmaeError(
            f"There is a finite direction [factors, latent] for every factor, {list(expected)}, "
            f"got {list(directions.shape)}: take those of pca_directions for these codes."
        )


def _used_axes(points: Float64[Tensor, "count latent"], pruned: float) -> Float64[Tensor, "latent used"]:
    """The principal axes of all codes, as columns, along which the standard deviation is above `pruned`."""
    variances, axes = torch.linalg.eigh(points.T.cov().view(points.shape[1], points.shape[1]))
    used: Tensor = axes[:, variances.clamp_min(0).sqrt() > pruned]
    return used


def _least_axes(
    points: Float64[Tensor, "count latent"],
    factors: Int64[Tensor, "count factors"],
    votes: int,
    images: int,
    draw: Generator,
) -> Iterator[tuple[Int64[Tensor, " votes"], Float64[Tensor, "votes latent"]]]:
    """Of every vote the factor, and the principal axis of least variance; as many examples as axes always lie flat."""
    for part in draw_votes(factors, votes, images, points.shape[1] + 1, draw):
        group = points[part.rows]
        group = group - group.mean(1, keepdim=True)
        yield part.factor, torch.linalg.eigh(group.mT @ group).eigenvectors[..., 0]
