"""What a notebook shows of a model, an evaluation and a run."""

import base64
import json
import re
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

import sigmae
from sigmae import SigmaeError
from sigmae.cli import main
from sigmae.data import Dataset, Split
from sigmae.evaluation import evaluate


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    command = ["train", "digits", "--method", "rae-l2", "--epochs", "1", "--latent-dim", "2", "--features", "random"]
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--out", str(folder)])
    return folder


def pictures(html):
    """The pictures within HTML, as arrays."""
    contents = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [np.asarray(Image.open(BytesIO(base64.b64decode(content)))) for content in contents]


def text(html):
    return " ".join(re.sub("<[^>]*>", " ", html).split())


def test_a_run_shows_its_paragraph_its_pictures_and_its_numbers(run):
    shown = sigmae.Run(run)._repr_html_()
    assert text(shown).startswith("rae-l2 on digits An autoencoder with 2 latent dimensions")
    assert len(pictures(shown)) == 3
    error = next(row.value for row in sigmae.Run(run).rows if row.metric == "squared_error")
    assert f"{error:.4g}" in text(shown)
    assert not re.search(r"<script|<iframe|https?://(?!arxiv|doi)|\son\w+=", shown)


def test_a_run_gives_what_is_in_its_folder(run):
    opened = sigmae.Run(str(run))
    assert opened.config.method == "rae-l2"
    assert opened.data.shape == (1, 8, 8)
    assert torch.equal(opened.model.sample(3), sigmae.load(run).sample(3))
    with pytest.raises(SigmaeError, match="holds no run"):
        sigmae.Run(run.parent)


def test_a_model_shows_its_parts_and_its_samples(run):
    model = sigmae.load(run)
    shown = model._repr_html_()
    assert "made of Delta (posterior)" in text(shown)
    assert (
        f"{sum(weight.numel() for weight in model.parameters()):,} weights, examples of 1 × 8 × 8, network mlp."
        in text(shown)
    )
    (grid,) = pictures(shown)
    assert grid.shape[1] > 8 * grid.shape[0]  # one row of sixteen
    model.densities.clear()
    assert pictures(model._repr_html_()) == []


def test_models_without_images_or_sizes_are_shown_too():
    vectors = Dataset("vectors", *[Split(torch.randn(20, 3)) for _ in range(3)])
    model = sigmae.fit(vectors, "vae", latent_dim=2, epochs=1, batch_size=10)
    assert "examples of 3, network mlp." in text(model._repr_html_())
    bare = sigmae.Autoencoder(model.encoder, model.decoder, model.objective)
    assert text(bare._repr_html_()).startswith("Autoencoder An autoencoder")


def test_an_evaluation_shows_its_numbers_and_its_reasons(run):
    opened = sigmae.Run(run)
    found = evaluate(opened.model, opened.data, metrics=["squared_error", "elbo"])
    shown = text(found._repr_html_())
    assert "Squared error" in shown
    assert "Left out" in shown
    assert "elbo" in shown


def test_what_a_file_says_stays_text(run, tmp_path):
    config = json.loads((run / "config.json").read_text())
    config["method"] = "<img src=x onerror=alert(1)>"
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "<img src=x" not in sigmae.Run(tmp_path)._repr_html_()
