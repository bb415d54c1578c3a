"""A training step whose forward pass, loss and backward pass are generated code, against the step as it is.

Both sides are our loop, with the same weights, batches and noise. What is compiled is compiled before the clock starts.
The toy captures the graphs and runs them without generating code, which takes half a minute for each.
"""

from collections.abc import Iterator
from functools import partial
from unittest.mock import patch

from benchmarks.comparison import Comparison
from benchmarks.training_step import new_loop, of_two_loops, ROUNDING, Setting, settings
from sigmae.training.compiled import compiled

METHOD = "vae"


def against_eager(setting: Setting, backend: str) -> Comparison:
    """The compiled step and the eager one."""
    with patch("sigmae.training.loop.compiled", partial(compiled, backend=backend)):
        loops = {side: new_loop(setting, METHOD, compile=side == "compiled") for side in ("compiled", "eager")}
    return of_two_loops(
        setting,
        loops,
        name=f"{METHOD}, {setting.name}",
        tolerance=ROUNDING,
        about=f"{setting.steps} steps of {setting.batch} images. Agreement: the share by which the losses differ after "
        "a step.",
    )


def comparisons(toy: bool) -> Iterator[Comparison]:
    """One method on every network."""
    for setting in settings(toy):
        yield against_eager(setting, "aot_eager" if toy else "inductor")
