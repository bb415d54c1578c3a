"""The plan of a table at a scale: which number comes from which runs."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, get_type_hints

from sigmae.conversion import structure
from sigmae.errors import SigmaeError, unknown
from sigmae.evaluation import POINTS, QUICK
from sigmae.settings import TrainingConfig
from sigmae.studies.cells import Cell, Scoring
from sigmae.studies.checks import check_scoring
from sigmae.tables.definition import Definition, Options, RUN_OPTIONS, Scale
from sigmae.tables.published import Number, Place, published_numbers
from sigmae.tables.reading import filled


@dataclass(frozen=True)
class Entry:
    """One number of a table: where it stands, what it is in print, what is measured for it, and in which runs."""

    place: Place
    published: Number | None
    measure: str
    factor: float
    cells: tuple[Cell, ...] = ()

    def __str__(self) -> str:
        return f"{self.place.column} of {self.place.row}, {self.place.data}"


@dataclass(frozen=True)
class Plan:
    """A table at a scale: its entries, and how their runs are scored."""

    definition: Definition
    scale: str
    entries: tuple[Entry, ...]
    scoring: Scoring

    @property
    def cells(self) -> list[Cell]:
        """All runs, each once."""
        return list(dict.fromkeys(cell for entry in self.entries for cell in entry.cells))

    @property
    def deviations(self) -> list[str]:
        """How this differs from the paper's protocol, in sentences."""
        return [*self.definition.deviations, *self.definition.scale(self.scale).deviations]


@dataclass(frozen=True)
class Choices:
    """What a person chooses beside the table and its scale."""

    seeds: int | None = None
    rows: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    features: str | None = None
    inception_file: str | None = None
    data_dir: str | None = None


def plan_table(definition: Definition, scale: str, choices: Choices = Choices()) -> Plan:
    """The plan of a table; raises `SigmaeError` for options that no run can have."""
    chosen = definition.scale(scale)
    chosen = replace(
        chosen,
        rows=narrowed("row", choices.rows, chosen.rows or tuple(definition.rows)),
        data=narrowed("data set", choices.data, chosen.data or tuple(definition.data)),
    )
    if (seeds := chosen.seeds if choices.seeds is None else choices.seeds) < 1:
        raise SigmaeError(f"A table needs one seed or more, got {seeds}.")
    numbers = published_numbers(definition.published) if definition.published else {}
    entries = tuple(
        Entry(
            place,
            numbers.get(place),
            measure_of(definition, place),
            definition.columns[place.column].factor,
            cells_of(definition, chosen, place, choices) if definition.measured_by == "runs" else (),
        )
        for place in places(definition, chosen, numbers)
    )
    scoring = Scoring(
        metrics=tuple(definition.metrics) or tuple(QUICK),
        features=choices.features or chosen.features,
        densities=chosen.densities,
        inception_file=choices.inception_file,
        points=chosen.points or POINTS,
        split=definition.split,
        pictures=definition.pictures,
    )
    check_scoring(scoring)
    return Plan(definition, scale, entries, scoring)


def places(definition: Definition, scale: Scale, numbers: Mapping[Place, Number]) -> list[Place]:
    """Where the table has a number: in print, or of a column that its row names.

    Rows that name none have all columns where they, or the data, are not in print.
    """
    rows, data_sets = {place.row for place in numbers}, {place.data for place in numbers}
    found = []
    for data in scale.data:
        for label in scale.rows:
            own = definition.rows[label].columns
            for column in scale.columns or definition.columns:
                place = Place(label, column, data)
                new = not own and not (label in rows and data in data_sets)
                if column in own or place in numbers or new:
                    found.append(place)
    return found


def measure_of(definition: Definition, place: Place) -> str:
    """What is measured for a place: its column's measure with the words of its row."""
    measure: str = filled(definition.columns[place.column].measure, braced(definition.rows[place.row].words))
    if left := re.search(r"{(.*?)}", measure):
        raise SigmaeError(f"The column '{place.column}' needs the word '{left[1]}' of the row '{place.row}': give it.")
    return measure


def narrowed(kind: str, asked: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """Those that are asked for, in the table's order; all if none are."""
    if missing := [name for name in asked if name not in known]:
        raise unknown(f"{kind} at this scale", missing[0], known)
    return tuple(name for name in known if name in asked) if asked else known


def cells_of(definition: Definition, scale: Scale, place: Place, choices: Choices) -> tuple[Cell, ...]:
    """The runs that an entry is the mean of, one a seed; what is said later holds, and settings add up."""
    row = definition.rows[place.row]
    layers: list[Options] = [
        definition.options,
        definition.data[place.data],
        row.options,
        row.on.get(place.data, {}),
        definition.columns[place.column].options,
        scale.options,
        scale.on.get(place.data, {}),
        scale.of.get(place.row, {}),
    ]
    options = merged(layers)
    where = f"{definition.name}, {place.row} on {place.data}"
    if missing := [name for name in ("source", "method") if name not in options]:
        raise SigmaeError(f"{where} has no {missing[0]}: give one among its options.")
    names = {option.name for option in fields(TrainingConfig)}
    training = structure({name: value for name, value in options.items() if name in names}, TrainingConfig, where)
    kinds = get_type_hints(Cell)
    own = {name: structure(options[name], kinds[name], where) for name in RUN_OPTIONS if name in options}
    cell = Cell(**own, data_dir=choices.data_dir, training=training)
    return tuple(replace(cell, training=replace(training, seed=seed)) for seed in range(choices.seeds or scale.seeds))


def merged(layers: Iterable[Options]) -> dict[str, Any]:
    """Options of several layers: later ones replace earlier ones, but settings are added to those before."""
    options: dict[str, Any] = {}
    settings: list[str] = []
    for layer in layers:
        settings += layer.get("settings", [])
        options |= layer
    return options | {"settings": settings}


def braced(words: Mapping[str, str]) -> dict[str, str]:
    """Words as they stand in a measure: {name}."""
    return {f"{{{name}}}": word for name, word in words.items()}
