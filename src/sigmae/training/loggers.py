"""Loggers: a run's losses and numbers in TensorBoard, Weights & Biases and MLflow, by Lightning's own loggers."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TYPE_CHECKING

from sigmae.config import RunConfig
from sigmae.conversion import as_json
from sigmae.errors import one_line, SigmaeError
from sigmae.files import digest, read_json, write_json
from sigmae.plugins import resolve
from sigmae.training.loop import Observer, Report

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger

    from sigmae.evaluation import Row

STRANGE = re.compile(r"[^\w./-]+")  # in a number's name, for one logger or the other
SPLITS = ("train", "validation")
MLFLOW_RUN = "mlflow.json"  # in the run's folder: the run there that is continued


def tensorboard(folder: Path) -> "Logger":
    """Event files in the run's folder: `tensorboard --logdir` of the folder that holds the runs."""
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    return TensorBoardLogger(folder, name="tensorboard", version="")


def wandb(folder: Path) -> "Logger":
    """A run of Weights & Biases, in the project and the mode that its settings name; continued by its number.

    Its files lie where WANDB_DIR says, or in the working folder: they have links, which no run's folder may have.
    """
    from pytorch_lightning.loggers import WandbLogger

    number = digest(str(folder.resolve()).encode())[:16]
    return WandbLogger(folder.name, os.environ.get("WANDB_DIR", "."), id=number, resume="allow")


def mlflow(folder: Path) -> "Logger":
    """A run of MLflow in the experiment sigmae, where its settings say, or by its default; continued by its number."""
    from mlflow import get_tracking_uri
    from pytorch_lightning.loggers import MLFlowLogger

    kept = folder / MLFLOW_RUN
    number = read_json(kept).get("run") if kept.exists() else None
    logger = MLFlowLogger("sigmae", folder.name, get_tracking_uri(), run_id=number)
    write_json(kept, {"run": logger.run_id})
    return logger


LOGGERS: Mapping[str, Callable[[Path], "Logger"]] = {
    "tensorboard": tensorboard,
    "wandb": wandb,
    "mlflow": mlflow,
}


def make_logger(name: str, folder: Path) -> "Logger":
    """The logger of that name for a run's folder, or what a third party's `module:attribute` makes of the folder."""
    maker = resolve("logger", name, LOGGERS)
    try:
        logger: Logger = maker(folder)
    except ModuleNotFoundError as error:
        raise SigmaeError(f"The logger {name} needs the extra {name}: pip install 'sigmae[{name}]'.") from error
    except Exception as error:  # each has errors of its own
        raise SigmaeError(
            f"The logger {name} does not start ({one_line(error)}): mend its settings, or leave --logger out."
        ) from error
    return logger


@contextmanager
def logged(
    names: Sequence[str], folder: Path, config: RunConfig, warn: Callable[[str], None] = lambda message: None
) -> "Iterator[Log]":
    """The loggers of those names, told the run's configuration, and closed whatever happens."""
    log = Log({name: make_logger(name, folder) for name in names}, warn)
    settings = dict(leaves(as_json(config)))
    log.tell(lambda logger: logger.log_hyperparams(settings))
    status = "failed"
    try:
        yield log
        status = "success"
    finally:
        log.tell(lambda logger: end(logger, status))


class Log:
    """Several loggers as one. One that fails is told of and left: no run ends for it."""

    def __init__(self, loggers: "Mapping[str, Logger]", warn: Callable[[str], None]) -> None:
        self.loggers, self.warn = dict(loggers), warn

    def training(self, report: Report) -> None:
        """An observer of training: the terms of some steps, and of every epoch both splits' and the learning rate."""
        record, step = report.record, report.progress.step
        if record is None:
            self.numbers({f"step/{name}": value for name, value in report.terms.items()}, step)
            return
        losses = {f"{split}/{name}": value for split in SPLITS for name, value in record[split].items()}
        self.numbers({**losses, "epoch": record["epoch"], "lr": record["lr"]}, step)

    def rows(self, rows: "Sequence[Row]", step: int) -> None:
        """The numbers of an evaluation, at the last step."""
        named = {f"{row.metric}/{row.of}".rstrip("/"): row.value for row in rows}
        self.numbers({STRANGE.sub("-", name).strip("-"): value for name, value in named.items()}, step)

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Numbers by name."""
        self.tell(lambda logger: logger.log_metrics(dict(values), step))

    def tell(self, call: "Callable[[Logger], Any]") -> None:
        """Do something with every logger that has not failed yet."""
        for name, logger in list(self.loggers.items()):
            try:
                call(logger)
            except Exception as error:  # a server that is gone, a full disk of another
                del self.loggers[name]
                self.warn(f"The logger {name} has failed ({one_line(error)}), and is told nothing more.")


def end(logger: "Logger", status: str) -> None:
    """Write what is left; a run of Weights & Biases is finished too, which its logger leaves to the process."""
    logger.finalize(status)
    if callable(finish := getattr(getattr(logger, "experiment", None), "finish", None)):
        finish()


def both(first: Observer, second: Observer) -> Observer:
    """An observer that tells two."""

    def observe(report: Report) -> None:
        first(report)
        second(report)

    return observe


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The plain values within nested ones, by dotted names; a list is one value."""
    if not isinstance(value, Mapping):
        yield name, value if isinstance(value, str | int | float | bool) else json.dumps(value)
        return
    for key, member in value.items():
        yield from leaves(member, f"{name}.{key}".lstrip("."))
