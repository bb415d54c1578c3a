"""Digits whose first label is hostile, and a trained run on them with every kind of density."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.explorer.browsing import ARGUMENTS, CHROMIUM, opened_page, rest, SIZE

from sigmae.api import plan
from sigmae.data import Dataset, load
from sigmae.densities.flows import spline_flow, SplineFlow
from sigmae.densities.second_stage import SecondStage, SecondStageVAE
from sigmae.errors import SigmaeError
from sigmae.explorer.page import explore_run
from sigmae.explorer.vendoring import HOME, vendor
from sigmae.runs import load_run, open_run, train_run
from sigmae.seeds import generator
from sigmae.settings import TrainingConfig

HOSTILE = "</script><img src=x onerror=alert(1)>"
SETTINGS = ["likelihood.variance=0.02"]


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return replace(load("digits"), label_names=(HOSTILE, *map(str, range(1, 10))))


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """A VAE on digits with a prior, a Gaussian, a mixture, and a second stage and a flow without training."""
    folder = tmp_path_factory.mktemp("explored") / "run"
    planned = plan("digits", "vae", latent_dim=4, settings=SETTINGS, training=TrainingConfig(epochs=4))
    open_run(folder, planned.config)
    model = train_run(planned.model, planned.data, planned.config, folder)
    model.densities["second-stage"] = SecondStageVAE(SecondStage(4, width=8))
    model.densities["flow"] = SplineFlow(spline_flow(4), torch.zeros(4), torch.ones(4))
    model.save_weights(folder)
    return folder


@pytest.fixture(scope="session")
def model(run):
    return load_run(run)


@pytest.fixture(scope="session")
def test_images(digits) -> torch.Tensor:
    """The test images in the order of the page."""
    return digits.test.images[torch.randperm(len(digits.test), generator=generator(0, "explorer")).sort().values]


@pytest.fixture(scope="session")
def vendored() -> None:
    """The runtime in this checkout, fetched if need be."""
    try:
        vendor(HOME)
    except SigmaeError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def explored(vendored, run, model, digits, tmp_path_factory) -> Path:
    """The page of the run."""
    return explore_run(model, digits, run, tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def browser(vendored) -> Any:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        try:
            chromium = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        except playwright.Error as error:
            pytest.skip(f"no browser: {error.message.splitlines()[0]}")
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def opened(browser, explored) -> Any:
    with opened_page(browser, explored) as page:
        yield page


@pytest.fixture
def page(opened) -> Any:
    """The page of the run, with its first test image shown."""
    opened.set_viewport_size(SIZE)
    opened.locator("#gallery button").first.click()
    rest(opened)
    return opened
