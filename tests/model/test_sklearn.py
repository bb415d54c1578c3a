"""The estimators keep scikit-learn's own promises, and ours: density, layouts, units."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sigmae import SigmaeError
from sigmae.sklearn import AutoencoderDensity, AutoencoderTransformer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
IRIS = load_iris().data
SMALL = {"settings": ("network.hidden=[32]",), "epochs": 15, "batch_size": 20, "lr": 1e-2, "random_state": 0}


@parametrize_with_checks(
    [
        AutoencoderTransformer(epochs=2),
        AutoencoderDensity(epochs=2, points=20),
        AutoencoderTransformer("rae-l2", epochs=2),
    ]
)
def test_what_scikit_learn_asks_of_estimators(estimator, check):
    check(estimator)


def test_it_stands_in_a_pipeline_and_a_grid():
    X, y = load_iris(return_X_y=True)
    model = AutoencoderTransformer("ae", **SMALL)
    grid = GridSearchCV(model, {"latent_dim": [1, 3]}, cv=KFold(2, shuffle=True, random_state=0)).fit(X)
    assert grid.best_params_ == {"latent_dim": 3}  # whose reconstructions are nearer
    assert -1 < grid.best_score_ < 0
    pipeline = make_pipeline(AutoencoderTransformer("rae-l2", **SMALL), LogisticRegression())
    assert clone(pipeline).fit(X, y).score(X, y) > 0.8
    assert list(pipeline.fit(X, y)[0].get_feature_names_out()) == ["autoencodertransformer0", "autoencodertransformer1"]


def test_rows_come_back_in_their_own_units():
    X = IRIS * [1, 1000, 1e-3, 1] + [0, 5000, 0, -3]
    model = AutoencoderTransformer("ae", latent_dim=4, epochs=50, batch_size=20, lr=3e-3, random_state=0).fit(X)
    error = np.square(model.inverse_transform(model.transform(X)) - X).mean(0) / X.var(0)
    assert (error < 0.2).all()
    assert -0.2 < model.score(X) < 0


def test_the_same_state_gives_the_same_bits_and_survives_a_pickle():
    one, other = (AutoencoderTransformer(epochs=2, random_state=3).fit(IRIS) for _ in range(2))
    codes = one.transform(IRIS)
    assert np.array_equal(codes, other.transform(IRIS))
    assert np.array_equal(codes, pickle.loads(pickle.dumps(one)).transform(IRIS))
    assert not np.array_equal(codes, AutoencoderTransformer(epochs=2, random_state=4).fit(IRIS).transform(IRIS))


DIGITS = load_digits().images / 16
LAYOUTS = {
    "gray": DIGITS,
    "channels first": np.repeat(DIGITS[:, None], 3, 1),
    "channels last": np.repeat(DIGITS[..., None], 3, 3),
    "bytes": (DIGITS * 255).astype(np.uint8),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_come_back_as_they_came(layout):
    X = LAYOUTS[layout][:300]
    model = AutoencoderTransformer("ae", latent_dim=8, epochs=10, batch_size=20, random_state=0).fit(X)
    codes = model.transform(X)
    again = model.inverse_transform(codes)
    assert (codes.shape, again.shape) == ((300, 8), X.shape)
    real = X / 255 if X.dtype == np.uint8 else X
    assert np.square(again - real).mean() < 0.7 * real.var()  # and no axis was taken for another
    with pytest.raises(ValueError, match="rows of shape"):
        model.transform(X[:, :, :-1])


def test_flattened_images_are_images():
    flat = AutoencoderTransformer(image_shape=(1, 8, 8), epochs=2, random_state=0).fit(DIGITS.reshape(-1, 64))
    whole = AutoencoderTransformer(epochs=2, random_state=0).fit(DIGITS)
    assert np.array_equal(flat.transform(DIGITS.reshape(-1, 64)), whole.transform(DIGITS))
    pipeline = make_pipeline(MinMaxScaler(clip=True), AutoencoderTransformer(image_shape=(1, 8, 8), epochs=1))
    assert pipeline.fit_transform(DIGITS.reshape(-1, 64)).shape == (1797, 2)


@pytest.fixture(scope="module")
def density():
    X = np.random.default_rng(0).normal(50, 10, size=(400, 1)) ** 1.2
    small = {"settings": ("network.hidden=[32]",), "points": 300, "epochs": 60, "batch_size": 40}
    return X, AutoencoderDensity(latent_dim=1, **small, random_state=0).fit(X)


def test_a_density_has_the_mass_of_one(density):
    X, model = density
    grid = np.linspace(X.min() - 100, X.max() + 100, 400)
    heights = np.exp(model.score_samples(grid[:, None]))
    assert np.trapezoid(heights, grid) == pytest.approx(1, abs=0.03)


def test_samples_are_of_the_density(density):
    X, model = density
    drawn = model.sample(4000, random_state=0)
    assert np.array_equal(drawn, model.sample(4000, random_state=0))
    grid = np.linspace(X.min() - 100, X.max() + 100, 400)
    heights = np.exp(model.score_samples(grid[:, None]))
    mean = np.trapezoid(heights * grid, grid)
    assert drawn.mean() == pytest.approx(mean, abs=4 * drawn.std() / 4000**0.5 + 0.5)
    assert drawn.std() == pytest.approx(np.trapezoid(heights * (grid - mean) ** 2, grid) ** 0.5, rel=0.1)


def test_a_density_tells_data_from_others(density):
    X, model = density
    assert model.score(X) == pytest.approx(model.score_samples(X).mean())
    assert model.score(X) > model.score(X + 200) + 3


def test_what_a_row_gets_depends_on_no_other(density):
    X, model = density
    whole = model.score_samples(X[:20])
    np.testing.assert_allclose(np.concatenate([model.score_samples(row[None]) for row in X[:20]]), whole, rtol=1e-10)


@pytest.mark.parametrize("method", ["rae-l2", "vae-w2"])
def test_a_method_without_a_likelihood_is_no_density(method):
    with pytest.raises(SigmaeError, match=r"have no ln p\(x\): use AutoencoderTransformer"):
        AutoencoderDensity(method, epochs=10**6).fit(IRIS)


def test_a_method_is_found_by_its_name():
    with pytest.raises(SigmaeError, match=r"Unknown method 'rae-l3'. Did you mean 'rae-l2'"):
        AutoencoderTransformer("rae-l3").fit(IRIS)
