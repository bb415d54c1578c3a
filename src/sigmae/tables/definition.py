"""Definitions: a table of a paper, or a study of one's own, as the data of a TOML file."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from sigmae.conversion import structure
from sigmae.errors import SigmaeError, unknown
from sigmae.settings import TrainingConfig
from sigmae.tables.names import TABLES, text_of

Options = Mapping[str, Any]
"""What `sigmae train` is given, by name; `settings` is a list of part.field=value."""

RUN_OPTIONS = ("source", "method", "latent_dim", "network", "image_size", "limit", "settings")
OPTIONS = (*RUN_OPTIONS, *(option.name for option in fields(TrainingConfig) if option.name != "seed"))
BANDWIDTH_OPTIONS = ("latent_dim", "count")
FOREIGN = re.compile(r"\b([^\W\d][\w.]*):[^\W\d]\w*$")  # module:attribute, whose import runs code


@dataclass(frozen=True)
class Column:
    """What a column measures: `metric:of` of a run's evaluation, times `factor`; options that it alone needs."""

    measure: str
    factor: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A row's options, its own words for {name} in measures, and further options on single data sets.

    It has the columns with a published value, and `columns`; all columns where nothing is published or named.
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
class Claim:
    """A sentence of the paper, and what the table must show for it.

    A reference is `row | column`, with * for all, and a row's beginning and ... for all that begin so.
    `less` are pairs of references: the numbers of the first are below those of the second on the same data; where both
    name the same rows or columns by *, each is compared with its own. `falls` and `rises` follow the numbers of a
    reference in the order of the rows. `near` is a reference whose numbers are `within` of the published ones.
    A claim holds if a `share` of its comparisons do.
    """

    says: str
    less: tuple[tuple[str, str], ...] = ()
    falls: str | None = None
    rises: str | None = None
    near: str | None = None
    within: float = 0.0
    share: float = 1.0
    data: tuple[str, ...] = ()


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
    found: Definition = structure({"name": name, **whole(text, path)}, Definition, path)
    check(found, path, trust)
    return found


def whole(text: str, path: str) -> dict[str, Any]:
    """What a text of TOML says, added to what it `extends`: rows, data and scales are added, all else replaces."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SigmaeError(f"{path} cannot be read as TOML ({error}).") from error
    for section in ("rows", "columns", "data"):
        named = raw.get(section)
        if isinstance(named, Mapping):
            raw[section] = {label: one for entry in named.items() for label, one in unfolded(*entry, path)}
    if (base := raw.pop("extends", None)) is None:
        return raw
    if base not in TABLES:
        raise unknown(f"table that {path} extends", str(base), TABLES)
    older = whole(text_of(base), base)
    added = {name: {**older.get(name, {}), **raw.get(name, {})} for name in ("rows", "data", "scales")}
    return {**older, **raw, **added}


def unfolded(label: str, given: Any, path: str) -> Iterator[tuple[str, Any]]:
    """One entry, or one for every value of its lists `each`, their names replaced in braces everywhere."""
    if isinstance(given, str):
        given = {"measure": given}
    if not isinstance(given, Mapping):
        raise SigmaeError(f"In {path}: '{label}' is a table of names, got {given!r}.")
    each = given.get("each", {})
    rest = {name: value for name, value in given.items() if name != "each"}
    if not (isinstance(each, Mapping) and all(isinstance(values, list) for values in each.values())):
        raise SigmaeError(f"In {path}: 'each' of '{label}' names lists of values, got {each!r}.")
    if len({len(values) for values in each.values()}) > 1:
        raise SigmaeError(f"In {path}: the lists in 'each' of '{label}' have different lengths.")
    for values in zip(*each.values(), strict=True) if each else [()]:
        words = {f"{{{name}}}": str(value) for name, value in zip(each, values, strict=True)}
        yield filled(label, words), filled(rest, words)


def filled(value: Any, words: Mapping[str, str]) -> Any:
    """A value with every {name} in its texts replaced; a text that was nothing but a number's name is that number."""
    if isinstance(value, str):
        for name, word in words.items():
            value = value.replace(name, word)
        return value
    if isinstance(value, Mapping):
        return {name: filled(inner, words) for name, inner in value.items()}
    return [filled(inner, words) for inner in value] if isinstance(value, list) else value


def check(found: Definition, path: str, trust: Sequence[str]) -> None:
    """Refuse names that stand for nothing, and code that is not trusted."""
    for where, options in all_options(found):
        allowed = OPTIONS if found.measured_by == "runs" else BANDWIDTH_OPTIONS
        if wrong := [name for name in options if name not in allowed]:
            raise unknown(f"option in {where} of {path}", wrong[0], allowed)
    for scale in found.scales.values():
        names: tuple[tuple[str, tuple[str, ...], Mapping[str, Any]], ...] = (
            ("row", (*scale.rows, *scale.of), found.rows),
            ("column", scale.columns, found.columns),
            ("data set", (*scale.data, *scale.on), found.data),
        )
        for kind, chosen, known in names:
            if missing := [name for name in chosen if name not in known]:
                raise unknown(f"{kind} in {path}", missing[0], known)
    if not (found.rows and found.columns and found.data and found.scales):
        raise SigmaeError(f"{path} needs rows, columns, data and scales, one of each at the least.")
    features = [scale.features for scale in found.scales.values() if scale.features]
    foreign = dict.fromkeys(
        match[1]
        for text in texts([[options for _, options in all_options(found)], features, found.metrics])
        if (match := FOREIGN.search(text))
    )
    if untrusted := [module for module in foreign if module not in trust]:
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


def texts(value: Any) -> Iterator[str]:
    """Every text within nested data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from chain.from_iterable(map(texts, value.values()))
    elif isinstance(value, list | tuple):
        yield from chain.from_iterable(map(texts, value))
