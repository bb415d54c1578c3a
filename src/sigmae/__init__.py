"""Gaussian autoencoders from parts.

    model      q(z|x)  posterior family           p(x|z)  likelihood
    objective  propagation x likelihood x latent regularizer x decoder regularizer
    sampling   a density fitted to the encodings afterwards

Every method is a choice of five parts; `sigmae.recipes` has one function for each published one.
Names are imported when they are first used, so that `import sigmae` costs nothing.
"""

from importlib import import_module
from typing import Any, TYPE_CHECKING

__version__ = "0.1.0"

_HOME = {
    "Autoencoder": "model",
    "load": "model",
    "fit": "api",
    "Objective": "objective",
    "Terms": "objective",
    "Delta": "posteriors",
    "FixedGaussian": "posteriors",
    "DiagonalGaussian": "posteriors",
    "Mean": "propagations",
    "MonteCarlo": "propagations",
    "DecodedPoints": "propagations",
    "SquaredError": "likelihoods",
    "Gaussian": "likelihoods",
    "Bernoulli": "likelihoods",
    "KL": "latent_regularizers",
    "SquaredNorm": "latent_regularizers",
    "MMD": "latent_regularizers",
    "WeightNorm": "decoder_regularizers",
    "GradientPenalty": "decoder_regularizers",
    "SpectralNorm": "decoder_regularizers",
    "NoRegularizer": "parts",
    "Part": "parts",
    "ModelConfig": "config",
    "NetworkConfig": "networks",
    "TrainingConfig": "settings",
    "Dataset": "data",
    "Split": "data",
    "SigmaeError": "errors",
    "IncompatibleParts": "errors",
}
__all__ = ["__version__", *sorted(_HOME)]

if TYPE_CHECKING:
    from sigmae.api import fit as fit
    from sigmae.config import ModelConfig as ModelConfig
    from sigmae.data import Dataset as Dataset, Split as Split
    from sigmae.decoder_regularizers import (
        GradientPenalty as GradientPenalty,
        SpectralNorm as SpectralNorm,
        WeightNorm as WeightNorm,
    )
    from sigmae.errors import IncompatibleParts as IncompatibleParts, SigmaeError as SigmaeError
    from sigmae.latent_regularizers import KL as KL, MMD as MMD, SquaredNorm as SquaredNorm
    from sigmae.likelihoods import Bernoulli as Bernoulli, Gaussian as Gaussian, SquaredError as SquaredError
    from sigmae.model import Autoencoder as Autoencoder, load as load
    from sigmae.networks import NetworkConfig as NetworkConfig
    from sigmae.objective import Objective as Objective, Terms as Terms
    from sigmae.parts import NoRegularizer as NoRegularizer, Part as Part
    from sigmae.posteriors import (
        Delta as Delta,
        DiagonalGaussian as DiagonalGaussian,
        FixedGaussian as FixedGaussian,
    )
    from sigmae.propagations import DecodedPoints as DecodedPoints, Mean as Mean, MonteCarlo as MonteCarlo
    from sigmae.settings import TrainingConfig as TrainingConfig


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"sigmae.{_HOME[name]}"), name)
    if name == "recipes":
        return import_module("sigmae.recipes")
    raise AttributeError(f"module 'sigmae' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "recipes"]
