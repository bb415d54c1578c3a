"""Conformance checks for parts, networks, metrics, data sets and methods of one's own.

`check_part` and its kin raise `LawBroken`, an `AssertionError` that names the first law that does not hold, and says
what was got and what to do. `part_checks` and its kin are the same laws one by one, for a parametrized test:

    @pytest.mark.parametrize(("law", "check"), part_checks(MomentMatching))
    def test_moment_matching(law, check):
        check()

Laws that are named in `without` are left out.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from sigmae.evaluation import Row, Stages
from sigmae.networks import Network
from sigmae.objective import Objective
from sigmae.parts import Part
from sigmae.testing import axes, datasets, metrics, networks, objectives, parts
from sigmae.testing.laws import check_all, Checks, checks_of, LawBroken

__all__ = [
    "LawBroken",
    "check_dataset",
    "check_method",
    "check_metric",
    "check_network",
    "check_part",
    "dataset_checks",
    "method_checks",
    "metric_checks",
    "network_checks",
    "part_checks",
]

Metric = str | Callable[[Stages], list[Row]]
Method = str | Objective | Callable[[], Objective]


def check_part(part: Part | Callable[[], Part], *, axis: str | None = None, without: Collection[str] = ()) -> None:
    """Check a part, or what a function makes: alone, in objectives, in training and in a saved model.

    `axis` is where it stands in an objective, for a class that does not tell.
    """
    check_all(part_checks(part, axis=axis, without=without))


def part_checks(part: Part | Callable[[], Part], *, axis: str | None = None, without: Collection[str] = ()) -> Checks:
    """The laws of `check_part`: the name of each, and a function that checks it."""
    trial = parts.part_trial(part, axis)
    laws = [(trial, (*parts.PART, *axes.LAWS[trial.axis])), (trial.whole, objectives.TRAINED)]
    return checks_of(laws, without)


def check_method(method: Method, *, without: Collection[str] = ()) -> None:
    """Check an objective, a function that makes it, or a method's name: in training, and in a saved model."""
    check_all(method_checks(method, without=without))


def method_checks(method: Method, *, without: Collection[str] = ()) -> Checks:
    """The laws of `check_method`: the name of each, and a function that checks it."""
    return checks_of([(objectives.method_trial(method), objectives.METHOD)], without)


def check_network(
    network: str | Network,
    shapes: Sequence[tuple[int, ...]] = networks.SHAPES,
    *,
    without: Collection[str] = (),
    **options: Any,
) -> None:
    """Check a network, or its name, with its options: on examples of those of the `shapes` that it does not refuse."""
    check_all(network_checks(network, shapes, without=without, **options))


def network_checks(
    network: str | Network,
    shapes: Sequence[tuple[int, ...]] = networks.SHAPES,
    *,
    without: Collection[str] = (),
    **options: Any,
) -> Checks:
    """The laws of `check_network`: the name of each, and a function that checks it."""
    return checks_of([(networks.network_trial(network, shapes, options), networks.NETWORK)], without)


def check_metric(
    metric: Metric, *, stages: Callable[[], Sequence[Stages]] | None = None, without: Collection[str] = ()
) -> None:
    """Check a metric, or its name: on a small model with a posterior and on a deterministic one.

    `stages` makes others, where a metric needs them.
    """
    check_all(metric_checks(metric, stages=stages, without=without))


def metric_checks(
    metric: Metric, *, stages: Callable[[], Sequence[Stages]] | None = None, without: Collection[str] = ()
) -> Checks:
    """The laws of `check_metric`: the name of each, and a function that checks it."""
    return checks_of([(metrics.metric_trial(metric, stages), metrics.METRIC)], without)


def check_dataset(source: Any, *, without: Collection[str] = (), **options: Any) -> None:
    """Check what `sigmae.data.load` reads with these options, or the function of a `module:function`."""
    check_all(dataset_checks(source, without=without, **options))


def dataset_checks(source: Any, *, without: Collection[str] = (), **options: Any) -> Checks:
    """The laws of `check_dataset`: the name of each, and a function that checks it."""
    return checks_of([(datasets.dataset_trial(source, options), datasets.DATASET)], without)
