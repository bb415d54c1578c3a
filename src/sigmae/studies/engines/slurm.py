"""The engine `slurm`: one job a task, by submitit (the extra `slurm`)."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sigmae.errors import SigmaeError, unknown
from sigmae.studies.engines.engine import attempt, check_least, Finished, require, supervise, Task

GRACE = 5.0  # seconds to see cancelled jobs end; SLURM sees to it after that


@dataclass(frozen=True)
class Slurm:
    """One job a task, submitted as an array; `folder` (on a disk that the nodes share) gets the jobs' files and logs.

    `options` are more parameters by submitit's names, such as slurm_account, slurm_qos or mem_gb. A job that dies or
    runs out of its `minutes` is submitted again, and continues, at most `retries` times. This process must live until
    the end; killed outright, it leaves its jobs to SLURM, and they must end before the study is continued.
    The cluster `local` starts all jobs at once on this machine, for trying things out.
    """

    folder: str | Path = "slurm-jobs"
    cluster: str = "slurm"
    partition: str | None = None
    minutes: int = 24 * 60
    cpus: int = 1
    gpus: int = 0
    retries: int = 3
    seconds: float = 2.0  # between looks at the jobs
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require("submitit", "slurm")
        check_least(self, minutes=1, cpus=1, gpus=0, retries=0)
        if self.cluster not in ("slurm", "local"):
            raise unknown("cluster of the engine slurm", self.cluster, ("slurm", "local"))

    def run(self, tasks: Mapping[str, Task], finished: Finished) -> None:
        supervise(Jobs(self.executor(), self.seconds), tasks, finished, self.retries)

    def executor(self) -> Any:
        """submitit's executor with this engine's parameters."""
        from submitit import AutoExecutor

        try:
            executor = AutoExecutor(self.folder, self.cluster)
            executor.update_parameters(
                timeout_min=self.minutes,
                cpus_per_task=self.cpus,
                gpus_per_node=self.gpus or None,
                slurm_partition=self.partition,
                **self.options,
            )
        except RuntimeError as error:
            raise SigmaeError(
                f"No SLURM here ({error}): run this on a login node, or choose another engine."
            ) from error
        except (AssertionError, NameError, TypeError, ValueError) as error:
            raise SigmaeError(f"submitit refuses these options: {error}") from error
        return executor


class Jobs:
    """Jobs that are submitted together and looked at in turn."""

    def __init__(self, executor: Any, seconds: float) -> None:
        self.executor, self.seconds = executor, seconds
        self.waiting: list[tuple[str, Task]] = []
        self.running: list[tuple[str, Any]] = []

    def submit(self, name: str, task: Task) -> None:
        self.waiting.append((name, task))

    def ended(self) -> Iterator[tuple[str, str | None]]:
        if self.waiting:
            self.running += self.start(self.waiting)
            self.waiting = []
        time.sleep(self.seconds)
        done = [(name, job) for name, job in self.running if job.done()]
        self.running = [entry for entry in self.running if entry not in done]
        for name, job in done:
            yield name, outcome(job)

    def start(self, waiting: list[tuple[str, Task]]) -> list[tuple[str, Any]]:
        """Submit these tasks as one array."""
        from submitit.core.utils import FailedJobError

        try:
            with self.executor.batch():
                return [(name, self.executor.submit(attempt, task)) for name, task in waiting]
        except FailedJobError as error:
            raise SigmaeError(f"SLURM did not take the jobs: {last_line(error)}") from error

    def close(self) -> None:
        for _, job in self.running:
            job.cancel(check=False)
        end = time.monotonic() + GRACE
        while time.monotonic() < end and not all(job.done() for _, job in self.running):
            time.sleep(0.1)


def outcome(job: Any) -> str | None:
    """The error that a task ended with; None where its job did not get to the end."""
    from submitit.core.utils import FailedJobError, UncompletedJobError

    try:
        told: str = job.result()
    except FailedJobError as error:
        return f"Its job {job.job_id} could not start it: {last_line(error)}"
    except UncompletedJobError:
        return None
    return told


def last_line(error: Exception) -> str:
    """The line of a long message that says what happened."""
    return str(error).strip().splitlines()[-1]
