"""Engines: where the cells of a study are run. Each is another's scheduler behind the same one method."""

from typing import Any, get_type_hints

from sigmae.conversion import structure
from sigmae.errors import SigmaeError, unknown
from sigmae.studies.engines.engine import Engine, Finished, Task
from sigmae.studies.engines.here import Here
from sigmae.studies.engines.processes import Processes
from sigmae.studies.engines.ray_cluster import Ray
from sigmae.studies.engines.slurm import Slurm

__all__ = ["ENGINES", "Engine", "Finished", "Here", "Processes", "Ray", "Slurm", "Task", "make_engine"]

ENGINES = {"here": Here, "processes": Processes, "ray": Ray, "slurm": Slurm}


def make_engine(name: str, **options: Any) -> Engine:
    """The engine of that name, with its own options, which may be text.

    `slurm` takes submitit's too, by their names: slurm_account, slurm_qos, mem_gb.
    """
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    kinds = get_type_hints(ENGINES[name])
    own: dict[str, Any] = {}
    for option, value in options.items():
        if not kinds:
            raise SigmaeError(f"The engine {name} takes no options, got '{option}': leave it out.")
        if name == "slurm" and (option.startswith("slurm_") or option == "mem_gb"):
            own["options"] = {**own.get("options", {}), option: value}
        elif option in kinds:
            own[option] = structure(value, kinds[option], f"the engine's {option}")
        else:
            raise unknown(f"option of the engine {name}", option, kinds)
    engine: Engine = ENGINES[name](**own)
    return engine
