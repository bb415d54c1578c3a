"""A training step whose forward pass, loss and backward pass are generated code, against the step as it is.

Both sides are our loop, with the same weights, batches and noise. What is compiled is compiled before the clock starts.
The toy captures the graphs and runs them without generating code, which takes half a minute for each.
"""

from collections.abc import Iterator
from functools import partial
from unittest.mock import patch

from benchmarks.comparison import Comparison
from benchmarks.steps import loop_of
from benchmarks.training_step import (
    first_batches,
    new_model,
    our_steps,
    random_images,
    ROUNDING,
    second_loss,
    Setting,
    settings,
)
from sigmae import TrainingConfig
from sigmae.training.compiled import compiled
from sigmae.training.loop import Loop

METHOD = "vae"


def new_loop(setting: Setting, *, compile: bool) -> Loop:
    """Our loop before its first step."""
    data, config = random_images(setting), TrainingConfig(batch_size=setting.batch, compile=compile)
    model = new_model(setting, METHOD, data, config)
    return loop_of(model, data, device="auto", batch_size=setting.batch, compile=compile)


def against_eager(setting: Setting, backend: str) -> Comparison:
    """The compiled step and the eager one."""
    with patch("sigmae.training.loop.compiled", partial(compiled, backend=backend)):
        loops = {"compiled": new_loop(setting, compile=True), "eager": new_loop(setting, compile=False)}
    batches = {side: first_batches(loop, setting) for side, loop in loops.items()}

    def difference() -> float:
        ours, base = (second_loss(loop, batches[side]) for side, loop in loops.items())
        return abs(ours - base) / abs(base)

    return Comparison(
        name=f"{METHOD}, {setting.name}",
        sides={side: partial(our_steps, loop, batches[side]) for side, loop in loops.items()},
        ours="compiled",
        base="eager",
        agree=difference,
        tolerance=ROUNDING,
        about=f"{setting.steps} steps of {setting.batch} images. Agreement: the share by which the losses differ after "
        "a step.",
    )


def comparisons(toy: bool) -> Iterator[Comparison]:
    """One method on every network."""
    for setting in settings(toy):
        yield against_eager(setting, "aot_eager" if toy else "inductor")
