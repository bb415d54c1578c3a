"""A study: cells that are run by an engine, and what is read from their folders afterwards."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path

from sigmae.errors import SigmaeError
from sigmae.evaluation import POINTS
from sigmae.files import read_bytes, write_text
from sigmae.metrics.inception import inception_code
from sigmae.report import read_evaluation
from sigmae.studies.cells import Cell, is_complete, rows_of, Scoring
from sigmae.studies.circumstances import circumstances
from sigmae.studies.engines import Engine
from sigmae.studies.groups import complete_group, groups
from sigmae.studies.rendering import latex, markdown, page, summary_csv
from sigmae.studies.results import Result
from sigmae.studies.table import by_data, OWN, Table, tabulate
from sigmae.studies.tidy import write_results

PICTURES = ("reconstructions", "interpolations")
UNSAFE = re.compile(r"[^\w=+.-]+")  # in a file's name
LONGEST = 60  # letters of data in a file's name

Failures = dict[Cell, str]


@dataclass(frozen=True)
class Study:
    """Cells, how they are scored, and the folder that holds their runs."""

    cells: Sequence[Cell]
    scoring: Scoring
    runs: Path

    def run(
        self,
        engine: Engine,
        finished: Callable[[Cell, str], None] = lambda cell, error: None,
        *,
        together: bool = False,
    ) -> Failures:
        """Complete the cells that are not yet; a sentence for each one that failed.

        A cell that is complete is told to `finished` at once; cells that are one run end together. With `together`,
        cells that are alike but for their seeds are trained as one program where that can be, and are one task of the
        engine. The Inception network's file is wanted before anything is trained.
        """
        waiting: dict[str, list[Cell]] = {}
        for cell in self.cells:
            if self.is_complete(cell):
                finished(cell, "")
            else:
                waiting.setdefault(cell.folder(self.runs).name, []).append(cell)
        runs = [same[0] for same in waiting.values()]
        parts = groups(runs) if together else [(cell,) for cell in runs]
        tasks = {part[0].folder(self.runs).name: part for part in parts}
        failures: Failures = {}

        def gather(name: str, error: str) -> None:
            for cell in (cell for run in tasks[name] for cell in waiting[run.folder(self.runs).name]):
                own = "" if self.is_complete(cell) else error
                if own:
                    failures[cell] = own
                finished(cell, own)

        if tasks and self.scoring.features == "inception":
            inception_code(Path(self.scoring.inception_file) if self.scoring.inception_file else None)
        engine.run(
            {name: partial(complete_group, part, self.runs, self.scoring) for name, part in tasks.items()}, gather
        )
        return failures

    def is_complete(self, cell: Cell) -> bool:
        """Whether a cell has all its numbers."""
        return is_complete(cell, cell.folder(self.runs), self.scoring)

    def results(self) -> list[Result]:
        """Every number of the cells that are complete."""
        return [result for cell in self.cells for result in results_of(cell, cell.folder(self.runs), self.scoring)]

    def pictures(self, place: str) -> dict[str, dict[str, bytes]]:
        """The pictures of one run on that data for every label: reconstructions, its own samples, interpolations."""
        found: dict[str, dict[str, bytes]] = {}
        for cell in (cell for cell in self.cells if cell.place == place):
            folder = cell.folder(self.runs)
            if cell.label not in found and is_complete(cell, folder, self.scoring):
                found[cell.label] = pictures_of(folder)
        return found


def results_of(cell: Cell, folder: Path, scoring: Scoring) -> list[Result]:
    """The numbers of a run; those of the density that its method itself samples once more under `OWN`."""
    if not is_complete(cell, folder, scoring):
        return []
    own = read_evaluation(folder / "evaluation.json").get("density")
    rows = rows_of(cell, folder, scoring)
    named = [(row.of, row) for row in rows] + [(OWN, row) for row in rows if row.of == own]
    return [
        Result(cell.label, cell.training.seed, row.metric, of, row.value, row.unit, str(folder), cell.details)
        for of, row in named
    ]


def pictures_of(folder: Path, others: Sequence[str] = ()) -> dict[str, bytes]:
    """The pictures of a run that are shown beside those of other runs."""
    own = read_evaluation(folder / "evaluation.json").get("density")
    files = {path.stem: path for path in (folder / "figures").glob("*.png")}
    stems = {name: name for name in (*PICTURES, *others)} | {"samples": f"samples-{own}"}
    return {name: read_bytes(files[stem]) for name, stem in stems.items() if stem in files}


def write_tables(study: Study, out: Path, *, columns: Sequence[str] | None, failures: Failures) -> dict[str, Table]:
    """Leave results.csv, and for every data set its table in every format, in a folder; the tables by data set."""
    results = study.results()
    write_results(out / "results.csv", results)
    parts = by_data(results)
    tables = {}
    for place, name in file_names(cell.place for cell in study.cells).items():
        tables[place] = table = tabulate(parts.get(place, []), columns=columns, failures=failures_of(failures, place))
        note = footer(study, place)
        for suffix, text in {"md": markdown, "tex": latex, "csv": summary_csv}.items():
            write_text(out / f"table-{name}.{suffix}", text(table, note))
        whole = page(table, note, title=f"Comparison on {place}", pictures=study.pictures(place))
        write_text(out / f"table-{name}.html", whole)
    return tables


def failures_of(failures: Failures, place: str) -> dict[str, str]:
    """A sentence for every label of which a run on these data failed."""
    told: dict[str, str] = {}
    for cell, error in failures.items():
        if cell.place == place:
            told.setdefault(cell.label, f"Seed {cell.training.seed}: {error}")
    return told


def file_names(places: Iterable[str]) -> dict[str, str]:
    """Parts of files' names by data set, each another."""
    found: dict[str, str] = {}
    for place in dict.fromkeys(places):
        name, taken = file_name(place), {other.lower() for other in found.values()}
        numbered = (f"{name}-{number}" for number in count(2))
        found[place] = next(free for free in chain([name], numbered) if free.lower() not in taken)
    return found


def file_name(place: str) -> str:
    """The data's name as a part of a file's: its last letters where it is long."""
    return UNSAFE.sub("-", place).strip("-.")[-LONGEST:] or "data"


def footer(study: Study, place: str) -> str:
    """How the numbers came about: data, epochs, seeds, what is not as usual, and the circumstances of all runs."""
    cells = [cell for cell in study.cells if cell.place == place]
    epochs = sorted({cell.training.epochs for cell in cells})
    seeds = sorted({cell.training.seed for cell in cells})
    told = f"{place}, epochs {', '.join(map(str, epochs))}, seeds {', '.join(map(str, seeds))}"
    done = [cell for cell in cells if study.is_complete(cell)]
    if not done:
        return f"{told}; no run is complete."
    split, points = study.scoring.split, study.scoring.points
    unusual = [f"evaluated on the {split} split"] if split != "test" else []
    unusual += [f"{points:,} importance samples"] if points != POINTS else []
    known = circumstances(done, study.runs, study.scoring)
    return "; ".join([told, *unusual, *(f"{name} {value}" for name, value in known.items())]) + "."


def require_cells(cells: Sequence[Cell]) -> None:
    """Refuse a study of nothing, and cells that would share a row and a seed."""
    if not cells:
        raise SigmaeError("A study needs one method and one seed or more.")
    if len({(cell.place, cell.label, cell.training.seed) for cell in cells}) < len(cells):
        raise SigmaeError("Two cells of the study have the same label and seed: name each method and value once.")
