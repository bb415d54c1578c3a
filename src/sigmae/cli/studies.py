"""The verbs about many runs: compare and reproduce."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sigmae.cli.app import app, examples, Flag, Many
from sigmae.errors import SigmaeError
from sigmae.settings import TrainingConfig


@app.command(
    help_epilogue=examples(
        {
            "sigmae compare digits --methods vae,rae-l2,wae-mmd --seeds 5 --epochs 20": "Three methods, five seeds.",
            "sigmae compare digits --methods vae --vary likelihood.variance=0.1,0.5,1": "One method, three settings.",
        }
    )
)
def compare(
    source: str,
    /,
    *,
    methods: Annotated[list[str], Parameter(negative="", consume_multiple=True)],
    seeds: int = 3,
    vary: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    out: Path | None = None,
    runs: Path = Path("runs/cells"),
    latent_dim: int = 16,
    network: str | None = None,
    image_size: int | None = None,
    data_dir: Path | None = None,
    limit: int | None = None,
    training: Annotated[TrainingConfig, Parameter(name="*")] = TrainingConfig(),
    settings: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    metrics: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    columns: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    features: str | None = None,
    densities: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    inception_file: Path | None = None,
    points: int = 1000,
    on: str = "here",
    engine: Annotated[list[str] | None, Parameter(name="--engine", negative="", consume_multiple=True)] = None,
    together: Flag = False,
    json: Flag = False,
) -> None:
    """Train methods side by side over seeds, and tabulate their numbers: best, second best, tests, ranks.

    Every run lies in the folder of runs under the hash of its configuration: none is made twice, a study that was
    stopped continues, and another method or seed computes what is new.

    Parameters
    ----------
    source
        Data as for sigmae train; several, separated by commas, make a table each.
    methods
        Methods, separated by commas or spaces.
    seeds
        How many: --seed, and those that follow it.
    vary
        Values that are tried for each method: latent.weight=0.1,1 or latent-dim=8,16; all combinations of several.
    out
        The folder of the tables; runs/compare-SOURCE if not given.
    runs
        The folder of all runs; studies share it.
    latent_dim
        Size of the latent space.
    network
        A network's name (sigmae list networks), or module:attribute.
    image_size
        Bring images to this height and width.
    data_dir
        Where the files of a named data set lie.
    limit
        Use the first so many examples of each split.
    settings
        Settings for all runs, as for sigmae train.
    metrics
        Some of sigmae list metrics; the quick ones if not given.
    columns
        The columns of the table: squared_error, fid:gmm10, ...; a compact choice if not given.
    features
        Features for distances between sets of images.
    densities
        The densities to sample from; those that are fitted if not given.
    inception_file
        The standard Inception weights, inception-2015-12-05.pt.
    points
        Importance samples for each image's likelihood.
    on
        Where runs are made: here, processes, ray, slurm.
    engine
        Options of that: workers=2 for processes, cpus=1 gpus=0.5 for ray, partition=gpu for slurm.
    together
        Train the seeds of a configuration as one vectorised program where that can be: faster for small networks,
        the same results up to rounding.
    json
        Print the results as JSON.
    """
    from sigmae.console import Display
    from sigmae.evaluation import QUICK
    from sigmae.studies.cells import Cell, product_of, Scoring
    from sigmae.studies.checks import check_columns, check_scoring
    from sigmae.studies.engines import make_engine
    from sigmae.studies.options import engine_options, variations
    from sigmae.studies.study import file_name, require_cells, Study, write_tables

    if seeds < 1:
        raise SigmaeError(f"--seeds must be 1 or more, got {seeds}.")
    sources = source.split(",")
    place = None if data_dir is None else str(data_dir)
    base = Cell(sources[0], "", latent_dim, network, tuple(settings or ()), image_size, place, limit, training)
    chosen = [name for text in methods for name in text.split(",") if name]
    varied = [("data", sources), *variations(vary or ())]
    cells = list(product_of(base, chosen, varied, range(training.seed, training.seed + seeds)))
    require_cells(cells)
    scoring = Scoring(
        metrics=tuple(metrics or QUICK),
        features=features,
        densities=None if densities is None else tuple(densities),
        inception_file=None if inception_file is None else str(inception_file),
        points=points,
    )
    check_scoring(scoring)
    check_columns(columns or (), scoring, cells)
    study = Study(cells, scoring, runs.absolute())
    place_of_tables = out or Path("runs") / f"compare-{file_name(sources[0])}"
    with Display() as display:
        failures = study.run(
            make_engine(on, **engine_options(engine or ())), display.runs(len(cells)), together=together
        )
    tables = write_tables(study, place_of_tables, columns=columns, failures=failures)
    display.comparison(study, tables, failures, place_of_tables, json)
    require_numbers(study.results(), list(failures.values()))


def require_numbers(found: Sequence[object], errors: Sequence[str]) -> None:
    """End with an error where no run came to an end."""
    if not any(found):
        reason = next(filter(None, errors), "No metric applies to any of them.")
        raise SigmaeError(f"There is no number: every run failed. {reason}")


@app.command(
    help_epilogue=examples(
        {
            "sigmae reproduce rae-table-1 --scale smoke": "In seconds or minutes, to see that it works.",
            "sigmae reproduce avae-table-2 --scale small": "What fits on two cores.",
            "sigmae reproduce rae-table-1 --scale paper --dry-run": "What its own scale would take.",
        }
    )
)
def reproduce(
    table: str,
    /,
    *,
    scale: str = "small",
    dry_run: Flag = False,
    rows: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    data: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    seeds: int | None = None,
    out: Path | None = None,
    runs: Path = Path("runs/cells"),
    data_dir: Path | None = None,
    features: str | None = None,
    inception_file: Path | None = None,
    on: str = "here",
    engine: Annotated[list[str] | None, Parameter(name="--engine", negative="", consume_multiple=True)] = None,
    together: Flag = False,
    trust: Annotated[list[str] | None, Many] = None,
    json: Flag = False,
) -> None:
    """Make the runs of a paper's table, or of a study of one's own, and show measured beside published.

    Runs lie where those of sigmae compare lie: none is made twice, and a table that was stopped continues.

    Parameters
    ----------
    table
        A table's name (sigmae list tables), or a .toml file of the same form.
    scale
        How much: smoke (seconds; that it works), small (something true on two cores), paper (as published).
    dry_run
        Print the runs, the data that they need and their cost; train nothing.
    rows
        Some of the table's rows.
    data
        Some of the table's data sets, by the paper's name: MNIST, CIFAR10, CelebA.
    seeds
        How many seeds a row; the scale's own if not given.
    out
        The folder of the result; runs/reproduce-TABLE-SCALE if not given.
    runs
        The folder of all runs; studies share it.
    data_dir
        Where the files of named data sets lie.
    features
        Features for distances between sets of images; the scale's own if not given.
    inception_file
        The standard Inception weights, inception-2015-12-05.pt.
    on
        Where runs are made: here, processes, ray, slurm.
    engine
        Options of that: workers=2 for processes, cpus=1 gpus=0.5 for ray, partition=gpu for slurm.
    together
        Train the seeds of a configuration as one vectorised program where that can be: faster for small networks,
        the same results up to rounding.
    trust
        A module outside this library that a .toml file may import.
    json
        Print the result as JSON: rows of method, dataset, metric, measured, published, and claims.
    """
    from sigmae.console import Display
    from sigmae.studies.engines import make_engine
    from sigmae.studies.options import engine_options
    from sigmae.tables import Choices, definition_of, plan_table, reproduce as reproduced, write_reproduction
    from sigmae.tables.forecast import forecast

    choices = Choices(
        seeds=seeds,
        rows=tuple(rows or ()),
        data=tuple(data or ()),
        features=features,
        inception_file=None if inception_file is None else str(inception_file),
        data_dir=None if data_dir is None else str(data_dir),
    )
    plan = plan_table(definition_of(table, trust or ()), scale, choices)
    with Display() as display:
        if dry_run:
            display.forecast(plan, forecast(plan, runs.absolute()), json)
            return
        made = make_engine(on, **engine_options(engine or ()))
        total = len(plan.cells) or len(plan.entries)
        found = reproduced(plan, runs, engine=made, finished=display.runs(total), together=together)
    place = out or Path("runs") / f"reproduce-{plan.definition.name}-{scale}"
    write_reproduction(found, plan, runs, place)
    display.reproduction(found, place, json)
    require_numbers([number.summary for number in found.numbers], [number.failure for number in found.numbers])
