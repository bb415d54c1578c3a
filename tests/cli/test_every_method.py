"""Every method on the command line: train, stop, continue, sample, evaluate, show."""

import math
import signal
from html import unescape

import numpy as np
import pytest

from sigmae.recipes import METHODS
from sigmae.training.loop import Loop


def interrupting(monkeypatch, step):
    """Let Ctrl-C arrive in a step of training, once."""
    original = Loop.step

    def stop(self, indices):
        if self.state.progress.step == step:
            monkeypatch.setattr(Loop, "step", original)
            signal.raise_signal(signal.SIGINT)
        original(self, indices)

    monkeypatch.setattr(Loop, "step", stop)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_trained_stopped_continued_sampled_and_evaluated(sigmae, train, tmp_path, monkeypatch, method):
    options = ("--method", method, "--batch-size", "200")
    undisturbed = train("digits", tmp_path / "whole", *options)
    assert undisturbed.status == 0, undisturbed.err
    interrupting(monkeypatch, 3)
    assert train("digits", tmp_path / "run", *options).status == 130
    assert train("digits", tmp_path / "run", *options).status == 0
    for name in ("model.safetensors", "densities.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

    assert sigmae("sample", tmp_path / "run", "--count", "3", "--out", tmp_path / "x.npy").status == 0
    assert np.isfinite(np.load(tmp_path / "x.npy")).all()
    chosen = ("--metrics", "squared_error", "fid", "--features", "random")
    rows = sigmae("evaluate", tmp_path / "run", *chosen, "--json").json["rows"]
    assert {"squared_error", "fid-random"} <= {row["metric"] for row in rows}
    assert all(math.isfinite(row["value"]) for row in rows)
    assert METHODS[method].paper.title in unescape((tmp_path / "run" / "report.html").read_text())
