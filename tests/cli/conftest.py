"""The command line in process, and one finished run to copy from."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sigmae.cli import main

QUICK = ("--latent-dim", "2", "--epochs", "1", "--features", "random")


@dataclass(frozen=True)
class Answer:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """The errors as one line, out of their box."""
        return " ".join(re.sub("[│╭╮╰╯─]", " ", self.err).split())

    @property
    def json(self) -> Any:
        """The standard output, which must be JSON and nothing else."""
        return json.loads(self.out)


Command = Callable[..., Answer]


@pytest.fixture
def sigmae(capsys) -> Command:
    """Run `sigmae` with these arguments; an error that is not told in a sentence fails the test."""

    def run(*arguments: object) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Answer(stopped.value.code, printed.out, printed.err)

    return run


@pytest.fixture
def train(sigmae) -> Command:
    """`sigmae train` of an epoch with two latents."""

    def run(source: object, out: Path, *arguments: object) -> Answer:
        return sigmae("train", source, *QUICK, "--out", out, *arguments)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A finished run of the default method on digits: only to be read."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()), pytest.raises(SystemExit) as stopped:
        main(["train", "digits", *QUICK, "--out", str(folder)])
    assert stopped.value.code == 0
    return folder


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    """A copy of the finished run, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "copied"))


@pytest.fixture
def images(tmp_path) -> Path:
    """A file of 60 gray images of 8 by 8."""
    path = tmp_path / "images.npy"
    np.save(path, np.random.RandomState(0).rand(60, 8, 8).astype(np.float32))
    return path


@pytest.fixture
def own_module(tmp_path, monkeypatch) -> Callable[[str, str], None]:
    """Write a module into a fresh working folder; it is forgotten after the test."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(name: str, source: str) -> None:
        (folder / f"{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)

    return write


@pytest.fixture
def contents() -> Callable[[Path], dict[str, tuple[bytes, int]]]:
    """Every file below a folder but those of the cache, with its bytes and when it was written."""

    def read(folder: Path) -> dict[str, tuple[bytes, int]]:
        files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.parent.name != "cache")
        return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    return read
