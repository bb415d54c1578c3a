"""The map of the codes: clicks, drags, keys and fingers decode the point that they are on."""

import pytest
import torch
from tests.explorer.browsing import assert_shows, latent, rest


class Plane:
    """The map as it must be: its plane and its scale, from the codes."""

    def __init__(self, page, codes, mean):
        centred = codes.double() - mean.double()
        _, _, vectors = torch.linalg.svd(codes.double() - codes.double().mean(0))
        signs = vectors[:2].gather(1, vectors[:2].abs().argmax(1, keepdim=True)).sign()
        self.axes, self.mean = vectors[:2] * signs, mean.double()
        self.box = page.locator("#map").bounding_box()
        places = centred @ self.axes.T
        low, high = places.min(0).values, places.max(0).values
        size = torch.tensor([self.box["width"], self.box["height"]], dtype=torch.float64)
        self.scale = float((size / ((high - low) * 1.12)).min())
        self.middle, self.size = (low + high) / 2, size

    def place(self, z):
        return (z.double() - self.mean) @ self.axes.T

    def seen(self, place):
        """Where on the map a place is, in pixels from its corner."""
        x, y = ((place - self.middle) * torch.tensor([self.scale, -self.scale]) + self.size / 2).tolist()
        return {"x": x, "y": y}


@pytest.fixture
def plane(page, model, digits):
    codes = model.encode(digits.test.images)
    page.locator("#map").scroll_into_view_if_needed()
    page.locator("#fit").click()
    return Plane(page, codes, codes.mean(0))


def assert_moved_within(plane, before, after, place):
    """The latent went to a place of the map, and kept what lies outside of its plane."""
    torch.testing.assert_close(plane.place(after), place, atol=0.02, rtol=0)
    rest_of = [z.double() - plane.place(z) @ plane.axes for z in (before, after)]
    torch.testing.assert_close(rest_of[0], rest_of[1], atol=1e-4, rtol=0)


def test_a_click_on_the_map_decodes_the_point(page, model, plane):
    before, place = latent(page), plane.middle + 60 / plane.scale
    page.locator("#map").click(position=plane.seen(place))
    rest(page)
    assert_moved_within(plane, before, latent(page), place)
    assert_shows(page, model, latent(page))


def test_the_ring_is_dragged(page, model, plane):
    before, box = latent(page), plane.box
    start, end = plane.seen(plane.place(before)), plane.seen(plane.middle - 40 / plane.scale)
    page.mouse.move(box["x"] + start["x"], box["y"] + start["y"])
    page.mouse.down()
    page.mouse.move(box["x"] + end["x"], box["y"] + end["y"], steps=6)
    page.mouse.up()
    rest(page)
    assert_moved_within(plane, before, latent(page), plane.middle - 40 / plane.scale)
    assert_shows(page, model, latent(page))


def test_dragging_the_map_moves_no_latent_and_a_click_then_lies_elsewhere(page, plane):
    before, box = latent(page), plane.box
    page.mouse.move(box["x"] + 30, box["y"] + 300)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 250, steps=6)
    page.mouse.up()
    assert torch.equal(latent(page), before)
    page.locator("#map").click(position={"x": 400, "y": 200})
    rest(page)
    unmoved = plane.middle + (torch.tensor([400.0, 200.0]) - plane.size / 2) / torch.tensor([plane.scale, -plane.scale])
    shift = torch.tensor([-60.0, -50.0]) / plane.scale
    assert_moved_within(plane, before, latent(page), unmoved + shift)


def test_the_map_is_used_by_keys(page, plane):
    before = latent(page)
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowUp")  # moves the map alone
    rest(page)
    step = plane.box["width"] / 40 / plane.scale
    assert_moved_within(plane, before, latent(page), plane.place(before) + step)
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    rest(page)
    step_left = torch.tensor([step - step / 1.25, step])
    assert_moved_within(plane, before, latent(page), plane.place(before) + step_left)
    page.keyboard.press("0")
    page.keyboard.press("Enter")
    rest(page)
    assert page.locator("#told").inner_text().startswith("Test image ")


def test_two_fingers_zoom(page, plane):
    session = page.context.new_cdp_session(page)
    x, y = plane.box["x"] + plane.box["width"] / 2, plane.box["y"] + plane.box["height"] / 2
    for kind, reach in (("touchStart", 50), ("touchMove", 75), ("touchMove", 100), ("touchEnd", None)):
        points = [] if reach is None else [{"x": x - reach, "y": y}, {"x": x + reach, "y": y}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    before = latent(page)
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    rest(page)
    step = plane.box["width"] / 40 / (2 * plane.scale)
    assert_moved_within(plane, before, latent(page), plane.place(before) + torch.tensor([step, 0]))


def test_a_click_can_pick_the_nearest_image(page, model, plane, test_images):
    page.locator("#click").select_option("pick")
    codes = model.encode(test_images)
    page.locator("#map").click(position=plane.seen(plane.place(codes[11])))
    rest(page)
    page.locator("#click").select_option("decode")
    torch.testing.assert_close(latent(page), codes[11])
    assert page.locator("#told").inner_text().startswith("Test image 11 ")


def test_a_map_of_two_latents_moves_those_alone(page, plane):
    page.locator("#plane").select_option("latents")
    page.locator("#across").select_option("2")
    page.locator("#up").select_option("2")  # which then is not across
    across = int(page.locator("#across").input_value())
    page.locator("#across").select_option("0" if across != 0 else "1")
    across, before = int(page.locator("#across").input_value()), latent(page)
    page.locator("#map").click(position={"x": 300, "y": 150})
    rest(page)
    page.locator("#plane").select_option("directions")
    changed = {j for j in range(4) if abs(float(latent(page)[j] - before[j])) > 1e-6}
    assert changed == {across, 2}
