"""What a page of the explorer holds of a model and its data: tensors by name, and the facts about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64, Int32, Int64
from torch import Tensor

from sigmae.data import Split
from sigmae.densities import density_tensors
from sigmae.errors import SigmaeError
from sigmae.evaluation import latent, Stages
from sigmae.figures.charts import COLOURS
from sigmae.figures.plane import principal_directions
from sigmae.figures.tiles import can_be_shown
from sigmae.metrics.collapse import mean_divergences
from sigmae.metrics.images import to_uint8
from sigmae.report.words import subject
from sigmae.seeds import generator

COMPARED = 5000  # training examples
BYTES = 1 << 23  # of the examples of a split; larger ones are fewer
REACH = 3.0  # standard deviations of the codes to either side
DRAWS = 512  # of a density whose networks are not in the page
LARGEST = 1 << 21  # numbers of a density's parameters; what has more is drawn from here
PARAMETERS = ({"mean", "scale"}, {"mean", "factor"}, {"mean", "factor", "weights"})

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Contents:
    """Tensors as the page reads them: float32, uint8 or int32. The facts are JSON."""

    facts: dict[str, Any]
    tensors: Tensors


def contents(stages: Stages, title: str, count: int) -> Contents:
    """Up to `count` test examples with their codes, training examples to compare with, latents and densities."""
    data, codes = stages.data, stages.codes("test")
    refuse_what_is_not_shown(data.shape, codes)
    test = chosen(data.test, count, stages.seed)
    train = chosen(data.train, COMPARED, stages.seed)
    examples = {"test": stored(data.test.images[test]), "train": stored(data.train.images[train])}
    densities = {name: parameters(stages, name) for name in stages.model.densities}
    facts = {
        "title": title,
        "noun": "image" if data.is_image else "example",
        "shape": data.shape,
        "range": span(examples),
        "counts": {"test": len(data.test), "train": len(data.train)},
        "latents": told_of_latents(stages),
        "plane": None,
        "labels": None,
        "densities": [{"name": name, "title": density_title(name)} for name in densities],
        "density": stages.model.default_density,
    }
    tensors: Tensors = {**examples, "codes": codes[test]}
    if data.test.labels is not None:
        facts["labels"], tensors["labels"] = told_of_labels(data.test.labels[test], data.label_names)
    if codes.shape[1] > 1 and len(codes) > 2:
        tensors["directions"], shares = plane(codes)
        facts["plane"] = {"shares": shares}
    for name, density in densities.items():
        tensors |= {f"{name}/{key}": tensor.float() for key, tensor in density.items()}
    return Contents(facts, {name: tensor.contiguous() for name, tensor in tensors.items()})


def refuse_what_is_not_shown(shape: tuple[int, ...], codes: Float[Tensor, "count latent"]) -> None:
    """A page shows vectors and images of 1, 3 or 4 channels, with codes that are numbers."""
    if len(shape) == 3 and not can_be_shown(shape):
        raise SigmaeError(
            f"The explorer shows images of 1, 3 or 4 channels, and these have {shape[0]}: "
            "train on the channels that are to be seen."
        )
    if broken := len(codes) - int(codes.isfinite().all(1).sum()):
        raise SigmaeError(
            f"{broken} of {len(codes)} codes hold NaN or infinity, and there is no moving from there: "
            "the model has diverged; train it again with a lower learning rate."
        )


def chosen(split: Split, count: int, seed: int) -> Int64[Tensor, " _rows"]:
    """Rows of a split, drawn by the seed: `count`, all if there are fewer, or what `BYTES` hold."""
    size = split.images[0].numel() * (1 if split.images.ndim == 4 else split.images.element_size())
    order = torch.randperm(len(split), generator=generator(seed, "explorer"))
    return order[: max(1, min(count, BYTES // size))].sort().values


def stored(images: Tensor) -> Tensor:
    """Examples as a page holds them, a row each: images in 8 bits, vectors as they are."""
    return (to_uint8(images) if images.ndim == 4 else images).flatten(1)


def span(examples: Mapping[str, Tensor]) -> tuple[float, float]:
    """The least and the largest value of vectors; of images always 0 and 1."""
    values = [tensor for tensor in examples.values() if tensor.is_floating_point()]
    if not values:
        return 0.0, 1.0
    return min(float(tensor.min()) for tensor in values), max(float(tensor.max()) for tensor in values)


def told_of_latents(stages: Stages) -> dict[str, Any]:
    """For each latent what it tells of x, in which order they stand, where its codes lie and how far they reach.

    What it tells is its mean divergence from the prior; a deterministic encoder has none, and there it is the
    latent's share of the codes' variance.
    """
    codes = stages.codes("test").double()
    variance = codes.var(0, correction=0)
    if stages.has_posterior:
        measure, information = "nats", mean_divergences(latent.nats(stages)).clamp_min(0)
        variance = variance + stages.moments("test")["variance"].double().mean(0)
    else:
        measure, information = "share", variance / variance.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return {
        "measure": measure,
        "information": information.tolist(),
        "order": information.argsort(descending=True, stable=True).tolist(),
        "center": codes.mean(0).tolist(),
        "reach": reaches(variance).tolist(),
    }


def reaches(variance: Float64[Tensor, " latent"]) -> Float64[Tensor, " latent"]:
    """How far a slider goes to either side; a latent that never moves gets the room of N(0, 1)."""
    deviation = variance.sqrt()
    return REACH * deviation.where(deviation > 0, 1.0)


def plane(codes: Float[Tensor, "count latent"]) -> tuple[Float[Tensor, "2 latent"], list[float]]:
    """The two principal directions of the codes, and their shares of the variance."""
    directions, deviations = principal_directions(codes)
    whole = codes.double().var(0).sum().clamp_min(torch.finfo(torch.float64).tiny)
    return directions, (deviations.double().square() / whole).tolist()


def told_of_labels(
    labels: Int64[Tensor, " count"], names: tuple[str, ...]
) -> tuple[dict[str, Any], Int32[Tensor, " count"]]:
    """The names of the labels that occur, with colours where there are enough of them, and the number of each name."""
    values, numbers = labels.unique(return_inverse=True)
    known = [names[value] if 0 <= value < len(names) else str(value) for value in values.tolist()]
    return {"names": known, "colours": COLOURS[: len(known)] if len(known) <= len(COLOURS) else []}, numbers.int()


def parameters(stages: Stages, name: str) -> Tensors:
    """What a page draws a density from: its parameters, or draws that were made beforehand."""
    tensors = density_tensors(stages.model.densities[name])
    if set(tensors) in PARAMETERS and sum(tensor.numel() for tensor in tensors.values()) <= LARGEST:
        return tensors
    return {"draws": stages.model.sample_latents(DRAWS, density=name, seed=stages.seed)}


def density_title(name: str) -> str:
    """`gmm10` as "a mixture of 10 Gaussians"."""
    return subject(name).removeprefix("samples from ")
