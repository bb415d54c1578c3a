"""Checks: names by which no run of a study could be scored, and no table made, are refused before runs are made."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from sigmae.densities import DENSITIES, FITS
from sigmae.errors import SigmaeError, unknown
from sigmae.evaluation import METRICS
from sigmae.evaluation.catalogue import DENSITY, metric_function
from sigmae.evaluation.pictures import GRIDS, QUICK_GRIDS
from sigmae.metrics.features import FEATURES
from sigmae.plugins import resolve
from sigmae.report.words import feature_set, metric_kind
from sigmae.runs import default_features
from sigmae.studies.cells import Cell, Scoring
from sigmae.studies.table import OWN


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
    metrics = {kind: name for name, metric in METRICS.items() for kind in metric.rows}
    known = [kind for kind, name in metrics.items() if name in scoring.metrics]
    features = {scoring.features or default_features(cell.data) for cell in cells if cell.data.is_image}
    for name in names:
        metric, _, of = name.partition(":")
        kind, own = metric_kind(metric), feature_set(metric)
        if kind not in metrics:
            raise unknown("column", name, known)
        if kind not in known:
            raise SigmaeError(f"The column '{name}' is of the metric {metrics[kind]}: name that among the metrics too.")
        if own and features and own not in features:
            raise unknown("column", name, [f"{kind}-{other}" for other in features])
        forms = METRICS[metrics[kind]].rows[kind]
        if of and not any(can_be(of, form, scoring) for form in forms):
            told = [other for form in forms for other in ((*densities(scoring), OWN) if form == DENSITY else (form,))]
            raise unknown("column", name, [f"{metric}:{other}" for other in told])


def can_be(of: str, form: str, scoring: Scoring) -> bool:
    """Whether a row can be of that."""
    if form != DENSITY:
        return fnmatchcase(of, form)
    return of in (*densities(scoring), OWN) or (not scoring.densities and is_density(of))


def densities(scoring: Scoring) -> Sequence[str]:
    """Those that are sampled: the chosen ones, or any."""
    return scoring.densities or tuple(DENSITIES)
