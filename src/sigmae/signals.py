"""Ctrl-C and kill as a request: the loop finishes its step, saves, and stops."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A command was stopped by the signal of that number; training saved its state first."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = number


@dataclass
class StopRequest:
    """Whether a stop was asked for: the number of the signal, or 0."""

    number: int = 0

    def obey(self) -> None:
        """Raise `Interrupted` if a stop was asked for."""
        if self.number:
            raise Interrupted(self.number)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request; a second one acts as it always does."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request  # signals belong to the main thread
        return

    def ask(number: int, frame: FrameType | None) -> None:
        request.number = number
        signal.signal(number, previous[signal.Signals(number)])

    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in previous:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def raised_on_terminate() -> Iterator[None]:
    """Let SIGTERM end a block as Ctrl-C does, by an exception; where it has a handler already, that stays."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
