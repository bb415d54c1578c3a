"""What went wrong, told to the person who can mend it."""

from collections.abc import Iterable
from difflib import get_close_matches


class SigmaeError(Exception):
    """A sentence: what was got, why it cannot be, what to do instead."""


class IncompatibleParts(SigmaeError):
    """Two parts that cannot be one objective; raised when the objective is built."""


def printable(text: str) -> str:
    """Text in which no character commands the terminal that shows it: a stranger's file may hold any."""
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)


def one_line(error: Exception) -> str:
    """A stranger's error, its kind before what it says, cut to the line and the length that a sentence holds."""
    return f"{type(error).__name__}: {error}".partition("\n")[0][:300]


def hint(name: str, known: Iterable[str]) -> str:
    """The question whether the nearest of the names was meant; empty where none is near."""
    nearest = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{nearest[0]}'?" if nearest else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> SigmaeError:
    """The error for a name that is not in `known`: it names the nearest one and lists them all."""
    names = sorted(known)
    return SigmaeError(f"Unknown {kind} '{name}'.{hint(name, names)} There is: {', '.join(names)}.")
