"""The importance-sampled likelihood beside the naive way, and beside the decoding of its samples alone."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Normal

from benchmarks.comparison import Comparison
from benchmarks.memory import peak_memory
from benchmarks.steps import LATENT, Network
from sigmae import recipes
from sigmae.metrics.likelihood import DECODED_AT_ONCE, DRAWN_AT_ONCE, log_likelihood
from sigmae.model import Autoencoder
from sigmae.seeds import generator

VARIANCE = 0.5
TOLERANCE = 1e-5
SEED = 0
MANY = 50_000  # samples of an image, as for the published log-likelihoods
BOUND = 100_000_000  # bytes


@dataclass(frozen=True)
class Case:
    """A network and its sizes: `count` samples for each image, decoded images of `elements` numbers at once.

    `many` samples are those whose memory is measured.
    """

    network: Network
    images: int
    count: int = 5000
    elements: int = DECODED_AT_ONCE
    many: int = MANY


CASES = (
    Case(Network("mlp", (784,)), 10),
    Case(Network("conv", (1, 28, 28)), 2),
    Case(Network("conv", (3, 64, 64)), 2, 250, many=2000),
)
TOYS = (
    Case(Network("mlp", (24,), {"hidden": (16,)}), 2, 25, 240, 50),
    Case(Network("conv", (1, 8, 8), {"width": 2}), 2, 25, 640, 50),
)


def comparisons(toy: bool) -> Iterator[Comparison]:
    """Every network, by each base."""
    for case in TOYS if toy else CASES:
        yield from estimates(case)
        yield memory(case)


def estimates(case: Case) -> Iterator[Comparison]:
    """The library's estimate, the naive one, and the decodes without which there is none."""
    model = case.network.model(recipes.vae(variance=VARIANCE)).eval()
    images = case.network.images(case.images)
    sizes = [min(DRAWN_AT_ONCE, case.count - start) for start in range(0, case.count, DRAWN_AT_ONCE)]
    codes = torch.randn(case.count, LATENT, generator=generator(SEED, "codes"))

    def ours() -> Tensor:
        return log_likelihood(model, images, count=case.count, seed=SEED, elements=case.elements).values

    @torch.no_grad()
    def naive() -> Tensor:
        return torch.stack([naive_estimate(model, image, row, sizes) for row, image in enumerate(images)])

    @torch.no_grad()
    def decodes() -> None:
        for _ in images:
            for part in codes.split(case.elements // images[0].numel()):
                model.decoder(part)

    bases = {
        "naive": (naive, "which encodes as many copies of the image as it decodes codes"),
        "decodes": (decodes, "which are the floor"),
    }
    for base, (run, about) in bases.items():
        yield Comparison(
            name=f"{case.count:,} samples, {case.network.name} {side(case)}, by {base}",
            sides={"log_likelihood": ours, base: run},
            ours="log_likelihood",
            base=base,
            floor=1.0 if base == "decodes" else None,
            agree=lambda: float((naive() / ours() - 1).abs().max()),
            tolerance=TOLERANCE,
            about=f"beside {base}, {about}; the estimate agrees with the naive one from the same noise",
        )


def memory(case: Case) -> Comparison:
    """What the estimate holds at most, above the model."""
    model = case.network.model(recipes.vae(variance=VARIANCE)).eval()
    images = case.network.images(2)
    return Comparison(
        name=f"memory of {case.many:,} samples, {case.network.name} {side(case)}",
        sides={
            "log_likelihood": lambda: log_likelihood(model, images, count=case.many, seed=SEED, elements=case.elements),
            "100 MB": lambda: torch.empty(BOUND, dtype=torch.uint8),
        },
        ours="log_likelihood",
        base="100 MB",
        goal=1.0,
        about="the peak above the model",
        gauge=peak_memory,
        unit="bytes",
    )


def side(case: Case) -> str:
    """The size of an image, in words."""
    return "x".join(map(str, case.network.shape))


def naive_estimate(model: Autoencoder, image: Float[Tensor, "*event"], row: int, sizes: list[int]) -> Float[Tensor, ""]:
    """ln 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), written out in 32 bits; the noise is that of `log_likelihood`."""
    draw, weights = generator(SEED, "draws of q", row), []
    for size in sizes:
        copies = image.expand(size, *image.shape)
        mean, log_variance = model.encoder(copies).chunk(2, dim=1)
        q, prior = Normal(mean, (0.5 * log_variance).exp()), Normal(torch.zeros_like(mean), torch.ones_like(mean))
        noise = torch.randn(size, mean.shape[1], dtype=torch.float64, generator=draw).float()
        z = q.mean + q.stddev * noise
        p = Normal(model.decoder(z), math.sqrt(VARIANCE))
        scores = p.log_prob(copies).flatten(1).sum(1)
        weights.append(scores + (prior.log_prob(z) - q.log_prob(z)).sum(1))
    estimate: Tensor = torch.cat(weights).logsumexp(0) - math.log(sum(sizes))
    return estimate
