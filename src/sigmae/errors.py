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


def unknown(kind: str, name: str, known: Iterable[str]) -> SigmaeError:
    """The error for a name that is not in `known`: it names the nearest one and lists them all."""
    names = sorted(known)
    nearest = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
    return SigmaeError(f"Unknown {kind} '{name}'.{hint} There is: {', '.join(names)}.")
