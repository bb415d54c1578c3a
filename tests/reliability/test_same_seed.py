"""The same seed gives the same bits, another one others, and no generator of anyone else's is touched."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

import sigmae
from sigmae import recipes, SquaredNorm, TrainingConfig
from sigmae.api import plan
from sigmae.data import load as load_data
from sigmae.densities import density_tensors, fit_density
from sigmae.evaluation import evaluate, stages as evaluation_stages
from sigmae.evaluation.stages import between
from sigmae.metrics.classifier import train_classifier
from sigmae.metrics.features import random_features
from sigmae.runs import diagnose_run
from sigmae.seeds import reseed
from sigmae.tensors import load_tensors
from sigmae.training import make_fabric, train, train_together
from sigmae.training.loop import Loop

sys.path.insert(0, str(Path(__file__).parent))
import ranks

GROUP = "The same seed"
SAME = "Two processes with the same seed write the same files, byte for byte but for times: all that a run holds."
ALONE = "The generators of torch and numpy that everyone shares are left as they were."
BATCHED = (
    "The order of the data depends on no number of threads, workers or images at once, nor on how files are listed."
)
SMALL = {"latent_dim": 2, "network": "mlp", "settings": ["network.hidden=[8]"]}

COMMANDS = """
import json, os, random, sys
import numpy, torch

salt = int(os.environ["PYTHONHASHSEED"])
random.seed(salt), numpy.random.seed(salt), torch.manual_seed(salt)
from sigmae.cli import main

for words in json.loads(sys.argv[1]):
    sys.argv = ["sigmae", *words]
    try:
        main()
    except SystemExit as ended:
        assert ended.code == 0, words
"""


def made(folder, salt, *commands):
    """The files that commands leave in a folder of their own, in a process with other hashes and generators."""
    folder.mkdir()
    environment = {"PYTHONHASHSEED": str(salt), "SIGMAE_CACHE": str(folder / "kept"), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)],
        cwd=folder, env=os.environ | environment, check=True, capture_output=True, timeout=ranks.PATIENCE,
    )  # fmt: skip
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): timeless(path, str(folder).encode()) for path in files}


def timeless(path, folder):
    """What a file holds, but for the times that something took, and for where it lies."""
    match path.suffixes:
        case [".jsonl"]:
            return [json.loads(line) | {"seconds": 0} for line in path.read_text().splitlines()]
        case [".safetensors"] if path.parent.name == "checkpoints":
            tensors, record = load_tensors(path)
            for epoch in (record["progress"], *record["progress"]["history"]):
                epoch["seconds"] = 0
            return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()} | {"record": record}
    return path.read_bytes().replace(folder, b"")


def everything(seed):
    """Commands that train, evaluate and sample by all that is drawn: features, noise, points, densities, metrics."""
    own = ("--seed", str(seed))
    few = ("--limit", "120", "--latent-dim", "3", "--epochs", "2", "--batch-size", "40")
    return (
        ("train", "digits", "--method", "uae", *few, "--features", "classifier", "--out", "run", *own),
        ("evaluate", "run", "--points", "10", "--densities", "gaussian", "gmm3", "second-stage2", "flow", *own),
        ("sample", "run", "--count", "4", "--density", "second-stage2", "--out", "samples.npy", *own),
        ("sample", "run", "--count", "4", "--density", "flow", "--out", "samples.png", *own),
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The files of all commands: twice with one seed, and with another."""
    root = tmp_path_factory.mktemp("seeds")
    return [made(root / str(salt), salt, *everything(seed)) for salt, seed in ((1, 0), (2, 0), (3, 1))]


@pytest.mark.slow
@pytest.mark.promise(GROUP, SAME)
def test_two_processes_write_the_same_files(folders, record_property):
    first, again, _ = folders
    record_property("tried", len(first))
    assert [name for name in first if first[name] != again.get(name)] == []
    assert first.keys() == again.keys()
    assert {"samples.npy", "samples.png", "run/report.html", "run/model.safetensors"} <= first.keys()
    assert {"run/densities.safetensors", "run/evaluation.json", "run/environment.json"} <= first.keys()
    assert len([name for name in first if name.startswith("run/figures/")]) > 12


@pytest.mark.slow
@pytest.mark.promise(GROUP, "Another seed makes other weights, densities, samples, numbers and pictures.")
def test_another_seed_writes_others(folders, record_property):
    first, _, other = folders
    kept = ("run/figures/", "run/model", "run/densities", "run/evaluation", "run/metrics", "samples")
    names = [name for name in first if name.startswith(kept)]
    record_property("tried", len(names))
    assert [name for name in names if first[name] == other.get(name)] == []
    features = [name for name in first if re.search("features/classifier-[0-9a-f]{32}", name)]
    assert len(features) == 1
    assert [first[name] for name in features] == [other[name] for name in features]  # one yardstick for all seeds


@pytest.mark.slow
@pytest.mark.promise(GROUP, "Every method trains to the same bits again, in another process.")
def test_every_method_is_a_function_of_its_seed(tmp_path, record_property):
    names = [name for name, method in recipes.METHODS.items() if method.network is None]
    record_property("tried", len(names))
    (first,) = ranks.launch(tmp_path, 1, "trajectories", 3, *names, PYTHONHASHSEED="1")
    (again,) = ranks.launch(tmp_path, 1, "trajectories", 3, *names, PYTHONHASHSEED="2")
    assert [name for name in names if first[name] != again[name]] == []


def blank(method="vae", seed=0, **options):
    """A method's model before training, its loop, and the data."""
    settings = TrainingConfig(batch_size=20, seed=seed, epochs=1)
    model = plan(ranks.blobs(), method, training=settings, **SMALL, **options).model
    return Loop(model, ranks.blobs(), settings, None, lambda report: None, make_fabric(device="cpu"))


def flat(tensors):
    return torch.cat([tensor.detach().double().flatten() for tensor in tensors])


def codes():
    return torch.randn(60, 2, generator=torch.Generator().manual_seed(0))


def noise(seed):
    """What the first step draws."""
    loop = blank(seed=seed)
    reseed(loop.noise_seed())
    return torch.randn(100)


def trained(seed, method="vae"):
    loop = blank(method, seed)
    train(loop.model, loop.data, loop.config, fabric=loop.fabric)
    return flat(loop.model.state_dict().values())


DRAWING = ("fid", "memorisation", "elbo", "log_likelihood", "aggregate_divergence", "energy_distance", "holes")


def numbers(model, seed, *metrics):
    """The numbers of some metrics, by what they are and what they are of."""
    found = evaluate(model, ranks.blobs(), random_features(1), metrics=metrics, points=5, count=20, seed=seed)
    return {(row.metric, row.of): row.value for row in found.rows}


@pytest.fixture(scope="module")
def model():
    """A small model of the blobs with its densities."""
    return sigmae.fit(ranks.blobs(), "vae", epochs=1, batch_size=20, device="cpu", **SMALL)


ASPECTS = {
    "weights": lambda seed: flat(blank(seed=seed).model.parameters()),
    "order": lambda seed: next(blank(seed=seed).batches()),
    "noise": noise,
    "training": trained,
    "sigma points": lambda seed: trained(seed, "ut-vae-w2"),
    "bank": lambda seed: trained(seed, "avae"),
    "interpolations": lambda seed: between(codes(), 10, seed, random=True),
    "gmm3": lambda seed: flat(density_tensors(fit_density("gmm3", codes(), seed=seed)).values()),
    "second stage": lambda seed: flat(density_tensors(fit_density("second-stage2", codes(), seed=seed)).values()),
    "flow": lambda seed: flat(density_tensors(fit_density("flow", codes(), seed=seed)).values()),
}


def generators():
    """The states of the generators that everyone shares; nothing here draws from Python's own."""
    kind, keys, *rest = np.random.get_state()
    return torch.get_rng_state().tolist(), (kind, keys.tolist(), *rest)


def stir(salt):
    torch.manual_seed(salt), np.random.seed(salt)


@pytest.mark.promise(GROUP, "Weights, order, noise, points, banks, densities and pairs follow the seed, and it alone.")
@pytest.mark.parametrize("aspect", ASPECTS)
def test_each_follows_the_seed_and_it_alone(aspect):
    found = []
    for salt, seed in ((1, 0), (2, 0), (1, 1)):
        stir(salt)
        found.append(ASPECTS[aspect](seed))
    first, again, other = found
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.promise(GROUP, "Metrics and pictures that draw follow the seed, and it alone.")
@pytest.mark.parametrize("metric", DRAWING)
def test_metrics_follow_the_seed_and_it_alone(model, metric):
    stir(1)
    first = numbers(model, 0, metric)
    stir(2)
    assert numbers(model, 0, metric) == first
    assert numbers(model, 1, metric) != first


def in_a_folder(folder):
    return sigmae.fit(ranks.blobs(), "vae", epochs=1, batch_size=20, device="cpu", out=folder / "run", **SMALL)


def side_by_side(folder):
    loops = [blank(seed=seed) for seed in (0, 1)]
    train_together([loop.model for loop in loops], ranks.blobs(), [loop.config for loop in loops])


CALLS = {
    "fit": lambda model, folder: sigmae.fit(ranks.blobs(), "aae", epochs=1, batch_size=20, device="cpu", **SMALL),
    "fit into a folder": lambda model, folder: in_a_folder(folder),
    "train": lambda model, folder: trained(0, "uae"),
    "train several together": lambda model, folder: side_by_side(folder),
    "save and load": lambda model, folder: [model.save(folder / "model"), sigmae.load(folder / "model")],
    "encode, sample, interpolate": lambda model, folder: [
        model.encode(ranks.blobs().test.images),
        model.sample(8, seed=1),
        model.interpolate(ranks.blobs().test.images[:2], ranks.blobs().test.images[2:4]),
    ],
    "evaluate": lambda model, folder: numbers(model, 0, *DRAWING),
    "train features": lambda model, folder: train_classifier(
        ranks.blobs().train.images, torch.arange(120) % 2, steps=2
    ),
    "load data": lambda model, folder: [load_data("digits"), load_data("sprites")],
}


@pytest.mark.promise(GROUP, ALONE)
@pytest.mark.parametrize("call", CALLS)
def test_generators_of_others_are_left_alone(call, model, tmp_path):
    stir(7)
    before = generators()
    CALLS[call](model, tmp_path)
    assert generators() == before


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder."""
    folder = tmp_path_factory.mktemp("run")
    in_a_folder(folder)
    return folder / "run"


@pytest.mark.promise(GROUP, ALONE)
def test_a_diagnosis_leaves_generators_alone(model, run):
    stir(7)
    before = generators()
    diagnose_run(model, ranks.blobs(), run, features="random")
    assert generators() == before


@pytest.mark.promise(GROUP, "A run records its versions, hardware, threads, command and commit.")
def test_a_run_records_where_it_was_made(run, record_property):
    found = json.loads((run / "environment.json").read_text())
    record_property("tried", len(found))
    packages = {name: version(name) for name in ("torch", "lightning-fabric", "numpy", "scikit-learn", "safetensors")}
    assert found.pop("packages") == {"sigmae": sigmae.__version__, **packages}
    assert found.pop("threads") == torch.get_num_threads()
    assert found.pop("gpu") is None or torch.cuda.is_available()
    assert re.fullmatch(r"[0-9a-f]{12}\+?", found.pop("commit") or "0" * 12)
    assert found.pop("python") == ".".join(map(str, sys.version_info[:3]))
    assert re.fullmatch(r"\w+ \w+", found.pop("system"))
    assert re.search(r", \d+ cores$", found.pop("processor"))
    assert found.pop("command").split()[0] == Path(sys.argv[0]).name
    assert found == {}


SPLITS = {
    "digits": ("7c8f78c6ee555a84", "0f1742ffaddba0b0", "2440e1a5ee9d4464"),
    "sprites": ("e56a1607d1a67fc7", "41b22709a4d6aed6", "de996d63947949c3"),
    "mnist": ("5cf33a59e7f738f7", "4965667b69cbee16", "088a6dfe70a6721d"),
    "cifar10": ("e5d9166e7321e35c", "8f3f71334c355231", "40506c643975817a"),
}
FIXED = "The splits of data sets are fixed: their hashes are those on record."


def hashes(data):
    return tuple(split.fingerprint[:16] for split in (data.train, data.validation, data.test))


@pytest.mark.promise(GROUP, FIXED)
@pytest.mark.parametrize("name", ["digits", "sprites"])
def test_splits_that_come_with_the_library_never_move(name, record_property):
    record_property("tried", 3)
    assert hashes(load_data(name)) == SPLITS[name]


@pytest.mark.promise(GROUP, FIXED)
@pytest.mark.parametrize("name", ["mnist", pytest.param("cifar10", marks=pytest.mark.slow)])
def test_splits_of_published_data_never_move(name, real_data, record_property):
    record_property("tried", 3)
    assert hashes(load_data(name, data_dir=real_data / name)) == SPLITS[name]


class Watch(SquaredNorm):
    """Keeps what it is given, and what is drawn beside it."""

    def measure(self, q, decoded):
        if self.training:
            self.drawn = [*getattr(self, "drawn", []), torch.randn(50_000)[-9:].tolist(), torch.rand(9).tolist()]
        return super().measure(q, decoded)


@pytest.mark.promise(GROUP, BATCHED)
@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_nothing_but_rounding(threads):
    def followed():
        loop = blank(recipes.vae().replace(latent=Watch(0.1)))
        order = [batch.tolist() for batch in loop.batches()]
        progress = train(loop.model, loop.data, loop.config, fabric=loop.fabric)
        return order, loop.model.objective.latent.drawn, progress.history[-1]["train"]

    usual, before = followed(), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        order, drawn, losses = followed()
    finally:
        torch.set_num_threads(before)
    assert order == usual[0]
    assert drawn == usual[1]
    assert losses == pytest.approx(usual[2], rel=1e-5)


@pytest.mark.promise(GROUP, BATCHED)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_codes_do_not_depend_on_how_many_are_encoded_at_once(model, size):
    images = ranks.blobs().train.images
    usual = model.encode(images, 50)
    torch.testing.assert_close(model.encode(images, size), usual, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.reconstruct(images, size), model.reconstruct(images, 50), rtol=1e-5, atol=1e-6)


@pytest.mark.promise(GROUP, BATCHED)
def test_numbers_do_not_depend_on_how_many_are_decoded_at_once(model, monkeypatch):
    usual = numbers(model, 0, *DRAWING)
    monkeypatch.setattr(evaluation_stages, "DECODED_AT_ONCE", 7)
    assert numbers(model, 0, *DRAWING) == pytest.approx(usual, rel=1e-4, abs=1e-5)


@pytest.mark.promise(GROUP, BATCHED)
def test_splits_do_not_depend_on_how_a_folder_is_listed(tmp_path, monkeypatch):
    from PIL import Image

    for number in range(30):
        name = f"{'Aa'[number % 2]}{number}"
        Image.new("L", (4, 4), number).save(tmp_path / f"{name}.png")
    usual, listed = hashes(load_data(tmp_path)), Path.rglob
    for order in (sorted, lambda paths: sorted(paths, reverse=True), lambda paths: sorted(paths, key=hash)):
        monkeypatch.setattr(Path, "rglob", lambda self, pattern, order=order: iter(order(listed(self, pattern))))
        assert hashes(load_data(tmp_path)) == usual


@pytest.mark.slow
@pytest.mark.promise(GROUP, BATCHED)
def test_workers_and_hashes_change_no_table(tmp_path):
    """A study by two workers in one process, and by itself in another, which orders sets in another way."""
    study = ("compare", "digits", "--methods", "rae,vae", "--seeds", "2", "--epochs", "1", "--limit", "60")
    options = (*study, "--latent-dim", "2", "--batch-size", "20", "--features", "random", "--out", "tables", "--runs")
    alone = made(tmp_path / "1", 1, (*options, "runs"))
    shared = made(tmp_path / "2", 2, (*options, "runs", "--on", "processes", "--engine", "workers=2"))
    weights = [name for name in alone if name.endswith(("model.safetensors", "evaluation.json"))]
    assert len(weights) == 8
    assert [name for name in weights if alone[name] != shared[name]] == []
    tables = [name for name in alone if name.startswith("tables/")]
    assert len(tables) == 5
    assert [name for name in tables if alone[name] != shared[name]] == []
