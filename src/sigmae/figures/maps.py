"""Maps: encodings beside samples of the prior, brought to two dimensions by t-SNE or by metric scaling."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sigmae.errors import SigmaeError, unknown
from sigmae.figures.canvas import ACCENT, chart, check_format, GRAY
from sigmae.figures.charts import COLOURS
from sigmae.figures.plane import principal_directions
from sigmae.seeds import derived_seed, generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {"tsne": "t-SNE of encodings and prior samples", "mds": "Metric scaling of encodings and prior samples"}

COUNT = 500  # points of each kind; metric scaling takes time and memory by the square of their number
FEWEST = 5
SMALL = 1e-4  # the deviation that scikit-learn gives to the start of a t-SNE


def latent_map(
    *,
    encodings: Float[Tensor, "count latent"],
    prior: Float[Tensor, "others _latent"],
    labels: Int64[Tensor, " _labels"] | None = None,
    label_names: Sequence[str] = (),
    method: str = "tsne",
    count: int = COUNT,
    seed: int = 0,
    format: str = "png",
) -> bytes:
    """A scatter map of encodings, coloured by label where there are any, and of samples of the prior in gray.

    Where the gray points lie outside the coloured ones, the decoder is sampled where it was never trained. At
    most `count` points of each kind, drawn by the seed, are embedded together. Axes have no units: t-SNE keeps
    neighbours and not distances, so read no sizes or gaps off it; metric scaling keeps distances as well as
    two dimensions can. More than ten labels are drawn in one colour. Costs seconds; half a minute for a
    thousand points of each kind.
    """
    if encodings.shape[1] != prior.shape[1] or (labels is not None and len(labels) != len(encodings)):
        told = "" if labels is None else f", and there are {len(labels)} labels for {len(encodings)} encodings"
        raise SigmaeError(
            f"A map shows encodings and samples of one space: the encodings have {encodings.shape[1]} latents and the "
            f"samples {prior.shape[1]}{told}: give what belongs to one model."
        )
    check_format(format)
    kept = torch.randperm(len(encodings), generator=generator(seed, "map", "encodings"))[:count]
    drawn = torch.randperm(len(prior), generator=generator(seed, "map", "prior"))[:count]
    points = embedded(torch.cat([encodings.cpu()[kept], prior.cpu()[drawn]]), method, seed=seed)
    codes, samples = points.split([len(kept), len(drawn)])
    classes = None if labels is None else labels.cpu()[kept]

    def draw(axes: "Axes", ink: str) -> None:
        axes.scatter(samples[:, 0], samples[:, 1], s=9, color=GRAY, alpha=0.6, linewidths=0, label="prior")
        for name, colour, rows in _groups(classes, label_names, len(codes)):
            axes.scatter(codes[rows, 0], codes[rows, 1], s=9, color=colour, alpha=0.8, linewidths=0, label=name)
        axes.set(xticks=[], yticks=[], aspect="equal")
        axes.set_adjustable("datalim")
        axes.spines[:].set_visible(False)
        axes.figure.legend(loc="outside right upper", frameon=False, handletextpad=0.1, markerscale=2)

    return chart(draw, title=TITLES[method], format=format, size=(5.6, 4.2))


def embedded(points: Float[Tensor, "count latent"], method: str, *, seed: int = 0) -> Float[Tensor, "count 2"]:
    """Points in two dimensions by t-SNE or by metric scaling (SMACOF), begun from the principal plane.

    Metric scaling gives two-dimensional points back, up to a rotation. The same points and seed, the same map.
    """
    from sklearn.manifold import smacof, TSNE
    from sklearn.metrics import pairwise_distances

    if method not in TITLES:
        raise unknown("map", method, TITLES)
    if len(points) < FEWEST:
        raise SigmaeError(f"A map needs {FEWEST} or more points, got {len(points)}: encode more images.")
    directions, deviations = principal_directions(points)
    centred = points.detach().double() - points.detach().double().mean(0)
    flat, random = centred @ directions.T.double(), derived_seed(seed, "map") % 2**32
    if method == "tsne":
        start = SMALL * flat / deviations[0].clamp_min(SMALL)
        tsne = TSNE(perplexity=min(30.0, (len(points) - 1) / 3), init=start.numpy(), random_state=random)
        result = tsne.fit_transform(centred.numpy())
    else:
        distances = pairwise_distances(centred.numpy())
        result, _ = smacof(distances, init=flat.numpy(), n_init=1, max_iter=300, eps=1e-6, random_state=random)
    return torch.from_numpy(result).float()


def _groups(
    classes: Int64[Tensor, " count"] | None, names: Sequence[str], count: int
) -> list[tuple[str, object, Tensor]]:
    """A name, a colour and the rows of each label."""
    if classes is None or len(classes.unique()) > len(COLOURS):
        return [("encodings", ACCENT, torch.arange(count))]
    return [
        (names[label] if label < len(names) else str(label), colour, (classes == label).nonzero().squeeze(1))
        for label, colour in zip(classes.unique().tolist(), COLOURS, strict=False)
    ]
