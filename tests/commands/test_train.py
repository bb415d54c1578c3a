"""`sigmae train`: what it leaves, what it continues, what it never overwrites."""

import errno
import json
import shutil
import signal

import numpy as np
import pytest

import sigmae
from sigmae.training import loop

QUICK = ["--epochs", "2", "--features", "random"]


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_holds_everything(trained):
    names = {str(path) for path in contents(trained)}
    pictures = {"reconstructions", "samples-gaussian", "samples-gmm10", "interpolations", "neighbours"}
    assert {f"figures/{stem}.png" for stem in pictures} < names
    assert {
        "config.json", "environment.json", "metrics.jsonl", "evaluation.json", "model.safetensors",
        "densities.safetensors", "report.html",
    } < names  # fmt: skip
    assert any(name.startswith("checkpoints/step-") for name in names)
    assert not [name for name in names if name.endswith((".pkl", ".pt", ".part"))]
    environment = json.loads((trained / "environment.json").read_text())
    assert environment["packages"]["torch"]
    assert len((trained / "metrics.jsonl").read_text().splitlines()) == 2


def test_the_same_command_leaves_a_finished_run_as_it_is(trained, run):
    before = contents(trained)
    again = run("train", "digits", "--method", "rae-l2", *QUICK, "--out", trained)
    assert again.status == 0
    assert "fid-random" in again.out
    assert contents(trained) == before


def test_another_run_is_never_overwritten(trained, run):
    before = contents(trained)
    other = run("train", "digits", "--method", "rae-l2", *QUICK, "--lr", "0.01", "--out", trained)
    assert other.status == 1
    assert "holds another run (different: training.lr)" in other.err
    assert contents(trained) == before


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.touch()])
def test_a_place_that_is_taken_is_refused(tmp_path, run, make):
    make(tmp_path / "out")
    if (tmp_path / "out").is_dir():
        (tmp_path / "out" / "thesis.tex").touch()
    refused = run("train", "digits", *QUICK, "--out", tmp_path / "out")
    assert refused.status == 1
    assert "nothing was overwritten" in refused.err


def test_the_default_folder_is_named_by_source_and_method(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("train", "digits", "--method", "ae", *QUICK).status == 0
    assert (tmp_path / "runs" / "digits-ae" / "report.html").exists()


def test_an_interrupted_run_is_continued_by_the_same_command(tmp_path, run, monkeypatch):
    command = ["train", "digits", "--method", "vae", *QUICK, "--out"]
    original = loop.Loop.step

    def interrupted(self, indices):
        original(self, indices)
        if self.state.progress.step == 17:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(loop.Loop, "step", interrupted)
    stopped = run(*command, tmp_path / "stopped")
    assert stopped.status == 130
    assert "the same command continues" in stopped.err
    assert "not finished" in run("evaluate", tmp_path / "stopped").err
    monkeypatch.setattr(loop.Loop, "step", original)
    assert run(*command, tmp_path / "stopped").status == 0
    assert run(*command, tmp_path / "whole").status == 0
    for name in ("model.safetensors", "densities.safetensors", "evaluation.json", "figures/samples-gmm10.png"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_full_disk_is_told_and_the_same_command_continues(tmp_path, run, monkeypatch):
    from sigmae import tensors

    original = tensors.save_file

    def full(content, path, metadata=None):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    command = ["train", "digits", *QUICK, "--out", tmp_path / "out"]
    monkeypatch.setattr(tensors, "save_file", full)
    stopped = run(*command)
    assert stopped.status == 1
    assert "No space left to write" in stopped.err
    monkeypatch.setattr(tensors, "save_file", original)
    assert run(*command).status == 0


def test_settings_change_parts_and_networks(tmp_path, run):
    settings = ["--set", "latent=MMD", "--set", "latent.weight=3", "--set", "network.hidden=[32]"]
    assert run("train", "digits", "--method", "rae", *QUICK, *settings, "--out", tmp_path / "out").status == 0
    model = sigmae.load(tmp_path / "out")
    assert repr(model.objective.latent) == "MMD(weight=3.0, kernel='imq')"
    assert model.encoder[1].out_features == 32


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("latent.wieght=1", "has no field 'wieght'. It has: weight"),
        ("latent.weight=heavy", "latent.weight"),
        ("latnet.weight=1", "one of posterior, propagation, likelihood, latent, decoder"),
        ("latent=Kl", "Did you mean 'KL'"),
        ("latent=KL", "KL needs a posterior with a density, got Delta"),
        ("latent", "part.field=value"),
        ("network.depth=3", "has no option 'depth'"),
        ("propagation=MonteCarlo", "MonteCarlo draws samples"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, run, setting, sentence):
    refused = run("train", "digits", "--method", "rae", *QUICK, "--set", setting, "--out", tmp_path / "out")
    assert refused.status == 1
    assert sentence in refused.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--method", "rae-l3"], "Unknown method 'rae-l3'. Did you mean 'rae-l2'?"),
        (["--network", "cnov"], "Did you mean 'conv'?"),
        (["--features", "classifer"], "Did you mean 'classifier'?"),
        (["--latent-dim", "0"], "latent size must be 1 or more"),
        (["--batch-size", "1500"], "larger than the 1439 training examples"),
        (["--lr", "nan"], "lr must be above 0"),
        (["--network", "rae-mnist"], "--image-size 32"),
        (["--network", "nowhere:net"], "nowhere"),
    ],
)
def test_wrong_options_are_sentences(tmp_path, run, options, sentence):
    refused = run("train", "digits", "--epochs", "1", *options, "--out", tmp_path / "out")
    assert refused.status == 1
    assert sentence in refused.err


@pytest.mark.parametrize("options", [["--epcohs", "3"], ["--epochs", "many"], ["--device", "gpu"]])
def test_usage_errors_have_their_own_status(run, options):
    refused = run("train", "digits", *options)
    assert refused.status == 2
    assert ("--epochs" if "epc" in options[0] else options[0]) in refused.out + refused.err


def test_wrong_numbers_are_sentences(run):
    for options in (["--epochs", "0"], ["--lr", "0"], ["--seed", "-1"], ["--clip", "-2"], ["--image-size", "0"]):
        refused = run("train", "digits", *options)
        assert refused.status in (1, 2), options
        assert "Traceback" not in refused.err


DATA = {
    "empty folder": lambda path: path.mkdir(),
    "nan": lambda path: np.save(path.with_suffix(".npy"), np.full((9, 4, 4), np.nan, np.float32)),
    "one image": lambda path: np.save(path.with_suffix(".npy"), np.full((1, 4, 4), 0.5, np.float32)),
}


@pytest.mark.parametrize("kind", DATA)
def test_bad_data_are_sentences(tmp_path, run, kind):
    DATA[kind](tmp_path / "data")
    source = next(tmp_path.iterdir())
    refused = run("train", source, *QUICK, "--out", tmp_path / "out")
    assert refused.status == 1
    assert refused.err.startswith("sigmae: ")
    assert not (tmp_path / "out").exists()


def test_collapsed_encodings_leave_densities_out_with_a_warning(tmp_path, run):
    np.save(tmp_path / "same.npy", np.full((60, 4, 4), 128, np.uint8))
    done = run("train", tmp_path / "same.npy", *QUICK, "--batch-size", "10", "--out", tmp_path / "out")
    assert done.status == 0
    assert "The density gmm10 is left out" in done.err


def test_tiny_data_and_vectors(tmp_path, run):
    draw = np.random.default_rng(0)
    np.save(tmp_path / "five.npy", draw.integers(0, 256, (5, 6, 6), dtype=np.uint8))
    np.save(tmp_path / "table.npy", draw.normal(size=(200, 10)).astype(np.float32))
    for name, size in (("five", 2), ("table", 20)):
        done = run("train", tmp_path / f"{name}.npy", *QUICK, "--batch-size", size, "--out", tmp_path / name)
        assert done.status == 0, done.err
        assert "squared_error" in done.out
        assert (tmp_path / name / "report.html").exists()


def test_ones_own_method_network_and_data_by_name(tmp_path, run, monkeypatch):
    (tmp_path / "own_parts.py").write_text(
        "import numpy as np\n"
        "from torch import nn\n"
        "from sigmae import recipes\n"
        "def quiet():\n"
        "    return recipes.rae(0.5)\n"
        "def noise():\n"
        "    return np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8)\n"
        "def tiny(*, shape, latent_dim, encoder_outputs, decoder_shape, units=8):\n"
        "    encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, units), nn.Linear(units, encoder_outputs))\n"
        "    return encoder, nn.Sequential(nn.Linear(latent_dim, 16), nn.Unflatten(1, decoder_shape))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = ["own_parts:noise", "--method", "own_parts:quiet", "--network", "own_parts:tiny", "--set", "network.units=4"]
    assert run("train", *own, *QUICK, "--batch-size", "10", "--out", "out").status == 0
    refused = run("sample", "out", "--count", "4")
    assert refused.status == 1
    assert "--trust own_parts" in refused.err
    assert run("sample", "out", "--count", "4", "--trust", "own_parts", "--out", "four.png").status == 0


def test_a_checkpoint_that_was_cut_is_passed_over(tmp_path, run):
    folder = tmp_path / "out"
    command = ["train", "digits", *QUICK, "--out", folder]
    assert run(*command).status == 0
    whole = (folder / "model.safetensors").read_bytes()
    for path in (folder / "densities.safetensors", folder / "report.html"):
        path.unlink()
    last = max((folder / "checkpoints").iterdir())
    last.write_bytes(last.read_bytes()[:-100])
    again = run(*command)
    assert again.status == 0
    assert f"{last} is not a whole safetensors file" in again.err
    assert (folder / "model.safetensors").read_bytes() == whole


def test_results_as_json(trained, run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    rows = json.loads(run("train", "digits", "--method", "rae-l2", *QUICK, "--out", copy, "--json").out)["rows"]
    assert {"metric", "of", "value", "unit", "count", "protocol"} == rows[0].keys()
