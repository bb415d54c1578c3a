"""A run's folder: opened for one configuration, and read again."""

import os
from collections.abc import Sequence
from pathlib import Path

from sigmae.config import differences, RunConfig
from sigmae.conversion import as_json, structure
from sigmae.data import Dataset, load as load_data
from sigmae.errors import SigmaeError
from sigmae.evaluation import Measured, Row
from sigmae.files import PART, read_json, refuse_links, remove_parts, write_json
from sigmae.model import Autoencoder, load
from sigmae.report import read_evaluation
from sigmae.runs.environment import environment
from sigmae.settings import DataConfig

MAY_CHANGE = ("sigmae", "citation", "data.data_dir", "training.compile")  # of a run that is continued


def open_run(folder: Path, config: RunConfig) -> None:
    """Create a run's folder, or check that it holds this very run; nothing else is ever overwritten."""
    path = folder / "config.json"
    wanted = as_json(config)
    if path.exists():
        changed = [name for name in differences(as_json(read_run(folder)), wanted) if name not in MAY_CHANGE]
        if changed:
            raise SigmaeError(
                f"{folder} holds another run (different: {', '.join(changed[:4])}); nothing was overwritten: "
                "choose another --out, or repeat that run's own settings to continue it."
            )
    else:
        if folder.exists() and not (folder.is_dir() and all(PART.fullmatch(one.name) for one in folder.iterdir())):
            raise SigmaeError(f"{folder} is not empty and holds no run; nothing was overwritten: choose another --out.")
        write_json(path, wanted)
    if not (folder / "environment.json").exists():
        write_json(folder / "environment.json", environment())
    remove_parts(folder)


def read_run(folder: Path) -> RunConfig:
    """The configuration of the run in a folder; one with links that leave it is refused."""
    refuse_links(folder)
    if not (folder / "config.json").exists():
        raise SigmaeError(f"{folder} holds no run: there is no config.json in it. Make one with sigmae train.")
    config: RunConfig = structure(read_json(folder / "config.json"), RunConfig, str(folder / "config.json"))
    return config


def run_data(folder: Path, data_dir: str | Path | None = None, *, trust: Sequence[str] = ()) -> Dataset:
    """The data set that a run was trained on; a third party's `module:attribute` only if its module is in `trust`."""
    data: DataConfig = read_run(folder).data
    place = data_dir or data.data_dir
    return load_data(data.source, data_dir=place, image_size=data.image_size, limit=data.limit, trust=trust)


def read_rows(folder: Path) -> list[Row]:
    """The rows of a run's evaluation.json."""
    path = folder / "evaluation.json"
    rows: list[Row] = structure(read_evaluation(path).get("rows"), list[Row], str(path))
    return rows


def read_measured(folder: Path) -> list[Measured]:
    """The rows that every metric of a run's evaluation.json found with every choice of settings; none in old files."""
    path = folder / "evaluation.json"
    measured: list[Measured] = structure(read_evaluation(path).get("measured", []), list[Measured], str(path))
    return measured


def is_evaluated(folder: Path) -> bool:
    """Whether the run has its numbers and its report."""
    return (folder / "evaluation.json").exists() and (folder / "report.html").exists()


def is_trained(folder: Path) -> bool:
    """Whether the run has its weights and densities."""
    return (folder / "model.safetensors").exists() and (folder / "densities.safetensors").exists()


def check_writable(folder: Path) -> None:
    """Refuse a folder that this process may not write to, before hours of work for it."""
    if not os.access(folder, os.W_OK):
        raise SigmaeError(f"{folder} may not be written to: copy it to where you may write, and name that.")


def load_run(folder: Path, *, trust: Sequence[str] = ()) -> Autoencoder:
    """The trained model of a run; one that is not finished is told how to be."""
    read_run(folder)
    if not is_trained(folder):
        raise SigmaeError(f"The run in {folder} is not finished: repeat its sigmae train command to continue it.")
    return load(folder, trust=trust)
