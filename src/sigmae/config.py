"""Configurations: what a model and a run are, as dataclasses and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints, TypeVar

import cattrs
from cattrs import transform_error
from cattrs.errors import ClassValidationError

from sigmae import decoder_regularizers, latent_regularizers, likelihoods, posteriors, propagations
from sigmae.errors import SigmaeError
from sigmae.networks import NetworkConfig
from sigmae.objective import Objective
from sigmae.parts import NoRegularizer, Part
from sigmae.plugins import resolve
from sigmae.settings import DataConfig, TrainingConfig

T = TypeVar("T")

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


@cache
def converter() -> cattrs.Converter:
    """Strict: unknown keys are errors, an int is not cut from a float, a bool not guessed from a string."""
    strict = cattrs.Converter(forbid_extra_keys=True)
    strict.register_structure_hook(bool, lambda value, _: whole(value, bool, {"true": True, "false": False}))
    strict.register_structure_hook(int, lambda value, _: whole(value, int, {}))
    strict.register_structure_hook(float, lambda value, _: float(value))
    strict.register_structure_hook(str, lambda value, _: whole(value, str, {}))
    return strict


def whole(value: Any, kind: type[T], words: Mapping[str, T]) -> T:
    """`value` as `kind` if nothing is lost by it."""
    if type(value) is kind:
        return value
    if isinstance(value, str):
        if value in words:
            return words[value]
        if kind is int:
            return kind(value)  # type: ignore[call-arg]
    raise ValueError(f"{value!r} is not of type {kind.__name__}")


def structure(value: Any, kind: Any, where: str) -> Any:
    """A dataclass (or a field's value) from JSON-like data; what is wrong is named with its place."""
    try:
        return converter().structure(value, kind)
    except SigmaeError:
        raise
    except ClassValidationError as error:
        told = own_error(error)
        raise told or SigmaeError(f"In {where}: {'; '.join(transform_error(error))}.") from error
    except (ValueError, TypeError, KeyError) as error:
        raise SigmaeError(f"In {where}: {value!r} cannot be read ({error}).") from error


def own_error(error: BaseException) -> SigmaeError | None:
    """The first error inside a group that is already a sentence of ours."""
    if isinstance(error, SigmaeError):
        return error
    inner = getattr(error, "exceptions", ())
    return next((found for found in map(own_error, inner) if found), None)


def as_json(config: Any) -> Any:
    """A configuration as JSON-like data."""
    return converter().unstructure(config)


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
