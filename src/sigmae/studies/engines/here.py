"""The engine `here`: this process, one task after the other."""

from collections.abc import Mapping
from dataclasses import dataclass

from sigmae.studies.engines.engine import attempt, Finished, Task


@dataclass(frozen=True)
class Here:
    """Runs the tasks in order, in this process, with all of its cores and its GPU."""

    def run(self, tasks: Mapping[str, Task], finished: Finished) -> None:
        for name, task in tasks.items():
            finished(name, attempt(task))
