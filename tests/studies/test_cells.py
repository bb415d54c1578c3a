"""Cells: what names a run, and which of its numbers are a study's own."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sigmae.runs import evaluate_run, load_run
from sigmae.settings import TrainingConfig
from sigmae.studies.cells import Cell, complete, folder_name, is_complete, loaded, rows_of, Scoring

CELL = Cell("digits", "vae", 2, training=TrainingConfig(epochs=1), limit=200)
TEST = Scoring(metrics=("squared_error",), features="random")


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Write images into x.npy of the working folder, as if for another process."""
    monkeypatch.chdir(tmp_path)

    def save(seed):
        np.save("x.npy", np.random.RandomState(seed).rand(60, 8, 8).astype(np.float32))
        loaded.cache_clear()
        folder_name.cache_clear()

    return save


@pytest.fixture
def run(tmp_path):
    """A run that a study of squared errors on the test split has completed."""
    folder = CELL.folder(tmp_path)
    complete(CELL, folder, TEST)
    return folder


def errors(run, scoring):
    return {(row.metric, row.of): row.value for row in rows_of(CELL, run, scoring)}


def written(run):
    return (run / "evaluation.json").stat().st_mtime_ns


def test_the_names_of_runs_on_named_data_stay():
    assert folder_name(Cell("digits", "vae")) == "4781c3c7a513b321"
    assert folder_name(CELL) == "bb00d5fbd782600c"


def test_other_images_in_a_file_are_another_run(saved):
    names = []
    for seed in (0, 1, 0):
        saved(seed)
        names.append(folder_name(Cell("x.npy", "vae", 2)))
    assert names[0] != names[1]
    assert names[0] == names[2]


def test_a_file_by_another_name_is_the_same_run(saved, tmp_path):
    saved(0)
    path, training = tmp_path / "x.npy", TrainingConfig(epochs=1, batch_size=20)
    cells = [Cell(source, "vae", 2, training=training) for source in ("x.npy", "./x.npy", str(path))]
    folder = cells[0].folder(tmp_path / "runs")
    for cell, metric in zip(cells, ("squared_error", "active_units", "collapse"), strict=True):
        assert cell.folder(tmp_path / "runs") == folder
        complete(cell, folder, Scoring(metrics=(metric,)))
        assert is_complete(cells[0], folder, Scoring(metrics=(metric,)))
    assert json.loads((folder / "config.json").read_text())["data"]["source"] == str(path)


def test_studies_with_other_settings_share_a_run(run):
    test = errors(run, TEST)
    training = replace(TEST, split="train")
    assert not is_complete(CELL, run, training)
    complete(CELL, run, training)
    train = errors(run, training)
    assert train.keys() == test.keys()
    assert all(train[name] != test[name] for name in test)
    before = written(run)
    for scoring, values in ((TEST, test), (training, train)):
        complete(CELL, run, scoring)
        assert errors(run, scoring) == values
    assert written(run) == before


def test_a_study_has_no_number_of_another(run):
    others = Scoring(metrics=("active_units",), features="random")
    complete(CELL, run, others)
    assert {metric for metric, _ in errors(run, others)} == {"active_units"}
    assert {metric for metric, _ in errors(run, TEST)} == {"squared_error"}


def test_settings_that_a_metric_does_not_read_make_no_difference(run):
    assert is_complete(CELL, run, replace(TEST, features="classifier", densities=("gaussian",), points=5))
    distances = replace(TEST, metrics=("fid",))
    complete(CELL, run, distances)
    assert is_complete(CELL, run, replace(distances, points=5))
    assert not is_complete(CELL, run, replace(distances, densities=("gaussian",)))
    assert not is_complete(CELL, run, replace(distances, features="classifier"))


def test_a_look_with_another_seed_takes_nothing_away(run):
    before = errors(run, TEST)
    evaluate_run(load_run(run), CELL.data, run, metrics=["squared_error"], features="random", seed=7)
    assert errors(run, TEST) == before
    record = json.loads((run / "evaluation.json").read_text())
    assert record["seed"] == 7
    assert {row["value"] for row in record["rows"] if row["of"] == "draws"}.isdisjoint(before.values())


def test_an_evaluation_that_does_not_say_its_settings_is_repeated(run):
    before = errors(run, TEST)
    record = json.loads((run / "evaluation.json").read_text())
    del record["measured"]
    (run / "evaluation.json").write_text(json.dumps(record))
    assert not is_complete(CELL, run, TEST)
    complete(CELL, run, TEST)
    assert errors(run, TEST) == before
