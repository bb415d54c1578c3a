"""The Fréchet distance beside other ways to the trace of the root, and features beside their bare network."""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import nn, Tensor

from benchmarks.comparison import Comparison
from sigmae.data import scaled
from sigmae.metrics.classifier import Classifier
from sigmae.metrics.features import extract, Features, random_features, RandomNetwork
from sigmae.metrics.frechet import feature_statistics, FeatureStatistics, frechet_distance
from sigmae.metrics.named import NamedFeatures
from sigmae.seeds import generator, seeded

FEATURES, IMAGES, FEW = 2048, 10_000, 500
AT_ONCE = 250  # images
TOLERANCE = 1e-6
GOAL = 0.125  # of the time of scipy's root
Statistics = tuple[FeatureStatistics, FeatureStatistics]


def comparisons(toy: bool) -> Iterator[Comparison]:
    """The distance for more images than features and for fewer, and the features of images."""
    features, many, few = (32, 200, 8) if toy else (FEATURES, IMAGES, FEW)
    yield from distances(features, many)
    yield from distances(features, few)
    images = random_images(20 if toy else 4 * AT_ONCE)
    yield extraction(random_features(3), RandomNetwork(3), images)
    with seeded(0, "weights"):
        hidden = Classifier((3, 32, 32), 10).eval().hidden
    yield extraction(NamedFeatures("classifier", lambda batch: hidden(scaled(batch)), {}), hidden, images)


def distances(size: int, count: int) -> Iterator[Comparison]:
    """From the means and covariances, which all ways need, and from the features, with what comes before."""
    real, generated = (random_features_of(count, size, which) for which in ("real", "generated"))
    statistics = feature_statistics(real), feature_statistics(generated)
    ways: dict[str, Callable[[Statistics], float]] = {
        "ours": ours,
        "scipy sqrtm": by_root,
        "eigenvalues of the product": by_eigenvalues,
    }
    for base in ("scipy sqrtm", "eigenvalues of the product"):
        yield Comparison(
            name=f"distance of {size} features, {count:,} images, from statistics, by {base}",
            sides={side: lambda way=ways[side]: way(statistics) for side in ("ours", base)},  # type: ignore[misc]
            ours="ours",
            base=base,
            goal=GOAL if base == "scipy sqrtm" else None,
            agree=lambda way=ways[base]: abs(way(statistics) / ours(statistics) - 1),  # type: ignore[misc]
            tolerance=TOLERANCE,
            about="the means and covariances are given",
        )
    yield Comparison(
        name=f"distance of {size} features, {count:,} images, from features, by scipy sqrtm",
        sides={
            "ours": lambda: ours((feature_statistics(real), feature_statistics(generated))),
            "scipy sqrtm": lambda: by_root((plain_statistics(real), plain_statistics(generated))),
        },
        ours="ours",
        base="scipy sqrtm",
        agree=lambda: abs(by_root((plain_statistics(real), plain_statistics(generated))) / ours(statistics) - 1),
        tolerance=TOLERANCE,
        about="means and covariances included, which cost about the same both ways",
    )


def random_features_of(count: int, size: int, which: str) -> Float[Tensor, "count features"]:
    """Rectified mixtures of normal draws: like a network's features not negative, and correlated."""
    draw = generator(0, "features", which)
    mixing = torch.randn(size, size, generator=draw) / size**0.5
    features: Tensor = torch.randn(count, size, generator=draw) @ mixing
    return features.relu()


def plain_statistics(features: Float[Tensor, "count features"]) -> FeatureStatistics:
    """Mean and covariance by numpy, in float64."""
    values = features.double().numpy()
    covariance = torch.from_numpy(np.cov(values, rowvar=False))
    return FeatureStatistics(torch.from_numpy(values.mean(0)), covariance, len(values))


def ours(statistics: Statistics) -> float:
    """The library's."""
    return frechet_distance(real=statistics[0], generated=statistics[1])


def by_root(statistics: Statistics) -> float:
    """With scipy's square root of the product of the covariances, as the published numbers were computed."""
    from scipy.linalg import sqrtm

    real, generated = statistics
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the product may be singular, and is still fit for the trace
        root = sqrtm((real.covariance @ generated.covariance).numpy())
    return with_trace(statistics, float(np.trace(root).real))


def by_eigenvalues(statistics: Statistics) -> float:
    """With the eigenvalues of the product, which is not symmetric."""
    real, generated = statistics
    values = torch.linalg.eigvals(real.covariance @ generated.covariance).real
    return with_trace(statistics, float(values.clamp_min(0).sqrt().sum()))


def with_trace(statistics: Statistics, trace_of_root: float) -> float:
    """The distance, once the trace of the root is known."""
    real, generated = statistics
    shift = (real.mean - generated.mean).square().sum()
    return float(shift + real.covariance.trace() + generated.covariance.trace() - 2 * trace_of_root)


def random_images(count: int) -> UInt8[Tensor, "count 3 32 32"]:
    """8-bit images."""
    draw = generator(0, "images")
    return torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=draw)


def extraction(features: Features, network: nn.Module, images: UInt8[Tensor, "count 3 32 32"]) -> Comparison:
    """Features as every metric takes them, and the network's passes alone."""

    @torch.no_grad()
    def bare() -> Tensor:
        features: list[Tensor] = [network(part.float() / 255) for part in images.split(AT_ONCE)]
        return torch.cat(features)

    return Comparison(
        name=f"features '{features.name}' of {len(images):,} images of 32x32x3",
        sides={"extract": lambda: extract(features, images, AT_ONCE), "network": bare},
        ours="extract",
        base="network",
        goal=1.05,
        agree=lambda: float((extract(features, images, AT_ONCE) - bare()).abs().max()),
        about="the same batches of 8-bit images, divided by 255",
    )
