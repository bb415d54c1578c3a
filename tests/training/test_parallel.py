"""Two processes follow the trajectory of one on the command line, and share opponents and banks in a program."""

import json
import os
import subprocess
import sys

import pytest
import torch


@pytest.mark.slow
@pytest.mark.promise(
    "Several processes",
    "Two processes train every method as one does with their joint batch: its noise, losses and weights.",
)
def test_two_processes_train_as_one(tmp_path):
    def losses(devices):
        folder = tmp_path / str(devices)
        command = [sys.executable, "-m", "sigmae", "train", "digits", "--method", "rae-l2", "--epochs", "3"]
        options = ["--device", "cpu", "--devices", str(devices), "--features", "random", "--out", str(folder)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([*command, *options], check=True, capture_output=True, env=environment, timeout=300)
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["validation"]["loss"] for line in lines]

    assert losses(2) == pytest.approx(losses(1), rel=1e-4)


PROGRAM = """
import sys
from pathlib import Path
import torch
from sigmae import Dataset, Delta, DiagonalGaussian, Gaussian, KernelDensity, KL, Linearized, Mean, MonteCarlo
from sigmae import Objective, Split, SquaredError, TrainingConfig
from sigmae.adversarial import Adversarial
from sigmae.api import plan
from sigmae.total_correlation import TotalCorrelation
from sigmae.training import make_fabric, train

TERMS = {
    "adversarial": lambda: Objective(Delta(), Mean(), SquaredError(), Adversarial(hidden=(8,))),
    "factor": lambda: Objective(
        DiagonalGaussian(), MonteCarlo(), SquaredError(), TotalCorrelation(4.0, "discriminator", hidden=(8,))
    ),
    "linearized": lambda: Objective(DiagonalGaussian(), Linearized(0.5, share=0.5), Gaussian(), KL()),
    "refresh": lambda: Objective(Delta(), Mean(), SquaredError(), KernelDensity(20, refresh_every=2)),
    "queue": lambda: Objective(Delta(), Mean(), SquaredError(), KernelDensity(20, schedule="queue")),
}

if __name__ == "__main__":
    folder, name = Path(sys.argv[1]), sys.argv[2]
    fabric = make_fabric(device="cpu", devices=2)
    fabric.launch()
    pixels = torch.randint(0, 256, (120, 1, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    data = Dataset("noise", Split(pixels[:80]), Split(pixels[80:100]), Split(pixels[100:]))
    settings = TrainingConfig(epochs=2, batch_size=20)
    model = plan(data, TERMS[name](), latent_dim=2, training=settings).model
    before = [weight.clone() for weight in model.parameters()]
    train(model, data, settings, fabric=fabric)
    assert not any(torch.equal(a, b) for a, b in zip(before, model.parameters()))
    torch.save([weight.detach() for weight in model.parameters()], folder / f"rank{fabric.global_rank}.pt")
"""


@pytest.mark.slow
@pytest.mark.promise("Several processes", "All processes end with one model, to the bit, however they were started.")
@pytest.mark.parametrize("term", ["adversarial", "factor", "linearized", "refresh", "queue"])
def test_two_processes_keep_one_model(tmp_path, term):
    """The ranks see different examples, and average the gradients of the model, and of its opponent if it has one."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(tmp_path), term]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300)

    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    assert all(torch.equal(one, other) for one, other in zip(*ranks, strict=True))
