"""Checks: names by which no run of a study could be scored, and no table made, are refused before runs are made."""

import re
from collections.abc import Sequence
from pathlib import Path

from sigmae.densities import DENSITIES, FITS
from sigmae.errors import SigmaeError, unknown
from sigmae.evaluation import metric_function, METRICS
from sigmae.evaluation.pictures import GRIDS, QUICK_GRIDS
from sigmae.metrics.features import FEATURES
from sigmae.plugins import resolve
from sigmae.report.words import feature_set, metric_kind
from sigmae.runs import default_features
from sigmae.studies.cells import Cell, Scoring
from sigmae.studies.table import OWN

COMPARED = ("fid", "kid", "prd", "precision_recall")  # metrics of everything that is generated
GENERATED = ("reconstructions", "interpolations", "random-interpolations", OWN)  # and the densities
ROWS = {  # what the rows of a metric are called, before their features, where that is not its own name
    "prd": ("f8_recall", "f1_8_precision"),
    "precision_recall": ("precision", "recall", "density", "coverage"),
    "memorisation": ("nearer_than_held_out", "copies"),
    "log_likelihood": ("log_likelihood", "nll_without_constant", "effective_samples"),
    "entropy": ("entropy-floored", "entropy-leave-one-out", "entropy-nearest-neighbour"),
    "collapse": ("collapsed", "kl", "latent_kl"),
    "holes": ("holes", "farther_than_held_out"),
    "smoothness": ("jacobian_norm", "els", "expected_gap"),
    "taylor": ("variance_correlation", "covariance_error", "overestimation"),
    "gradient_variance": ("gradient_variance", "gradient_norm"),
    "disentanglement": (
        *("mig", "factor_vae", "pca_mig", "pca_factor_vae", "least_angle"),
        *("dci-disentanglement", "dci-completeness", "dci-informativeness"),
    ),
}


def check_scoring(scoring: Scoring) -> None:
    """Refuse what no run could be scored by."""
    for name in scoring.metrics:
        metric_function(name)
    if scoring.features:
        resolve("features", scoring.features, FEATURES)
    for name in scoring.densities or ():
        if not is_density(name):
            raise unknown("density", name, DENSITIES)
    for name in scoring.pictures:
        if name not in (drawn := {**QUICK_GRIDS, **GRIDS}):
            raise unknown("picture", name, drawn)
    if (file := scoring.inception_file) and not Path(file).is_file():
        raise SigmaeError(f"There is no file {file} with the Inception network: name inception-2015-12-05.pt.")
    if scoring.points < 1:
        raise SigmaeError(f"An evaluation needs 1 point or more, got {scoring.points}.")


def is_density(name: str) -> bool:
    """Whether a density of that name can be fitted."""
    return any(re.fullmatch(pattern, name) for pattern in FITS)


def check_columns(names: Sequence[str], scoring: Scoring, cells: Sequence[Cell]) -> None:
    """Refuse columns for which the chosen metrics have no number; a third party's may have any."""
    if any(":" in name for name in [*scoring.metrics, scoring.features or ""]):
        return
    metrics = {kind: name for name in METRICS for kind in ROWS.get(name, (name,))}
    known = [kind for kind, name in metrics.items() if name in scoring.metrics]
    features = {scoring.features or default_features(cell.data) for cell in cells if cell.data.is_image}
    densities = scoring.densities or tuple(DENSITIES)
    for name in names:
        metric, _, of = name.partition(":")
        kind, own = metric_kind(metric), feature_set(metric)
        if kind not in metrics:
            raise unknown("column", name, known)
        if kind not in known:
            raise SigmaeError(f"The column '{name}' is of the metric {metrics[kind]}: name that among the metrics too.")
        if own and features and own not in features:
            raise unknown("column", name, [f"{kind}-{other}" for other in features])
        fits = of in densities or (not scoring.densities and is_density(of))
        if of and metrics[kind] in COMPARED and of not in GENERATED and not fits:
            raise unknown("column", name, [f"{metric}:{other}" for other in (*GENERATED, *densities)])
