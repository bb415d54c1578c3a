"""What once ended in a traceback: the smallest inputs that the fuzzer found."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.reliability.fuzzing import ARRAYS, RANDOM, saved, zipped

import sigmae
from sigmae.data import load
from sigmae.errors import SigmaeError
from sigmae.report import write_report
from sigmae.runs import read_measured, read_rows
from sigmae.studies.cells import Cell, Scoring
from sigmae.studies.circumstances import facts

GROUP = "Files of strangers"


def told(run: Path) -> dict[str, str]:
    return facts(Cell("digits", "vae"), run, Scoring())


def changed_json(name: str, **changes: Any) -> Callable[[Path], None]:
    """Values of a run's JSON file replaced, by their dotted names."""

    def change(run: Path) -> None:
        value = json.loads((run / name).read_text())
        for path, new in changes.items():
            *above, key = path.split("__")
            holder = value
            for step in above:
                holder = holder[step]
            holder[key] = new
        (run / name).write_text(json.dumps(value))

    return change


def marked_zip(name: str, marks: dict[int, bytes]) -> Callable[[Path], None]:
    """An archive of arrays or pictures, other bytes at these places of every entry of its directory."""

    def change(run: Path) -> None:
        content = bytearray(saved(np.savez, **ARRAYS) if name.endswith("npz") else zipped())
        for entry in re.finditer(rb"PK\x01\x02", bytes(content)):
            for place, mark in marks.items():
                content[entry.start() + place : entry.start() + place + len(mark)] = mark
        (run / name).write_bytes(content)

    return change


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda run: [(run / name).parent.mkdir(exist_ok=True), (run / name).write_bytes(content)]


FOUND: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "a list for a list of sizes": (
        changed_json("config.json", model__network__options={"hidden": {"a": 1}}),
        sigmae.load,
    ),
    "a list for a configuration": (write("config.json", b"[]"), sigmae.load),
    "a part that is no class": (
        changed_json("config.json", model__objective__latent={"type": "os:getcwd"}),
        lambda run: sigmae.load(run, trust=["os"]),
    ),
    "a measurement without a number": (changed_json("evaluation.json", rows=[{"metric": 1}]), write_report),
    "a unit that is a number": (
        changed_json("evaluation.json", rows=[{"metric": "a", "of": "b", "value": 1, "unit": 3}]),
        read_rows,
    ),
    "settings that are a list": (
        changed_json("evaluation.json", measured=[{"metric": "a", "settings": [], "rows": []}]),
        read_measured,
    ),
    "a measurement that is a text": (changed_json("evaluation.json", measured=["a"]), read_measured),
    "features that are a text": (changed_json("evaluation.json", features="x"), told),
    "a machine without its versions": (changed_json("environment.json", packages={}), told),
    "an epoch nested too deep": (write("metrics.jsonl", b"[" * 100_000), write_report),
    "digits of an epoch": (write("metrics.jsonl", b'{"epoch": ' + b"9" * 5000 + b"}"), write_report),
    "an encrypted array": (marked_zip("a.npz", {8: b"\1"}), lambda run: load(run / "a.npz")),
    "a zip file of the future": (marked_zip("a.zip", {6: b"\xff"}), lambda run: load(run / "a.zip")),
    "a name that is not UTF-8": (marked_zip("b.zip", {8: b"\0\x08", 46: b"\xff"}), lambda run: load(run / "b.zip")),
    "a partition that is not UTF-8": (
        write("celeba/list_eval_partition.txt", b"\xff 7\n"),
        lambda run: [(run / "celeba/img_align_celeba").mkdir(), load("celeba", data_dir=run / "celeba")],
    ),
    "a source that is too long": (lambda run: None, lambda run: load("x" * 300 + "/" + "y" * 5000)),
    "a mixture of endlessly many": (
        lambda run: None,
        lambda run: sigmae.load(run).fit_density("gmm" + "9" * 5000, sigmae.load(run).encode(RANDOM.rand(4, 8, 8))),
    ),
}


@pytest.mark.promise(GROUP, "A file that is changed at random is read, or refused in a sentence, in bounded memory.")
@pytest.mark.parametrize("name", FOUND)
def test_what_once_crashed_is_refused(run, name):
    change, read = FOUND[name]
    change(run)
    with pytest.raises(SigmaeError) as refusal:
        read(run)
    assert str(refusal.value).strip()


@pytest.mark.parametrize("loss", [1e300, -1e308, 10**299])
def test_a_loss_that_no_axis_can_show_is_left_out(run, loss):
    lines = [
        {"epoch": epoch, "train": {"loss": loss}, "validation": {"loss": value}} for epoch, value in [(1, loss), (2, 3)]
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "lowest 3" in write_report(run).read_text()
