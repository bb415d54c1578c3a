"""scikit-learn estimators: an autoencoder as a transformer, and as a density.

Rows are tables of numbers, standardized before training, or images: arrays [count, height, width] or with channels, or
flattened ones whose `image_shape` is given, uint8 or floats in [0, 1].
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from sigmae.api import plan
from sigmae.data import Dataset, scaled, Split
from sigmae.data.arrays import examples
from sigmae.data.splits import two_ways
from sigmae.errors import SigmaeError
from sigmae.metrics.inference import evaluating
from sigmae.metrics.likelihood import log_likelihood
from sigmae.model import Autoencoder
from sigmae.objective import Objective
from sigmae.settings import DEFAULT_METHOD, TrainingConfig
from sigmae.training import make_fabric, train

Array = npt.NDArray[Any]
KINDS = (np.float64, np.float32, np.uint8)


class AutoencoderEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What both estimators are: an autoencoder that is trained on rows or images.

    Parameters
    ----------
    method : a recipe's name, or an `Objective`.
    latent_dim : size of the latent space.
    network : a network's name; by the shape of an example if None.
    settings : changes of parts and network, as for --set: ("likelihood.variance=0.1",).
    image_shape : (channels, height, width) of images that come flattened; None for tables and for image arrays.
    epochs, batch_size, lr : as in `TrainingConfig`; a batch is at most the training examples, of which a tenth is held
        out, whose loss chooses the epoch that is kept.
    random_state : int, RandomState or None.
    device : "auto", "cpu", "cuda" or "mps", for training.

    Attributes
    ----------
    model_ : the trained `Autoencoder`, in float64.
    mean_, scale_ : what tables are standardized by; 0 and 1 for images.
    """

    def __init__(  # scikit-learn wants anything to be taken here, and to be refused by `fit`
        self,
        method: Any = DEFAULT_METHOD,
        *,
        latent_dim: Any = 2,
        network: Any = None,
        settings: Any = (),
        image_shape: Any = None,
        epochs: Any = 50,
        batch_size: Any = 100,
        lr: Any = 1e-3,
        random_state: Any = None,
        device: Any = "auto",
    ) -> None:
        self.method = method
        self.latent_dim = latent_dim
        self.network = network
        self.settings = settings
        self.image_shape = image_shape
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any = None) -> "AutoencoderEstimator":
        """Train on X [count, features], or on images; y is not looked at."""
        X = validate_data(self, X, dtype=KINDS, allow_nd=True, ensure_min_samples=2)
        self.mean_, self.scale_ = self._moments(X)
        self.row_shape_ = X.shape[1:]
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        rows = Split(self._examples(X).float())
        kept, held = two_ways(len(rows), "X")
        data = Dataset("X", rows[kept], rows[held], rows[held])
        training = TrainingConfig(self.epochs, min(self.batch_size, len(kept)), self.lr, seed)
        options: dict[str, Any] = {"latent_dim": self.latent_dim, "network": self.network, "settings": self.settings}
        planned = plan(data, self.method, training=training, **options)
        self._check(planned.model.objective)
        train(planned.model, data, training, fabric=make_fabric(device=self.device))
        self.model_ = self._fitted(planned.model.cpu().eval(), data, seed).double()
        return self

    def _check(self, objective: Objective) -> None:
        """Refuse, before training, an objective that cannot do what the estimator promises."""

    def _fitted(self, model: Autoencoder, data: Dataset, seed: int) -> Autoencoder:
        """What else is fitted after training."""
        return model

    @property
    def _is_image(self) -> bool:
        return self.image_shape is not None or len(self.row_shape_) > 1

    def _moments(self, X: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of every column of a table; a column of one value is left as wide as it is."""
        if self.image_shape is not None or X.ndim > 2:
            return np.zeros(1), np.ones(1)
        spread = X.std(axis=0, dtype=np.float64)
        return X.mean(axis=0, dtype=np.float64), np.where(spread > 10 * np.finfo(X.dtype).eps, spread, 1.0)

    def _examples(self, X: Array) -> Tensor:
        """Rows as the network reads them, in float64."""
        if not self._is_image:
            return torch.from_numpy((X.astype(np.float64) - self.mean_) / self.scale_)
        if self.image_shape is not None:
            X = X.reshape(len(X), *self.image_shape)
        return scaled(examples(X, "X")).double()

    def _rows(self, x: Tensor, like: type) -> Array:
        """What the network returns, as rows came."""
        shape = self.row_shape_
        if len(shape) == 3 and tuple(x.shape[1:]) != shape:
            x = x.movedim(1, -1)
        rows: Array = x.reshape(len(x), *shape).numpy() * self.scale_ + self.mean_
        return np.asarray(rows, dtype=like)

    def _validated(self, X: Any) -> Array:
        """X as in `fit`: of the same shape, finite."""
        check_is_fitted(self)
        rows: Array = validate_data(self, X, dtype=KINDS, allow_nd=True, reset=False)
        if rows.shape[1:] != self.row_shape_:
            raise ValueError(
                f"X has rows of shape {rows.shape[1:]}, and {type(self).__name__} was fitted on {self.row_shape_}."
            )
        return rows


class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, AutoencoderEstimator):  # type: ignore[misc]
    """Rows to codes, the means of q(z|x), and back: dimensionality reduction by any method of the library."""

    def transform(self, X: Any) -> Array:
        """The codes [count, latent] of X."""
        X = self._validated(X)
        return self.model_.encode(self._examples(X)).numpy().astype(like(X))

    def inverse_transform(self, X: Any) -> Array:
        """The rows that codes [count, latent] are decoded to."""
        check_is_fitted(self)
        X = check_array(X, dtype=(np.float64, np.float32))
        if X.shape[1] != self._n_features_out:
            raise ValueError(f"X has {X.shape[1]} latents, and the model {self._n_features_out}.")
        return self._rows(self.model_.decode(X), X.dtype.type)

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the mean squared error of reconstructions, over the standardized values: higher is better."""
        x = self._examples(self._validated(X))
        return -float((self.model_.reconstruct(x) - x).square().mean())

    @property
    def _n_features_out(self) -> int:
        return int(self.latent_dim)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class AutoencoderDensity(DensityMixin, AutoencoderEstimator):  # type: ignore[misc]
    """The density p(x) = ∫ p(x|z) p(z) dz of a method with a posterior and a p(x|z), its codes drawn from N(0, I).

    Parameters
    ----------
    points : draws of q(z|x) behind each importance-sampled ln p(x).

    The others are those of `AutoencoderEstimator`.
    """

    def __init__(
        self,
        method: Any = DEFAULT_METHOD,
        *,
        latent_dim: Any = 2,
        network: Any = None,
        settings: Any = (),
        image_shape: Any = None,
        epochs: Any = 50,
        batch_size: Any = 100,
        lr: Any = 1e-3,
        points: Any = 500,
        random_state: Any = None,
        device: Any = "auto",
    ) -> None:
        super().__init__(
            method,
            latent_dim=latent_dim,
            network=network,
            settings=settings,
            image_shape=image_shape,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            random_state=random_state,
            device=device,
        )
        self.points = points

    def score_samples(self, X: Any) -> Array:
        """ln p(x) of every row in nats, of X as it is given: importance-sampled, the same draws for every row."""
        x = self._examples(self._validated(X))
        found = log_likelihood(self.model_, x, count=self.points, common=True)
        values: Array = found.values.numpy() - np.log(self.scale_).sum()
        return values

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draws of p(x): codes of the prior, decoded, with the noise of p(x|z)."""
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"n_samples must be 1 or more, got {n_samples}.")
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        drawn = torch.Generator().manual_seed(seed)
        z = torch.randn(n_samples, self.latent_dim, generator=drawn, dtype=torch.float64)
        with evaluating(self.model_):
            x = self.model_.objective.likelihood.draw(self.model_.decoder(z), drawn)
        return self._rows(x, np.float64)

    def _check(self, objective: Objective) -> None:
        if not (objective.posterior.has_density and objective.likelihood.is_density):
            posterior, likelihood = type(objective.posterior).__name__, type(objective.likelihood).__name__
            raise SigmaeError(
                f"A {posterior} posterior and a {likelihood} likelihood have no ln p(x): use "
                "AutoencoderTransformer, or a method with both, such as vae, ar-iso-i or sampling-free."
            )


def like(X: Array) -> type:
    """The type of numbers to answer in."""
    return np.float32 if X.dtype == np.float32 else np.float64
