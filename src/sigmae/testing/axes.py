"""Laws of one axis each: posteriors, propagations, likelihoods, latent and decoder regularizers."""

import math
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn, Tensor
from torch.distributions import Distribution

from sigmae.latent_regularizers import LatentRegularizer
from sigmae.likelihoods import Likelihood
from sigmae.parts import Sizes
from sigmae.seeds import generator, seeded
from sigmae.testing.laws import Law, require
from sigmae.testing.parts import PartTrial
from sigmae.testing.trials import batch, LATENT, SHAPE, terms_of

CODES = 5
DRAWS = 20_000
ERRORS = 6  # standard errors that a mean of draws may be off
NODES = 4001
ONE = 1e-3  # by which a sum of probabilities may miss it
LEVELS = 256


def q_is_over_the_codes(trial: PartTrial) -> None:
    """For any latent size, q has a batch of examples and an event of latents, and says itself whether it is a point."""
    for latent in (1, LATENT):
        q = posterior_of(trial, latent)
        require(isinstance(q, Distribution), f"{trial} returns a {type(q).__name__}: return a torch Distribution.")
        shapes = tuple(q.batch_shape), tuple(q.event_shape)
        wanted = (CODES,), (latent,)
        require(shapes == wanted, f"q of {trial} has batch and event shapes {shapes}, not {wanted}: use Independent.")
        for name, moment in {"mean": q.mean, "variance": q.variance}.items():
            shape = tuple(moment.shape)
            require(shape == (CODES, latent), f"the {name} of q of {trial} has shape {shape}, not {(CODES, latent)}.")
        spread = bool((q.variance > 0).all())
        told = (
            f"the variance of q of {trial} is {'above' if spread else 'not above'} zero, and has_density {not spread}"
        )
        require(trial.make().has_density == spread, f"{told}: mend one of them.")


def posterior_of(trial: PartTrial, latent: int) -> Any:
    """What should be q, for outputs of an encoder through which gradients pass."""
    part = trial.make()
    with seeded(0, "outputs"):
        return part(torch.randn(CODES, part.outputs(latent), requires_grad=True))


def draws_have_the_moments_of_q(trial: PartTrial) -> None:
    """`rsample` has the mean and the variance that q states, and passes gradients on."""
    q = posterior_of(trial, LATENT)
    with seeded(0, "draws"):
        z = q.rsample(torch.Size((DRAWS,)))
    require(z.requires_grad, f"draws of q of {trial} pass no gradients on: reparameterise them in rsample.")
    z, mean, variance = z.detach(), q.mean.detach(), q.variance.detach()
    shape = tuple(z.shape)
    require(shape == (DRAWS, CODES, LATENT), f"draws of q of {trial} have shape {shape}, not {(DRAWS, CODES, LATENT)}.")
    error = variance.sqrt() / math.sqrt(DRAWS)
    off = float(((z.mean(0) - mean).abs() - ERRORS * error).max())
    require(off <= ONE, f"draws of q of {trial} have another mean than q.mean: one of them is not of q.")
    ratio = float(((z.var(0) - variance).abs() / variance.clamp_min(1e-12)).max())
    close = ratio < 0.2 or not trial.make().has_density
    require(close, f"the variance of draws of q of {trial} is off q.variance by {ratio:.0%}: one of them is not of q.")


def codes_have_a_density(trial: PartTrial) -> None:
    """Where q has a density, `log_prob` is that of a distribution: over one latent it adds up to one."""
    if not trial.make().has_density:
        return
    q = posterior_of(trial, 1)
    mean, scale = q.mean.detach(), q.variance.detach().sqrt()
    total = integral(lambda t: q.log_prob(mean + scale * t.float().view(-1, 1, 1)).detach().exp() * scale[:, 0])
    worst = float(total[(total - 1).abs().argmax()])
    require(abs(worst - 1) < ONE, f"the density of q of {trial} adds up to {worst:.4g}, not to 1: see its log_prob.")


def integral(density: Callable[[Tensor], Tensor]) -> Tensor:
    """Of a function over all numbers, by t = tan(angle), so that heavy tails count too; nodes are its first axis."""
    angles = torch.linspace(-math.pi / 2, math.pi / 2, NODES + 2, dtype=torch.float64)[1:-1]
    t = angles.tan()
    values = density(t)
    stretch = (1 + t.square()) * (math.pi / (NODES + 1))
    return (values.double() * stretch.view(-1, *[1] * (values.ndim - 1))).sum(0)


def outputs_are_the_decoded_points(trial: PartTrial) -> None:
    """A propagation hands on what it says: points of every example, and what the decoder makes of them."""
    model = trial.whole.at_first_step()
    part, x = model.objective.propagation, batch()
    with torch.no_grad(), seeded(0, "noise"):
        decoded = part(model.objective.encode(model, x), model.decoder)
    name, promised = type(decoded).__name__, part.hands_on.__name__
    require(isinstance(decoded, part.hands_on), f"{trial} hands on {name}, and says {promised}: set hands_on.")
    shape, wanted = tuple(decoded.latents.shape), (len(decoded.latents), len(x), LATENT)
    require(shape == wanted, f"the latents of {trial} have the shape {shape}, not points, batch, latent {wanted}.")
    with torch.no_grad():
        images = model.decoder(decoded.latents.flatten(0, 1)).unflatten(0, shape[:2])
    same = images.shape == decoded.outputs.shape and torch.allclose(images, decoded.outputs, atol=1e-5)
    require(same, f"the outputs of {trial} are not its latents decoded: use decode_points, and keep their order.")


def weights_add_up_to_one(trial: PartTrial) -> None:
    """The points of an example weigh one in all, or alike where there are no weights."""
    model = trial.whole.at_first_step()
    with torch.no_grad(), seeded(0, "noise"):
        decoded = model.objective.propagation(model.objective.encode(model, batch()), model.decoder)
    if decoded.weights is not None:
        shape, points = tuple(decoded.weights.shape), len(decoded.latents)
        require(shape == (points,), f"the weights of {trial} have the shape {shape} for {points} points.")
        total = float(decoded.weights.sum())
        require(abs(total - 1) < ONE, f"the weights of {trial} add up to {total:.4g}, not to 1: divide by their sum.")


def every_image_is_scored(trial: PartTrial) -> None:
    """The distortion is one finite number for every point and example, of decoder outputs of the shape asked for."""
    part = trial.whole.at_first_step().objective.likelihood
    with seeded(0, "outputs"):
        outputs = torch.randn(2, CODES, *part.decoder_shape(SHAPE))
    distortion = part.distortion(outputs, batch(CODES))
    shape = tuple(distortion.shape)
    require(shape == (2, CODES), f"the distortion of {trial} has shape {shape}, not points, batch {(2, CODES)}.")
    require(distortion.isfinite().all(), f"the distortion of {trial} is not finite for plain images.")
    for lead in ((CODES,), (2, CODES)):
        shape = tuple(part.mean(outputs[0] if len(lead) == 1 else outputs).shape)
        require(
            shape == (*lead, *SHAPE), f"the mean of {trial} has shape {shape}, not that of images, {*lead, *SHAPE}."
        )


def likelihood_of_one_value(trial: PartTrial) -> tuple[Likelihood, Tensor]:
    """The likelihood, prepared for examples of one value, and outputs of a decoder for three of them."""
    part: Likelihood = trial.make()
    part.prepare(SimpleNamespace(encoder=nn.Identity(), decoder=nn.Identity()), Sizes((1,), LATENT))
    with seeded(0, "outputs"):
        return part.double(), torch.randn(3, *part.decoder_shape((1,)), dtype=torch.float64)


def distortions_are_those_of_a_density(trial: PartTrial) -> None:
    """Where it is a density, exp(-distortion) adds up to one over numbers, [0, 1], {0, 1} or the 256 levels of a pixel.

    Constants included, since likelihoods of different methods are compared.
    """
    part, outputs = likelihood_of_one_value(trial)
    if not part.is_density:
        return
    for output in outputs:
        density = partial(density_of_one_value, part, output)
        levels = torch.linspace(0, 1, LEVELS, dtype=torch.float64)
        middles = (torch.arange(NODES, dtype=torch.float64) + 0.5) / NODES
        totals = {"{0, 1}": density(levels[[0, -1]]).sum(), "256 levels": density(levels).sum()}
        totals["[0, 1]"] = density(middles).mean()
        if not part.unit_range:
            totals["all numbers"] = integral(partial(density, centre=part.mean(output[None]).detach()[0]))
        told = ", ".join(f"{float(total):.4g} over {where}" for where, total in totals.items())
        close = any(abs(float(total) - 1) < ONE for total in totals.values())
        require(
            close, f"exp(-distortion) of {trial} adds up to {told}: give it its constants, or set is_density False."
        )


def density_of_one_value(part: Likelihood, output: Tensor, x: Tensor, centre: Tensor | float = 0.0) -> Tensor:
    """exp(-distortion) of numbers, counted from the centre, for one output of a decoder."""
    images = (x + centre).unsqueeze(1)
    return (-part.distortion(output.expand(1, len(x), -1), images)[0]).detach().exp()


def draws_have_the_mean(trial: PartTrial) -> None:
    """Where it is a density, `draw` gives images of its mean, and the same ones for the same generator."""
    part, outputs = likelihood_of_one_value(trial)
    if not part.is_density:
        return
    many = outputs.repeat_interleave(DRAWS, 0)
    x, again = (part.draw(many, generator(0, "draws")).detach() for _ in range(2))
    require(tuple(x.shape) == (len(many), 1), f"draws of {trial} have shape {tuple(x.shape)}, not {(len(many), 1)}.")
    require(torch.equal(x, again), f"{trial} draws other images with the same generator: take all noise from it.")
    x = x.view(len(outputs), DRAWS)
    mean = part.mean(outputs).detach().view(-1)
    off = (x.mean(1) - mean).abs() > ERRORS * x.std(1) / math.sqrt(DRAWS) + ONE
    require(not off.any(), f"draws of {trial} have the means {x.mean(1).tolist()}, and it states {mean.tolist()}.")


def the_prior_has_a_scale(trial: PartTrial) -> None:
    """What samples are drawn from is known: `prior_scale` is a number above 0, `matches_prior` a yes or no."""
    model = trial.whole.at_first_step()
    part = model.objective.latent
    scale = part.prior_scale
    positive = isinstance(scale, float | int) and 0 < scale < math.inf
    require(positive, f"the prior_scale of {trial} is {scale}: give a number above 0.")
    if isinstance(part, LatentRegularizer):
        told = part.matches_prior(model.objective.posterior)
        require(isinstance(told, bool), f"matches_prior of {trial} returns {told!r}: return True or False.")


def the_term_moves_the_encoder(trial: PartTrial) -> None:
    """A latent term that is not zero has a gradient by the encoder."""
    require_moved(trial, "latent", "encoder")


def the_term_moves_the_decoder(trial: PartTrial) -> None:
    """A decoder term that is not zero has a gradient by the decoder."""
    require_moved(trial, "decoder", "decoder")


def require_moved(trial: PartTrial, name: str, network: str) -> None:
    """Refuse a term without a gradient by a network, unless it is zero always."""
    model = trial.whole.at_first_step()
    term: Tensor = getattr(terms_of(model, batch()), name)
    if term.requires_grad:
        term.backward()
    weights = list(getattr(model, network).parameters())
    moved = any(weight.grad is not None and weight.grad.any() for weight in weights)
    told = f"the {name} term {term.item():g} of {trial} has no gradient by the {network}, and so changes nothing"
    require(moved or not term, f"{told}: look for a detach, or codes that are made anew.")


def joined_decoders_decode_alike(trial: PartTrial) -> None:
    """What `joined` makes of a decoder returns what the decoder returns."""
    model = trial.whole.at_first_step().eval()
    with torch.no_grad(), seeded(0, "noise"):
        z = torch.randn(CODES, LATENT)
        one, other = model.decoder(z), model.objective.decoder.joined(model.decoder)(z)
    require(torch.allclose(one, other, atol=1e-5), f"what {trial} joins to a decoder decodes otherwise than it.")


LAWS: dict[str, tuple[Law, ...]] = {
    "posterior": (q_is_over_the_codes, draws_have_the_moments_of_q, codes_have_a_density),
    "propagation": (outputs_are_the_decoded_points, weights_add_up_to_one),
    "likelihood": (every_image_is_scored, distortions_are_those_of_a_density, draws_have_the_mean),
    "latent": (the_term_moves_the_encoder, the_prior_has_a_scale),
    "decoder": (the_term_moves_the_decoder, joined_decoders_decode_alike),
}
