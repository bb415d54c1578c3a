import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from sigmae import figures
from sigmae.errors import SigmaeError
from sigmae.figures.plane import MARGINS, principal_directions

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"

# Metric scaling stops when its stress falls by less than a millionth.
SCALING_TOLERANCE = 1e-2
PRINCIPAL_TOLERANCE = 1e-4  # float32


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def random_images(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def texts(svg: bytes) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def paths(svg: bytes, colour: str, key: str = "stroke") -> list[np.ndarray]:
    """The corners of every path that has this colour."""
    return [
        np.array(re.findall(r"[ML] (\S+) (\S+)", path.get("d")), float)
        for path in ElementTree.fromstring(svg).iter(f"{SVG}path")
        if f"{key}: {colour}" in path.get("style", "")
    ]


NATS = torch.tensor([0.02, 3.0, 0.5, 1.0])
ANGLES = torch.tensor([[0.0, 88.4, 45.0], [88.4, 0.0, 12.0], [45.0, 12.0, 0.0]])
CURVE = (torch.tensor([1.0, 0.8, 0.0]), torch.tensor([0.0, 0.5, 0.9]))
POINTS = torch.randn(30, 4, generator=torch.Generator().manual_seed(1))

EVERY_CHART = {
    "divergences": lambda format: figures.divergence_bars(NATS, format=format),
    "angles": lambda format: figures.angle_matrix(ANGLES, ["a", "b", "c"], format=format),
    "precision and recall": lambda format: figures.precision_recall_curves({"gmm10": CURVE}, format=format),
    "map": lambda format: figures.latent_map(encodings=POINTS, prior=POINTS[:20] + 1, method="mds", format=format),
    "manifold": lambda format: figures.manifold(
        torch.arange(16 * 64, dtype=torch.uint8).view(16, 1, 8, 8), figures.axes_plane(2, side=4), format=format
    ),
}


@pytest.mark.parametrize("name", EVERY_CHART)
def test_every_chart_is_a_png_that_is_transparent_and_the_same_every_time(name):
    png = EVERY_CHART[name]("png")
    assert png == EVERY_CHART[name]("png")
    picture = pixels(png)
    assert (picture[:3, -3:, 3] == 0).all()
    ink = picture[picture[..., 3] == 255][:, :3].astype(int)
    # No letter or line vanishes on a white page or on a near-black one.
    assert ink.mean(1).min() < 200
    assert ink.mean(1).max() > 60


@pytest.mark.promise(
    "Files of strangers",
    "Text from a file stays text in every page, table and picture, and a report loads and runs nothing.",
)
@pytest.mark.parametrize("name", EVERY_CHART)
def test_every_chart_is_an_svg_that_loads_nothing_and_suits_light_and_dark(name):
    svg = EVERY_CHART[name]("svg").decode()
    assert svg == EVERY_CHART[name]("svg").decode()
    assert ElementTree.fromstring(svg).findtext(f"{SVG}title")
    assert "prefers-color-scheme:dark" in svg
    assert "currentColor" in svg
    assert figures.INK not in svg
    assert not re.search(r'href="(?!#|data:image/png)|url\((?!#)|@import', svg)


@pytest.mark.parametrize("name", EVERY_CHART)
def test_every_chart_refuses_an_unknown_format(name):
    with pytest.raises(SigmaeError, match="Unknown picture format 'pdf'"):
        EVERY_CHART[name]("pdf")


def test_interpolations_are_one_path_a_row():
    routes = random_images(2, 3, 1, 8, 8)
    picture = pixels(figures.interpolations(routes, scale=2))
    assert picture.shape == (16 + 4 + 16, 3 * 16, 4)
    for row, step in ((0, 0), (1, 2)):
        block = picture[row * 20 : row * 20 + 16, step * 16 : (step + 1) * 16, 0]
        np.testing.assert_array_equal(block[::2, ::2], routes[row, step, 0])
    with pytest.raises(SigmaeError, match="one path or more"):
        figures.interpolations(random_images(0, 3, 1, 8, 8))


def test_traversals_are_labelled_rows():
    images = random_images(2, 3, 1, 8, 8)
    expected = figures.rows({"latent 0": images[0], "shape": images[1]}, columns=3)
    assert figures.traversals(images, names=["latent 0", "shape"]) == expected
    for names in (["a"], ["a", "a"]):
        with pytest.raises(SigmaeError, match=f"got {len(names)} names"):
            figures.traversals(images, names=names)


def test_neighbours_stand_below_their_sample_the_nearest_first():
    samples, nearest = random_images(3, 1, 8, 8), random_images(3, 2, 1, 8, 8)
    expected = figures.rows({"sample": samples, "nearest": nearest[:, 0], "nearest, 2": nearest[:, 1]})
    assert figures.neighbours(samples, nearest) == expected


def test_a_plane_of_two_latents_runs_from_the_top_left_and_leaves_the_others_at_0():
    plane = figures.axes_plane(3, axes=(0, 2), side=5, extent=5.0)
    assert plane.names == ("latent 0", "latent 2")
    assert plane.latents.shape == (25, 3)
    assert not plane.latents[:, 1].any()
    first = [-4.0, -2.0, 0.0, 2.0, 4.0]
    assert torch.allclose(plane.latents[:5, 0], torch.tensor(first))  # a row of the picture
    assert torch.allclose(plane.latents[::5, 2], -torch.tensor(first))  # a column, from the top


def test_the_principal_plane_agrees_with_scikit_learn():
    encodings = torch.randn(400, 5) @ torch.randn(5, 5) + torch.randn(5)
    directions, deviations = principal_directions(encodings)
    reference = PCA(2).fit(encodings.numpy())
    cosines = (directions.numpy() * reference.components_).sum(1)
    assert np.abs(cosines) == pytest.approx(1, abs=PRINCIPAL_TOLERANCE)
    assert deviations.numpy() == pytest.approx(reference.explained_variance_**0.5, rel=PRINCIPAL_TOLERANCE)
    plane = figures.principal_plane(encodings, side=3, extent=1.5)
    middle, right = plane.latents[4], plane.latents[5]
    assert torch.allclose(middle, encodings.mean(0), atol=1e-5)
    assert torch.allclose(right - middle, directions[0] * deviations[0], atol=1e-4)  # one deviation


def test_a_manifold_shows_every_pixel_at_its_place():
    plane = figures.axes_plane(2, side=4)
    images = random_images(16, 3, 8, 8)
    picture = pixels(figures.manifold(images, plane, scale=2))
    left, below, right, above = MARGINS
    assert picture.shape == (above + 64 + below, left + 64 + right, 4)
    shown = picture[above : above + 64, left : left + 64]
    expected = pixels(figures.grid(images, columns=4, scale=2, gap=0))
    # Ticks are drawn beside the images and not over them.
    np.testing.assert_array_equal(shown, expected)
    svg = figures.manifold(images, plane, scale=2, format="svg")
    (image,) = ElementTree.fromstring(svg).iter(f"{SVG}image")
    inside = pixels(base64.b64decode(image.get(HREF).partition(";base64,")[2]))
    np.testing.assert_array_equal(inside, expected)
    assert {"latent 0", "latent 1"} <= set(texts(svg))


def test_a_manifold_is_enlarged_to_about_600_pixels():
    left, _, right, _ = MARGINS
    plane = figures.axes_plane(2, side=4)
    assert pixels(figures.manifold(random_images(16, 1, 8, 8), plane)).shape[1] - left - right == 4 * 8 * 19


def test_divergences_are_sorted_and_coloured_by_collapse():
    svg = figures.divergence_bars(NATS, format="svg")
    assert {"3 used", "1 collapsed", "0.05 nats", "KL in nats"} <= set(texts(svg))
    numbers = [text for text in texts(svg) if re.fullmatch(r"[0-3]", text)]
    assert numbers[:4] == ["1", "3", "2", "0"]
    bars = [bar for bar in paths(svg, figures.ACCENT, "fill") if np.ptp(bar[:, 1]) > 20]
    tops = np.array([bar[:, 1].min() for bar in bars])
    heights = np.log([3.0, 1.0, 0.5])
    assert np.corrcoef(tops, heights)[0, 1] == pytest.approx(-1, abs=1e-6)  # y points down
    flagged = figures.divergence_bars(NATS, torch.tensor([True, False, True, False]), format="svg")
    assert {"2 used", "2 collapsed"} <= set(texts(flagged))


def test_divergences_of_nothing_but_zero_or_of_many_latents_are_drawn():
    assert "4 collapsed" in texts(figures.divergence_bars(torch.zeros(4), format="svg"))
    many = texts(figures.divergence_bars(torch.linspace(0.1, 1, 100), format="svg"))
    assert "100 used" in many
    assert "latents, sorted" in many


def test_angles_are_numbers_on_their_cells():
    svg = figures.angle_matrix(ANGLES, ["shape", "x & y", "<z>"], format="svg")
    assert [text for text in texts(svg) if text.isdigit()] == ["0", "88", "45", "88", "0", "12", "45", "12", "0"]
    assert {"shape", "x & y", "<z>"} <= set(texts(svg))


def test_a_precision_recall_curve_goes_through_its_points():
    svg = figures.precision_recall_curves({"gmm10": CURVE, "prior": (CURVE[1], CURVE[0])}, format="svg")
    assert {"gmm10", "prior", "recall", "precision"} <= set(texts(svg))
    drawn = max(paths(svg, figures.ACCENT), key=len)
    precision, recall = (values.numpy() for values in CURVE)
    assert np.corrcoef(drawn[:, 0], recall)[0, 1] == pytest.approx(1, abs=1e-6)
    assert np.corrcoef(-drawn[:, 1], precision)[0, 1] == pytest.approx(1, abs=1e-6)


def distances(points: torch.Tensor) -> torch.Tensor:
    return torch.cdist(points.double(), points.double())


def test_metric_scaling_keeps_the_distances_of_a_plane():
    flat = torch.randn(60, 2)
    turned, _ = torch.linalg.qr(torch.randn(5, 5))
    result = figures.embedded(flat @ turned[:2] + 3, "mds")
    assert torch.allclose(distances(result), distances(flat), atol=SCALING_TOLERANCE)


@pytest.mark.promise("The same seed", "Metrics and pictures that draw follow the seed, and it alone.")
def test_tsne_keeps_neighbours_and_is_the_same_for_a_seed():
    centres = 20 * torch.eye(6)[:3]
    points = torch.cat([centre + torch.randn(30, 6) for centre in centres])
    before = torch.get_rng_state()
    result = figures.embedded(points, "tsne", seed=3)
    assert torch.equal(result, figures.embedded(points, "tsne", seed=3))
    assert torch.equal(before, torch.get_rng_state())
    assert trustworthiness(points.numpy(), result.numpy(), n_neighbors=5) > 0.85
    nearest = distances(result).fill_diagonal_(torch.inf).argmin(1)
    assert torch.equal(nearest // 30, torch.arange(90) // 30)


def test_a_map_names_its_labels_and_draws_no_more_points_than_asked_for():
    labels = torch.arange(30) % 3
    svg = figures.latent_map(
        encodings=POINTS,
        prior=torch.randn(50, 4),
        labels=labels,
        label_names=("cat", "dog"),
        method="mds",
        count=20,
        format="svg",
    )
    assert texts(svg) == ["prior", "cat", "dog", "2"]
    points = [node for node in ElementTree.fromstring(svg).iter(f"{SVG}use") if "fill" in node.get("style", "")]
    assert len(points) == 20 + 20 + 4  # the legend has four
    many = figures.latent_map(encodings=POINTS, prior=POINTS, labels=torch.arange(30), method="mds", format="svg")
    assert texts(many) == ["prior", "encodings"]


BAD = {
    "no latents": (lambda: figures.divergence_bars(torch.zeros(0)), "got 0 latents"),
    "NaN nats": (lambda: figures.divergence_bars(torch.tensor([1.0, torch.nan])), "finite nats"),
    "negative nats": (lambda: figures.divergence_bars(torch.tensor([1.0, -1.0])), "from -1 to 1"),
    "no threshold": (lambda: figures.divergence_bars(NATS, threshold=0.0), "threshold above 0"),
    "names": (lambda: figures.angle_matrix(ANGLES, ["a"]), "got 1 names for 3 directions"),
    "unfolded": (lambda: figures.angle_matrix(2 * ANGLES, ["a", "b", "c"]), "up to 176.8: fold them"),
    "NaN angles": (lambda: figures.angle_matrix(torch.nan * ANGLES, ["a", "b", "c"]), "angles up to nan"),
    "no curves": (lambda: figures.precision_recall_curves({}), "got 0"),
    "percent": (lambda: figures.precision_recall_curves({"a": (100 * CURVE[0], CURVE[1])}), "of 'a' are shares"),
    "NaN curve": (lambda: figures.precision_recall_curves({"a": (torch.nan * CURVE[0], CURVE[1])}), "not all lie"),
    "one axis": (lambda: figures.axes_plane(3, axes=(1, 1)), "two different latents from 0 to 2, got 1 and 1"),
    "no axis": (lambda: figures.axes_plane(3, axes=(0, 3)), "got 0 and 3"),
    "side": (lambda: figures.axes_plane(3, side=1), "side of 2 or more"),
    "extent": (lambda: figures.axes_plane(3, extent=float("inf")), "positive extent"),
    "few": (lambda: figures.principal_plane(torch.randn(2, 4)), "got 2 of 4"),
    "thin": (lambda: figures.principal_plane(torch.randn(9, 1)), "got 9 of 1"),
    "NaN codes": (lambda: figures.principal_plane(torch.full((9, 2), torch.nan)), "some NaN or infinite"),
    "images": (lambda: figures.manifold(random_images(3, 1, 8, 8), figures.axes_plane(2, side=2)), "got 3 for 4"),
    "scale": (lambda: figures.manifold(random_images(4, 1, 8, 8), figures.axes_plane(2, side=2), scale=0), "scale=0"),
    "path scale": (lambda: figures.interpolations(random_images(1, 3, 1, 8, 8), scale=0), "scale=0"),
    "map": (lambda: figures.embedded(POINTS, "umap"), "Unknown map 'umap'"),
    "few points": (lambda: figures.embedded(POINTS[:4], "mds"), "5 or more points, got 4"),
    "NaN points": (lambda: figures.embedded(torch.full((9, 2), torch.nan), "mds"), "some NaN"),
    "widths": (lambda: figures.latent_map(encodings=POINTS, prior=torch.randn(9, 3)), "4 latents and the samples 3"),
    "labels": (lambda: figures.latent_map(encodings=POINTS, prior=POINTS, labels=torch.arange(3)), "3 labels for 30"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_drawn_is_told(name):
    draw, told = BAD[name]
    with pytest.raises(SigmaeError, match=re.escape(told)):
        draw()
