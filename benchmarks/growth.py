"""Growth: time and memory of each size beside those of the size before, and what arithmetic expects of them.

`python -m benchmarks.growth` draws results/growth.png from results/benchmarks.json.
"""

import ctypes
import gc
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from operator import mul
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TYPE_CHECKING

import numpy as np
import torch

from benchmarks.comparison import Comparison, Run
from benchmarks.memory import peak_memory
from benchmarks.steps import flops, LATENT, loop_of, Network, training_step
from sigmae.data import Dataset, load
from sigmae.data.mapped import HELD
from sigmae.errors import SigmaeError
from sigmae.figures.canvas import bare, saved, styled
from sigmae.figures.charts import COLOURS
from sigmae.files import write_bytes
from sigmae.recipes import method
from sigmae.seeds import generator
from sigmae.training.loop import FLUSH_EVERY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WRITTEN_AT_ONCE = 10_000
RESIDENT = 0.25  # of the bytes on disk
ON_DISK = "images come from a .npy file, which is read into memory up to 256 MB and else stays on disk"
RESULTS = Path(__file__).parents[1] / "results"
STATUS = Path("/proc/self/status")
ROOM = (0.7, 3.0)  # below and above the curves, where the legend is
UNITS = {"seconds": "time", "bytes": "memory"}


def comparisons(toy: bool) -> Iterator[Comparison]:
    """Steps against the sizes of codes, batches and images, and of data on disk."""
    mlp = Network("mlp", (1, 8, 8) if toy else (1, 28, 28))
    width = 2 if toy else 32
    for name, power in (("vae", 1), ("ut-vae-w2-full", 2), ("sampling-free", 1)):
        latents = powers(2, 4) if toy else powers(8, 512)
        yield from doublings(f"{name}, mlp, latent size", latents, partial(method_step, name, mlp, 32), power)
    batches = powers(4, 8) if toy else powers(25, 400)
    yield from doublings("vae, mlp, batch", batches, partial(method_step, "vae", mlp), 1)
    sides = powers(8, 16) if toy else powers(16, 256)
    yield from doublings("vae, conv, image size", sides, partial(image_step, width), 2)
    yield from data_growth((100, 1000) if toy else (1000, 10_000, 100_000, 1_000_000), mlp)


def doublings(
    name: str, sizes: Sequence[int], step: Callable[[int], Run], power: float | None = None, about: str = ""
) -> Iterator[Comparison]:
    """Each size against the one before; the share that is expected is that of multiplications and additions.

    Where a `power` is given, memory is compared as well, which grows with that power of a size that outgrows all else.
    """
    for small, large in pairwise(sizes):
        runs = {size: step(size) for size in (small, large)}
        sides = {str(size): run for size, run in runs.items()}
        expected = flops(runs[large]) / flops(runs[small])
        exponent = math.log(expected) / math.log(large / small)
        told = f"by its multiplications and additions, time grows with the power {exponent:.2f} of the size"
        yield Comparison(
            name=f"{name} {small} to {large}",
            sides=sides,
            ours=str(large),
            base=str(small),
            floor=expected,
            about=f"{about}; {told}" if about else told,
        )
        if power is not None:
            yield Comparison(
                name=f"memory of {name} {small} to {large}",
                sides=sides,
                ours=str(large),
                base=str(small),
                floor=(large / small) ** power,
                about=f"the peak of a step above weights and optimizer; at most the power {power:g} of the size",
                gauge=peak_memory,
                unit="bytes",
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
    """Steps of the training loop, whose images are on disk, and the memory that stays taken."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        write_images(path, max(sizes), network.shape)
        name = f"vae, {network.name} by {FLUSH_EVERY} steps of the loop, images"
        yield from doublings(name, sizes, lambda size: loop_steps(network, first(path, size)), about=ON_DISK)
        if STATUS.exists():
            yield Comparison(
                name=f"memory of {max(sizes):,} images on disk",
                sides={
                    "loaded and trained on": lambda: trained_on(network, first(path, max(sizes))),
                    "in memory": lambda: torch.from_numpy(np.load(path)),
                },
                ours="loaded and trained on",
                base="in memory",
                goal=RESIDENT if path.stat().st_size > HELD else None,
                about=f"what stays taken and is no page of a file; {ON_DISK}",
                gauge=resident_growth,
                unit="bytes",
            )


def write_images(path: Path, count: int, shape: tuple[int, ...]) -> None:
    """Random images in a .npy file."""
    file, draw = np.lib.format.open_memmap(path, "w+", np.uint8, (count, *shape)), generator(0, "images on disk")
    for start in range(0, count, WRITTEN_AT_ONCE):
        size = (min(WRITTEN_AT_ONCE, count - start), *shape)
        file[start : start + size[0]] = torch.randint(256, size, generator=draw, dtype=torch.uint8).numpy()


def first(path: Path, count: int) -> Dataset:
    """A data set of the first images of a file."""
    return load(np.load(path, mmap_mode="r")[:count])


def loop_steps(network: Network, data: Dataset) -> Run:
    """As many steps of the training loop as lie between two looks at the loss, on rows from anywhere."""
    loop = loop_of(network.model(method("vae").objective()), data)
    draw = generator(0, "rows")

    def run() -> None:
        for _ in range(FLUSH_EVERY):
            loop.step(torch.randint(len(data.train), (100,), generator=draw))
        loop.flush()

    return run


def trained_on(network: Network, data: Dataset) -> Dataset:
    """The data, after some steps on them."""
    loop_steps(network, data)()
    return data


def resident_growth(run: Run) -> float:
    """The bytes that the process has taken, without pages of files, while the result of a run is held."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what runs before have freed, which the allocator would hand out again
    before = resident()
    result = run()
    grown = resident() - before
    del result
    return float(max(grown, 1))


def resident() -> int:
    """The bytes of this process in memory that are no pages of files."""
    found = re.search(r"RssAnon:\s+(\d+) kB", STATUS.read_text())
    return 1024 * int(found[1]) if found else 0


@dataclass(frozen=True)
class Curve:
    """Times or bytes at growing sizes, and those that are expected, as multiples of those of the smallest size."""

    sizes: Sequence[int]
    measured: Sequence[float]
    expected: Sequence[float]

    def power(self, values: Sequence[float]) -> float:
        """The exponent of the size that fits the values best, by least squares of the logarithms."""
        return float(np.polyfit(np.log(self.sizes), np.log(values), 1)[0])


def curves(records: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, Curve]]:
    """By unit and by what grows: the curve of every method, chained from the shares of neighbouring sizes."""
    links: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for record in records:
        found = re.fullmatch(r"(?:memory of )?(.+), ([^,]+) \d+ to \d+", record["comparison"])
        if record["benchmark"] == "growth" and found:
            links.setdefault((record["unit"], found[2], found[1]), []).append(record)
    panels: dict[tuple[str, str], dict[str, Curve]] = {}
    for (unit, grown, name), chain in links.items():
        chain.sort(key=lambda record: int(record["base"]))
        measured, expected = ([*accumulate([1.0, *(link[key] for link in chain)], mul)] for key in ("share", "floor"))
        sizes = [int(chain[0]["base"]), *(int(link["ours"]) for link in chain)]
        panels.setdefault((unit, grown), {})[name] = Curve(sizes, measured, expected)
    return panels


def picture(records: Sequence[Mapping[str, Any]], format: str = "png") -> bytes:
    """Time and memory against every size, a panel each; dashed what is expected, in the legend both exponents."""
    from matplotlib.figure import Figure

    panels = curves(records)
    if not panels:
        raise SigmaeError("There are no records of growth to draw: run python -m benchmarks growth first.")
    columns = (len(panels) + 1) // 2
    with styled(format) as ink:
        figure = Figure(figsize=(4.4 * columns, 7.0), layout="constrained")
        for place, ((unit, grown), lines) in enumerate(sorted(panels.items(), reverse=True), 1):
            draw(figure.add_subplot(2, columns, place), lines, ink)
            figure.axes[-1].set(xlabel=grown, ylabel=f"{UNITS[unit]}, smallest = 1")
        return saved(figure, "Growth of time and memory", format)


def draw(axes: "Axes", lines: Mapping[str, Curve], ink: str) -> None:
    """A panel, both axes logarithmic."""
    for (name, curve), colour in zip(lines.items(), COLOURS, strict=False):
        label = f"{name}: {curve.power(curve.measured):.2f} ({curve.power(curve.expected):.2f})"
        axes.plot(curve.sizes, curve.measured, color=colour, label=label, linewidth=2, marker="o", markersize=4)
        axes.plot(curve.sizes, curve.expected, color=colour, linewidth=1.2, linestyle="--")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(*[limit * factor for limit, factor in zip(axes.get_ylim(), ROOM, strict=True)])
    sizes = sorted({size for curve in lines.values() for size in curve.sizes})
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=45)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(lambda value, _: "")
    bare(axes, ink)
    axes.legend(title="power of the size (expected)", frameon=False, loc="upper left")


if __name__ == "__main__":
    write_bytes(RESULTS / "growth.png", picture(json.loads((RESULTS / "benchmarks.json").read_text())))
