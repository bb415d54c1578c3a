"""`sigmae train --logger`: what arrives where, and that no run ends for a logger."""

import json
import re
import sys

import pytest

pytest.importorskip("tensorboardX")
SHORT = ("train", "digits", "--limit", "300", "--epochs", "2", "--latent-dim", "2", "--features", "random")


def scalars(folder):
    """Every number in TensorBoard's event files, by name and step."""
    from tensorboardX.event_file_writer import EventFileWriter  # noqa: F401  # the same package wrote them
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in folder.rglob("events.*"):
        content = path.read_bytes()
        while content:
            size = int.from_bytes(content[:8], "little")
            event = Event.FromString(content[12 : 12 + size])
            content = content[16 + size :]
            found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
    return found


def history(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_tensorboard_gets_every_loss_and_every_number(sigmae, tmp_path):
    run = tmp_path / "run"
    assert sigmae(*SHORT, "--logger", "tensorboard", "--out", run).status == 0
    found = scalars(run / "tensorboard")
    for record in history(run):
        for split in ("train", "validation"):
            for name, value in record[split].items():
                assert found[f"{split}/{name}", record["step"]] == pytest.approx(value)
    last = history(run)[-1]["step"]
    for row in json.loads((run / "evaluation.json").read_text())["rows"]:
        name = re.sub(r"[^\w./-]+", "-", f"{row['metric']}/{row['of']}").strip("-/")
        assert found[name, last] == pytest.approx(row["value"], rel=1e-5)
    again = sigmae(*SHORT, "--logger", "tensorboard", "--out", run)
    assert again.status == 0
    assert len(list((run / "tensorboard").rglob("events.*"))) == 1  # a finished run has nothing to tell


def test_wandb_gets_them_offline(sigmae, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    run = tmp_path / "run"
    assert sigmae(*SHORT, "--logger", "wandb", "--out", run).status == 0
    (kept,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    content = kept.read_bytes()
    assert b"validation/loss" in content
    assert b"model.latent_dim" in content


def test_mlflow_gets_them_and_is_continued(sigmae, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "tracked").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run = tmp_path / "run"
    assert sigmae(*SHORT, "--logger", "mlflow", "--out", run).status == 0
    number = json.loads((run / "mlflow.json").read_text())["run"]
    kept = mlflow.MlflowClient((tmp_path / "tracked").as_uri()).get_run(number)
    assert kept.data.params["model.latent_dim"] == "2"
    assert kept.data.metrics["validation/loss"] == pytest.approx(history(run)[-1]["validation"]["loss"])
    assert kept.info.status == "FINISHED"
    (run / "report.html").unlink()  # what is left to do is told to the same run
    assert sigmae(*SHORT, "--logger", "mlflow", "--out", run).status == 0
    assert json.loads((run / "mlflow.json").read_text())["run"] == number


LOGGER = """
class Failing:
    def __init__(self, folder):
        self.told = folder / "told.txt"
    def log_hyperparams(self, params):
        self.told.write_text("settings")
    def log_metrics(self, metrics, step=None):
        raise ConnectionError("the server is gone\\nfor good")
    def finalize(self, status):
        raise AssertionError("it has failed before")
"""


def test_a_logger_of_ones_own_that_fails_ends_no_run(sigmae, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "theirs.py").write_text(LOGGER)
    answer = sigmae(*SHORT, "--logger", "theirs:Failing", "--out", "run")
    sys.modules.pop("theirs", None)
    assert answer.status == 0
    said = "The logger theirs:Failing has failed (ConnectionError: the server is gone), and is told nothing more."
    assert answer.err.count(said) == 1
    assert (tmp_path / "run" / "told.txt").read_text() == "settings"


def test_what_is_unknown_or_lacking_is_named(sigmae, tmp_path, monkeypatch):
    answer = sigmae(*SHORT, "--logger", "tensorbord", "--out", tmp_path / "run")
    assert answer.status == 1
    assert "Unknown logger 'tensorbord'. Did you mean 'tensorboard'?" in answer.told
    monkeypatch.setitem(sys.modules, "pytorch_lightning.loggers", None)
    answer = sigmae(*SHORT, "--logger", "mlflow", "--out", tmp_path / "run")
    assert "pip install 'sigmae[mlflow]'" in answer.told
