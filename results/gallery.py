"""The page docs/gallery.md: every method on the same data, with pictures and numbers.

    python results/gallery.py [RUNS]

Trains what is missing as cells of one study (RUNS, by default runs/cells, where those of sigmae compare lie), then
writes gallery.csv, gallery.json, a picture for each method and the page. A method that fails is told with its sentence.
"""

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from runs import HERE, made_with, table, write_csv

from sigmae import figures, load
from sigmae.metrics.images import to_uint8
from sigmae.recipes import METHODS
from sigmae.settings import TrainingConfig
from sigmae.studies.cells import Cell, Scoring
from sigmae.studies.engines import make_engine
from sigmae.studies.study import Study
from sigmae.studies.table import OWN

PAGE = HERE.parent / "docs" / "gallery.md"
PICTURES = PAGE.parent / "pictures" / "gallery"
SHOWN, COLOURS = 10, 16
LATENTS, LIMIT, WIDTH = 16, 10_000, "network.width=16"
TRAINING = TrainingConfig(epochs=12, validation_examples=2_000)
NETWORKS: dict[str, dict[str, Any]] = {"linear-vae": {"network": "linear", "settings": ()}}
SETTINGS = {"sampling-free": ("propagation.share=0.25",)}
NOTES = {
    "aae": "At this learning rate it is not stable: see [what its seeds do]"
    "(../results/latent-metrics.md#what-differs-from-the-published-tables).",
}
COLUMNS = {
    "squared error": ("squared_error", "reconstructions"),
    "reconstructions": ("fid-classifier", "reconstructions"),
    OWN: ("fid-classifier", OWN),
    "GMM-10": ("fid-classifier", "gmm10"),
    "interpolations": ("fid-classifier", "interpolations"),
}


class Records(NamedTuple):
    """The numbers of every method by column, its own density, why some have none, and how the runs were made."""

    numbers: Mapping[str, Mapping[str, float]]
    own: Mapping[str, str]
    failed: Mapping[str, str]
    made: Mapping[str, str]


def cell(method: str) -> Cell:
    """The run of a method."""
    shared = Cell("mnist", method, LATENTS, "conv", (WIDTH,), limit=LIMIT, training=TRAINING)
    own = replace(shared, **NETWORKS.get(method, {}))
    return replace(own, settings=(*own.settings, *SETTINGS.get(method, ())))


def records() -> Records:
    """What gallery.csv and gallery.json hold."""
    numbers: dict[str, dict[str, float]] = {}
    for line in csv.DictReader((HERE / "gallery.csv").read_text().splitlines()):
        numbers.setdefault(line["method"], {})[line["metric"]] = float(line["value"])
    return Records(numbers, **json.loads((HERE / "gallery.json").read_text()))


def picture(folder: Path, images: Any) -> bytes:
    """Images decoded from their codes, above samples of GMM-10 and of the method's own density."""
    model = load(folder)
    samples = {density: model.sample(SHOWN, density=density) for density in ("gmm10", model.own_density)}
    drawn = {"decoded": model.reconstruct(images), **samples}
    return few_colours(figures.rows({name: to_uint8(shown) for name, shown in drawn.items()}, columns=SHOWN, gap=2))


def few_colours(png: bytes) -> bytes:
    """A picture in a palette of `COLOURS`."""
    from PIL import Image

    file = io.BytesIO()
    Image.open(io.BytesIO(png)).quantize(COLOURS, Image.Quantize.FASTOCTREE).save(file, "PNG", optimize=True)
    return file.getvalue()


def anchor(method: str, found: Records) -> str:
    """A method as a link to its section."""
    return f"[{method}](#{method})" if method in found.numbers else method


def overview(found: Records) -> str:
    """All numbers, the best of a column in bold."""
    best = {name: min(row[name] for row in found.numbers.values()) for name in COLUMNS}
    lines = []
    for method, row in found.numbers.items():
        told = {name: f"**{row[name]:.1f}**" if row[name] == best[name] else f"{row[name]:.1f}" for name in COLUMNS}
        told[OWN] += f" ({found.own[method]})"
        lines.append([anchor(method, found), *told.values()])
    lines += [[method, sentence] for method, sentence in found.failed.items()]
    return table(["method", *COLUMNS], lines)


def section(method: str, row: Mapping[str, float]) -> str:
    """A method's picture and numbers under its name."""
    told = ", ".join(f"{name} {row[name]:.1f}" for name in COLUMNS)
    return f"""\
### {method}

{METHODS[method].summary}

![{method}: decoded test images, samples of GMM-10 and of its own density](pictures/gallery/{method}.png)

{told[0].upper()}{told[1:]}. {NOTES.get(method, "")}""".rstrip()


def sections(found: Records) -> Sequence[str]:
    """Every method, under the paper that it is from."""
    told = []
    ordered = sorted(found.numbers, key=lambda method: (METHODS[method].paper.year, METHODS[method].paper.key))
    for paper, methods in groupby(ordered, key=lambda method: METHODS[method].paper):
        told.append(f"## [{paper.title}]({paper.url}), {paper.year}")
        told += [section(method, found.numbers[method]) for method in methods]
    return told


def page(found: Records) -> str:
    """The whole page."""
    command = (
        f"--seeds 1 --limit {LIMIT} --epochs {TRAINING.epochs} --validation-examples {TRAINING.validation_examples}"
    )
    network = f"--network conv --set {WIDTH}"
    opening = f"""\
# Gallery

{len(found.numbers)} methods on the same {LIMIT:,} images of MNIST, each with the same small convolutional network,
{LATENTS} latents, {TRAINING.epochs} epochs and the weights that the library has for MNIST. No weight was tuned, and
the budget is small: this shows what each method does, not the best that it can do. [The papers' tables](tables.md)
say more of that, and [choosing](choosing.md) what follows from both.

![the first {SHOWN} test images](pictures/gallery/images.png)

*The images that every method below decodes from their codes.*

{overview(found)}

Squared error per image, and Fréchet distances of 10,000 images to the test images in the features of a classifier of
these data (validation accuracy {found.made["accuracy"]}): lower is better. "{OWN}" is what the method itself samples.

`sigmae compare mnist --methods METHOD {command} {network}`
trains one of them; linear-vae has its own network, sampling-free `--set {SETTINGS["sampling-free"][0]}` beside.
One seed (0). {found.made["with"]} `python results/gallery.py` wrote this page."""
    return "\n\n".join([opening, *sections(found)]) + "\n"


def collect(study: Study, failed: Mapping[str, str]) -> Records:
    """The numbers and circumstances of the runs that are there."""
    values: dict[str, dict[tuple[str, str], float]] = {}
    for result in study.results():
        values.setdefault(result.label, {})[result.metric, result.of] = result.value
    folders = {cell.method: cell.folder(study.runs) for cell in study.cells if cell.method in values}
    first = next(iter(folders.values()))
    accuracy = json.loads((first / "evaluation.json").read_text())["features"]["classifier"]["accuracy"]
    return Records(
        {method: {name: row[column] for name, column in COLUMNS.items()} for method, row in values.items()},
        {method: load(folder).own_density for method, folder in folders.items()},
        failed,
        {"accuracy": f"{accuracy:.4f}", "with": made_with(first)},
    )


def draw(study: Study, methods: Sequence[str]) -> None:
    """Write the pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    images = study.cells[0].data.test.images[:SHOWN]
    (PICTURES / "images.png").write_bytes(few_colours(figures.rows({"test": images}, columns=SHOWN, gap=2)))
    for method in methods:
        (PICTURES / f"{method}.png").write_bytes(picture(cell(method).folder(study.runs), images))


def main(runs: Path) -> None:
    """Train, collect, draw, write."""
    study = Study([cell(method) for method in METHODS], Scoring(), runs.absolute())
    failures = study.run(make_engine("processes"), lambda done, error: print(done.method, error, flush=True))
    found = collect(study, {cell.method: sentence for cell, sentence in failures.items()})
    rows = ([method, name, value] for method, row in found.numbers.items() for name, value in row.items())
    write_csv("gallery.csv", ["method", "metric", "value"], rows)
    kept = {name: value for name, value in found._asdict().items() if name != "numbers"}
    (HERE / "gallery.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    draw(study, list(found.numbers))
    PAGE.write_text(page(found))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/cells"))
