"""Groups: seeds that are trained as one program leave the runs that each alone would."""

import json

import pytest

from sigmae.errors import SigmaeError
from sigmae.runs import load_run
from sigmae.settings import TrainingConfig
from sigmae.studies import groups as module
from sigmae.studies.cells import Cell, complete, product_of, Scoring
from sigmae.studies.engines import make_engine
from sigmae.studies.groups import complete_group, groups
from sigmae.studies.study import Study

TOLERANCE = 1e-5  # of a weight after training: other products of matrices, other rounding
BASE = Cell("digits", "", 2, training=TrainingConfig(epochs=1), limit=200)
SCORING = Scoring(metrics=("squared_error",), features="random")


def seeds_of(method, count=2):
    return tuple(product_of(BASE, [method], [], range(count)))


@pytest.fixture
def trained_at_once(monkeypatch):
    """How many runs were trained at once, call by call."""
    calls, original = [], module.train_together

    def counting(models, *arguments, **options):
        calls.append(len(models))
        return original(models, *arguments, **options)

    monkeypatch.setattr(module, "train_together", counting)
    return calls


def test_groups_differ_in_more_than_their_seeds():
    cells = list(product_of(BASE, ["ae", "vae"], [("latent_dim", ["2", "3"])], range(3)))
    found = groups(cells)
    assert [len(group) for group in found] == [3, 3, 3, 3]
    assert [cell for group in found for cell in group] == cells


def test_runs_are_those_that_each_seed_alone_would_be(tmp_path, trained_at_once):
    cells = seeds_of("vae")
    complete_group(cells, tmp_path / "together", SCORING)
    assert trained_at_once == [2]
    for cell in cells:
        complete(cell, cell.folder(tmp_path / "alone"), SCORING)
        ours, alone = (load_run(cell.folder(tmp_path / place)).state_dict() for place in ("together", "alone"))
        assert ours.keys() == alone.keys()
        assert max(float((ours[name] - alone[name]).abs().max()) for name in ours) < TOLERANCE
        config = json.loads((cell.folder(tmp_path / "together") / "config.json").read_text())
        assert config["data"]["source"] == "digits"


def test_what_cannot_be_one_program_is_trained_one_by_one(tmp_path, trained_at_once):
    cells = seeds_of("aae")
    complete_group(cells, tmp_path, SCORING)
    assert trained_at_once == []
    assert all(Study(cells, SCORING, tmp_path).is_complete(cell) for cell in cells)


def test_a_seed_that_fails_stops_no_other(tmp_path, monkeypatch):
    original = module.complete

    def failing(cell, folder, scoring):
        if cell.training.seed == 0:
            raise SigmaeError("It diverged.")
        original(cell, folder, scoring)

    monkeypatch.setattr(module, "complete", failing)
    cells, told = seeds_of("vae"), []
    study = Study(cells, SCORING, tmp_path)
    failures = study.run(
        make_engine("here"), lambda cell, error: told.append((cell.training.seed, error)), together=True
    )
    assert failures == {cells[0]: "Seed 0: It diverged."}
    assert told == [(0, "Seed 0: It diverged."), (1, "")]
