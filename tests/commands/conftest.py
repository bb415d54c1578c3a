import io
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest

from sigmae.cli import main

QUICK = ["--epochs", "2", "--features", "random"]


class Outcome(NamedTuple):
    """What a command left on the terminal."""

    status: int
    out: str
    err: str


def run(*arguments) -> Outcome:
    """A command, run in this process; a traceback would come out as the exception."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return Outcome(int(exit_.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(name="run")
def run_fixture():
    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run, for tests that do not change it."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert run("train", "digits", "--method", "rae-l2", *QUICK, "--out", folder).status == 0
    return folder
