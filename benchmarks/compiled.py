"""A training step whose forward pass, loss and backward pass are generated code, against the step as it is.

Both sides are our loop, with the same weights, batches and noise; the compiled one in 32 bits, then in bfloat16.
What is compiled is compiled before the clock starts. The toy captures the graphs and runs them without generating code,
which takes half a minute for each.
"""

from collections.abc import Iterator
from functools import partial
from unittest.mock import patch

from benchmarks.comparison import Comparison
from benchmarks.training_step import new_loop, of_two_loops, ROUNDING, Setting, settings, SHORT
from sigmae.training.compiled import compiled

METHOD = "vae"


def against_eager(setting: Setting, backend: str, precision: str) -> Comparison:
    """The compiled step, in 32 bits or in bfloat16, and the eager one in 32 bits."""
    with patch("sigmae.training.loop.compiled", partial(compiled, backend=backend)):
        loops = {"compiled": new_loop(setting, METHOD, compile=True, precision=precision)}
    loops["eager"] = new_loop(setting, METHOD)
    return of_two_loops(
        setting,
        loops,
        name=f"{METHOD}, {setting.name}" + ("" if precision == "32" else f", compiled in {precision}"),
        tolerance=ROUNDING if precision == "32" else SHORT,
        about=f"{setting.steps} steps of {setting.batch} images. Agreement: the share by which the losses differ after "
        "a step.",
    )


def comparisons(toy: bool) -> Iterator[Comparison]:
    """One method on every network, in both precisions."""
    for setting in settings(toy):
        for precision in ("32", "bf16"):
            yield against_eager(setting, "aot_eager" if toy else "inductor", precision)
