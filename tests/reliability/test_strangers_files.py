"""A stranger's files run nothing, and import nothing that is not trusted."""

import ast
import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import sigmae
from sigmae.data import load
from sigmae.errors import SigmaeError
from sigmae.plugins import resolve
from sigmae.report import write_report
from sigmae.tables import definition_of

GROUP = "Files of strangers"
PACKAGE = Path(sigmae.__file__).parent


class Trap:
    """What is unpickled makes a folder."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = str(sprung)

    def __reduce__(self):
        return os.mkdir, (self.sprung,)


def old_torch(trap: Trap) -> bytes:
    file = io.BytesIO()
    torch.save({"x": trap}, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def new_torch(trap: Trap) -> bytes:
    file = io.BytesIO()
    torch.save({"x": trap}, file)
    return file.getvalue()


def objects(trap: Trap) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([trap] * 9), allow_pickle=True)
    return file.getvalue()


def archive(trap: Trap) -> bytes:
    file = io.BytesIO()
    np.savez(file, images=np.zeros((9, 4, 4), np.uint8), labels=np.array([trap] * 9))
    return file.getvalue()


TRAPS = {"pickle": pickle.dumps, "torch": new_torch, "torch of old": old_torch, "npy": objects, "npz": archive}
DATA = (
    "a.npy",
    "a.npz",
    "a.zip",
    "pictures/0.png",
    "cifar10/cifar-10-batches-py/data_batch_1",
    "omniglot/chardata.mat",
)
PARTS = (
    "config.json",
    "model.safetensors",
    "densities.safetensors",
    "evaluation.json",
    "metrics.jsonl",
    "figures/x.png",
)


def read(run: Path) -> None:
    """All that is read of a run."""
    sigmae.load(run)
    write_report(run)


@pytest.mark.promise(GROUP, "Loading a model, a run, a data file or a study never runs code that the file holds.")
@pytest.mark.parametrize("kind", TRAPS)
def test_nothing_in_a_file_is_run(run, tmp_path, kind, record_property):
    sprung = tmp_path / "sprung"
    content = TRAPS[kind](Trap(sprung))
    for name in DATA:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        source = {"pictures": path.parent, "cifar10": "cifar10", "omniglot": "omniglot"}.get(name.split("/")[0], path)
        with pytest.raises(SigmaeError):
            load(source, data_dir=tmp_path / "data")
    for name in PARTS:
        whole = (run / name).read_bytes() if (run / name).exists() else None
        (run / name).write_bytes(content)
        with pytest.raises(SigmaeError):
            read(run)
        (run / name).write_bytes(whole) if whole else (run / name).unlink()
    (tmp_path / "study.toml").write_bytes(content)
    with pytest.raises(SigmaeError):
        definition_of(str(tmp_path / "study.toml"))
    record_property("tried", len(DATA) + len(PARTS) + 1)
    assert not sprung.exists()


UNSAFE = {
    "pickle": pickle.load,
    "torch": lambda file: torch.load(file, weights_only=False),
    "torch of old": lambda file: torch.load(file, weights_only=False),
    "npy": lambda file: np.load(file, allow_pickle=True),
    "npz": lambda file: np.load(file, allow_pickle=True)["labels"],
}


@pytest.mark.parametrize("kind", TRAPS)
def test_the_traps_work(tmp_path, kind):
    UNSAFE[kind](io.BytesIO(TRAPS[kind](Trap(tmp_path / "sprung"))))
    assert (tmp_path / "sprung").exists()


FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "yaml"}
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "joblib.load",
    "torch.load",
    "yaml.load",
}
IMPORTERS = {"__init__.py", "plugins.py"}  # of sigmae's own modules by name, and of those that are trusted
CHECKED_BY_HASH = {"inception.py"}  # which torch.jit.load reads


@pytest.mark.promise(GROUP, "No module of this library unpickles, evaluates text or starts a shell.")
def test_no_module_can_run_what_it_reads(record_property):
    files = sorted(PACKAGE.rglob("*.py"))
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not FORBIDDEN_MODULES & {name.partition(".")[0] for name in names}, path
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in FORBIDDEN_CALLS, (path, called)
            assert not called.endswith("import_module") or path.name in IMPORTERS, path
            assert not called.endswith("jit.load") or path.name in CHECKED_BY_HASH, path
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert given.get("allow_pickle", "False") == "False", path
            assert given.get("shell", "False") == "False", path
            assert called not in ("np.load", "np.save", "numpy.load") or "allow_pickle" in given, path
    record_property("tried", len(files))


# Code that a file names


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Whether the module `own` of the working folder was imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own.py").write_text("open('imported', 'w').close()\nclass Part: pass\n")
    monkeypatch.delitem(sys.modules, "own", raising=False)
    yield lambda: (tmp_path / "imported").exists()
    sys.modules.pop("own", None)


NAMED = [
    *(("model", "objective", axis, "type") for axis in ("posterior", "propagation", "likelihood", "latent", "decoder")),
    ("model", "objective", "bound", "type"),
    ("model", "network", "name"),
    ("data", "source"),
]


@pytest.mark.promise(
    GROUP, "Code that a file names as module:attribute is imported only where --trust names the module."
)
@pytest.mark.parametrize("path", NAMED, ids=lambda path: path[-2])
def test_what_a_configuration_names_is_not_imported(run, own, refused, path, record_property):
    config = json.loads((run / "config.json").read_text())
    config["model"]["objective"]["bound"] = {"type": "Objective"}
    names = ("own:Part", "os:system", "../own:Part", "own.py:Part", "own:Part\n")
    for name in names:
        holder = config
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = name
        (run / "config.json").write_text(json.dumps(config))
        for verb in ("evaluate", "diagnose"):
            told = refused(verb, run, "--trust", "owner", "--trust", "own.Part")
        assert not own()
    record_property("tried", 2 * len(names))
    assert "--trust own" in told or "own:Part" in told


def test_what_is_trusted_must_be_what_it_stands_for(run, own):
    config = json.loads((run / "config.json").read_text())
    for axis, name in {"latent": "own:Part", "decoder": "os:getcwd", "bound": "own:Part"}.items():
        changed = json.loads(json.dumps(config))
        changed["model"]["objective"].setdefault(axis, {})["type"] = name
        (run / "config.json").write_text(json.dumps(changed))
        with pytest.raises(SigmaeError, match=f"'{name}' is no "):
            sigmae.load(run, trust=["own", "os"])


def test_an_installed_module_opens_no_working_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(tmp_path))])
    assert resolve("part", "json:loads", {}, ["json"]) is json.loads
    assert str(tmp_path) not in sys.path


SHADOWS = ("json", "torch", "numpy", "sigmae", "joblib", "sklearn", "safetensors", "typing", "zuko", "h5py")


@pytest.mark.promise(GROUP, "No file of the working folder takes the place of a module that the command imports.")
@pytest.mark.parametrize("verb", ["diagnose", pytest.param("compare", marks=pytest.mark.slow)])
def test_a_module_in_the_working_folder_is_not_imported_by_name(finished_run, tmp_path, verb, record_property):
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text("import os\nos.mkdir('imported')\nraise SystemExit(77)\n")
    np.save(tmp_path / "images.npy", np.random.RandomState(0).rand(20, 4, 4))
    compared = ["--methods", "ae", "--epochs", "1", "--seeds", "1", "--batch-size", "4", "--on", "processes"]
    options = {"diagnose": [finished_run], "compare": ["images.npy", *compared]}
    command = [Path(sys.executable).parent / "sigmae", verb, *options[verb], "--features", "random"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=170)
    record_property("tried", len(SHADOWS))
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "imported").exists()
