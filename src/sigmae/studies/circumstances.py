"""Circumstances: how the numbers of a study's runs came about."""

from collections.abc import Iterable
from pathlib import Path

from sigmae.report import read_environment, read_evaluation
from sigmae.report.words import feature_set
from sigmae.studies.cells import Cell, rows_of, Scoring


def circumstances(cells: Iterable[Cell], runs: Path, scoring: Scoring) -> dict[str, str]:
    """Features, sample counts, commits, versions and hardware of complete runs: each of the values that they have."""
    collected: dict[str, dict[str, None]] = {}
    for cell in cells:
        for name, value in facts(cell, cell.folder(runs), scoring).items():
            if value:
                collected.setdefault(name, {})[value] = None
    return {name: ", ".join(values) for name, values in collected.items()}


def facts(cell: Cell, folder: Path, scoring: Scoring) -> dict[str, str]:
    """What is to be said of one run."""
    environment = read_environment(folder / "environment.json")
    evaluation = read_evaluation(folder / "evaluation.json")
    rows = rows_of(cell, folder, scoring)
    counts = sorted({row.count for row in rows})
    packages = environment["packages"]
    return {
        "features": ", ".join(dict.fromkeys(filter(None, (feature_set(row.metric) for row in rows)))),
        "examples in a number": f"{counts[0]:,} to {counts[-1]:,}" if counts else "",
        "trained at commit": str(environment["commit"] or ""),
        "evaluated at commit": str(evaluation.get("commit") or ""),
        "versions": f"sigmae {packages['sigmae']}, torch {packages['torch']}, Python {environment['python']}",
        "hardware": str(environment["gpu"] or "") or f"{environment['processor']}, {environment['threads']} threads",
    }
