"""Metrics: how far generated images are from real ones.

Arguments that mean data are called `real` and `generated`, and are keyword-only.
"""

from sigmae.metrics.features import extract, FEATURES, Features, load_features
from sigmae.metrics.frechet import feature_statistics, FeatureStatistics, fid, frechet_distance
from sigmae.metrics.images import squared_error, to_uint8
from sigmae.metrics.named import NamedFeatures

__all__ = [
    "FEATURES",
    "FeatureStatistics",
    "Features",
    "NamedFeatures",
    "extract",
    "feature_statistics",
    "fid",
    "frechet_distance",
    "load_features",
    "squared_error",
    "to_uint8",
]
