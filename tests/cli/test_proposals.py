"""What `sigmae train` proposes for pictures of one's own, and that what was said is left alone."""

import numpy as np
import pytest
from PIL import Image

from sigmae.proposals import Choices, image_size, is_pictures, latents, passes, proposed
from sigmae.runs import read_run
from sigmae.settings import TrainingConfig, Unsaid

UNSAID = Choices(None, None, Unsaid(16), TrainingConfig())


@pytest.fixture
def photos(tmp_path):
    """Makes a folder of pictures of these sizes."""

    def made(*sizes, mode="RGB"):
        folder = tmp_path / "photos"
        folder.mkdir()
        for number, size in enumerate(sizes):
            pixels = np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / f"{number:04}.png")
        return folder

    return made


@pytest.mark.parametrize(
    ("sizes", "accelerated", "side"),
    [
        ([(4000, 3000), (640, 480)], False, 64),
        ([(4000, 3000), (640, 480)], True, 128),
        ([(100, 50), (90, 40), (300, 45)], False, 32),
        ([(10, 12)], False, 16),
        ([(28, 28), (28, 28)], False, None),
        ([(128, 128)] * 3, False, 64),
        ([(128, 128)] * 3, True, None),
        ([(28, 32)] * 3, False, 16),
    ],
)
def test_the_image_size_is_one_that_most_pictures_fill(sizes, accelerated, side):
    assert image_size(sizes, accelerated)[0] == side


@pytest.mark.parametrize(
    ("side", "colours", "train", "count"),
    [(28, False, 60_000, 16), (32, True, 50_000, 128), (64, True, 10_000, 64), (64, True, 500, 16), (64, False, 9, 2)],
)
def test_the_latents_are_those_of_the_papers_where_the_pictures_suffice(side, colours, train, count):
    assert latents(side, colours, train)[0] == count


@pytest.mark.parametrize(
    ("steps", "accelerated", "epochs"), [(100, False, 50), (100, True, 200), (4, False, 500), (9000, False, 10)]
)
def test_the_epochs_make_about_as_many_steps(steps, accelerated, epochs):
    assert passes(steps, accelerated)[0] == epochs


def test_everything_open_is_proposed_with_its_reason(photos):
    found = proposed(UNSAID, photos(*[(90, 70)] * 40), None, accelerated=False)
    assert (found.image_size, found.network, found.latent_dim) == (64, "conv", 2)
    assert (found.training.batch_size, found.training.epochs) == (8, 500)
    told = {option: reason.partition(": ")[0] for option, reason in found.reasons.items()}
    values = {"image-size": "64", "network": "conv", "latent-dim": "2", "batch-size": "8", "epochs": "500"}
    assert told == {f"--{name}": value for name, value in values.items()}


def test_pictures_of_many_sizes_are_brought_to_one(photos):
    found = proposed(UNSAID, photos((16, 16), (16, 16), (12, 16), (40, 30)), None, accelerated=False)
    assert found.image_size == 16
    assert found.reasons["--image-size"].startswith("16: the shorter sides have 12 to 30 pixels")


def test_what_was_said_is_left_alone_even_where_it_is_the_default(photos):
    said = Choices(32, "mlp", 16, TrainingConfig(epochs=50, batch_size=100))
    assert proposed(said, photos(*[(90, 70)] * 20), None, accelerated=False) == said


def test_pictures_that_cannot_be_read_are_left_to_the_loader(photos):
    folder = photos((20, 20))
    (folder / "0000.png").write_bytes(b"no picture")
    assert proposed(UNSAID, folder, None, accelerated=False) == UNSAID


def test_a_data_set_comes_before_a_folder_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert not is_pictures("digits")
    assert is_pictures("./digits")
    assert not is_pictures("nowhere.zip")
    assert not is_pictures("\0")


def test_the_command_proposes_and_continues_as_it_began(sigmae, photos, tmp_path):
    folder, run = photos(*[(20, 16)] * 30, mode="L"), tmp_path / "run"
    begun = sigmae("train", folder, "--method", "rae-l2", "--epochs", 2, "--features", "random", "--out", run)
    assert begun.status == 0
    assert "proposed, since the command leaves it open:" in begun.err
    assert "--image-size 16: the shorter sides have 16 pixels" in begun.err
    assert "--epochs" not in begun.err.partition("epoch 1/2")[0]
    for command in ("sigmae sample", "sigmae diagnose", "sigmae explore"):
        assert f"next:   {command} {run}" in begun.err
    config = read_run(run)
    assert (config.data.image_size, config.model.latent_dim, config.training.batch_size) == (16, 2, 6)
    again = sigmae("train", folder, "--method", "rae-l2", "--out", run)
    assert again.status == 0
    assert "proposed" not in again.err
    assert read_run(run) == config
