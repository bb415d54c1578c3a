"""Metrics: how far generated images are from real ones, how probable real ones are, what latents and decoder are like.

Arguments that mean data are called `real` and `generated`, and are keyword-only.
"""

from sigmae.metrics.aggregate import gaussian_divergence, holes, mutual_information, whitened_entropy
from sigmae.metrics.collapse import active_units, collapsed, collapsed_share, divergences, mean_divergences
from sigmae.metrics.disentanglement import (
    dci,
    direction_angles,
    factor_vae_score,
    mig,
    pca_directions,
    pca_factor_vae_score,
    pca_mig,
    traversal,
)
from sigmae.metrics.features import extract, FEATURES, Features, load_features
from sigmae.metrics.frechet import feature_statistics, FeatureStatistics, fid, frechet_distance
from sigmae.metrics.gradient_variance import gradient_variance
from sigmae.metrics.images import squared_error, to_uint8
from sigmae.metrics.kernel_distance import kernel_distance
from sigmae.metrics.likelihood import elbo, linearized_log_likelihood, log_likelihood, trained_bound
from sigmae.metrics.named import NamedFeatures
from sigmae.metrics.neighbours import memorisation, nearest, neighbourhoods
from sigmae.metrics.precision_recall import precision_recall_curve
from sigmae.metrics.smoothness import expected_gap, expected_local_smoothness
from sigmae.metrics.taylor import taylor_quality

__all__ = [
    "FEATURES",
    "FeatureStatistics",
    "Features",
    "NamedFeatures",
    "active_units",
    "collapsed",
    "collapsed_share",
    "dci",
    "direction_angles",
    "divergences",
    "elbo",
    "expected_gap",
    "expected_local_smoothness",
    "extract",
    "factor_vae_score",
    "feature_statistics",
    "fid",
    "frechet_distance",
    "gaussian_divergence",
    "gradient_variance",
    "holes",
    "kernel_distance",
    "linearized_log_likelihood",
    "load_features",
    "log_likelihood",
    "mean_divergences",
    "memorisation",
    "mig",
    "mutual_information",
    "nearest",
    "neighbourhoods",
    "pca_directions",
    "pca_factor_vae_score",
    "pca_mig",
    "precision_recall_curve",
    "squared_error",
    "taylor_quality",
    "to_uint8",
    "trained_bound",
    "traversal",
    "whitened_entropy",
]
