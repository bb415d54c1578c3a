"""Networks have the published sizes, any image size works, and a wrong pair is refused."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from sigmae import NetworkConfig, SigmaeError
from sigmae.networks import build, default_network, NETWORKS


def pair(name, shape, latent_dim=16, outputs=None, options=None, output="sigmoid"):
    return build(
        NetworkConfig(name, output, options or {}),
        shape=shape,
        latent_dim=latent_dim,
        encoder_outputs=outputs or latent_dim,
        decoder_shape=shape,
    )


@pytest.mark.parametrize(
    "shape", [(1, 4, 4), (1, 8, 8), (3, 13, 9), (1, 28, 28), (3, 32, 32), (4, 37, 50), (3, 100, 64)]
)
@pytest.mark.parametrize("latent_dim", [1, 7])
def test_convolutions_fit_any_image(shape, latent_dim):
    encoder, decoder = pair("conv", shape, latent_dim, outputs=2 * latent_dim, options={"width": 4})
    x = torch.rand(2, *shape)
    assert encoder(x).shape == (2, 2 * latent_dim)
    assert decoder(torch.zeros(2, latent_dim)).shape == x.shape


@pytest.mark.parametrize("shape", [(5,), (1, 8, 8), (3, 3, 3)])
def test_perceptrons_fit_vectors_and_images(shape):
    encoder, decoder = pair("mlp", shape, options={"hidden": (6, 4)})
    assert decoder(encoder(torch.rand(2, *shape))).shape == (2, *shape)
    assert [layer.out_features for layer in decoder.modules() if isinstance(layer, nn.Linear)][:2] == [4, 6]


def test_a_perceptrons_activation():
    for activation, kind in {"relu": nn.ReLU, "tanh": nn.Tanh}.items():
        for network in pair("mlp", (5,), options={"hidden": [6, 4], "activation": activation}, output="linear"):
            between = [type(layer) for layer in network.modules() if isinstance(layer, nn.ReLU | nn.Tanh)]
            assert between == [kind, kind]
    with pytest.raises(SigmaeError, match="Did you mean 'tanh'"):
        pair("mlp", (5,), options={"activation": "tan"})


def sizes(network, kind):
    return [tuple(layer.weight.shape) for layer in network.modules() if isinstance(layer, kind)]


@pytest.mark.parametrize(
    ("name", "shape", "latent_dim", "kernel", "flat", "transposed"),
    [
        ("rae-mnist", (1, 32, 32), 16, 4, 4096, [(1024, 512), (512, 256), (256, 1)]),
        ("rae-cifar10", (3, 32, 32), 128, 4, 4096, [(1024, 512), (512, 256), (256, 3)]),
        ("rae-celeba", (3, 64, 64), 64, 5, 16384, [(1024, 512), (512, 256), (256, 128), (128, 3)]),
    ],
)
def test_the_rae_networks_have_the_sizes_of_appendix_a(name, shape, latent_dim, kernel, flat, transposed):
    encoder, decoder = pair(name, shape, latent_dim)
    channels = [shape[0], 128, 256, 512, 1024]
    assert sizes(encoder, nn.Conv2d) == [(after, before, kernel, kernel) for before, after in pairwise(channels)]
    assert sizes(encoder, nn.Linear) == [(latent_dim, flat)]
    assert sizes(decoder, nn.Linear) == [(65_536, latent_dim)]
    assert sizes(decoder, nn.ConvTranspose2d) == [(*pair, kernel, kernel) for pair in transposed]
    strides = [layer.stride[0] for layer in decoder.modules() if isinstance(layer, nn.ConvTranspose2d)]
    assert strides == [2] * (len(strides) - 1) + [1]


def test_the_rae_networks_options():
    printed = pair("rae-mnist", (1, 32, 32))[1]
    released = pair("rae-mnist", (1, 32, 32), options={"dense_norm": False, "centre_input": True})
    assert len(sizes(printed, nn.BatchNorm2d)) == len(sizes(released[1], nn.BatchNorm2d)) + 1
    x = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(released[0][0](x), 2 * x - 1)


def test_the_last_layer_of_the_rae_mnist_decoder_is_same_padded():
    """A kernel of 4 with stride 1 crops one pixel in front and two behind, as the original framework does."""
    decoder = pair("rae-mnist", (1, 32, 32), output="linear")[1]
    last, crop = decoder[-2], decoder[-1]
    impulse = torch.zeros(1, 256, 32, 32)
    impulse[0, 0, 10, 10] = 1
    with torch.no_grad():
        last.bias.zero_()
        response = crop(last(impulse))[0, 0]
    lit = response.nonzero()
    assert (lit.min(0).values.tolist(), lit.max(0).values.tolist()) == ([9, 9], [12, 12])


@pytest.mark.parametrize("name", NETWORKS)
def test_an_unknown_option_is_refused(name):
    with pytest.raises(SigmaeError, match="has no option 'depth'"):
        pair(name, (1, 32, 32), options={"depth": 3})


def test_wrong_sizes_are_refused_with_the_remedy():
    with pytest.raises(SigmaeError, match="--image-size 32"):
        pair("rae-mnist", (1, 28, 28))
    with pytest.raises(SigmaeError, match="use the network mlp"):
        pair("conv", (3, 3, 3))
    with pytest.raises(SigmaeError, match="Did you mean 'conv'"):
        pair("conf", (1, 8, 8))
    with pytest.raises(SigmaeError, match="ends in one of"):
        pair("conv", (1, 8, 8), output="relu")


def wrong_encoder(*, shape, latent_dim, encoder_outputs, decoder_shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, encoder_outputs + 1)), nn.Identity()


def crashing(*, shape, latent_dim, encoder_outputs, decoder_shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(3, encoder_outputs)), nn.Identity()


def test_a_third_partys_pair_is_checked(monkeypatch):
    monkeypatch.setitem(NETWORKS, "wrong", wrong_encoder)
    monkeypatch.setitem(NETWORKS, "crashing", crashing)
    with pytest.raises(
        SigmaeError, match=r"The encoder of wrong must return \(16,\) for each example, it returns \(17,\)"
    ):
        pair("wrong", (1, 8, 8))
    with pytest.raises(SigmaeError, match="The encoder of crashing cannot read"):
        pair("crashing", (1, 8, 8))


def test_the_default_follows_the_image_size():
    assert [default_network(shape) for shape in [(64,), (1, 8, 8), (3, 16, 16)]] == ["mlp", "mlp", "conv"]
