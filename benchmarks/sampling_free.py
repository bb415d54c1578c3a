"""The sampling-free step, exact, in 16 bits and on a part of the batch, beside a VAE's that draws one sample."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution
from torch.func import jacfwd, vmap

from benchmarks.comparison import Comparison
from benchmarks.steps import apart, flops, loss_and_gradient, Network, training_step
from sigmae import recipes
from sigmae.jacobians import Decoder
from sigmae.model import Autoencoder
from sigmae.posteriors import factor_columns
from sigmae.propagations import decode_points, Linearized, LinearizedPoints, Propagation

SLACK = 1.15  # times the floor
PART = 2.5  # VAE steps, on a part of the batch
SHARES = (0.125, 0.25)
TOLERANCE, SHORT = 1e-4, 0.02  # of 32 bits, and of tangents in 16


@dataclass(frozen=True)
class Case:
    """A network without batch normalization, whose examples may be differentiated one by one, and its sizes."""

    name: str
    network: Network
    latents: tuple[int, ...]
    batch: int = 96


CASES = (
    Case("mlp 256-512-784", Network("mlp", (784,)), (16, 8, 2)),
    Case("conv 64x64x3", Network("beta-vae", (3, 64, 64), init="kaiming"), (16, 8)),
)
TOYS = (
    Case("mlp 8-16-24", Network("mlp", (24,), {"hidden": (16, 8)}), (3,), 16),
    Case("conv 64x64x3", Network("beta-vae", (3, 64, 64), {"width": 2}, "kaiming"), (2,), 8),
)


def comparisons(toy: bool) -> Iterator[Comparison]:
    """The exact step for every latent size; for the largest, tangents in 16 bits and parts of the batch."""
    for case in TOYS if toy else CASES:
        for latent_dim in case.latents:
            yield exact(case, latent_dim)
        yield in_bf16(case, case.latents[0])
        for share in SHARES:
            yield part(case, case.latents[0], share)


def exact(case: Case, latent_dim: int) -> Comparison:
    """All tangents of all examples; a Jacobian by automatic differentiation, one for each example, beside."""
    objectives = {
        "sampling-free": recipes.sampling_free(),
        "vae": recipes.vae(),
        "vmap(jacfwd)": recipes.sampling_free().replace(propagation=WholeJacobian()),
    }
    models = {side: case.network.model(objective, latent_dim) for side, objective in objectives.items()}
    x = case.network.images(case.batch)
    floor = floor_of(models["vae"], x, latent_dim)
    ours, naive = (partial(loss_and_gradient, models[side], x) for side in ("sampling-free", "vmap(jacfwd)"))
    return Comparison(
        name=f"exact, {case.name}, m = {latent_dim}",
        sides={side: training_step(model, x) for side, model in models.items()},
        ours="sampling-free",
        base="vae",
        goal=SLACK * floor,
        floor=floor,
        agree=lambda: apart(ours(), naive()),
        tolerance=TOLERANCE,
        about="loss and gradient agree with those by vmap(jacfwd); the VAE's loss is another",
    )


def in_bf16(case: Case, latent_dim: int) -> Comparison:
    """All tangents, in 16 bits where products are made of them."""
    objectives = {
        "sampling-free, bf16 tangents": recipes.sampling_free().replace(propagation=Linearized(tangents="bf16")),
        "sampling-free": recipes.sampling_free(),
        "vae": recipes.vae(),
    }
    models = {side: case.network.model(objective, latent_dim) for side, objective in objectives.items()}
    x = case.network.images(case.batch)
    ours, whole, base = models
    return Comparison(
        name=f"bf16 tangents, {case.name}, m = {latent_dim}",
        sides={side: training_step(model, x) for side, model in models.items()},
        ours=ours,
        base=base,
        floor=floor_of(models[base], x, latent_dim),
        agree=lambda: apart(*(loss_and_gradient(models[side], x) for side in (ours, whole))),
        tolerance=SHORT,
        about="loss and gradient agree with those in 32 bits, whose operations the floor counts",
    )


def part(case: Case, latent_dim: int, share: float) -> Comparison:
    """The tangents of a random part of the batch."""
    models = {
        f"sampling-free on {share:g}": case.network.model(recipes.sampling_free(share=share), latent_dim),
        "vae": case.network.model(recipes.vae(), latent_dim),
    }
    ours, base = models
    x = case.network.images(case.batch)
    floor = floor_of(models["vae"], x, latent_dim, share)
    return Comparison(
        name=f"{share:g} of the batch, {case.name}, m = {latent_dim}",
        sides={side: training_step(model, x) for side, model in models.items()},
        ours=ours,
        base=base,
        goal=PART if floor < PART else SLACK * floor,
        floor=floor,
        agree=lambda: bias(case, latent_dim, x, share),
        tolerance=TOLERANCE,
        about="unbiased: loss and gradient, averaged over all parts of the batch, agree with the exact ones",
    )


def floor_of(model: Autoencoder, x: Float[Tensor, "batch *event"], latent_dim: int, share: float = 1.0) -> float:
    """1 + share · m · decoder / (encoder + decoder), in operations: a tangent costs what a decoded code does."""
    z = torch.zeros(len(x), latent_dim)
    encoder, decoder = flops(lambda: model.encoder(x)), flops(lambda: model.decoder(z))
    return 1 + share * latent_dim * decoder / (encoder + decoder)


def bias(case: Case, latent_dim: int, x: Float[Tensor, "batch *event"], share: float) -> float:
    """How far the mean of what the parts of the batch give is from what the whole gives."""
    found = []
    for rows in torch.arange(len(x)).chunk(round(1 / share)):
        propagation = Linearized(share=share)
        propagation.rows = lambda mean, rows=rows: rows  # type: ignore[method-assign, misc]
        model = case.network.model(recipes.sampling_free().replace(propagation=propagation), latent_dim)
        found.append(loss_and_gradient(model, x))
    means = [torch.stack(vectors).mean(0) for vectors in zip(*found, strict=True)]
    return apart(means, loss_and_gradient(case.network.model(recipes.sampling_free(), latent_dim), x))


@dataclass(eq=False)
class WholeJacobian(Propagation):
    """`Linearized` as one would write it first: J of every example, then J L."""

    hands_on = LinearizedPoints

    def forward(self, q: Distribution, decode: Decoder) -> LinearizedPoints:
        mean = decode_points(decode, q.mean.unsqueeze(0))
        jacobian = vmap(jacfwd(lambda z: decode(z.unsqueeze(0)).squeeze(0)))(q.mean)
        return LinearizedPoints(
            latents=mean.latents,
            outputs=mean.outputs,
            factor=torch.einsum("b...j,cbj->cb...", jacobian, factor_columns(q)),
            rows=torch.arange(len(q.mean)),
            gamma=0.5,
            logdet_weight=0.5,
        )
