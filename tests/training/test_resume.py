"""Stopped anywhere and continued, a run ends with the same bits."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
import torch

from sigmae import recipes, SigmaeError, SquaredNorm, TrainingConfig
from sigmae.api import plan
from sigmae.tensors import load_tensors
from sigmae.training import Interrupted, loop, train

SETTINGS = TrainingConfig(epochs=6, batch_size=20, seed=3)


def fresh(data, method, **options):
    return plan(data, method, latent_dim=2, training=SETTINGS, **options).model


def same_bits(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def stopping_at(step):
    @dataclass(eq=False)
    class Stops(SquaredNorm):
        def begin_step(self, moment):
            if moment.step == step:
                signal.raise_signal(signal.SIGINT)

    return Stops


@pytest.mark.parametrize("method", ["rae", "vae", "rae-gp", "rae-sn", "wae-mmd"])
@pytest.mark.parametrize("step", [0, 7, 20, 47])
def test_interrupted_and_continued_is_undisturbed(blobs, tmp_path, method, step):
    whole = fresh(blobs, method)
    progress = train(whole, blobs, SETTINGS)

    def interrupt(report):
        if report.record is None and report.progress.step > step:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(fresh(blobs, method), blobs, SETTINGS, folder=tmp_path, observe=interrupt)
    continued = fresh(blobs, method)
    again = train(continued, blobs, SETTINGS, folder=tmp_path)
    assert same_bits(whole, continued)
    assert strip(again.history) == strip(progress.history)


def strip(history):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in history]


def test_convolutions_continue_with_the_same_bits(blobs, tmp_path):
    options = {"network": "conv", "settings": ["network.width=4"]}
    whole = fresh(blobs, "rae-l2", **options)
    train(whole, blobs, SETTINGS)
    objective = recipes.rae_l2().replace(latent=stopping_at(11)(0.0064))
    with pytest.raises(Interrupted):
        train(fresh(blobs, objective, **options), blobs, SETTINGS, folder=tmp_path)
    continued = fresh(blobs, "rae-l2", **options)
    train(continued, blobs, SETTINGS, folder=tmp_path)
    assert same_bits(whole, continued)


def test_a_second_signal_acts_at_once(blobs):
    @dataclass(eq=False)
    class Twice(SquaredNorm):
        def begin_step(self, moment):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    model = fresh(blobs, recipes.rae().replace(latent=Twice(0.1)))
    with pytest.raises(KeyboardInterrupt) as caught:
        train(model, blobs, SETTINGS)
    assert not isinstance(caught.value, Interrupted)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    whole = fresh(blobs, "vae")
    train(whole, blobs, SETTINGS, folder=tmp_path)
    first, last = sorted(tmp_path.glob("checkpoints/*.safetensors"))
    content = bytearray(last.read_bytes())
    content[-5] ^= 1
    last.write_bytes(content)
    warnings = []
    continued = fresh(blobs, "vae")
    train(continued, blobs, SETTINGS, folder=tmp_path, warn=warnings.append)
    assert same_bits(whole, continued)
    assert len(warnings) == 1
    assert str(last) in warnings[0]
    assert load_tensors(first)[1]["progress"]["step"] < 48


def test_only_two_checkpoints_are_kept_and_no_part_of_one(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    train(fresh(blobs, "rae"), blobs, SETTINGS, folder=tmp_path)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_a_full_disk_is_an_error_and_the_checkpoint_before_stays(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    from sigmae import tensors

    original, calls = tensors.save_file, []

    def full(content, path, metadata=None):
        calls.append(path)
        if len(calls) > 9:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device", str(path))
        original(content, path, metadata=metadata)

    monkeypatch.setattr(tensors, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        train(fresh(blobs, "rae"), blobs, SETTINGS, folder=tmp_path)
    monkeypatch.setattr(tensors, "save_file", original)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    whole, continued = fresh(blobs, "rae"), fresh(blobs, "rae")
    train(whole, blobs, SETTINGS)
    train(continued, blobs, SETTINGS, folder=tmp_path)
    assert same_bits(whole, continued)


def test_a_file_that_another_program_wrote_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(SigmaeError, match="does not match its checksum"):
        load_tensors(tmp_path / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.3, 1.0, 2.5])
def test_killed_and_continued_is_undisturbed(tmp_path, delay):
    """SIGKILL of the whole command, `delay` seconds after it began to train."""
    program = "import sigmae.training.loop as loop, sigmae.cli; loop.CHECKPOINT_SECONDS = 0.0; sigmae.cli.main()"
    command = [sys.executable, "-c", program, "train", "digits", "--method", "vae", "--epochs", "60"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen([*command, "--out", str(killed)], env=environment, stderr=subprocess.DEVNULL)
    while not (killed / "metrics.jsonl").exists():
        time.sleep(0.02)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for folder in (killed, whole):
        subprocess.run([*command, "--out", str(folder)], env=environment, check=True, capture_output=True)
    for name in ("model.safetensors", "densities.safetensors", "evaluation.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
