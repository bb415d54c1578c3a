"""The gradient penalty ||J||_F² of RAE-GP, estimated by one probe or exact, against a plain autoencoder."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import nn, Tensor
from torch.func import jacrev, vmap

from benchmarks.comparison import Comparison
from benchmarks.steps import flops
from benchmarks.training_step import first_batches, LATENT, new_loop, our_steps, Setting, settings
from sigmae import Objective, recipes
from sigmae.data import scaled
from sigmae.decoder_regularizers import exact_squared_norm, probed_squared_norm
from sigmae.seeds import seeded
from sigmae.training.loop import Loop

PROBES, EXAMPLES = 400, 2  # of the check of the estimate, and of that of the exact norm
CHANCE, ROUNDING = 0.05, 1e-4  # largest shares by which these differ
STEPS = 5


def codes_of(loop: Loop) -> tuple[nn.Module, Float[Tensor, "batch latent"]]:
    """A copy of the decoder in evaluation mode, where no batch normalization ties the examples together, and codes."""
    decoder = deepcopy(loop.model.decoder).eval()
    with torch.no_grad():
        codes: Tensor = loop.model.encoder(scaled(loop.images[: loop.config.batch_size].to(loop.fabric.device)))
    return decoder, codes


def bias(loop: Loop) -> float:
    """By which share the mean of many probes differs from the exact norm."""
    decoder, codes = codes_of(loop)
    with seeded(0):
        probes = [probed_squared_norm(decoder, codes).detach().mean() for _ in range(PROBES)]
    exact = exact_squared_norm(decoder, codes).detach().mean()
    return float(abs(torch.stack(probes).mean() - exact) / exact)


def difference(loop: Loop) -> float:
    """By which share the exact norm differs from that of the Jacobian that torch makes row by row."""
    decoder, codes = codes_of(loop)

    def decode(code: Float[Tensor, " latent"]) -> Float[Tensor, "*event"]:
        image: Tensor = decoder(code.unsqueeze(0)).squeeze(0)
        return image

    own = exact_squared_norm(decoder, codes[:EXAMPLES]).detach()
    rows = vmap(jacrev(decode), chunk_size=1)(codes[:EXAMPLES])
    other = rows.detach().square().flatten(1).sum(1)
    return float(((own - other).abs() / other).max())


def floor_of(loop: Loop) -> float:
    """1 + m · decoder / (encoder + decoder): what the products of m tangents with the decoder add to a step."""
    decoder, codes = codes_of(loop)
    images = scaled(loop.images[: loop.config.batch_size].to(loop.fabric.device))
    with torch.no_grad():
        encoding, decoding = flops(lambda: loop.model.encoder(images)), flops(lambda: decoder(codes))
    return 1 + LATENT * decoding / (encoding + decoding)


def by_one_probe(setting: Setting) -> Comparison:
    """RAE-GP by one probe, beside it the gradient that the authors' code penalises."""
    methods = {"one probe": "rae-gp", "authors' code": "rae-gp-code", "ae": "ae"}
    loops = {side: new_loop(setting, method) for side, method in methods.items()}
    return Comparison(
        name=f"one probe, {setting.name}",
        sides={side: partial(our_steps, loop, first_batches(loop, setting)) for side, loop in loops.items()},
        ours="one probe",
        base="ae",
        goal=1.6,
        floor=1.5,
        agree=partial(bias, loops["one probe"]),
        tolerance=CHANCE,
        about=f"{setting.steps} steps of {setting.batch} images. Agreement: the share by which the mean of {PROBES} "
        "probes differs from the exact norm.",
    )


def exact(setting: Setting) -> Comparison:
    """The exact norm by a tangent for every latent."""
    objectives: dict[str, Objective | str] = {"exact norm": recipes.rae_gp(estimate="exact"), "ae": "ae"}
    loops = {side: new_loop(setting, objective) for side, objective in objectives.items()}
    floor = floor_of(loops["ae"])
    return Comparison(
        name=f"exact norm, {LATENT} latents, {setting.name}",
        sides={side: partial(our_steps, loop, first_batches(loop, setting)) for side, loop in loops.items()},
        ours="exact norm",
        base="ae",
        goal=1.15 * floor,
        floor=floor,
        agree=partial(difference, loops["exact norm"]),
        tolerance=ROUNDING,
        about=f"{setting.steps} steps of {setting.batch} images; the floor is 1 + m decoder / (encoder + decoder) in "
        f"multiplications. Agreement: with the norm of the Jacobians that reverse mode makes of {EXAMPLES} examples.",
    )


def comparisons(toy: bool) -> Iterator[Comparison]:
    """Both estimates on every network."""
    for setting in settings(toy):
        few = replace(setting, steps=min(STEPS, setting.steps))
        yield by_one_probe(few)
        yield exact(few)
