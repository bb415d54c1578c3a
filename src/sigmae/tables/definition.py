"""Definitions: a table of a paper, or a study of one's own, as the data of a TOML file."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from sigmae.conversion import structure
from sigmae.errors import SigmaeError, unknown
from sigmae.settings import TrainingConfig
from sigmae.tables.claims import check_claim, Claim
from sigmae.tables.names import TABLES, text_of
from sigmae.tables.reading import whole

Options = Mapping[str, Any]
"""What `sigmae train` is given, by name; `settings` is a list of part.field=value."""

RUN_OPTIONS = ("source", "method", "latent_dim", "network", "image_size", "limit", "settings")
OPTIONS = (*RUN_OPTIONS, *(option.name for option in fields(TrainingConfig) if option.name != "seed"))
BANDWIDTH_OPTIONS = ("latent_dim", "count")
HUB = "hf:"
FOREIGN = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")  # the module:attribute that a source is imported from


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


def definition_of(name: str, trust: Sequence[str] = ()) -> Definition:
    """The table of that name, or the study in the TOML file at that path.

    Every name in it is checked. Code of a third party (`module:attribute`) is imported only if its module is in
    `trust`: a stranger's file runs nothing.
    """
    if name in TABLES:
        return defined(name, text_of(name), name, trust)
    if not name.endswith(".toml"):
        raise unknown("table or .toml file", name, TABLES)
    path = Path(name).expanduser()
    try:
        return defined(path.stem, path.read_text(encoding="utf-8"), name, trust)
    except (OSError, UnicodeDecodeError) as error:
        raise SigmaeError(f"{path} cannot be read ({error}).") from error


def defined(name: str, text: str, path: str, trust: Sequence[str] = ()) -> Definition:
    """The definition that a text of TOML holds."""
    found: Definition = structure({**whole(text, path), "name": name}, Definition, path)
    check(found, path, trust)
    return found


def check(found: Definition, path: str, trust: Sequence[str]) -> None:
    """Refuse names that stand for nothing, and code that is not trusted."""
    for where, options in all_options(found):
        allowed = OPTIONS if found.measured_by == "runs" else BANDWIDTH_OPTIONS
        if wrong := [name for name in options if name not in allowed]:
            raise unknown(f"option in {where} of {path}", wrong[0], allowed)
        if not isinstance(settings := options.get("settings", []), list):
            raise SigmaeError(f"The settings in {where} of {path} are a list of part.field=value, got {settings!r}.")
    for label, row in found.rows.items():
        if missing := [name for name in row.columns if name not in found.columns]:
            raise unknown(f"column of '{label}' in {path}", missing[0], found.columns)
        if missing := [name for name in row.on if name not in found.data]:
            raise unknown(f"data set of '{label}' in {path}", missing[0], found.data)
    for scale in found.scales.values():
        names: tuple[tuple[str, tuple[str, ...], Mapping[str, Any]], ...] = (
            ("row", (*scale.rows, *scale.of), found.rows),
            ("column", scale.columns, found.columns),
            ("data set", (*scale.data, *scale.on), found.data),
        )
        for kind, chosen, known in names:
            if missing := [name for name in chosen if name not in known]:
                raise unknown(f"{kind} in {path}", missing[0], known)
    for claim in found.claims:
        check_claim(claim, found.rows, found.columns, found.data)
    rows_drawn = [] if found.figure is None else [row for rows in found.figure.lines.values() for row in rows]
    if undrawn := [row for row in rows_drawn if row not in found.rows]:
        raise unknown(f"row in the figure of {path}", undrawn[0], found.rows)
    if found.figure and any(len(rows) != len(found.figure.at) for rows in found.figure.lines.values()):
        raise SigmaeError(f"In the figure of {path}, every line has as many rows as 'at' has values.")
    if not (found.rows and found.columns and found.data and found.scales):
        raise SigmaeError(f"{path} needs rows, columns, data and scales, one of each at the least.")
    if untrusted := [module for module in modules(found) if module not in trust]:
        raise SigmaeError(
            f"{path} names code outside this library ({', '.join(untrusted)}), and the study would run it: "
            f"if you trust it, add --trust {untrusted[0]}."
        )


def all_options(found: Definition) -> Iterator[tuple[str, Options]]:
    """Every set of options of a definition, and where it stands."""
    yield "options", found.options
    yield from ((f"data '{name}'", options) for name, options in found.data.items())
    yield from ((f"column '{name}'", column.options) for name, column in found.columns.items())
    parts: list[tuple[str, Row | Scale]] = [*found.rows.items(), *found.scales.items()]
    for name, part in parts:
        yield f"'{name}'", part.options
        yield from ((f"'{name}' on '{data}'", options) for data, options in part.on.items())
    for name, scale in found.scales.items():
        yield from ((f"'{row}' at '{name}'", options) for row, options in scale.of.items())


def modules(found: Definition) -> Iterator[str]:
    """The modules that the runs of a definition would import: whatever stands before a colon in a name."""
    named: list[str] = [*found.metrics, *(scale.features for scale in found.scales.values() if scale.features)]
    for _, options in all_options(found):
        source = str(options.get("source", ""))
        if FOREIGN.fullmatch(source) and not source.startswith(HUB):
            named.append(source)
        settings = [text for text in texts(options.get("settings", ())) if not text.startswith("network.")]
        named += [text.partition("=")[2] for text in settings]
        named += texts([options.get("method"), options.get("network")])
    yield from dict.fromkeys(name.partition(":")[0] for name in named if ":" in name)


def texts(value: Any) -> Iterator[str]:
    """Every text within nested data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from chain.from_iterable(map(texts, value.values()))
    elif isinstance(value, list | tuple):
        yield from chain.from_iterable(map(texts, value))
