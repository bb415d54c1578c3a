"""The engine `processes`: worker processes on this machine, by joblib's loky."""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sigmae.studies.engines.engine import attempt, check_least, Finished, sentence, supervise, Task

POLL = 0.2  # seconds between looks at a request to stop
GRACE = 20.0  # seconds that a worker has to save its state, once it is asked to stop
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Processes:
    """`workers` processes (default: one a core), which share the cores evenly unless the environment says how many.

    A worker that is killed costs its own task's last minutes and no other's; its task is run again, at most
    `retries` times.
    """

    workers: int | None = None
    retries: int = 3

    def __post_init__(self) -> None:
        check_least(self, workers=1, retries=0)

    def run(self, tasks: Mapping[str, Task], finished: Finished) -> None:
        from joblib import cpu_count

        workers = min(self.workers or cpu_count(), max(1, len(tasks)))
        supervise(Workers(workers, environment(cpu_count() // workers)), tasks, finished, self.retries)


def environment(threads: int) -> dict[str, str]:
    """What workers find in their environment: threads to use, and no spinning on cores that others need."""
    shares = {name: os.environ.get(name, str(max(1, threads))) for name in THREADS}
    return {**shares, "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive")}


class Workers:
    """Worker processes that take the next waiting task as they get free."""

    def __init__(self, count: int, environment: dict[str, str]) -> None:
        self.idle = [Worker(environment) for _ in range(count)]
        self.waiting: deque[tuple[str, Task]] = deque()
        self.running: dict[Any, tuple[str, Worker]] = {}

    def submit(self, name: str, task: Task) -> None:
        self.waiting.append((name, task))

    def ended(self) -> Iterator[tuple[str, str | None]]:
        from joblib.externals.loky import FIRST_COMPLETED, wait

        while self.waiting and self.idle:
            (name, task), worker = self.waiting.popleft(), self.idle.pop()
            self.running[worker.start(task)] = name, worker
        done, _ = wait(self.running, timeout=POLL, return_when=FIRST_COMPLETED)
        for future in done:
            name, worker = self.running.pop(future)
            self.idle.append(worker)
            yield name, outcome(future)

    def close(self) -> None:
        from joblib.externals.loky import wait

        busy = [worker for _, worker in self.running.values()]
        try:
            for worker in busy:
                worker.ask_to_stop()
            wait(self.running, timeout=GRACE)
        finally:
            for worker in [*busy, *self.idle]:
                worker.end(kill=bool(busy))


class Worker:
    """One process. Its pool is its own: when a process of a loky pool dies, loky ends all the others of that pool."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.pool = self.new_pool()

    def new_pool(self) -> Any:
        from joblib.externals.loky import ProcessPoolExecutor

        return ProcessPoolExecutor(
            max_workers=1, initializer=prepare, initargs=(os.getpid(),), env=self.environment
        )  # whose process starts with its first task

    def start(self, task: Task) -> Any:
        """The future error of a task; a process that died, at its last task or idle, is replaced."""
        from joblib.externals.loky.process_executor import BrokenProcessPool

        try:
            return self.pool.submit(attempt, task)
        except BrokenProcessPool:
            self.end(kill=True)
            self.pool = self.new_pool()
            return self.pool.submit(attempt, task)

    def ask_to_stop(self) -> None:
        """Training saves its state at a SIGTERM; anything else ends at once."""
        for pid in list(self.pool._processes):  # loky has no public name for them
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue

    def end(self, *, kill: bool) -> None:
        self.pool.shutdown(kill_workers=kill)


def outcome(future: Any) -> str | None:
    """The error that a task ended with; None where its worker did not get to the end."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    error = future.exception()
    if error is None:
        told: str = future.result()
        return told
    return None if isinstance(error, (TerminatedWorkerError, KeyboardInterrupt)) else sentence(error)


def prepare(parent: int) -> None:
    """Make this process a worker: it leaves Ctrl-C to its parent, and does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()


def end_with(parent: int) -> None:
    """Stop once the parent is gone, as when asked to: two processes must not continue one run."""
    while os.getppid() == parent:
        time.sleep(POLL)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)
