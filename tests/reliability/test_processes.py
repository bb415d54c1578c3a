"""Several processes train as one does, and end together."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning_fabric.plugins.environments import LightningEnvironment
from torch import nn

from sigmae import recipes, SigmaeError, TrainingConfig
from sigmae.api import plan
from sigmae.cli import main, processes
from sigmae.cli.processes import LOST, PARENT, run_in_processes
from sigmae.joint import sharing
from sigmae.recipes import METHODS
from sigmae.tensors import load_tensors, save_tensors
from sigmae.training import make_fabric, train
from sigmae.training.loop import Loop
from sigmae.training.noise import JointNoise
from sigmae.training.processes import losses_told, not_shared, ProcessLost

sys.path.insert(0, str(Path(__file__).parent))
import ranks

GROUP = "Several processes"
QUIET = os.environ | {"OMP_NUM_THREADS": "1"}
SHARED = [name for name in METHODS if METHODS[name].network is None]


def same(found, wanted):
    """Whether two trajectories agree up to rounding."""
    return all(np.allclose(found[name], wanted[name], rtol=1e-4, atol=1e-5) for name in ("history", "weights"))


@pytest.mark.slow
@pytest.mark.promise(
    GROUP, "Two processes train every method as one does with their joint batch: its noise, losses and weights."
)
def test_every_method_trains_as_in_one_process(tmp_path, record_property):
    record_property("tried", len(SHARED))
    (alone,) = ranks.launch(tmp_path, 1, "trajectories", 3, *SHARED)
    first, second = ranks.launch(tmp_path, 2, "trajectories", 3, *SHARED)
    assert first == second
    assert [name for name in SHARED if not same(first[name], alone[name])] == []


@pytest.mark.slow
@pytest.mark.promise(GROUP, "Terms that compare the examples of a batch have the gradients of the joint batch.")
def test_gradients_are_those_of_the_joint_batch(tmp_path, record_property):
    record_property("tried", len(ranks.PARTS))
    for found in ranks.launch(tmp_path, 2, "gradients"):
        assert found.keys() == ranks.PARTS.keys()
        assert [name for name, difference in found.items() if not difference < 1e-12] == []


CONTINUED = ("vae", "avae", "aae", "ar-diag-i", "rae-sn")


@pytest.mark.slow
@pytest.mark.promise(GROUP, "A run that was stopped continues with another number of processes, as if undisturbed.")
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_run_continues_with_another_number_of_processes(tmp_path, before, after, record_property):
    """The request to stop comes to one process alone; the stop is in the middle of the third epoch."""
    record_property("tried", len(CONTINUED))
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    stopped.mkdir()
    whole.mkdir()
    for found in ranks.launch(stopped, before, "continued", 15, *CONTINUED):
        assert found == dict.fromkeys(CONTINUED, "stopped")
    assert len(list(stopped.glob("*/checkpoints/*"))) == len(CONTINUED)
    (undisturbed,) = ranks.launch(whole, 1, "continued", 0, *CONTINUED)
    for found in ranks.launch(stopped, after, "continued", 0, *CONTINUED):
        assert [name for name in CONTINUED if not same(found[name], undisturbed[name])] == []
        assert {len(one["history"]) for one in found.values()} == {6}


SPOILED = """
import os, signal, time
from dataclasses import dataclass
from pathlib import Path
from sigmae import recipes, SigmaeError, SquaredNorm
import sigmae.training.loop

sigmae.training.loop.CHECKPOINT_SECONDS = 0.0

@dataclass(eq=False)
class Spoiled(SquaredNorm):
    act: str = ""

    def begin_step(self, moment):
        rank, act = os.environ.get("LOCAL_RANK"), Path("act")
        if rank is None or moment.step != 14 or not act.exists():
            return
        Path(f"pid{rank}").write_text(str(os.getpid()))
        victim, self.act = act.read_text().split()
        if rank == victim:
            act.unlink()
            self.does()

    def does(self):
        match self.act:
            case "raises":
                raise SigmaeError("This process has had enough.")
            case "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            case "launcher":
                os.kill(os.getppid(), signal.SIGINT)
            case "group":
                os.killpg(os.getppid(), signal.SIGINT)
            case "terminal":
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(3)

    def measure(self, q, decoded):
        return super().measure(q, decoded) * (float("nan") if self.act == "nan" else 1)


def method():
    return recipes.rae().replace(latent=Spoiled(0.1))
"""


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory):
    """A folder with data and a method that something happens to in training; and its losses when nothing does."""
    folder = tmp_path_factory.mktemp("spoiled")
    np.save(folder / "images.npy", ranks.blobs().train.images.numpy())
    (folder / "spoiled.py").write_text(SPOILED)
    assert command(folder, folder / "whole", 1).returncode == 0
    return folder


def command(folder, out, devices):
    """`sigmae train`, when it has ended: its status, and what it said on standard error."""
    words = ["train", "images.npy", "--method", "spoiled:method", "--epochs", "6", "--batch-size", "10"]
    options = ["--network", "mlp", "--latent-dim", "2", "--features", "random", "--device", "cpu"]
    return subprocess.run(
        [sys.executable, "-m", "sigmae", *words, *options, "--devices", str(devices), "--out", str(out)],
        cwd=folder, env=QUIET, capture_output=True, text=True, timeout=ranks.PATIENCE, start_new_session=True,
    )  # fmt: skip


def losses(out):
    return [json.loads(line)["validation"]["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def is_running(process):
    """Whether there is a process of that number which is not a zombie."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


KILLED = "was ended by SIGKILL, as for want of memory; what was saved is whole, and the same command continues."
STOPPED = "Interrupted; what was saved is whole, and the same command continues."
ENDS = {  # which process does what: the exit status, what is said, and how many processes continue
    "1 raises": (1, "sigmae: This process has had enough.", 0),
    "1 nan": (1, "sigmae: Training stopped at step 15 (epoch 2): the latent term became nan", 0),
    "0 dies": (1, f"sigmae: Process 1 of 2 {KILLED}", 2),
    "1 launcher": (130, f"sigmae: {STOPPED}", 0),
    "0 group": (130, f"sigmae: {STOPPED}", 1),
    "1 terminal": (-signal.SIGKILL, f"sigmae: {STOPPED}", 0),
}
PROMISES = {
    "raises": "When one process fails, all end, with its message alone.",
    "nan": "When one process fails, all end, with its message alone.",
    "dies": "When one process is killed, all end with a message, and the same command continues.",
    "launcher": "Ctrl-C ends all processes with their state saved, whether it reaches all or the launcher alone.",
    "group": "Ctrl-C ends all processes with their state saved, whether it reaches all or the launcher alone.",
    "terminal": "No process outlives the command that started it.",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "act", [pytest.param(act, marks=pytest.mark.promise(GROUP, PROMISES[act.split()[1]])) for act in ENDS]
)
def test_what_happens_to_one_process_ends_all(spoiled, act):
    """None is left, one line tells why, checkpoints are whole, and what is continued ends as if undisturbed."""
    (spoiled / "act").write_text(act)
    out, (status, message, devices) = spoiled / act.replace(" ", "-"), ENDS[act]
    ended = command(spoiled, out, 2)
    assert ended.returncode == status, ended.stderr
    (said,) = [line for line in ended.stderr.splitlines() if not line.startswith("epoch ")]
    assert said.startswith(message)

    end = time.monotonic() + 30
    for path in spoiled.glob("pid?"):
        while is_running(path.read_text()):
            assert time.monotonic() < end, "a process outlives the command"
            time.sleep(0.1)
    assert all(load_tensors(path) for path in out.glob("checkpoints/*"))
    if devices:
        assert command(spoiled, out, devices).returncode == 0
        assert losses(out) == pytest.approx(losses(spoiled / "whole"), rel=1e-4)


def draws(count):
    """All kinds of noise for so many examples."""
    z = torch.zeros(count, 4)
    return [
        torch.randn_like(z),
        torch.rand_like(z),
        torch.rand(count, 3),
        torch.randn((2, count, 3)),
        torch.randint(9, (2, count)),
        torch.randint(3, 9, (count,)),
        torch.randint(high=4, size=(count,), dtype=torch.int32),
        torch.empty(2 * count, 3).bernoulli_(0.5),
        torch.distributions.Normal(z, z + 1).rsample((3,)),
        torch.rand(3),
    ]


@pytest.mark.promise(GROUP, "The noise of several processes is that of one, each taking the part of its examples.")
@pytest.mark.parametrize("count", [1, 2, 5])
def test_noise_is_the_share_of_that_of_one_process(count, record_property):
    record_property("tried", count * len(draws(1)))
    torch.manual_seed(11)
    whole = draws(20)
    for process in range(count):
        torch.manual_seed(99 + process)
        with sharing(process, count), JointNoise(20 // count, 11):
            shares = draws(20 // count)
        for joint, share in zip(whole, shares, strict=True):
            assert share.dtype == joint.dtype
            axis = next((axis for axis, size in enumerate(joint.shape) if size % 20 == 0), None)
            points = joint if axis is None else joint.unflatten(axis, (-1, 20)).movedim(axis + 1, 0)[process::count]
            wanted = points if axis is None else points.movedim(0, axis + 1).flatten(axis, axis + 1)
            assert torch.equal(share, wanted)


def test_a_generator_of_one_s_own_is_left_alone():
    def own():
        return torch.randn(20, 2, generator=torch.Generator().manual_seed(1))

    with sharing(1, 2), JointNoise(10, 11):
        assert torch.equal(own(), torch.randn(20, 2, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(own(), own())


@pytest.mark.promise(GROUP, "The processes share the same batches, in the same order.")
@pytest.mark.parametrize("count", [2, 4])
def test_processes_have_shares_of_the_same_batches(count, record_property):
    record_property("tried", count)
    settings = TrainingConfig(batch_size=20)
    model = plan(ranks.blobs(), "rae", training=settings, **ranks.SMALL).model
    loop = Loop(model, ranks.blobs(), settings, None, lambda report: None, make_fabric(device="cpu"))
    whole = list(loop.batches())
    shares = []
    for process in range(count):
        loop.fabric = SimpleNamespace(global_rank=process, world_size=count)
        shares.append(list(loop.batches()))
    joint = [torch.stack(parts, 1).flatten().tolist() for parts in zip(*shares, strict=True)]
    assert joint == [batch.tolist() for batch in whole]
    assert len(whole) == 6


@pytest.mark.promise(GROUP, "A batch that cannot be shared alike is refused before a process is started.")
@pytest.mark.parametrize(("devices", "size", "instead"), [(2, 25, 24), (4, 3, 4), (2, 1, 2)])
def test_a_batch_that_cannot_be_shared_alike_is_refused(devices, size, instead, capsys, tmp_path):
    out = tmp_path / "run"
    options = ["--device", "cpu", "--devices", str(devices), "--batch-size", str(size), "--out", str(out)]
    with pytest.raises(SystemExit) as stopped:
        main(["train", "digits", *options])
    assert stopped.value.code == 1
    told = f"A batch of {size} examples cannot be shared alike by {devices} processes: use --batch-size {instead}."
    assert capsys.readouterr().err == f"sigmae: {told}\n"
    assert not out.exists()


NORMALIZED = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))


@pytest.mark.promise(GROUP, "Batch normalization, whose statistics are of each process's share, is warned of.")
@pytest.mark.parametrize(
    ("model", "count", "before", "told"),
    [
        (nn.Linear(2, 2), 2, 1, "^$"),
        (NORMALIZED, 1, 1, "^$"),
        (NORMALIZED, 2, 2, "will not be that of one process"),
        (NORMALIZED, 1, 2, "trained by 2 so far, .* had not changed to 1"),
        (NORMALIZED, 4, 2, "trained by 2 so far, .* had not changed to 4"),
    ],
)
def test_what_is_not_shared_is_told(model, count, before, told):
    assert re.search(told, not_shared(model, count, before))


def test_a_run_of_two_processes_is_known_by_its_checkpoint(tmp_path):
    settings = TrainingConfig(batch_size=20, epochs=1)
    data, warnings = ranks.blobs(), []

    def trained():
        model = plan(data, recipes.rae(), training=settings, latent_dim=3, network=normalized()).model
        train(model, data, settings, folder=tmp_path, warn=warnings.append)

    trained()
    (path,) = tmp_path.glob("checkpoints/*.safetensors")
    tensors, record = load_tensors(path)
    save_tensors(path, tensors, record | {"processes": 2})
    assert warnings == []
    trained()
    assert len(warnings) == 1
    assert "trained by 2 so far" in warnings[0]


def normalized():
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    return encoder, nn.Sequential(nn.Linear(3, 36), nn.BatchNorm1d(36), nn.Unflatten(1, (1, 6, 6)))


def test_a_lost_process_is_told_in_a_sentence():
    with pytest.raises(ProcessLost, match="Another process of this training has ended"), losses_told():
        raise torch.distributed.DistBackendError("a socket was closed")
    with pytest.raises(ProcessLost), losses_told():
        raise RuntimeError("[gloo/transport/tcp/pair.cc:537] Read error: Connection reset by peer")
    with pytest.raises(RuntimeError, match="another"), losses_told():
        raise RuntimeError("another")


def crew(monkeypatch, program, count=2):
    """`run_in_processes` of a program in place of `sigmae`, which knows its number as `rank`."""
    lines = ["import os, signal, sys, time", "rank = int(os.environ['LOCAL_RANK'])", program]
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-c", "\n".join(lines)])
    fabric = SimpleNamespace(strategy=SimpleNamespace(cluster_environment=LightningEnvironment()))
    return run_in_processes(fabric, count)


def test_processes_that_end_well_are_a_success(monkeypatch, tmp_path):
    program = f"names = ({PARENT!r}, 'MASTER_ADDR', 'NODE_RANK')\n"
    program += f"open({str(tmp_path)!r} + '/' + str(rank), 'w').write(' '.join(os.environ[n] for n in names))"
    assert crew(monkeypatch, program, 3) == 0
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == [f"{os.getpid()} 127.0.0.1 0"] * 3


@pytest.mark.promise(GROUP, PROMISES["raises"])
@pytest.mark.parametrize(
    ("program", "status", "told"),
    [
        ("print('second', file=sys.stderr); sys.exit(0 if rank == 0 else 3)", 3, "second"),
        (
            f"time.sleep(0.3 * (1 - rank)); rank and print('second', file=sys.stderr); sys.exit({LOST} - rank)",
            74,
            "second",
        ),
        ("sys.exit(2)", 2, ""),
        ("rank and sys.exit(4); time.sleep(60)", 4, ""),
    ],
)
def test_the_status_is_that_of_the_process_that_failed(monkeypatch, capsys, program, status, told):
    """One that only lost another is passed over, and one that does not end is ended."""
    monkeypatch.setattr(processes, "GRACE", 0.5)
    assert crew(monkeypatch, program) == status
    assert capsys.readouterr().err.split() == told.split()


@pytest.mark.promise(GROUP, PROMISES["dies"])
@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_killed_process_is_named(monkeypatch, victim):
    program = f"rank == {victim} and os.kill(os.getpid(), signal.SIGKILL); time.sleep(0.3); sys.exit({LOST})"
    with pytest.raises(SigmaeError, match=f"Process {victim + 1} of 3 was ended by SIGKILL"):
        crew(monkeypatch, program, 3)


def test_processes_lost_on_another_machine_are_told(monkeypatch):
    with pytest.raises(ProcessLost, match="on another machine"):
        crew(monkeypatch, f"sys.exit({LOST})")


@pytest.mark.promise(
    GROUP, "Ctrl-C ends all processes with their state saved, whether it reaches all or the launcher alone."
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_passed_on_once(monkeypatch, tmp_path, number):
    """Each process counts what it got; the handlers of the launcher are put back."""
    before = signal.getsignal(number)
    program = f"""
got = []
signal.signal({int(number)}, lambda *_: got.append(1))
open({str(tmp_path)!r} + f"/ready{{rank}}", "w").close()
while len(os.listdir({str(tmp_path)!r})) < 2: time.sleep(0.01)
if rank == 0: os.kill(os.getppid(), {int(number)})
time.sleep(0.5)
sys.exit(40 + len(got))
"""
    assert crew(monkeypatch, program) == 41
    assert signal.getsignal(number) == before
