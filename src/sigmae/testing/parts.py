"""Laws of parts: what every one of them keeps, whatever its axis."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from itertools import product
from typing import Any, ClassVar, get_origin, get_type_hints

import torch
from torch import nn, Tensor
from torch.distributions import Distribution

from sigmae.config import make_part, part_config
from sigmae.decoder_regularizers import DecoderRegularizer
from sigmae.errors import IncompatibleParts, SigmaeError, unknown
from sigmae.latent_regularizers import LatentRegularizer
from sigmae.likelihoods import Bernoulli, Gaussian, Likelihood
from sigmae.objective import Objective
from sigmae.parts import NoRegularizer, Part
from sigmae.posteriors import Delta, DiagonalGaussian, FullGaussian, Posterior
from sigmae.propagations import DecodedPoints, Linearized, Mean, MonteCarlo, Propagation, SigmaPoints
from sigmae.seeds import seeded
from sigmae.testing.laws import Law, LawBroken, require
from sigmae.testing.objectives import require_gradients
from sigmae.testing.trials import batch, shown, terms_of, Trial

AXES: dict[str, tuple[type[Part], ...]] = {
    "posterior": (Posterior,),
    "propagation": (Propagation,),
    "likelihood": (Likelihood,),
    "latent": (LatentRegularizer, NoRegularizer),
    "decoder": (DecoderRegularizer, NoRegularizer),
}
Maker = Callable[[], Any]  # a part, whose methods are those of its axis
BESIDE: dict[str, Sequence[Maker]] = {
    "posterior": (DiagonalGaussian, Delta, FullGaussian),
    "propagation": (MonteCarlo, Mean, SigmaPoints, Linearized),
    "likelihood": (Gaussian, Bernoulli),
    "latent": (NoRegularizer,),
    "decoder": (NoRegularizer,),
}
STEP = 1e-5  # along a direction of length one


@dataclass(frozen=True)
class PartTrial:
    """A part on trial: the function makes a new one at every call; `whole` is an objective that takes it."""

    make: Maker
    axis: str
    whole: Trial

    def __str__(self) -> str:
        return str(self.whole)


def part_trial(part: Part | Maker, axis: str | None = None) -> PartTrial:
    """The trial of a part, or of what a function makes, in the first objective that does not refuse it."""
    make = partial(deepcopy, part) if isinstance(part, Part) else part
    made = make()
    if not isinstance(made, Part) or isinstance(made, Objective):
        raise SigmaeError(f"{made!r:.80} is no part: give a sigmae.Part, or a function that makes one.")
    axis, name = axis or axis_of(made), type(made).__name__
    if axis not in AXES:
        raise unknown("axis", axis, AXES)
    for choice in choices(make, axis):
        with suppress(IncompatibleParts):
            choice()
            return PartTrial(make, axis, Trial(name, choice))
    raise LawBroken(f"{name} refuses every choice of the other parts: its check() must let one pass.")


def axis_of(part: Part) -> str:
    """The first axis of an objective on which a part can stand."""
    for axis, kinds in AXES.items():
        if isinstance(part, kinds):
            return axis
    known = ", ".join(kinds[0].__name__ for kinds in AXES.values())
    raise SigmaeError(f"{type(part).__name__} is on no axis: make it a {known}, or name its axis.")


def choices(make: Maker, axis: str) -> Iterator[Callable[[], Objective]]:
    """Objectives with the part and every choice of simple others, not yet made."""
    for makers in product(*(BESIDE | {axis: (make,)}).values()):
        yield partial(composed, makers)


def composed(makers: Sequence[Maker]) -> Objective:
    """The objective of new parts."""
    return Objective(*(make() for make in makers))


def fields_are_those_of_a_dataclass(trial: PartTrial) -> None:
    """Every annotated choice is a field, so that a run's config holds it; and parts are compared as modules are."""
    kind = type(trial.make())
    require(is_dataclass(kind), f"{trial} is no dataclass: put @dataclass(eq=False) above it.")
    known = {field.name for field in fields(kind)}
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name in vars(kind).get("__annotations__", {})}
    lost = [name for name, hint in hints.items() if name not in known and get_origin(hint) is not ClassVar]
    require(not lost, f"{', '.join(lost)} of {trial} are no fields: put @dataclass(eq=False) above it.")
    require(kind.__hash__, f"{trial} cannot be hashed, as torch asks of modules: write @dataclass(eq=False).")


def settings_rebuild_it(trial: PartTrial) -> None:
    """What `config.json` holds of the part makes it again, found by its name and with the types of its fields."""
    part = trial.make()
    try:
        config = json.loads(json.dumps(part_config(part)))
    except TypeError as error:
        told = f"the fields of {trial} cannot be written as JSON ({error})"
        raise LawBroken(f"{told}: use numbers, texts and tuples of them, and make modules in prepare().") from error
    require("<locals>" not in config["type"], f"{config['type']} cannot be found again: define it outside functions.")
    again = json.loads(json.dumps(part_config(make_part(trial.axis, config))))
    require(config == again, f"{trial} is {config}, and made again from that, {again}.")


def inputs_are_left_as_they_are(trial: PartTrial) -> None:
    """No distribution, point or image that a part is given is changed by it."""
    model = trial.whole.at_first_step()
    part = model.objective.parts()[trial.axis]
    before: list[list[Tensor]] = []
    changed: list[bool] = []

    def remember(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        before.append([tensor.clone() for value in inputs for tensor in tensors_of(value)])

    def compare(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        after = [tensor for value in inputs for tensor in tensors_of(value)]
        changed.extend(not torch.equal(one, other) for one, other in zip(before.pop(), after, strict=True))

    part.register_forward_pre_hook(remember)
    part.register_forward_hook(compare)
    with torch.no_grad():
        terms_of(model, batch())
    require(not any(changed), f"{trial} changes what it is given, which others read too: use no method ending in _.")


def tensors_of(value: Any) -> list[Tensor]:
    """The tensors that an argument of a part holds."""
    match value:
        case Tensor():
            return [value]
        case Distribution():
            return [value.mean, value.variance]
        case DecodedPoints():
            return [value.latents, value.outputs, *([] if value.weights is None else [value.weights])]
        case nn.Module():
            return list(value.parameters())
    return []


def the_gradient_is_the_slope(trial: PartTrial) -> None:
    """Along a random direction of all weights, the gradient says how fast the loss changes in evaluation mode.

    A gradient that is another on purpose, such as one that is stopped or passed straight through, is `without` it.
    """
    x = batch(dtype=torch.float64)
    model = trial.whole.at_first_step(torch.float64).eval()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    gradients = torch.autograd.grad(terms_of(model, x).loss, weights, materialize_grads=True)
    with seeded(0, "direction"):
        direction = [torch.randn_like(weight) for weight in weights]
    length = float(torch.stack([change.square().sum() for change in direction]).sum().sqrt())
    expected = math.fsum(float((g * d).sum() / length) for g, d in zip(gradients, direction, strict=True))
    losses = []
    for sign in (1, -1):
        moved = trial.whole.at_first_step(torch.float64).eval()
        with torch.no_grad():
            for weight, change in zip((w for w in moved.parameters() if w.requires_grad), direction, strict=True):
                weight.add_(change, alpha=sign * STEP / length)
            losses.append(float(terms_of(moved, x).loss))
    slope = (losses[0] - losses[1]) / (2 * STEP)
    close = abs(slope - expected) <= 1e-4 * abs(slope) + 1e-8 * (1 + abs(losses[0]))
    told = f"the loss with {trial} changes by {slope:.6g} along a direction in which its gradient is {expected:.6g}"
    require(close, f"{told}: look for a detach, .item(), .data, or a backward pass of one's own.")


def other_parts_are_served_or_refused(trial: PartTrial) -> None:
    """Beside any other parts, a part has finite terms, or is refused by its check() when the objective is made."""
    for choice in choices(trial.make, trial.axis):
        try:
            objective = choice()
        except IncompatibleParts:
            continue
        others = ", ".join(type(part).__name__ for axis, part in objective.parts().items() if axis != trial.axis)
        try:
            terms = torch.stack(list(terms_of(Trial(str(trial), choice).at_first_step(), batch())))
        except Exception as error:
            told = f"{trial} beside {others} raised {type(error).__name__} ({error})"
            raise LawBroken(f"{told}: serve them, or refuse them in check() by IncompatibleParts.") from error
        told = f"{trial} beside {others} has the terms {shown(terms)}"
        require(terms.isfinite().all(), f"{told}: serve them, or refuse them in check() by IncompatibleParts.")


def an_opponent_learns_beside_the_model(trial: PartTrial) -> None:
    """An opponent is no business of the model's step, and its own loss reaches it and nothing else."""
    model = trial.whole.at_first_step()
    part = model.objective.parts()[trial.axis]
    opponent = part.opponent()
    if opponent is None:
        return
    told = f"the opponent of {trial}"
    require(not any(w.requires_grad for w in opponent.parameters()), f"{told} requires gradients: turn them off.")
    terms_of(model, batch())
    opponent.requires_grad_(True)
    part.opponent_loss().backward()
    require_gradients(told, opponent)
    reached = any(weight.grad is not None for weight in (*model.encoder.parameters(), *model.decoder.parameters()))
    require(not reached, f"the opponent_loss() of {trial} reaches the model: detach the codes that forward() keeps.")


PART: tuple[Law, ...] = (
    fields_are_those_of_a_dataclass,
    settings_rebuild_it,
    inputs_are_left_as_they_are,
    the_gradient_is_the_slope,
    other_parts_are_served_or_refused,
    an_opponent_learns_beside_the_model,
)
