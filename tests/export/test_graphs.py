"""ONNX graphs and torch.export programs compute what the model computes."""

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession
from torch import nn

from sigmae import Autoencoder, SigmaeError
from sigmae.export import (
    decoder_onnx,
    decoder_program,
    encoder_onnx,
    encoder_program,
    onnx_files,
    write_onnx,
    write_programs,
)
from sigmae.networks import DESCRIPTIONS

KINDS = {
    "diagonal": {"method": "vae", "hidden": [16]},
    "deterministic": {"method": "rae-l2", "hidden": [16]},
    "full covariance": {"method": "ut-vae-w2-full", "hidden": [16]},
    "spectral norm": {"method": "rae-sn", "hidden": [16]},
    "variances from the decoder": {"method": "sigma-diag-i", "hidden": [16]},
    "convolutions": {"method": "ae", "network": "conv", "width": 4},
}


QUICK = ("full covariance", "convolutions")
SIDES = {"rae-cifar10": 32, "avae-cifar10": 32, "uae": 32, "ar-elbo-smoothness": 28, "ar-elbo-mnist": 28}


@pytest.fixture(params=[kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS])
def model(request, make):
    return make(**KINDS[request.param])


def images(model, count):
    return torch.rand(count, *model.config.shape)


def run(content, batch):
    return InferenceSession(content, providers=["CPUExecutionProvider"]).run(
        None, {"x" if batch.ndim > 2 else "z": batch}
    )[0]


def test_onnx_graphs_compute_the_same_for_every_batch(model):
    encoder, decoder = encoder_onnx(model), decoder_onnx(model)
    for count in (1, 2, 7):
        x, z = images(model, count), torch.randn(count, 3)
        np.testing.assert_allclose(run(encoder, x.numpy()), model.encode(x), atol=1e-4)
        np.testing.assert_allclose(run(decoder, z.numpy()), model.decode(z), atol=1e-4)


def test_programs_compute_the_same_for_every_batch(model, tmp_path):
    paths = write_programs(model, tmp_path)
    encoder, decoder = (torch.export.load(path).module() for path in paths)
    for count in (1, 2, 7):
        x, z = images(model, count), torch.randn(count, 3)
        torch.testing.assert_close(encoder(x), model.encode(x), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(decoder(z), model.decode(z), atol=1e-6, rtol=1e-5)


def test_a_model_is_left_as_it_was(make):
    model = make("vae", hidden=[8]).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    decoder_onnx(model)
    encoder_program(model)
    assert model.training
    assert all(weight.requires_grad for weight in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_graph_that_computes_something_else_is_refused(make, monkeypatch, tmp_path):
    other = decoder_onnx(make("vae", hidden=[8]))
    monkeypatch.setattr(onnx_files, "traced", lambda *_: other)
    with pytest.raises(
        SigmaeError, match=r"graph of the decoder gives shape .* differs from torch by .*, more than 0\.00"
    ):
        decoder_onnx(make("vae", hidden=[8]))
    with pytest.raises(SigmaeError, match=r"onnxruntime cannot run the graph of the encoder: .*z Got: 4 Expected: 2"):
        write_onnx(make("vae", hidden=[8]), tmp_path)
    assert list(tmp_path.iterdir()) == []


class Depending(nn.Module):
    """A network that the tracers cannot follow: what it does depends on values."""

    def forward(self, z):
        return z.repeat(1, 2) if float(z.sum()) > 0 else z.repeat(1, 2) * 2


@pytest.mark.parametrize(
    ("write", "told"), [(decoder_onnx, "write the decoder as ONNX"), (decoder_program, "trace the decoder")]
)
def test_what_cannot_be_traced_is_told(make, write, told):
    model = make("vae", hidden=[8])
    model.decoder = Depending()
    with pytest.raises(SigmaeError, match=f"torch cannot {told}: ") as refusal:
        write(model)
    assert "\n" not in str(refusal.value)


def test_a_model_without_sizes_is_refused(make):
    model = make("vae", hidden=[8])
    bare = Autoencoder(model.encoder, model.decoder, model.objective)
    with pytest.raises(SigmaeError, match="no sizes to be exported with"):
        encoder_onnx(bare)


def test_what_is_lacking_is_named(make, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(SigmaeError, match=r"pip install 'sigmae\[export\]'"):
        encoder_onnx(make("vae", hidden=[8]))


@pytest.mark.slow
@pytest.mark.parametrize("network", DESCRIPTIONS)
def test_every_network_is_exported(make, network, tmp_path):
    side = SIDES.get(network, 32 if "mnist" in network else 64)
    gray = "mnist" in network or network in ("avae-factors", "ar-elbo-smoothness")
    model = make("vae", network, (1 if gray else 3, side, side))
    write_onnx(model, tmp_path)
