"""Killed by SIGKILL and started again, a command ends with the files of one that nothing disturbed."""

import os
import stat
from itertools import count

import pytest
from tests.reliability import victims

from sigmae.files import write_text

KINDS = {"plain": "vae", "KDE bank": "avae", "adversarial": "aae"}
KINDS |= {"learned variance": "sigma-iso-i", "spectral norm": "rae-sn"}
SMALL = ("--epochs", 12, "--limit", 400, "--latent-dim", 4, "--features", "random", "--set", "network.hidden=[32]")
KILLS = 8  # of every kind


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """The scene of each kind of method, set once."""
    known = {}

    def of(kind):
        if kind not in known:
            folder = tmp_path_factory.mktemp("training")
            known[kind] = victims.Scene(folder, "train", "digits", "--method", KINDS[kind], *SMALL, "--out", "./run")
        known[kind].clear()
        return known[kind]

    return of


@pytest.mark.promise(
    "Killed and continued",
    "A file is flushed to the disk before it gets its name, and its name before a command goes on.",
)
def test_a_file_is_flushed_and_then_its_name(tmp_path, monkeypatch):
    flush, told = os.fsync, []

    def look(number):
        told.append(("folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "file", (tmp_path / "name").exists()))
        flush(number)

    monkeypatch.setattr(os, "fsync", look)
    write_text(tmp_path / "name", "content")
    assert told == [("file", False), ("folder", True)]


ANY_MOMENT = pytest.mark.promise(
    "Killed and continued",
    "A run killed by SIGKILL at random moments of its steps, checkpoints, densities and evaluation ends with the bits "
    "of an undisturbed one.",
)
ANY_WRITE = pytest.mark.promise(
    "Killed and continued",
    "A run killed while it opens, fills, renames or removes a file ends with the bits of an undisturbed one, and no "
    "half of a file stays.",
)


@ANY_MOMENT
def test_killed_at_random_moments(training, record_property):
    training("plain").survive(3, "quick")
    record_property("tried", 3)


@pytest.mark.slow
@ANY_MOMENT
@pytest.mark.parametrize("kind", KINDS)
def test_killed_again_and_again(training, record_property, kind):
    training(kind).survive(KILLS, kind)
    record_property("tried", KILLS)


@pytest.mark.slow
@pytest.mark.promise(
    "Killed and continued",
    "A comparison killed by SIGKILL at random moments, within its runs and between them, ends with the same tables.",
)
def test_a_comparison_killed_again_and_again(tmp_path, record_property):
    folders = ("--runs", "./cells", "--out", "./tables")
    scene = victims.Scene(tmp_path, "compare", "digits", "--methods", "vae,rae-l2", "--seeds", 2, *SMALL, *folders)
    scene.survive(10, "comparison")
    record_property("tried", 10)


@ANY_WRITE
def test_killed_at_its_first_writes(training, record_property):
    """Before there is a config.json, and between it and what lies beside it."""
    scene = training("plain")
    assert all(scene.dies(victims.die_at_write, scene.made, moment) for moment in range(10))
    scene.end_undisturbed()
    record_property("tried", 10)


@pytest.mark.slow
@ANY_WRITE
def test_killed_at_later_and_later_writes(training, record_property):
    scene = training("plain")
    kills = next(n for n in count() if not scene.dies(victims.die_at_write, scene.made, 10 + 4 * n))
    assert kills >= 5  # the files of every run; the clock adds checkpoints
    scene.end_undisturbed()
    record_property("tried", kills)


@pytest.mark.slow
@ANY_WRITE
def test_killed_with_half_of_a_file(training, record_property):
    scene, names = training("plain"), ("step-", "model", "densities", "codes-", "random-")
    for name in names:
        assert scene.dies(victims.die_with_half_a_file, name)
        assert list(scene.made.rglob(f".{name}*.part"))
    scene.end_undisturbed()
    record_property("tried", len(names))
