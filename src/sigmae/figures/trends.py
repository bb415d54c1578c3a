"""Trends: a number against what was varied, a line for every method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sigmae.errors import SigmaeError
from sigmae.figures.canvas import bare, chart, legend
from sigmae.figures.charts import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Point:
    """A number at a place, with its standard deviation where it has one."""

    at: float
    value: float
    deviation: float | None = None


def trends(
    lines: Mapping[str, Sequence[Point]],
    *,
    x: str,
    y: str,
    dashed: Mapping[str, Sequence[Point]] | None = None,
    logarithmic: bool = False,
    format: str = "png",
) -> bytes:
    """A line for every name, with bars of one standard deviation; `dashed` lines have the colours of the same names.

    `x` and `y` name the axes; `logarithmic` is about x. Raises `SigmaeError` where there is nothing to draw.
    """
    if not any(lines.values()) or len(lines) > len(COLOURS):
        raise SigmaeError(f"A chart of trends shows 1 to {len(COLOURS)} lines with a point or more, got {len(lines)}.")

    def draw(axes: "Axes", ink: str) -> None:
        for (name, points), colour in zip(lines.items(), COLOURS, strict=False):
            places, values = [point.at for point in points], [point.value for point in points]
            axes.plot(places, values, color=colour, label=name, linewidth=2, marker="o", markersize=4)
            spread = [point for point in points if point.deviation]
            if spread:
                axes.errorbar(
                    [point.at for point in spread],
                    [point.value for point in spread],
                    [point.deviation or 0.0 for point in spread],
                    color=colour,
                    fmt="none",
                    capsize=3,
                )
            if printed := (dashed or {}).get(name):
                places, values = [point.at for point in printed], [point.value for point in printed]
                axes.plot(places, values, color=colour, label=f"{name}, in print", linewidth=1.2, linestyle="--")
        if logarithmic:
            axes.set_xscale("log")
            places = sorted({point.at for points in lines.values() for point in points})
            axes.set_xticks(places, [f"{place:g}" for place in places])
            axes.minorticks_off()
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        bare(axes, ink)
        legend(axes)

    return chart(draw, title=f"{y} against {x}", format=format)
