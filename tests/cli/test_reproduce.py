"""`sigmae reproduce`: a study of one's own from its file to its tables, and every table of the papers."""

import csv
import json
import shutil
import signal
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import fmean, stdev

import pytest

from sigmae.cli import main
from sigmae.tables import definition_of, plan_table, TABLES
from sigmae.training.loop import Loop

STUDY = """
title = "Two methods"
source = "Nobody"
metrics = ["squared_error", "collapse"]
options = { source = "digits", network = "mlp", latent_dim = 2, epochs = 1, limit = 100, batch_size = 20 }
deviations = ["It is small."]

[columns]
error = "squared_error:reconstructions"
percent = { measure = "squared_error:reconstructions", factor = 100 }
used = "collapsed:latents"

[data.Digits]

[rows.VAE]
options = { method = "vae" }

[rows.AE]
options = { method = "ae" }

[scales.small]
seeds = 2
features = "random"

[[claims]]
says = "A hundredth is less."
less = [["* | error", "* | percent"]]
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The runs of the study: only to be read."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.toml").write_text(STUDY)
    folders = ("--runs", folder / "cells", "--out", folder / "tables")
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()), pytest.raises(SystemExit) as stopped:
        main(["reproduce", *map(str, (folder / "study.toml", *folders))])
    assert stopped.value.code == 0
    return folder / "cells"


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A copy of the runs of the study, where the commands of a test find them."""
    return Path(shutil.copytree(finished, tmp_path / "cells"))


@pytest.fixture
def reproduce(sigmae, tmp_path, monkeypatch):
    """Run `sigmae reproduce` on the study, after some of its text is replaced; the machine's speed is not measured."""
    monkeypatch.setattr("sigmae.tables.forecast.speed", lambda: 1e9)
    monkeypatch.setattr("sigmae.tables.pace.step_seconds", lambda cell: 0.5)

    def run(*arguments, change=("", ""), table=None):
        (tmp_path / "study.toml").write_text(STUDY.replace(*change))
        folders = ("--runs", tmp_path / "cells", "--out", tmp_path / "tables")
        return sigmae("reproduce", table or tmp_path / "study.toml", *folders, *arguments)

    return run


@pytest.fixture
def made(tmp_path):
    """When every evaluation and every model was written."""

    def read():
        files = [*tmp_path.glob("cells/*/evaluation.json"), *tmp_path.glob("cells/*/model.safetensors")]
        return {str(path.relative_to(tmp_path)): path.stat().st_mtime_ns for path in files}

    return read


def evaluations(tmp_path) -> dict[str, list[dict[tuple[str, str], float]]]:
    """The numbers of every run, by method, in the order of the seeds."""
    found: dict[str, list] = {}
    for folder in (tmp_path / "cells").iterdir():
        config = json.loads((folder / "config.json").read_text())
        rows = json.loads((folder / "evaluation.json").read_text())["rows"]
        numbers = {(row["metric"], row["of"]): row["value"] for row in rows}
        found.setdefault(config["method"], []).append((config["training"]["seed"], numbers))
    return {method: [numbers for _, numbers in sorted(runs, key=lambda run: run[0])] for method, runs in found.items()}


def test_the_table_holds_the_means_of_the_runs(reproduce, copied, made, tmp_path):
    before = made()
    answer = reproduce("--json")
    assert answer.status == 0, answer.err
    assert made() == before  # what is there is not made again
    runs = evaluations(tmp_path)
    assert {method: len(of_method) for method, of_method in runs.items()} == {"vae": 2, "ae": 2}
    shown = {(row["method"], row["metric"]): row for row in answer.json["rows"]}
    for label, method in (("VAE", "vae"), ("AE", "ae")):
        errors = [run["squared_error", "reconstructions"] for run in runs[method]]
        error, percent = shown[label, "error"], shown[label, "percent"]
        assert (error["measured"], error["deviation"], error["seeds"]) == (fmean(errors), stdev(errors), 2)
        assert percent["measured"] == pytest.approx(100 * fmean(errors))
        assert (error["published"], error["ratio"], error["dataset"], error["failure"]) == (None, None, "Digits", "")
    assert shown["VAE", "used"]["measured"] == fmean(run["collapsed", "latents"] for run in runs["vae"])
    assert shown["AE", "used"]["measured"] is None  # a point has no divergence


def test_the_files_hold_what_is_printed(reproduce, copied, tmp_path):
    answer = reproduce("--json")
    tables = tmp_path / "tables"
    assert {path.name for path in tables.iterdir()} == {"table.json", "table.csv", "table.md", "table.html"}
    assert json.loads((tables / "table.json").read_text()) == answer.json
    lines = list(csv.DictReader(StringIO((tables / "table.csv").read_text())))
    assert [float(line["measured"]) for line in lines if line["metric"] == "error"] == [
        row["measured"] for row in answer.json["rows"] if row["metric"] == "error"
    ]
    claim = answer.json["claims"][0]
    assert (claim["measured"]["held"], claim["measured"]["of"], claim["published"]["holds"]) == (2, 2, None)
    told = answer.json["circumstances"]
    assert (told["runs"], told["seeds"], told["epochs"]) == ("4 of 4 complete", "0, 1", "1")
    assert told["data"] == "digits, the first 100 of each split"
    assert answer.json["deviations"] == ["It is small."]
    page = (tables / "table.html").read_text()
    assert page.count("data:image/png") == 6  # reconstructions, interpolations, samples of two methods
    error = f"{answer.json['rows'][0]['measured']:.3g}"[:3]
    assert error in reproduce().out
    assert error in (tables / "table.md").read_text()


def test_a_new_seed_is_all_that_is_made(reproduce, copied, made):
    before = made()
    answer = reproduce("--rows", "AE", "--seeds", "3", "--data", "Digits", "--json")
    assert {row["method"]: row["seeds"] for row in answer.json["rows"] if row["metric"] == "error"} == {"AE": 3}
    assert answer.json["claims"][0]["measured"]["of"] == 1
    after = made()
    assert len(before) == 8
    assert len(after) == 10
    assert before.items() <= after.items()


def test_runs_are_those_of_compare(sigmae, copied, made, tmp_path):
    before = made()
    options = ("--network", "mlp", "--latent-dim", "2", "--epochs", "1", "--limit", "100", "--batch-size", "20")
    scored = ("--metrics", "squared_error", "collapse", "--columns", "squared_error", "--features", "random")
    folders = ("--runs", tmp_path / "cells", "--out", tmp_path / "compared")
    answer = sigmae("compare", "digits", "--methods", "vae,ae", "--seeds", "2", *options, *scored, *folders)
    assert answer.status == 0, answer.err
    assert made() == before


def test_only_what_is_asked_for_is_made(reproduce, tmp_path):
    answer = reproduce("--rows", "AE", "--seeds", "1", "--json")
    assert {row["method"] for row in answer.json["rows"]} == {"AE"}
    assert {method: len(runs) for method, runs in evaluations(tmp_path).items()} == {"ae": 1}


def test_columns_of_other_epochs_come_from_other_runs(reproduce, tmp_path):
    columns = """error = "squared_error:reconstructions"
later = { measure = "squared_error:reconstructions", options = { epochs = 3 } }"""
    answer = reproduce(
        "--rows", "VAE", "--seeds", "1", "--json", change=('error = "squared_error:reconstructions"', columns)
    )
    found = {row["metric"]: row["measured"] for row in answer.json["rows"]}
    assert found["later"] != found["error"]
    assert len(list((tmp_path / "cells").iterdir())) == 2
    assert answer.json["circumstances"]["epochs"] == "1, 3"


DIVERGED = 'method = "ae", lr = 1e30 }'
TWIN = '\n\n[rows.Same]\noptions = { method = "ae", lr = 1e30, settings = ["propagation=Mean"] }'


def test_a_row_that_fails_is_told_and_the_others_are_there(reproduce, copied):
    change = ('method = "ae" }', DIVERGED + TWIN)
    answer = reproduce("--json", change=change)
    assert answer.status == 0
    shown = {(row["method"], row["metric"]): row for row in answer.json["rows"]}
    assert shown["VAE", "error"]["measured"] is not None
    assert shown["VAE", "error"]["failure"] == ""
    assert shown["AE", "error"]["measured"] is None
    assert shown["AE", "error"]["failure"].startswith("Seed ")
    assert shown["Same", "error"]["failure"] == shown["AE", "error"]["failure"]  # since it is the same run
    assert answer.json["circumstances"]["runs"].startswith("2 of ")
    assert "AE on Digits failed. Seed " in reproduce(change=change).out


def test_a_network_that_is_none_fails_every_row_at_once(reproduce):
    answer = reproduce("--json", change=('network = "mlp"', 'network = "mlpp"'))
    assert all("Unknown network 'mlpp'. Did you mean 'mlp'?" in row["failure"] for row in answer.json["rows"])


@pytest.mark.promise(
    "Killed and continued", "A comparison or a table that was stopped makes none of its finished runs again."
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_table_that_was_stopped_continues(reproduce, finished, made, monkeypatch, tmp_path, number):
    original, steps = Loop.step, iter(range(1000))

    def stop(self, indices):
        if next(steps) == 7:  # in the second run of five steps
            signal.raise_signal(number)
        original(self, indices)

    monkeypatch.setattr(Loop, "step", stop)
    answer = reproduce()
    assert answer.status == 128 + number
    assert "the same command continues" in answer.told
    assert not (tmp_path / "tables").exists()
    before = made()
    assert len(before) == 2
    monkeypatch.setattr(Loop, "step", original)
    continued = reproduce("--json")
    assert continued.status == 0
    assert before.items() <= made().items()
    assert len(made()) == 8
    values = [row["measured"] for row in continued.json["rows"]]
    shutil.rmtree(tmp_path / "cells")
    shutil.copytree(finished, tmp_path / "cells")
    assert values == [row["measured"] for row in reproduce("--json").json["rows"]]


def test_a_dry_run_trains_nothing(reproduce, tmp_path):
    answer = reproduce("--dry-run")
    assert answer.status == 0
    assert "6 numbers by squared_error, collapse" in answer.out
    assert "digits: 2 rows x 2 seeds, 0 of 4 runs complete, 20 steps to go" in answer.out
    assert not (tmp_path / "cells").exists()
    assert not (tmp_path / "tables").exists()
    reproduce("--rows", "AE")
    groups = reproduce("--dry-run", "--json").json["groups"]
    assert [(group["runs"], group["complete"], group["steps"]) for group in groups] == [(4, 2, 10)]


def test_a_dry_run_tells_the_data_that_are_missing(reproduce, monkeypatch, tmp_path):
    monkeypatch.delenv("SIGMAE_DATA", raising=False)
    answer = reproduce("--dry-run", "--scale", "paper", "--data", "CelebA", "--rows", "AE", table="rae-table-1")
    assert answer.status == 0
    assert "CelebA is not downloaded by this library: put img_align_celeba.zip" in answer.out
    assert "0 of 1 runs complete" in answer.out
    assert not (tmp_path / "cells").exists()


def test_the_steps_of_a_forecast_are_made(reproduce, tmp_path):
    change = ('method = "ae" }', 'method = "avae", epochs = 2, settings = ["latent.bank=15"] }')
    arguments = ("--rows", "AE", "--seeds", "1")
    (group,) = reproduce(*arguments, "--dry-run", "--json", change=change).json["groups"]
    assert reproduce(*arguments, change=change).status == 0
    (history,) = (tmp_path / "cells").glob("*/metrics.jsonl")
    assert json.loads(history.read_text().splitlines()[-1])["step"] == group["steps"] == 8


OWN = """
from sigmae.objective import Objective
from sigmae.recipes import method

def mine() -> Objective:
    return method("ae").objective("")
"""


@pytest.mark.promise(
    "Files of strangers", "Code that a file names as module:attribute is imported only where --trust names the module."
)
def test_a_method_of_a_third_party_is_run_where_it_is_trusted(reproduce, own_module, tmp_path):
    own_module("own_methods", OWN)
    change = ('method = "ae"', 'method = "own_methods:mine"')
    arguments = ("--rows", "AE", "--seeds", "1", "--json")
    refused = reproduce(*arguments, change=change)
    assert refused.status == 1
    assert "names code outside this library (own_methods)" in refused.told
    assert "--trust own_methods" in refused.told
    assert not (tmp_path / "cells").exists()
    answer = reproduce(*arguments, "--trust", "own_methods", change=change)
    assert answer.status == 0, answer.err
    assert answer.json["rows"][0]["measured"] is not None


@pytest.mark.parametrize(
    ("arguments", "change", "told"),
    [
        (("--scale", "smal"), ("", ""), "Unknown scale of study 'smal'. Did you mean 'small'?"),
        (("--seeds", "0"), ("", ""), "one seed or more, got 0"),
        (("--rows", "VEA"), ("", ""), "Did you mean 'VAE'?"),
        (("--data", "Digit"), ("", ""), "Did you mean 'Digits'?"),
        (("--features", "clasifier"), ("", ""), "Did you mean 'classifier'?"),
        (("--on", "moon"), ("", ""), "Unknown engine"),
        ((), ("[columns]", "[columns"), "cannot be read as TOML"),
        ((), ("epochs = 1", "epoch = 1"), "Did you mean 'epochs'?"),
        ((), ('method = "vae"', 'method = "vea"'), "Unknown method"),
        ((), ('source = "digits", ', ""), "VAE on Digits has no source"),
        ((), ('source = "digits"', 'source = "digts"'), "Did you mean 'digits'?"),
        ((), ("less = ", "more = "), "more"),
        ((), ('"* | percent"', '"* | per cent"'), "Unknown column"),
    ],
)
def test_what_cannot_be_reproduced_is_refused_before_it_is_made(reproduce, tmp_path, arguments, change, told):
    answer = reproduce(*arguments, change=change)
    assert answer.status == 1
    assert told in answer.told
    assert not list(tmp_path.glob("cells/*/config.json"))


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("rae-tabel-1", "Did you mean 'rae-table-1'?"),
        ("study.tml", "Unknown table or .toml file"),
        ("missing.toml", "cannot be read"),
    ],
)
def test_what_is_no_table_is_refused(reproduce, table, told):
    answer = reproduce(table=table)
    assert answer.status == 1
    assert told in answer.told


@pytest.mark.slow
def test_bandwidths_are_computed_beside_those_in_print(reproduce, tmp_path):
    answer = reproduce("--scale", "smoke", "--json", table="avae-table-1")
    assert answer.status == 0
    assert not (tmp_path / "cells").exists()
    assert [row["measured"] for row in answer.json["rows"]] == pytest.approx([0.743, 0.901], abs=0.02)
    assert [row["published"] for row in answer.json["rows"]] == [0.74, 0.89]
    assert [claim["measured"]["of"] for claim in answer.json["claims"]] == [2]


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_every_table_comes_out_whole_at_scale_smoke(sigmae, table, tmp_path):
    folders = ("--runs", tmp_path / "cells", "--out", tmp_path / "tables")
    answer = sigmae("reproduce", table, "--scale", "smoke", *folders, "--json")
    assert answer.status == 0, answer.err
    missing = [row for row in answer.json["rows"] if row["measured"] is None or row["failure"]]
    assert not missing
    assert len(answer.json["rows"]) == len(plan_table(definition_of(table), "smoke").entries)


def test_a_table_without_a_number_is_an_error(sigmae, tmp_path):
    study = tmp_path / "bad.toml"
    study.write_text(
        'title = "Bad"\nmetrics = ["squared_error"]\n'
        'options = { source = "digits", method = "vae", batch_size = 5000 }\n'
        '[columns]\nerror = "squared_error:reconstructions"\n[data.digits]\n[rows.vae]\n[scales.small]\n'
    )
    answer = sigmae("reproduce", study, "--runs", tmp_path / "cells", "--out", tmp_path / "out")
    assert answer.status == 1
    assert "There is no number: every run failed. Seed 0: The batch size 5000 is larger than" in answer.told
    assert (tmp_path / "out" / "table.md").exists()
