"""What the commands print: progress, tables, catalogues."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from sigmae.errors import unknown
from sigmae.evaluation import as_records, Row
from sigmae.recipes import Method, METHODS
from sigmae.training import Report


class Display:
    """Progress on standard error: a bar on a terminal, a line an epoch elsewhere; results on standard output."""

    def __init__(self, epochs: int = 0, *, quiet: bool = False) -> None:
        self.epochs = epochs
        self.console = Console(stderr=True, quiet=quiet, markup=False, emoji=False, highlight=False, soft_wrap=True)
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[terms]}", markup=False),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("", total=None, terms="")

    def __enter__(self) -> "Display":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def training(self, report: Report) -> None:
        """Follow the steps of training."""
        progress = report.progress
        if report.record is not None:
            record = report.record
            text = f"epoch {record['epoch']}/{self.epochs}  validation {terms_text(record['validation'])}"
            if not self.console.is_terminal:
                self.console.print(text + ("  best" if record["best"] else ""))
            return
        done = progress.epoch * report.steps_in_epoch + progress.batch
        self.bar.update(
            self.task,
            description=f"epoch {progress.epoch + 1}/{self.epochs}",
            completed=done,
            total=self.epochs * report.steps_in_epoch,
            terms=terms_text(report.terms),
        )

    def stage(self, name: str) -> None:
        """Say what is being done after training."""
        self.bar.reset(self.task, description=name, total=None, terms="")
        if not self.console.is_terminal:
            self.console.print(name)

    def warning(self, message: str) -> None:
        """Say what went wrong and was dealt with."""
        self.console.print(f"sigmae: {message}")

    def rows(self, rows: Sequence[Row], as_json: bool) -> None:
        """Print the table of an evaluation."""
        if as_json:
            print(json.dumps({"rows": as_records(rows)}, indent=2))
            return
        table = Table("metric", "of", "value", "count")
        for row in rows:
            value = f"{row.value:.4g}" + (f" ± {row.error:.2g}" if row.error is not None else "")
            table.add_row(row.metric, row.of, value, str(row.count))
        console = wide_console()
        console.print(table)
        notes = {row.metric: ", ".join(filter(None, (row.unit, row.protocol))) for row in rows}
        for metric, note in notes.items():
            console.print(f"{metric}: {note}")

    def left_out(self, reasons: Mapping[str, str]) -> None:
        """Say which metrics do not apply, and why."""
        for metric, reason in reasons.items():
            self.console.print(f"without {metric}: {reason}")

    def next_steps(self, folder: Path, density: str, suffix: str) -> None:
        """Say where the report is and what one can do next."""
        run = shlex.quote(str(folder))
        self.console.print(f"report: {folder / 'report.html'}")
        self.console.print(f"next:   sigmae sample {run} --density {density} --out samples.{suffix}")


def terms_text(terms: Mapping[str, float]) -> str:
    """The loss and its terms in one line."""
    return "  ".join(f"{name} {value:.4g}" for name, value in terms.items())


def wide_console() -> Console:
    """Standard output, not cut to 80 columns where it is no terminal."""
    width = None if sys.stdout.isatty() else 160
    return Console(width=width, markup=False, emoji=False, highlight=False)


def show_method(method: Method, data: str, as_json: bool) -> None:
    """Print a method's parts, weights and citation."""
    from sigmae.config import objective_config
    from sigmae.data import DATASETS

    if data and data not in DATASETS:
        raise unknown("data set", data, DATASETS)
    objective = method.objective(data)
    known = ["mnist (the defaults)", *method.presets]
    if as_json:
        parts = objective_config(objective)
        record = {
            "method": method.name,
            "summary": method.summary,
            "objective": parts,
            "citation": str(method.paper),
        }
        print(
            json.dumps(
                record | {"presets": dict(method.presets), "bibtex": method.paper.bibtex},
                indent=2,
                ensure_ascii=False,
            )
        )
        return
    console = wide_console()
    console.print(Text.assemble((method.name, "bold"), f"  {method.summary}"), soft_wrap=True)
    for axis, part in objective.parts().items():
        console.print(f"  {axis:12} {part!r}", soft_wrap=True)
    console.print(f"weights known for: {', '.join(known)}", soft_wrap=True)
    matched = "the prior, scaled where the method knows by how much"
    console.print(f"density that the method samples: {matched if objective.matches_prior else 'gaussian'}")
    console.print(f"\n{method.paper}\n\n{method.paper.bibtex}", soft_wrap=True)


def catalogue(kind: str) -> list[dict[str, str]]:
    """Everything of a kind, as rows of text."""
    if kind == "methods":
        return [
            {
                "name": m.name,
                "what": m.summary,
                "paper": f"{m.paper.title} ({m.paper.year})",
                "citation": m.paper.key,
            }
            for m in METHODS.values()
        ]
    return [{"name": name, "what": text} for name, text in descriptions(kind).items()]


def descriptions(kind: str) -> Mapping[str, str]:
    """A line for each thing of a kind, by name."""
    from sigmae import data, densities, evaluation, networks
    from sigmae.metrics import features

    tables: dict[str, Mapping[str, str]] = {
        "datasets": data.DATASETS,
        "networks": networks.DESCRIPTIONS,
        "densities": densities.DENSITIES,
        "features": features.FEATURES,
        "metrics": {name: metric.description for name, metric in evaluation.METRICS.items()},
    }
    return tables[kind]


def print_catalogue(kind: str, as_json: bool) -> None:
    """Print everything of a kind."""
    rows = catalogue(kind)
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*row.values())
    wide_console().print(table)
