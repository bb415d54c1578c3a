"""Configurations: what a model and a run are, as dataclasses and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from sigmae import decoder_regularizers, latent_regularizers, likelihoods, posteriors, propagations
from sigmae.conversion import structure
from sigmae.errors import SigmaeError
from sigmae.networks import NetworkConfig
from sigmae.objective import Objective
from sigmae.parts import NoRegularizer, Part
from sigmae.plugins import resolve
from sigmae.settings import DataConfig, TrainingConfig

PARTS: dict[str, dict[str, type[Part]]] = {
    axis: {part.__name__: part for part in members}
    for axis, members in {
        "posterior": (posteriors.Delta, posteriors.FixedGaussian, posteriors.DiagonalGaussian),
        "propagation": (propagations.Mean, propagations.MonteCarlo),
        "likelihood": (likelihoods.SquaredError, likelihoods.Gaussian, likelihoods.Bernoulli),
        "latent": (
            NoRegularizer,
            latent_regularizers.KL,
            latent_regularizers.SquaredNorm,
            latent_regularizers.MMD,
        ),
        "decoder": (
            NoRegularizer,
            decoder_regularizers.WeightNorm,
            decoder_regularizers.GradientPenalty,
            decoder_regularizers.SpectralNorm,
        ),
    }.items()
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
        if not self.shape or min(self.shape) < 1:
            raise SigmaeError(f"The shape of an example must be sizes of 1 or more, got {self.shape}.")


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


def part_config(part: Part) -> dict[str, Any]:
    """A part as {"type": name, field: value, ...}; a third party's type is `module:Class`."""
    kind = type(part)
    ours = any(kind in members.values() for members in PARTS.values())
    return {"type": kind.__name__ if ours else f"{kind.__module__}:{kind.__qualname__}", **part.settings()}


def make_part(axis: str, config: Mapping[str, Any], trust: Sequence[str] | None = None) -> Part:
    """The part that `part_config` described, its fields checked against their types."""
    fields = dict(config)
    kind = resolve(f"{axis} part", str(fields.pop("type", "")), PARTS[axis], trust)
    hints = get_type_hints(kind)
    unknown_fields = fields.keys() - kind.__dataclass_fields__.keys()
    if unknown_fields:
        has = ", ".join(kind.__dataclass_fields__) or "no fields"
        raise SigmaeError(f"{kind.__name__} has no field '{min(unknown_fields)}'. It has: {has}.")
    where = f"{axis}.{{}}"
    part: Part = kind(**{name: structure(value, hints[name], where.format(name)) for name, value in fields.items()})
    return part


def objective_config(objective: Objective) -> dict[str, dict[str, Any]]:
    """Every part of an objective by its axis."""
    return {axis: part_config(part) for axis, part in objective.parts().items()}


def make_objective(config: Mapping[str, Mapping[str, Any]], trust: Sequence[str] | None = None) -> Objective:
    """The objective that `objective_config` described."""
    if set(config) != set(PARTS):
        raise SigmaeError(f"An objective has the parts {', '.join(PARTS)}; got {', '.join(config)}.")
    parts: dict[str, Any] = {axis: make_part(axis, part, trust) for axis, part in config.items()}
    return Objective(**parts)


def with_settings(objective: Objective, settings: Sequence[str]) -> Objective:
    """The objective after `part.field=value` and `part=Type` settings, in order."""
    config = objective_config(objective)
    for setting in settings:
        key, equals, value = setting.partition("=")
        axis, _, name = key.partition(".")
        if not equals or axis not in config:
            axes = ", ".join(config)
            raise SigmaeError(f"A setting is part.field=value or part=Type with part one of {axes}; got '{setting}'.")
        config[axis] = {**config[axis], name: value} if name else {"type": value}
    return make_objective(config)


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """The dotted names of values that differ between two JSON-like configurations."""
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return [] if old == new else [prefix]
    names = sorted({*old, *new})
    return [d for n in names for d in differences(old.get(n), new.get(n), f"{prefix}.{n}".lstrip("."))]
