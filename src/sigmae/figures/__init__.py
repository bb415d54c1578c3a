"""Pictures as functions of tensors and numbers, as PNG or as SVG: grids of images, curves, charts, maps of latents.

Every picture reads on white and on near-black. The same arguments give the same bytes.
"""

from sigmae.figures.canvas import ACCENT, INK
from sigmae.figures.charts import angle_matrix, divergence_bars, precision_recall_curves
from sigmae.figures.history import best_epoch, curves, History, series
from sigmae.figures.maps import embedded, latent_map
from sigmae.figures.plane import axes_plane, manifold, Plane, principal_plane
from sigmae.figures.tiles import can_be_shown, grid, interpolations, neighbours, rows, traversals
from sigmae.figures.trends import Point, trends

__all__ = [
    "ACCENT",
    "INK",
    "History",
    "Plane",
    "Point",
    "angle_matrix",
    "axes_plane",
    "best_epoch",
    "can_be_shown",
    "curves",
    "divergence_bars",
    "embedded",
    "grid",
    "interpolations",
    "latent_map",
    "manifold",
    "neighbours",
    "precision_recall_curves",
    "principal_plane",
    "rows",
    "series",
    "traversals",
    "trends",
]
