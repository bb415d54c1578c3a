"""Sprites: binary images with known factors, drawn in the manner of dSprites."""

import math

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from sigmae.data.dataset import Dataset, Split
from sigmae.data.splits import three_ways

FACTORS = {"shape": 3, "scale": 4, "orientation": 8, "x": 10, "y": 10}
SIZE = 64  # pixels a side
STEP = 4  # pixels between two positions; whole, so that one drawing serves all positions
RADIUS = 11.0  # pixels; the half width of a sprite at scale 1

Plane = Float[Tensor, "height width"]


def load_sprites() -> Dataset:
    """The full grid of five factors, 9,600 images of 64 x 64 pixels, all different.

    Orientations fill a quarter turn, not a full one as in dSprites: there the square, which looks the same
    after a quarter turn, puts equal images into different splits.
    """
    sizes = tuple(FACTORS.values())
    factors = torch.cartesian_prod(*(torch.arange(size) for size in sizes))
    whole = Split(_drawn().mul(255), factors=factors)
    train, validation, test = (whole[rows] for rows in three_ways(len(whole), "sprites"))
    return Dataset("sprites", train, validation, test, factor_names=tuple(FACTORS), factor_sizes=sizes)


def square(u: Plane, v: Plane) -> Bool[Tensor, "height width"]:
    """The points inside a square of half width 0.8."""
    return torch.maximum(u.abs(), v.abs()) <= 0.8


def ellipse(u: Plane, v: Plane) -> Bool[Tensor, "height width"]:
    """The points inside an ellipse twice as wide as high."""
    return u.square() + (2 * v).square() <= 1


def heart(u: Plane, v: Plane) -> Bool[Tensor, "height width"]:
    """The points inside the sextic (x² + y² - 1)³ = x²y³, upright and shrunk into the unit disk."""
    x, y = 1.25 * u, -1.25 * v
    return (x.square() + y.square() - 1) ** 3 <= x.square() * y**3


def _drawn() -> UInt8[Tensor, "count 1 height width"]:
    """All images as zeros and ones, in the order of the factors, the last one fastest."""
    positions, angles = FACTORS["x"], math.pi / 2 * torch.arange(FACTORS["orientation"]) / FACTORS["orientation"]
    canvas = SIZE + STEP * (positions - 1)
    line = torch.arange(canvas) + 0.5 - canvas / 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    centred = torch.stack(
        [
            shape((x * cos + y * sin) / radius, (y * cos - x * sin) / radius)
            for shape in (square, ellipse, heart)
            for radius in (RADIUS * torch.linspace(0.5, 1, FACTORS["scale"])).tolist()
            for cos, sin in zip(angles.cos().tolist(), angles.sin().tolist(), strict=True)
        ]
    )
    # A window further to the left shows the sprite further to the right: hence the flips.
    windows = centred.unfold(1, SIZE, STEP).unfold(2, SIZE, STEP).flip(1, 2)
    return windows.transpose(1, 2).reshape(-1, 1, SIZE, SIZE).to(torch.uint8)
