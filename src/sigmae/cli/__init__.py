"""The command line: one verb each. Nothing heavy is imported before a verb needs it."""

import os
import signal
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any

from sigmae.cli import catalogue, explore, export, runs, studies
from sigmae.cli.app import app
from sigmae.errors import printable, SigmaeError
from sigmae.machine import explained
from sigmae.signals import raised_on_terminate

__all__ = ["app", "catalogue", "explore", "export", "main", "runs", "studies"]


def main(arguments: list[str] | None = None) -> None:
    """Run a command; what a user can mend is told in a sentence, without a traceback."""
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # workers would look for modules in the working folder first
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # half characters of a file's name, or a narrow encoding
    sys.exit(guarded(lambda: app(arguments, result_action="return_value")))


def guarded(command: Callable[[], Any]) -> int:
    """The exit status of a command: 0, 1 after an error, 130 after Ctrl-C, 143 after SIGTERM."""
    try:
        with raised_on_terminate():
            command()
        sys.stdout.flush()
        return 0
    except SigmaeError as error:
        return fail(str(error))
    except KeyboardInterrupt as error:
        number = getattr(error, "number", signal.SIGINT)
        return fail("Interrupted; what was saved is whole, and the same command continues.", 128 + number)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, MemoryError, RuntimeError) as error:
        if told := explained(error):
            return fail(told)
        raise


def fail(message: str, status: int = 1) -> int:
    """Print an error on one line and return the status."""
    print("sigmae:", *printable(message).split(), file=sys.stderr)
    return status
