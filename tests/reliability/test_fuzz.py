"""The fuzzer: files that were changed at random are read, or refused in a sentence."""

import gzip
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from tests.reliability.fuzzing import ARRAYS, damaged, Fuzz, fuzzed, IDX, mutated, picture, RANDOM, saved, zipped

import sigmae
from sigmae.commands import train_command
from sigmae.data import load
from sigmae.data.idx import read_idx
from sigmae.report import write_report
from sigmae.report.record import read_record
from sigmae.runs import read_rows, read_run
from sigmae.studies.cells import Cell, Scoring
from sigmae.studies.circumstances import facts
from sigmae.studies.study import pictures_of
from sigmae.tables import definition_of, plan_table
from sigmae.tables.checks import defined

GROUP = "Files of strangers"


# Runs


def as_json(run: Path, name: str, read: Callable[[Path], object]) -> Fuzz:
    """A JSON file of a run."""

    def take(value: Any) -> None:
        (run / name).write_text(json.dumps(value))
        read(run)

    return mutated(json.loads((run / name).read_text())), take


def history(run: Path, tmp_path: Path) -> Fuzz:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]

    def take(value: Any) -> None:
        parts = value if isinstance(value, list) else [value]
        (run / "metrics.jsonl").write_text("".join(json.dumps(part) + "\n" for part in parts))
        read_record(run)

    return mutated(lines), take


def bytes_of(run: Path, name: str) -> Fuzz:
    """A file of a run that is loaded with its model."""
    return damaged((run / name).read_bytes()), lambda content: [(run / name).write_bytes(content), sigmae.load(run)]


def read_config(run: Path) -> None:
    sigmae.load(run)
    train_command(read_run(run), "out")


def read_all(run: Path) -> None:
    write_report(run)
    facts(Cell("digits", "vae"), run, Scoring())
    pictures_of(run)
    read_rows(run)


def without_drawings(run: Path) -> Path:
    (run / "metrics.jsonl").unlink()
    return run


RUNS: dict[str, Callable[[Path, Path], Fuzz]] = {
    "config.json": lambda run, _: as_json(run, "config.json", read_config),
    "config.json of a page": lambda run, _: as_json(without_drawings(run), "config.json", write_report),
    "evaluation.json": lambda run, _: as_json(without_drawings(run), "evaluation.json", read_all),
    "environment.json": lambda run, _: as_json(without_drawings(run), "environment.json", read_all),
    "metrics.jsonl": history,
    "model.safetensors": lambda run, _: bytes_of(run, "model.safetensors"),
    "densities.safetensors": lambda run, _: bytes_of(run, "densities.safetensors"),
}

# Data


def content_of(name: str, content: bytes, read: Callable[[Path], object] = load) -> Callable[[Path, Path], Fuzz]:
    """A file of data."""

    def make(run: Path, tmp_path: Path) -> Fuzz:
        path = tmp_path / name
        return damaged(content), lambda changed: [path.write_bytes(changed), read(path)]

    return make


def repacked(run: Path, tmp_path: Path) -> Fuzz:
    path = tmp_path / "idx.gz"
    return damaged(IDX), lambda changed: [path.write_bytes(gzip.compress(changed)), read_idx(path)]


def pictures(suffix: str, content: bytes) -> Callable[[Path, Path], Fuzz]:
    """A folder of the same picture three times."""

    def make(run: Path, tmp_path: Path) -> Fuzz:
        folder = tmp_path / "pictures"
        folder.mkdir()
        paths = [folder / f"{number}.{suffix}" for number in range(3)]
        return damaged(content), lambda changed: [*(path.write_bytes(changed) for path in paths), load(folder)]

    return make


DATA: dict[str, Callable[[Path, Path], Fuzz]] = {
    "npy": content_of("a.npy", saved(np.save, RANDOM.rand(6, 4, 4))),
    "npz": content_of("a.npz", saved(np.savez, **ARRAYS)),
    "compressed npz": content_of("a.npz", saved(np.savez_compressed, **ARRAYS)),
    "IDX": content_of("idx", IDX, read_idx),
    "IDX, gzipped": content_of("idx.gz", gzip.compress(IDX), read_idx),
    "IDX, gzipped again": repacked,
    "zip": content_of("a.zip", zipped()),
    "PNG": pictures("png", picture("PNG")),
    "JPEG": pictures("jpg", picture("JPEG")),
    "GIF": pictures("gif", picture("GIF")),
    "WEBP": pictures("webp", picture("WEBP")),
    "BMP": pictures("bmp", picture("BMP")),
    "PPM": pictures("ppm", picture("PPM")),
    "TIFF": pictures("tif", picture("TIFF", compression="tiff_adobe_deflate")),
}

# Studies

STUDY = """
title = "A study"
metrics = ["squared_error"]
pictures = ["manifold"]
options = { source = "digits", latent_dim = 2, epochs = 3, settings = ["network.hidden=[16]"] }
[columns]
error = "squared_error:reconstructions"
[data.Digits]
[rows."{name}"]
each.name = ["A", "B"]
options = { method = "vae" }
columns = ["error"]
on.Digits = { lr = 0.1 }
[scales.small]
seeds = 2
rows = ["A"]
of.A = { network = "mlp" }
[figure]
x = "size"
at = [1.0]
lines.a = ["A"]
[[claims]]
says = "So it is."
less = [["A | error", "B | error"]]
"""


def study_bytes(run: Path, tmp_path: Path) -> Fuzz:
    path = tmp_path / "study.toml"
    return damaged(STUDY.encode()), lambda changed: [path.write_bytes(changed), definition_of(str(path))]


def study_values(run: Path, tmp_path: Path) -> Fuzz:
    """A study whose text is parsed already: values that no text of TOML spells as well."""

    def take(value: Any) -> None:
        with patch("tomllib.loads", lambda text: value if isinstance(value, dict) else {}):
            found = defined("study", "", "study.toml")
        plan_table(found, next(iter(found.scales)))

    return mutated(tomllib.loads(STUDY)), take


STUDIES: dict[str, Callable[[Path, Path], Fuzz]] = {"a study": study_bytes, "a study's values": study_values}
FILES = RUNS | DATA | STUDIES
QUICK = {name: 5 if name in RUNS else 30 for name in FILES}  # a run is slow to load and to show
MANY = {name: 50 if name in RUNS else 300 for name in FILES}


@pytest.mark.promise(GROUP, "A file that is changed at random is read, or refused in a sentence, in bounded memory.")
@pytest.mark.parametrize(
    ("name", "tries"), [*QUICK.items(), *(pytest.param(*many, marks=pytest.mark.slow) for many in MANY.items())]
)
def test_files_changed_at_random(run, tmp_path, name, tries, record_property, little_memory):
    taken = fuzzed(FILES[name](run, tmp_path), tries)
    record_property("tried", tries)
    assert taken < tries
