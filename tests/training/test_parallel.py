"""Two processes follow the trajectory of one, for a method without batch statistics and noise."""

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
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
