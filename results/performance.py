"""The page docs/performance.md, from what the benchmarks left in results/benchmarks*.json.

    make bench
    python results/performance.py

results/benchmarks/NAME.md says by hand what is to be said of a benchmark: what keeps it from its floor or its goal.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from runs import HERE, table

PAGE = HERE.parent / "docs" / "performance.md"
NOTES = HERE / "benchmarks"
Record = Mapping[str, Any]
TITLES = {
    "training_step": "A training step beside a bare loop",
    "precision": "Steps in bfloat16",
    "peers": "Beside pythae",
    "penalty": "Gradient penalties",
    "sampling_free": "Sampling-free steps",
    "sigma_points": "Sigma points of a full covariance",
    "kernel_density": "The kernel density term, and an epoch of AVAE",
    "frechet": "Fréchet distance from features",
    "likelihood": "Likelihood by importance samples",
    "seeds": "Many seeds as one program",
    "compiled": "torch.compile",
    "growth": "Growth",
}
OPENING = """\
# How fast

`make bench` measures all of this, `python -m benchmarks NAME` a part; `python results/performance.py` wrote this page
from `results/benchmarks*.json`. Every number is a share: the time of the first side over that of the second, both run
in turn in one process after a check that they compute the same thing; the median over the rounds, with quartiles. A
*floor* is what arithmetic alone allows, by counted operations."""


def records() -> list[Record]:
    """What was measured, in the order of the page."""
    found = [one for path in sorted(HERE.glob("benchmarks*.json")) for one in json.loads(path.read_text())]
    return sorted(found, key=lambda one: list(TITLES).index(one["benchmark"]))


def circumstances(found: Sequence[Record]) -> str:
    """On what, with what and by which clock."""
    told = {
        f"{one['gpu'] or one['processor']}, {one['threads']} threads, torch {one['torch']}, Python {one['python']}, "
        f"commit {one['commit'][:12]}, {one['clock']} time, {one['rounds']} rounds"
        for one in found
    }
    return "; ".join(sorted(told)) + "."


def share(one: Record) -> str:
    """The median with quartiles."""
    low, high = one["quartiles"]
    return f"{one['share']:.3g} ({low:.3g} to {high:.3g})"


def row(one: Record) -> list[str]:
    """A comparison as a row."""
    goal = "" if one["goal"] is None else f"{one['goal']:.3g}"
    floor = "" if one["floor"] is None else f"{one['floor']:.3g}"
    verdict = {True: "met", False: "**missed**", None: ""}[one["met"]]
    return [one["comparison"], f"{one['ours']} / {one['base']}", share(one), goal, floor, verdict]


def section(name: str, found: Sequence[Record]) -> Iterator[str]:
    """A benchmark: its comparisons, what they are about, and what is to be said."""
    yield f"## {TITLES[name]}"
    if (notes := NOTES / f"{name}.md").exists():
        yield notes.read_text().strip()
    yield table(["comparison", "what over what", "share", "goal", "floor", ""], [row(one) for one in found])
    yield circumstances(found)


def first_report() -> Iterator[str]:
    """From a fresh clone to the first report, where that was measured."""
    path = HERE / "first-report.json"
    if path.exists():
        one = json.loads(path.read_text())
        yield "## From a fresh clone to the first report"
        where = f"{one['processor']}, {one['threads']} threads, commit {one['commit'][:12]}"
        yield f"`python -m benchmarks.first_report`: the parts of `make demo`, once. {where}."
        yield table(["part", "seconds"], [[name, f"{value:.1f}"] for name, value in one["seconds"].items()])


def page(found: Sequence[Record]) -> str:
    """The whole page."""
    wanted = [one for one in found if one["met"] is not None]
    met = sum(one["met"] for one in wanted)
    parts = [OPENING, f"{met} of {len(wanted)} goals are met."]
    for name, group in groupby(found, key=lambda one: str(one["benchmark"])):
        parts += section(name, list(group))
    parts += first_report()
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(records()))
