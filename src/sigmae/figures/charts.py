"""Charts of measured numbers: the latents' divergences, the angles between directions, precision over recall."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jaxtyping import Bool, Float
from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.figures.canvas import ACCENT, bare, chart, GRAY, legend, logarithmic
from sigmae.metrics.collapse import EPSILON

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (ACCENT, "#e0803a", "#4caf6e", "#c0589f", "#a58fe0", "#b39a2e", "#45aebd", "#d9605f", "#8a9a5b", "#a0735a")
NUMBERED = 32  # more latents than these are counted, not numbered
LIGHT = 0.5  # luminance from which black letters read better than white ones


def divergence_bars(
    nats: Float[Tensor, " latent"],
    collapsed: Bool[Tensor, " latent"] | None = None,
    *,
    threshold: float = EPSILON,
    format: str = "png",
) -> bytes:
    """The mean KL(q(z_j|x) || p) of every latent in nats, the largest first, over the threshold of collapse.

    Logarithmic. Gray bars are the latents in `collapsed` (as `metrics.collapse.collapsed` finds them, example
    by example); without it, those below the threshold in the mean, which is a guess. Bars that end below a
    hundredth of the threshold are not seen.
    """
    if not len(nats) or not nats.isfinite().all() or (nats < 0).any() or not threshold > 0:
        raise SigmaeError(
            f"A chart of divergences needs finite nats of 0 or more and a threshold above 0, got {len(nats)} latents "
            f"from {nats.min() if len(nats) else 0:g} to {nats.max() if len(nats) else 0:g} and {threshold:g}: "
            "check the posterior."
        )
    gray = nats < threshold if collapsed is None else collapsed
    order = nats.argsort(descending=True, stable=True)
    heights, lost = nats[order].tolist(), gray[order].tolist()

    def draw(axes: "Axes", ink: str) -> None:
        for chosen, name, colour in ((False, "used", ACCENT), (True, "collapsed", (GRAY, 0.6))):
            bars = {place: height for place, height in enumerate(heights) if lost[place] is chosen}
            if bars:
                axes.bar(list(bars), list(bars.values()), color=colour, label=f"{len(bars)} {name}")
        axes.axhline(threshold, color=ink, linewidth=1, linestyle="--", label=f"{threshold:g} nats")
        low, high = min(threshold, max(heights[-1], threshold / 50)) / 2, 2 * max(heights[0], threshold)
        logarithmic(axes, high / low)
        axes.set_ylim(low, high)
        bare(axes, ink)
        if len(heights) <= NUMBERED:
            axes.set_xticks(range(len(heights)), [str(latent) for latent in order.tolist()], fontsize=8)
        axes.set_xlabel("latent" if len(heights) <= NUMBERED else "latents, sorted")
        axes.set_ylabel("KL in nats")
        legend(axes)

    return chart(draw, title="Divergence of every latent from the prior", format=format)


def angle_matrix(degrees: Float[Tensor, "count count"], names: Sequence[str], *, format: str = "png") -> bytes:
    """The angles between directions, folded to at most 90 degrees, as a heat map with numbers.

    90 off the diagonal: the directions are orthogonal. Figure 4 of the aggregate-posterior paper.
    """
    count = len(degrees)
    if not count or len(names) != count or not ((degrees >= 0) & (degrees <= 90.001)).all():
        raise SigmaeError(
            f"A matrix of angles needs one name per direction and angles from 0 to 90 degrees, got {len(names)} names "
            f"for {count} directions and angles up to {degrees.max() if count else 0:g}: fold them."
        )

    def draw(axes: "Axes", ink: str) -> None:
        mesh = axes.pcolormesh(degrees.numpy(force=True), cmap="Blues_r", vmin=0, vmax=100)
        for row, angles in enumerate(degrees.tolist()):
            for column, angle in enumerate(angles):
                red, green, blue, _ = mesh.cmap(mesh.norm(angle))
                letters = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > LIGHT else "white"
                axes.text(column + 0.5, row + 0.5, f"{angle:.0f}", color=letters, ha="center", va="center")
        centres = [place + 0.5 for place in range(count)]
        axes.set_xticks(centres, names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(centres, names)
        axes.set_aspect("equal")
        axes.invert_yaxis()
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)

    side = 1.6 + 0.45 * count
    return chart(draw, title="Angles between latent directions, in degrees", format=format, size=(side, side))


def precision_recall_curves(
    curves: Mapping[str, tuple[Float[Tensor, " angles"], Float[Tensor, " angles"]]], *, format: str = "png"
) -> bytes:
    """Precision over recall for distributions (PRD): one curve per name, each given as (precision, recall)."""
    if not curves or len(curves) > len(COLOURS):
        raise SigmaeError(f"A chart of precision and recall shows 1 to {len(COLOURS)} curves, got {len(curves)}.")
    for name, (precision, recall) in curves.items():
        values = [*precision.aminmax(), *recall.aminmax()] if len(precision) else []
        if not values or not all(0 <= value.item() <= 1 for value in values):
            raise SigmaeError(f"Precision and recall of '{name}' are shares, and not all lie in [0, 1]: check them.")

    def draw(axes: "Axes", ink: str) -> None:
        for (name, (precision, recall)), colour in zip(curves.items(), COLOURS, strict=False):
            axes.plot(recall.tolist(), precision.tolist(), label=name, color=colour, linewidth=2, clip_on=False)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall", ylabel="precision", aspect="equal")
        bare(axes, ink)
        axes.grid(axis="x", color=ink, alpha=0.15)
        axes.tick_params(pad=7)
        legend(axes)

    return chart(draw, title="Precision and recall for distributions", format=format, size=(4.2, 4.4))
