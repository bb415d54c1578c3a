"""Comparisons: sides that compute the same thing, timed in turn in one process."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from statistics import median, quantiles

Run = Callable[[], object]
CLOCKS: Mapping[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}


@dataclass(frozen=True)
class Comparison:
    """Sides that do the same work, each a function of nothing; the time of `ours` is told as a share of `base`'s.

    `agree` says by how much their results differ, before anything is timed, and must not exceed `tolerance`. `goal`
    is the largest share that is wanted, `floor` the share that arithmetic allows where it is known. A `gauge` measures
    a run in its `unit` in place of the clock.
    """

    name: str
    sides: Mapping[str, Run]
    ours: str
    base: str
    goal: float | None = None
    floor: float | None = None
    agree: Callable[[], float] | None = None
    tolerance: float = 0.0
    about: str = ""
    gauge: Callable[[Run], float] | None = None
    unit: str = "seconds"


@dataclass(frozen=True)
class Outcome:
    """What was measured of every side, round by round, and how far the results are apart."""

    comparison: Comparison
    values: Mapping[str, Sequence[float]]
    difference: float | None

    @property
    def shares(self) -> list[float]:
        """Ours over the base, in every round: what slows a round down slows both."""
        ours, base = self.values[self.comparison.ours], self.values[self.comparison.base]
        return [mine / other for mine, other in zip(ours, base, strict=True)]

    @property
    def share(self) -> float:
        """The median of the shares."""
        return median(self.shares)

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles of the shares."""
        if len(self.shares) < 2:
            return self.share, self.share
        low, _, high = quantiles(self.shares, n=4, method="inclusive")
        return low, high

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        return None if self.comparison.goal is None else self.share <= self.comparison.goal


def measured(comparison: Comparison, *, rounds: int, warmup: int = 2, clock: str = "wall") -> Outcome:
    """Time every side once a round, in an order that turns from round to round, after a check that they agree."""
    difference = None if comparison.agree is None else comparison.agree()
    if difference is not None and not difference <= comparison.tolerance:
        raise AssertionError(
            f"{comparison.name}: the sides differ by {difference:g}, more than {comparison.tolerance:g}; "
            "what does not compute the same is not compared."
        )
    for _ in range(warmup):
        for run in comparison.sides.values():
            run()
    found: dict[str, list[float]] = {name: [] for name in comparison.sides}
    gauge = comparison.gauge or partial(elapsed, CLOCKS[clock])
    gc.collect()
    gc.freeze()  # what is there already is not looked through again between the rounds
    for names in islice(turning(list(comparison.sides)), rounds):
        gc.collect()
        for name in names:
            found[name].append(gauge(comparison.sides[name]))
    gc.unfreeze()
    return Outcome(comparison, found, difference)


def elapsed(now: Callable[[], float], run: Run) -> float:
    """The time of a run."""
    started = now()
    run()
    return now() - started


def turning(names: list[str]) -> Iterator[list[str]]:
    """The names, each time beginning with the next one."""
    while True:
        yield names
        names = [*names[1:], names[0]]
