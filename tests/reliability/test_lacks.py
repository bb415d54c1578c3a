"""What the machine lacks, or who stops the command, is told in a sentence; nothing that was written is lost."""

import shutil
import signal
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from tests.reliability import victims

from sigmae import recipes, SigmaeError, SquaredNorm, TrainingConfig
from sigmae.api import plan
from sigmae.data import arrays, load
from sigmae.training import loop, train

GROUP = "What the machine lacks"
LATENT = ("--latent-dim", 4, "--features", "random", "--set", "network.hidden=[32]")
SMALL = ("--epochs", 6, "--limit", 400, *LATENT)
VERBS = {
    "train": ("digits", *SMALL, "--out", "./run"),
    "evaluate": ("./run", "--metrics", "fid", "collapse", "--features", "random"),
    "sample": ("./run", "--density", "gmm100", "--count", 64, "--out", "./samples.npy"),
    "compare": ("digits", "--methods", "vae,ae", "--seeds", 1, *SMALL, "--runs", "./cells", "--out", "./tables"),
}
STAGES = ("epoch 2/", "fitting densities", "fid of gmm10", "picture: interpolations")
INTERRUPTED = "sigmae: Interrupted; what was saved is whole, and the same command continues."


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A command of each verb about a small run, set once."""
    known = {}

    def of(verb):
        if verb not in known:
            before = of("train").kept if verb in ("evaluate", "sample") else None
            known[verb] = victims.Scene(tmp_path_factory.mktemp(verb), verb, *VERBS[verb], before=before)
        known[verb].clear()
        return known[verb]

    return of


def sentence(scene):
    """The last line that a command said; no line of it may be that of a defect."""
    said = victims.said(scene.log)
    assert "Traceback" not in said
    return said.splitlines()[-1]


# Room on the disk

FULL = pytest.mark.promise(
    GROUP,
    "On a full disk a command ends with a sentence, every file that it wrote is whole, and with room again the same "
    "command ends as if nothing had been.",
)


def run_out_of_room(scene, room):
    """Let the command fail for want of room, and then succeed; compare what is there then."""
    scene.set_up()
    words = [str(word) for word in scene.command]
    ended = victims.status(scene.command, scene.log, victims.on_a_small_disk, scene.made, room, words)
    if ended == victims.NO_MOUNTS:
        pytest.skip("this system gives a process no mounts of its own")
    said = victims.said(scene.log)
    assert "Traceback" not in said
    assert ended == 0
    assert "sigmae: No space left to write" in said.partition("status 1\n")[0].splitlines()[-1]
    shutil.rmtree(scene.made)
    scene.made.with_name("after").rename(scene.made)
    scene.compare()


@FULL
@pytest.mark.parametrize("share", [slow(0.02), 0.4, slow(0.7)])
def test_training_on_a_full_disk(scene, share):
    train = scene("train")
    size = sum(path.stat().st_size for path in train.kept.rglob("*"))
    run_out_of_room(train, int(share * size))


@FULL
@pytest.mark.parametrize("verb", [slow("evaluate"), "sample"])
def test_a_full_disk_behind_training(scene, verb):
    run_out_of_room(scene(verb), 4096)


@pytest.mark.slow
@FULL
@pytest.mark.parametrize("room", [10_000, 300_000])
def test_a_comparison_on_a_full_disk(scene, room):
    run_out_of_room(scene("compare"), room)


@FULL
@pytest.mark.parametrize(("verb", "most"), [slow("train", 30_000), ("sample", 10_000)])
def test_a_file_that_may_not_be_as_long(scene, verb, most):
    """A limit of the system itself, where there are no mounts of one's own."""
    short = scene(verb)
    short.set_up()
    assert victims.status(short.command, short.log, victims.with_short_files, most) == 1
    assert sentence(short).startswith(f"sigmae: No space left to write {short.made}")
    victims.check_whole(short.made)
    short.end_undisturbed()


# A right to write


@pytest.mark.promise(GROUP, "A folder that may not be written to is named in a sentence, before a run is evaluated.")
@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("train", "Read-only file system: "),
        slow("evaluate", " may not be written to: "),
        ("sample", "Read-only file system: "),
    ],
)
def test_a_read_only_disk(scene, verb, told):
    shut = scene(verb)
    shut.set_up()
    ended = victims.status(shut.command, shut.log, victims.on_a_read_only_disk, shut.made)
    shutil.rmtree(shut.made)
    if ended == victims.NO_MOUNTS:
        pytest.skip("this system gives a process no mounts of its own")
    assert ended == 1
    assert told in sentence(shut)
    assert str(shut.made) in sentence(shut)


# Data that are no longer there

GONE = pytest.mark.promise(
    GROUP, "Data that are gone when they are needed are named in a sentence, and once they are back the command ends."
)


@pytest.fixture
def pictures(tmp_path):
    """A folder of forty pictures."""
    folder, draw = tmp_path / "pictures", np.random.RandomState(0)
    folder.mkdir()
    for number in range(40):
        Image.fromarray(draw.randint(0, 255, (8, 8), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.mark.slow
@GONE
def test_pictures_that_are_gone_when_the_run_is_evaluated(pictures, tmp_path):
    run = victims.Scene(tmp_path, "train", pictures, "--batch-size", 8, "--epochs", 2, *LATENT, "--out", "./run")
    evaluate = ("evaluate", run.kept / "run", "--metrics", "collapse")
    away = pictures.rename(tmp_path / "away")
    assert victims.status(evaluate, run.log) == 1
    assert str(pictures) in sentence(run)
    away.rename(pictures)
    assert victims.status(evaluate, run.log) == 0


@pytest.mark.promise(GROUP, "A run is not continued on other data than it began on; with them back, it is.")
def test_pictures_that_are_removed_while_a_run_is_stopped(pictures, tmp_path):
    run = victims.Scene(tmp_path, "train", pictures, "--batch-size", 8, "--epochs", 2, *LATENT, "--out", "./run")
    assert run.dies(victims.die_with_half_a_file, "model")
    away = (pictures / "7.png").rename(tmp_path / "7.png")
    assert victims.status(run.command, run.log) == 1
    assert f"The run in {run.made / 'run'} began on other data than there are now" in sentence(run)
    away.rename(pictures / "7.png")
    run.end_undisturbed()


@pytest.mark.promise(GROUP, "A large file of images that is cut or removed while a run trains does not disturb it.")
def test_a_streamed_file_that_is_cut_behind_its_loading(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "HELD", 0)
    images = np.random.RandomState(0).rand(50, 6, 6).astype(np.float32)
    np.save(tmp_path / "mine.npy", images)
    data = load(tmp_path / "mine.npy")
    (tmp_path / "mine.npy").write_bytes(b"")
    assert sum(len(split) for split in (data.train, data.validation, data.test)) == 50
    assert float(data.train.images.sum() + data.validation.images.sum() + data.test.images.sum()) == pytest.approx(
        float(images.sum())
    )
    with pytest.raises(SigmaeError, match=r"mine.npy cannot be read"):
        load(tmp_path / "mine.npy")


# Signals

STOPPED = pytest.mark.promise(
    GROUP,
    "SIGINT and SIGTERM end a command at any stage with one line and exit code 130 or 143, and the same command "
    "continues to the bits of an undisturbed one.",
)


def stop(scene, words, number):
    """Send a signal when the command has said these words; one that ended before it came begins again."""
    for _ in range(3):
        if (status := victims.stopped(scene.command, scene.log, words, number)) != 0:
            break
        scene.clear()
        scene.set_up()
    assert status == 128 + number
    assert sentence(scene) == INTERRUPTED


@STOPPED
@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGTERM), slow((signal.SIGTERM, signal.SIGINT))])
def test_stopped_at_every_stage_of_a_run(scene, record_property, numbers):
    train = scene("train")
    for words, number in zip(STAGES, 2 * numbers, strict=True):
        stop(train, words, number)
    train.end_undisturbed()
    record_property("tried", len(STAGES))


@STOPPED
@pytest.mark.parametrize(("verb", "words"), [slow("evaluate", "fid of"), ("sample", "fitting the density")])
def test_stopped_behind_training(scene, verb, words):
    behind = scene(verb)
    behind.set_up()
    stop(behind, words, signal.SIGTERM)
    behind.end_undisturbed()


@pytest.mark.slow
@STOPPED
def test_a_comparison_stopped_within_a_run_and_behind_one(scene, record_property):
    compare = scene("compare")
    for number in (signal.SIGTERM, signal.SIGINT):
        stop(compare, "seed 0: done", number)
    compare.end_undisturbed()
    record_property("tried", 2)


# Memory


def refused_by_torch():
    torch.empty(1 << 60)


def refused_by_numpy():
    np.empty(1 << 50)


def refused_by_a_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nMore lines.")


@pytest.mark.promise(GROUP, "A command that needs more memory than there is ends with a sentence.")
def test_a_sample_that_does_not_fit(scene):
    train = scene("train")
    out = train.made.with_name("samples.npy")
    sample = ("sample", train.kept / "run", "--count", 1_000_000, "--out", out)
    assert victims.status(sample, train.log, victims.with_little_memory, 100_000_000) == 1
    assert sentence(train).startswith("sigmae: Out of memory; what was written before is whole: ")
    assert not out.exists()


SHORT = pytest.mark.promise(
    GROUP,
    "A step for which there is not enough memory ends training with a sentence that names --batch-size, and the last "
    "checkpoint stays.",
)
SETTINGS = TrainingConfig(epochs=3, batch_size=20)


@SHORT
@pytest.mark.parametrize("refused", [refused_by_torch, refused_by_numpy, refused_by_a_gpu])
def test_a_batch_that_does_not_fit(tmp_path, monkeypatch, refused):
    @dataclass(eq=False)
    class Greedy(SquaredNorm):
        def begin_step(self, moment):
            if moment.step == 5:
                refused()

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    data = load(torch.rand(60, 1, 4, 4))
    model = plan(data, recipes.ae().replace(latent=Greedy(0.1)), latent_dim=2, training=SETTINGS).model
    with pytest.raises(SigmaeError, match=r"Out of memory\. A step on 20 images does not fit; .* --batch-size"):
        train(model, data, SETTINGS, folder=tmp_path)
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == [
        "step-00000004.safetensors",
        "step-00000005.safetensors",
    ]
