"""What a user can mend is told in a sentence, with its exit status, and nothing is left behind or overwritten."""

import errno
import json
import os
import resource
import signal
import sys
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

ABSENT = "cuda" if sys.platform == "darwin" else "mps"  # a device that this machine has not


def save_pictures(folder, arrays):
    folder.mkdir()
    for number, array in enumerate(arrays):
        Image.fromarray(array).save(folder / f"{number}.png")


def noise(*shape):
    return np.random.RandomState(0).randint(0, 255, shape, dtype=np.uint8)


def edited(run, **changes):
    """Change values in config.json: `model__latent_dim=3`."""
    config = json.loads((run / "config.json").read_text())
    for name, value in changes.items():
        *groups, key = name.split("__")
        inner = config
        for group in groups:
            inner = inner[group]
        inner[key] = value
    (run / "config.json").write_text(json.dumps(config))


# Arguments


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tran", "digits"], 'Unknown command "tran". Did you mean "train"?'),
        (["train", "digits", "--metod", "vae"], "Unknown option: --metod. Did you mean --method?"),
        (["train"], 'Command "train" parameter SOURCE requires an argument.'),
        (["train", "digits", "--epochs", "many"], 'Invalid value for --epochs: unable to convert "many" into int.'),
        (["train", "digits", "--epochs", "1.5", "--features", "random"], "Invalid value for --epochs"),
        (["train", "digits", "--device", "gpu"], 'Choose from: "auto", "cpu", "cuda", "mps".'),
        (["train", "digits", "--precision", "bf61"], 'Did you mean "bf16"?'),
        (["train", "digits", "--set"], "--set requires an argument."),
        (["train", "digits", "mnist"], "mnist"),
        (["sample", "run", "--count", "x"], "Invalid value for --count"),
        (["list", "metric"], 'Did you mean "metrics"?'),
        (["show"], "METHOD requires an argument."),
    ],
)
def test_usage(sigmae, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    answer = sigmae(*arguments)
    assert answer.status == 2
    assert sentence in answer.told
    assert answer.out == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--method", "rae_l2"], "Unknown method 'rae_l2'. Did you mean 'rae-l2'?"),
        (["--network", "cnv"], "Unknown network 'cnv'. Did you mean 'conv'?"),
        (["--features", "randon"], "Unknown features 'randon'. Did you mean 'random'?"),
        (["--latent-dim", "0"], "The latent size must be 1 or more, got 0."),
        (["--latent-dim", "-2"], "The latent size must be 1 or more, got -2."),
        (["--epochs", "0"], "epochs must be 1 or more, got 0."),
        (["--batch-size", "0"], "must be 1 or more, got 0."),
        (["--batch-size", "1440"], "The batch size 1440 is larger than the 1439 training examples of digits"),
        (["--lr", "0"], "lr must be above 0 and finite, got 0.0."),
        (["--lr", "nan"], "lr must be above 0 and finite, got nan."),
        (["--seed", "-1"], "seed must be 0 or more, got -1."),
        (["--clip", "0"], "clip must be above 0 and finite, got 0.0."),
        (["--patience", "0"], "patience must be above 0"),
        (["--plateau-factor", "1"], "plateau_factor must be"),
        (["--image-size", "0"], "An image cannot have 0 pixels a side"),
        (["--network", "rae-mnist"], "add --image-size 32"),
        (["--devices", "0"], "devices"),
        (["--nodes", "0"], "nodes"),
        (["--device", ABSENT], ABSENT),
        (["--features", "inception", "--inception-file", "absent.pt"], "There is no file absent.pt"),
        (["--set", "latent"], "A setting is part.field=value or part=Type"),
        (["--set", "latnt.weight=1"], "got 'latnt.weight=1'. Did you mean 'latent'?"),
        (["--set", "latnt.weight=1"], "part one of bound, posterior, propagation, likelihood, latent, decoder"),
        (["--set", "latent.wieght=1"], "KL has no field 'wieght'. It has: weight."),
        (["--set", "latent.weight=abc"], "In latent.weight: 'abc' cannot be read"),
        (["--set", "latent.weight=nan"], "nan"),
        (["--set", "latent.weight=inf"], "inf"),
        (["--set", "latent=MDM"], "Unknown latent part 'MDM'. Did you mean 'MMD'?"),
        (["--set", "posterior=Delta"], "use Mean, or a posterior with a spread"),
        (["--set", "propagation.count=1.5"], "In propagation.count: '1.5' cannot be read"),
        (["--set", "propagation.count=0"], "MonteCarlo draws one or more samples, got count=0"),
        (["--set", "likelihood.variance=0"], "Gaussian needs a variance above 0, got 0.0."),
        (["--set", "network.widht=3"], "The network mlp has no option 'widht'. It takes: "),
        (["--set", "network.output=foo"], "A decoder ends in one of sigmoid, tanh, linear; got 'foo'."),
        (["--epochs", "1", "--set", "network.hidden"], "network.hidden"),
        (["--set", "network.hidden=3"], "hidden"),
        (["--set", "network.hidden=[0]"], "hidden"),
        (["--network", "conv", "--set", "network.width=0"], "width"),
        (["--network", "conv", "--set", "network.width=-3"], "width"),
        (["--network", "conv", "--set", "network.width=2.5"], "width"),
    ],
)
def test_settings_are_refused_before_anything_is_written(sigmae, tmp_path, arguments, sentence):
    answer = sigmae("train", "digits", "--out", tmp_path / "run", *arguments)
    assert answer.status == 1
    assert answer.err.startswith("sigmae: ")
    assert sentence in answer.told
    assert answer.out == ""
    assert not (tmp_path / "run").exists()


def test_a_mended_setting_may_use_the_same_folder(sigmae, train, tmp_path):
    assert train("digits", tmp_path / "run", "--batch-size", "5000").status == 1
    assert train("digits", tmp_path / "run", "--batch-size", "500").status == 0


@pytest.mark.promise(
    "Numbers that go wrong",
    "Training stops at a loss, gradient or weight that is not finite, and names the step and a remedy.",
)
def test_divergence_names_the_step_and_the_remedy(train, tmp_path):
    answer = train("digits", tmp_path / "run", "--lr", "1e30")
    assert answer.status == 1
    assert "Training stopped at step" in answer.told
    assert "Try a lower --lr" in answer.told
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--density", "gmn10"], "Unknown density 'gmn10'. Did you mean 'gmm10'?"),
        (["--density", "gmm0"], "Unknown density 'gmm0'."),
        (["--density", "gmm9999"], "A mixture of 9999 Gaussians cannot be fitted to 1439 distinct encodings"),
        (["--out", "samples.jpg"], "Samples are written as .png or .npy, got 'samples.jpg'."),
        (["--count", "0"], "--count must be 1 or more, got 0."),
        (["--out", "folder.png"], "folder.png"),
    ],
)
def test_samples_that_cannot_be(sigmae, trained, contents, tmp_path, monkeypatch, arguments, sentence):
    before = contents(trained)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    answer = sigmae("sample", trained, *arguments)
    assert answer.status == 1
    assert sentence in answer.told
    assert ".part" not in answer.told
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]
    assert contents(trained) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--features", "classifer"], "Unknown features 'classifer'. Did you mean 'classifier'?"),
        (["--features", "inception", "--inception-file", "absent.pt"], "There is no file absent.pt"),
        (["--features", "random", "--densities", "gmm3", "gausian"], "Did you mean 'gaussian'?"),
    ],
)
def test_evaluations_that_cannot_be(sigmae, trained, contents, arguments, sentence):
    before = contents(trained)
    answer = sigmae("evaluate", trained, *arguments)
    assert answer.status == 1
    assert sentence in answer.told
    assert contents(trained) == before


def test_unknown_things_to_show(sigmae):
    answer = sigmae("show", "rae-l3")
    assert (answer.status, answer.out) == (1, "")
    assert "Unknown method 'rae-l3'. Did you mean 'rae-l2'?" in answer.told
    answer = sigmae("show", "rae-l2", "--data", "cifar")
    assert (answer.status, answer.out) == (1, "")
    assert "Did you mean 'cifar10'?" in answer.told


# Data


def empty(path):
    path.mkdir()
    (path / "notes.txt").write_text("no picture")


def truncated(path):
    save_pictures(path, [noise(16, 16)] * 6)
    os.truncate(path / "3.png", 150)


BAD_DATA = {
    "empty": (empty, "has no pictures"),
    "truncated": (truncated, "3.png cannot be read as a picture"),
    "channels": (lambda path: save_pictures(path, [noise(8, 8)] * 4 + [noise(8, 8, 3)]), "is gray and"),
    "one": (lambda path: save_pictures(path, [noise(8, 8)]), "has one example, too few"),
    "nan.npy": (lambda path: np.save(path, np.full((9, 4, 4), np.nan)), "144 values that are NaN or infinite"),
    "range.npy": (lambda path: np.save(path, np.full((9, 4, 4), 7.0)), "outside [0, 1]: divide by 255"),
    "pickled.npy": (lambda path: np.save(path, np.array([{}] * 9)), "cannot be read as numpy arrays of numbers"),
    "picture.npy": (lambda path: np.save(path, noise(1, 8, 8)), "reads as one image"),
    "text.txt": (lambda path: path.write_text("hello"), "is no data that can be read"),
    "single.png": (lambda path: Image.fromarray(noise(8, 8)).save(path), "is one picture"),
    "absent.npy": (lambda path: None, "There is no file or folder"),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_data_that_are_none(train, tmp_path, name):
    make, sentence = BAD_DATA[name]
    make(tmp_path / name)
    answer = train(tmp_path / name, tmp_path / "run", "--batch-size", "2")
    assert answer.status == 1
    assert sentence in answer.told
    assert str(tmp_path / name) in answer.told
    assert not (tmp_path / "run").exists()


def test_an_unknown_data_set_names_the_nearest(sigmae):
    answer = sigmae("train", "digit")
    assert answer.status == 1
    assert "Unknown data set or path 'digit'. Did you mean 'digits'?" in answer.told


def test_a_data_dir_that_is_none(train, tmp_path):
    answer = train("mnist", tmp_path / "run", "--data-dir", tmp_path / "absent")
    assert answer.status == 1
    assert f"There is no folder {tmp_path}/absent" in answer.told


@pytest.mark.promise(
    "Numbers that go wrong", "Images that are all the same are trained on, evaluated, diagnosed and reported."
)
def test_identical_images_are_trained_on_and_their_densities_left_out(sigmae, train, tmp_path):
    np.save(tmp_path / "same.npy", np.full((60, 8, 8), 0.5))
    answer = train(tmp_path / "same.npy", tmp_path / "run", "--batch-size", "10")
    assert answer.status == 0
    for name in ("gaussian", "gmm10"):
        assert f"The density {name} is left out." in answer.told
    assert "use the prior" in answer.told
    answer = sigmae("sample", tmp_path / "run", "--density", "gaussian", "--out", tmp_path / "x.png")
    assert answer.status == 1
    assert "the encoder has collapsed: use the prior" in answer.told


@pytest.mark.promise(
    "Numbers that go wrong", "One or two examples in a split are trained on and evaluated, or refused in a sentence."
)
def test_five_images_are_enough(sigmae, train, tmp_path):
    save_pictures(tmp_path / "five", [noise(8, 8) + shift for shift in range(5)])
    refused = train(tmp_path / "five", tmp_path / "run", "--batch-size", "100")
    assert refused.status == 1
    assert "is larger than the 3 training examples of five: use --batch-size 1." in refused.told
    answer = train(tmp_path / "five", tmp_path / "small", "--batch-size", "2")
    assert answer.status == 0
    assert "The density gmm10 is left out." in answer.told
    assert "squared_error" in answer.out
    assert sigmae("sample", tmp_path / "small", "--out", tmp_path / "x.png").status == 0


@pytest.mark.promise(
    "Numbers that go wrong", "One or two examples in a split are trained on and evaluated, or refused in a sentence."
)
def test_mmd_of_a_single_validation_image_is_told_as_such(train, tmp_path):
    np.save(tmp_path / "five.npy", noise(5, 8, 8))
    answer = train(tmp_path / "five.npy", tmp_path / "run", "--batch-size", "2", "--method", "wae-mmd")
    assert answer.status == 1
    assert "validation" in answer.told


def test_bernoulli_is_refused_for_vectors_before_anything_is_written(train, tmp_path):
    np.save(tmp_path / "table.npy", np.random.RandomState(0).randn(60, 10))
    options = ("--batch-size", "10", "--set", "likelihood=Bernoulli")
    answer = train(tmp_path / "table.npy", tmp_path / "run", *options)
    assert answer.status == 1
    assert "Bernoulli needs values in [0, 1]" in answer.told
    assert not (tmp_path / "run").exists()


def test_classifier_features_without_labels_are_refused_before_training(sigmae, images, tmp_path):
    answer = sigmae("train", images, "--features", "classifier", "--batch-size", "10", "--out", tmp_path / "run")
    assert answer.status == 1
    assert "learn from labels" in answer.told
    assert not (tmp_path / "run").exists()


# Runs


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_what_is_no_run(sigmae, trained, tmp_path, command):
    for path in (tmp_path, tmp_path / "absent", trained / "config.json"):
        answer = sigmae(command, path)
        assert answer.status == 1
        assert f"{path} holds no run: there is no config.json in it." in answer.told


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_a_run_that_is_not_finished(sigmae, copied, command):
    (copied / "model.safetensors").unlink()
    answer = sigmae(command, copied)
    assert answer.status == 1
    assert "is not finished: repeat its sigmae train command" in answer.told


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "{}", '{"method": "vae"'])
@pytest.mark.parametrize("command", ["sample", "evaluate", "train"])
def test_a_config_that_was_cut(sigmae, train, copied, content, command):
    (copied / "config.json").write_text(content)
    answer = train("digits", copied) if command == "train" else sigmae(command, copied)
    assert answer.status == 1
    assert str(copied) in answer.told
    assert (copied / "config.json").read_text() == content


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model__latent_dim": 8}, "do not fit its config.json: one of them was edited"),
        ({"model__latent_dim": "x"}, "expected int @ $.model.latent_dim"),
        ({"model__latent_dim": 0}, "The latent size must be 1 or more, got 0."),
        ({"model__shape": [-1, 8, 8]}, "shape"),
        ({"model__network": {"name": "mpl"}}, "Unknown network 'mpl'. Did you mean 'mlp'?"),
        ({"model__objective__posterior": {"type": "os:system"}}, "--trust os"),
        ({"model__objective__posterior": {"type": "Deltq"}}, "Did you mean 'Delta'?"),
        ({"surprise": 1}, "extra fields found (surprise)"),
        ({"version": 2}, "version 2"),
    ],
)
def test_a_config_that_was_edited(sigmae, copied, tmp_path, change, sentence):
    edited(copied, **change)
    answer = sigmae("sample", copied, "--out", tmp_path / "x.png")
    assert answer.status == 1
    assert sentence in answer.told
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "densities.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "emptied", "edited"])
def test_tensors_that_were_damaged(sigmae, train, copied, name, damage):
    content = bytearray((copied / name).read_bytes())
    if damage == "edited":
        content[-5] ^= 1
    (copied / name).write_bytes({"cut": content[:700], "emptied": b"", "edited": content}[damage])
    for answer in (sigmae("sample", copied), sigmae("evaluate", copied), train("digits", copied)):
        assert answer.status == 1
        assert str(copied / name) in answer.told
        assert "it was cut or edited" in answer.told


def test_densities_of_another_run(sigmae, images, copied, tmp_path):
    other = tmp_path / "other"
    assert (
        sigmae("train", images, "--latent-dim", "3", "--epochs", "1", "--batch-size", "10", "--out", other).status == 0
    )
    (copied / "densities.safetensors").write_bytes((other / "densities.safetensors").read_bytes())
    answer = sigmae("sample", copied, "--out", tmp_path / "x.png")
    assert answer.status == 1
    assert str(copied) in answer.told


@pytest.mark.parametrize("content", ["", "{}", '{"version": 1, "rows": [{}]}'])
def test_an_evaluation_that_was_damaged(train, copied, content):
    (copied / "evaluation.json").write_text(content)
    answer = train("digits", copied)
    assert answer.status == 1
    assert str(copied / "evaluation.json") in answer.told


# The machine


def test_a_file_where_the_folder_should_be(train, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        answer = train("digits", out)
        assert answer.status == 1
        assert str(out) in answer.told
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(train, tmp_path):
    tmp_path.chmod(0o500)
    try:
        answer = train("digits", tmp_path / "run")
    finally:
        tmp_path.chmod(0o700)
    assert answer.status == 1
    assert f"Permission denied: {tmp_path}/run" in answer.told


@pytest.mark.promise(
    "What the machine lacks",
    "On a full disk a command ends with a sentence, every file that it wrote is whole, and with room again the same "
    "command ends as if nothing had been.",
)
def test_no_space_is_told_with_the_file(train, trained, tmp_path, monkeypatch):
    def full(number):
        if os.fstat(number).st_size > 10_000:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        answer = train("digits", tmp_path / "run")
    assert answer.status == 1
    assert f"No space left to write {tmp_path}/run/checkpoints/" in answer.told
    assert "the same command continues" in answer.told
    assert train("digits", tmp_path / "run").status == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


@pytest.mark.promise(
    "What the machine lacks",
    "On a full disk a command ends with a sentence, every file that it wrote is whole, and with room again the same "
    "command ends as if nothing had been.",
)
def test_a_file_larger_than_allowed_is_told_and_continued(train, trained, tmp_path):
    """A limit of the system itself: the writer of tensors has its own way to report a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        answer = train("digits", tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert answer.status == 1
    assert "No space left to write" in answer.told
    assert train("digits", tmp_path / "run").status == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


@pytest.mark.promise("What the machine lacks", "A reader of the output that goes away ends a command without a word.")
@pytest.mark.parametrize("command", [["list"], ["list", "--json"], ["show", "vae"], ["show", "vae", "--json"]])
def test_a_reader_that_has_gone_is_no_error_to_report(sigmae, monkeypatch, command):
    reading, writing = os.pipe()
    os.close(reading)
    output = os.fdopen(writing, "w", buffering=1)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", output)
            answer = sigmae(*command)
        assert answer.err == ""
    finally:
        with suppress(BrokenPipeError):
            output.close()


def test_ctrl_c_before_training(train, tmp_path, monkeypatch):
    monkeypatch.setattr("sigmae.api.load_data", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    answer = train("digits", tmp_path / "run")
    assert answer.status == 130
    assert answer.told.startswith("sigmae: Interrupted")
