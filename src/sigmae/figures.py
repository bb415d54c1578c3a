"""Pictures: grids and labelled rows of images as PNG, the course of a training run as SVG."""

import io
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TYPE_CHECKING

import torch
from jaxtyping import UInt8
from torch import Tensor

from sigmae.errors import SigmaeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TILE = 56  # pixels: what an image is enlarged to, about
LABEL_SIZE = 15
# Read equally well on white and on near-black, because a PNG cannot know where it will be shown.
LABEL_COLOUR = (122, 126, 133, 255)
ACCENT = "#4484d8"
PARTS = {"train": "training", "validation": "validation"}
INK = "#010203"  # stands for `currentColor`, which matplotlib has no name for
STYLE = {
    "svg.hashsalt": "sigmae",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.formatter.useoffset": False,
}

History = Sequence[Mapping[str, Any]]


def grid(
    images: UInt8[Tensor, "count channels height width"],
    *,
    columns: int,
    scale: int | None = None,
    gap: int = 4,
) -> bytes:
    """The images as one PNG, row by row, with transparent gaps of `gap` pixels between them.

    Images of 1, 3 or 4 channels (gray, RGB, RGBA). Each pixel becomes `scale` x `scale` pixels; without
    `scale`, small images are enlarged by the whole factor that brings them nearest to 56 pixels.
    """
    _check_layout(columns, scale, gap)
    return _png(_mosaic(_tiles(images, scale), columns, gap))


def rows(
    named: Mapping[str, UInt8[Tensor, "_count _channels _height _width"]],
    *,
    columns: int = 8,
    scale: int | None = None,
    gap: int = 4,
) -> bytes:
    """Images that belong together one above the other, as one PNG with a label before each row.

    Every value has as many images as the others, of the same height and width: image i of each name stands
    in column i. After `columns` images the rows start again below.
    """
    _check_layout(columns, scale, gap)
    tiles = {name: _tiles(images, scale) for name, images in named.items()}
    shapes = {name: tuple(group.shape[:3]) for name, group in tiles.items()}
    if len(set(shapes.values())) != 1:
        told = ", ".join(f"'{name}' {shape}" for name, shape in shapes.items()) or "no row at all"
        raise SigmaeError(f"Rows need as many images of one size under every name, got {told}.")
    count, height, _ = next(iter(shapes.values()))
    strips: list[tuple[int, str, Tensor]] = []
    top = 0
    for start in range(0, count, columns):
        for name, group in tiles.items():
            strips.append((top, name, _mosaic(group[start : start + columns], columns, gap)))
            top += height + gap
        top += 3 * gap
    return _labelled(strips)


def curves(history: History) -> dict[str, str]:
    """One SVG per loss term: its training and validation values over the epochs, the best epoch marked.

    `history` holds the records of `metrics.jsonl`: `epoch`, `train` and `validation` with the same terms,
    `best`. Values that are not finite are left out, and so is a term that is zero throughout. The value axis
    is logarithmic where all values are positive and span more than a factor of ten. Lines and letters are dark
    for a reader who prefers a light page and light for one who prefers a dark one. The same history gives the
    same bytes.
    """
    terms = dict.fromkeys(term for record in history for part in PARTS for term in _terms(record, part))
    drawn = {term: {part: series(history, part, term) for part in PARTS} for term in terms}
    return {
        term: _curve(term, lines, best_epoch(history))
        for term, lines in drawn.items()
        if any(value for line in lines.values() for value in line.values())
    }


def series(history: History, part: str, term: str) -> dict[int, float]:
    """The finite values of a term by epoch; `part` is "train" or "validation"."""
    values = {record.get("epoch"): _terms(record, part).get(term) for record in history}
    return {
        epoch: float(value)
        for epoch, value in values.items()
        if isinstance(epoch, int) and isinstance(value, int | float) and math.isfinite(value)
    }


def best_epoch(history: History) -> int | None:
    """The last epoch marked as the best; the one of the lowest validation loss where none is marked."""
    loss = series(history, "validation", "loss")
    marked = [record.get("epoch") for record in history if record.get("best") is True]
    lowest = min(loss, key=loss.__getitem__, default=None)
    return next((epoch for epoch in reversed(marked) if epoch in loss), lowest)


def _terms(record: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    terms = record.get(part)
    return terms if isinstance(terms, Mapping) else {}


def _check_layout(columns: int, scale: int | None, gap: int) -> None:
    if columns < 1 or gap < 0 or (scale is not None and scale < 1):
        got = f"got columns={columns}, scale={scale}, gap={gap}"
        raise SigmaeError(f"A picture needs columns and scale of 1 or more and a gap of 0 or more, {got}.")


def _tiles(
    images: UInt8[Tensor, "count channels height width"], scale: int | None
) -> UInt8[Tensor, "count tall wide 4"]:
    channels, *size = images.shape[1:]
    if channels not in (1, 3, 4):
        raise SigmaeError(f"A picture shows 1, 3 or 4 channels, got {channels}: choose which to show.")
    if not images.numel():
        raise SigmaeError(f"A picture needs an image or more, got shape {tuple(images.shape)}.")
    colour = images.expand(-1, 3, -1, -1) if channels == 1 else images[:, :3]
    alpha = images[:, 3:] if channels == 4 else torch.full_like(images[:, :1], 255)
    factor = max(1, round(TILE / max(size))) if scale is None else scale
    tiles = torch.cat([colour, alpha], dim=1).movedim(1, -1).cpu()
    return tiles.repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)


def _mosaic(tiles: UInt8[Tensor, "count height width 4"], columns: int, gap: int) -> UInt8[Tensor, "tall wide 4"]:
    count, height, width, _ = tiles.shape
    columns = min(columns, count)
    canvas = tiles.new_zeros(math.ceil(count / columns) * (height + gap) - gap, columns * (width + gap) - gap, 4)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def _png(picture: UInt8[Tensor, "height width 4"]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture.numpy()).save(file, "PNG", optimize=True)
    return file.getvalue()


def _labelled(strips: Sequence[tuple[int, str, UInt8[Tensor, "_height _width 4"]]]) -> bytes:
    """The strips at their heights, each behind its name broken into short lines."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(LABEL_SIZE)
    labels = [textwrap.fill(name, 14, break_long_words=False) for _, name, _ in strips]
    ruler = ImageDraw.Draw(Image.new("RGBA", (1, 1)))
    gutter = math.ceil(max(ruler.multiline_textbbox((0, 0), text, font)[2] for text in labels)) + LABEL_SIZE
    last, _, strip = strips[-1]
    width = max(strip.shape[1] for _, _, strip in strips)
    picture = Image.new("RGBA", (gutter + width, last + strip.shape[0]))
    for (top, _, strip), text in zip(strips, labels, strict=True):
        picture.paste(Image.fromarray(strip.numpy()), (gutter, top))
        middle = (0, top + strip.shape[0] / 2)
        ImageDraw.Draw(picture).multiline_text(middle, text, LABEL_COLOUR, font, anchor="lm", spacing=2)
    return _png(torch.from_numpy(np.array(picture)))


def _curve(term: str, lines: Mapping[str, Mapping[int, float]], best: int | None) -> str:
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", STYLE]):
        figure = Figure(figsize=(4.8, 3.0), layout="constrained")
        axes = figure.add_subplot()
        _draw(axes, lines, best)
        _dress(axes, [value for line in lines.values() for value in line.values()])
        file = io.StringIO()
        metadata = {"Title": term, "Date": None, "Creator": None}
        figure.savefig(file, format="svg", transparent=True, metadata=metadata)
    return _adaptive(file.getvalue())


def _draw(axes: "Axes", lines: Mapping[str, Mapping[int, float]], best: int | None) -> None:
    for part, colour, width in (("train", (INK, 0.5), 1.2), ("validation", ACCENT, 2.0)):
        if line := lines[part]:
            marker = "o" if len(line) == 1 else ""
            values = list(line.values())
            axes.plot(list(line), values, label=PARTS[part], color=colour, linewidth=width, marker=marker)
    if best is not None and best in lines["validation"]:
        value = lines["validation"][best]
        axes.plot([best], [value], "o", color=ACCENT, markersize=7, label=f"best, epoch {best}")


def _dress(axes: "Axes", values: Sequence[float]) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    if min(values) > 0 and max(values) > 10 * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(values) < 1000 * min(values) else (1,)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis="y", color=INK, alpha=0.15)
    axes.figure.legend(loc="outside upper left", ncols=3, frameon=False, handlelength=1.4, columnspacing=1.2)


def _adaptive(svg: str) -> str:
    """The SVG without its XML prologue, in the reader's own typeface, dark on light or light on dark."""
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", svg)
    scheme = "svg{color:#33363b}@media(prefers-color-scheme:dark){svg{color:#d5d7da}}"
    return svg.replace('<style type="text/css">', f'<style type="text/css">{scheme}', 1)
