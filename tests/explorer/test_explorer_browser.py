"""The page in a browser: opened from disk without a network, it decodes as torch does, whatever moves the latent."""

import re

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from tests.explorer.browsing import assert_shows, imported, latent, pixels, rest

from sigmae.metrics.images import to_uint8
from sigmae.model import slerp

HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_nothing_is_asked_for_and_nothing_is_amiss(page):
    assert page.asked[0].startswith("file://")
    assert all(url.startswith("blob:") for url in page.asked[1:])
    assert page.complaints == []


def test_it_decodes_as_torch_does(page, model):
    z = 2 * torch.randn(50, 4)  # more than are decoded at once
    decoded = page.evaluate("async z => (await explorer.decode(z)).map(x => Array.from(x))", z.tolist())
    np.testing.assert_allclose(decoded, model.decode(z).flatten(1).numpy(), atol=1e-4)


def test_a_test_image_is_shown_beside_its_decoded_code(page, model, test_images):
    page.locator("#number").fill("7")
    page.keyboard.press("Enter")
    rest(page)
    z = model.encode(test_images[7:8])
    torch.testing.assert_close(latent(page), z[0])
    assert_shows(page, model, z)
    np.testing.assert_array_equal(pixels(page, "#original canvas"), test_images[7, 0])
    error = float((model.decode(z) - test_images[7] / 255).square().sum())
    told = page.locator("#told").inner_text()
    assert told.startswith("Test image 7 (")
    assert float(re.search(r"Squared error ([\d.]+)\.", told)[1]) == pytest.approx(error, rel=5e-3)


def test_a_slider_is_moved_by_keys(page, model):
    before = latent(page)
    first = page.locator("#sliders input").first
    index = int(first.get_attribute("id").removeprefix("latent-"))
    first.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    rest(page)
    after = latent(page)
    assert after[index] > before[index]
    others = [j for j in range(4) if j != index]
    assert torch.equal(after[others], before[others])
    assert_shows(page, model, after)
    assert page.locator(f"output[for=latent-{index}]").inner_text().replace("−", "-") == f"{after[index]:.2f}"
    assert f"with latent {index} at" in page.locator("#told").inner_text()


def test_strips_show_what_each_latent_does(page, model):
    z = latent(page)
    for slider in page.locator("#sliders .latent").all():
        index, low, high = slider.locator("input").evaluate(
            "i => [Number(i.id.slice(7)), Number(i.min), Number(i.max)]"
        )
        moved = z.repeat(9, 1)
        moved[:, index] = torch.linspace(low, high, 9)
        slider.scroll_into_view_if_needed()
        rest(page)
        assert_shows(page, model, moved, f".latent:has(#latent-{index}) .strip")


def test_latents_stand_in_the_order_of_what_they_tell(page):
    nats = [float(text.split()[0]) for text in page.locator("#sliders small").all_inner_texts()]
    assert len(nats) == 4
    assert nats == sorted(nats, reverse=True)


def test_reset_shows_the_mean(page, model, digits):
    page.locator("#reset").click()
    rest(page)
    torch.testing.assert_close(latent(page), model.encode(digits.test.images).mean(0))
    assert page.locator("#original").is_hidden()
    assert_shows(page, model, latent(page))


@pytest.mark.parametrize("name", ["prior", "gaussian", "gmm10"])
def test_draws_follow_their_density(page, model, name):
    density, count = model.densities[name], 8000
    drawn = torch.tensor(page.evaluate(f"explorer.draw('{name}', {count}, 3).map(z => Array.from(z))")).double()
    reference = model.sample_latents(count, density=name).double()
    scale = reference.std(0)
    np.testing.assert_allclose((drawn.mean(0) - density.mean) / scale, 0, atol=5 / count**0.5)
    errors = (drawn.T.cov() - reference.T.cov()) / (scale[:, None] * scale)
    np.testing.assert_allclose(errors, 0, atol=10 / count**0.5)
    assert drawn.unique(dim=0).shape == drawn.shape
    assert energy(drawn[:1000], reference[:1000]) < 0.02 * float(scale.square().sum()) ** 0.5  # the shape, too


def energy(a: torch.Tensor, b: torch.Tensor) -> float:
    """The energy distance of two sets of points."""
    return float(2 * cdist(a, b).mean() - cdist(a, a).mean() - cdist(b, b).mean())


def test_a_seed_gives_the_same_draws_and_another_gives_others(page):
    first, again, other = (
        page.evaluate(f"explorer.draw('gmm10', 5, {seed}).map(z => Array.from(z))") for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", ["second-stage", "flow"])
def test_a_density_of_networks_is_drawn_beforehand(page, model, name):
    drawn = page.evaluate(f"explorer.draw('{name}', 512, 0).map(z => Array.from(z))")
    np.testing.assert_allclose(drawn, model.sample_latents(512, density=name, seed=0), rtol=1e-6)
    page.locator("#density").select_option(name)
    page.wait_for_selector("#drawn[aria-busy=false]")
    assert "512 draws" in page.locator("#drawing").inner_text()


def test_a_sample_is_chosen_by_keys(page, model):
    page.locator("#density").select_option("gaussian")
    page.locator("#draw").click()
    page.wait_for_selector("#drawn[aria-busy=false]")
    page.locator("#drawn button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    rest(page)
    assert page.locator("#told").inner_text() == "Sample 2 of gaussian."
    assert page.locator("#drawn button").nth(1).get_attribute("aria-selected") == "true"
    assert_shows(page, model, latent(page))
    assert_shows(page, model, latent(page), "#drawn button:nth-child(2) canvas")


def test_a_path_is_that_of_interpolate(page, model, test_images):
    for end, number in (("from", 3), ("to", 8)):
        page.locator(f"#{end} input").fill(str(number))
        page.keyboard.press("Enter")
    page.wait_for_selector(".track[aria-busy=false]")
    path = to_uint8(model.interpolate(test_images[3], test_images[8], steps=9)).numpy()[:, 0]
    np.testing.assert_allclose(pixels(page, "#path"), np.concatenate(path, axis=1), atol=1)
    page.locator("#time").focus()
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    rest(page)
    ends = model.encode(test_images[[3, 8]])
    torch.testing.assert_close(latent(page), slerp(ends[:1], ends[1:], torch.tensor([0.4]))[0])
    assert_shows(page, model, latent(page))
    assert page.locator("#told").inner_text() == "Between test images 3 and 8, at 0.40."


def test_the_shown_image_becomes_an_end(page):
    page.locator("#gallery button").nth(5).click()
    page.locator("#to button").click()
    assert page.locator("#to input").input_value() == "5"


@pytest.mark.parametrize(("start", "end"), [([1, 0, 0, 0], [2, 0, 0, 0]), ([0, 0, 0, 0], [1, 2, 3, 4])])
def test_a_path_without_an_angle_is_that_of_torch(page, start, end):
    found = imported(page, "latents", "(module, ...ends) => Array.from(module.slerp(...ends, 0.25))", start, end)
    a, b = torch.tensor([[start], [end]]).float()
    np.testing.assert_allclose(found, slerp(a, b, torch.tensor([0.25]))[0], atol=1e-6)


PAINTED = """(module, shape, range, values) => {
    const { width, height, data } = new module.Painter(shape, range).pixels(Float32Array.from(values));
    return [height, width, Array.from(data)];
}"""


def painted(page, shape, span, values) -> np.ndarray:
    height, width, data = imported(page, "pictures", PAINTED, shape, span, values)
    return np.array(data).reshape(height, width, 4)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_have_the_colours_of_their_channels(page, channels):
    values = np.random.RandomState(0).rand(channels, 2, 3)
    values[0, 0, 0] = 1.5  # beyond what a colour can be
    expected = np.full((2, 3, 4), 255.0)
    expected[..., : max(channels, 3)] = (255 * values.clip(0, 1)).transpose(1, 2, 0)
    found = painted(page, [channels, 2, 3], [0, 1], values.flatten().tolist())
    np.testing.assert_allclose(found, expected, atol=0.51)


def test_vectors_are_bars_from_zero(page):
    opaque = painted(page, [3], [-1, 1], [1, 0, -1])[..., 3] > 0
    assert opaque[:, [0, 40, 80]].sum(0).tolist() == [25, 1, 24]
    assert opaque[0, 0]
    assert opaque[-1, -1]


def test_neighbours_are_the_nearest_training_images(page, model, digits):
    train = digits.train.images.flatten(1).numpy() / 255  # all of them, in their order
    shown = model.decode(latent(page)[None]).flatten(1).clamp(0, 1).numpy()
    errors = cdist(shown, train, "sqeuclidean")[0]
    nearest = np.argsort(errors)[:6]
    names = page.locator("#nearest canvas").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    assert names == [f"Training image {index}" for index in nearest]
    told = [float(text) for text in page.locator("#nearest small").all_inner_texts()]
    np.testing.assert_allclose(told, errors[nearest], rtol=5e-3)
    assert "1,439 of 1,439 training images" in page.locator("#compared").inner_text()


def test_labels_are_text(page):
    assert page.locator("#legend li").first.inner_text() == HOSTILE
    assert page.locator("img").count() == 0
    assert page.complaints == []


def test_every_control_has_a_name(page):
    nameless = page.evaluate("""() => [...document.querySelectorAll("button, select, input, canvas, [role=listbox]")]
        .filter(one => one.closest("[aria-hidden]") === null)
        .filter(one => !one.getAttribute("aria-label") && !one.labels?.length && !one.textContent.trim())
        .map(one => one.outerHTML)""")
    assert nameless == []


def test_all_controls_are_reached_by_the_tab_key(page):
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.parentElement.id"))
    named = "reset plane points click map in out fit density draw drawn time number gallery"
    assert set(named.split()) | {f"latent-{index}" for index in range(4)} <= set(reached)


@pytest.mark.parametrize("width", [320, 375, 768, 1024])
def test_nothing_is_wider_than_the_window(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    rest(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


COLOURS = """selectors => {
    const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const seen = (colour) => {
        probe.fillStyle = colour;
        probe.fillRect(0, 0, 1, 1);
        return [...probe.getImageData(0, 0, 1, 1).data.slice(0, 3)];
    };
    const ground = getComputedStyle(document.documentElement).backgroundColor;
    return selectors.map(one => [getComputedStyle(document.querySelector(one)).color, ground].map(seen));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_read_well_on_their_ground(page, scheme):
    page.emulate_media(color_scheme=scheme)
    colours = page.evaluate(COLOURS, [".note", "h1", "button", "small"])
    for ink, paper in colours:
        lights = sorted((luminance(ink), luminance(paper)))
        assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 4.5
    assert (luminance(colours[0][1]) < 0.1) == (scheme == "dark")


def luminance(colour) -> float:
    """The relative luminance of a colour in 8 bits (WCAG 2)."""
    shares = np.array(colour) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
