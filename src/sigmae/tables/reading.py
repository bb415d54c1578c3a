"""Reading: from the TOML of a table to its plain data, with what it extends and its lists `each` written out."""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from sigmae.errors import SigmaeError, unknown
from sigmae.files import check_depth
from sigmae.tables.names import TABLES, text_of


def whole(text: str, path: str) -> dict[str, Any]:
    """What a text of TOML says, added to what it `extends`: rows, data and scales are added, all else replaces."""
    try:
        raw = tomllib.loads(text)
        check_depth(raw)
    except (ValueError, RecursionError) as error:
        raise SigmaeError(f"{path} cannot be read as TOML ({error}).") from error
    for section in ("rows", "columns", "data", "scales"):
        if not isinstance(raw.get(section, {}), Mapping):
            raise SigmaeError(f"In {path}: '{section}' is a table of names, got {raw[section]!r}.")
    for section in ("rows", "columns", "data"):
        if section in raw:
            raw[section] = apart(raw[section], path)
    if (base := raw.pop("extends", None)) is None:
        return raw
    if str(base) not in TABLES:
        raise unknown(f"table that {path} extends", str(base), TABLES)
    older = whole(text_of(base), base)
    added = {name: {**older.get(name, {}), **raw.get(name, {})} for name in ("rows", "data", "scales")}
    return {**older, **raw, **added}


def apart(named: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The entries of a section, those of lists `each` one by one; two of one name are refused."""
    entries: dict[str, Any] = {}
    for label, one in (pair for entry in named.items() for pair in unfolded(*entry, path)):
        if label in entries:
            raise SigmaeError(f"In {path}: there are two of '{label}': name every entry of 'each' in its label, once.")
        entries[label] = one
    return entries


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
    """A value with every {name} in its texts replaced."""
    if isinstance(value, str):
        for name, word in words.items():
            value = value.replace(name, word)
        return value
    if isinstance(value, Mapping):
        return {name: filled(inner, words) for name, inner in value.items()}
    return [filled(inner, words) for inner in value] if isinstance(value, list) else value
