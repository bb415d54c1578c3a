"""Stopped anywhere and continued, a run ends with the same bits."""

import errno
import os
import random
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass

import pytest
import torch

from sigmae import recipes, SigmaeError, SquaredNorm, TrainingConfig
from sigmae.api import plan
from sigmae.tensors import load_tensors, save_tensors
from sigmae.training import Interrupted, loop, train

SETTINGS = TrainingConfig(epochs=6, batch_size=20, seed=3)
GROUP = "Killed and continued"
SHARES = (0.0, 0.0001, 0.01, 0.1, 0.5, 0.9, 1.0)
EDITED = (0.0001, 0.01, 0.1, 0.5, 0.9, 1.0)


STOPPED = pytest.mark.promise(
    GROUP, "A run stopped by Ctrl-C or SIGTERM in any step ends with the bits of an undisturbed one."
)


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


@STOPPED
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


@STOPPED
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


@pytest.mark.promise(GROUP, "A second Ctrl-C stops at once, without a checkpoint.")
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


@pytest.fixture(scope="module")
def finished(blobs, tmp_path_factory):
    """A model that was trained undisturbed, and its folder: only to be read."""
    model, folder = fresh(blobs, "vae"), tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        train(model, blobs, SETTINGS, folder=folder)
    return model, folder


@pytest.fixture
def undisturbed(finished):
    return finished[0]


@pytest.fixture
def checkpoints(finished, tmp_path):
    """The two checkpoints of a run that was trained, in the test's own folder."""
    shutil.copytree(finished[1], tmp_path, dirs_exist_ok=True)
    return sorted(tmp_path.glob("checkpoints/*.safetensors"))


def continued(data, folder):
    """A run that was continued, with the sentences in which it was warned."""
    model, warnings = fresh(data, "vae"), []
    train(model, data, SETTINGS, folder=folder, warn=warnings.append)
    return model, warnings


def damage(path, how):
    """Cut a file after some share of it, or change a bit there."""
    content = bytearray(path.read_bytes())
    kind, share = how
    place = min(int(share * len(content)), len(content) - 1)
    content[place] ^= 1
    path.write_bytes(content if kind == "edited" else content[:place])


@pytest.mark.promise(
    GROUP, "A checkpoint that was cut or edited is named and set aside, and training goes on from the one before it."
)
@pytest.mark.parametrize("how", [*(("cut", share) for share in SHARES), *(("edited", share) for share in EDITED)])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(blobs, tmp_path, undisturbed, checkpoints, how):
    first, last = checkpoints
    damage(last, how)
    content = last.read_bytes()
    model, (warning,) = continued(blobs, tmp_path)
    assert same_bits(undisturbed, model)
    assert str(last) in warning
    assert warning.endswith(f"It is set aside as {last.stem}.unusable; {first.name} is tried instead.")
    assert last.with_suffix(".unusable").read_bytes() == content
    assert len(list(last.parent.glob("*.safetensors"))) == 2


@pytest.mark.promise(GROUP, "A tensor file of which a byte was changed is refused, or holds what it held.")
def test_a_byte_that_was_changed_anywhere(checkpoints, record_property):
    path, tried = checkpoints[-1], 300
    content, (tensors, record) = path.read_bytes(), load_tensors(path)
    draw, header = random.Random(0), 8 + int.from_bytes(path.read_bytes()[:8], "little")
    for number in range(tried):
        edited = bytearray(content)
        edited[draw.randrange(header if number % 2 else len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(edited)
        with suppress(SigmaeError):
            found, told = load_tensors(path)
            assert told == record
            assert all(torch.equal(found[name], tensors[name]) for name in found | tensors)
    record_property("tried", tried)


BOTH = pytest.mark.promise(
    GROUP, "Where no checkpoint can be used, a warning says so, training starts anew, and none of them is deleted."
)


@BOTH
def test_with_both_checkpoints_damaged_training_starts_anew(blobs, tmp_path, undisturbed, checkpoints):
    for path in checkpoints:
        damage(path, ("cut", 0.5))
    model, warnings = continued(blobs, tmp_path)
    assert same_bits(undisturbed, model)
    assert [str(path) in warning for path, warning in zip(reversed(checkpoints), warnings, strict=True)] == [True, True]
    assert warnings[-1].endswith("there is no other: training starts anew.")
    assert all(path.with_suffix(".unusable").exists() for path in checkpoints)


@BOTH
def test_a_run_that_started_anew_keeps_its_checkpoints(blobs, tmp_path, undisturbed, checkpoints, monkeypatch):
    """Those of later steps, which were damaged, do not count among the last two."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    for path in checkpoints:
        damage(path, ("edited", 0.9))

    def interrupt(report):
        if report.record is None and report.progress.step > 9:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(fresh(blobs, "vae"), blobs, SETTINGS, folder=tmp_path, observe=interrupt)
    steps = [load_tensors(path)[1]["progress"]["step"] for path in checkpoints[0].parent.glob("*.safetensors")]
    assert len(steps) == 2
    assert max(steps) < 48
    model, warnings = continued(blobs, tmp_path)
    assert same_bits(undisturbed, model)
    assert warnings == []


def rewritten(path, change):
    """Write a checkpoint again, as another program could that knows its form."""
    tensors, record = load_tensors(path)
    change(tensors, record)
    save_tensors(path, tensors, record)


FOREIGN = {
    "a counter too many": lambda tensors, record: record["progress"].update(joy=1),
    "a counter too few": lambda tensors, record: record["progress"].pop("step"),
    "a record too many": lambda tensors, record: record.update(joy=1),
    "a record too few": lambda tensors, record: record.pop("schedule"),
    "rates of two groups": lambda tensors, record: record.update(rates=[0.1, 0.2]),
    "a group of tensors too many": lambda tensors, record: tensors.update({"joy.0": torch.zeros(1)}),
    "a weight too few": lambda tensors, record: tensors.pop("model.encoder.1.weight"),
    "a weight of another shape": lambda tensors, record: tensors.update({"best.encoder.1.weight": torch.zeros(2, 3)}),
    "moments of another shape": lambda tensors, record: tensors.update({"optimizer.0.exp_avg": torch.zeros(2, 3)}),
    "moments of no weight": lambda tensors, record: tensors.update({"optimizer.99.exp_avg": torch.zeros(2)}),
}


@pytest.mark.promise(
    GROUP, "A checkpoint of another model or of another version is named and set aside, and the one before it is used."
)
@pytest.mark.parametrize("change", FOREIGN)
def test_a_checkpoint_of_another_model_or_version(blobs, tmp_path, undisturbed, checkpoints, change):
    rewritten(checkpoints[-1], FOREIGN[change])
    model, (warning,) = continued(blobs, tmp_path)
    assert f"{checkpoints[-1]} is of another model, or was written by another version of sigmae." in warning
    assert same_bits(undisturbed, model)


@pytest.mark.promise(GROUP, "A line of metrics.jsonl that was torn is written again from the checkpoint.")
def test_a_torn_history_is_written_again(blobs, tmp_path, checkpoints):
    path = tmp_path / "metrics.jsonl"
    whole = path.read_text()
    for torn in (whole[:-20], whole[: len(whole) // 2], "", whole + whole[:30]):
        path.write_text(torn)
        continued(blobs, tmp_path)
        assert path.read_text() == whole


@pytest.mark.promise(GROUP, "The last two checkpoints are kept, and no part of one.")
def test_only_two_checkpoints_are_kept_and_no_part_of_one(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    train(fresh(blobs, "rae"), blobs, SETTINGS, folder=tmp_path)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


@pytest.mark.promise(
    "What the machine lacks", "A checkpoint for which there is no room leaves the one before as it is."
)
def test_a_full_disk_is_an_error_and_the_checkpoint_before_stays(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    flushed = iter(range(1000))

    def full(number):
        if next(flushed) > 20:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            train(fresh(blobs, "rae"), blobs, SETTINGS, folder=tmp_path)
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
