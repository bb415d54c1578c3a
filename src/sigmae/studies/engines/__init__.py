"""Engines: where the cells of a study are run. Each is another's scheduler behind the same one method."""

from dataclasses import fields
from typing import Any

from sigmae.errors import SigmaeError, unknown
from sigmae.studies.engines.engine import Engine, Finished, Task
from sigmae.studies.engines.here import Here
from sigmae.studies.engines.processes import Processes
from sigmae.studies.engines.ray_cluster import Ray
from sigmae.studies.engines.slurm import Slurm

__all__ = ["ENGINES", "Engine", "Finished", "Here", "Processes", "Ray", "Slurm", "Task", "make_engine"]

ENGINES = {"here": Here, "processes": Processes, "ray": Ray, "slurm": Slurm}


def make_engine(name: str, **options: Any) -> Engine:
    """The engine of that name, with its own options."""
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    known = [field.name for field in fields(ENGINES[name])]
    for option in options:
        if not known:
            raise SigmaeError(f"The engine {name} takes no options, got '{option}': leave it out.")
        if option not in known:
            raise unknown(f"option of the engine {name}", option, known)
    engine: Engine = ENGINES[name](**options)
    return engine
