"""`fit`: from data to a trained model in one call."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from sigmae import __version__
from sigmae.config import ModelConfig, objective_config, RunConfig, with_settings
from sigmae.data import Dataset, load as load_data
from sigmae.errors import SigmaeError
from sigmae.evaluation import QUICK
from sigmae.model import Autoencoder
from sigmae.networks import default_network, NetworkConfig
from sigmae.objective import Objective
from sigmae.plugins import resolve
from sigmae.recipes import Method, METHODS
from sigmae.runs import evaluate_run, fit_densities, open_run, train_run
from sigmae.seeds import seeded
from sigmae.settings import DataConfig, DEFAULT_METHOD, TrainingConfig
from sigmae.training import check_fit, make_fabric, train

Modules = tuple[nn.Module, nn.Module]


@dataclass(frozen=True)
class Plan:
    """A run before it starts: its configuration, its data, and the model with fresh weights."""

    config: RunConfig
    data: Dataset
    model: Autoencoder


def plan(
    source: Any,
    method: str | Objective,
    *,
    latent_dim: int = 16,
    network: str | Modules | None = None,
    settings: Sequence[str] = (),
    image_size: int | None = None,
    limit: int | None = None,
    data_dir: str | Path | None = None,
    training: TrainingConfig | None = None,
) -> Plan:
    """Load the data, make the objective and the model. `settings` are `part.field=value`, `network.option=value`."""
    data = load_data(source, data_dir=data_dir, image_size=image_size, limit=limit)
    origin = DataConfig(named(source, data), None if data_dir is None else str(data_dir), image_size, limit)
    training = training or TrainingConfig()
    config, objective = configured(
        data, origin, method, latent_dim=latent_dim, network=network, settings=settings, training=training
    )
    with seeded(training.seed, "weights"):
        modules = network if isinstance(network, tuple) else None
        model = Autoencoder.build(config.model, objective=objective, network=modules)
    check_fit(model, data, training)
    return Plan(config, data, model)


def configured(
    data: Dataset,
    origin: DataConfig,
    method: str | Objective,
    *,
    latent_dim: int,
    network: str | Modules | None,
    settings: Sequence[str],
    training: TrainingConfig,
) -> tuple[RunConfig, Objective]:
    """The configuration of a run on data at hand, with the objective that it describes; no weights are made."""
    name, citation, objective = chosen(method, data)
    network = network or (METHODS[name].network if name in METHODS else None)
    part_settings = [setting for setting in settings if not setting.startswith("network.")]
    objective = with_settings(objective, part_settings) if part_settings else objective
    model = ModelConfig(
        method=name,
        shape=data.shape,
        latent_dim=latent_dim,
        objective=objective_config(objective),
        network=None if isinstance(network, tuple) else network_config(network, data, objective, settings),
    )
    return RunConfig(name, origin, model, training, citation, sigmae=__version__), objective


def fit(
    source: Any,
    method: str | Objective = DEFAULT_METHOD,
    *,
    latent_dim: int = 16,
    network: str | Modules | None = None,
    settings: Sequence[str] = (),
    image_size: int | None = None,
    limit: int | None = None,
    data_dir: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    **training: Any,
) -> Autoencoder:
    """Train a model on an array, tensor, folder, file, named data set or `Dataset`, and fit its densities.

    `method` is a recipe's name, `module:attribute` of one, or an `Objective`; `network` a name,
    `module:attribute`, or one's own (encoder, decoder). `limit` takes the first so many examples of every split.
    Further keywords are fields of `TrainingConfig`
    (epochs, batch_size, lr, seed, ...). With `out`, the whole run is written there as by `sigmae train`.
    """
    options: Mapping[str, Any] = {"network": network, "settings": settings, "image_size": image_size, "limit": limit}
    planned = plan(
        source,
        method,
        latent_dim=latent_dim,
        data_dir=data_dir,
        training=TrainingConfig(**training),
        **options,
    )
    model, data, config = planned.model, planned.data, planned.config
    fabric = make_fabric(config.training.precision, device)
    if out is None:
        train(model, data, config.training, fabric=fabric)
        fit_densities(model, data, seed=config.training.seed)
    else:
        open_run(Path(out), config)
        model = train_run(planned.model, data, config, Path(out), fabric=fabric)
        evaluate_run(model, data, Path(out), metrics=QUICK, seed=config.training.seed)
    return model.cpu().eval()


def chosen(method: str | Objective, data: Dataset) -> tuple[str, str, Objective]:
    """The method's name, its citation, and the objective with the weights for these data."""
    if isinstance(method, Objective):
        return "custom", "", method
    found = resolve("method", method, METHODS)
    if isinstance(found, Method):
        return found.name, str(found.paper), found.objective(data.name)
    objective = found() if callable(found) and not isinstance(found, Objective) else found
    if not isinstance(objective, Objective):
        raise SigmaeError(f"The method {method} must be an Objective, or a function that returns one.")
    return method, "", objective


def network_config(network: str | None, data: Dataset, objective: Objective, settings: Sequence[str]) -> NetworkConfig:
    """The network by name with its options, ending in a sigmoid for data in [0, 1] unless logits are read."""
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if key.startswith("network."):
            if not equals:
                raise SigmaeError(f"A setting of the network is network.option=value, got '{setting}'.")
            options[key.removeprefix("network.")] = literal(value)
    squashed = data.unit_range and not objective.likelihood.reads_logits and network != "linear"
    output = str(options.pop("output", "sigmoid" if squashed else "linear"))
    init = str(options.pop("init", "default"))
    return NetworkConfig(network or default_network(data.shape), output, options, init)


def literal(text: str) -> Any:
    """A network's option from the command line: JSON where it is, else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def named(source: Any, data: Dataset) -> str:
    """What `config.json` says the data are: the name or path that was given, else what they are."""
    return str(source) if isinstance(source, str | Path) else data.name
