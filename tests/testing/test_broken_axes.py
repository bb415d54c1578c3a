"""Posteriors, propagations, likelihoods and decoder regularizers that are broken in one way each."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from sigmae import (
    Bernoulli,
    Delta,
    DiagonalGaussian,
    Gaussian,
    MonteCarlo,
    SquaredError,
    WeightNorm,
)
from sigmae.decoder_regularizers import DecoderRegularizer
from sigmae.likelihoods import Likelihood
from sigmae.posteriors import PointMass, Posterior
from sigmae.propagations import decode_points, Linearized, Propagation
from sigmae.testing import check_part, LawBroken, part_checks


@dataclass(eq=False)
class FlatCodes(Posterior):
    """A batch of latents in place of events of latents."""

    def outputs(self, latent_dim):
        return 2 * latent_dim

    def forward(self, outputs):
        mean, log_variance = outputs.chunk(2, dim=-1)
        return Normal(mean, (0.5 * log_variance).exp())


@dataclass(eq=False)
class Boastful(Delta):
    @property
    def has_density(self):
        return True


class Biased(Normal):
    def rsample(self, sample_shape=()):
        return super().rsample(sample_shape) + 1


class Unnormalised(Normal):
    def log_prob(self, value):
        return super().log_prob(value) + 1


class Frozen(Normal):
    def rsample(self, sample_shape=()):
        return super().rsample(sample_shape).detach()


class Wide(Normal):
    def rsample(self, sample_shape=()):
        return self.mean + 2 * (super().rsample(sample_shape) - self.mean)


@dataclass(eq=False)
class OfKind(DiagonalGaussian):
    kind: str = "Biased"

    def forward(self, outputs):
        mean, log_variance = outputs.chunk(2, dim=-1)
        return Independent(globals()[self.kind](mean, (0.5 * log_variance).exp(), validate_args=False), 1)


@dataclass(eq=False)
class NoDistribution(Delta):
    def forward(self, outputs):
        return outputs


@dataclass(eq=False)
class Mismatched(DiagonalGaussian):
    def forward(self, outputs):
        return PointMass(outputs)


POSTERIORS = [
    (FlatCodes, "q_is_over_the_codes", "use Independent"),
    (Boastful, "q_is_over_the_codes", "has_density True: mend one of them"),
    (NoDistribution, "q_is_over_the_codes", "returns a Tensor: return a torch Distribution"),
    (Mismatched, "q_is_over_the_codes", "event shapes"),
    (OfKind("Biased"), "draws_have_the_moments_of_q", "another mean than q.mean"),
    (OfKind("Wide"), "draws_have_the_moments_of_q", "the variance of draws"),
    (OfKind("Frozen"), "draws_have_the_moments_of_q", "pass no gradients on"),
    (OfKind("Unnormalised"), "codes_have_a_density", r"adds up to 2.718, not to 1"),
]


@pytest.mark.parametrize(("part", "law", "sentence"), POSTERIORS)
def test_posteriors(caught, part, law, sentence):
    caught(part_checks(part), law, sentence)


@dataclass(eq=False)
class HeavyPoints(MonteCarlo):
    count: int = 2

    def forward(self, q, decode):
        decoded = super().forward(q, decode)
        return replace(decoded, weights=torch.ones(len(decoded.latents), dtype=q.mean.dtype))


@dataclass(eq=False)
class Shuffled(MonteCarlo):
    def forward(self, q, decode):
        decoded = super().forward(q, decode)
        return replace(decoded, outputs=decoded.outputs.flip(1))


@dataclass(eq=False)
class Unsaid(Linearized):
    """Hands on what it does not say."""

    hands_on = int


@dataclass(eq=False)
class SevenPoints(Propagation):
    def forward(self, q, decode):
        return decode_points(decode, q.mean.unsqueeze(0).expand(2, -1, -1).transpose(0, 1))


PROPAGATIONS = [
    (HeavyPoints, "weights_add_up_to_one", "add up to 2, not to 1: divide by their sum"),
    (Shuffled, "outputs_are_the_decoded_points", "not its latents decoded"),
    (SevenPoints, "outputs_are_the_decoded_points", r"the latents of SevenPoints have the shape \(8, 2, 3\)"),
]


@pytest.mark.parametrize(("part", "law", "sentence"), PROPAGATIONS)
def test_propagations(caught, part, law, sentence):
    caught(part_checks(part), law, sentence)


def test_a_propagation_that_hands_on_what_it_does_not_say_finds_no_likelihood():
    with pytest.raises(LawBroken, match="Unsaid refuses every choice of the other parts: its check"):
        check_part(Unsaid)


@dataclass(eq=False)
class NoConstants(SquaredError):
    is_density = True


@dataclass(eq=False)
class Summed(SquaredError):
    def distortion(self, outputs, x):
        return super().distortion(outputs, x).sum(0)


@dataclass(eq=False)
class Undrawn(Gaussian):
    def draw(self, outputs, generator):
        return torch.randn(outputs.shape, generator=generator, dtype=outputs.dtype)


@dataclass(eq=False)
class GlobalNoise(Gaussian):
    def draw(self, outputs, generator):
        return outputs + 0.5**0.5 * torch.randn_like(outputs)


@dataclass(eq=False)
class FlatMean(Gaussian):
    def mean(self, outputs):
        return outputs.flatten(1)


@dataclass(eq=False)
class Laplace(Likelihood):
    """A stranger's likelihood that keeps every law."""

    scale: float = 0.5

    def distortion(self, outputs, x):
        return ((outputs - x).abs() / self.scale + math.log(2 * self.scale)).flatten(2).sum(-1)

    def draw(self, outputs, generator):
        u = torch.rand(outputs.shape, generator=generator, dtype=outputs.dtype) - 0.5
        return outputs - self.scale * u.sign() * (1 - 2 * u.abs()).log()


LIKELIHOODS = [
    (NoConstants, "distortions_are_those_of_a_density", "1.772 over all numbers: give it its constants"),
    (Summed, "every_image_is_scored", r"has shape \(5,\), not points, batch"),
    (Undrawn, "draws_have_the_mean", "have the means .* and it states"),
    (GlobalNoise, "draws_have_the_mean", "other images with the same generator"),
    (FlatMean, "every_image_is_scored", "not that of images"),
]


@pytest.mark.parametrize(("part", "law", "sentence"), LIKELIHOODS)
def test_likelihoods(caught, part, law, sentence):
    caught(part_checks(part), law, sentence)


def test_a_heavy_tailed_likelihood_is_whole():
    check_part(Laplace, without=["stopped_training_ends_with_the_same_bits"])


@dataclass(eq=False)
class FrozenPenalty(WeightNorm):
    def forward(self, q, decoded, decoder):
        return super().forward(q, decoded, decoder).detach()


@dataclass(eq=False)
class Doubled(DecoderRegularizer):
    def joined(self, decoder):
        return nn.Sequential(decoder, nn.ReLU())

    def forward(self, q, decoded, decoder):
        return q.mean.new_zeros(())


@pytest.mark.parametrize(
    ("part", "law", "sentence"),
    [
        (FrozenPenalty, "the_term_moves_the_decoder", "no gradient by the decoder"),
        (Doubled, "joined_decoders_decode_alike", "decodes otherwise"),
    ],
)
def test_decoder_regularizers(caught, part, law, sentence):
    caught(part_checks(part), law, sentence)


def test_logits_are_a_density_over_two_values():
    check_part(Bernoulli, without=["stopped_training_ends_with_the_same_bits", "other_parts_are_served_or_refused"])
