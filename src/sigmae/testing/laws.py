"""Laws: small named functions of what is on trial, each of which raises a sentence where it does not hold."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from sigmae.errors import unknown

Law = Callable[[Any], None]
Checks = list[tuple[str, Callable[[], None]]]


class LawBroken(AssertionError):
    """Which law does not hold: what was got, why it cannot be, what to do instead."""


def require(holds: object, sentence: str) -> None:
    """Raise the sentence unless the law holds."""
    if not holds:
        raise LawBroken(sentence)


def checks_of(trials: Sequence[tuple[object, Sequence[Law]]], without: Collection[str] = ()) -> Checks:
    """The names of the laws of every trial, but for some, each with a function of no arguments that checks it."""
    known: Mapping[str, Callable[[], None]] = {
        law.__name__: partial(check, law, trial) for trial, laws in trials for law in laws
    }
    for name in without:
        if name not in known:
            raise unknown("law", name, known)
    return [(name, hold) for name, hold in known.items() if name not in without]


def check(law: Law, trial: object) -> None:
    """Raise `LawBroken` with the law's name where it does not hold, or where what is on trial fails in another way."""
    try:
        law(trial)
    except LawBroken as broken:
        raise LawBroken(f"{law.__name__}: {broken}") from broken.__cause__
    except Exception as error:  # it is another's code, which can raise anything
        raise LawBroken(f"{law.__name__}: {trial} raised {type(error).__name__} ({error}).") from error


def check_all(checks: Checks) -> None:
    """Raise the first law that does not hold."""
    for _, hold in checks:
        hold()
