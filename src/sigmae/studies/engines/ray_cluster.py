"""The engine `ray`: a Ray cluster, the one of RAY_ADDRESS or one on this machine (the extra `ray`)."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sigmae.errors import SigmaeError
from sigmae.studies.engines.engine import attempt, check_least, Finished, require, sentence, supervise, Task

POLL = 0.2  # seconds between looks at a request to stop
GRACE = 20.0  # seconds that a task has to save its state, once it is asked to stop


@dataclass(frozen=True)
class Ray:
    """A task takes `cpus` and `gpus` of the cluster; fractions let several share one.

    Joins the cluster of the environment's RAY_ADDRESS, else starts one on this machine and ends it afterwards; one
    that this process is connected to already is used and left as it is. The nodes of a cluster must see this package,
    the data and the runs' folder under the same paths. A task whose worker is lost is run again, at most `retries`
    times.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    retries: int = 3

    def __post_init__(self) -> None:
        require("ray", "ray")
        check_least(self, cpus=0, gpus=0, retries=0)

    def run(self, tasks: Mapping[str, Task], finished: Finished) -> None:
        import ray

        if ray.is_initialized():
            supervise(Cluster(self), tasks, finished, self.retries)
            return
        try:
            self.connect()
            supervise(Cluster(self), tasks, finished, self.retries)
        finally:
            ray.shutdown()

    def connect(self) -> None:
        """Join the cluster of RAY_ADDRESS, or start one here, which reports to nobody."""
        import ray
        from ray.exceptions import AuthenticationError

        address = os.environ.get("RAY_ADDRESS")
        if address:
            try:
                ray.init(address, log_to_driver=False)
            except (ConnectionError, AuthenticationError) as error:
                raise SigmaeError(
                    f"No Ray cluster lets us in at RAY_ADDRESS={address}: start one there, set RAY_AUTH_MODE and "
                    "RAY_AUTH_TOKEN as it was started with, or unset RAY_ADDRESS."
                ) from error
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init("local", include_dashboard=False, log_to_driver=False)
        for resource, wanted in (("CPU", self.cpus), ("GPU", self.gpus)):
            has = ray.cluster_resources().get(resource, 0)
            if wanted > has:
                raise SigmaeError(f"A task wants {wanted:g} {resource}s, this machine has {has:g}: ask for less.")


class Cluster:
    """Tasks on the Ray cluster that this process is connected to."""

    def __init__(self, engine: Ray) -> None:
        import ray

        # Ray's own count of retries has no bound where memory runs out, so that ours is the only one.
        self.start = ray.remote(num_cpus=engine.cpus, num_gpus=engine.gpus, max_retries=0)(attempt).remote
        self.running: dict[Any, str] = {}

    def submit(self, name: str, task: Task) -> None:
        self.running[self.start(task)] = name

    def ended(self) -> Iterator[tuple[str, str | None]]:
        import ray

        done, _ = ray.wait(list(self.running), timeout=POLL)
        for reference in done:
            yield self.running.pop(reference), outcome(reference)

    def close(self) -> None:
        import ray

        running = list(self.running)
        if not running:
            return
        try:
            for reference in running:
                ray.cancel(reference)
            ray.wait(running, num_returns=len(running), timeout=GRACE)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def outcome(reference: Any) -> str | None:
    """The error that a task ended with; None where its worker did not get to the end."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        told: str = ray.get(reference)
    except RayTaskError as error:
        return None if isinstance(error.cause, KeyboardInterrupt) else sentence(error.cause)
    except RayError:
        return None
    return told
