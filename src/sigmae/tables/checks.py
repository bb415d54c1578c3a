"""Checks: a definition is read from its file, and refused where a name stands for nothing or for untrusted code."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any

from sigmae.conversion import structure
from sigmae.errors import SigmaeError, unknown
from sigmae.files import read_bytes
from sigmae.settings import TrainingConfig
from sigmae.tables.claims import check_claim
from sigmae.tables.definition import BANDWIDTH_OPTIONS, Definition, Options, Row, RUN_OPTIONS, Scale
from sigmae.tables.names import TABLES, text_of
from sigmae.tables.reading import whole

OPTIONS = (*RUN_OPTIONS, *(option.name for option in fields(TrainingConfig) if option.name != "seed"))
HUB = "hf:"
FOREIGN = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")  # the module:attribute that a source is imported from


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
        return defined(path.stem, read_bytes(path).decode(), name, trust)
    except (OSError, UnicodeDecodeError) as error:
        raise SigmaeError(f"{path} cannot be read ({error}).") from error


def defined(name: str, text: str, path: str, trust: Sequence[str] = ()) -> Definition:
    """The definition that a text of TOML holds."""
    found: Definition = structure({**whole(text, path), "name": name}, Definition, path)
    check(found, path, trust)
    return found


def check(found: Definition, path: str, trust: Sequence[str]) -> None:
    """Refuse names that stand for nothing, and code that is not trusted."""
    if not (found.rows and found.columns and found.data and found.scales):
        raise SigmaeError(f"{path} needs rows, columns, data and scales, one of each at the least.")
    check_options(found, path)
    check_parts(found, path)
    check_figure(found, path)
    for claim in found.claims:
        check_claim(claim, found.rows, found.columns, found.data)
    if untrusted := [module for module in modules(found) if module not in trust]:
        raise SigmaeError(
            f"{path} names code outside this library ({', '.join(untrusted)}), and the study would run it: "
            f"if you trust it, add --trust {untrusted[0]}."
        )


def check_options(found: Definition, path: str) -> None:
    """Refuse options that no run has."""
    allowed = OPTIONS if found.measured_by == "runs" else BANDWIDTH_OPTIONS
    for where, options in all_options(found):
        require_known(f"option in {where} of {path}", options, allowed)
        if not isinstance(settings := options.get("settings", []), list):
            raise SigmaeError(f"The settings in {where} of {path} are a list of part.field=value, got {settings!r}.")


def check_parts(found: Definition, path: str) -> None:
    """Refuse rows, columns and data that a row or a scale names and that the table does not have."""
    for label, row in found.rows.items():
        require_known(f"column of '{label}' in {path}", row.columns, found.columns)
        require_known(f"data set of '{label}' in {path}", row.on, found.data)
    for scale in found.scales.values():
        require_known(f"row in {path}", (*scale.rows, *scale.of), found.rows)
        require_known(f"column in {path}", scale.columns, found.columns)
        require_known(f"data set in {path}", (*scale.data, *scale.on), found.data)


def check_figure(found: Definition, path: str) -> None:
    """Refuse a figure of rows that are not there, or of lines that do not fit its values."""
    if found.figure is None:
        return
    for rows in found.figure.lines.values():
        require_known(f"row in the figure of {path}", rows, found.rows)
        if len(rows) != len(found.figure.at):
            raise SigmaeError(f"In the figure of {path}, every line has as many rows as 'at' has values.")


def require_known(kind: str, names: Collection[str], known: Collection[str]) -> None:
    """Refuse the first name that is not known."""
    if missing := [name for name in names if name not in known]:
        raise unknown(kind, missing[0], known)


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
