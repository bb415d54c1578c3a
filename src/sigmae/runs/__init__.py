"""A run: a folder with everything about one trained model, that the same command continues."""

from sigmae.runs.environment import commit, environment, processor
from sigmae.runs.evaluation import default_features, diagnose_run, evaluate_run, evaluation_settings
from sigmae.runs.folder import (
    is_evaluated,
    load_run,
    MAY_CHANGE,
    open_run,
    read_measured,
    read_rows,
    read_run,
    run_data,
)
from sigmae.runs.run import Run
from sigmae.runs.training import ensure_densities, fit_densities, Observers, sample_run, SILENT, train_run

__all__ = [
    "MAY_CHANGE",
    "SILENT",
    "Observers",
    "Run",
    "commit",
    "default_features",
    "diagnose_run",
    "ensure_densities",
    "environment",
    "evaluate_run",
    "evaluation_settings",
    "fit_densities",
    "is_evaluated",
    "load_run",
    "open_run",
    "processor",
    "read_measured",
    "read_rows",
    "read_run",
    "run_data",
    "sample_run",
    "train_run",
]
