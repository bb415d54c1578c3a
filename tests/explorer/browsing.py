"""A page of the explorer in headless Chromium: opened from disk without a network, looked at, waited for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sigmae.explorer.page import asset
from sigmae.metrics.images import to_uint8
from sigmae.model import Autoencoder

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SIZE = {"width": 1200, "height": 900}
PIXELS = """canvas => Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data)"""


@contextmanager
def opened_page(browser: Any, path: Path) -> Iterator[Any]:
    """The page in a file; what it asks for is in `asked`, and it shall complain of nothing."""
    context = browser.new_context(offline=True, has_touch=True, viewport=SIZE)
    page = context.new_page()
    page.asked, page.complaints = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda message: page.complaints.extend([message.text] if message.type == "error" else []))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("dialog", lambda dialog: page.complaints.append(dialog.message))
    page.goto(path.as_uri())
    page.wait_for_selector("main[aria-busy=false]", timeout=60_000)
    yield page
    assert page.complaints == []
    context.close()


def rest(page: Any) -> None:
    """Wait until everything on the page follows what is shown."""
    page.wait_for_timeout(20)  # for observers
    page.wait_for_selector("main[aria-busy=false]")


def latent(page: Any) -> torch.Tensor:
    """The latent that is shown."""
    return torch.tensor(page.evaluate("Array.from(explorer.latent)"))


def pixels(page: Any, selector: str) -> np.ndarray:
    """The gray values of an opaque canvas."""
    canvas = page.locator(selector)
    width = canvas.evaluate("canvas => canvas.width")
    colours = np.array(canvas.evaluate(PIXELS)).reshape(-1, width, 4)
    assert (colours[..., 3] == 255).all()
    assert (colours[..., :1] == colours[..., :3]).all()
    return colours[..., 0]


def assert_shows(page: Any, model: Autoencoder, z: torch.Tensor, selector: str = "#picture") -> None:
    """A canvas has the decoded gray images of latents side by side, up to one of 255 steps."""
    images = to_uint8(model.decode(z.reshape(-1, z.shape[-1]))).numpy()[:, 0]
    np.testing.assert_allclose(pixels(page, selector), np.concatenate(images, axis=1), atol=1)


def imported(page: Any, module: str, use: str, *arguments: Any) -> Any:
    """What a function makes of the arguments and of one of the page's modules, of those that import no other."""
    address = "URL.createObjectURL(new Blob([source], {type: 'text/javascript'}))"
    script = f"([source, values]) => import({address}).then(module => ({use})(module, ...values))"
    return page.evaluate(script, [asset(f"{module}.js"), arguments])
