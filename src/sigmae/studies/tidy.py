"""Tidy files: the results of a study as CSV, one row for each number of each run."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from sigmae.errors import SigmaeError
from sigmae.files import write_text
from sigmae.studies.results import Result

DETAIL = "details."  # begins the names of the columns that hold details
NAMES = [field.name for field in fields(Result) if field.name != "details"]


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Write results as CSV in UTF-8, every text quoted; a detail that some results lack is empty there."""
    details = list(dict.fromkeys(name for result in results for name in result.details))
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")  # unquoted, "\r" would end a row
    writer.writerow([*NAMES, *(DETAIL + name for name in details)])
    for result in results:
        known = [getattr(result, name) for name in NAMES]
        writer.writerow([*known, *(_written(result.details.get(name)) for name in details)])
    write_text(path, file.getvalue())


def read_results(path: Path) -> list[Result]:
    """The results that `write_results` wrote, digit for digit; raises `SigmaeError` naming what is damaged."""
    if not path.is_file():
        raise SigmaeError(f"There is no table of results {path}: make one with sigmae compare.")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.DictReader(file, strict=True)
            if missing := [name for name in NAMES if name not in (lines.fieldnames or [])]:
                raise SigmaeError(f"{path} lacks {', '.join(missing)} in its first line: it is no table of results.")
            return [_result(line, f"Row {number} of {path}") for number, line in enumerate(lines, start=1)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise SigmaeError(f"{path} is not whole CSV in UTF-8 ({error}): write it again.") from error


def _result(line: dict[str, str], place: str) -> Result:
    try:
        known = {name: line[name] for name in ("label", "metric", "of", "unit", "run")}
        columns = {name.removeprefix(DETAIL): text for name, text in line.items() if name.startswith(DETAIL)}
        details = {name: _read(text) for name, text in columns.items() if text}
        return Result(seed=int(line["seed"]), value=float(line["value"]), details=details, **known)
    except (ValueError, TypeError, AttributeError) as error:
        raise SigmaeError(f"{place} does not hold what its columns say ({error}): it was cut or edited.") from error


def _written(detail: str | None) -> str:
    """A detail, so that an empty one is not a missing one."""
    if detail is None:
        return ""
    return json.dumps(detail) if not detail or detail.startswith('"') else detail


def _read(text: str) -> str:
    return str(json.loads(text)) if text.startswith('"') else text
