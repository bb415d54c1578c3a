"""The command line: one verb each. Nothing heavy is imported before a verb needs it."""

import errno
import os
import sys
from collections.abc import Callable
from typing import Any

from sigmae.cli import catalogue, runs, studies
from sigmae.cli.app import app
from sigmae.errors import SigmaeError

__all__ = ["app", "catalogue", "main", "runs", "studies"]


def main(arguments: list[str] | None = None) -> None:
    """Run a command; what a user can mend is told in a sentence, without a traceback."""
    sys.exit(guarded(lambda: app(arguments, result_action="return_value")))


def guarded(command: Callable[[], Any]) -> int:
    """The exit status of a command: 0, 1 after an error, 130 after Ctrl-C."""
    try:
        command()
        sys.stdout.flush()
        return 0
    except SigmaeError as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("Interrupted; what was saved is whole, and the same command continues.", 130)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return fail(
                f"No space left to write {error.filename or 'a file'}; what was written before is whole: "
                "free some space, and the same command continues."
            )
        if error.filename is not None:
            return fail(f"{error.strerror}: {error.filename}.")
        raise


def fail(message: str, status: int = 1) -> int:
    """Print an error and return the status."""
    print(f"sigmae: {message}", file=sys.stderr)
    return status
