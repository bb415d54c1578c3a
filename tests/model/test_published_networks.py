"""The published networks are those of the papers' tables, train under sampled and linearized objectives, and start from
the weights that a setting names."""

import json

import pytest
import torch
from torch import nn

import sigmae
from sigmae import Autoencoder, NetworkConfig, SigmaeError
from sigmae.api import plan
from sigmae.config import ModelConfig, objective_config
from sigmae.conversion import as_json, structure
from sigmae.jacobians import jacobian_columns
from sigmae.networks import build, DESCRIPTIONS, NETWORKS
from sigmae.networks.layers import Crop, doubling, halving, keeping
from sigmae.recipes import METHODS
from sigmae.settings import TrainingConfig

LATENT = 3
SPREAD = 0.04  # of an estimated standard deviation: five standard errors at 8,000 weights

# "C64/4/2:16" is a convolution to 64 channels, kernel 4, stride 2, which returns 16 by 16; T a transposed one.
UAE_ENCODER = (
    "C32/3/2:{} BN LReLU C64/3/2:{} BN LReLU C128/3/2:{} BN LReLU "
    "C256/3/2:{} BN LReLU C512/3/2:{} BN LReLU C1024/3/2:{} BN LReLU FC{}"
)
AVAE_ENCODER = "C{}/4/2:{} BN ReLU C{}/4/2:{} BN ReLU C{}/4/2:{} BN ReLU C{}/4/2:{} BN ReLU FC{}"
FACTORS_ENCODER = "C32/4/2:32 ReLU C32/4/2:16 ReLU C64/4/2:8 ReLU C64/4/2:4 ReLU"
FACTORS_DECODER = "T64/4/2:8 ReLU T32/4/2:16 ReLU T32/4/2:32 ReLU"
TABLES = [
    (
        "uae",
        (1, 32, 32),
        64,
        UAE_ENCODER.format(16, 8, 4, 2, 1, 1, 128),
        "FC65536 T512/4/2:16 BN LReLU T256/4/2:32 BN LReLU T1/3/1:32",
    ),
    (
        "uae",
        (3, 64, 64),
        64,
        UAE_ENCODER.format(32, 16, 8, 4, 2, 1, 128),
        "FC65536 T512/4/2:16 BN LReLU T256/4/2:32 BN LReLU T128/4/2:64 BN LReLU T3/3/1:64",
    ),
    (
        "beta-vae",
        (3, 64, 64),
        32,
        FACTORS_ENCODER + " C256/4/1:1 ReLU FC64",
        "FC256 ReLU T64/4/1:4 ReLU " + FACTORS_DECODER + " T3/4/2:64",
    ),
    (
        "avae-mnist",
        (1, 32, 32),
        16,
        AVAE_ENCODER.format(64, 16, 128, 8, 256, 4, 512, 2, 32),
        "FC2048 T256/4/2:4 BN ReLU T128/4/2:8 BN ReLU T64/4/2:16 BN ReLU T1/4/2:32",
    ),
    (
        "avae-cifar10",
        (3, 32, 32),
        128,
        AVAE_ENCODER.format(128, 16, 256, 8, 512, 4, 1024, 2, 256),
        "FC65536 T512/4/2:16 BN ReLU T256/4/2:32 BN ReLU T3/4/1:33 Crop:32",
    ),
    (
        "avae-celeba",
        (3, 64, 64),
        64,
        AVAE_ENCODER.format(64, 32, 128, 16, 256, 8, 512, 4, 128),
        "FC32768 T256/4/2:16 BN ReLU T128/4/2:32 BN ReLU T64/4/2:64 BN ReLU T3/4/1:65 Crop:64",
    ),
    (
        "avae-factors",
        (1, 64, 64),
        6,
        FACTORS_ENCODER + " FC256 ReLU FC12",
        "FC256 ReLU FC1024 ReLU " + FACTORS_DECODER + " T1/4/2:64",
    ),
    (
        "ar-elbo-smoothness",
        (1, 28, 28),
        8,
        "C64/4/2:14 ReLU C128/4/2:7 ReLU FC1024 ReLU FC16",
        "FC1024 ReLU FC6272 ReLU T64/4/2:14 ReLU T1/4/2:28",
    ),
    (
        "ar-elbo-mnist",
        (1, 28, 28),
        16,
        "C64/5/2:14 ReLU C128/5/2:7 ReLU FC1024 BN ReLU FC32",
        "FC1024 BN ReLU FC6272 BN ReLU T64/5/2:14 BN ReLU T1/4/2:28",
    ),
    (
        "ar-elbo-celeba",
        (3, 64, 64),
        64,
        "C128/5/2:32 ReLU C256/5/2:16 BN ReLU C512/5/2:8 BN ReLU C1024/5/2:4 BN ReLU FC128",
        "FC65536 T512/5/2:16 ReLU T256/5/2:32 BN ReLU T128/5/2:64 BN ReLU T3/5/1:64",
    ),
]
PLAIN = {nn.BatchNorm1d: "BN", nn.BatchNorm2d: "BN", nn.ReLU: "ReLU", nn.LeakyReLU: "LReLU"}
IMAGES = [(name, shape) for name, shape, *_ in TABLES]
IDS = [f"{name}-{shape[1]}" for name, shape in IMAGES]


def pair(name, shape, latent_dim=LATENT, heads=2, channels=None, output="linear", init="default", **options):
    return build(
        NetworkConfig(name, output, options, init),
        shape=shape,
        latent_dim=latent_dim,
        encoder_outputs=heads * latent_dim,
        decoder_shape=(channels or shape[0], *shape[1:]),
    )


def told(layer, side):
    """A layer in the notation of `TABLES`, after a pass that returned images of a side."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        kind = "C" if isinstance(layer, nn.Conv2d) else "T"
        return f"{kind}{layer.out_channels}/{layer.kernel_size[0]}/{layer.stride[0]}:{side}"
    if isinstance(layer, nn.Linear):
        return f"FC{layer.out_features}"
    return f"Crop:{side}" if isinstance(layer, Crop) else PLAIN[type(layer)]


def table(network, shape):
    """What a network does to an example of a shape, layer by layer."""
    words = []

    def record(layer, _, outputs):
        if not isinstance(layer, nn.Flatten | nn.Unflatten):
            words.append(told(layer, outputs.shape[-1]))

    for layer in network.children():
        layer.register_forward_hook(record)
    network.eval()(torch.empty(2, *shape))
    return " ".join(words)


@pytest.mark.parametrize(("name", "shape", "latent_dim", "encoder", "decoder"), TABLES, ids=IDS)
def test_the_layers_are_those_of_the_papers(name, shape, latent_dim, encoder, decoder):
    with torch.device("meta"):
        networks = pair(name, shape, latent_dim)
        assert table(networks[0], shape) == encoder
        assert table(networks[1], (latent_dim,)) == decoder


def test_table_ix_as_printed_has_no_dense_layers():
    with torch.device("meta"):
        encoder, decoder = pair("avae-factors", (3, 64, 64), 6, heads=1, dense=False)
        assert table(encoder, (3, 64, 64)) == FACTORS_ENCODER + " FC6"
        assert table(decoder, (6,)) == "FC1024 " + FACTORS_DECODER + " T3/4/2:64"


def test_the_count_of_weights_of_the_smoothness_network():
    with torch.device("meta"):
        encoder, decoder = pair("ar-elbo-smoothness", (1, 28, 28), 8, heads=1)
    convolutions = 16 * (64 + 64 * 128)
    dense = 6272 * 1024 + 1024 * 8
    assert sum(weight.numel() for weight in encoder.parameters()) == convolutions + dense + 64 + 128 + 1024 + 8
    assert sum(weight.numel() for weight in decoder.parameters()) == convolutions + dense + 1024 + 6272 + 64 + 1


@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_layers_halve_double_and_keep_the_size(kernel):
    x = torch.rand(1, 2, 8, 8)
    assert halving(2, 3, kernel)(x).shape == (1, 3, 4, 4)
    assert doubling(2, 3, kernel)(x).shape == (1, 3, 16, 16)
    assert nn.Sequential(*keeping(2, 3, kernel))(x).shape == (1, 3, 8, 8)


@pytest.mark.parametrize(("name", "shape"), IMAGES, ids=IDS)
def test_outputs_for_heads_and_learned_variances(name, shape):
    channels = 2 * shape[0]
    encoder, decoder = pair(name, shape, heads=3, channels=channels, output="sigmoid", width=2)
    assert encoder(torch.rand(4, *shape)).shape == (4, 3 * LATENT)
    means, log_variances = (9 * decoder(9 * torch.randn(4, LATENT))).tensor_split([shape[0]], dim=1)
    assert means.shape == log_variances.shape == (4, *shape)
    assert means.min() >= 0
    assert log_variances.min() < 0


@pytest.mark.parametrize("method", ["vae", "sampling-free", "sigma-iso-d"])
@pytest.mark.parametrize(("name", "shape"), IMAGES, ids=IDS)
def test_a_step_of_training(method, name, shape):
    objective = METHODS[method].objective("mnist")
    network = NetworkConfig(name, "sigmoid", {"width": 2}, "kaiming")
    config = ModelConfig(method, shape, LATENT, objective_config(objective), network)
    model = Autoencoder.build(config, objective=objective)
    before = {key: weight.clone() for key, weight in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.rand(4, *shape)).loss.backward()
    optimizer.step()
    after = dict(model.named_parameters())
    assert all(weight.isfinite().all() for weight in after.values())
    assert all((after[key] != before[key]).any() for key in after if key.endswith("weight"))


@pytest.mark.parametrize(("name", "shape"), IMAGES, ids=IDS)
def test_the_derivative_of_the_decoder(name, shape):
    """Its columns, pooled by weights for the image's values, are the gradient of the values so pooled."""
    decoder = pair(name, shape, width=2, init="kaiming")[1].double().eval()
    z = torch.randn(2, LATENT, dtype=torch.float64, requires_grad=True)
    image = decoder(z)
    weights = torch.randn_like(image)
    (exact,) = torch.autograd.grad((weights * image).sum(), z)
    pooled = (weights * jacobian_columns(decoder, z.detach())).flatten(2).sum(2)
    torch.testing.assert_close(pooled, exact.T)
    assert exact.abs().min() > 0


@pytest.mark.parametrize(("name", "shape"), IMAGES, ids=IDS)
def test_wrong_sizes_are_refused_with_the_remedy(name, shape):
    for wrong in ((shape[0], 48, 48), (shape[0], shape[1], 48), (7,)):
        with pytest.raises(SigmaeError, match=rf"got shape \({wrong[0]},.*add --image-size .*{shape[1]}"):
            pair(name, wrong)
    with pytest.raises(SigmaeError, match="The option width must be 1 or more, got 0"):
        pair(name, shape, width=0)


def test_every_network_is_described():
    assert list(DESCRIPTIONS) == list(NETWORKS)


def layers(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]


def fans(layer):
    """Inputs and outputs of one value, times the kernel, of the weight as it is stored."""
    outputs, inputs = layer.weight.shape[:2]
    size = layer.weight[0, 0].numel()
    return inputs * size, outputs * size


def test_kaiming_weights_are_normal_with_variance_two_by_fan_in():
    for network in pair("beta-vae", (3, 64, 64), 32, init="kaiming"):
        for layer in layers(network):
            weight = layer.weight.detach()
            assert (layer.bias == 0).all()
            if weight.numel() > 8_000:
                std = (2 / fans(layer)[0]) ** 0.5
                assert weight.std().item() == pytest.approx(std, rel=SPREAD)
                assert weight.abs().max() > 3 * std


def test_the_fan_of_a_transposed_convolution_counts_its_outputs():
    decoder = pair("ar-elbo-smoothness", (1, 28, 28), init="kaiming")[1]
    weight = next(layer for layer in layers(decoder) if isinstance(layer, nn.ConvTranspose2d)).weight
    assert weight.shape == (128, 64, 4, 4)
    assert weight.std().item() == pytest.approx((2 / (64 * 16)) ** 0.5, rel=SPREAD)


def test_glorot_weights_are_uniform_within_their_bound():
    for network in pair("beta-vae", (3, 64, 64), 32, init="glorot"):
        for layer in layers(network):
            bound = (6 / sum(fans(layer))) ** 0.5
            assert 0.98 * bound < layer.weight.abs().max() <= bound * (1 + 1e-6)
            assert (layer.bias == 0).all()


def test_an_initialization_leaves_batch_normalization_and_the_default_as_they_are():
    encoder, _ = pair("uae", (1, 32, 32), width=2, init="kaiming")
    assert all((layer.weight == 1).all() for layer in encoder.modules() if isinstance(layer, nn.BatchNorm2d))
    encoder, _ = pair("uae", (1, 32, 32), width=2)
    assert all((layer.bias != 0).any() for layer in layers(encoder))


def test_an_unknown_initialization_is_refused():
    with pytest.raises(SigmaeError, match="Did you mean 'kaiming'"):
        pair("mlp", (1, 8, 8), init="kaimin")


def planned(*settings, seed=0):
    training = TrainingConfig(seed=seed, batch_size=4)
    return plan(torch.rand(20, 1, 28, 28), "vae", network="ar-elbo-mnist", settings=settings, training=training)


def test_the_initialization_is_a_setting_and_follows_the_seed():
    settings = ("network.width=2", "network.init=kaiming")
    first, again, other = planned(*settings), planned(*settings), planned(*settings, seed=1)
    assert first.config.model.network == NetworkConfig("ar-elbo-mnist", "sigmoid", {"width": 2}, "kaiming")
    weights = [plan.model.encoder[0].weight for plan in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    with pytest.raises(SigmaeError, match="Unknown initialization '3'"):
        planned("network.init=3")


def test_a_configuration_is_the_same_after_json():
    config = NetworkConfig("mlp", "linear", {"activation": "tanh"}, "glorot")
    assert structure(json.loads(json.dumps(as_json(config))), NetworkConfig, "config.json") == config


def test_a_model_saved_before_there_were_initializations_is_loaded(tmp_path):
    model = planned("network.width=2").model
    model.save(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    network = config.get("model", config)["network"]
    assert network.pop("init") == "default"
    path.write_text(json.dumps(config))
    loaded = sigmae.load(tmp_path / "model")
    assert loaded.config.network.init == "default"
    for ours, theirs in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
