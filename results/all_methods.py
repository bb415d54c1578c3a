"""All methods on MNIST, one small network, the same epochs and seed: trains what is missing, then writes the table.

    python results/all_methods.py [RUNS]

RUNS (default: runs) holds one folder a method, small-METHOD; finished ones are not trained again. A method that
fails is told with its sentence and stands in the table as such. Writes all-methods.csv and all-methods.md.
"""

import json
import sys
from pathlib import Path

from runs import HERE, made_with, numbers, sigmae, table, write_csv

from sigmae import load
from sigmae.recipes import METHODS

SETTINGS = "--latent-dim 16 --epochs 6 --seed 0"
NETWORKS = dict.fromkeys(METHODS, "mlp") | {"linear-vae": "linear"}
EXTRA = {"sampling-free": ["--set", "propagation.share=0.25"]}
COLUMNS = {
    "squared error": ("squared_error", "reconstructions"),
    "reconstructions": ("fid-classifier", "reconstructions"),
    "own density": ("fid-classifier", None),
    "GMM-10": ("fid-classifier", "gmm10"),
    "interpolations": ("fid-classifier", "interpolations"),
}


def command(method: str, runs: Path) -> list[str]:
    """The command that trains and evaluates a method, or continues where that was stopped."""
    settings = ["--network", NETWORKS[method], *SETTINGS.split(), *EXTRA.get(method, [])]
    return ["train", "mnist", "--method", method, *settings, "--out", str(runs / f"small-{method}")]


def train(method: str, runs: Path) -> str:
    """Train a method; the sentence with which it failed, or nothing."""
    done = sigmae(*command(method, runs), capture_output=True)
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def row(folder: Path) -> dict[str, float | str]:
    """The table's columns for one run, and the seconds that its epochs took."""
    values, own = numbers(folder), load(folder).own_density
    cells = {name: values.get((metric, of or own), float("nan")) for name, (metric, of) in COLUMNS.items()}
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    return {**cells, "density": own, "epochs": last["epoch"], "seconds": last["seconds"]}


def line(method: str, cells: dict[str, float | str]) -> list[str]:
    """A row of the table."""
    shown = [f"{cells[name]:.1f}" + (f" ({cells['density']})" if name == "own density" else "") for name in COLUMNS]
    return [method, *shown, METHODS[method].paper.key]


def markdown(runs: Path, found: dict[str, dict[str, float | str]], failed: dict[str, str]) -> str:
    """The table and how it was made."""
    folder = runs / f"small-{next(iter(found))}"
    accuracy = json.loads((folder / "evaluation.json").read_text())["features"]["classifier"]["accuracy"]
    lines = [line(method, cells) for method, cells in found.items()]
    lines += [[method, sentence] for method, sentence in failed.items()]
    return f"""\
# All methods on MNIST

{table(["method", *COLUMNS, "paper"], lines)}

Squared error per image (summed over 28 by 28 values, 10,000 test images), and Fréchet distances of 10,000 images to
the test images in the features of a classifier of these data (validation accuracy {accuracy:.4f}): lower is better.
"own density" is what the method itself samples. Six epochs of a small perceptron (512-256): the table shows that every
method trains, and roughly how, not what each can reach; no weight was tuned for it. Spectral normalization without
batch normalization leaves this perceptron little more than the mean image: rae-sn is meant for the convolutions.

`sigmae train mnist --method METHOD --network mlp {SETTINGS}`, for sampling-free with
`--set propagation.share=0.25`, for linear-vae with `--network linear`. One seed (0).
{made_with(folder)}
Made by `python results/all_methods.py`.
"""


def main(runs: Path) -> None:
    """Train, collect, write."""
    failures = {method: train(method, runs) for method in METHODS}
    failed = {method: sentence for method, sentence in failures.items() if sentence}
    found = {method: row(runs / f"small-{method}") for method in METHODS if method not in failed}
    rows = ([method, name, value] for method, cells in found.items() for name, value in cells.items())
    write_csv("all-methods.csv", ["method", "metric", "value"], rows)
    (HERE / "all-methods.md").write_text(markdown(runs, found, failed))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs"))
