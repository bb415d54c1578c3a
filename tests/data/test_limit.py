import json
import shlex

import numpy as np
import pytest
import torch

import sigmae
from sigmae.api import plan
from sigmae.commands import train_command
from sigmae.data import Dataset, load, Split
from sigmae.errors import SigmaeError
from sigmae.runs import open_run, run_data
from sigmae.settings import TrainingConfig

SPLITS = ("train", "validation", "test")
LIMIT = 30
SHORT = TrainingConfig(batch_size=10)


def assert_first(few, whole, limit):
    """The limited data set is the beginning of the whole one, and nothing else of it differs."""
    assert (few.name, few.label_names, few.factor_names, few.factor_sizes) == (
        whole.name, whole.label_names, whole.factor_names, whole.factor_sizes
    )  # fmt: skip
    for name in SPLITS:
        assert getattr(few, name).fingerprint == getattr(whole, name)[:limit].fingerprint


def held(split):
    """Bytes of memory that stay for the images of a split."""
    return split.images.untyped_storage().nbytes()


@pytest.mark.parametrize("source", ["digits", "sprites"])
def test_the_first_examples_of_every_split(source):
    few = load(source, limit=LIMIT)
    assert [len(getattr(few, name)) for name in SPLITS] == [LIMIT] * 3
    assert_first(few, load(source), LIMIT)


def test_before_images_are_resized():
    assert_first(load("digits", limit=LIMIT, image_size=16), load("digits", image_size=16), LIMIT)


def test_arrays_vectors_and_examples():
    vectors = torch.arange(300.0).reshape(100, 3)
    assert_first(load((vectors, np.arange(100)), limit=5), load((vectors, np.arange(100))), 5)
    pairs = [(image, n % 3) for n, image in enumerate(torch.rand(100, 1, 4, 4))]
    assert_first(load(pairs, limit=5), load(pairs), 5)


def test_a_split_with_fewer_examples_is_taken_whole():
    few, whole = load("digits", limit=200), load("digits")
    assert [len(getattr(few, name)) for name in SPLITS] == [200, 179, 179]
    assert_first(few, whole, 200)


def test_no_more_memory_is_held_than_is_needed():
    images = torch.rand(1000, 1, 4, 4)
    data = Dataset("mine", Split(images[:800]), Split(images[800:810]), Split(images[810:]))
    few = load(data, limit=20)
    assert [held(getattr(few, name)) for name in SPLITS] == [20 * 64, 10 * 64, 20 * 64]
    assert load(data, limit=800) is load(data) is data


@pytest.mark.parametrize("place", ["photos", "photos.zip"])
def test_only_the_pictures_that_are_taken_are_decoded(tmp_path, save_folder, place):
    pictures = {f"{label}/{n}.png": np.full((6, 6), 10 * n, np.uint8) for label in "abc" for n in range(10)}
    save_folder(tmp_path / place, pictures)
    told = []
    few = load(tmp_path / place, limit=2, progress=lambda done, total: told.append(total))
    assert told == [6]
    whole = load(tmp_path / place)
    assert whole.label_names == ("a", "b", "c")
    assert_first(few, whole, 2)


def test_classes_are_those_of_all_pictures(tmp_path, save_folder):
    pictures = {
        f"{split}/{label}/{n}.png": np.full((4, 4), n, np.uint8)
        for split in ("train", "validation", "test")
        for label in "abcdefgh"
        for n in range(3)
    }
    save_folder(tmp_path / "photos", pictures)
    few = load(tmp_path / "photos", limit=1)
    assert few.label_names == tuple("abcdefgh")
    assert_first(few, load(tmp_path / "photos"), 1)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit):
    with pytest.raises(SigmaeError, match=f"cannot be limited to {limit} examples: give a limit of 1 or more"):
        load("digits", limit=limit)


def test_a_run_remembers_it(tmp_path):
    planned = plan("digits", "ae", limit=LIMIT, training=SHORT)
    assert planned.config.data.limit == len(planned.data.train) == LIMIT
    open_run(tmp_path / "run", planned.config)
    assert_first(run_data(tmp_path / "run"), load("digits"), LIMIT)
    words = shlex.split(train_command(planned.config, "x"))
    assert words[words.index("--limit") + 1] == str(LIMIT)
    assert "--limit" not in train_command(plan("digits", "ae").config, "x")


def test_it_makes_another_run(tmp_path):
    open_run(tmp_path / "run", plan("digits", "ae", limit=LIMIT, training=SHORT).config)
    for limit in (None, LIMIT + 1):
        with pytest.raises(SigmaeError, match=r"another run \(different: data\.limit\)"):
            open_run(tmp_path / "run", plan("digits", "ae", limit=limit, training=SHORT).config)


def test_a_run_from_before_is_read_and_continued(tmp_path):
    config = plan("digits", "ae").config
    open_run(tmp_path / "run", config)
    path = tmp_path / "run" / "config.json"
    old = json.loads(path.read_text())
    assert old["data"].pop("limit") is None
    path.write_text(json.dumps(old))
    open_run(tmp_path / "run", config)
    assert_first(run_data(tmp_path / "run"), load("digits"), None)


def test_fit_takes_the_first_examples(monkeypatch):
    taken = []
    monkeypatch.setattr("sigmae.api.train", lambda model, data, *rest, **options: taken.append(data))
    sigmae.fit("digits", "ae", limit=LIMIT, batch_size=10, latent_dim=2)
    assert_first(taken[0], load("digits"), LIMIT)
    with pytest.raises(SigmaeError, match="batch size 100 is larger than the 30 training examples"):
        sigmae.fit("digits", "ae", limit=LIMIT)
