"""Statistics over seeds: summaries, ranks, paired tests, and in which direction a metric is better."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from sigmae.errors import SigmaeError
from sigmae.report.words import metric_kind

Direction = Literal["lower", "higher"]
Values = Mapping[int, float]
"""A metric of one row of a table, by seed."""

LEAST_PAIRS = 3
DIRECTIONS: Mapping[str, Direction] = {
    **dict.fromkeys(("squared_error", "fid", "kid", "nll", "nll_without_constant", "covariance_error"), "lower"),
    **dict.fromkeys(("precision", "recall", "density", "coverage", "f8_recall", "f1_8_precision"), "higher"),
    **dict.fromkeys(("elbo", "trained_bound", "log_likelihood", "linearized_log_likelihood"), "higher"),
    **dict.fromkeys(("variance_correlation", "mig", "factor_vae", "pca_mig", "pca_factor_vae"), "higher"),
    **dict.fromkeys(("dci-disentanglement", "dci-completeness", "dci-informativeness"), "higher"),
}


@dataclass(frozen=True)
class Summary:
    """The mean of `count` values and their standard deviation (by n - 1); None for one value, which has none."""

    mean: float
    deviation: float | None
    count: int


def direction(metric: str) -> Direction | None:
    """Which values of a metric are better, whatever its features; None where neither the low nor the high ones are.

    Entropies, mutual information, collapse, smoothness and what is best in between (`holes`, `overestimation`)
    describe a model and do not judge it. Nor are numbers judged that are not ours.
    """
    return DIRECTIONS.get(metric_kind(metric))


def summary(values: Iterable[float]) -> Summary:
    """Mean and standard deviation; raises `SigmaeError` for no values."""
    known = list(values)
    if not known:
        raise SigmaeError("A mean needs one value or more, got none: give the values of one seed or more.")
    return Summary(fmean(known), stdev(known) if len(known) > 1 else None, len(known))


def paired_test(values: Values, best: Values) -> float | None:
    """The two-sided p-value of Student's paired t-test over the seeds that both have; None for fewer than three.

    Small where the differences agree among themselves more than chance makes them. It takes the differences for
    normal, and misleads in two ways: a few seeds find large differences only, and the best of many was chosen by these
    very values, which makes p too small. Wilcoxon's signed ranks, which take nothing for normal, are no way out: the
    smallest p that five pairs can have is 2 / 2⁵ = 0.0625, so that five seeds could never tell two methods apart.
    """
    differences = [values[seed] - best[seed] for seed in sorted(values.keys() & best.keys())]
    if len(differences) < LEAST_PAIRS:
        return None
    mean, deviation = fmean(differences), stdev(differences)
    if deviation == 0:  # the limits, where t is not finite or not defined
        return 0.0 if mean else 1.0
    from scipy.stats import t

    return float(2 * t.sf(abs(mean) / (deviation / len(differences) ** 0.5), len(differences) - 1))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """The p-values of several tests, corrected for their number (Holm 1979, "A simple sequentially rejective ...").

    Calling those below 0.05 different is then wrong about any of them in at most 5 % of tables, however the tests
    depend on one another. The k-th smallest of n is multiplied by n - k + 1; none is left below a smaller one's.
    """
    corrected, least = {}, 0.0
    for before, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - before) * p_values[name]))
        corrected[name] = least
    return {name: corrected[name] for name in p_values}


def mean_ranks(values: Mapping[str, Values], better: Direction) -> dict[str, float]:
    """Each row's rank within a seed, 1 the best, as the mean over the seeds that all rows have; equal ones share ranks.

    Empty for one row, and where no seed is common to all: ranks among different rows cannot be compared.
    """
    common = set.intersection(*map(set, values.values())) if len(values) > 1 else set()
    if not common:
        return {}
    from scipy.stats import rankdata

    sign = 1 if better == "lower" else -1
    ranks = [rankdata([sign * row[seed] for row in values.values()]) for seed in sorted(common)]
    return {
        label: fmean(map(float, of_label)) for label, of_label in zip(values, zip(*ranks, strict=True), strict=True)
    }
