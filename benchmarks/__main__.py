"""`python -m benchmarks [NAME ...]`: run benchmarks, print shares, and write them to results/benchmarks.json."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.comparison import CLOCKS, Comparison, measured, Outcome
from sigmae.runs import environment

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks.json"
OTHERS = ("comparison", "first_report", "memory", "steps")  # modules that measure nothing
NAMES = tuple(sorted({path.stem for path in Path(__file__).parent.glob("[a-z]*.py")} - set(OTHERS)))
Make = Callable[[bool], Iterator[Comparison]]


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    names: list[str]
    toy: bool
    rounds: int
    warmup: int
    clock: str
    only: str
    out: Path


def comparisons(name: str, toy: bool) -> Iterator[Comparison]:
    """The comparisons of a benchmark: its module has a function of that name, which is told whether to be a toy."""
    make: Make = import_module(f"benchmarks.{name}").comparisons
    return make(toy)


def record(name: str, outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON-like data."""
    low, high = outcome.spread
    return {
        "benchmark": name,
        "comparison": outcome.comparison.name,
        "about": outcome.comparison.about,
        "ours": outcome.comparison.ours,
        "base": outcome.comparison.base,
        "share": outcome.share,
        "quartiles": [low, high],
        "goal": outcome.comparison.goal,
        "floor": outcome.comparison.floor,
        "met": outcome.met,
        "difference": outcome.difference,
        "tolerance": outcome.comparison.tolerance,
        "unit": outcome.comparison.unit,
        "medians": {side: median(values) for side, values in outcome.values.items()},
        "rounds": len(outcome.shares),
    }


def machine() -> dict[str, Any]:
    """On what and with what this runs."""
    known = environment()
    names = ("commit", "processor", "threads", "gpu", "python")
    return {name: known[name] for name in names} | {"torch": known["packages"]["torch"]}


def line(name: str, outcome: Outcome) -> str:
    """An outcome in a line."""
    low, high = outcome.spread
    goal = outcome.comparison.goal
    wanted = "" if goal is None else f", goal {goal:g}: {'met' if outcome.met else 'missed'}"
    sides = f"{outcome.comparison.ours} / {outcome.comparison.base}"
    return f"{name} | {outcome.comparison.name} | {sides} {outcome.share:.3f} ({low:.3f} to {high:.3f}){wanted}"


def parsed(arguments: list[str]) -> Options:
    """The options of a command line."""
    parser = ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *NAMES], help="benchmarks; all if none is named")
    parser.add_argument("--toy", action="store_true", help="sizes that show that all works; nothing is written")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--warmup", type=int, default=2, help="rounds before those that count")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="processor time where others work beside")
    parser.add_argument("--only", default="", help="comparisons whose names hold this; the others' numbers stay")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return Options(**vars(parser.parse_args(arguments)))


def main(arguments: list[str]) -> None:
    """Run what is asked for, and keep each number as soon as it is there."""
    options = parsed(arguments)
    chosen = options.names or list(NAMES)
    rounds, warmup = (1, 0) if options.toy else (options.rounds, options.warmup)
    for name in chosen:
        found: list[dict[str, Any]] = []
        for comparison in comparisons(name, options.toy):
            if options.only not in comparison.name:
                continue
            outcome = measured(comparison, rounds=rounds, warmup=warmup, clock=options.clock)
            print(line(name, outcome), flush=True)
            found.append(record(name, outcome) | {"clock": options.clock} | machine())
            if not options.toy:
                keep(options.out, name, found, whole=not options.only)


def keep(path: Path, name: str, found: list[dict[str, Any]], *, whole: bool = True) -> None:
    """Write what a benchmark found in place of all that it found before, or of the same comparisons alone."""
    old: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    new = {one["comparison"]: one for one in found}
    if not whole:  # in the old order
        before = [one for one in old if one["benchmark"] == name]
        new = {one["comparison"]: new.get(one["comparison"], one) for one in before} | new
    others = [one for one in old if one["benchmark"] != name]
    path.write_text(json.dumps(sorted([*others, *new.values()], key=lambda one: one["benchmark"]), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
