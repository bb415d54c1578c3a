"""The evaluation and the diagnosis of a run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from sigmae import __version__
from sigmae.data import Dataset
from sigmae.diagnosis import diagnose, Diagnosis
from sigmae.errors import SigmaeError
from sigmae.evaluation import (
    as_records,
    COUNT,
    evaluate_stages,
    Evaluation,
    Measured,
    pictures,
    POINTS,
    settings_of,
    Stages,
)
from sigmae.files import write_bytes, write_json
from sigmae.metrics.features import load_features
from sigmae.metrics.named import NamedFeatures
from sigmae.model import Autoencoder
from sigmae.report import read_evaluation, read_record, write_report
from sigmae.runs.environment import commit
from sigmae.runs.folder import check_writable, read_measured, read_run
from sigmae.runs.training import ensure_densities, Observers, SILENT

STAND_IN = "here the training split stands in for the test split"


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
    split: Literal["test", "train"] = "test",
    seed: int = 0,
    drawn: Sequence[str] = (),
    trust: Sequence[str] | None = None,
    observers: Observers = SILENT,
) -> Evaluation:
    """Evaluate the run in a folder: evaluation.json, figures/ and report.html; returns what was computed now.

    With `split` "train", the training split stands in for the test split, and the rows say so. All pictures are
    drawn if all metrics are computed, else the quick ones and those `drawn`. Numbers of the same model that are not
    computed anew stay. Raises `SigmaeError` where none of `metrics` applies.
    """
    check_writable(folder)
    ensure_densities(model, data, densities or (), folder, observers)
    chosen = chosen_features(model, data, features, inception_file, observers)
    scored = replace(data, test=data.train) if split == "train" else data
    stages = Stages(model, scored, chosen, densities, count, points, seed, folder / "cache", observers.stage)
    done = evaluate_stages(stages, metrics, trust)
    if split == "train":
        told = {
            metric: [replace(row, protocol=f"{row.protocol}; {STAND_IN}") for row in rows]
            for metric, rows in done.found.items()
        }
        done = replace(done, found=told)
    if metrics and not done.rows:
        raise SigmaeError(" ".join(f"{name}: {reason}" for name, reason in done.left_out.items()))
    for name, content in pictures(stages, quick=metrics is not None, also=drawn).items():
        write_bytes(folder / "figures" / name, content)
    settings = evaluation_settings(data, features, densities, count, points, split, seed)
    write_json(folder / "evaluation.json", record_of(done, stages, folder, settings, drawn))
    write_report(folder)
    return done


def evaluation_settings(
    data: Dataset,
    features: str | None = None,
    densities: Sequence[str] | None = None,
    count: int = COUNT,
    points: int = POINTS,
    split: Literal["test", "train"] = "test",
    seed: int = 0,
) -> dict[str, Any]:
    """The settings of `evaluate_run` as evaluation.json keeps them, features by their name."""
    return {
        "features": (features or default_features(data)) if data.is_image else None,
        "densities": None if densities is None else list(densities),
        "count": count,
        "points": points,
        "split": split,
        "seed": seed,
    }


def record_of(
    done: Evaluation, stages: Stages, folder: Path, settings: Mapping[str, Any], drawn: Sequence[str]
) -> dict[str, Any]:
    """What evaluation.json holds: what was computed now, and what was before with the same weights and version.

    `rows` are the latest ones of this seed; `measured` are those of every choice of settings, metric by metric.
    """
    path = folder / "evaluation.json"
    origin = {"version": 1, "sigmae": __version__, "commit": commit(), "weights": stages.weights}
    old: dict[str, Any] = read_evaluation(path) if path.exists() else {}
    if any(old.get(name) != value for name, value in origin.items()):
        old = {}
    before = read_measured(folder) if old else []
    new = [Measured(metric, settings_of(metric, settings), rows) for metric, rows in done.found.items()]
    measured = {json.dumps([one.metric, one.settings], sort_keys=True): asdict(one) for one in [*before, *new]}
    if old.get("seed") != stages.seed:
        old = {}
    rows = {(row["metric"], row["of"]): row for row in [*old.get("rows", []), *as_records(done.rows)]}
    features = {} if stages.features is None else {stages.features.name: getattr(stages.features, "details", {})}
    return {
        **origin,
        "seed": stages.seed,
        "density": stages.model.own_density,
        "features": old.get("features", {}) | features,
        "metrics": old.get("metrics", {}) | dict.fromkeys(done.metrics, settings),
        "pictures": sorted({*old.get("pictures", []), *drawn}),
        "left_out": {name: why for name, why in old.get("left_out", {}).items() if name not in done.metrics}
        | done.left_out,
        "rows": list(rows.values()),
        "measured": list(measured.values()),
    }


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
    chosen = chosen_features(model, data, features, inception_file, observers)
    stages = Stages(model, data, chosen, seed=seed, folder=folder / "cache", tell=observers.stage)
    history = read_record(folder).history
    return diagnose(stages, read_run(folder), history, run=str(folder), density=density)


def chosen_features(
    model: Autoencoder, data: Dataset, name: str | None, inception_file: Path | None, observers: Observers
) -> NamedFeatures | None:
    """The features of that name, or the data's usual ones, where the model is; None for data that are not images."""
    if not data.is_image:
        return None
    name = name or default_features(data)
    observers.stage(f"loading the features {name}")
    return load_features(name, data, inception_file=inception_file, device=str(model.device))


def default_features(data: Dataset) -> str:
    """Features that need nothing but the data: a classifier where there are labels."""
    return "classifier" if data.train.labels is not None else "random"
