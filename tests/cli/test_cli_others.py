"""`sigmae sample`, `evaluate`, `show` and `list`: what they make and print."""

import json

import numpy as np
import pytest
from PIL import Image

from sigmae.recipes import METHODS
from sigmae.tensors import load_tensors

KINDS = ("methods", "datasets", "networks", "densities", "features", "metrics")


def kept(run):
    """The names of a run's densities."""
    return {key.partition(".")[0] for key in load_tensors(run / "densities.safetensors")[0]}


@pytest.mark.parametrize("density", ["prior", "gaussian", "gmm10"])
def test_a_picture_and_an_array_of_every_density(sigmae, trained, tmp_path, density):
    for name in ("few.png", "few.npy"):
        answer = sigmae("sample", trained, "--count", "5", "--density", density, "--out", tmp_path / name)
        assert (answer.status, answer.out) == (0, f"5 samples in {tmp_path / name}\n")
    images = np.load(tmp_path / "few.npy", allow_pickle=False)
    assert (images.shape, images.dtype) == ((5, 1, 8, 8), np.float32)
    assert 0 <= images.min() < images.max() <= 1
    with Image.open(tmp_path / "few.png") as picture:
        assert picture.width > picture.height


def test_samples_follow_the_seed(sigmae, trained, tmp_path):
    def drawn(name, *arguments):
        assert sigmae("sample", trained, "--count", "3", "--out", tmp_path / name, *arguments).status == 0
        return (tmp_path / name).read_bytes()

    assert drawn("a.npy") == drawn("b.npy", "--seed", "0", "--density", "gmm10") != drawn("c.npy", "--seed", "1")


def test_the_default_is_64_in_a_png_here(sigmae, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sigmae("sample", trained).out == "64 samples in samples.png\n"
    assert [path.name for path in tmp_path.iterdir()] == ["samples.png"]


def test_folders_for_samples_are_made(sigmae, trained, tmp_path):
    assert sigmae("sample", trained, "--count", "1", "--out", tmp_path / "a" / "b" / "one.png").status == 0


def test_gmm100_is_fitted_on_demand_and_kept(sigmae, copied, tmp_path):
    weights = (copied / "model.safetensors").read_bytes()
    assert sigmae("sample", copied, "--density", "gmm100", "--out", tmp_path / "first.npy").status == 0
    assert kept(copied) == {"prior", "gaussian", "gmm10", "gmm100"}
    assert (copied / "model.safetensors").read_bytes() == weights
    densities = (copied / "densities.safetensors").read_bytes()
    assert sigmae("sample", copied, "--density", "gmm100", "--out", tmp_path / "again.npy").status == 0
    assert (tmp_path / "first.npy").read_bytes() == (tmp_path / "again.npy").read_bytes()
    assert (copied / "densities.safetensors").read_bytes() == densities


def test_a_kept_density_needs_no_data(sigmae, copied, tmp_path):
    config = (copied / "config.json").read_text()
    (copied / "config.json").write_text(config.replace('"source": "digits"', '"source": "./moved"'))
    assert sigmae("sample", copied, "--density", "gmm10", "--out", tmp_path / "x.png").status == 0
    answer = sigmae("sample", copied, "--density", "gmm7", "--out", tmp_path / "y.png")
    assert answer.status == 1
    assert "./moved" in answer.told


def test_vectors_are_sampled_as_an_array(sigmae, train, tmp_path):
    np.save(tmp_path / "table.npy", np.random.RandomState(0).randn(60, 10))
    answer = train(tmp_path / "table.npy", tmp_path / "run", "--method", "vae", "--batch-size", "10")
    assert answer.status == 0
    assert "--out samples.npy" in answer.err
    assert sigmae("sample", tmp_path / "run", "--count", "4", "--out", tmp_path / "x.npy").status == 0
    assert np.load(tmp_path / "x.npy").shape == (4, 10)
    refused = sigmae("sample", tmp_path / "run", "--out", tmp_path / "x.png")
    assert refused.status == 1
    assert ".npy" in refused.told
    evaluated = sigmae("evaluate", tmp_path / "run", "--metrics", "squared_error", "fid", "--json")
    assert {row["metric"] for row in evaluated.json["rows"]} == {"squared_error"}
    assert "without fid: Distances between sets are measured in features of images" in evaluated.told


def test_an_evaluation_can_be_repeated(sigmae, copied):
    before = json.loads((copied / "evaluation.json").read_text())["rows"]
    answer = sigmae("evaluate", copied, "--features", "random", "--metrics", "squared_error", "fid")
    assert answer.status == 0
    assert "gmm10" in answer.out
    assert json.loads((copied / "evaluation.json").read_text())["rows"] == before
    assert any((copied / "cache").iterdir())


def test_evaluation_of_chosen_densities(sigmae, copied):
    before = json.loads((copied / "evaluation.json").read_text())["rows"]
    options = ("--metrics", "fid", "--features", "random", "--densities", "gaussian", "gmm3", "--json")
    rows = sigmae("evaluate", copied, *options).json["rows"]
    assert rows[:-1] == before  # of the same model: what was not computed anew stays
    assert rows[-1]["of"] == "gmm3"
    assert json.loads((copied / "evaluation.json").read_text())["rows"] == rows
    assert kept(copied) == {"prior", "gaussian", "gmm10", "gmm3"}
    assert "mixture of 3 Gaussians" in (copied / "report.html").read_text()


def test_the_training_split_can_stand_in(sigmae, copied):
    common = ("evaluate", copied, "--features", "random", "--metrics", "squared_error", "encoder_variance", "--json")
    test, train = (sigmae(*common, "--split", split).json["rows"] for split in ("test", "train"))
    ours = {row["metric"]: row for row in train}
    before = {row["metric"]: row for row in test}
    for name in ("squared_error", "encoder_variance"):
        assert ours[name]["value"] != before[name]["value"]
        assert ours[name]["count"] > before[name]["count"]
        assert "the training split stands in" in ours[name]["protocol"]
        assert "stands in" not in before[name]["protocol"]
    assert 0 < ours["encoder_variance"]["value"] < 2
    evaluation = json.loads((copied / "evaluation.json").read_text())
    assert evaluation["metrics"]["squared_error"]["split"] == "train"
    measured = [one for one in evaluation["measured"] if one["metric"] == "encoder_variance"]
    assert [one["rows"] for one in measured] == [[before["encoder_variance"]], [ours["encoder_variance"]]]


def test_the_classifier_names_its_numbers(sigmae, copied):
    rows = sigmae("evaluate", copied, "--metrics", "fid", "--json").json["rows"]
    assert {row["metric"] for row in rows} == {"squared_error", "decoder_variance", "fid-random", "fid-classifier"}
    evaluation = json.loads((copied / "evaluation.json").read_text())
    assert evaluation["features"].keys() == {"random", "classifier"}
    assert evaluation["features"]["classifier"]["accuracy"] > 0.9


def test_another_seed_is_another_evaluation(sigmae, copied):
    rows = sigmae("evaluate", copied, "--metrics", "squared_error", "--seed", "1", "--json").json["rows"]
    assert {row["metric"] for row in rows} == {"squared_error"}


def test_a_metric_that_does_not_apply_is_told(sigmae, copied):
    before = (copied / "evaluation.json").read_bytes()
    answer = sigmae("evaluate", copied, "--metrics", "linearized_log_likelihood")
    assert answer.status == 1
    assert "This model has a posterior, and so the likelihood itself: log_likelihood." in answer.told
    assert (copied / "evaluation.json").read_bytes() == before


def test_progress_is_beside_the_json(sigmae, copied):
    answer = sigmae("evaluate", copied, "--features", "random", "--metrics", "fid", "--json")
    assert answer.json["rows"][0].keys() == {"metric", "of", "value", "unit", "count", "protocol", "error"}
    assert "fid of gaussian" in answer.err


@pytest.mark.parametrize("name", METHODS)
def test_show_tells_parts_and_paper(sigmae, name):
    answer = sigmae("show", name)
    assert answer.status == 0
    for axis, part in METHODS[name].objective().parts().items():
        assert axis in answer.out
        assert repr(part) in answer.out
    assert METHODS[name].paper.bibtex in answer.out
    record = sigmae("show", name, "--json").json
    assert record["objective"]["posterior"]["type"] == type(METHODS[name].objective().posterior).__name__
    assert record["bibtex"] == METHODS[name].paper.bibtex


def test_show_has_the_weights_for_a_data_set(sigmae):
    assert "SquaredNorm(weight=0.0064)" in sigmae("show", "rae-l2").out
    assert "SquaredNorm(weight=0.024)" in sigmae("show", "rae-l2", "--data", "cifar10").out
    assert sigmae("show", "rae-l2", "--data", "cifar10", "--json").json["objective"]["decoder"]["weight"] == 3.1e-3
    assert sigmae("show", "rae-l2", "--data", "mnist").out == sigmae("show", "rae-l2").out


@pytest.mark.parametrize("kind", KINDS)
def test_list_as_a_table_and_as_json(sigmae, kind):
    table, rows = sigmae("list", kind), sigmae("list", kind, "--json").json
    assert table.status == 0
    assert len(rows) >= 2
    for row in rows:
        assert row["what"]
        assert row["name"] in table.out


def test_list_lists_the_methods(sigmae):
    assert sigmae("list").out == sigmae("list", "methods").out
    assert [row["name"] for row in sigmae("list", "--json").json] == list(METHODS)
