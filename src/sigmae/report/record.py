"""What a run's folder holds, read and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigmae import files
from sigmae.errors import SigmaeError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
VERSION = 1
# what an evaluation may have beside its rows
FORM = {"metrics": dict, "features": dict, "left_out": dict, "pictures": list, "measured": list}
MACHINE = {"commit", "gpu", "packages", "processor", "python", "threads"}


@dataclass(frozen=True)
class Record:
    """A run as its files tell it; what is missing is empty."""

    config: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    evaluation: Mapping[str, Any]
    environment: Mapping[str, Any]
    figures: Mapping[str, bytes]

    @property
    def measurements(self) -> Sequence[Mapping[str, Any]]:
        """The rows of `evaluation.json`: `metric`, `of`, `value`, `count`, `unit`, `protocol`."""
        rows: Sequence[Mapping[str, Any]] = self.evaluation.get("rows", [])
        return rows

    @property
    def model(self) -> Mapping[str, Any]:
        """The model's part of `config.json`: `objective`, `latent_dim`, `shape`, `network`."""
        model = self.config.get("model")
        return model if isinstance(model, Mapping) else {}


def read_record(folder: Path) -> Record:
    """Everything in a run's folder that a page can show; only `config.json` has to be there.

    Raises `SigmaeError`, naming the file, for one that is damaged, of another version or not of its form.
    """
    files.refuse_links(folder)
    return Record(
        config=_versioned(folder / "config.json"),
        history=_lines(folder / "metrics.jsonl"),
        evaluation=read_evaluation(folder / "evaluation.json") if (folder / "evaluation.json").exists() else {},
        environment=_table(folder / "environment.json") if (folder / "environment.json").exists() else {},
        figures={path.stem: _png(path) for path in sorted((folder / "figures").glob("*.png"))},
    )


def read_evaluation(path: Path) -> dict[str, Any]:
    """What an `evaluation.json` holds, its version and its form checked."""
    evaluation = _versioned(path)
    for name, kind in FORM.items():
        if not isinstance(evaluation.get(name, kind()), kind):
            raise SigmaeError(f"'{name}' in {path} is no {kind.__name__}: evaluate the run again.")
    _check_rows(path, evaluation.get("rows", []))
    return evaluation


def read_environment(path: Path) -> dict[str, Any]:
    """What an `environment.json` holds, one that says all of `MACHINE`."""
    environment = _table(path)
    packages = environment.get("packages")
    if environment.keys() >= MACHINE and isinstance(packages, dict) and {"sigmae", "torch"} <= packages.keys():
        return environment
    raise SigmaeError(f"{path} does not say where the run was made: delete it, and repeat the command.")


def _table(path: Path) -> dict[str, Any]:
    return _object(files.read_json(path), str(path))


def _versioned(path: Path) -> dict[str, Any]:
    content = _table(path)
    if content.get("version") != VERSION:
        found = f"{path} has version {content.get('version')!r}, this sigmae reads {VERSION}"
        raise SigmaeError(f"{found}: use the sigmae that wrote it.")
    return content


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        message = f"{place} holds a {type(value).__name__} where an object with names belongs: restore it."
        raise SigmaeError(message)
    return value


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    history = []
    for number, line in enumerate(files.read_bytes(path).splitlines(), start=1):
        place = f"Line {number} of {path}"
        try:
            record = _object(files.from_json(line.decode()), place)
        except ValueError as error:
            message = f"{place} is not whole JSON ({error}): remove it, or restore the file."
            raise SigmaeError(message) from error
        if not isinstance(record.get("epoch"), int):
            raise SigmaeError(f"{place} has no whole number 'epoch': remove it, or restore the file.")
        history.append(record)
    return history


def _check_rows(path: Path, rows: Any) -> None:
    if not isinstance(rows, list):
        raise SigmaeError(f"'rows' in {path} is a {type(rows).__name__}, not a list: evaluate the run again.")
    for number, row in enumerate(rows, start=1):
        place = f"Row {number} of {path}"
        if missing := sorted({"metric", "of", "value"} - _object(row, place).keys()):
            raise SigmaeError(f"{place} lacks {', '.join(missing)}: evaluate the run again.")
        if not (isinstance(row["metric"], str) and isinstance(row["of"], str)):
            raise SigmaeError(f"{place} has a metric, or what it is of, that is no text: evaluate the run again.")


def _png(path: Path) -> bytes:
    content = files.read_bytes(path)
    if not content.startswith(PNG_SIGNATURE) or len(content) < 24:
        raise SigmaeError(f"{path} is not a PNG picture: delete it, or evaluate the run again.")
    return content
