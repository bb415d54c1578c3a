"""Tasks for the engines' tests, which workers can import; each leaves a file for every time that it is run."""

import os
import signal
import sys
import time
from pathlib import Path

from sigmae.errors import SigmaeError

PATIENCE = 60.0  # seconds until something that never came is called missing


def await_file(path: Path) -> str:
    """What a file holds, once it is there."""
    end = time.monotonic() + PATIENCE
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.02)
    return path.read_text()


def mark(folder: Path, name: str) -> int:
    """Leave this process's number in a file; how many of them there were before."""
    before = len(list(folder.glob(f"{name}.*")))
    (folder / f"{name}.{before}").write_text(str(os.getpid()))
    return before


def fail_in_words(folder: Path, name: str) -> None:
    mark(folder, name)
    raise SigmaeError("The data lack labels: give some.")


def fail(folder: Path, name: str) -> None:
    mark(folder, name)
    raise ValueError("no such axis")


def leave(folder: Path, name: str) -> None:
    mark(folder, name)
    sys.exit("enough")


def fail_silently() -> None:
    raise SigmaeError


def await_other(folder: Path, name: str, other: str) -> None:
    mark(folder, name)
    await_file(folder / other)


def die(folder: Path, name: str) -> None:
    mark(folder, name)
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(folder: Path, name: str, other: str) -> None:
    """Be killed the first time, while another task runs."""
    if mark(folder, name) == 0:
        await_file(folder / other)
        os.kill(os.getpid(), signal.SIGKILL)


def sleep(folder: Path, name: str) -> None:
    mark(folder, name)
    end = time.monotonic() + 600
    while time.monotonic() < end:
        time.sleep(0.02)  # between which Ray interrupts


def save_when_asked(folder: Path, name: str) -> None:
    """As training does: a signal is a request, answered by leaving a file."""
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: asked.append(number))
    mark(folder, name)
    while not asked:
        time.sleep(0.02)
    (folder / "saved").write_text("yes")


def tell_threads(folder: Path, name: str) -> None:
    (folder / name).write_text(os.environ["OMP_NUM_THREADS"])
