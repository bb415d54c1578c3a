"""The canvas of every chart: one style, saved as PNG or as SVG, readable on white and on near-black."""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sigmae.errors import unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw = Callable[["Axes", str], None]
"""Draws into the axes; the string is the colour of the ink."""

FORMATS = ("png", "svg")
ACCENT = "#4484d8"
GRAY = "#7a7e85"  # reads equally well on white and on near-black: a PNG cannot know where it will be shown
INK = "#010203"  # stands for `currentColor`, which matplotlib has no name for
STYLE = {
    "svg.hashsalt": "sigmae",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10.5,
    "axes.formatter.useoffset": False,
}
INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
SCHEME = "svg{color:#33363b}@media(prefers-color-scheme:dark){svg{color:#d5d7da}}"
TYPEFACE = "system-ui, sans-serif"
DPI = 200


def check_format(format: str) -> None:
    """Refuse what is neither png nor svg."""
    if format not in FORMATS:
        raise unknown("picture format", format, FORMATS)


def chart(draw: Draw, *, title: str, format: str, size: tuple[float, float] = (4.8, 3.0)) -> bytes:
    """What `draw` draws, on a canvas of `size` inches whose title is in the file and not in the picture."""
    from matplotlib.figure import Figure

    with styled(format) as ink:
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot(), ink)
        return saved(figure, title, format)


def bare(axes: "Axes", ink: str) -> None:
    """No frame but the lower line, no ticks, faint lines at the values."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis="y", color=ink, alpha=0.15)
    axes.set_axisbelow(True)


def logarithmic(axes: "Axes", span: float) -> None:
    """A logarithmic value axis whose largest value is `span` times the smallest, with plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 1000 else (1,)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def legend(axes: "Axes") -> None:
    """The names of what is drawn, in a line above it."""
    axes.figure.legend(loc="outside upper left", ncols=3, frameon=False, handlelength=1.4, columnspacing=1.2)


@contextmanager
def styled(format: str) -> Iterator[str]:
    """matplotlib's own defaults in this style, whatever the reader's settings; gives the colour of the ink."""
    from matplotlib import style

    check_format(format)
    ink = INK if format == "svg" else GRAY
    with style.context(["default", STYLE | dict.fromkeys(INKED, ink)]):
        yield ink


def saved(figure: "Figure", title: str, format: str, dpi: int = DPI) -> bytes:
    """The figure as a file with a transparent ground, without the date and the program's version."""
    file = io.BytesIO()
    unnamed = {"Date": None, "Creator": None} if format == "svg" else {"Software": None}
    figure.savefig(file, format=format, dpi=dpi, transparent=True, metadata={"Title": title, **unnamed})
    return file.getvalue() if format == "png" else _adaptive(file.getvalue().decode()).encode()


def _adaptive(svg: str) -> str:
    """The SVG without its XML prologue, in the reader's own typeface, dark on light or light on dark."""
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", TYPEFACE, svg)
    return svg.replace('<style type="text/css">', f'<style type="text/css">{SCHEME}', 1)
