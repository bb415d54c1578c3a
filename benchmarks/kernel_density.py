"""The aggregate VAE's term beside the two matrix products in it, and its epochs beside an autoencoder's."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.comparison import Comparison, Run
from benchmarks.steps import apart, loop_of, Network, repeated
from sigmae import recipes
from sigmae.data import Dataset, Split
from sigmae.kernel_density import bank_size, KernelDensity, log_kernel_density
from sigmae.kernels import squared_distances
from sigmae.objective import Objective
from sigmae.seeds import generator
from sigmae.signals import StopRequest

TOLERANCE = 1e-4
Term = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Sizes:
    """Of the term and its bank, with the bandwidth for both, of the queue that may replace it, and of MNIST."""

    batch: int = 100
    bank: int = 10_000
    queue: int = 1_000
    latent_dim: int = 16
    bandwidth: float = 0.586
    train: int = 50_000
    validation: int = 10_000
    shape: tuple[int, ...] = (1, 28, 28)


TOY = Sizes(batch=10, bank=20, queue=20, latent_dim=3, train=100, validation=20, shape=(1, 4, 4))


def comparisons(toy: bool) -> Iterator[Comparison]:
    """The term with the paper's sizes for MNIST, with a queue, and with those for CelebA; epochs of both schedules."""
    sizes = TOY if toy else Sizes()
    yield from terms(sizes)
    if not toy:
        yield from terms(replace(sizes, bank=sizes.queue, bandwidth=0.632))
        yield from terms(replace(sizes, bank=20_000, latent_dim=64, bandwidth=0.714))
    yield epoch(sizes, "avae", recipes.avae(sizes.bank))
    yield epoch(sizes, "avae-queue", recipes.avae_queue(sizes.queue))


def terms(sizes: Sizes) -> Iterator[Comparison]:
    """Forward and backward of a batch against its bank, several times over."""
    draw = generator(0, "codes")
    z, bank = (torch.randn(count, sizes.latent_dim, generator=draw) for count in (sizes.batch, sizes.bank))
    z.requires_grad_()
    fused, plain = (partial(term, bandwidth=sizes.bandwidth) for term in (log_kernel_density, by_autograd))
    sides: dict[str, Run] = {
        "term": repeated(lambda: value_and_gradient(fused, z, bank)),
        "products": repeated(lambda: products(z, bank)),
        "products and exponentials": repeated(lambda: products_and_exponentials(z, bank)),
        "logsumexp": repeated(lambda: value_and_gradient(plain, z, bank)),
    }
    bases: dict[str, tuple[float | None, str]] = {
        "products": (1.2, "batch by bank and back, and no exponential, of which the term needs one for each pair"),
        "products and exponentials": (
            None,
            "what no way to compute the term can leave out",
        ),
        "logsumexp": (None, "distances by a product, logsumexp and autograd"),
    }
    for base, (goal, about) in bases.items():
        yield Comparison(
            name=f"term, {sizes.batch} codes against {sizes.bank:,}, m = {sizes.latent_dim}, by {base}",
            sides={side: sides[side] for side in ("term", base)},
            ours="term",
            base=base,
            goal=goal,
            agree=lambda: apart(value_and_gradient(fused, z, bank), value_and_gradient(plain, z, bank)),
            tolerance=TOLERANCE,
            about=about,
        )


def value_and_gradient(
    term: Term, z: Float[Tensor, "batch latent"], bank: Float[Tensor, "bank latent"]
) -> list[Tensor]:
    """ln q of every code, and the gradient of its mean."""
    value = term(z, bank)
    (gradient,) = torch.autograd.grad(value.mean(), z)
    return [value.detach(), gradient.flatten()]


def by_autograd(
    z: Float[Tensor, "batch latent"], bank: Float[Tensor, "bank latent"], bandwidth: float
) -> Float[Tensor, " batch"]:
    """ln q without a backward pass of its own."""
    exponents = squared_distances(z, bank) / (-2 * bandwidth**2)
    return exponents.logsumexp(1) - math.log(len(bank)) - z.shape[1] / 2 * math.log(2 * math.pi * bandwidth**2)


@torch.no_grad()
def products(z: Float[Tensor, "batch latent"], bank: Float[Tensor, "bank latent"]) -> Tensor:
    """The matrix product of the distances, and that of the gradient."""
    return (z @ bank.T) @ bank


@torch.no_grad()
def products_and_exponentials(z: Float[Tensor, "batch latent"], bank: Float[Tensor, "bank latent"]) -> Tensor:
    """Both matrix products, and one exponential for each pair, to base 2: that to base e takes twice as long."""
    return (z @ bank.T).exp2_() @ bank


def epoch(sizes: Sizes, method: str, objective: Objective) -> Comparison:
    """An epoch of the aggregate VAE, validation and its encodings included, and one of an autoencoder."""
    latent = objective.latent
    assert isinstance(latent, KernelDensity)
    objective = objective.replace(latent=replace(latent, bandwidth=sizes.bandwidth))
    left_out = bank_size(latent.bank, sizes.train) if latent.schedule == "refresh" else 0
    return Comparison(
        name=f"epoch, {method}, {latent.schedule} of {latent.bank:,} codes, mlp",
        sides={
            method: epochs(sizes, objective, sizes.train),
            "ae": epochs(sizes, recipes.ae(), sizes.train - left_out),
        },
        ours=method,
        base="ae",
        goal=1.15,
        about="equal numbers of steps: the bank's images, on which a refreshed AVAE does not train, are left out of "
        "the autoencoder's epoch too; the losses are different ones, and are not compared",
    )


def epochs(sizes: Sizes, objective: Objective, train: int) -> Run:
    """The next epoch of a training run on random images of MNIST's size."""
    draw = generator(0, "images")
    size = (train + sizes.validation, *sizes.shape)
    images = torch.randint(256, size, dtype=torch.uint8, generator=draw)
    training, validation = map(Split, images.split([train, sizes.validation]))
    model = Network("mlp", sizes.shape).model(objective, sizes.latent_dim)
    loop = loop_of(model, Dataset("random", training, validation, validation), batch_size=sizes.batch)
    return lambda: loop.epoch(StopRequest())
