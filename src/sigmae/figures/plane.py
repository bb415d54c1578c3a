"""The manifold: what the decoder makes of a plane of latents, square by square."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.figures.canvas import saved, styled
from sigmae.figures.tiles import mosaic, tiles

EXTENT, SIDE = 5.0, 20
WHOLE = 600  # pixels: what a manifold is enlarged to, about
MARGINS = (60, 50, 10, 10)  # pixels left, below, right and above
DPI = 100  # a point of the labels is then about as large as in the grids


@dataclass(frozen=True, eq=False)
class Plane:
    """Latents on a square grid over [-extent, extent]², row by row from the top left, and the names of its axes."""

    latents: Float[Tensor, "points latent"]
    names: tuple[str, str]
    extent: float = EXTENT


def axes_plane(latent_dim: int, *, axes: tuple[int, int] = (0, 1), side: int = SIDE, extent: float = EXTENT) -> Plane:
    """The plane of two latents, all others 0: the whole latent space where there are two."""
    first, second = axes
    if first == second or not all(0 <= axis < latent_dim for axis in axes):
        raise SigmaeError(
            f"A plane needs two different latents from 0 to {latent_dim - 1}, got {first} and {second}: name two."
        )
    directions = torch.eye(latent_dim)[list(axes)]
    return Plane(_grid(side, extent) @ directions, (f"latent {first}", f"latent {second}"), extent)


def principal_plane(encodings: Float[Tensor, "count latent"], *, side: int = SIDE, extent: float = EXTENT) -> Plane:
    """The plane through the mean of the encodings along their first two principal directions.

    In standard deviations along each: for encodings that follow N(0, I) a plane through 0 in latents' units.
    """
    directions, deviations = principal_directions(encodings)
    steps = _grid(side, extent) @ (directions * deviations.unsqueeze(1))
    names = ("direction 1 (deviations)", "direction 2 (deviations)")
    return Plane(encodings.mean(0).cpu() + steps.to(encodings.dtype), names, extent)


def principal_directions(
    encodings: Float[Tensor, "count latent"],
) -> tuple[Float[Tensor, "2 latent"], Float[Tensor, "2"]]:
    """The two orthogonal unit directions of largest variance, and the standard deviations along them.

    The sign, which is not determined, makes each direction's largest entry positive.
    """
    count, latent_dim = encodings.shape
    if count < 3 or latent_dim < 2 or not encodings.isfinite().all():
        raise SigmaeError(
            f"Principal directions need three or more finite encodings of two or more latents, got {count} of "
            f"{latent_dim}{'' if encodings.isfinite().all() else ', some NaN or infinite'}: encode more images."
        )
    centred = encodings.detach().double().cpu()
    centred = centred - centred.mean(0)
    _, values, vectors = torch.linalg.svd(centred, full_matrices=False)
    directions = vectors[:2] * vectors[:2].gather(1, vectors[:2].abs().argmax(1, keepdim=True)).sign()
    return directions.float(), (values[:2] / (count - 1) ** 0.5).float()


def manifold(
    images: UInt8[Tensor, "points channels height width"],
    plane: Plane,
    *,
    scale: int | None = None,
    format: str = "png",
) -> bytes:
    """The decoded images of a plane's latents, each at its place, without gaps.

    Each pixel becomes `scale` x `scale` pixels; without it, the factor that brings the picture nearest to 600.
    """
    if len(images) != len(plane.latents):
        raise SigmaeError(
            f"A manifold needs an image per latent, got {len(images)} for {len(plane.latents)}: decode plane.latents."
        )
    side = round(len(images) ** 0.5)
    factor = max(1, round(WHOLE / (side * images.shape[-1]))) if scale is None else scale
    pixels = mosaic(tiles(images, factor), side, 0)
    tall, wide, _ = pixels.shape
    left, below, right, above = MARGINS
    size = left + wide + right, below + tall + above
    with styled(format):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI)
        # The axes are as many pixels as the images, so that none is resampled.
        axes = figure.add_axes((left / size[0], below / size[1], wide / size[0], tall / size[1]))
        edge = plane.extent
        axes.imshow(pixels.numpy(), extent=(-edge, edge, -edge, edge), aspect="auto", interpolation="none")
        axes.set(xlabel=plane.names[0], ylabel=plane.names[1])
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, pad=7)  # a tick's end would cover pixels of the images at the edge
        return saved(figure, "Decoded plane of latents", format, DPI)


def _grid(side: int, extent: float) -> Float[Tensor, "points 2"]:
    """The centres of side x side squares that fill [-extent, extent]², from the top left as images are shown."""
    if side < 2 or not 0 < extent < float("inf"):
        raise SigmaeError(f"A plane needs a side of 2 or more and a positive extent, got {side} and {extent:g}.")
    line = torch.linspace(-extent, extent, 2 * side + 1)[1::2]
    second, first = torch.meshgrid(line.flip(0), line, indexing="ij")
    return torch.stack([first.flatten(), second.flatten()], dim=1)
