"""A run with parts of one's own: what is said next works as it is printed, and a metric that is none is named."""

import shlex
import sys

import pytest

MINE = """
from sigmae import Delta, Mean, Objective, SquaredError, SquaredNorm

class Mine(SquaredNorm):
    pass

def method():
    return Objective(Delta(), Mean(), SquaredError(), Mine(0.1))

def number(stages):
    return 1.0
"""


@pytest.fixture
def run(sigmae, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own_parts.py").write_text(MINE)
    options = ("--limit", "100", "--epochs", "1", "--latent-dim", "2", "--batch-size", "50", "--features", "random")
    yield sigmae("train", "digits", "--method", "own_parts:method", *options, "--out", "run")
    sys.modules.pop("own_parts", None)


def test_the_next_command_works_as_it_is_printed(sigmae, run):
    assert run.status == 0
    (line,) = [line for line in run.err.splitlines() if line.startswith("next:   sigmae sample")]
    command = shlex.split(line.removeprefix("next:   sigmae "), comments=True)
    assert command[:4] == ["sample", "run", "--trust", "own_parts"]
    assert sigmae(*command).status == 0


def test_a_metric_that_returns_no_rows_is_named(sigmae, run):
    answer = sigmae("evaluate", "run", "--metrics", "own_parts:number", "--features", "random", "--trust", "own_parts")
    assert answer.status == 1
    assert "The metric 'own_parts:number' returns no list of sigmae.evaluation.Row: let it return one." in answer.told


def test_the_form_of_an_export_has_to_be_said(sigmae, run):
    answer = sigmae("export", "run")
    assert answer.status == 1
    assert "say it with --to, one of onnx, safetensors, torch-export, hub." in answer.told
