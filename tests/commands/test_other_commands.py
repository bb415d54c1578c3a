"""`sample`, `evaluate`, `show`, `list`, help, and what they say to wrong input."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from sigmae.recipes import METHODS


@pytest.fixture
def copy(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("density", [None, "prior", "gaussian", "gmm10"])
def test_samples_as_picture_and_as_array(trained, tmp_path, run, density):
    chosen = ["--density", density] if density else []
    assert run("sample", trained, "--count", "5", *chosen, "--out", tmp_path / "s.png").status == 0
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    for seed in (0, 0, 1):
        arguments = ["--count", "5", "--seed", seed, "--out", tmp_path / f"{seed}.npy"]
        assert run("sample", trained, *chosen, *arguments).status == 0
    images = np.load(tmp_path / "0.npy", allow_pickle=False)
    assert images.shape == (5, 1, 8, 8)
    assert not np.array_equal(images, np.load(tmp_path / "1.npy"))


def test_a_density_that_is_missing_is_fitted_and_kept(copy, tmp_path, run):
    before = (copy / "densities.safetensors").read_bytes()
    assert run("sample", copy, "--density", "gmm3", "--out", tmp_path / "a.npy").status == 0
    assert (copy / "densities.safetensors").read_bytes() != before
    kept = (copy / "densities.safetensors").read_bytes()
    assert run("sample", copy, "--density", "gmm3", "--out", tmp_path / "b.npy").status == 0
    assert (copy / "densities.safetensors").read_bytes() == kept
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_evaluate_is_the_same_again_and_takes_densities(copy, run):
    before = (copy / "evaluation.json").read_bytes()
    assert run("evaluate", copy, "--features", "random").status == 0
    assert (copy / "evaluation.json").read_bytes() == before
    done = run("evaluate", copy, "--features", "random", "--densities", "prior", "gmm3", "--json")
    of = [row["of"] for row in json.loads(done.out)["rows"]]
    assert of == ["reconstructions", "reconstructions", "prior", "gmm3", "interpolations"]


def test_the_classifier_names_its_numbers(copy, run):
    rows = json.loads(run("evaluate", copy, "--json").out)["rows"]
    assert {row["metric"] for row in rows} == {"squared_error", "fid-classifier"}
    evaluation = json.loads((copy / "evaluation.json").read_text())
    assert evaluation["features"] == "classifier"
    assert evaluation["details"]["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--density", "gmm"], "Unknown density 'gmm'. Did you mean 'gmm10'?"),
        (["--count", "0"], "--count must be 1 or more"),
        (["--out", "samples.jpg"], ".png or .npy"),
    ],
)
def test_wrong_samples_are_sentences(trained, run, arguments, sentence):
    refused = run("sample", trained, *arguments)
    assert refused.status == 1
    assert sentence in refused.err


def test_wrong_features_name_the_nearest(trained, run):
    refused = run("evaluate", trained, "--features", "inceptoin")
    assert refused.status == 1
    assert "Did you mean 'inception'?" in refused.err


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_a_folder_without_a_run_is_told(command, tmp_path, run):
    refused = run(command, tmp_path)
    assert refused.status == 1
    assert "holds no run" in refused.err


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "densities.safetensors"])
def test_a_cut_file_is_named(name, copy, run):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 2])
    refused = run("sample", copy, "--out", copy / "s.png")
    assert refused.status == 1
    assert name in refused.err


def test_an_edited_config_is_refused(copy, run):
    config = json.loads((copy / "config.json").read_text())
    config["model"]["latent_dim"] = 3
    (copy / "config.json").write_text(json.dumps(config))
    refused = run("sample", copy, "--out", copy / "s.png")
    assert refused.status == 1
    assert "do not fit its config.json" in refused.err


@pytest.mark.parametrize("name", METHODS)
def test_show_has_parts_weights_and_citation(name, run):
    shown = run("show", name)
    assert shown.status == 0
    for axis, part in METHODS[name].objective().parts().items():
        assert axis in shown.out
        assert repr(part) in shown.out
    assert METHODS[name].paper.key in shown.out
    record = json.loads(run("show", name, "--json").out)
    assert record["objective"].keys() == METHODS[name].objective().parts().keys()


def test_show_knows_the_weights_for_other_data(run):
    assert "latent_weight" not in run("show", "rae").out
    assert "0.24" in run("show", "rae", "--data", "cifar10").out


def test_show_of_an_unknown_method_names_the_nearest(run):
    refused = run("show", "beta-va")
    assert refused.status == 1
    assert "Did you mean 'beta-vae'?" in refused.err


@pytest.mark.parametrize("kind", ["methods", "datasets", "networks", "densities", "features", "metrics"])
def test_list_is_a_table_and_json(kind, run):
    rows = json.loads(run("list", kind, "--json").out)
    table = run("list", kind)
    assert table.status == 0
    assert len(rows) >= 2
    assert all(row["name"] in table.out for row in rows)


def test_an_unknown_kind_or_command_names_the_nearest(run):
    wrong = run("list", "method")
    assert wrong.status == 2
    assert "methods" in wrong.out + wrong.err
    wrong = run("trian", "digits")
    assert wrong.status == 2
    assert 'Did you mean "train"?' in wrong.out + wrong.err


@pytest.mark.parametrize("command", [[], ["train"], ["sample"], ["evaluate"], ["show"], ["list"]])
def test_help_names_every_option(command, run):
    shown = run(*command, "--help")
    assert shown.status == 0
    assert "--help" in shown.out or "Usage" in shown.out


def test_help_and_import_load_nothing_heavy():
    heavy = "{'torch', 'numpy', 'sklearn', 'matplotlib'}"
    program = f"import sys, sigmae, sigmae.cli; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_module_is_a_command():
    done = subprocess.run([sys.executable, "-m", "sigmae", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip().startswith("0.")
