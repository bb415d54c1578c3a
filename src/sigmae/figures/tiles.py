"""Images side by side: grids, and labelled rows, of pixels enlarged by whole factors."""

import base64
import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import torch
from jaxtyping import UInt8
from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.figures.canvas import check_format, GRAY, SCHEME, TYPEFACE

if TYPE_CHECKING:
    from PIL.Image import Image

CHANNELS = (1, 3, 4)  # gray, RGB, RGBA: what a picture can show
TILE = 56  # pixels: what an image is enlarged to, about
LABEL_SIZE = 15
TEXT_SIZE = 13  # of a label in an SVG, where the typeface is the reader's own and may be wider
LINE = 1.2  # the distance of two lines of a label, in units of its size

Strip = tuple[int, str, UInt8[Tensor, "_height _width 4"]]
"""Its height in the picture, its label and its pixels."""


def can_be_shown(shape: Sequence[int]) -> bool:
    """Whether examples of a shape are images that a picture can show."""
    return len(shape) == 3 and shape[0] in CHANNELS


def grid(
    images: UInt8[Tensor, "count channels height width"],
    *,
    columns: int,
    scale: int | None = None,
    gap: int = 4,
    format: str = "png",
) -> bytes:
    """The images as one picture, row by row, with transparent gaps of `gap` pixels between them.

    Images of 1, 3 or 4 channels (gray, RGB, RGBA). Each pixel becomes `scale` x `scale` pixels; without
    `scale`, small images are enlarged by the whole factor that brings them nearest to 56 pixels.
    """
    _check_layout(columns, scale, gap)
    return _sheet([(0, "", mosaic(tiles(images, scale), columns, gap))], format)


def rows(
    named: Mapping[str, UInt8[Tensor, "_count _channels _height _width"]],
    *,
    columns: int = 8,
    scale: int | None = None,
    gap: int = 4,
    format: str = "png",
) -> bytes:
    """Images that belong together one above the other, as one picture with a label before each row.

    Every value has as many images as the others, of the same height and width: image i of each name stands
    in column i. After `columns` images the rows start again below.
    """
    _check_layout(columns, scale, gap)
    groups = {name: tiles(images, scale) for name, images in named.items()}
    shapes = {name: tuple(group.shape[:3]) for name, group in groups.items()}
    if len(set(shapes.values())) != 1:
        told = ", ".join(f"'{name}' {shape}" for name, shape in shapes.items()) or "no row at all"
        raise SigmaeError(f"Rows need as many images of one size under every name, got {told}.")
    count, height, _ = next(iter(shapes.values()))
    strips: list[Strip] = []
    top = 0
    for start in range(0, count, columns):
        for name, group in groups.items():
            strips.append((top, name, mosaic(group[start : start + columns], columns, gap)))
            top += height + gap
        top += 3 * gap
    return _sheet(strips, format)


def interpolations(
    paths: UInt8[Tensor, "pairs steps channels height width"], *, scale: int | None = None, format: str = "png"
) -> bytes:
    """One path a row, from its one end to the other; without gaps along the path."""
    groups = [tiles(path, scale) for path in paths]
    height = groups[0].shape[1] if groups else 0
    strips = [(row * (height + 4), "", mosaic(path, len(path), 0)) for row, path in enumerate(groups)]
    if not strips:
        raise SigmaeError("A picture of interpolations needs one path or more, got none.")
    return _sheet(strips, format)


def traversals(
    images: UInt8[Tensor, "directions steps channels height width"],
    *,
    names: Sequence[str],
    scale: int | None = None,
    format: str = "png",
) -> bytes:
    """One row per latent or direction, labelled with its name: what moving along it alone does to an image."""
    if len(names) != len(images) or len(set(names)) != len(names):
        raise SigmaeError(
            f"Traversals need one name of its own per direction, got {len(names)} names ({len(set(names))} different) "
            f"for {len(images)} directions."
        )
    return rows(dict(zip(names, images, strict=True)), columns=images.shape[1], scale=scale, format=format)


def neighbours(
    samples: UInt8[Tensor, "count _channels height width"],
    nearest: UInt8[Tensor, "count nearest channels height width"],
    *,
    columns: int = 10,
    scale: int | None = None,
    format: str = "png",
) -> bytes:
    """Every sample above its nearest images, the nearest first. A sample that equals one of them is a copy."""
    ranked = {("nearest" if rank == 1 else f"nearest, {rank}"): nearest[:, rank - 1] for rank in _ranks(nearest)}
    return rows({"sample": samples, **ranked}, columns=columns, scale=scale, format=format)


def tiles(
    images: UInt8[Tensor, "count channels height width"], scale: int | None
) -> UInt8[Tensor, "count tall wide 4"]:
    """The images as RGBA with the channels last, each pixel enlarged to `scale` x `scale`."""
    _check_layout(1, scale, 0)
    channels, *size = images.shape[1:]
    if channels not in (1, 3, 4):
        raise SigmaeError(f"A picture shows 1, 3 or 4 channels, got {channels}: choose which to show.")
    if not images.numel():
        raise SigmaeError(f"A picture needs an image or more, got shape {tuple(images.shape)}.")
    colour = images.expand(-1, 3, -1, -1) if channels == 1 else images[:, :3]
    alpha = images[:, 3:] if channels == 4 else torch.full_like(images[:, :1], 255)
    factor = max(1, round(TILE / max(size))) if scale is None else scale
    enlarged = torch.cat([colour, alpha], dim=1).movedim(1, -1).cpu()
    return enlarged.repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)


def mosaic(tiles: UInt8[Tensor, "count height width 4"], columns: int, gap: int) -> UInt8[Tensor, "tall wide 4"]:
    """The tiles row by row, transparent between them and after the last."""
    count, height, width, _ = tiles.shape
    columns = min(columns, count)
    canvas = tiles.new_zeros(math.ceil(count / columns) * (height + gap) - gap, columns * (width + gap) - gap, 4)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def _ranks(nearest: Tensor) -> range:
    return range(1, nearest.shape[1] + 1)


def _check_layout(columns: int, scale: int | None, gap: int) -> None:
    if columns < 1 or gap < 0 or (scale is not None and scale < 1):
        got = f"got columns={columns}, scale={scale}, gap={gap}"
        raise SigmaeError(f"A picture needs columns and scale of 1 or more and a gap of 0 or more, {got}.")


def _sheet(strips: Sequence[Strip], format: str) -> bytes:
    """The strips at their heights, each behind its label broken into short lines."""
    from PIL import Image as pil, ImageDraw, ImageFont

    check_format(format)
    font = ImageFont.load_default(LABEL_SIZE)
    labels = [textwrap.fill(name, 14, break_long_words=False) for _, name, _ in strips]
    ruler = ImageDraw.Draw(pil.new("RGBA", (1, 1)))
    widest = math.ceil(max(ruler.multiline_textbbox((0, 0), text, font)[2] for text in labels))
    gutter = widest + LABEL_SIZE if any(labels) else 0
    last, _, strip = strips[-1]
    width = max(strip.shape[1] for _, _, strip in strips)
    picture = pil.new("RGBA", (gutter + width, last + strip.shape[0]))
    for top, _, strip in strips:
        picture.paste(pil.fromarray(strip.numpy()), (gutter, top))
    middles = [top + strip.shape[0] / 2 for top, _, strip in strips]
    if format == "svg":
        return _svg(_png(picture), picture.size, dict(zip(middles, labels, strict=True)))
    for middle, text in zip(middles, labels, strict=True):
        ImageDraw.Draw(picture).multiline_text((0, middle), text, GRAY, font, anchor="lm", spacing=2)
    return _png(picture)


def _png(picture: "Image") -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def _svg(png: bytes, size: tuple[int, int], labels: Mapping[float, str]) -> bytes:
    """The PNG inside an SVG, whose labels are text at the middles of their rows."""
    width, height = size
    shown = f'width="{width}" height="{height}"'
    image = f'<image {shown} href="data:image/png;base64,{base64.b64encode(png).decode()}"/>'
    lines = [
        f'<text y="{middle + TEXT_SIZE * (LINE * (index - text.count(chr(10)) / 2) + 0.35):g}">{escape(line)}</text>'
        for middle, text in labels.items()
        for index, line in enumerate(text.splitlines())
    ]
    style = f"<style>{SCHEME}text{{fill:currentColor;font:{TEXT_SIZE}px {TYPEFACE}}}</style>"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {shown} viewBox="0 0 {width} {height}">'
    return "".join([head, style, image, *lines, "</svg>"]).encode()
