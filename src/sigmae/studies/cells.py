"""Cells: the runs of a study, each in an ordinary run's folder named by the hash of its whole configuration."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Literal

from sigmae.api import configured, Plan, plan
from sigmae.config import RunConfig
from sigmae.conversion import as_json, structure
from sigmae.data import Dataset, load as load_data
from sigmae.data.sources import path_of
from sigmae.errors import unknown
from sigmae.evaluation import POINTS, QUICK, Row, settings_of
from sigmae.files import digest
from sigmae.objective import Objective
from sigmae.report import read_evaluation
from sigmae.runs import (
    evaluate_run,
    evaluation_settings,
    is_evaluated,
    MAY_CHANGE,
    Observers,
    open_run,
    read_measured,
    SILENT,
    train_run,
)
from sigmae.settings import DataConfig, TrainingConfig

OPTIONS = ("network", "latent_dim", "image_size", "limit")


@dataclass(frozen=True)
class Cell:
    """One run of a study: what `sigmae train` is given. `varied` names what differs between its label and others."""

    source: str
    method: str
    latent_dim: int = 16
    network: str | None = None
    settings: tuple[str, ...] = ()
    image_size: int | None = None
    data_dir: str | None = None
    limit: int | None = None
    training: TrainingConfig = field(default_factory=TrainingConfig)
    varied: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The table's row that the cell belongs to."""
        return " ".join([self.method, *self.varied])

    def __str__(self) -> str:
        told = " ".join([self.method, *(self.varied or self.settings)])
        return f"{told} on {self.source}, seed {self.training.seed}"

    @property
    def place(self) -> str:
        """The data as they are seen: results on others cannot be compared."""
        size = "" if self.image_size is None else f" at {self.image_size}"
        part = "" if self.limit is None else f", the first {self.limit:,} of each split"
        return f"{self.source}{size}{part}"

    @property
    def details(self) -> dict[str, str]:
        """What the label stands for."""
        return {"method": self.method, "data": self.place, "settings": " ".join(self.varied)}

    @property
    def data(self) -> Dataset:
        """The data; they are loaded once in a process."""
        return loaded(self.source, self.data_dir, self.image_size, self.limit)

    @property
    def origin(self) -> DataConfig:
        """Where the data come from: a path by its one name, however it was given."""
        return DataConfig(str(path_of(self.source) or self.source), self.data_dir, self.image_size, self.limit)

    @property
    def without_seed(self) -> "Cell":
        """The cell that stands for all that differ from it by their seeds alone."""
        return replace(self, training=replace(self.training, seed=0))

    def config(self) -> RunConfig:
        """The configuration of the run."""
        return self.configured(self.data)[0]

    def configured(self, data: Dataset) -> tuple[RunConfig, Objective]:
        """The configuration that the run has on these data, and its objective."""
        return configured(
            data,
            self.origin,
            self.method,
            latent_dim=self.latent_dim,
            network=self.network,
            settings=self.settings,
            training=self.training,
        )

    def folder(self, runs: Path) -> Path:
        """Where the run lies."""
        return runs / folder_name(self)


@cache
def folder_name(cell: Cell) -> str:
    """The hash of all in a cell's configuration that makes it another run; computed once in a process.

    Files may come to hold other data, so their contents are part of it.
    """
    config = as_json(cell.config())
    if path_of(cell.source):
        data = cell.data
        config["fingerprints"] = [split.fingerprint for split in (data.train, data.validation, data.test)]
    for name in MAY_CHANGE:
        *path, last = name.split(".")
        parent = config
        for step in path:
            parent = parent[step]
        parent.pop(last)
    return digest(json.dumps(config, sort_keys=True).encode())[:16]


@cache
def loaded(source: str, data_dir: str | None, image_size: int | None, limit: int | None) -> Dataset:
    """The data of a study's cells."""
    return load_data(source, data_dir=data_dir, image_size=image_size, limit=limit)


def product_of(
    base: Cell, methods: Sequence[str], variations: Sequence[tuple[str, Sequence[str]]], seeds: Sequence[int]
) -> Iterator[Cell]:
    """A cell for every method, every choice of the varied values, and every seed.

    A variation is the name of a part's or network's setting, of an option (latent_dim, network, lr, ...), or `data`,
    with the values that it takes.
    """
    choices = [[(name.replace("-", "_"), value) for value in values] for name, values in variations]
    for method, choice in product(methods, product(*choices)):
        told = tuple(f"{name}={value}" for name, value in choice if name not in ("data", "image_size"))
        cell = replace(base, method=method, varied=told)
        for name, value in choice:
            cell = varied(cell, name, value)
        for seed in seeds:
            yield replace(cell, training=replace(cell.training, seed=seed))


def varied(cell: Cell, name: str, value: str) -> Cell:
    """The cell with one value changed."""
    name = name.replace("-", "_")
    if "." in name or name in ("posterior", "propagation", "likelihood", "latent", "decoder", "bound"):
        return replace(cell, settings=(*cell.settings, f"{name}={value}"))
    if name == "data":
        return replace(cell, source=value)
    if name in OPTIONS:
        kind = {"network": str}.get(name, int)
        return replace(cell, **{name: structure(value, kind, name)})
    trained = {option.name: option.type for option in fields(TrainingConfig)}
    if name not in trained or name == "seed":
        raise unknown("option to vary", name, ["data", *OPTIONS, *(set(trained) - {"seed"}), "latent.weight"])
    return replace(cell, training=replace(cell.training, **{name: structure(value, trained[name], name)}))


@dataclass(frozen=True)
class Scoring:
    """How the runs of a study are evaluated."""

    metrics: tuple[str, ...] = tuple(QUICK)
    features: str | None = None
    densities: tuple[str, ...] | None = None
    inception_file: str | None = None
    points: int = POINTS
    split: Literal["test", "train"] = "test"
    pictures: tuple[str, ...] = ()


def planned(cell: Cell) -> Plan:
    """The run of a cell before it starts."""
    made = plan(
        cell.data,
        cell.method,
        latent_dim=cell.latent_dim,
        network=cell.network,
        settings=cell.settings,
        training=cell.training,
    )
    return replace(made, config=replace(made.config, data=cell.origin))


def complete(cell: Cell, folder: Path, scoring: Scoring, observers: Observers = SILENT) -> None:
    """Train a cell, or continue it, and compute those of its numbers that are not there yet."""
    if is_complete(cell, folder, scoring):
        return
    made = planned(cell)
    open_run(folder, made.config)
    model = train_run(made.model, made.data, made.config, folder, observers=observers)
    if is_complete(cell, folder, scoring):
        return
    evaluate_run(
        model,
        made.data,
        folder,
        metrics=scoring.metrics,
        features=scoring.features,
        inception_file=None if scoring.inception_file is None else Path(scoring.inception_file),
        densities=scoring.densities,
        points=scoring.points,
        split=scoring.split,
        drawn=scoring.pictures,
        seed=cell.training.seed,
        observers=observers,
    )


def is_complete(cell: Cell, folder: Path, scoring: Scoring) -> bool:
    """Whether a run has all the numbers that are asked for, computed as asked for."""
    if not is_evaluated(folder) or not (folder / "model.safetensors").exists():
        return False
    drawn = read_evaluation(folder / "evaluation.json").get("pictures", [])
    is_drawn = all(picture in drawn for picture in scoring.pictures)
    return is_drawn and measured(cell, folder, scoring).keys() >= set(scoring.metrics)


def measured(cell: Cell, folder: Path, scoring: Scoring) -> dict[str, list[Row]]:
    """What those of the metrics that are asked for found which were computed as asked for, other studies' aside."""
    settings = evaluation_settings(
        cell.data,
        scoring.features,
        scoring.densities,
        points=scoring.points,
        split=scoring.split,
        seed=cell.training.seed,
    )
    known = read_measured(folder)
    return {
        metric: one.rows
        for metric in scoring.metrics
        for one in known
        if (one.metric, one.settings) == (metric, settings_of(metric, settings))
    }


def rows_of(cell: Cell, folder: Path, scoring: Scoring) -> list[Row]:
    """The rows of a study in a run, in the order of its metrics."""
    found = measured(cell, folder, scoring).values()
    return list({(row.metric, row.of): row for rows in found for row in rows}.values())
