"""What every engine shares: the tasks it runs, the crew that works for it, and what becomes of a lost worker."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import Protocol, runtime_checkable

from sigmae.errors import SigmaeError
from sigmae.machine import explained
from sigmae.signals import stop_on_signals

Task = Callable[[], None]  # can be pickled; run again, it continues or finds itself done
Finished = Callable[[str, str], None]  # told the task's name, and a sentence on what it failed with, or ""


@runtime_checkable
class Engine(Protocol):
    """A place where tasks are run."""

    def run(self, tasks: Mapping[str, Task], finished: Finished) -> None:
        """Run every task, and call `finished` here as each one ends; a task that fails stops no other.

        Ctrl-C and SIGTERM stop all workers, and are raised on as `KeyboardInterrupt`.
        """
        ...


@runtime_checkable
class Crew(Protocol):
    """The workers of an engine that are not this process."""

    def submit(self, name: str, task: Task) -> None:
        """Take on a task, to be started when there is room."""
        ...

    def ended(self) -> Iterable[tuple[str, str | None]]:
        """The tasks that ended, with their error, or None where the worker was lost; waits a moment at most."""
        ...

    def close(self) -> None:
        """Let everyone go; tasks that still run are asked to stop, then made to."""
        ...


def supervise(crew: Crew, tasks: Mapping[str, Task], finished: Finished, retries: int) -> None:
    """Have a crew run the tasks; one whose worker is lost is run again, at most `retries` times."""
    losses: Counter[str] = Counter()
    left = set(tasks)
    with stop_on_signals() as request:
        try:
            for name, task in tasks.items():
                crew.submit(name, task)
            while left:
                request.obey()
                for name, error in crew.ended():
                    losses[name] += error is None
                    if error is None and losses[name] <= retries:
                        crew.submit(name, tasks[name])
                    else:
                        left.remove(name)
                        finished(name, lost(losses[name]) if error is None else error)
        finally:
            crew.close()


def attempt(task: Task) -> str:
    """Run a task, and say what it failed with; "" is success. Workers send sentences, which every engine can carry."""
    try:
        task()
    except (Exception, SystemExit) as error:
        return sentence(error)
    return ""


def sentence(error: BaseException) -> str:
    """An error in words: ours are sentences already, of others their type and message."""
    if isinstance(error, SigmaeError) and str(error):
        return str(error)
    return explained(error) or f"{type(error).__name__}: {error}"


def lost(times: int) -> str:
    """What is told of a task whose workers do not come back."""
    return (
        f"Its worker was lost {times} times, killed or out of memory: run fewer at once or give each more memory, "
        "then repeat the command to continue it."
    )


def require(package: str, extra: str) -> None:
    """Refuse to go on without the package of an extra."""
    if find_spec(package) is None:
        raise SigmaeError(f"The engine {extra} needs the extra {extra}: pip install 'sigmae[{extra}]'.")


def check_least(engine: Engine, **least: int) -> None:
    """Refuse an engine whose option is below the least that it can be; one that is None stands for a default."""
    for name, limit in least.items():
        value = getattr(engine, name)
        if value is not None and value < limit:
            raise SigmaeError(f"An engine's {name} cannot be {value}: give {limit} or more.")
