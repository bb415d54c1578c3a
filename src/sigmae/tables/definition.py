"""Definitions: a table of a paper, or a study of one's own, as the data of a TOML file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sigmae.errors import unknown
from sigmae.tables.claims import Claim

Options = Mapping[str, Any]
"""What `sigmae train` is given, by name; `settings` is a list of part.field=value."""

RUN_OPTIONS = ("source", "method", "latent_dim", "network", "image_size", "limit", "settings")
BANDWIDTH_OPTIONS = ("latent_dim", "count")


@dataclass(frozen=True)
class Column:
    """What a column measures: `metric:of` of a run's evaluation, times `factor`; options that it alone needs."""

    measure: str
    factor: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A row's options, its own words for {name} in measures, and further options on single data sets.

    It has the columns with a published value, and `columns`; all columns where it names none, and it or
    the data are not in print.
    """

    options: dict[str, Any] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    on: dict[str, dict[str, Any]] = field(default_factory=dict)
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scale:
    """How much of a table is computed, and how: empty lists are all rows, columns, data.

    `options` replace those of every run, `on` those on single data sets, `of` those of single rows; `deviations` say
    what that changes.
    """

    seeds: int = 1
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    features: str | None = None
    densities: tuple[str, ...] | None = None
    points: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    on: dict[str, dict[str, Any]] = field(default_factory=dict)
    of: dict[str, dict[str, Any]] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A chart of every column: the rows of each line at the values `at` of what `x` names."""

    x: str
    at: tuple[float, ...]
    lines: dict[str, tuple[str, ...]]
    logarithmic: bool = False


@dataclass(frozen=True)
class Definition:
    """A table: rows, columns and data of runs, how they are scored, and at which scales.

    `measured_by` "runs" trains; "bandwidths" computes the bandwidths of kernel density estimates without training.
    """

    title: str
    columns: dict[str, Column]
    rows: dict[str, Row]
    data: dict[str, dict[str, Any]]
    scales: dict[str, Scale]
    name: str = ""
    source: str = ""
    published: str = ""
    measured_by: Literal["runs", "bandwidths"] = "runs"
    options: dict[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    split: Literal["train", "test"] = "test"
    pictures: tuple[str, ...] = ()
    figure: Figure | None = None
    claims: tuple[Claim, ...] = ()
    deviations: tuple[str, ...] = ()

    def scale(self, name: str) -> Scale:
        """The scale of that name."""
        if name not in self.scales:
            raise unknown(f"scale of {self.name}", name, self.scales)
        return self.scales[name]
