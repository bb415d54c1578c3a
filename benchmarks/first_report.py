"""`python -m benchmarks.first_report`: from a fresh clone to the first report, and where the time goes.

Clones the repository into a folder of its own, sets it up and trains as `make demo` does, takes the time of each part,
and writes results/first-report.json. What was not committed is not in the clone.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.__main__ import machine

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "first-report.json"
Command = Sequence[str]


def demo(clone: Path) -> dict[str, Command]:
    """The parts of `make demo`, up to its report; the imports are a part of training too, and shown beside it."""
    binaries = clone / ".venv" / "bin"
    python = str(binaries / "python")
    train = f"{binaries}/sigmae train digits --method rae-l2 --epochs 200 --out runs/demo"
    return {
        "clone": ["git", "clone", "-q", str(ROOT), str(clone)],
        "virtual environment": [sys.executable, "-m", "venv", str(clone / ".venv")],
        "installation": [python, "-m", "pip", "install", "-q", "-c", "constraints.txt", "-e", ".[dev]"],
        "first start, which compiles Python's files": [str(binaries / "sigmae"), "list", "methods"],
        "import torch": [python, "-c", "import torch"],
        "train, evaluate, report": train.split(),
    }


def timed(parts: Mapping[str, Command], folder: Path) -> dict[str, float]:
    """Seconds of every part, run one after the other in the folder, or beside it while it is not there."""
    found = {}
    for name, command in parts.items():
        started = time.perf_counter()
        subprocess.run(command, cwd=folder if folder.exists() else folder.parent, check=True, stdout=subprocess.DEVNULL)
        found[name] = time.perf_counter() - started
    return found


def training_seconds(run: Path) -> float:
    """The epochs of a run, its validation included."""
    last: dict[str, Any] = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    return float(last["seconds"])


def main() -> None:
    """Measure, print and keep."""
    with TemporaryDirectory() as folder:
        clone = Path(folder) / "sigmae"
        seconds = timed(demo(clone), clone)
        seconds["of which training"] = training_seconds(clone / "runs" / "demo")
    for name, value in seconds.items():
        print(f"{name}: {value:.1f} s")
    RESULTS.write_text(json.dumps({"seconds": seconds} | machine(), indent=1) + "\n")


if __name__ == "__main__":
    main()
