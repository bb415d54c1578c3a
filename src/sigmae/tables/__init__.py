"""The tables of the five papers as data, and studies of one's own: measured beside published."""

from collections.abc import Callable
from pathlib import Path

from sigmae.files import write_bytes, write_json, write_text
from sigmae.runs import commit, processor
from sigmae.studies.cells import Cell, is_complete
from sigmae.studies.engines import Engine, make_engine
from sigmae.studies.study import pictures_of, Study, UNSAFE
from sigmae.tables.bandwidths import bandwidths
from sigmae.tables.charts import charts
from sigmae.tables.checks import definition_of
from sigmae.tables.definition import Definition
from sigmae.tables.names import TABLES
from sigmae.tables.plan import Choices, Entry, Plan, plan_table
from sigmae.tables.rendering import as_record, markdown, numbers_csv, page
from sigmae.tables.reproduction import circumstances_of, failed_places, Reproduction, reproduction, values_of

__all__ = [
    "TABLES",
    "Choices",
    "Definition",
    "Plan",
    "Reproduction",
    "definition_of",
    "plan_table",
    "reproduce",
    "write_reproduction",
]


def write_reproduction(found: Reproduction, plan: Plan, runs: Path, out: Path) -> None:
    """Leave table.json, .csv, .md and .html in a folder, and the charts of a figure as SVG."""
    write_json(out / "table.json", as_record(found))
    write_text(out / "table.csv", numbers_csv(found))
    write_text(out / "table.md", markdown(found))
    drawn = charts(found, plan.definition.figure)
    for (data, column), svg in drawn.items():
        write_bytes(out / f"{UNSAFE.sub('-', f'{data}-{column}')}.svg", svg)
    write_text(out / "table.html", page(found, pictures_of_rows(plan, runs), drawn))


def pictures_of_rows(plan: Plan, runs: Path) -> dict[str, dict[str, dict[str, bytes]]]:
    """The pictures of the first run of every row, by data and row."""
    found: dict[str, dict[str, dict[str, bytes]]] = {}
    for entry in plan.entries:
        rows = found.setdefault(entry.place.data, {})
        if entry.cells and entry.place.row not in rows:
            folder = entry.cells[0].folder(runs.absolute())
            if is_complete(entry.cells[0], folder, plan.scoring):
                rows[entry.place.row] = pictures_of(folder, plan.definition.pictures)
    return found


def reproduce(
    plan: Plan,
    runs: Path,
    *,
    engine: Engine | None = None,
    finished: Callable[[Cell | Entry, str], None] = lambda done, error: None,
    together: bool = False,
) -> Reproduction:
    """Make the runs of a plan that are not there yet, in sub-folders of `runs`, and collect the table."""
    if plan.definition.measured_by == "bandwidths":
        found = bandwidths(plan, lambda entry: finished(entry, ""))
        return reproduction(plan, found, {}, {"commit": commit() or "", "hardware": processor()})
    study = Study(plan.cells, plan.scoring, runs.absolute())
    failures = study.run(engine or make_engine("here"), finished, together=together)
    values = values_of(plan, study)
    return reproduction(plan, values, failed_places(plan, failures), circumstances_of(plan, study))
