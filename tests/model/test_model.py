"""The Python API: fit, encode, decode, reconstruct, sample, interpolate, save, load, and one's own loop."""

import json
from copy import copy

import numpy as np
import pytest
import torch
from torch import nn

import sigmae
from sigmae import recipes, SigmaeError
from sigmae.model import slerp

IMAGES = (np.random.default_rng(0).random((120, 8, 8)) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    return sigmae.fit(IMAGES, "vae", latent_dim=3, epochs=2, batch_size=20)


def test_shapes_and_ranges(model):
    x = torch.from_numpy(IMAGES[:5])[:, None]
    z = model.encode(x)
    assert z.shape == (5, 3)
    for images in (model.decode(z), model.reconstruct(x), model.sample(5), model.sample(5, density="gaussian")):
        assert images.shape == (5, 1, 8, 8)
        assert 0 <= images.min() <= images.max() <= 1
    assert model.interpolate(x, x.flip(0), steps=4).shape == (5, 4, 1, 8, 8)
    assert model.interpolate(x[0], x[1], steps=4).shape == (4, 1, 8, 8)


def test_inference_is_the_mean_in_evaluation_mode(model):
    x = torch.from_numpy(IMAGES[:5])[:, None]
    model.train()
    first, second = model.encode(x), model.encode(x)
    assert model.training
    assert torch.equal(first, second)
    assert torch.equal(first, model.eval().encode(x))
    assert not first.requires_grad
    torch.testing.assert_close(model.encode(x / 255), first)
    torch.testing.assert_close(model.encode(x, batch_size=2), first)
    torch.testing.assert_close(model.posterior(x).mean, first)


def test_interpolation_starts_and_ends_at_the_reconstructions(model):
    x = torch.from_numpy(IMAGES[:4])[:, None]
    path = model.interpolate(x[:2], x[2:], steps=5)
    torch.testing.assert_close(path[:, 0], model.reconstruct(x[:2]))
    torch.testing.assert_close(path[:, -1], model.reconstruct(x[2:]))


def test_slerp_keeps_norms_and_falls_back_to_a_line():
    start, end = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    middle = slerp(start, end, torch.tensor([0.5]))
    torch.testing.assert_close(middle, torch.full((1, 2), 3 / 2**0.5))
    parallel = slerp(start, 2 * start, torch.tensor([0.5]))
    torch.testing.assert_close(parallel, 1.5 * start)
    torch.testing.assert_close(slerp(start, -start, torch.tensor([0.25])), 0.5 * start)


@pytest.mark.promise(
    "The same seed", "Weights, order, noise, points, banks, densities and pairs follow the seed, and it alone."
)
def test_samples_are_seeded_and_leave_the_global_generator_alone(model):
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first = model.sample(4, seed=1)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first, model.sample(4, seed=1))
    assert not torch.equal(first, model.sample(4, seed=2))


@pytest.mark.parametrize("method", sorted(recipes.METHODS))
def test_saved_and_loaded_is_the_same_model(method, tmp_path):
    model = sigmae.fit(IMAGES, method, latent_dim=3, epochs=1, batch_size=20)
    model.save(tmp_path / "m")
    again = sigmae.load(tmp_path / "m")
    assert {path.name for path in (tmp_path / "m").iterdir()} == {
        "config.json",
        "model.safetensors",
        "densities.safetensors",
    }
    assert repr(again.objective) == repr(model.objective)
    assert not again.training
    x = IMAGES[:5, None]
    assert torch.equal(again.reconstruct(x), model.reconstruct(x))
    for density in model.densities:
        assert torch.equal(again.sample(3, density=density), model.sample(3, density=density))


def test_gmm10_is_sampled_if_nothing_is_named_and_it_is_fitted(model):
    assert "gmm10" in model.densities
    assert model.default_density == "gmm10"
    assert torch.equal(model.sample(3), model.sample(3, density="gmm10"))
    others = {name: density for name, density in model.densities.items() if name != "gmm10"}
    bare = copy(model)
    bare.densities = others
    assert bare.default_density == bare.own_density != "gmm10"


def test_the_own_density_is_what_the_method_samples():
    deterministic = (
        "ae",
        "rae",
        "rae-l2",
        "rae-gp",
        "rae-sn",
        "rae-gp-code",
        "rae-sn-code",
        "rae-l2-uae-code",
        "cv-vae",
    )
    wasserstein = ("vae-w2", "vae-w2-full", "ut-vae-w2", "ut-vae-w2-full", "uae", "uae-diagonal", "uae-code")
    expected = dict.fromkeys(recipes.METHODS, "prior") | dict.fromkeys((*deterministic, *wasserstein), "gaussian")
    got = {name: "prior" if m.objective().matches_prior else "gaussian" for name, m in recipes.METHODS.items()}
    assert got == expected


def test_a_density_that_is_not_fitted_says_how_to_fit_it(model):
    with pytest.raises(SigmaeError, match="The density 'gmm7' is not fitted"):
        model.sample(3, density="gmm7")
    model.fit_density("gmm2", model.encode(IMAGES[:, None]))
    assert model.sample(3, density="gmm2").shape == (3, 1, 8, 8)


def test_images_of_another_shape_are_refused(model):
    with pytest.raises(SigmaeError, match=r"reads images of shape \(1, 8, 8\), got an array of shape \(5, 1, 9, 9\)"):
        model.encode(torch.zeros(5, 1, 9, 9))


def test_arrays_come_in_the_layouts_that_fit_reads(model):
    expected = model.encode(IMAGES[:5, None])
    for images in (IMAGES[:5], IMAGES[:5, :, :, None], IMAGES[:5] / 255, torch.from_numpy(IMAGES[:5])):
        torch.testing.assert_close(model.encode(images), expected)
    assert model.encode(IMAGES[0]).shape == (1, 3)
    assert model.interpolate(IMAGES[0], IMAGES[1], steps=3).shape == (3, 1, 8, 8)
    with pytest.raises(SigmaeError, match="divide by 255"):
        model.encode(IMAGES[:5].astype(np.float32))


def test_ones_own_modules_and_objective(tmp_path):
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    decoder = nn.Sequential(nn.Linear(3, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))
    objective = recipes.rae().replace(latent=sigmae.MMD(2.0))
    model = sigmae.fit(IMAGES, objective, network=(encoder, decoder), latent_dim=3, epochs=1, batch_size=20)
    assert model.encoder is encoder
    assert model.objective is objective
    model.save(tmp_path)
    with pytest.raises(SigmaeError, match=r"pass network=\(encoder, decoder\) again"):
        sigmae.load(tmp_path)
    again = sigmae.load(tmp_path, network=(encoder, decoder))
    assert torch.equal(again.encode(IMAGES[:2, None]), model.encode(IMAGES[:2, None]))


def test_parts_in_ones_own_loop():
    objective = recipes.vae().replace(latent=sigmae.KL(weight=2.5e-4))
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 6))
    decoder = nn.Sequential(nn.Linear(3, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))
    model = sigmae.Autoencoder(encoder, decoder, objective)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    x = torch.from_numpy(IMAGES[:, None] / 255).float()
    losses = []
    for _ in range(30):
        terms = objective(model, x)
        optimizer.zero_grad()
        terms.loss.backward()
        optimizer.step()
        losses.append(terms.reconstruction.item())
    assert losses[-1] < losses[0]


def test_vectors_are_data_too():
    vectors = torch.randn(200, 4) @ torch.randn(4, 10)
    model = sigmae.fit(vectors, "rae", latent_dim=4, epochs=30, batch_size=20, lr=3e-3)
    error = (model.reconstruct(vectors) - vectors).square().sum(1).mean()
    assert error < 0.3 * vectors.square().sum(1).mean()


def edited(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config["model"])
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.update(latent_dim=4), "do not fit its config.json"),
        (lambda m: m.update(latent_dim="many"), "latent_dim"),
        (lambda m: m.update(colour="red"), "colour"),
        (lambda m: m.pop("shape"), "shape"),
        (lambda m: m["objective"]["latent"].update(type="KLL"), "Did you mean 'KL'"),
        (lambda m: m["objective"]["latent"].update(type="os:system"), "--trust os"),
        (lambda m: m["network"].update(name="os:system"), "--trust os"),
        (lambda m: m["objective"]["latent"].update(wieght=1.0), "has no field 'wieght'"),
        (lambda m: m["objective"]["latent"].update(weight="heavy"), "latent.weight"),
        (lambda m: m["objective"].pop("latent"), "An objective has the parts"),
    ],
)
def test_an_edited_config_is_refused_and_runs_nothing(model, tmp_path, change, sentence):
    model.save(tmp_path)
    edited(tmp_path, change)
    with pytest.raises(SigmaeError, match=sentence):
        sigmae.load(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "densities.safetensors", "config.json"])
def test_a_cut_file_is_named(model, tmp_path, name):
    model.save(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(SigmaeError, match=name):
        sigmae.load(tmp_path)


def test_weights_with_a_changed_byte_are_refused(model, tmp_path):
    model.save(tmp_path)
    content = bytearray((tmp_path / "model.safetensors").read_bytes())
    content[-9] ^= 64
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(SigmaeError, match="does not match its checksum"):
        sigmae.load(tmp_path)


@pytest.mark.parametrize("latent_dim", [0, -1])
def test_a_latent_size_below_one_is_refused(latent_dim):
    with pytest.raises(SigmaeError, match="latent size must be 1 or more"):
        sigmae.fit(IMAGES, latent_dim=latent_dim)


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(SigmaeError, match=r"Unknown method 'rae-l3'\. Did you mean 'rae-l2'\?"):
        sigmae.fit(IMAGES, "rae-l3")


def test_a_setting_that_may_be_open_is_left_open_by_none():
    from sigmae.config import with_settings

    closed = recipes.avae_queue()
    assert closed.latent.floor == 1e-6
    assert with_settings(closed, ["latent.floor=none"]).latent.floor is None
    assert with_settings(closed, ["latent.floor=1e-2"]).latent.floor == 1e-2
    with pytest.raises(SigmaeError, match=r"In latent\.bank: 'none'"):
        with_settings(closed, ["latent.bank=none"])
    with pytest.raises(SigmaeError, match=r"In latent\.floor: 'nothing'"):
        with_settings(closed, ["latent.floor=nothing"])


def test_fields_are_set_in_the_type_that_is_chosen_whatever_the_order_of_settings():
    from sigmae.config import objective_config, with_settings

    settings = ["latent.weight=0.25", "latent=MMD"]
    found = [objective_config(with_settings(recipes.vae(), order))["latent"] for order in (settings, settings[::-1])]
    assert found[0] == found[1]
    assert (found[0]["type"], found[0]["weight"]) == ("MMD", 0.25)
