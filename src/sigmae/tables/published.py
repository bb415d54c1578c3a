"""Published numbers: the papers' tables as they are printed, a row of CSV for each number."""

import csv
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from sigmae.errors import SigmaeError, unknown


@dataclass(frozen=True)
class Place:
    """Where a number stands: its row, its column, and the data that it is of."""

    row: str
    column: str
    data: str


@dataclass(frozen=True)
class Number:
    """A published number, its deviation over runs where one is printed, and ">" where it is a bound from below."""

    value: float
    deviation: float | None = None
    bound: str = ""


def folder(name: str) -> Traversable:
    """A folder of files that ship with this package."""
    return resources.files(__package__) / name


def published_numbers(name: str) -> dict[Place, Number]:
    """The numbers of a file that ships with this package."""
    found = {}
    if name not in (known := [file.name for file in folder("published").iterdir()]):
        raise unknown("file of published numbers", name, known)
    with (folder("published") / name).open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            place = Place(line["method"], line["metric"], line["dataset"])
            if place in found:
                raise SigmaeError(f"{name} has two numbers for {place}: leave one out.")
            value = line["value"]
            deviation = float(line["std"]) if line["std"] else None
            found[place] = Number(float(value.lstrip(">")), deviation, ">" if value.startswith(">") else "")
    return found
