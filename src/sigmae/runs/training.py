"""A run from its start to a trained model with densities, and samples of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from sigmae import figures
from sigmae.config import RunConfig
from sigmae.data import Dataset
from sigmae.errors import SigmaeError
from sigmae.files import write_atomically, write_bytes
from sigmae.metrics.images import to_uint8
from sigmae.model import Autoencoder, load
from sigmae.runs.folder import is_trained, read_run, run_data
from sigmae.training import Report, train

if TYPE_CHECKING:
    from lightning_fabric import Fabric

DENSITIES = ("gaussian", "gmm10")


@dataclass(frozen=True)
class Observers:
    """Who is told what: steps of training, stages of the rest, and warnings."""

    training: Callable[[Report], None] = lambda report: None
    stage: Callable[[str], None] = lambda stage: None
    warning: Callable[[str], None] = lambda message: None


SILENT = Observers()


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
    if is_trained(folder):
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
    for name in dict.fromkeys(("prior", model.own_density, *DENSITIES)):
        try:
            model.fit_density(name, codes, seed=seed)
        except SigmaeError as error:
            warn(f"The density {name} is left out. {error}")


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
    with path.open("wb") as file:  # behind a plain `write`: on a full disk numpy's own does not say what is wrong
        np.save(SimpleNamespace(write=file.write), images.numpy(), allow_pickle=False)
