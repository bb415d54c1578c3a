"""Laws of whole objectives: what training, saving and continuing a run rely on."""

import json
import tempfile
from collections.abc import Callable
from copy import deepcopy
from functools import partial

import torch
from torch import nn, Tensor

from sigmae.api import chosen
from sigmae.config import make_objective, objective_config
from sigmae.errors import SigmaeError
from sigmae.model import load
from sigmae.objective import Objective, Terms
from sigmae.testing.laws import Law, require
from sigmae.testing.trials import batch, pictures, same_bits, shown, terms_of, Trial

PRECISIONS = (torch.float32, torch.float64)


def method_trial(method: str | Objective | Callable[[], Objective]) -> Trial:
    """The trial of an objective, of what a function makes, or of a method by the name that the command line takes."""
    if isinstance(method, str):
        return Trial(method, lambda: chosen(method, pictures())[2])
    make = partial(deepcopy, method) if isinstance(method, Objective) else method
    name = type(method).__name__ if isinstance(method, Objective) else getattr(method, "__name__", "the method")
    if not isinstance(made := make(), Objective):
        raise SigmaeError(f"{name} makes a {type(made).__name__}: return an Objective.")
    return Trial(name, make)


def terms_are_finite_numbers(trial: Trial) -> None:
    """Each term is a finite tensor without axes, in the precision of the model, in training and in evaluation."""
    for dtype in PRECISIONS:
        model = trial.at_first_step(dtype)
        for training in (True, False):
            require_numbers(trial, terms_of(model.train(training), batch(dtype=dtype)), dtype)


def require_numbers(trial: Trial, terms: Terms, dtype: torch.dtype) -> None:
    """The law above for the terms of one batch."""
    for name, term in zip(Terms._fields, terms, strict=True):
        if not isinstance(term, Tensor):
            require(False, f"the {name} term of {trial} is a {type(term).__name__}: give a tensor.")
        shape, found = tuple(term.shape), term.dtype
        require(not shape, f"the {name} term of {trial} has the shape {shape}: take the mean over the batch.")
        require(term.isfinite(), f"the {name} term of {trial} is {term:g} on a plain batch in {dtype}.")
        require(
            found == dtype,
            f"the {name} term of {trial} is {found} where the model is {dtype}: make constants by new_zeros and its "
            "kin, and keep state in buffers, which .to(dtype) moves.",
        )


def gradients_reach_both_networks(trial: Trial) -> None:
    """Every weight of the encoder and of the decoder has a finite gradient, and some of each are not zero."""
    for dtype in PRECISIONS:
        model = trial.at_first_step(dtype)
        terms_of(model, batch(dtype=dtype)).loss.backward()
        for name, network in {"encoder": model.encoder, "decoder": model.decoder}.items():
            require_gradients(f"the {name} beside {trial}", network)


def require_gradients(what: str, network: nn.Module) -> None:
    """Refuse weights that a backward pass has left without a finite gradient, or all with zeros."""
    gradients = {name: weight.grad for name, weight in network.named_parameters() if weight.requires_grad}
    for name, gradient in gradients.items():
        require(gradient is not None, f"no gradient reaches {name} of {what}: it would never be trained.")
        require(gradient is not None and gradient.isfinite().all(), f"the gradient of {name} of {what} is not finite.")
    moved = any(gradient is not None and gradient.any() for gradient in gradients.values())
    require(moved, f"all gradients of {what} are zero: look for a detach, or a constant in place of the codes.")


def the_same_seed_gives_the_same_terms(trial: Trial) -> None:
    """All noise comes from torch's generators, which the loop seeds at every step."""
    one, other = (torch.stack(list(terms_of(trial.at_first_step(), batch()))) for _ in range(2))
    same = torch.equal(one, other)
    told = f"{trial} gave the terms {shown(one)} and then {shown(other)} with one seed"
    require(same, f"{told}: draw from torch's own generators alone.")


def one_example_is_scored_or_refused(trial: Trial) -> None:
    """A batch of one has finite terms, or is refused by a `SigmaeError`."""
    try:
        terms = torch.stack(list(terms_of(trial.at_first_step(), batch(1))))
    except SigmaeError:
        return
    told = f"{trial} gave the terms {shown(terms)} for a batch of one example"
    require(terms.isfinite().all(), f"{told}: mend them, or raise a SigmaeError that says what to do.")


def the_state_is_saved_with_the_model(trial: Trial) -> None:
    """A model that was trained, saved and loaded has the same terms: all that they depend on was in the state dict."""
    model = trial.trained.model
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        again = load(folder, trust=None)
    for training in (False, True):
        one, other = (torch.stack(list(terms_of(m.train(training), batch()))) for m in (model, again))
        told = f"{trial} has the terms {shown(one)} after training, and {shown(other)} when saved and loaded"
        require(torch.equal(one, other), f"{told}: keep state in parameters and buffers.")


def stopped_training_ends_with_the_same_bits(trial: Trial) -> None:
    """Training that was stopped and continued ends with the bits of training that was not."""
    different = same_bits(trial.trained.state, trial.trained_with_a_stop().state_dict())
    told = f"after a stop and a continuation, {', '.join(different)} of a model with {trial} are others"
    require(not different, f"{told}: keep state in parameters and buffers, and decide by them and by the moment alone.")


def settings_rebuild_it(trial: Trial) -> None:
    """What `config.json` would hold of the objective makes the same objective again."""
    config = json.loads(json.dumps(objective_config(trial.objective())))
    again = json.loads(json.dumps(objective_config(make_objective(config))))
    require(config == again, f"{trial} is {config}, and when made again from that, {again}.")


def every_call_makes_another(trial: Trial) -> None:
    """Two runs share no part, whose state would be that of both."""
    one, other = trial.objective(), trial.objective()
    shared = [axis for axis, part in one.parts().items() if part is other.parts()[axis]]
    require(not shared, f"two calls of {trial} share their {', '.join(shared)}: make new parts in every call.")


TRAINED: tuple[Law, ...] = (
    terms_are_finite_numbers,
    gradients_reach_both_networks,
    the_same_seed_gives_the_same_terms,
    one_example_is_scored_or_refused,
    the_state_is_saved_with_the_model,
    stopped_training_ends_with_the_same_bits,
)
METHOD: tuple[Law, ...] = (every_call_makes_another, settings_rebuild_it, *TRAINED)
