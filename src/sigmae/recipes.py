"""Recipes: every published method as a choice of parts, and the only home of its hyperparameters.

The defaults are the weights for MNIST; `presets` holds those of other data, by data set. Weights that an
author's code gives for means over D pixels or m latents are converted to this library's sums: a squared
error by D, a latent term by D / m. Every keyword is a number that one may want to change.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sigmae import papers
from sigmae.decoder_regularizers import GradientPenalty, SpectralNorm, WeightNorm
from sigmae.errors import unknown
from sigmae.latent_regularizers import KL, MMD, SquaredNorm
from sigmae.likelihoods import Gaussian, SquaredError
from sigmae.objective import Objective
from sigmae.papers import Paper
from sigmae.posteriors import Delta, DiagonalGaussian, FixedGaussian
from sigmae.propagations import Mean, MonteCarlo


@dataclass(frozen=True)
class Method:
    """A recipe, its name on the command line, the paper to cite, and its weights on other data."""

    name: str
    recipe: Callable[..., Objective]
    paper: Paper
    presets: Mapping[str, Mapping[str, Any]]

    @property
    def summary(self) -> str:
        """The first line of the recipe's docstring."""
        return (inspect.getdoc(self.recipe) or "").split("\n")[0]

    def objective(self, data: str = "") -> Objective:
        """The objective with the weights for a data set, by name; those for MNIST where none are known."""
        return self.recipe(**self.presets.get(data, {}))


METHODS: dict[str, Method] = {}


def published(paper: Paper, **presets: Mapping[str, Any]) -> Callable[[Callable[..., Objective]], Any]:
    """Enter a recipe under its name, underscores written as hyphens."""

    def enter(recipe: Callable[..., Objective]) -> Callable[..., Objective]:
        name = recipe.__name__.replace("_", "-")
        METHODS[name] = Method(name, recipe, paper, presets)
        return recipe

    return enter


def method(name: str) -> Method:
    """The method of that name; an unknown one is refused with the nearest."""
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return METHODS[name]


@published(papers.AUTOENCODER)
def ae() -> Objective:
    """Autoencoder: squared error and nothing else."""
    return Objective(Delta(), Mean(), SquaredError())


@published(papers.VAE)
def vae(variance: float = 0.5, samples: int = 1) -> Objective:
    """Variational autoencoder, decoder variance 1/2: SSE + KL."""
    return Objective(DiagonalGaussian(), MonteCarlo(samples), Gaussian(variance), KL())


@published(papers.BETA_VAE, cifar10={"beta": 0.072}, celeba={"beta": 0.271})
def beta_vae(beta: float = 0.312, variance: float = 0.5, samples: int = 1) -> Objective:
    """VAE with a weighted KL; beta is that of the tuned VAE in the RAE authors' code.

    For disentanglement, beta is above 1 (Higgins et al. use 4 at unit scale).
    """
    return Objective(DiagonalGaussian(), MonteCarlo(samples), Gaussian(variance), KL(beta))


@published(papers.RAE, cifar10={"beta": 0.0027}, celeba={"beta": 0.03})
def cv_vae(scale: float = 0.7, beta: float = 0.039) -> Objective:
    """Constant-variance VAE: the encoder's spread is fixed, so KL is a squared norm."""
    return Objective(FixedGaussian(scale), MonteCarlo(), Gaussian(), KL(beta))


@published(papers.RAE, cifar10={"latent_weight": 0.24}, celeba={"latent_weight": 0.0192})
def rae(latent_weight: float = 0.032) -> Objective:
    """Regularized autoencoder with the latent penalty alone."""
    return Objective(Delta(), Mean(), SquaredError(), SquaredNorm(latent_weight))


@published(
    papers.RAE,
    cifar10={"latent_weight": 0.024, "weight_decay": 3.1e-3},
    celeba={"latent_weight": 0.0192, "weight_decay": 1.2e-3},
)
def rae_l2(latent_weight: float = 0.0064, weight_decay: float = 1.0e-4) -> Objective:
    """Regularized autoencoder with the decoder's squared weights in the loss."""
    return Objective(Delta(), Mean(), SquaredError(), SquaredNorm(latent_weight), WeightNorm(weight_decay))


@published(papers.RAE, cifar10={"latent_weight": 0.0216}, celeba={"latent_weight": 0.0192})
def rae_gp(latent_weight: float = 0.0064, penalty: float = 0.01, estimate: str = "probe") -> Objective:
    """Regularized autoencoder with the decoder's squared Jacobian norm (RAE eq. 17).

    The paper gives no weight for this norm, and the authors' code penalises another quantity. 0.01 is ours:
    to first order, what noise of standard deviation 0.1 on the codes would cost.
    """
    decoder = GradientPenalty(penalty, estimate)
    return Objective(Delta(), Mean(), SquaredError(), SquaredNorm(latent_weight), decoder)


@published(papers.RAE, cifar10={"latent_weight": 0.72}, celeba={"latent_weight": 0.46})
def rae_sn(latent_weight: float = 0.576) -> Objective:
    """Regularized autoencoder with a spectrally normalized decoder (the paper; its code: encoder too)."""
    return Objective(Delta(), Mean(), SquaredError(), SquaredNorm(latent_weight), SpectralNorm())


@published(papers.WAE, cifar10={"mmd": 100.0}, celeba={"mmd": 100.0})
def wae_mmd(mmd: float = 10.0, error: float = 0.05) -> Objective:
    """Wasserstein autoencoder: 0.05 SSE + 10 MMD, inverse multiquadrics at seven scales."""
    return Objective(Delta(), Mean(), SquaredError(weight=error), MMD(mmd))
