"""What the scripts of this folder share: commands, the numbers of a run, and how tables are written."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from textwrap import fill
from typing import Any

HERE = Path(__file__).parent


def sigmae(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `sigmae` with these words."""
    return subprocess.run([sys.executable, "-m", "sigmae", *words], text=True, **options)


def numbers(folder: Path) -> dict[tuple[str, str], float]:
    """What a run's evaluation found, by metric and what it is of; nothing where there is none."""
    path = folder / "evaluation.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    return {(row["metric"], row["of"]): row["value"] for row in rows}


def write_csv(name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table of one number a row, beside the scripts."""
    with (HERE / name).open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(cells)} |" for cells in [header, *rows]]
    return "\n".join([lines[0], "|---" * len(header) + "|", *lines[1:]])


def entries(*texts: str) -> str:
    """A list in Markdown, the lines of each entry broken anew."""
    return "\n".join(fill(f"- {' '.join(text.split())}", 120, subsequent_indent="  ") for text in texts)


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """Mean and standard deviation."""
    return f"{mean(values):{form}}" + (f" ± {stdev(values):{form}}" if len(values) > 1 else "")


def made_with(folder: Path) -> str:
    """Commit, versions and hardware of a run."""
    environment = json.loads((folder / "environment.json").read_text())
    packages = environment["packages"]
    return f"""\
Commit {environment["commit"]}, sigmae {packages["sigmae"]}, torch {packages["torch"]};
{environment["processor"]}, {environment["threads"]} thread a run."""
