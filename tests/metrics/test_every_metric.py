"""Every metric by its name, on trained models: what applies is a number, what does not is told in a sentence."""

import math
from dataclasses import replace
from fnmatch import fnmatchcase

import pytest
import torch
from torch import nn

import sigmae
from sigmae import Autoencoder, Delta, Mean, ModelConfig, Objective, SquaredError
from sigmae.data import load, Split
from sigmae.densities import DENSITIES
from sigmae.evaluation import evaluate, evaluate_stages, METRICS, Stages
from sigmae.evaluation.catalogue import DENSITY
from sigmae.evaluation.disentangled import directions
from sigmae.metrics.aggregate import gaussian_divergence
from sigmae.metrics.features import load_features
from sigmae.metrics.likelihood import elbo, log_likelihood
from sigmae.metrics.smoothness import expected_local_smoothness
from sigmae.report.words import metric_kind

STOCHASTIC = ("elbo", "log_likelihood", "collapse", "encoder_variance", "taylor", "gradient_variance")


@pytest.fixture(scope="session")
def digits():
    return load("digits")


@pytest.fixture(scope="session")
def models(digits):
    def fitted(method):
        return sigmae.fit(digits, method, latent_dim=4, epochs=15, device="cpu")

    return {method: fitted(method) for method in ("vae", "rae-l2")}


@pytest.fixture(scope="session")
def evaluations(models, digits, tmp_path_factory):
    features = load_features("random", digits)
    return {
        method: evaluate(model, digits, features, points=200, folder=tmp_path_factory.mktemp(method))
        for method, model in models.items()
    }


def values(evaluation):
    return {(row.metric, row.of): row.value for row in evaluation.rows}


@pytest.mark.parametrize("method", ["vae", "rae-l2"])
def test_everything_that_applies_is_a_number(evaluations, method):
    found = evaluations[method]
    assert found.metrics == tuple(METRICS)
    assert all(math.isfinite(row.value) and row.count > 0 and row.protocol for row in found.rows)
    assert len(values(found)) == len(found.rows)
    without = {"decoder_variance", "disentanglement"}
    without |= {"linearized_log_likelihood"} if method == "vae" else set(STOCHASTIC)
    assert set(found.left_out) == without
    for name, rows in found.found.items():
        for row in rows:
            forms = METRICS[name].rows[metric_kind(row.metric)]
            assert any(row.of in DENSITIES if form == DENSITY else fnmatchcase(row.of, form) for form in forms)


class Watched(Stages):
    """Stages that note which settings are read."""

    def __getattribute__(self, name):
        if name in ("features", "densities", "count", "points"):
            vars(self).setdefault("read", set()).add(name)
        return super().__getattribute__(name)


@pytest.mark.parametrize("method", ["vae", "rae-l2"])
@pytest.mark.parametrize("name", METRICS)
def test_a_metric_depends_on_the_settings_that_it_names(models, digits, name, method):
    stages = Watched(models[method], replace(digits, test=digits.test[:30]), load_features("random", digits), points=10)
    stages.read.clear()  # what its own check read
    done = evaluate_stages(stages, [name])
    if done.rows:
        assert stages.read == set(METRICS[name].settings)
    assert stages.read <= set(METRICS[name].settings)


def test_methods_without_a_likelihood_are_told_why_and_named_the_alternative(evaluations):
    told = evaluations["rae-l2"].left_out
    assert "posterior is a point" in told["log_likelihood"]
    assert "linearized_log_likelihood" in told["log_likelihood"]
    assert ("linearized_log_likelihood", "test images") in values(evaluations["rae-l2"])


def test_rows_are_what_the_functions_say(models, digits, evaluations):
    model, found = models["vae"], values(evaluations["vae"])
    bound = elbo(model, digits.test.images, samples=10)
    assert found["elbo", "test images"] == pytest.approx(float(bound.mean()))
    likelihood = log_likelihood(model, digits.test.images[:100], count=200)
    assert found["log_likelihood", "test images"] == pytest.approx(likelihood.mean)
    assert found["log_likelihood", "test images"] > found["elbo", "test images"] - 5
    without = found["nll_without_constant", "test images"]
    assert without == pytest.approx(-likelihood.mean - 32 * math.log(2 * math.pi * 0.5))
    assert found["els", "decoder"] == pytest.approx(expected_local_smoothness(model, digits.test.images).els, rel=1e-5)
    draws = Stages(model, digits).draws("test")
    assert found["aggregate_divergence", "codes"] == pytest.approx(gaussian_divergence(draws))


def test_values_hang_together(evaluations):
    found = values(evaluations["vae"])
    latents = [value for (metric, _), value in found.items() if metric == "latent_kl"]
    assert sum(latents) == pytest.approx(found["kl", "all latents"])
    assert latents == sorted(latents, reverse=True)
    for network in ("encoder", "decoder"):
        one, two = (found["gradient_variance", f"{network}, {of}"] for of in ("1 sample", "2 samples"))
        assert 0.3 < two / one < 0.75
        assert found["gradient_variance", f"{network}, linearized"] == 0
    errors = [found["covariance_error", f"{count} samples"] for count in (5, 25, 100, 235)]
    assert errors == sorted(errors, reverse=True)


def test_a_second_evaluation_of_the_same_gives_the_same(models, digits, evaluations):
    features = load_features("random", digits)
    again = evaluate(
        models["vae"], digits, features, points=200, metrics=["fid", "kid", "holes", "taylor", "memorisation"]
    )
    known = values(evaluations["vae"])
    assert {key: known[key] for key in values(again)} == values(again)


def test_sprites_with_a_perfect_code_are_disentangled():
    whole = load("sprites")

    def pictured(split):
        """The factors as 5 values of an image of 1 by 5."""
        return Split((split.factors / 10).float().view(-1, 1, 1, 5), factors=split.factors)

    data = replace(whole, **{name: pictured(getattr(whole, name)) for name in ("train", "validation", "test")})
    config = ModelConfig("perfect", (1, 1, 5), 5, {}, None)
    objective = Objective(Delta(), Mean(), SquaredError())
    model = Autoencoder(nn.Flatten(), nn.Unflatten(1, (1, 1, 5)), objective, config=config)
    model.register_parameter("anchor", nn.Parameter(torch.zeros(())))
    found = values(evaluate(model, data, metrics=["disentanglement"]))
    assert found["mig", "codes"] > 0.95
    assert found["factor_vae", "codes"] > 0.99
    assert found["pca_factor_vae", "codes"] > 0.99
    assert found["dci-disentanglement", "codes"] > 0.95
    assert found["least_angle", "directions"] > 85
    axes = directions(Stages(model, data))
    torch.testing.assert_close(axes.abs(), torch.eye(5).double(), rtol=0, atol=0.05)
