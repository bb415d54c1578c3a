"""Configurations: what a model and a run are, as dataclasses and as JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields as dataclass_fields, is_dataclass
from typing import Any, get_type_hints

from sigmae import (
    adversarial,
    bounds,
    decoder_regularizers,
    kernel_density,
    latent_regularizers,
    likelihoods,
    posteriors,
    propagations,
    total_correlation,
)
from sigmae.conversion import shown, structure
from sigmae.data.sources import PLUGIN
from sigmae.errors import hint, SigmaeError
from sigmae.networks import NetworkConfig
from sigmae.networks.sizes import AXES, LATENTS, require_bounded, VALUES
from sigmae.objective import Objective
from sigmae.parts import NoRegularizer, Part
from sigmae.plugins import resolve
from sigmae.settings import DataConfig, TrainingConfig

PARTS: dict[str, dict[str, type[Part]]] = {
    axis: {part.__name__: part for part in members}
    for axis, members in {
        "posterior": (
            posteriors.Delta,
            posteriors.FixedGaussian,
            posteriors.IsotropicGaussian,
            posteriors.DiagonalGaussian,
            posteriors.FullGaussian,
        ),
        "propagation": (
            propagations.Mean,
            propagations.MonteCarlo,
            propagations.SigmaPoints,
            propagations.Linearized,
        ),
        "likelihood": (likelihoods.SquaredError, likelihoods.Gaussian, likelihoods.Bernoulli),
        "latent": (
            NoRegularizer,
            latent_regularizers.KL,
            latent_regularizers.Wasserstein2,
            latent_regularizers.SquaredNorm,
            latent_regularizers.PlainNorm,
            latent_regularizers.MMD,
            total_correlation.TotalCorrelation,
            adversarial.Adversarial,
            kernel_density.KernelDensity,
        ),
        "decoder": (
            NoRegularizer,
            decoder_regularizers.WeightNorm,
            decoder_regularizers.GradientPenalty,
            decoder_regularizers.OutputGradient,
            decoder_regularizers.SpectralNorm,
            decoder_regularizers.SpectralSum,
        ),
    }.items()
}
BOUNDS: dict[str, type[Objective]] = {
    kind.__name__: kind for kind in (Objective, bounds.ImportanceWeighted, bounds.StickingTheLanding)
}


@dataclass(frozen=True)
class ModelConfig:
    """All that rebuilds a model without its weights; `network` is None for a user's own modules."""

    method: str
    shape: tuple[int, ...]
    latent_dim: int
    objective: dict[str, dict[str, Any]]
    network: NetworkConfig | None

    def __post_init__(self) -> None:
        if self.latent_dim < 1:
            raise SigmaeError(f"The latent size must be 1 or more, got {self.latent_dim}.")
        if not 1 <= len(self.shape) <= AXES or min(self.shape) < 1:
            raise SigmaeError(
                f"The shape of an example must be 1 to {AXES} sizes of 1 or more, got {shown(self.shape)}."
            )
        require_bounded("latent size", self.latent_dim, LATENTS)
        require_bounded("product of an example's shape", math.prod(self.shape), VALUES)


@dataclass(frozen=True)
class RunConfig:
    """What `config.json` in a run's folder holds."""

    method: str
    data: DataConfig
    model: ModelConfig
    training: TrainingConfig
    citation: str = ""
    version: int = 1
    sigmae: str = ""

    def __post_init__(self) -> None:
        if self.version != 1:
            raise SigmaeError(
                f"This run has version {self.version}, and this sigmae reads 1: use the one that wrote it."
            )


def foreign_modules(config: RunConfig) -> list[str]:
    """The modules outside this library that a run names: those that `--trust` must name for it to be loaded."""
    names = [str(part.get("type", "")) for part in config.model.objective.values()]
    names += [] if config.model.network is None else [config.model.network.name]
    names += [config.data.source] if PLUGIN.fullmatch(config.data.source) else []
    return sorted({name.partition(":")[0] for name in names if ":" in name})


def part_config(part: Part) -> dict[str, Any]:
    """A part as {"type": name, field: value, ...}; a third party's type is `module:Class`."""
    ours = {name: kind for members in PARTS.values() for name, kind in members.items()}
    return {"type": type_name(type(part), ours), **part.settings()}


def type_name(kind: type, ours: Mapping[str, type]) -> str:
    """The name by which `resolve` finds a class again."""
    return kind.__name__ if kind in ours.values() else f"{kind.__module__}:{kind.__qualname__}"


def make_part(axis: str, config: Mapping[str, Any], trust: Sequence[str] | None = None) -> Part:
    """The part that `part_config` described, its fields checked against their types."""
    fields = dict(config)
    name = str(fields.pop("type", ""))
    kind = resolve(f"{axis} part", name, PARTS[axis], trust)
    if not (isinstance(kind, type) and issubclass(kind, Part) and is_dataclass(kind)):
        raise SigmaeError(f"'{name}' is no {axis} part: name a dataclass that is a sigmae.Part.")
    hints = get_type_hints(kind)
    known = [field.name for field in dataclass_fields(kind)]
    if unknown_fields := fields.keys() - known:
        has = ", ".join(known) or "no fields"
        raise SigmaeError(f"{kind.__name__} has no field '{min(unknown_fields)}'. It has: {has}.")
    where = f"{axis}.{{}}"
    part: Part = kind(**{name: structure(value, hints[name], where.format(name)) for name, value in fields.items()})
    return part


def objective_config(objective: Objective) -> dict[str, dict[str, Any]]:
    """Every part of an objective by its axis, and its bound where it is another than their sum."""
    parts = {axis: part_config(part) for axis, part in objective.parts().items()}
    return parts if type(objective) is Objective else {"bound": {"type": type_name(type(objective), BOUNDS)}, **parts}


def make_objective(config: Mapping[str, Mapping[str, Any]], trust: Sequence[str] | None = None) -> Objective:
    """The objective that `objective_config` described."""
    if set(config) - {"bound"} != set(PARTS):
        raise SigmaeError(f"An objective has the parts {', '.join(PARTS)}; got {', '.join(config)}.")
    bound = config.get("bound", {"type": "Objective"})
    kind = resolve("bound", str(bound.get("type", "")), BOUNDS, trust)
    if not (isinstance(kind, type) and issubclass(kind, Objective)):
        raise SigmaeError(f"'{bound['type']}' is no bound: name a class that is a sigmae.Objective.")
    parts: dict[str, Any] = {axis: make_part(axis, config[axis], trust) for axis in PARTS}
    objective: Objective = kind(**parts)
    return objective


def with_settings(objective: Objective, settings: Sequence[str]) -> Objective:
    """The objective after `part=Type` and `part.field=value` settings: types first, whose fields the others set."""
    config = {"bound": {"type": "Objective"}, **objective_config(objective)}
    for setting in sorted(settings, key=lambda setting: "." in setting.partition("=")[0]):
        key, equals, value = setting.partition("=")
        axis, _, name = key.partition(".")
        if not equals or axis not in config:
            axes = ", ".join(config)
            near = "" if axis in config else hint(axis, config)
            raise SigmaeError(
                f"A setting is part.field=value or part=Type with part one of {axes}; got '{setting}'.{near}"
            )
        config[axis] = {**config[axis], name: value} if name else {"type": value}
    return make_objective(config)


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """The dotted names of values that differ between two JSON-like configurations."""
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return [] if old == new else [prefix]
    names = sorted({*old, *new})
    return [d for n in names for d in differences(old.get(n), new.get(n), f"{prefix}.{n}".lstrip("."))]
