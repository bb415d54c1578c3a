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
    "Run": "runs",
    "Objective": "objective",
    "Terms": "objective",
    "Delta": "posteriors",
    "FixedGaussian": "posteriors",
    "IsotropicGaussian": "posteriors",
    "DiagonalGaussian": "posteriors",
    "FullGaussian": "posteriors",
    "Mean": "propagations",
    "MonteCarlo": "propagations",
    "SigmaPoints": "propagations",
    "Linearized": "propagations",
    "DecodedPoints": "propagations",
    "SquaredError": "likelihoods",
    "Gaussian": "likelihoods",
    "Bernoulli": "likelihoods",
    "KL": "latent_regularizers",
    "Wasserstein2": "latent_regularizers",
    "SquaredNorm": "latent_regularizers",
    "PlainNorm": "latent_regularizers",
    "MMD": "latent_regularizers",
    "TotalCorrelation": "total_correlation",
    "Adversarial": "adversarial",
    "KernelDensity": "kernel_density",
    "WeightNorm": "decoder_regularizers",
    "GradientPenalty": "decoder_regularizers",
    "OutputGradient": "decoder_regularizers",
    "SpectralNorm": "decoder_regularizers",
    "SpectralSum": "decoder_regularizers",
    "ImportanceWeighted": "bounds",
    "StickingTheLanding": "bounds",
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
    from sigmae.adversarial import Adversarial as Adversarial
    from sigmae.api import fit as fit
    from sigmae.bounds import ImportanceWeighted as ImportanceWeighted, StickingTheLanding as StickingTheLanding
    from sigmae.config import ModelConfig as ModelConfig
    from sigmae.data import Dataset as Dataset, Split as Split
    from sigmae.decoder_regularizers import (
        GradientPenalty as GradientPenalty,
        OutputGradient as OutputGradient,
        SpectralNorm as SpectralNorm,
        SpectralSum as SpectralSum,
        WeightNorm as WeightNorm,
    )
    from sigmae.errors import IncompatibleParts as IncompatibleParts, SigmaeError as SigmaeError
    from sigmae.kernel_density import KernelDensity as KernelDensity
    from sigmae.latent_regularizers import (
        KL as KL,
        MMD as MMD,
        PlainNorm as PlainNorm,
        SquaredNorm as SquaredNorm,
        Wasserstein2 as Wasserstein2,
    )
    from sigmae.likelihoods import Bernoulli as Bernoulli, Gaussian as Gaussian, SquaredError as SquaredError
    from sigmae.model import Autoencoder as Autoencoder, load as load
    from sigmae.networks import NetworkConfig as NetworkConfig
    from sigmae.objective import Objective as Objective, Terms as Terms
    from sigmae.parts import NoRegularizer as NoRegularizer, Part as Part
    from sigmae.posteriors import (
        Delta as Delta,
        DiagonalGaussian as DiagonalGaussian,
        FixedGaussian as FixedGaussian,
        FullGaussian as FullGaussian,
        IsotropicGaussian as IsotropicGaussian,
    )
    from sigmae.propagations import (
        DecodedPoints as DecodedPoints,
        Linearized as Linearized,
        Mean as Mean,
        MonteCarlo as MonteCarlo,
        SigmaPoints as SigmaPoints,
    )
    from sigmae.runs import Run as Run
    from sigmae.settings import TrainingConfig as TrainingConfig
    from sigmae.total_correlation import TotalCorrelation as TotalCorrelation


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"sigmae.{_HOME[name]}"), name)
    if name == "recipes":
        return import_module("sigmae.recipes")
    raise AttributeError(f"module 'sigmae' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "recipes"]
