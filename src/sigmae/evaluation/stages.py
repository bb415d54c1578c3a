"""Stages: codes, draws, features and statistics of a model on its data, each computed once for all metrics."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from sigmae.data import Dataset, Split
from sigmae.densities import density_tensors
from sigmae.errors import SigmaeError
from sigmae.evaluation.shelf import Shelf, Tensors
from sigmae.files import cache_folder
from sigmae.metrics.features import extract, Features
from sigmae.metrics.frechet import feature_statistics, FeatureStatistics, frechet_distance
from sigmae.metrics.images import to_uint8
from sigmae.metrics.inference import evaluating
from sigmae.model import Autoencoder, slerp
from sigmae.seeds import derived_seed, generator, seeded
from sigmae.tensors import checksum

COUNT = 10_000
POINTS = 1000
DECODED_AT_ONCE = 1000
REAL = "test"
UNMEASURABLE: tuple[type[Exception], ...] = (  # the latter of matrices beyond a float's range
    SigmaeError,
    torch.linalg.LinAlgError,  # type: ignore[attr-defined]
)


@dataclass(eq=False)
class Stages:
    """A model with fitted densities, its data, and what metrics are computed from.

    At most `count` images take part in a distance, and no more samples are drawn than the test split has images.
    With a `folder`, codes, features and statistics are kept there; they are made again when weights, data, densities,
    features or seed are others. `points` is how many importance samples an image's likelihood takes.
    """

    model: Autoencoder
    data: Dataset
    features: Features | None = None
    densities: Sequence[str] | None = None
    count: int = COUNT
    points: int = POINTS
    seed: int = 0
    folder: Path | None = None
    tell: Callable[[str], None] = lambda stage: None

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("points", 1)):
            if getattr(self, name) < least:
                raise SigmaeError(f"An evaluation needs a {name} of {least} or more, got {getattr(self, name)}.")
        self.shelf = Shelf(self.folder)
        self.memory: dict[str, Tensors] = {}

    @cached_property
    def weights(self) -> str:
        """The checksum of the model's weights."""
        return checksum({name: value.detach().cpu() for name, value in self.model.state_dict().items()}, "")

    @property
    def compared(self) -> int:
        """How many images are drawn for a distance to the test split."""
        return min(self.count, len(self.data.test))

    @property
    def chosen_densities(self) -> list[str]:
        """Those that were asked for; else all fitted ones, without a prior that the method does not match."""
        fitted = [name for name in self.model.densities if name != "prior" or self.model.own_density == "prior"]
        return list(self.densities or fitted)

    def split(self, name: str) -> Split:
        """A split of the data by its name."""
        found: Split = getattr(self.data, name)
        return found

    def moments(self, split: str) -> Tensors:
        """`mean` and `variance` of q(z|x) for every example of a split; the mean alone where q is a point."""

        def encode() -> Tensors:
            self.tell(f"codes of the {split} split")
            with evaluating(self.model):
                parts = [self.model.posterior(part) for part in self.split(split).images.split(DECODED_AT_ONCE)]
            mean = torch.cat([q.mean.cpu() for q in parts])
            if not self.has_posterior:
                return {"mean": mean}
            return {"mean": mean, "variance": torch.cat([q.variance.cpu() for q in parts])}

        return self.kept(f"codes-{split}", f"{self.weights} {self.split(split).fingerprint}", encode)

    @property
    def has_posterior(self) -> bool:
        """Whether q(z|x) has a spread."""
        return self.model.objective.posterior.has_density

    def codes(self, split: str) -> Float[Tensor, "count latent"]:
        """The means of q(z|x) of a split."""
        return self.moments(split)["mean"]

    def draws(self, split: str) -> Float[Tensor, "count latent"]:
        """A draw of q(z|x) of every example of a split; the code itself where the encoder is deterministic."""
        if not self.has_posterior:
            return self.codes(split)

        def draw() -> Tensors:
            with seeded(derived_seed(self.seed, "draws", split)):
                return {"draws": self.model.encoder_draws(self.split(split).images)()}

        return self.kept(f"draws-{split}", f"{self.weights} {self.split(split).fingerprint} {self.seed}", draw)["draws"]

    def generated(self) -> list[str]:
        """What is compared with real images."""
        return ["reconstructions", *self.chosen_densities, "interpolations", "random-interpolations"]

    def latents(self, of: str) -> Float[Tensor, "count latent"]:
        """The latents of what is compared with real images; images are decoded when they are needed."""
        if of in ("reconstructions", "interpolations", "random-interpolations"):
            codes = self.codes("validation")
            if of == "reconstructions":
                return codes[: self.count]
            return between(codes, self.compared, self.seed, random=of == "random-interpolations")
        return self.model.sample_latents(self.compared, density=of, seed=self.seed)

    def features_of(self, of: str) -> Float[Tensor, "count features"]:
        """The features of what is compared, or of the test split; images are decoded batch by batch."""
        features = self.known_features

        def compute() -> Tensors:
            self.tell(f"features of {'the test split' if of == REAL else of}")
            if of == REAL:
                return {"features": extract(features, to_uint8(self.data.test.images[: self.count]))}
            parts = (to_uint8(self.model.decode(z)) for z in self.latents(of).split(DECODED_AT_ONCE))
            return {"features": extract(features, parts)}

        return self.kept(f"{features.name}-{of}", self.origin(of), compute, self.shelf_of(of))["features"]

    def statistics(self, of: str) -> FeatureStatistics:
        """Mean and covariance of those features."""

        def compute() -> Tensors:
            found = feature_statistics(self.features_of(of))
            factor = {} if found.factor is None else {"factor": found.factor.contiguous()}
            return {"mean": found.mean, "covariance": found.covariance, "count": torch.tensor(found.count)} | factor

        name = f"{self.known_features.name}-statistics-{of}"
        found = self.kept(name, self.origin(of), compute, self.shelf_of(of))
        return FeatureStatistics(found["mean"], found["covariance"], int(found["count"]), found.get("factor"))

    def distance(self, of: str) -> float:
        """The Fréchet distance to the test split."""
        self.tell(f"fid of {of}")
        generated = self.statistics(of)
        return frechet_distance(real=self.statistics(REAL), generated=generated)

    @property
    def known_features(self) -> Features:
        """The features, where there are any."""
        if self.features is None:
            raise SigmaeError("Distances between sets are measured in features of images, and these data are vectors.")
        return self.features

    def origin(self, of: str) -> str | None:
        """What features are made from; None where the features cannot say which they are."""
        details = getattr(self.features, "details", {})
        if "fingerprint" not in details:
            return None
        known = f"{json.dumps(details, sort_keys=True)} {self.count}"
        if of == REAL:
            return f"{known} {self.data.test.fingerprint}"
        density = self.model.densities.get(of)
        basis = self.data.validation.fingerprint if density is None else checksum(density_tensors(density), "")
        return f"{known} {self.weights} {basis} {self.compared} {self.seed} {of}"

    def shelf_of(self, of: str) -> Shelf:
        """Where features are kept: those of real images where all runs find them."""
        return Shelf(cache_folder("features"), lasting=True) if of == REAL else self.shelf

    def kept(
        self, name: str, origin: str | None, compute: Callable[[], Tensors], shelf: Shelf | None = None
    ) -> Tensors:
        """Tensors from memory, from disk where their origin is known, or computed now."""
        if name not in self.memory:
            self.memory[name] = compute() if origin is None else (shelf or self.shelf).get(name, origin, compute)
        return self.memory[name]


def between(
    codes: Shaped[Tensor, "codes latent"], count: int, seed: int, *, random: bool = False
) -> Shaped[Tensor, "count latent"]:
    """Points on the spherical paths between random pairs of different codes: midpoints, or a uniform ratio per pair."""
    draw = generator(seed, "interpolations")
    first = torch.randint(len(codes), (count,), generator=draw)
    second = (first + torch.randint(1, max(2, len(codes)), (count,), generator=draw)) % len(codes)
    ratio = torch.rand(count, generator=draw) if random else torch.full((count,), 0.5)
    return slerp(codes[first], codes[second], ratio)
