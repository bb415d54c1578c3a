"""The pictures of an evaluation, as files by name: grids of images as PNG, charts as PNG and as SVG."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import torch
from jaxtyping import Bool, Float, Int64, Real
from torch import Tensor

from sigmae import figures
from sigmae.errors import SigmaeError
from sigmae.evaluation import disentangled, latent
from sigmae.evaluation.generation import decoded, prd_curve
from sigmae.evaluation.stages import Stages
from sigmae.figures.canvas import FORMATS
from sigmae.figures.charts import COLOURS
from sigmae.figures.maps import COUNT
from sigmae.figures.plane import SIDE, WHOLE
from sigmae.metrics.collapse import collapsed, mean_divergences
from sigmae.metrics.disentanglement import direction_angles, traversal
from sigmae.metrics.images import to_uint8
from sigmae.metrics.neighbours import distance_blocks
from sigmae.seeds import generator

PAIRS, LATENTS, NEAREST = 8, 16, 3
FEWEST = 8  # large images a side of the manifold, which is as wide as with small ones where it can be
REACH = 3.0  # standard deviations of the codes

Chart = Callable[..., bytes]
"""Draws itself in the `format` that it is given."""


def pictures(
    stages: Stages, *, quick: bool = False, also: Sequence[str] = (), columns: int = 10
) -> dict[str, bytes]:  # fmt: skip
    """Files by name; `quick` leaves out what takes long: the charts, the manifold, the directions of factors.

    Of these, `also` names some that are drawn all the same.

    Data that are no images, or have channels that no picture shows, get the charts alone. What does not apply, such
    as the divergences of a deterministic encoder, is left out. Equal stages give equal bytes.
    """
    shown = QUICK_GRIDS | {stem: draw for stem, draw in GRIDS.items() if stem in also or not quick}
    drawn: dict[str, bytes] = {}
    if figures.can_be_shown(stages.data.shape):
        for stem, draw in shown.items():
            stages.tell(f"picture: {stem}")
            with suppress(SigmaeError):
                drawn[f"{stem}.png"] = draw(stages, columns)
        drawn |= {f"samples-{name}.png": samples(stages, name, columns) for name in stages.chosen_densities}
    for stem, plan in {} if quick else CHARTS.items():
        stages.tell(f"picture: {stem}")
        with suppress(SigmaeError):
            chart = plan(stages)
            drawn |= {f"{stem}.{format}": chart(format=format) for format in FORMATS}
    return drawn


def reconstructions(stages: Stages, columns: int) -> bytes:
    """Test images above what the model makes of them."""
    decoded = stages.model.decode(stages.codes("test")[:columns])
    pairs = {"test": to_uint8(stages.data.test.images[:columns]), "decoded": to_uint8(decoded)}
    return figures.rows(pairs, columns=columns)


def samples(stages: Stages, density: str, columns: int) -> bytes:
    """Eight rows of samples of a density."""
    images = stages.model.sample(8 * columns, density=density, seed=stages.seed)
    return figures.grid(to_uint8(images), columns=columns)


def interpolations(stages: Stages, columns: int) -> bytes:
    """Paths between pairs of test images."""
    count = min(PAIRS, len(stages.data.test) // 2)
    ends = stages.data.test.images[: 2 * count].unflatten(0, (count, 2))
    paths = stages.model.interpolate(ends[:, 0], ends[:, 1], steps=columns)
    return figures.interpolations(to_uint8(paths.flatten(0, 1)).unflatten(0, paths.shape[:2]))


def neighbours(stages: Stages, columns: int) -> bytes:
    """Samples above their nearest training images."""
    candidates = ("gmm10", stages.model.own_density, *stages.chosen_densities)
    density = next((name for name in candidates if name in stages.model.densities), None)
    drawn = decoded(stages, stages.model.sample_latents(columns, density=density, seed=stages.seed))
    train = stages.data.train.images
    nearest = train[nearest_rows(drawn, train.flatten(1), NEAREST)]
    shown = to_uint8(nearest.flatten(0, 1)).unflatten(0, nearest.shape[:2])
    return figures.neighbours(to_uint8(drawn.unflatten(1, train.shape[1:])), shown, columns=columns)


def nearest_rows(
    points: Real[Tensor, "count features"], others: Real[Tensor, "more features"], k: int
) -> Int64[Tensor, "count nearest"]:
    """The rows of the `k` others that are nearest to each point, the nearest first; all where there are fewer."""
    squares = torch.full((len(points), min(k, len(others))), math.inf, dtype=torch.float64)
    found = torch.zeros_like(squares, dtype=torch.int64)
    for rows, columns, distances in distance_blocks(points, others):
        candidates = torch.arange(len(others))[columns].expand(len(distances), -1)
        nearest = torch.cat([squares[rows], distances], dim=1).topk(squares.shape[1], largest=False)
        squares[rows] = nearest.values
        found[rows] = torch.cat([found[rows], candidates], dim=1).gather(1, nearest.indices)
    return found


def traversals(stages: Stages, columns: int) -> bytes:
    """What each latent does to a test image: those that tell most of x, by their divergence or else their variance."""
    codes = stages.codes("test")
    told = mean_divergences(latent.nats(stages)) if stages.has_posterior else codes.var(0, correction=0)
    order = told.argsort(descending=True, stable=True)[:LATENTS]
    return moved(stages, torch.eye(codes.shape[1])[order], [f"latent {j}" for j in order.tolist()], columns)


def direction_traversals(stages: Stages, columns: int) -> bytes:
    """What each factor's direction does to a test image."""
    return moved(stages, disentangled.directions(stages).float(), factor_names(stages), columns)


def moved(stages: Stages, axes: Float[Tensor, "axes latent"], names: Sequence[str], columns: int) -> bytes:
    """The first test image's code, its coordinate along each axis moved over the spread of all codes, decoded."""
    codes = stages.codes("test")
    places = codes @ axes.T
    reach = REACH * places.std(0, correction=0)
    low, high = (places.mean(0) - reach).tolist(), (places.mean(0) + reach).tolist()
    spans = zip(low, high, strict=True)
    z = torch.stack(
        [traversal(codes[0], axis, steps=columns, span=span) for axis, span in zip(axes, spans, strict=True)]
    )
    images = to_uint8(stages.model.decode(z.flatten(0, 1))).unflatten(0, z.shape[:2])
    return figures.traversals(images, names=names)


def manifold(stages: Stages, columns: int) -> bytes:
    """The plane of both latents where there are two, else of the first two principal directions, decoded."""
    codes = stages.codes("test")
    side = max(FEWEST, min(SIDE, WHOLE // stages.data.shape[-1]))
    plane = figures.axes_plane(2, side=side) if codes.shape[1] == 2 else figures.principal_plane(codes, side=side)
    return figures.manifold(to_uint8(stages.model.decode(plane.latents)), plane)


def divergences(stages: Stages) -> Chart:
    """The divergence of every latent from the prior, where q has a spread."""
    nats = latent.nats(stages)
    means = mean_divergences(nats).clamp_min(0)  # rounding can leave one just below 0
    return partial(figures.divergence_bars, means, collapsed(nats))


def latent_map(stages: Stages, method: str) -> Chart:
    """Draws of q of the test split beside samples of the prior that the method aims at, in the latents in use."""
    test, scale = stages.data.test, stages.model.objective.prior_scale
    draws = stages.draws("test")[:, used(stages)]
    prior = scale * torch.randn(COUNT, draws.shape[1], generator=generator(stages.seed, "map", "prior samples"))
    return partial(
        figures.latent_map,
        encodings=draws,
        prior=prior,
        labels=test.labels,
        label_names=stages.data.label_names,
        method=method,
        seed=stages.seed,
    )


def used(stages: Stages) -> Bool[Tensor, " latent"]:
    """The latents that are not collapsed: the others are noise in which the rest would drown. All, if few are left."""
    everything = torch.ones(stages.codes("test").shape[1], dtype=torch.bool)
    kept = ~collapsed(latent.nats(stages)) if stages.has_posterior else everything
    return kept if kept.sum() >= 2 else everything


def angles(stages: Stages) -> Chart:
    """The angles between the directions of the factors."""
    return partial(figures.angle_matrix, direction_angles(disentangled.directions(stages)), factor_names(stages))


def precision_over_recall(stages: Stages) -> Chart:
    """The curves of precision over recall of reconstructions and of samples of every density."""
    shown = ["reconstructions", *stages.chosen_densities][: len(COLOURS)]
    curves = {of: prd_curve(stages, of) for of in shown}
    drawn = {of: (curve.precision, curve.recall) for of, curve in curves.items()}
    return partial(figures.precision_recall_curves, drawn)


def factor_names(stages: Stages) -> list[str]:
    """The names of the factors, or their numbers where they have none."""
    names = list(stages.data.factor_names)
    return names or [f"factor {k}" for k in range(len(disentangled.directions(stages)))]


QUICK_GRIDS = {
    "reconstructions": reconstructions,
    "interpolations": interpolations,
    "neighbours": neighbours,
    "traversals": traversals,
}
GRIDS = {"direction-traversals": direction_traversals, "manifold": manifold}
CHARTS: dict[str, Callable[[Stages], Chart]] = {
    "divergences": divergences,
    "precision-recall": precision_over_recall,
    "angles": angles,
    "map-tsne": partial(latent_map, method="tsne"),
    "map-mds": partial(latent_map, method="mds"),
}
