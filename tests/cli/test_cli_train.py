"""`sigmae train`: what a run's folder holds, doing it again, continuing, settings, one's own parts."""

import json
import os
import re
import shutil
import signal

import pytest

from sigmae.settings import DEFAULT_METHOD
from sigmae.tensors import load_tensors
from sigmae.training.loop import Loop

FILES = {
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "evaluation.json",
    "report.html",
    "model.safetensors",
    "densities.safetensors",
    "figures/reconstructions.png",
    "figures/interpolations.png",
    "figures/neighbours.png",
    "figures/traversals.png",
    "figures/samples-prior.png",
    "figures/samples-gaussian.png",
    "figures/samples-gmm10.png",
    "checkpoints/step-00000014.safetensors",
}
JSON = ("config", "environment", "evaluation")
SHORT = ("--latent-dim", "2", "--epochs", "1", "--features", "random")
OWN = """
import math

import torch
from torch import nn

from sigmae import recipes, SquaredNorm

objective = recipes.rae().replace(latent=SquaredNorm(0.5))


def method():
    return objective


def network(*, shape, latent_dim, encoder_outputs, decoder_shape, width=5):
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), width), nn.Linear(width, encoder_outputs))
    return encoder, nn.Sequential(nn.Linear(latent_dim, math.prod(decoder_shape)), nn.Unflatten(1, decoder_shape))


def data():
    return torch.rand(60, 8, 8, generator=torch.Generator().manual_seed(0))


def features(images):
    return images.float().flatten(1) / 255


def nothing(**sizes):
    return None


number = 3
"""


def read(folder, name="config.json"):
    return json.loads((folder / name).read_text())


def trained_config(train, out, *arguments):
    answer = train("digits", out, *arguments)
    assert answer.status == 0, answer.err
    return read(out)


def interrupting(monkeypatch, step, number):
    """Let a signal arrive in a step of training, once."""
    original = Loop.step

    def stop(self, indices):
        if self.state.progress.step == step:
            monkeypatch.setattr(Loop, "step", original)
            signal.raise_signal(number)
        original(self, indices)

    monkeypatch.setattr(Loop, "step", stop)


def test_a_run_holds_everything(contents, trained):
    assert contents(trained).keys() == FILES
    config, environment, evaluation = (
        read(trained, f"{name}.json") for name in ("config", "environment", "evaluation")
    )
    assert config["data"]["source"] == "digits"
    assert config["method"] == DEFAULT_METHOD
    assert config["model"]["latent_dim"] == 2
    assert config["training"]["epochs"] == 1
    assert {"command", "commit", "python", "packages", "processor", "gpu"} <= environment.keys()
    assert [row["of"] for row in evaluation["rows"] if row["metric"] == "fid-random"] == [
        "reconstructions", "prior", "gaussian", "gmm10", "interpolations", "random-interpolations"
    ]  # fmt: skip
    assert all(row["value"] > 0 for row in evaluation["rows"])
    assert {row["count"] for row in evaluation["rows"] if row["metric"] != "decoder_variance"} == {179}
    assert [json.loads(line)["epoch"] for line in (trained / "metrics.jsonl").read_text().splitlines()] == [1]
    names = {key.partition(".")[0] for key in load_tensors(trained / "densities.safetensors")[0]}
    assert names == {"prior", "gaussian", "gmm10"}


def test_the_files_of_a_run_can_be_read_by_the_same_people(trained):
    assert len({(trained / name).stat().st_mode for name in FILES}) == 1


def test_the_report_tells_the_parts_and_the_paper(trained):
    page = (trained / "report.html").read_text()
    text = " ".join(re.sub("<[^>]+>", " ", page).split())
    assert 'id="objective"' in page
    assert "with 2 latent dimensions, made of" in text
    assert "AR-ELBO" in text
    assert text.count("Fréchet distance (FID), random features:") >= 1
    assert "the best of 3 densities" in text


def test_results_on_standard_output_progress_beside(train, tmp_path):
    answer = train("digits", tmp_path / "run")
    assert "epoch 1/1" in answer.err
    assert f"report: {tmp_path}/run/report.html" in answer.err
    assert "squared_error" in answer.out
    assert "epoch" not in answer.out


def test_again_changes_nothing(contents, train, copied):
    before = contents(copied)
    answer = train("digits", copied)
    assert answer.status == 0
    assert "gmm10" in answer.out
    assert contents(copied) == before


def test_json_is_all_that_is_printed(train, copied):
    answer = train("digits", copied, "--json")
    assert answer.json["rows"] == read(copied, "evaluation.json")["rows"]


def test_the_default_folder_is_named_after_data_and_method(sigmae, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sigmae("train", images, "--method", "rae-l2", "--batch-size", "10", *SHORT).status == 0
    assert (tmp_path / "runs" / "images-rae-l2" / "report.html").exists()


@pytest.mark.parametrize("arguments", [["--seed", "1"], ["--method", "ae"], ["--set", "latent.weight=2"]])
def test_another_run_is_not_overwritten(contents, train, copied, arguments):
    before = contents(copied)
    answer = train("digits", copied, *arguments)
    assert answer.status == 1
    assert f"{copied} holds another run" in answer.err
    assert "nothing was overwritten" in answer.err
    assert contents(copied) == before


def test_a_folder_of_something_else_is_not_touched(train, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    answer = train("digits", tmp_path)
    assert (answer.status, list(tmp_path.iterdir())) == (1, [tmp_path / "thesis.txt"])
    assert "is not empty and holds no run" in answer.err


@pytest.mark.promise(
    "Killed and continued", "A run stopped by Ctrl-C or SIGTERM in any step ends with the bits of an undisturbed one."
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_continued_is_undisturbed(contents, train, sigmae, trained, tmp_path, monkeypatch, number):
    interrupting(monkeypatch, 8, number)
    answer = train("digits", tmp_path / "run")
    assert answer.status == 128 + number
    assert contents(tmp_path / "run").keys() >= {"config.json", "checkpoints/step-00000009.safetensors"}
    assert "is not finished: repeat its sigmae train command" in sigmae("sample", tmp_path / "run").told
    assert train("digits", tmp_path / "run").status == 0
    assert read(tmp_path / "run", "evaluation.json")["rows"] == read(trained, "evaluation.json")["rows"]
    for name in ("model.safetensors", "densities.safetensors", "config.json"):
        assert (tmp_path / "run" / name).read_bytes() == (trained / name).read_bytes()


def test_an_interruption_is_told_in_a_sentence(train, tmp_path, monkeypatch):
    interrupting(monkeypatch, 3, signal.SIGINT)
    answer = train("digits", tmp_path / "run")
    assert answer.status == 130
    assert "Interrupted; what was saved is whole, and the same command continues." in answer.told


def test_a_run_stopped_before_its_evaluation_is_evaluated(train, contents, trained, copied):
    before = contents(copied)
    shutil.rmtree(copied / "figures")
    (copied / "report.html").unlink()
    (copied / "evaluation.json").unlink()
    assert train("digits", copied).status == 0
    after = contents(copied)
    assert after.keys() == before.keys()
    assert read(copied, "evaluation.json")["rows"] == read(trained, "evaluation.json")["rows"]


@pytest.mark.promise(
    "Killed and continued", "A run that lost its weights, densities or evaluation makes them again, bit for bit."
)
@pytest.mark.parametrize("name", ["model.safetensors", "densities.safetensors"])
def test_a_file_that_was_lost_is_made_again(train, copied, name):
    before = (copied / name).read_bytes()
    (copied / name).unlink()
    answer = train("digits", copied)
    assert answer.status == 0, answer.err
    assert (copied / name).read_bytes() == before


def test_an_evaluation_that_was_lost_is_made_again(train, copied):
    rows = read(copied, "evaluation.json")["rows"]
    (copied / "evaluation.json").unlink()
    answer = train("digits", copied)
    assert answer.status == 0, answer.err
    assert read(copied, "evaluation.json")["rows"] == rows


def test_a_damaged_checkpoint_is_named_and_training_goes_on(train, trained, tmp_path, monkeypatch):
    interrupting(monkeypatch, 8, signal.SIGTERM)
    train("digits", tmp_path / "run")
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    os.truncate(checkpoint, checkpoint.stat().st_size // 2)
    answer = train("digits", tmp_path / "run")
    assert answer.status == 0
    assert f"{checkpoint} is not a whole safetensors file" in answer.told
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_parts_and_networks_are_set(train, tmp_path):
    settings = ["latent=MMD", "latent.weight=3", "latent.kernel=rbf", "propagation.count=2", "network.hidden=[16, 8]"]
    config = trained_config(train, tmp_path / "run", *[word for s in settings for word in ("--set", s)])
    objective = config["model"]["objective"]
    assert objective["latent"] == {"type": "MMD", "weight": 3.0, "kernel": "rbf"}
    assert objective["propagation"] == {"type": "MonteCarlo", "count": 2}
    network = {"name": "mlp", "output": "sigmoid", "options": {"hidden": [16, 8]}, "init": "default"}
    assert config["model"]["network"] == network
    assert load_tensors(tmp_path / "run" / "model.safetensors")[0]["encoder.1.weight"].shape == (16, 64)


def test_the_decoder_ends_as_it_is_told(train, tmp_path):
    config = trained_config(train, tmp_path / "run", "--set", "network.output=linear", "--set", "network.hidden=[8]")
    assert config["model"]["network"]["output"] == "linear"


def test_image_size_and_network_are_chosen(train, tmp_path):
    options = ("--image-size", "16", "--set", "network.width=2", "--set", "likelihood=Bernoulli")
    config = trained_config(train, tmp_path / "run", *options)
    assert config["model"]["shape"] == [1, 16, 16]
    network = {"name": "conv", "output": "linear", "options": {"width": 2}, "init": "default"}
    assert config["model"]["network"] == network


@pytest.mark.parametrize("attribute", ["objective", "method"])
def test_a_method_of_ones_own(train, sigmae, own_module, tmp_path, attribute):
    own_module("my_method", OWN)
    config = trained_config(train, tmp_path / "run", "--method", f"my_method:{attribute}")
    assert config["model"]["objective"]["latent"] == {"type": "SquaredNorm", "weight": 0.5}
    assert sigmae("sample", tmp_path / "run", "--out", tmp_path / "x.npy").status == 0


@pytest.mark.promise(
    "Files of strangers", "Code that a file names as module:attribute is imported only where --trust names the module."
)
def test_a_network_of_ones_own_is_loaded_only_where_it_is_trusted(train, sigmae, own_module, tmp_path):
    own_module("my_network", OWN)
    options = ("--network", "my_network:network", "--set", "network.width=7")
    config = trained_config(train, tmp_path / "run", *options)
    assert config["model"]["network"]["options"] == {"width": 7}
    for command in ("sample", "evaluate"):
        answer = sigmae(command, tmp_path / "run")
        assert answer.status == 1
        assert "--trust my_network" in answer.err
    assert sigmae("sample", tmp_path / "run", "--trust", "my_network").status == 0
    assert train("digits", tmp_path / "run", *options).status == 0


def test_data_and_features_of_ones_own(sigmae, own_module, tmp_path):
    own_module("my_data", OWN)
    options = (*SHORT[:-1], "my_data:features", "--batch-size", "10")
    assert sigmae("train", "my_data:data", *options).status == 0
    run = tmp_path / "work" / "runs" / f"my_data-data-{DEFAULT_METHOD}"
    metrics = {row["metric"] for row in read(run, "evaluation.json")["rows"]}
    assert metrics == {"squared_error", "decoder_variance", "fid-my_data:features"}


@pytest.mark.promise(
    "Files of strangers", "Code that a file names as module:attribute is imported only where --trust names the module."
)
def test_data_of_a_third_party_are_loaded_only_where_they_are_trusted(train, sigmae, own_module, tmp_path):
    own_module("their_data", OWN)
    assert train("their_data:data", tmp_path / "run", "--batch-size", "10").status == 0
    own_module("their_data", "raise SystemExit('the code of another ran')")
    for command in (["evaluate", tmp_path / "run"], ["sample", tmp_path / "run", "--density", "gmm3"]):
        answer = sigmae(*command)
        assert answer.status == 1
        assert "--trust their_data" in answer.told
    own_module("their_data", OWN)
    assert sigmae("evaluate", tmp_path / "run", "--features", "random", "--trust", "their_data").status == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--method", "mine:missing"], "The module mine has no attribute 'missing' to be a method"),
        (["--method", "mine:number"], "must be an Objective, or a function that returns one"),
        (["--method", "not_here:method"], "No module named 'not_here'"),
        (["--network", "mine:nothing"], "must return an encoder and a decoder"),
    ],
)
def test_parts_of_ones_own_that_are_none(train, own_module, tmp_path, arguments, sentence):
    own_module("mine", OWN)
    answer = train("digits", tmp_path / "run", *arguments)
    assert answer.status == 1
    assert sentence in answer.told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["[/x]", "[red]x", "two words"])
def test_any_folder_name_is_printed_as_it_is(train, images, tmp_path, name):
    folder = tmp_path / name / ("long" * 30)
    answer = train(images, folder, "--batch-size", "10")
    assert answer.status == 0
    assert f"report: {folder}/report.html\n" in answer.err
    advice = [line for line in answer.err.splitlines() if line.startswith("next:")]
    quoted = f"'{folder}'" if " " in name or "[" in name else str(folder)
    assert advice[0].startswith(f"next:   sigmae sample {quoted} --density gmm10 --out samples.png ")
    assert advice[1].startswith(f"next:   sigmae diagnose {quoted} ")


def test_a_part_of_the_data_is_another_run(train, tmp_path):
    options = ("--limit", "40", "--batch-size", "20")
    config = trained_config(train, tmp_path / "run", *options)
    assert config["data"]["limit"] == 40
    assert {row["count"] for row in read(tmp_path / "run", "evaluation.json")["rows"]} == {40}
    assert "holds another run (different: data.limit)" in train("digits", tmp_path / "run", *options[2:]).told


def test_no_examples_are_no_data(train, tmp_path):
    answer = train("digits", tmp_path / "run", "--limit", "0")
    assert answer.status == 1
    assert "A split cannot be limited to 0 examples" in answer.told
    assert not (tmp_path / "run").exists()
