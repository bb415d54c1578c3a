"""Parts that are broken in one way each: the law of that name catches them, in a sentence that says what to do."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from sigmae import (
    Delta,
    DiagonalGaussian,
    Gaussian,
    KL,
    Mean,
    MonteCarlo,
    NoRegularizer,
    Objective,
    Part,
    SigmaeError,
    SquaredError,
    SquaredNorm,
)
from sigmae.adversarial import Adversarial
from sigmae.latent_regularizers import LatentRegularizer
from sigmae.posteriors import PointMass
from sigmae.propagations import DecodedPoints
from sigmae.testing import check_method, check_part, LawBroken, method_checks, part_checks


@dataclass(eq=False)
class Moments(LatentRegularizer):
    """A part that keeps every law, to be broken."""

    weight: float = 1.0

    def measure(self, q, decoded):
        z = decoded.latents[0]
        return z.mean(0).square().sum() + z.square().mean(0).sub(1).square().sum()


class Undecorated(Moments):
    scale: float = 2.0


@dataclass
class Compared(Moments):
    """Equal where the fields are: not to be hashed."""


@dataclass(eq=False)
class WithFunction(Moments):
    squash: Callable = torch.tanh


@dataclass(eq=False)
class Forgetful(Moments):
    """Settings that are not what made it."""

    def settings(self):
        return {"weight": 2 * self.weight}


@dataclass(eq=False)
class InPlace(Moments):
    def measure(self, q, decoded):
        decoded.latents.detach().mul_(0.9)
        return super().measure(q, decoded)


@dataclass(eq=False)
class Detached(Moments):
    def measure(self, q, decoded):
        z = decoded.latents[0]
        return (z * z.detach()).sum(1).mean()


@dataclass(eq=False)
class Constant(Moments):
    def measure(self, q, decoded):
        return super().measure(q, decoded).detach()


@dataclass(eq=False)
class PerExample(Moments):
    def forward(self, q, decoded):
        return decoded.latents[0].square().sum(1)


@dataclass(eq=False)
class PlainNumber(NoRegularizer):
    def forward(self, q, *_):
        return 0.0


@dataclass(eq=False)
class Narrow(Moments):
    """32 bits in a model of 64."""

    def measure(self, q, decoded):
        return super().measure(q, decoded).float().add(torch.zeros(()))


@dataclass(eq=False)
class Infinite(Moments):
    def measure(self, q, decoded):
        return super().measure(q, decoded) / 0


@dataclass(eq=False)
class OwnNoise(Moments):
    def measure(self, q, decoded):
        return super().measure(q, decoded) * (1 + random.random())


@dataclass(eq=False)
class TwoOrMore(Moments):
    """The variance of one example is NaN, and nobody is told."""

    def measure(self, q, decoded):
        z = decoded.latents[0]
        return (z - z.mean(0)).square().sum() / (len(z) - 1)


@dataclass(eq=False)
class Counting(Moments):
    """State that no buffer holds: the weight grows with every step."""

    def prepare(self, networks, sizes):
        self.steps = 0

    def begin_step(self, moment):
        self.steps += 1

    def measure(self, q, decoded):
        return super().measure(q, decoded) * self.steps


@dataclass(eq=False)
class FreshStart(Moments):
    """Decides by whether it was there when training began, which a process that continues was not."""

    def prepare(self, networks, sizes):
        self.seen = 0

    def begin_step(self, moment):
        self.seen += 1

    def measure(self, q, decoded):
        return super().measure(q, decoded) * (self.seen if self.training else 1)


@dataclass(eq=False)
class OnlyOnePoint(Moments):
    """Works beside one decoded point, and fails beside more, or beside none at all."""

    def measure(self, q, decoded):
        if type(decoded) is not DecodedPoints:
            raise ValueError("these points are linearized")
        return super().measure(q, decoded)


@dataclass(eq=False)
class Refusing(Moments):
    def check(self, objective):
        from sigmae import IncompatibleParts

        raise IncompatibleParts("I work with nobody.")


@dataclass(eq=False)
class OpenOpponent(Adversarial):
    """Its discriminator's weights are trained by the model's step as well."""

    def prepare(self, networks, sizes):
        super().prepare(networks, sizes)
        self.discriminator.requires_grad_(True)


@dataclass(eq=False)
class AttachedCodes(Adversarial):
    def measure(self, q, decoded):
        term = super().measure(q, decoded)
        self.codes = decoded.draw
        return term


@dataclass(eq=False)
class NoScale(Moments):
    @property
    def prior_scale(self):
        return 0.0


@dataclass(eq=False)
class Perhaps(Moments):
    def matches_prior(self, posterior):
        return None


LATENT = [
    (Undecorated, "fields_are_those_of_a_dataclass", "scale of Undecorated are no fields: put @dataclass"),
    (Compared, "fields_are_those_of_a_dataclass", "cannot be hashed"),
    (WithFunction, "settings_rebuild_it", "cannot be written as JSON .* make modules in prepare"),
    (Forgetful, "settings_rebuild_it", "made again from that"),
    (InPlace, "inputs_are_left_as_they_are", "changes what it is given"),
    (Detached, "the_gradient_is_the_slope", "in which its gradient is .*: look for a detach"),
    (Constant, "the_term_moves_the_encoder", "no gradient by the encoder"),
    (PerExample, "terms_are_finite_numbers", r"has the shape \(8,\): take the mean over the batch"),
    (PlainNumber, "terms_are_finite_numbers", "is a float: give a tensor"),
    (Narrow, "terms_are_finite_numbers", r"torch.float32 where the model is torch.float64: make constants by"),
    (Infinite, "terms_are_finite_numbers", "is inf on a plain batch"),
    (OwnNoise, "the_same_seed_gives_the_same_terms", "draw from torch's own generators"),
    (TwoOrMore, "one_example_is_scored_or_refused", "nan.* raise a SigmaeError"),
    (Counting, "the_state_is_saved_with_the_model", "when saved and loaded.*keep state in"),
    (FreshStart, "stopped_training_ends_with_the_same_bits", "after a stop .*: keep state in parameters and buffers"),
    (
        OnlyOnePoint,
        "other_parts_are_served_or_refused",
        "beside DiagonalGaussian, Linearized, Gaussian.*refuse them in",
    ),
    (OpenOpponent, "an_opponent_learns_beside_the_model", "requires gradients: turn them off"),
    (AttachedCodes, "an_opponent_learns_beside_the_model", "detach the codes"),
    (NoScale, "the_prior_has_a_scale", "prior_scale of NoScale is 0.0"),
    (Perhaps, "the_prior_has_a_scale", "return True or False"),
]


@pytest.mark.parametrize(("part", "law", "sentence"), LATENT)
def test_latent_regularizers(caught, part, law, sentence):
    caught(part_checks(part), law, sentence)


def test_what_they_break_is_whole():
    check_part(Moments(0.5))


SHARED = Objective(DiagonalGaussian(), MonteCarlo(), Gaussian(), KL())
METHODS = [
    (lambda: SHARED, "every_call_makes_another", "share their posterior, propagation, likelihood, latent, decoder"),
    (
        lambda: Objective(Blind(), Mean(), SquaredError()),
        "gradients_reach_both_networks",
        "no gradient reaches .*encoder",
    ),
    (
        lambda: Objective(Zeroed(), Mean(), SquaredError()),
        "gradients_reach_both_networks",
        "all gradients .*encoder.* zero",
    ),
    (lambda: Objective(Delta(), Mean(), SquaredError(), Forgetful()), "settings_rebuild_it", "when made again from"),
]


@dataclass(eq=False)
class Blind(Delta):
    def forward(self, outputs):
        return PointMass(outputs.detach())


@dataclass(eq=False)
class Zeroed(Delta):
    def forward(self, outputs):
        return PointMass(0 * outputs)


@pytest.mark.parametrize(("method", "law", "sentence"), METHODS)
def test_methods(caught, method, law, sentence):
    caught(method_checks(method), law, sentence)


def test_the_first_broken_law_is_told_unless_it_is_left_out():
    with pytest.raises(LawBroken, match=r"^fields_are_those_of_a_dataclass: "):
        check_part(Undecorated)
    names = [law for law, _ in part_checks(Moments)]
    check_part(Undecorated, without=names)
    left = names[1:]
    with pytest.raises(AssertionError, match=r"^fields_are_those"):
        check_part(Undecorated, without=left)


def test_what_is_no_part_no_law_and_no_axis_is_told():
    with pytest.raises(SigmaeError, match="Did you mean 'the_gradient_is_the_slope'"):
        check_part(Moments, without=["gradient_is_the_slope"])
    with pytest.raises(SigmaeError, match="is no part"):
        check_part(SHARED)
    with pytest.raises(SigmaeError, match="is no part"):
        check_part(lambda: 3)
    with pytest.raises(SigmaeError, match="Lonely is on no axis: make it a Posterior, Propagation"):
        check_part(Lonely)
    with pytest.raises(SigmaeError, match="Did you mean 'latent'"):
        check_part(Moments, axis="latents")
    with pytest.raises(SigmaeError, match="makes a int: return an Objective"):
        check_method(lambda: 3)
    with pytest.raises(LawBroken, match="Refusing refuses every choice of the other parts"):
        check_part(Refusing)


@dataclass(eq=False)
class Lonely(Part):
    """Of no axis."""


def test_what_a_part_raises_is_told_with_its_law():
    with pytest.raises(LawBroken, match=r"^terms_are_finite_numbers: Crashing raised RuntimeError \(out of ideas\)"):
        dict(part_checks(Crashing))["terms_are_finite_numbers"]()


@dataclass(eq=False)
class Crashing(SquaredNorm):
    def measure(self, q, decoded):
        raise RuntimeError("out of ideas")


def test_a_class_within_a_function_cannot_be_found_again(caught):
    @dataclass(eq=False)
    class Inner(Moments):
        pass

    caught(part_checks(Inner), "settings_rebuild_it", "define it outside functions")
