"""Disentanglement: whether each factor that the data were generated from has a latent, or a direction, of its own.

Functions of codes [count, latent] (means of q(z|x)) and the factors [count, factors] of the same examples, so that
one encoding serves all. Scores lie between 0, which a constant code gets, and 1, which the factors themselves get.
A perfect code that is turned loses it, but for the PCA scores, which first look for the directions.
"""

from sigmae.metrics.disentanglement.directions import (
    direction_angles,
    pca_directions,
    pca_factor_vae_score,
    pca_mig,
    traversal,
)
from sigmae.metrics.disentanglement.factor_vae import factor_vae_score
from sigmae.metrics.disentanglement.gap import factor_information, mig
from sigmae.metrics.disentanglement.importance import DCI, dci

__all__ = [
    "DCI",
    "dci",
    "direction_angles",
    "factor_information",
    "factor_vae_score",
    "mig",
    "pca_directions",
    "pca_factor_vae_score",
    "pca_mig",
    "traversal",
]
