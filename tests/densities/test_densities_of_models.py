"""Densities of a trained model: which are fitted, what they are trained on, and their files."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

import sigmae
from sigmae import MMD
from sigmae.data import load as load_data
from sigmae.densities import flows, sample
from sigmae.errors import SigmaeError
from sigmae.kernel_density import KernelDensity
from sigmae.model import load_densities
from sigmae.posteriors import IsotropicGaussian
from sigmae.runs import ensure_densities, fit_densities, Observers
from sigmae.settings import TrainingConfig
from sigmae.tensors import load_tensors

IMAGES = (torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 255).byte()


@dataclass(eq=False)
class HalfPrior(MMD):
    """Matches its codes to N(0, 1/4 I)."""

    @property
    def prior_scale(self):
        return 0.5


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(flows, "EPOCHS", 1)


def trained(method="vae", **options):
    return sigmae.fit(IMAGES, method=method, latent_dim=3, epochs=1, batch_size=20, network="mlp", **options)


def with_latent(model, latent):
    model.objective.latent = latent
    return model


def test_draws_follow_the_posterior_and_are_fresh():
    model = trained()
    draw = model.encoder_draws(IMAGES, batch_size=25)
    many = torch.stack([draw() for _ in range(400)])
    q = model.posterior(IMAGES)
    spread = q.variance.sqrt().detach()
    torch.testing.assert_close((many.mean(0) - q.mean.detach()) / spread, torch.zeros(60, 3), rtol=0, atol=0.25)
    torch.testing.assert_close(many.std(0) / spread, torch.ones(60, 3), rtol=0, atol=0.2)


def test_draws_of_a_deterministic_encoder_are_its_codes():
    model = trained("rae-l2")
    assert torch.equal(model.encoder_draws(IMAGES)(), model.encode(IMAGES))


def test_images_are_encoded_once_for_all_draws(monkeypatch):
    model, calls = trained(), []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    draw = model.encoder_draws(IMAGES)
    assert not calls
    draw(), draw()
    assert len(calls) == 1


def test_a_second_stage_is_trained_on_draws_and_not_on_means():
    model = trained()
    z = model.encode(IMAGES)
    noisy = model.fit_density("second-stage1", z, draw=model.encoder_draws(IMAGES))
    assert model.densities["second-stage1"] is noisy
    plain = model.fit_density("second-stage1", z)
    assert not torch.equal(noisy.networks.encoder.output.weight, plain.networks.encoder.output.weight)


def test_every_kind_is_saved_with_the_model(quick, tmp_path):
    model = with_latent(trained(), HalfPrior())
    z = model.encode(IMAGES)
    names = ["scaled-prior", "second-stage1", "flow", "gmm2"]
    for name in names:
        model.fit_density(name, z)
    model.save_weights(tmp_path)
    again = load_densities(tmp_path / "densities.safetensors", 3)
    assert list(again) == list(model.densities)
    for name in names:
        assert torch.equal(sample(again[name], 9, seed=1), model.sample_latents(9, density=name, seed=1))


@pytest.mark.parametrize("name", ["second-stage1", "flow"])
def test_a_density_of_another_size_is_told(quick, name, tmp_path):
    model = trained()
    model.fit_density(name, torch.randn(30, 3))
    model.save_weights(tmp_path)
    with pytest.raises(SigmaeError, match="is of 3 latents, and the model has 4"):
        load_densities(tmp_path / "densities.safetensors", 4)


def test_a_method_with_a_scaled_prior_samples_that():
    model = with_latent(trained(), HalfPrior())
    assert model.objective.prior_scale == 0.5
    assert model.own_density == "scaled-prior"
    model.densities = {}
    fit_densities(model, load_data(IMAGES))
    assert list(model.densities) == ["prior", "scaled-prior", "gaussian", "gmm10"]
    assert torch.equal(model.densities["scaled-prior"].variance, torch.full((3,), 0.25))


def test_a_kernel_density_has_the_scale_of_its_bandwidth():
    model = with_latent(trained("rae-l2"), KernelDensity(bandwidth=0.6))
    assert model.own_density == "scaled-prior"
    density = model.fit_density("scaled-prior", torch.randn(5, 3))
    torch.testing.assert_close(density.variance, torch.full((3,), 0.64))


def test_methods_without_a_scaled_prior_refuse_one():
    model = trained("rae-l2")
    assert list(model.densities) == ["prior", "gaussian", "gmm10"]
    with pytest.raises(SigmaeError, match="use the prior"):
        model.fit_density("scaled-prior", model.encode(IMAGES))


def test_a_run_fits_what_is_missing_on_draws_and_tells(monkeypatch, tmp_path):
    model, told = trained(), []
    fitted = {}
    monkeypatch.setattr(
        type(model), "fit_density", lambda self, name, z, seed, draw: fitted.update({name: draw(), "seed": seed})
    )
    data = load_data(IMAGES)
    monkeypatch.setattr(
        "sigmae.runs.training.read_run", lambda folder: SimpleNamespace(training=TrainingConfig(seed=3))
    )
    ensure_densities(model, data, ["gmm10", "second-stage1"], tmp_path, Observers(stage=told.append))
    assert told == ["fitting the density second-stage1"]
    assert fitted["seed"] == 3
    assert not torch.equal(fitted["second-stage1"], model.encode(data.train.images))
    assert load_tensors(tmp_path / "densities.safetensors")


def test_an_isotropic_posterior_of_no_variance_draws_its_means():
    model = trained()
    model.encoder.register_forward_hook(lambda *args: args[2][:, :3])
    model.objective.posterior = IsotropicGaussian(0.0)
    assert torch.equal(model.encoder_draws(IMAGES)(), model.encode(IMAGES))
