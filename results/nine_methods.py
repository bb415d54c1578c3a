"""Nine methods on MNIST, one network and one seed: trains what is missing, then writes the table.

    python results/nine_methods.py [RUNS]

RUNS (default: runs) holds one folder a method, mnist-METHOD; finished ones are not trained again. Writes
nine-methods.csv (a row a number), nine-methods.md (the table, the claim in words, how it was made;
in the README too) and nine-methods.png (ten GMM-10 samples of every method).
"""

import json
import sys
from pathlib import Path

from runs import HERE, numbers, sigmae, table, write_csv

from sigmae import figures, load
from sigmae.metrics.images import to_uint8
from sigmae.recipes import METHODS

NINE = ["ae", "vae", "beta-vae", "cv-vae", "rae", "rae-l2", "rae-gp", "rae-sn", "wae-mmd"]
SETTINGS = "--image-size 32 --network conv --set network.width=16 --latent-dim 16 --epochs 12 --seed 0"
COLUMNS = {
    "squared error": ("squared_error", "reconstructions"),
    "reconstructions": ("fid-classifier", "reconstructions"),
    "prior or Gaussian": ("fid-classifier", None),  # what the method itself samples
    "GMM-10": ("fid-classifier", "gmm10"),
    "interpolations": ("fid-classifier", "interpolations"),
}


def train(runs: Path) -> None:
    """Train and evaluate every method, or continue where that was stopped."""
    for method in NINE:
        out = str(runs / f"mnist-{method}")
        sigmae("train", "mnist", "--method", method, *SETTINGS.split(), "--out", out, check=True)


def measured(folder: Path, simple: str) -> dict[str, float]:
    """The table's columns for one run."""
    values = numbers(folder)
    return {column: values[metric, of or simple] for column, (metric, of) in COLUMNS.items()}


def claim(found: dict[str, dict[str, float]]) -> str:
    """Whether the density fitted afterwards beats the simple one, as the RAE paper finds for every method."""
    kept = [method for method, row in found.items() if row["GMM-10"] < row["prior or Gaussian"]]
    broken = [method for method in found if method not in kept]
    holds = f"GMM-10 samples are closer to the test images than the simple density's for {len(kept)} of {len(found)}"
    return f"{holds} methods" + (f"; not for {', '.join(broken)}." if broken else ".")


def markdown(runs: Path, found: dict[str, dict[str, float]], simple: dict[str, str]) -> str:
    """The table with its claim and how it was made."""
    environment = json.loads((runs / f"mnist-{NINE[0]}" / "environment.json").read_text())
    evaluation = json.loads((runs / f"mnist-{NINE[0]}" / "evaluation.json").read_text())
    best = {column: min(row[column] for row in found.values()) for column in COLUMNS}
    lines = []
    for method, row in found.items():
        cells = [f"**{value:.2f}**" if value == best[column] else f"{value:.2f}" for column, value in row.items()]
        cells[2] += f" ({simple[method]})"
        lines.append([method, *cells])
    accuracy = evaluation["features"]["classifier"]["accuracy"]
    packages = environment["packages"]
    return f"""\
{table(["method", *COLUMNS], lines)}

Squared error per image (summed over 32 by 32 values, 10,000 test images), and Fréchet distances of 10,000 images to
the 10,000 test images in the features of a classifier of these data (`fid-classifier`; its validation accuracy is
{accuracy:.4f}). Lower is better; the best of a column is bold.

The RAE paper's claim: {claim(found)}

One seed (0) a method; `sigmae train mnist --method METHOD {SETTINGS}`; trained at commit {environment["commit"]},
evaluated at {evaluation["commit"]}; sigmae {packages["sigmae"]}, torch {packages["torch"]}; {environment["processor"]},
{environment["threads"]} thread a run. Made by `python results/nine_methods.py`.
"""


def insert(readme: Path, text: str) -> None:
    """Put the table between its two marks in the README."""
    start, end = "<!-- table: results/nine-methods.md -->\n", "<!-- end of table -->"
    before, _, rest = readme.read_text().partition(start)
    readme.write_text(f"{before}{start}{text}{end}{rest.partition(end)[2]}")


def main(runs: Path) -> None:
    """Train, collect, write."""
    train(runs)
    found, simple, drawn = {}, {}, {}
    for method in NINE:
        folder = runs / f"mnist-{method}"
        simple[method] = "prior" if METHODS[method].objective("mnist").matches_prior else "gaussian"
        found[method] = measured(folder, simple[method])
        drawn[method] = to_uint8(load(folder).sample(10, density="gmm10"))
    rows = ([method, column, value] for method, row in found.items() for column, value in row.items())
    write_csv("nine-methods.csv", ["method", "metric", "value"], rows)
    text = markdown(runs, found, simple)
    (HERE / "nine-methods.md").write_text(f"# Nine methods on MNIST\n\n{text}")
    insert(HERE.parent / "README.md", text)
    (HERE / "nine-methods.png").write_bytes(figures.rows(drawn, columns=10))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs"))
