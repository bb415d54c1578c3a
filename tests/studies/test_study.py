"""A study: cells that are one run end together, every data set has its table, and wrong names are told first."""

from pathlib import Path

import pytest

from sigmae.errors import SigmaeError
from sigmae.evaluation import METRICS
from sigmae.report.words import METRICS as WORDS
from sigmae.settings import TrainingConfig
from sigmae.studies.cells import Cell, product_of, Scoring
from sigmae.studies.checks import check_columns, check_scoring
from sigmae.studies.engines import make_engine
from sigmae.studies.study import file_name, file_names, Study, write_tables

BASE = Cell("digits", "", 2, training=TrainingConfig(epochs=1), limit=200)
SCORING = Scoring(metrics=("squared_error", "elbo"), features="random", points=10)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(("values", "fails"), [(("1e-3", "0.001"), False), (("1e30", "1e+30"), True)])
def test_cells_that_are_one_run_end_together(tmp_path, together, values, fails):
    cells = list(product_of(BASE, ["vae"], [("lr", values)], range(2)))
    study, told = Study(cells, SCORING, tmp_path / "runs"), []
    failures = study.run(make_engine("here"), lambda cell, error: told.append((cell, bool(error))), together=together)
    assert set(told) == {(cell, fails) for cell in cells}
    assert set(failures) == (set(cells) if fails else set())
    tables = write_tables(study, tmp_path / "tables", columns=None, failures=failures)
    assert tables[BASE.place].labels == (f"vae lr={values[0]}", f"vae lr={values[1]}")


def test_columns_without_values_are_empty_and_every_data_set_has_its_table(tmp_path):
    cells = [
        *product_of(BASE, ["ae"], [("lr", ["1e-3"])], [0]),
        *product_of(BASE, ["ae"], [("lr", ["1e30"]), ("image_size", ["16"])], [0]),
    ]
    study = Study(cells, SCORING, tmp_path / "runs")
    failures = study.run(make_engine("here"))
    assert [cell.place for cell in failures] == [cells[1].place]
    tables = write_tables(study, tmp_path, columns=["elbo", "squared_error:reconstructions"], failures=failures)
    done, failed = tables.values()
    assert [(column.metric, column.of) for column in done.columns] == [
        ("elbo", ""),
        ("squared_error", "reconstructions"),
    ]
    assert [len(cells) for cells in done.cells.values()] == [0, 1]
    assert [len(cells) for cells in failed.cells.values()] == [0, 0]
    assert "| ae lr=1e-3 | – |" in (tmp_path / "table-digits-the-first-200-of-each-split.md").read_text()
    told = (tmp_path / "table-digits-at-16-the-first-200-of-each-split.md").read_text()
    assert "| ae lr=1e30 | failed | failed |" in told
    assert "Seed 0: " in told


def test_the_footer_tells_of_every_run(tmp_path):
    cells = list(product_of(BASE, ["ae"], [], range(2)))
    study = Study(cells, Scoring(metrics=("fid",), features="random", points=7, split="train"), tmp_path)
    assert study.run(make_engine("here")) == {}
    environment = cells[1].folder(tmp_path) / "environment.json"
    environment.write_text(environment.read_text().replace('"torch": "', '"torch": "other '))
    write_tables(study, tmp_path / "tables", columns=None, failures={})
    [text] = [path.read_text() for path in (tmp_path / "tables").glob("*.tex")]
    assert "torch other" in text
    assert text.count("torch ") == 2
    for told in ("seeds 0, 1", "features random", "evaluated at commit", "train split", "7 importance samples"):
        assert told in text


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("digits", "digits"),
        ("mnist at 16", "mnist-at-16"),
        ("digits, the first 200 of each split", "digits-the-first-200-of-each-split"),
        ("hf:ylecun/mnist", "hf-ylecun-mnist"),
        ("../a/x.npy", "a-x.npy"),
        ("/", "data"),
    ],
)
def test_data_are_parts_of_names_of_files(place, name):
    assert file_name(place) == name


def test_no_two_data_sets_have_one_file():
    places = ["a/x.npy", "b/x.npy", "a-x.npy", "A/x.npy", "a:x.npy", "a-x.npy-2", "a/x.npy at 8", "é" * 300]
    names = file_names(places)
    assert list(names) == places
    assert len({name.lower() for name in names.values()}) == len(places)
    assert all(len(f"table-{name}.html".encode()) < 256 and Path(name).name == name for name in names.values())


def test_every_number_is_of_a_metric():
    assert sorted(kind for metric in METRICS.values() for kind in metric.rows) == sorted(WORDS)


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("squared_eror", "Unknown column 'squared_eror'. Did you mean 'squared_error'"),
        ("holes", "The column 'holes' is of the metric holes"),
        ("f8_recall:prior", "is of the metric prd"),
        ("fid-clasifier:gmm10", "Unknown column 'fid-clasifier:gmm10'. Did you mean 'fid-classifier'"),
        ("fid:gmm", "Did you mean 'fid:gmm10'"),
        ("fid-classifier:reconstruction", "Did you mean 'fid-classifier:reconstructions'"),
        ("squared_error:drawn", "Did you mean 'squared_error:draws'"),
    ],
)
def test_columns_that_no_run_could_have_are_refused(column, told):
    with pytest.raises(SigmaeError) as raised:
        check_columns([column], Scoring(), [BASE])
    assert told in str(raised.value)


def test_columns_that_runs_could_have_are_not_refused():
    check_columns(["squared_error", "fid", "fid-classifier:gmm3", "fid:own density"], Scoring(), [BASE])
    check_columns(["f8_recall:reconstructions", "kl:all latents"], Scoring(("prd", "collapse"), densities=()), [BASE])
    check_columns(["mine", "fid-own:net:gmm10"], Scoring(("module:metric",)), [BASE])
    check_columns(["fid-own:net:gmm10"], Scoring(features="module:net"), [BASE])
    with pytest.raises(SigmaeError, match="Did you mean 'fid:gmm5'"):
        check_columns(["fid:gmm10"], Scoring(densities=("gmm5",)), [BASE])


@pytest.mark.parametrize(
    ("scoring", "told"),
    [
        (Scoring(metrics=("squared_eror",)), "Unknown metric"),
        (Scoring(features="clasifier"), "Unknown features"),
        (Scoring(densities=("gm10",)), "Unknown density"),
        (Scoring(inception_file="absent.pt"), "There is no file absent.pt"),
        (Scoring(points=0), "needs 1 point or more, got 0"),
    ],
)
def test_what_no_run_can_be_scored_by_is_refused(scoring, told):
    with pytest.raises(SigmaeError, match=told):
        check_scoring(scoring)
