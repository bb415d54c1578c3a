"""A run: a folder with everything about one trained model, that the same command continues."""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sigmae import __version__, figures
from sigmae.config import differences, RunConfig
from sigmae.conversion import as_json, structure
from sigmae.data import Dataset, load as load_data
from sigmae.diagnosis import diagnose, Diagnosis
from sigmae.errors import SigmaeError
from sigmae.evaluation import as_records, COUNT, evaluate_stages, Evaluation, pictures, POINTS, Row, Stages
from sigmae.files import read_json, write_atomically, write_bytes, write_json
from sigmae.metrics.features import load_features
from sigmae.metrics.images import to_uint8
from sigmae.model import Autoencoder, load
from sigmae.report import read_evaluation, read_record, write_report
from sigmae.settings import DataConfig
from sigmae.training import Report, train

if TYPE_CHECKING:
    from lightning_fabric import Fabric

DENSITIES = ("gaussian", "gmm10")
MAY_CHANGE = ("sigmae", "citation", "data.data_dir")  # of a run that is continued


@dataclass(frozen=True)
class Observers:
    """Who is told what: steps of training, stages of the rest, and warnings."""

    training: Callable[[Report], None] = lambda report: None
    stage: Callable[[str], None] = lambda stage: None
    warning: Callable[[str], None] = lambda message: None


SILENT = Observers()


def open_run(folder: Path, config: RunConfig) -> None:
    """Create a run's folder, or check that it holds this very run; nothing else is ever overwritten."""
    path = folder / "config.json"
    wanted = as_json(config)
    if path.exists():
        changed = [name for name in differences(read_json(path), wanted) if name not in MAY_CHANGE]
        if changed:
            raise SigmaeError(
                f"{folder} holds another run (different: {', '.join(changed[:4])}); nothing was overwritten: "
                "choose another --out, or repeat that run's own settings to continue it."
            )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SigmaeError(f"{folder} is not empty and holds no run; nothing was overwritten: choose another --out.")
    write_json(path, wanted)
    write_json(folder / "environment.json", environment())


def read_run(folder: Path) -> RunConfig:
    """The configuration of the run in a folder."""
    if not (folder / "config.json").exists():
        raise SigmaeError(f"{folder} holds no run: there is no config.json in it. Make one with sigmae train.")
    config: RunConfig = structure(read_json(folder / "config.json"), RunConfig, str(folder / "config.json"))
    return config


def run_data(folder: Path, data_dir: str | Path | None = None, *, trust: Sequence[str] = ()) -> Dataset:
    """The data set that a run was trained on; a third party's `module:attribute` only if its module is in `trust`."""
    data: DataConfig = read_run(folder).data
    return load_data(data.source, data_dir=data_dir or data.data_dir, image_size=data.image_size, trust=trust)


def train_run(
    model: Autoencoder,
    data: Dataset,
    config: RunConfig,
    folder: Path,
    *,
    fabric: "Fabric | None" = None,
    observers: Observers = SILENT,
) -> Autoencoder:
    """Train, or continue, leave weights and densities in the folder, and return the trained model.

    A run that was trained before is not touched: its model is loaded.
    """
    if all((folder / name).exists() for name in ("model.safetensors", "densities.safetensors")):
        modules = (model.encoder, model.decoder) if config.model.network is None else None
        return load(folder, trust=None, network=modules).to(model.device)
    train(
        model,
        data,
        config.training,
        folder=folder,
        observe=observers.training,
        warn=observers.warning,
        fabric=fabric,
    )
    if fabric is None or fabric.is_global_zero:
        observers.stage("fitting densities")
        fit_densities(model, data, seed=config.training.seed, warn=observers.warning)
        model.save_weights(folder)
    return model


def fit_densities(
    model: Autoencoder, data: Dataset, *, seed: int = 0, warn: Callable[[str], None] = SILENT.warning
) -> None:
    """Fit the prior, what the method means to be sampled, a Gaussian and GMM-10 to the training split's encodings.

    One that these encodings do not admit (they are too few, or all the same) is told to `warn` and left out.
    """
    codes = model.encode(data.train.images)
    for name in dict.fromkeys(("prior", model.default_density, *DENSITIES)):
        try:
            model.fit_density(name, codes, seed=seed)
        except SigmaeError as error:
            warn(f"The density {name} is left out. {error}")


def evaluate_run(
    model: Autoencoder,
    data: Dataset,
    folder: Path,
    *,
    metrics: Sequence[str] | None = None,
    features: str | None = None,
    inception_file: Path | None = None,
    densities: Sequence[str] | None = None,
    count: int = COUNT,
    points: int = POINTS,
    seed: int = 0,
    trust: Sequence[str] | None = None,
    observers: Observers = SILENT,
) -> Evaluation:
    """Evaluate the run in a folder: evaluation.json, figures/ and report.html; returns what was computed now.

    Numbers of the same model that are not computed anew stay. Raises `SigmaeError` where none of `metrics` applies.
    """
    ensure_densities(model, data, densities or (), folder, observers)
    chosen = None
    if data.is_image:
        name = features or default_features(data)
        observers.stage(f"loading the features {name}")
        chosen = load_features(name, data, inception_file=inception_file, device=str(model.device))
    stages = Stages(model, data, chosen, densities, count, points, seed, folder / "cache", observers.stage)
    done = evaluate_stages(stages, metrics, trust)
    if metrics and not done.rows:
        raise SigmaeError(" ".join(f"{name}: {reason}" for name, reason in done.left_out.items()))
    for name, content in pictures(stages, quick=metrics is not None).items():
        write_bytes(folder / "figures" / name, content)
    write_json(folder / "evaluation.json", record_of(done, stages, folder / "evaluation.json"))
    write_report(folder)
    return done


def diagnose_run(
    model: Autoencoder,
    data: Dataset,
    folder: Path,
    *,
    density: str | None = None,
    features: str | None = None,
    inception_file: Path | None = None,
    seed: int = 0,
    observers: Observers = SILENT,
) -> Diagnosis:
    """Why the samples of a run's density (default: the method's own) are bad; writes nothing but its cache."""
    ensure_densities(model, data, [density] if density else [], folder, observers)
    chosen = None
    if data.is_image:
        chosen = load_features(
            features or default_features(data), data, inception_file=inception_file, device=str(model.device)
        )
    stages = Stages(model, data, chosen, seed=seed, folder=folder / "cache", tell=observers.stage)
    history = read_record(folder).history
    return diagnose(stages, read_run(folder), history, run=str(folder), density=density)


def record_of(done: Evaluation, stages: Stages, path: Path) -> dict[str, Any]:
    """What evaluation.json holds: the rows computed now, and those of the same origin that were computed before."""
    origin = {"version": 1, "seed": stages.seed, "sigmae": __version__, "commit": commit(), "weights": stages.weights}
    old: dict[str, Any] = read_evaluation(path) if path.exists() else {}
    if any(old.get(name) != value for name, value in origin.items()):
        old = {}
    rows = {(row["metric"], row["of"]): row for row in [*old.get("rows", []), *as_records(done.rows)]}
    features = {} if stages.features is None else {stages.features.name: getattr(stages.features, "details", {})}
    settings = {
        "features": None if stages.features is None else stages.features.name,
        "densities": None if stages.densities is None else list(stages.densities),
        "count": stages.count,
        "points": stages.points,
    }
    return {
        **origin,
        "density": stages.model.default_density,
        "features": old.get("features", {}) | features,
        "metrics": old.get("metrics", {}) | dict.fromkeys(done.metrics, settings),
        "left_out": {name: why for name, why in old.get("left_out", {}).items() if name not in done.metrics}
        | done.left_out,
        "rows": list(rows.values()),
    }


def sample_run(
    model: Autoencoder,
    folder: Path,
    out: Path,
    *,
    count: int,
    density: str | None = None,
    seed: int = 0,
    data_dir: str | Path | None = None,
    trust: Sequence[str] = (),
    observers: Observers = SILENT,
) -> None:
    """Write samples as a picture (.png) or as an array of floats (.npy)."""
    if out.suffix not in (".png", ".npy"):
        raise SigmaeError(f"Samples are written as .png or .npy, got '{out}'.")
    shape = read_run(folder).model.shape
    if out.suffix == ".png" and len(shape) != 3:
        raise SigmaeError(f"Vectors of {shape[0]} values make no picture: write a .npy file, not '{out}'.")
    name = density or model.default_density
    if name not in model.densities:
        ensure_densities(model, run_data(folder, data_dir, trust=trust), [name], folder, observers)
    images = model.sample(count, density=name, seed=seed)
    if out.suffix == ".npy":
        write_atomically(out, lambda path: save_array(path, images))
    else:
        write_bytes(out, figures.grid(to_uint8(images), columns=min(8, count)))


def save_array(path: Path, images: Tensor) -> None:
    """Write an array in numpy's format."""
    with path.open("wb") as file:
        np.save(file, images.numpy(), allow_pickle=False)


def read_rows(folder: Path) -> list[Row]:
    """The rows of a run's evaluation.json."""
    path = folder / "evaluation.json"
    rows: list[Row] = structure(read_evaluation(path).get("rows"), list[Row], str(path))
    return rows


def is_evaluated(folder: Path) -> bool:
    """Whether the run has its numbers and its report."""
    return (folder / "evaluation.json").exists() and (folder / "report.html").exists()


def ensure_densities(
    model: Autoencoder, data: Dataset, names: Sequence[str], folder: Path, observers: Observers = SILENT
) -> None:
    """Fit the densities of those names that the run does not have yet, and keep them with it."""
    missing = [name for name in names if name not in model.densities]
    if missing:
        seed = read_run(folder).training.seed
        codes, draw = model.encode(data.train.images), model.encoder_draws(data.train.images)
        for name in missing:
            observers.stage(f"fitting the density {name}")
            model.fit_density(name, codes, seed=seed, draw=draw)
        model.save_weights(folder)


def default_features(data: Dataset) -> str:
    """Features that need nothing but the data: a classifier where there are labels."""
    return "classifier" if data.train.labels is not None else "random"


def load_run(folder: Path, *, trust: Sequence[str] = ()) -> Autoencoder:
    """The trained model of a run; one that is not finished is told how to be."""
    read_run(folder)
    if not (folder / "model.safetensors").exists():
        raise SigmaeError(f"The run in {folder} is not finished: repeat its sigmae train command to continue it.")
    return load(folder, trust=trust)


def environment() -> dict[str, Any]:
    """Versions, hardware, command and commit, for the record."""
    packages = ("torch", "lightning-fabric", "numpy", "scikit-learn", "safetensors")
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {"sigmae": __version__, **{name: version(name) for name in packages}},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def processor() -> str:
    """The processor's name and how many of its cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{name or platform.processor()}, {cores} cores"


def commit() -> str | None:
    """The commit of the checkout that this package is run from, with "+" if files were changed."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()
