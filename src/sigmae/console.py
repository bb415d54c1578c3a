"""What the commands print: progress, tables, catalogues."""

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from sigmae.diagnosis import Diagnosis
from sigmae.errors import printable, unknown
from sigmae.evaluation import as_records, Row
from sigmae.recipes import Method, METHODS
from sigmae.report.arrangement import arranged, extremes, Group, Measurement, protocols, sharing
from sigmae.report.words import metric_kind
from sigmae.training import Report

if TYPE_CHECKING:
    from sigmae.studies.study import Failures, Study
    from sigmae.studies.table import Table as StudyTable
    from sigmae.tables.forecast import Group as RunGroup
    from sigmae.tables.plan import Plan
    from sigmae.tables.reproduction import Reproduction


class PlainConsole(Console):
    """A console on which no text commands the terminal, wherever it was read."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


AT_ONCE = 1.0  # seconds within which a study tells of the runs that were complete before


class TimeLeft(TimeRemainingColumn):
    """The time to the end that a task names, else by its speed: runs are too long and too few to have a speed."""

    def render(self, task: Task) -> Text:
        if "end" not in task.fields or task.finished:
            return super().render(task)
        if (end := task.fields["end"]) is None:
            return Text("-:--:--", style="progress.remaining")
        return Text(str(timedelta(seconds=max(0, round(end - time.monotonic())))), style="progress.remaining")


class Display:
    """Progress on standard error: a bar on a terminal, a line an epoch elsewhere; results on standard output."""

    def __init__(self, epochs: int = 0, *, quiet: bool = False) -> None:
        self.epochs = epochs
        self.console = PlainConsole(
            stderr=True, quiet=quiet, markup=False, emoji=False, highlight=False, soft_wrap=True
        )
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeLeft(),
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

    def proposed(self, reasons: Mapping[str, str]) -> None:
        """Say what was chosen for the user, option by option, and why."""
        if reasons:
            self.console.print("proposed, since the command leaves it open:")
        for option, reason in reasons.items():
            self.console.print(f"  {option} {reason}")

    def stage(self, name: str) -> None:
        """Say what is being done after training."""
        self.bar.reset(self.task, description=printable(name), total=None, terms="")
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
        console = wide_console()
        records = as_records(rows)
        for group in arranged(records):
            print_group(group, console)
        for (unit, protocol), alike in protocols(records).items():
            metrics = [f"{metric} of {of}" if of else metric for metric, of in sharing(alike, records)]
            note = ", ".join(filter(None, (unit, protocol)))
            console.print(f"{', '.join(metrics)}: {note}", soft_wrap=True)

    def left_out(self, reasons: Mapping[str, str]) -> None:
        """Say which metrics do not apply, and why."""
        for metric, reason in reasons.items():
            self.console.print(f"without {metric}: {reason}")

    def diagnosis(self, found: Diagnosis, as_json: bool) -> None:
        """Print what was found, the largest gain first, and what is fine."""
        if as_json:
            print(json.dumps(asdict(found), indent=2, ensure_ascii=False))
            return
        console = wide_console()
        if found.distances:
            listed = ", ".join(f"{of} {value:.4g}" for of, value in found.distances.items())
            console.print(f"samples: {found.density}; distances to the test images: {listed}", soft_wrap=True)
        for number, finding in enumerate(found.findings, start=1):
            bound = "" if finding.measured else "up to "
            gain = "" if finding.gain is None else f": {bound}{finding.gain:.0%} {finding.gain_of}"
            console.print(Text.assemble((f"\n{number}. {finding.name}", "bold"), gain), soft_wrap=True)
            console.print(f"   {finding.says}", soft_wrap=True)
            same = [other.remedy for other in found.findings].index(finding.remedy) + 1
            console.print(f"   $ {finding.remedy}" if same == number else f"   As for {same}.", soft_wrap=True)
        if found.healthy:
            console.print("Healthy: nothing was found.")
        for name, says in found.fine.items():
            console.print(f"fine, {name}: {says}", soft_wrap=True)
        for name, reason in found.left_out.items():
            console.print(f"not looked at, {name}: {reason}", soft_wrap=True)

    def runs(self, total: int) -> Callable[[object, str], None]:
        """Follow the runs of a study, with the time left; returns what is to be told when one is finished."""
        self.bar.reset(self.task, description="runs", total=total, terms="", end=None)
        began, made = time.monotonic(), 0

        def finished(run: object, error: str) -> None:
            nonlocal made
            name, now = str(run), time.monotonic()
            made += now - began > AT_ONCE
            self.bar.update(self.task, advance=1, terms=printable(name))
            left = total - self.bar.tasks[0].completed
            self.bar.update(self.task, end=now + (now - began) / made * left if made else None)
            if error or not self.console.is_terminal:
                self.console.print(f"{name}: {error or 'done'}")

        return finished

    def comparison(
        self, study: "Study", tables: "Mapping[str, StudyTable]", failures: "Failures", out: Path, as_json: bool
    ) -> None:
        """Print the tables of a study, or its results as JSON."""
        if as_json:
            results = [asdict(result) for result in study.results()]
            told = {
                f"{cell.label} on {cell.place}, seed {cell.training.seed}": error for cell, error in failures.items()
            }
            print(json.dumps({"results": results, "failures": told}, indent=2, ensure_ascii=False))
        else:
            from sigmae.studies.rendering import terminal

            console = wide_console()
            for place, table in tables.items():
                if len(tables) > 1:
                    console.print(Text(printable(place), "bold"), soft_wrap=True)
                print(terminal(table, width=console.width, styled=sys.stdout.isatty()))
        self.console.print(f"tables: {out}")

    def reproduction(self, found: "Reproduction", out: Path, as_json: bool) -> None:
        """Print a table, measured beside published."""
        from sigmae.tables.rendering import as_record, terminal

        if as_json:
            print(json.dumps(as_record(found), indent=2, ensure_ascii=False))
        else:
            print(terminal(found, width=wide_console().width), end="")
        self.console.print(f"table: {out / 'table.html'}")

    def forecast(self, plan: "Plan", groups: "Sequence[RunGroup]", as_json: bool) -> None:
        """Print what a table would take."""
        from sigmae.tables.forecast import forecast_lines, forecast_record

        if as_json:
            print(json.dumps(forecast_record(plan, groups), indent=2, ensure_ascii=False))
            return
        console = wide_console()
        for line in forecast_lines(plan, groups):
            console.print(line, soft_wrap=True)

    def next_steps(self, folder: Path, density: str, suffix: str, trust: Sequence[str] = ()) -> None:
        """Say where the report is and what one can do next, with a third party's modules that the run needs."""
        run = " ".join([shlex.quote(str(folder)), *(f"--trust {module}" for module in trust)])
        self.console.print(f"report: {folder / 'report.html'}")
        for command, does in {
            f"sigmae sample {run} --density {density} --out samples.{suffix}": "new samples",
            f"sigmae diagnose {run}": "why they are not better, and what would help",
            f"sigmae explore {run}": "a page in which the decoder runs",
        }.items():
            self.console.print(f"next:   {command}  # {does}")


def terms_text(terms: Mapping[str, float]) -> str:
    """The loss and its terms in one line."""
    return "  ".join(f"{name} {value:.4g}" for name, value in terms.items())


def wide_console() -> Console:
    """Standard output, not cut to 80 columns where it is no terminal."""
    width = None if sys.stdout.isatty() else 160
    return PlainConsole(width=width, markup=False, emoji=False, highlight=False)


def print_group(group: Group, console: Console) -> None:
    """Print the metrics of a group: those of one thing below one another, those of the same things side by side."""
    console.print(Text(f"\n{group.name}", "bold"))
    if group.single:
        table = Table("metric", "of", "value", "count")
        for row in group.single:
            table.add_row(row["metric"], row["of"], value_text(row), str(row["count"]))
        console.print(table)
    for matrix in group.matrices:
        if matrix.folded and (found := extremes(matrix.rows)):
            low, high = (f"{value_text(row)} ({row['of']})" for row in found)
            console.print(f"{next(iter(matrix.columns))}: {len(matrix.rows)} values, {low} to {high}")
            continue
        table = Table(f"of, {matrix.features} features" if matrix.features else "of", *map(metric_kind, matrix.columns))
        for of in matrix.subjects:
            table.add_row(of, *[value_text(column[of]) if of in column else "" for column in matrix.columns.values()])
        console.print(table)


def value_text(row: Measurement) -> str:
    """A value with its error, where it has one."""
    error = row.get("error")
    return f"{row['value']:.4g}" + (f" ± {error:.2g}" if error is not None else "")


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
    from sigmae.tables.names import TABLES

    tables: dict[str, Mapping[str, str]] = {
        "datasets": data.DATASETS,
        "networks": networks.DESCRIPTIONS,
        "densities": densities.DENSITIES,
        "features": features.FEATURES,
        "metrics": {name: metric.description for name, metric in evaluation.METRICS.items()},
        "tables": TABLES,
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
