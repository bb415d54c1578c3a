"""The processes of one data-parallel training on this machine: started, watched, and ended together."""

import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from threading import Thread
from types import FrameType
from typing import Any, TYPE_CHECKING

from sigmae.errors import SigmaeError
from sigmae.studies.engines.processes import end_with
from sigmae.training.processes import ProcessLost

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PARENT = "SIGMAE_PARENT"  # in the environment of one of several processes: who watches them
LOST = 75  # the exit status of a process that could not go on without another
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
POLL = 0.1  # seconds between looks
GRACE = 30.0  # seconds that the others have to end once one has failed


def to_be_started(fabric: "Fabric") -> bool:
    """Whether training takes several processes, and nobody has started them."""
    environment = getattr(fabric.strategy, "cluster_environment", None)
    return environment is not None and not environment.creates_processes_externally


def run_in_processes(fabric: "Fabric", count: int) -> int:
    """Run this very command in `count` processes; the exit status of the one that failed, or 0.

    Ctrl-C and SIGTERM are passed on to all of them.
    """
    crew = Crew()

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in crew.processes:
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        crew.start(fabric.strategy.cluster_environment, count)  # type: ignore[attr-defined]
        crew.wait()
        return crew.status()
    finally:
        crew.close()
        for number, handler in before.items():
            signal.signal(number, handler)


class Crew:
    """The processes, and what those say on standard error that do not show the progress."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.told: list[Any] = []
        self.killed: set[int] = set()

    def start(self, environment: Any, count: int) -> None:
        """Start `count` processes, each in a session of its own: a terminal's Ctrl-C shall reach them once."""
        place = {
            PARENT: os.getpid(),
            "MASTER_ADDR": environment.main_address,
            "MASTER_PORT": environment.main_port,
            "NODE_RANK": environment.node_rank(),
        }
        for rank in range(count):
            own = {name: str(value) for name, value in {**place, "LOCAL_RANK": rank}.items()}
            self.told.append(TemporaryFile() if rank else None)  # noqa: SIM115  # `close` does
            command = [sys.executable, *sys.orig_argv[1:]]
            self.processes.append(
                subprocess.Popen(command, env=os.environ | own, stderr=self.told[rank], start_new_session=True)
            )

    def wait(self) -> None:
        """Wait until all have ended; the others of one that failed do not wait for it for ever."""
        end = math.inf
        while None in (codes := [process.poll() for process in self.processes]):
            if any(code not in (None, 0, *STOPPED) for code in codes):
                end = min(end, time.monotonic() + GRACE)
            if time.monotonic() > end:
                self.kill()
            time.sleep(POLL)

    def kill(self) -> None:
        """End at once what still runs."""
        for rank, process in enumerate(self.processes):
            if process.poll() is None:
                self.killed.add(rank)
                process.kill()

    def close(self) -> None:
        """Leave nothing behind."""
        self.kill()
        for process, told in zip(self.processes, self.told, strict=False):
            process.wait()
            if told is not None:
                told.close()

    def status(self) -> int:
        """The exit status of the first that failed by itself; what it said is passed on."""
        codes = {rank: process.returncode for rank, process in enumerate(self.processes) if process.returncode}
        failed = [rank for rank, code in codes.items() if code != LOST and rank not in self.killed]
        if not codes:
            return 0
        if not failed:
            raise ProcessLost("A process on another machine has ended before its time, and says why itself.")
        rank, code = failed[0], codes[failed[0]]
        if code < 0:
            name = signal.Signals(-code).name
            raise SigmaeError(
                f"Process {rank + 1} of {len(self.processes)} was ended by {name}, as for want of memory; what was "
                "saved is whole, and the same command continues."
            )
        if self.told[rank]:
            self.told[rank].seek(0)
            sys.stderr.write(self.told[rank].read().decode(errors="replace"))
        return int(code)


@contextmanager
def one_of_several() -> Iterator[None]:
    """In a process that a parent watches: do not outlive it, and leave it to tell of another that is lost."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    parent = os.environ.get(PARENT)
    if parent is None:
        yield
        return
    Thread(target=end_with, args=(int(parent),), daemon=True).start()
    try:
        yield
    except ProcessLost:
        raise SystemExit(LOST) from None
