"""Pages of other data: colour images, vectors, a single latent, many latents, no labels."""

import numpy as np
import pytest
import torch
from tests.explorer.browsing import opened_page, PIXELS, rest

from sigmae.api import plan
from sigmae.data import Dataset, Split
from sigmae.evaluation import Stages
from sigmae.explorer.contents import contents
from sigmae.explorer.page import page
from sigmae.explorer.vendoring import runtime
from sigmae.export import decoder_onnx
from sigmae.settings import TrainingConfig

pytestmark = pytest.mark.slow
KINDS = {
    "colours": ((3, 8, 8), "vae", 5),
    "opacity": ((4, 8, 8), "vae", 2),
    "vectors": ((6,), "ae", 3),
    "one latent": ((1, 8, 8), "rae-l2", 1),
    "many latents": ((1, 8, 8), "vae", 20),
}


@pytest.fixture(params=KINDS)
def kind(request, vendored, browser, tmp_path):
    """An untrained model, its page in a browser, and the shape of its data."""
    shape, method, latent_dim = KINDS[request.param]
    split = Split(torch.rand(40, *shape))
    model = plan(
        Dataset("noise", split, split, split), method, latent_dim=latent_dim, training=TrainingConfig(batch_size=20)
    ).model
    for name in ("prior", "gaussian"):
        model.fit_density(name, model.encode(split.images))
    found = contents(Stages(model.eval(), Dataset("noise", split, split, split)), request.param, 30)
    (path := tmp_path / "page.html").write_text(page(found, decoder_onnx(model), runtime()))
    with opened_page(browser, path) as opened:
        yield model, opened, shape


def test_the_page_shows_what_the_model_decodes(kind):
    model, opened, shape = kind
    latent_dim = model.config.latent_dim
    z = torch.randn(3, latent_dim)
    decoded = opened.evaluate("async z => (await explorer.decode(z)).map(x => Array.from(x))", z.tolist())
    np.testing.assert_allclose(decoded, model.decode(z).flatten(1).numpy(), atol=1e-4)
    opened.evaluate("z => explorer.show(z)", z[0].tolist())
    rest(opened)
    if len(shape) == 3:
        channels = shape[0]
        expected = np.full((*shape[1:], 4), 255.0)
        expected[..., : max(3, channels)] = 255 * model.decode(z[:1])[0].permute(1, 2, 0).numpy()
        seen = np.array(opened.locator("#picture").evaluate(PIXELS)).reshape(expected.shape)
        np.testing.assert_allclose(seen, expected, atol=3 if channels == 4 else 1)  # of colours that are transparent
    assert opened.locator("#mapped").count() == (latent_dim > 1)
    assert opened.locator("#rest").is_visible() == (latent_dim > 16)
    assert opened.locator("#legend li").count() == 0
    assert opened.locator("#nearest li").count() == 6
