"""The verb that hands a model to the hand: explore."""

from pathlib import Path
from typing import Annotated

from sigmae.cli.app import app, examples, Many


@app.command(
    help_epilogue=examples(
        {
            "sigmae explore runs/digits": "Writes runs/digits/explorer.html: open it in a browser.",
        }
    )
)
def explore(
    run: Path,
    /,
    *,
    out: Path | None = None,
    count: int = 1000,
    data_dir: Path | None = None,
    trust: Annotated[list[str] | None, Many] = None,
) -> None:
    """Write a page in which the decoder runs: drag the latents, click on a map of the codes, sample, interpolate.

    It is one file that a browser opens from disk, and needs no server and no network.

    Parameters
    ----------
    run
        A run's folder.
    out
        An .html file, or a folder for explorer.html; the run's folder if not given.
    count
        How many test images to show; fewer where they have many pixels.
    data_dir
        Where the data lie, if they have moved.
    trust
        A module outside this library that the run may import.
    """
    from sigmae.console import Display
    from sigmae.explorer.page import explore_run
    from sigmae.runs import load_run, Observers, run_data

    model = load_run(run, trust=trust or ())
    data = run_data(run, data_dir, trust=trust or ())
    with Display() as display:
        path = explore_run(model, data, run, out, count=count, observers=Observers(stage=display.stage))
    print(path)
