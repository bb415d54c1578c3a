import base64
import io
import math
import re
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from sigmae.errors import SigmaeError
from sigmae.figures import ACCENT, best_epoch, curves, grid, INK, rows, series

SVG = "{http://www.w3.org/2000/svg}"


def pixels(png: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    return np.asarray(image.convert("RGBA"))


def random_images(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def test_every_pixel_of_a_grid_is_where_it_belongs():
    images = random_images(5, 3, 2, 3)
    picture = pixels(grid(images, columns=3, scale=4, gap=2))
    assert picture.shape == (2 * 8 + 2, 3 * 12 + 2 * 2, 4)
    expected = np.zeros_like(picture)
    for i, image in enumerate(images.numpy()):
        block = np.kron(image.transpose(1, 2, 0), np.ones((4, 4, 1), dtype=np.uint8))
        top, left = (i // 3) * 10, (i % 3) * 14
        expected[top : top + 8, left : left + 12, :3] = block
        expected[top : top + 8, left : left + 12, 3] = 255
    np.testing.assert_array_equal(picture, expected)


def test_gray_is_shown_as_gray_and_transparency_is_kept():
    gray, transparent = random_images(1, 1, 4, 4), random_images(1, 4, 4, 4)
    shown = pixels(grid(gray, columns=1, scale=1))
    np.testing.assert_array_equal(shown, np.stack([*[gray[0, 0].numpy()] * 3, np.full((4, 4), 255)], axis=-1))
    np.testing.assert_array_equal(pixels(grid(transparent, columns=1, scale=1)), transparent[0].permute(1, 2, 0))


@pytest.mark.parametrize(("size", "shown"), [(8, 56), (20, 60), (28, 56), (32, 64), (64, 64), (300, 300)])
def test_small_images_are_enlarged_to_about_56_pixels(size, shown):
    assert pixels(grid(random_images(1, 1, size, size), columns=1)).shape[:2] == (shown, shown)


def test_a_grid_is_no_wider_than_its_images():
    assert pixels(grid(random_images(2, 1, 8, 8), columns=10, scale=1, gap=4)).shape[:2] == (8, 20)


def test_the_same_images_give_the_same_bytes():
    images = random_images(6, 1, 8, 8)
    assert grid(images, columns=3) == grid(images, columns=3)
    assert rows({"a": images}) == rows({"a": images})


def test_rows_stand_one_above_the_other_and_start_again_after_the_last_column():
    inputs, outputs = random_images(5, 1, 8, 8), random_images(5, 3, 8, 8)
    picture = pixels(rows({"input": inputs, "reconstruction": outputs}, columns=3, scale=7, gap=4))
    width, height = 3 * 56 + 2 * 4, 56
    tops = [0, 60, 132, 192]  # 12 pixels more before the rows start again
    strips = [inputs[:3], outputs[:3], inputs[3:], outputs[3:]]
    for top, strip in zip(tops, strips, strict=True):
        expected = pixels(grid(strip, columns=3, scale=7, gap=4))
        left = picture.shape[1] - width
        np.testing.assert_array_equal(picture[top : top + height, left : left + expected.shape[1]], expected)
        assert picture[top : top + height, :left, 3].max() > 200, "no label"
    assert picture.shape[0] == 248


def test_a_long_label_is_broken_into_lines():
    images = random_images(2, 1, 8, 8)
    short, long = (pixels(rows({name: images})) for name in ("nearest", "nearest nearest nearest"))
    assert long.shape[1] < short.shape[1] + 60


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (lambda: grid(random_images(2, 2, 8, 8), columns=2), "1, 3 or 4 channels, got 2"),
        (lambda: grid(random_images(0, 1, 8, 8), columns=2), "an image or more"),
        (lambda: grid(random_images(2, 1, 8, 8), columns=0), "columns=0"),
        (lambda: grid(random_images(2, 1, 8, 8), columns=1, scale=0), "scale=0"),
        (lambda: grid(random_images(2, 1, 8, 8), columns=1, gap=-1), "gap=-1"),
        (lambda: rows({"a": random_images(2, 1, 8, 8)}, columns=0), "columns=0"),
        (lambda: rows({"a": random_images(2, 1, 8, 8), "b": random_images(3, 1, 8, 8)}), "'b' (3"),
        (lambda: rows({}), "no row at all"),
    ],
)
def test_what_cannot_be_drawn_is_told(draw, told):
    with pytest.raises(SigmaeError, match=re.escape(told)):
        draw()


def embedded_png(svg: bytes) -> np.ndarray:
    (image,) = ElementTree.fromstring(svg).iter(f"{SVG}image")
    kind, _, content = image.get("href").partition(";base64,")
    assert kind == "data:image/png"
    return pixels(base64.b64decode(content))


def test_a_grid_as_svg_holds_the_same_pixels():
    images = random_images(5, 3, 2, 3)
    np.testing.assert_array_equal(
        embedded_png(grid(images, columns=3, format="svg")), pixels(grid(images, columns=3, format="png"))
    )


@pytest.mark.promise(
    "Files of strangers",
    "Text from a file stays text in every page, table and picture, and a report loads and runs nothing.",
)
def test_labels_in_an_svg_are_text_at_the_middles_of_their_rows():
    images = random_images(2, 1, 8, 8)
    svg = rows({"<a> & b": images, "a name of more lines": images}, scale=7, format="svg")
    tree = ElementTree.fromstring(svg)
    lines = [(node.text, float(node.get("y"))) for node in tree.iter(f"{SVG}text")]
    assert [text for text, _ in lines] == ["<a> & b", "a name of more", "lines"]
    assert lines[0][1] == pytest.approx(28, abs=8)
    assert (lines[1][1] + lines[2][1]) / 2 == pytest.approx(60 + 28, abs=8)
    assert int(tree.get("height")) == 116
    shown = embedded_png(svg)
    assert not shown[:, : shown.shape[1] - 116, 3].any()  # the labels are not in the image
    assert b"currentColor" in svg


def test_an_unknown_format_is_refused():
    with pytest.raises(SigmaeError, match=r"Unknown picture format 'pgn'. Did you mean 'png'\?"):
        grid(random_images(1, 1, 8, 8), columns=1, format="pgn")


def history(epochs: int = 12, **more) -> list[dict]:
    return [
        {
            "epoch": epoch,
            "train": {"loss": 3.0 + 1 / epoch, "latent": 0.1 * epoch, "decoder": 0.0, **more},
            "validation": {"loss": 3.2 + 1 / epoch, "latent": 100.0 / epoch**2, "decoder": 0.0, **more},
            "best": epoch in (1, 2, 9),
        }
        for epoch in range(1, epochs + 1)
    ]


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_there_is_a_curve_for_every_term_that_is_not_zero_throughout():
    assert list(curves(history())) == ["loss", "latent"]
    assert curves([]) == {}


def test_a_curve_goes_through_its_values():
    svg = ElementTree.fromstring(curves(history())["loss"])
    accent = [path for path in svg.iter(f"{SVG}path") if f"stroke: {ACCENT}" in path.get("style", "")]
    drawn = max((np.array(re.findall(r"[ML] (\S+) (\S+)", path.get("d")), float) for path in accent), key=len)
    epochs, values = np.arange(1, 13), 3.2 + 1 / np.arange(1, 13)
    assert np.corrcoef(drawn[:, 0], epochs)[0, 1] == pytest.approx(1, abs=1e-9)
    assert np.corrcoef(-drawn[:, 1], values)[0, 1] == pytest.approx(1, abs=1e-9)  # y points down


def test_a_wide_range_of_positive_values_has_a_logarithmic_axis():
    labels = texts(curves(history())["latent"])
    assert {"0.1", "1", "10", "100"} <= set(labels)
    assert not {"0.1", "100"} <= set(texts(curves(history())["loss"]))


@pytest.mark.parametrize("power", [0.5, 1.5, 3, 6, 12, 30])
def test_every_range_has_a_few_ticks_on_its_value_axis(power):
    decay = [{"epoch": epoch, "train": {"loss": 7.0 * epoch**-power}} for epoch in range(1, 101)]
    assert 3 <= len(set(texts(curves(decay)["loss"])) - {"training", "epoch", "0", "20", "40", "60", "80", "100"}) <= 12


def test_epochs_are_whole_numbers():
    labels = texts(curves([{"epoch": 3, "train": {"loss": 100.0}}])["loss"])
    assert "3" in labels
    assert not [label for label in labels if label.startswith(("2.", "3."))]


def test_the_best_epoch_and_both_lines_are_named():
    assert {"training", "validation", "best, epoch 9", "epoch"} <= set(texts(curves(history())["loss"]))


def test_curves_are_the_same_bytes_whatever_the_readers_settings():
    expected = curves(history())
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        assert curves(history()) == expected
    assert dict(matplotlib.rcParams) == before


@pytest.mark.promise(
    "Files of strangers",
    "Text from a file stays text in every page, table and picture, and a report loads and runs nothing.",
)
def test_a_curve_loads_nothing_and_suits_light_and_dark():
    svg = curves(history())["loss"]
    assert "currentColor" in svg
    assert INK not in svg
    assert "prefers-color-scheme:dark" in svg
    assert "<image" not in svg
    assert not re.search(r'href="(?!#)|url\((?!#)|@import', svg.replace("xlink:href", "href"))


@pytest.mark.promise(
    "Files of strangers",
    "Text from a file stays text in every page, table and picture, and a report loads and runs nothing.",
)
@pytest.mark.parametrize("term", ["<script>alert(1)</script>", r"$\frac{", 'a"b&c', "$x_1$"])
def test_a_terms_name_is_text_whatever_it_is(term):
    svg = curves(history(**{term: 1.5}))[term]
    tree = ElementTree.fromstring(svg)
    assert tree.findtext(f"{SVG}title") == term
    assert not list(tree.iter(f"{SVG}script"))


def test_values_that_are_not_finite_are_left_out():
    records = history(3)
    records[1]["validation"]["loss"] = math.nan
    records[2]["validation"]["loss"] = None
    assert series(records, "validation", "loss") == {1: 4.2}
    assert "nan" not in curves(records)["loss"].lower()


def test_the_best_epoch_is_the_last_one_marked_or_else_the_lowest():
    records = history(12)
    assert best_epoch(records) == 9
    for record in records:
        del record["best"]
    assert best_epoch(records) == 12
    assert best_epoch([]) is None
    assert best_epoch([{"epoch": 1, "train": {"loss": 1.0}, "best": True}]) is None


def test_a_curve_as_png_is_transparent_and_the_same_every_time():
    drawn = curves(history(), format="png")
    assert list(drawn) == ["loss", "latent"]
    assert drawn == curves(history(), format="png")
    picture = pixels(drawn["loss"])
    assert (picture[:3, :3, 3] == 0).all()
    assert picture[..., 3].max() == 255


def test_one_epoch_is_a_dot():
    assert f"stroke: {ACCENT}" in curves(history(1))["loss"]


def test_importing_the_module_loads_no_drawing_library():
    heavy = "{'matplotlib', 'PIL', 'sklearn'}"
    code = f"import sys, sigmae.report, sigmae.figures; sys.exit(bool({heavy} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
