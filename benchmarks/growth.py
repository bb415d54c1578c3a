"""Growth: a training step of each size beside the step of the size before, and what arithmetic expects of it."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from jaxtyping import UInt8
from torch import Tensor

from benchmarks.comparison import Comparison, Run
from benchmarks.steps import flops, LATENT, loop_of, Network, training_step
from sigmae.data import Dataset, Split
from sigmae.recipes import method
from sigmae.seeds import generator
from sigmae.training.loop import FLUSH_EVERY

WRITTEN_AT_ONCE = 10_000
ON_DISK = "images stay in a file that is mapped into memory, and that the system may hold in its cache"


def comparisons(toy: bool) -> Iterator[Comparison]:
    """Steps against the sizes of codes, batches and images, and of data on disk."""
    mlp = Network("mlp", (1, 8, 8) if toy else (1, 28, 28))
    width = 2 if toy else 32
    for name in ("vae", "ut-vae-w2-full", "sampling-free"):
        latents = powers(2, 4) if toy else powers(8, 512)
        yield from doublings(f"{name}, mlp, latent size", latents, partial(method_step, name, mlp, 32))
    batches = powers(4, 8) if toy else powers(25, 400)
    yield from doublings("vae, mlp, batch", batches, partial(method_step, "vae", mlp))
    sides = powers(8, 16) if toy else powers(16, 256)
    yield from doublings("vae, conv, image size", sides, partial(image_step, width))
    yield from data_growth((100, 1000) if toy else (1000, 10_000, 100_000, 1_000_000), mlp)


def doublings(name: str, sizes: Sequence[int], step: Callable[[int], Run], about: str = "") -> Iterator[Comparison]:
    """Each size against the one before; the share that is expected is that of multiplications and additions."""
    for small, large in pairwise(sizes):
        runs = {size: step(size) for size in (small, large)}
        expected = flops(runs[large]) / flops(runs[small])
        exponent = math.log(expected) / math.log(large / small)
        told = f"by its multiplications and additions, time grows with the power {exponent:.2f} of the size"
        yield Comparison(
            name=f"{name} {small} to {large}",
            sides={str(size): run for size, run in runs.items()},
            ours=str(large),
            base=str(small),
            floor=expected,
            about=f"{about}; {told}" if about else told,
        )


def powers(first: int, last: int) -> list[int]:
    """Doubled from the first to the last."""
    return [first << level for level in range((last // first).bit_length())]


def method_step(name: str, network: Network, batch: int, latent_dim: int = LATENT) -> Run:
    """A step of a method."""
    return training_step(network.model(method(name).objective(), latent_dim), network.images(batch))


def image_step(width: int, side: int) -> Run:
    """A step of the convolutional VAE on square images in colour."""
    return method_step("vae", Network("conv", (3, side, side), {"width": width}), 16)


def data_growth(sizes: Sequence[int], network: Network) -> Iterator[Comparison]:
    """Steps of the training loop, whose images are on disk."""
    with TemporaryDirectory() as folder:
        images = images_on_disk(Path(folder) / "images", max(sizes), network.shape)
        name = f"vae, {network.name}, {FLUSH_EVERY} steps of the loop, images"
        yield from doublings(name, sizes, lambda size: loop_steps(network, images[:size]), ON_DISK)


def images_on_disk(path: Path, count: int, shape: tuple[int, ...]) -> UInt8[Tensor, "count *shape"]:
    """Random images in a file, read where and when they are looked at."""
    values, draw = math.prod(shape), generator(0, "images on disk")
    with path.open("wb") as file:
        for start in range(0, count, WRITTEN_AT_ONCE):
            size = (min(WRITTEN_AT_ONCE, count - start), values)
            torch.randint(256, size, generator=draw, dtype=torch.uint8).numpy().tofile(file)
    mapped = torch.from_file(str(path), shared=False, size=count * values, dtype=torch.uint8)
    return mapped.view(count, *shape)


def loop_steps(network: Network, images: UInt8[Tensor, "count *shape"]) -> Run:
    """As many steps of the training loop as lie between two looks at the loss, on rows from anywhere."""
    data = Dataset("random", Split(images), Split(images[:10]), Split(images[:10]))
    loop = loop_of(network.model(method("vae").objective()), data)
    draw = generator(0, "rows")

    def run() -> None:
        for _ in range(FLUSH_EVERY):
            loop.step(torch.randint(len(images), (100,), generator=draw))
        loop.flush()

    return run
