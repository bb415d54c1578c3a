"""Strict conversion between JSON-like data and typed values."""

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from typing import Any, get_origin, TypeVar

import cattrs
from cattrs import transform_error
from cattrs.errors import BaseValidationError, StructureHandlerNotFoundError

from sigmae.errors import SigmaeError
from sigmae.files import from_json

LONGEST_SHOWN = 200  # letters of a value in an error
MOST_TOLD = 8  # errors of one value
LARGEST = 3.4e38

T = TypeVar("T")


@cache
def converter() -> cattrs.Converter:
    """Strict: unknown keys are errors, an int is not cut from a float, a bool not guessed from a string."""
    strict = cattrs.Converter(forbid_extra_keys=True)
    strict.register_structure_hook(bool, lambda value, _: whole(value, bool, {"true": True, "false": False}))
    strict.register_structure_hook(int, lambda value, _: whole(value, int, {}))
    strict.register_structure_hook(float, lambda value, _: finite(value))
    strict.register_structure_hook(str, lambda value, _: whole(value, str, {}))
    strict.register_structure_hook(float | str, lambda value, _: number_or_text(value))
    for kind in (int, float):
        strict.register_structure_hook(kind | None, lambda value, _, kind=kind: or_none(value, kind))
    return strict


def whole(value: Any, kind: type[T], words: Mapping[str, T]) -> T:
    """`value` as `kind` if nothing is lost by it."""
    if type(value) is kind:
        return value
    if isinstance(value, str):
        if value in words:
            return words[value]
        if kind is int:
            return kind(value)  # type: ignore[call-arg]
    raise ValueError(f"{value!r} is not of type {kind.__name__}")


def finite(value: Any) -> float:
    """`value` as a number that a tensor can hold."""
    number = float(value)
    if not abs(number) <= LARGEST:
        raise ValueError("it is not finite, or too large for a float of 32 bits")
    return number


def or_none(value: Any, kind: type[T]) -> T | None:
    """A number, or nothing, which a command line calls none."""
    return None if value in (None, "none") else converter().structure(value, kind)


def number_or_text(value: Any) -> float | str:
    """A number where it is one, else the text."""
    try:
        return finite(value)
    except ValueError:
        return whole(value, str, {})


def structure(value: Any, kind: Any, where: str) -> Any:
    """A dataclass (or a field's value) from JSON-like data; what is wrong is named with its place."""
    if is_dataclass(kind) and not isinstance(value, Mapping):
        raise SigmaeError(f"In {where}: an object with names belongs there, not {shown(value)}.")
    try:
        listed = isinstance(value, str) and get_origin(kind) in (tuple, list, Sequence)
        return converter().structure(from_json(value) if listed else value, kind)
    except SigmaeError:
        raise
    except BaseValidationError as error:
        told = own_error(error)
        raise told or SigmaeError(f"In {where}: {'; '.join(transform_error(error)[:MOST_TOLD])}.") from error
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise SigmaeError(f"In {where}: {shown(value)} cannot be read ({error!s:.200}).") from error
    except StructureHandlerNotFoundError:
        return value  # a third party's own type


def shown(value: Any) -> str:
    """A value as an error shows it: the beginning of a long one."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def own_error(error: BaseException) -> SigmaeError | None:
    """The first error inside a group that is already a sentence of ours."""
    if isinstance(error, SigmaeError):
        return error
    inner = getattr(error, "exceptions", ())
    return next((found for found in map(own_error, inner) if found), None)


def as_json(config: Any) -> Any:
    """A configuration as JSON-like data."""
    return converter().unstructure(config)
