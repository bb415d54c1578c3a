"""`sigmae compare`: cells are made once, in any order of commands, and the tables hold their numbers."""

import csv
import json
import signal
from statistics import mean

import pytest

from sigmae.studies import groups
from sigmae.studies.cells import Cell, product_of, varied
from sigmae.training.loop import Loop

COMMON = ("--epochs", "1", "--latent-dim", "2", "--features", "random")


@pytest.fixture
def compare(sigmae, tmp_path):
    def run(*arguments, seeds=2):
        folders = ("--runs", tmp_path / "cells", "--out", tmp_path / "tables")
        return sigmae("compare", "digits", *COMMON, "--seeds", seeds, *folders, *arguments)

    return run


def made(folder):
    """When every evaluation below a folder was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/evaluation.json")}


def test_cells_are_made_once_and_new_ones_are_added(compare, tmp_path):
    first = compare("--methods", "vae,rae-l2")
    assert first.status == 0, first.err
    before = made(tmp_path / "cells")
    assert len(before) == 4
    second = compare("--methods", "vae", "ae", "rae-l2", "--json")
    after = made(tmp_path / "cells")
    assert len(after) == 6
    assert {name: after[name] for name in before} == before
    results = second.json["results"]
    assert {result["label"] for result in results} == {"vae", "ae", "rae-l2"}
    assert second.json["failures"] == {}


def test_the_tables_hold_the_means_of_the_runs(compare, tmp_path):
    answer = compare("--methods", "vae,rae-l2")
    tables = tmp_path / "tables"
    formats = {f"table-digits.{suffix}" for suffix in ("md", "tex", "csv", "html")}
    assert {path.name for path in tables.iterdir()} == {"results.csv", *formats}
    with (tables / "results.csv").open(newline="") as file:
        shown = ("squared_error", "reconstructions")
        rows = [row for row in csv.DictReader(file) if (row["metric"], row["of"]) == shown]
    errors = [float(row["value"]) for row in rows if row["label"] == "vae"]
    runs = [
        json.loads((tmp_path / "cells" / row["run"].rsplit("/", 1)[-1] / "evaluation.json").read_text()) for row in rows
    ]
    assert errors == [run["rows"][0]["value"] for run in runs[:2]]
    shown = f"{mean(errors):.3g}"[:3]
    assert shown in answer.out
    assert shown in (tables / "table-digits.md").read_text()
    page = (tables / "table-digits.html").read_text()
    assert page.count("data:image/png") == 6  # reconstructions, interpolations, samples of two methods
    assert "seeds 0, 1" in page


def test_values_are_varied(compare):
    answer = compare("--methods", "vae", "--vary", "latent.weight=0.5,2", "--json")
    assert {result["label"] for result in answer.json["results"]} == {"vae latent.weight=0.5", "vae latent.weight=2"}


@pytest.mark.promise(
    "Killed and continued", "A comparison or a table that was stopped makes none of its finished runs again."
)
def test_a_study_that_was_stopped_continues(compare, tmp_path, monkeypatch):
    original, steps = Loop.step, iter(range(1000))

    def stop(self, indices):
        if next(steps) == 20:  # in the second run
            signal.raise_signal(signal.SIGINT)
        original(self, indices)

    monkeypatch.setattr(Loop, "step", stop)
    assert compare("--methods", "vae").status == 130
    before = made(tmp_path / "cells")
    assert len(before) == 1
    monkeypatch.setattr(Loop, "step", original)
    assert compare("--methods", "vae").status == 0
    after = made(tmp_path / "cells")
    assert len(after) == 2
    assert before.items() <= after.items()


def test_a_cell_that_fails_is_told_and_the_others_are_there(compare):
    answer = compare("--methods", "vae", "--vary", "lr=1e-3,1e6")
    assert answer.status == 0
    assert "vae lr=1e6 on digits, seed 0: " in answer.err
    assert "vae lr=1e-3" in answer.out


def test_another_metric_is_added_to_runs_that_are_there(compare, tmp_path):
    compare("--methods", "vae")
    weights = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*/model.safetensors")}
    answer = compare("--methods", "vae", "--metrics", "active_units", "--columns", "active_units", "--json")
    assert "active_units" in {result["metric"] for result in answer.json["results"]}
    assert {path: path.stat().st_mtime_ns for path in weights} == weights


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--methods", "nope"), "Unknown method"),
        (("--methods", "vae,vae"), "same label and seed"),
        (("--methods", "vae", "--vary", "nope=1"), "Unknown option to vary"),
        (("--methods", "vae", "--vary", "latent.weight"), "name=value"),
        (("--methods", "vae", "--vary", "lr=1,1"), "different values"),
        (("--methods", "vae", "--on", "moon"), "Unknown engine"),
        (("--methods", "vae", "--on", "processes", "--engine", "workers"), "name=value"),
        (("--methods", ","), "one method"),
        (("--methods", "vae", "--metrics", "squared_eror"), "Unknown metric"),
        (("--methods", "vae", "--densities", "gm10"), "Unknown density"),
        (("--methods", "vae", "--inception-file", "absent.pt"), "There is no file absent.pt"),
        (("--methods", "vae", "--columns", "squared_eror"), "Unknown column"),
        (("--methods", "vae", "--columns", "fid-classifier"), "There is: fid-random"),
    ],
)
def test_what_cannot_be_compared_is_refused(compare, arguments, told, tmp_path):
    answer = compare(*arguments)
    assert answer.status == 1
    assert told in answer.told
    assert not (tmp_path / "cells").exists()


@pytest.mark.parametrize(("there", "told"), [(False, "There is no file"), (True, "is not the Inception network")])
def test_the_inception_network_is_wanted_before_anything_is_trained(sigmae, tmp_path, monkeypatch, there, told):
    file = tmp_path / "network.pt"
    file.write_bytes(b"another") if there else None
    monkeypatch.setenv("SIGMAE_INCEPTION", str(file))
    folders = ("--runs", tmp_path / "cells", "--out", tmp_path / "tables")
    answer = sigmae("compare", "digits", "--methods", "vae", "--features", "inception", *folders)
    assert answer.status == 1
    assert told in answer.told
    assert not list((tmp_path / "cells").glob("*"))


def test_runs_that_all_fail_leave_their_tables_and_the_reason(compare, tmp_path):
    answer = compare("--methods", "vae", "--lr", "1e30", "--columns", "squared_error", seeds=1)
    assert answer.status == 1
    assert "There is no number: every run failed." in answer.told
    assert "failed" in answer.out
    assert "| vae | failed |" in (tmp_path / "tables" / "table-digits.md").read_text()


def test_every_data_set_has_its_titled_table(sigmae, images, tmp_path):
    other = tmp_path / "other" / images.name
    other.parent.mkdir()
    other.write_bytes(images.read_bytes())
    folders = ("--runs", tmp_path / "cells", "--out", tmp_path / "tables")
    answer = sigmae(
        "compare", f"{images},{other}", *COMMON, "--batch-size", 24, "--seeds", 1, "--methods", "ae", *folders
    )
    assert answer.status == 0, answer.err
    assert len(list((tmp_path / "tables").glob("table-*images.npy*.md"))) == 2
    assert f"\n{other}\n" in answer.out


def test_a_study_has_a_seed_or_more(compare):
    assert "--seeds must be 1 or more" in compare("--methods", "vae", seeds=0).told


def test_a_cell_is_named_by_all_that_makes_it_another_run(tmp_path):
    cell = Cell("digits", "vae", latent_dim=2)
    changed = [
        varied(cell, "latent-dim", "3"),
        varied(cell, "lr", "0.01"),
        varied(cell, "latent.weight", "0.5"),
        varied(cell, "network", "linear"),
        varied(cell, "image_size", "16"),
        *list(product_of(cell, ["ae"], [], [0])),
        *list(product_of(cell, ["vae"], [], [1])),
    ]
    folders = {cell.folder(tmp_path), *(other.folder(tmp_path) for other in changed)}
    assert len(folders) == len(changed) + 1
    assert varied(cell, "latent.weight", "1.0").folder(tmp_path) == cell.folder(tmp_path)  # which it was


def test_seeds_are_trained_together(compare, monkeypatch):
    calls, original = [], groups.train_together

    def counting(models, *arguments, **options):
        calls.append(len(models))
        return original(models, *arguments, **options)

    monkeypatch.setattr(groups, "train_together", counting)
    answer = compare("--methods", "vae", "--limit", "200", "--together", "--json", seeds=3)
    assert answer.status == 0, answer.err
    assert calls == [3]
    assert {result["seed"] for result in answer.json["results"]} == {0, 1, 2}
