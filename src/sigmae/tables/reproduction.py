"""A reproduction: what was measured for every number of a table, beside what is published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sigmae.errors import SigmaeError
from sigmae.report.words import metric_kind
from sigmae.studies import statistics
from sigmae.studies.cells import is_complete
from sigmae.studies.circumstances import circumstances
from sigmae.studies.results import Result
from sigmae.studies.statistics import Summary
from sigmae.studies.study import Failures, results_of, Study
from sigmae.studies.table import Column as Measure
from sigmae.tables.claims import judged, Verdict
from sigmae.tables.orderings import Ordering, orderings
from sigmae.tables.plan import Entry, Plan
from sigmae.tables.published import Number, Place

FEATURED = ("fid", "kid", "f8_recall", "f1_8_precision", "precision", "recall", "density", "coverage")
PRINTED = "inception"  # the features of all papers


@dataclass(frozen=True)
class Measured:
    """A number of a table: in print, and as the mean over the seeds that were run; either may be missing.

    Numbers that are not `comparable`, of other data (`instead`) or in other features, may be ordered alike and nothing
    else.
    """

    place: Place
    measure: str
    published: Number | None
    summary: Summary | None
    failure: str = ""
    comparable: bool = True
    instead: str = ""

    @property
    def ratio(self) -> float | None:
        """Measured over published, where these compare."""
        if not self.comparable or self.summary is None or self.published is None or not self.published.value:
            return None
        return self.summary.mean / self.published.value


@dataclass(frozen=True)
class Reproduction:
    """A table as it came out: its numbers, the order of its rows, its claims, and how all came about."""

    name: str
    title: str
    source: str
    scale: str
    numbers: tuple[Measured, ...]
    orderings: tuple[Ordering, ...]
    verdicts: tuple[Verdict, ...]
    deviations: tuple[str, ...]
    circumstances: Mapping[str, str]


def reproduction(
    plan: Plan,
    values: Mapping[Place, Sequence[float]],
    failures: Mapping[Place, str],
    circumstances: Mapping[str, str],
) -> Reproduction:
    """The table of a plan whose values, one a seed, are at hand."""
    numbers = tuple(
        Measured(
            entry.place,
            entry.measure,
            entry.published,
            statistics.summary(found) if (found := values.get(entry.place)) else None,
            failures.get(entry.place, ""),
            comparable(plan, entry),
            instead(plan, entry),
        )
        for entry in plan.entries
    )
    definition = plan.definition
    measured = {number.place: number.summary.mean for number in numbers if number.summary}
    published = {number.place: number.published for number in numbers if number.published}
    beside = {number.place for number in numbers if number.comparable}
    verdicts = tuple(judged(claim, measured, published, list(definition.rows), beside) for claim in definition.claims)
    return Reproduction(
        definition.name,
        definition.title,
        definition.source,
        plan.scale,
        numbers,
        tuple(orderings(numbers)),
        verdicts,
        tuple(plan.deviations),
        circumstances,
    )


def comparable(plan: Plan, entry: Entry) -> bool:
    """Whether an entry is of the published data, and in the published features where it is in features at all."""
    in_features = metric_kind(entry.measure.partition(":")[0]) in FEATURED
    return not instead(plan, entry) and (not in_features or plan.scoring.features == PRINTED)


def instead(plan: Plan, entry: Entry) -> str:
    """The data that a scale takes in place of those that the table names; empty where it takes them."""
    named = plan.definition.data[entry.place.data].get("source", plan.definition.options.get("source"))
    return ", ".join(dict.fromkeys(cell.place for cell in entry.cells if cell.source != named))


def values_of(plan: Plan, study: Study) -> dict[Place, list[float]]:
    """The values of every entry whose runs are complete, in the published unit."""
    results = {cell: results_of(cell, cell.folder(study.runs), study.scoring) for cell in plan.cells}
    found: dict[Place, list[float]] = {}
    for entry in plan.entries:
        for cell in entry.cells:
            if (value := measured_value(results[cell], entry)) is not None:
                found.setdefault(entry.place, []).append(value)
    return found


def measured_value(results: Sequence[Result], entry: Entry) -> float | None:
    """What a run has for an entry; None where the metric does not apply to it."""
    fitting = [result for result in results if entry.measure in Measure(result.metric, result.of).names]
    if len(fitting) > 1:
        names = ", ".join(f"{result.metric}:{result.of}" for result in fitting)
        raise SigmaeError(f"{entry.measure} fits {names}: name one of them.")
    return fitting[0].value * entry.factor if fitting else None


def failed_places(plan: Plan, failures: Failures) -> dict[Place, str]:
    """Why an entry has no number, or fewer seeds than were asked for."""
    told = {cell.folder(Path()): error for cell, error in failures.items()}  # cells that are one run fail together
    return {
        entry.place: f"Seed {cell.training.seed}: {told[cell.folder(Path())]}"
        for entry in plan.entries
        for cell in entry.cells
        if told and cell.folder(Path()) in told
    }


def circumstances_of(plan: Plan, study: Study) -> dict[str, str]:
    """Seeds, epochs, sample counts, features, commit, versions and hardware, by name."""
    folders = [(cell, cell.folder(study.runs)) for cell in plan.cells]
    done = [(cell, folder) for cell, folder in folders if is_complete(cell, folder, plan.scoring)]
    told = {
        "runs": f"{len(done)} of {len(folders)} complete",
        "seeds": listed({cell.training.seed for cell, _ in done}),
        "epochs": listed({cell.training.epochs for cell, _ in done}),
        "data": ", ".join(dict.fromkeys(cell.place for cell, _ in done)),
        "evaluated on": f"the {plan.scoring.split} split",
    }
    return told | circumstances([cell for cell, _ in done], study.runs, plan.scoring)


def listed(numbers: set[int]) -> str:
    """Numbers in their order."""
    return ", ".join(map(str, sorted(numbers)))
