"""The command that trains what a configuration says: what differs from the defaults, and nothing else."""

import json
import shlex
from dataclasses import fields, replace
from typing import Any

from sigmae.config import differences, objective_config, RunConfig
from sigmae.networks import default_network
from sigmae.recipes import METHODS
from sigmae.settings import TrainingConfig

LATENT_DIM = 16  # of the command line


def train_command(config: RunConfig, out: str, *settings: str, **changes: Any) -> str:
    """`sigmae train` of a run's configuration into `out`, with further `settings` and changed options.

    `changes` are `method`, `latent_dim`, or fields of `TrainingConfig`. Another method comes with its own parts.
    """
    method = changes.pop("method", config.method)
    latent_dim = changes.pop("latent_dim", config.model.latent_dim)
    training = replace(config.training, **changes)
    words = ["sigmae", "train", config.data.source, "--method", method]
    words += option("image-size", config.data.image_size, None) + option("limit", config.data.limit, None)
    words += option("data-dir", config.data.data_dir, None)
    words += option("latent-dim", latent_dim, LATENT_DIM)
    network = config.model.network
    if network is not None:
        words += option("network", network.name, default_network(tuple(config.model.shape)))
    usual = TrainingConfig()
    for field in fields(TrainingConfig):
        words += option(field.name.replace("_", "-"), getattr(training, field.name), getattr(usual, field.name))
    own = part_settings(config) if method == config.method else []
    last = {setting.partition("=")[0]: setting for setting in [*own, *network_settings(config), *settings]}
    for setting in last.values():
        words += ["--set", setting]
    return shlex.join([*words, "--out", out])


def option(name: str, value: Any, usual: Any) -> list[str]:
    """An option of the command line, where it is not as usual."""
    return [] if value == usual else [f"--{name}", written(value)]


def network_settings(config: RunConfig) -> list[str]:
    """The network's options, and its output and initialization where they are not as usual."""
    network = config.model.network
    if network is None:
        return []
    logits = config.model.objective["likelihood"].get("type") == "Bernoulli" or network.name == "linear"
    usual = {"output": "linear" if logits else "sigmoid", "init": "default"}
    unusual = {name: value for name in usual if (value := getattr(network, name)) != usual[name]}
    return [f"network.{name}={written(value)}" for name, value in {**network.options, **unusual}.items()]


def part_settings(config: RunConfig) -> list[str]:
    """What of the parts differs from the method's own, as `part.field=value`."""
    if config.method not in METHODS:
        return []
    usual, chosen = objective_config(METHODS[config.method].objective(config.data.source)), config.model.objective
    exchanged = [axis for axis in chosen if chosen[axis].get("type") != usual.get(axis, {}).get("type")]
    settings = [f"{axis}={chosen[axis]['type']}" for axis in exchanged]
    for name in differences({axis: {} if axis in exchanged else usual[axis] for axis in chosen}, chosen):
        axis, _, field = name.partition(".")
        if field != "type":
            settings.append(f"{name}={written(chosen[axis][field])}")
    return settings


def written(value: Any) -> str:
    """A value as the command line reads it."""
    return value if isinstance(value, str) else json.dumps(value)
