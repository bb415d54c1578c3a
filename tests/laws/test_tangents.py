"""Tangents through every layer against reverse mode, whichever rule carries them; what they cost."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.flop_counter import FlopCounterMode

from sigmae import Gaussian, Linearized, SigmaeError, tangents
from sigmae.jacobians import decode_and_push, jacobian_columns, push_forward
from sigmae.likelihoods import Products, spread_correction
from sigmae.networks import build, NetworkConfig
from sigmae.posteriors import diagonal_gaussian

F64 = torch.float64
BATCH, LATENT = 5, 3
HALF = (1e-3, 1e-2)  # by how much, relatively, tangents in 16 bits may move the loss and its gradient
ROUNDING = 1e-12


class Residual(nn.Module):
    """A block that has no rule, with batch normalization within."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU())

    def forward(self, images):
        return images + self.inner(images)


class Squared(nn.Linear):
    """A linear layer by its class, not by what it does."""

    def forward(self, inputs):
        return super().forward(inputs).square()


def hooked():
    layer = nn.ReLU()
    layer.register_forward_hook(lambda layer, inputs, outputs: outputs.square())
    return layer


VECTORS = {
    "linear": lambda: nn.Linear(8, 6),
    "no bias": lambda: nn.Linear(8, 6, bias=False),
    "subclass": lambda: Squared(8, 6),
    "hook": hooked,
    "relu": nn.ReLU,
    "relu in place": lambda: nn.Sequential(nn.Linear(8, 6), nn.ReLU(inplace=True)),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky relu": nn.LeakyReLU,
    "leaky relu in place": lambda: nn.Sequential(nn.Linear(8, 6), nn.LeakyReLU(0.2, inplace=True)),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "softmax": lambda: nn.Softmax(1),
    "layer norm": lambda: nn.LayerNorm(8),
    "batch norm": lambda: nn.BatchNorm1d(8),
    "batch norm, relu": lambda: nn.Sequential(nn.BatchNorm1d(8), nn.ReLU()),
    "plain batch norm": lambda: nn.BatchNorm1d(8, affine=False),
    "identity": nn.Identity,
}
IMAGES = {
    "convolution": lambda: nn.Conv2d(2, 4, 3, 2, 1, groups=2),
    "circular": lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"),
    "transposed": lambda: nn.ConvTranspose2d(2, 4, 3, 2, 1, output_padding=1, groups=2),
    "dilated": lambda: nn.ConvTranspose2d(2, 3, 2, dilation=2),
    "batch norm": lambda: nn.BatchNorm2d(2),
    "upsample": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
    "average": lambda: nn.AvgPool2d(2),
    "pad": lambda: nn.ZeroPad2d(1),
    "flatten": nn.Flatten,
    "maximum": lambda: nn.MaxPool2d(2),
    "residual": Residual,
}
LAYERS = [*(("vector", name) for name in VECTORS), *(("image", name) for name in IMAGES)]


def network_of(kind, name):
    middle = [VECTORS[name]()] if kind == "vector" else [nn.Unflatten(1, (2, 2, 2)), IMAGES[name]()]
    network = nn.Sequential(nn.Sequential(nn.Linear(LATENT, 8), nn.Tanh()), *middle, nn.Sigmoid()).double()
    for layer in tangents.normalizations(network):
        nn.init.uniform_(layer.running_mean)
        nn.init.uniform_(layer.running_var, 0.5, 2)
    return network.eval()


def by_reverse_mode(network, latents):
    """The columns of J of every example, in evaluation mode."""
    dense = torch.stack([torch.func.jacrev(lambda one: network(one[None])[0])(code) for code in latents])
    return dense.movedim(-1, 0)


@pytest.mark.parametrize(("kind", "name"), LAYERS)
def test_every_layer_carries_tangents_as_reverse_mode_does(kind, name):
    network, z = network_of(kind, name), torch.randn(BATCH, LATENT, dtype=F64)
    expected = by_reverse_mode(network, z)
    rows, diagonal = torch.tensor([3, 1]), torch.rand(2, LATENT, dtype=F64)
    outputs, columns = decode_and_push(network, z, diagonal, rows)
    torch.testing.assert_close(outputs, network(z))
    torch.testing.assert_close(jacobian_columns(network, z), expected)
    scale = diagonal.T.reshape(LATENT, 2, *[1] * (expected.ndim - 2))
    torch.testing.assert_close(columns, expected[:, rows] * scale)


@pytest.mark.parametrize(("kind", "name"), LAYERS)
def test_a_function_without_a_rule_gives_the_same_in_training_mode(kind, name):
    """As one function a network is differentiated by forward mode, at the statistics of the same batch."""
    network, z = network_of(kind, name).train(), torch.randn(BATCH, LATENT, dtype=F64)
    opaque = type("Opaque", (nn.Sequential,), {"forward": lambda self, inputs: self[0](inputs)})(network)
    torch.testing.assert_close(jacobian_columns(network, z), jacobian_columns(opaque, z))
    rows, t = torch.tensor([4, 0]), torch.randn(2, 2, LATENT, dtype=F64)
    found, expected = decode_and_push(network, z, t, rows), decode_and_push(opaque, z, t, rows)
    torch.testing.assert_close(found, expected)
    draw = [torch.randn_like(values) for values in found]  # the same of outputs and columns, whatever their path
    gradients = [
        torch.autograd.grad([(a * b).sum() for a, b in zip(passed, draw, strict=True)], list(network.parameters()))
        for passed in (found, expected)
    ]
    torch.testing.assert_close(*gradients)


def test_a_diagonal_is_a_matrix_of_tangents_wherever_the_first_product_is():
    z, diagonal = torch.randn(BATCH, LATENT, dtype=F64), torch.rand(BATCH, LATENT, dtype=F64)
    columns = torch.diag_embed(diagonal).movedim(-1, 0)
    for first in (nn.Linear(LATENT, 4), nn.Tanh(), nn.BatchNorm1d(LATENT), nn.Flatten(), nn.Softmax(1)):
        network = nn.Sequential(first, nn.Sigmoid()).double()
        torch.testing.assert_close(push_forward(network, z, diagonal), push_forward(network, z, columns))
    torch.testing.assert_close(push_forward(nn.Tanh(), z, diagonal), push_forward(torch.tanh, z, diagonal))


@pytest.mark.parametrize(("kind", "name"), [("vector", "batch norm"), ("vector", "gelu"), ("image", "residual")])
def test_tangents_are_differentiable_by_codes_tangents_and_weights(kind, name):
    network = network_of(kind, name).train()
    z = torch.randn(BATCH, LATENT, dtype=F64, requires_grad=True)
    diagonal = torch.rand(BATCH, LATENT, dtype=F64, requires_grad=True)
    weights = [weight.detach().clone().requires_grad_() for weight in network.parameters()]
    names = [name for name, _ in network.named_parameters()]

    def columns(latents, t, *values):
        for path, value in zip(names, values, strict=True):
            *path, last = path.split(".")
            network.get_submodule(".".join(path))._parameters[last] = value
        return push_forward(network, latents, t)

    assert torch.autograd.gradcheck(columns, (z, diagonal, *weights), fast_mode=True)


def test_outputs_and_tangents_see_the_same_power_iteration():
    network = nn.Sequential(spectral_norm(nn.Linear(LATENT, 4)), spectral_norm(nn.Linear(4, 2))).double().train()
    z, diagonal = torch.randn(1, LATENT, dtype=F64), torch.ones(1, LATENT, dtype=F64)
    outputs, columns = decode_and_push(network, z, diagonal)
    zero, _ = decode_and_push(network.eval(), torch.zeros_like(z), diagonal)
    torch.testing.assert_close(outputs, zero + (columns.squeeze(1).T @ z[0]).unsqueeze(0))


def test_dropout_drops_the_same_values_of_outputs_and_tangents():
    network = nn.Sequential(nn.Linear(LATENT, 50), nn.Dropout(0.5)).double()
    outputs, columns = decode_and_push(network, torch.randn(2, LATENT, dtype=F64), torch.ones(2, LATENT, dtype=F64))
    assert (outputs == 0).any()
    assert ((columns == 0) == (outputs == 0)).all()


def operations(run):
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize("name", ["mlp", "beta-vae", "uae", "conv"])
def test_tangents_cost_what_as_many_codes_do_without_the_first_product(name, monkeypatch):
    monkeypatch.setattr(tangents, "by_forward_mode", None)  # no layer of these needs it
    config = NetworkConfig(name, options={} if name == "mlp" else {"width": 2})
    _, network = build(config, shape=(1, 64, 64), latent_dim=4, encoder_outputs=8, decoder_shape=(1, 64, 64))
    z = torch.randn(2, 4)
    decoding = operations(lambda: network(z))
    first = operations(lambda: next(iter(tangents.layers(network)))(z))
    assert operations(lambda: jacobian_columns(network, z)) == decoding + 4 * (decoding - first)


def test_tangents_in_16_bits_hardly_move_the_loss_or_its_gradient():
    config = NetworkConfig("mlp", options={"hidden": (64, 32)})
    _, network = build(config, shape=(100,), latent_dim=8, encoder_outputs=16, decoder_shape=(100,))
    q = diagonal_gaussian(torch.randn(32, 8), torch.rand(32, 8) + 0.5)
    x, found = torch.rand(32, 100), {}
    for kind in ("full", "bf16"):
        points = Linearized(1.0, tangents=kind)(q, network)
        assert points.factor.dtype == (torch.float32 if kind == "full" else torch.bfloat16)
        loss = Gaussian(0.05)(points, x)
        gradient = torch.autograd.grad(loss, [*network.parameters()])
        found[kind] = loss, torch.cat([one.flatten() for one in gradient])
    for half, full, tolerance in zip(found["bf16"], found["full"], HALF, strict=True):
        assert 0 < (half - full).norm() < tolerance * full.norm()


def test_a_wrong_type_of_tangents_is_refused():
    with pytest.raises(SigmaeError, match="bf16"):
        Linearized(tangents="bf61")


def test_the_products_have_the_gradients_of_finite_differences():
    columns, residual = (torch.randn(*shape, dtype=F64, requires_grad=True) for shape in ((2, 3, 6), (2, 6)))
    gram, inner = Products.apply(columns, residual)
    torch.testing.assert_close(gram, columns @ columns.mT, rtol=ROUNDING, atol=ROUNDING)
    torch.testing.assert_close(inner, torch.einsum("rcv,rv->rc", columns, residual), rtol=ROUNDING, atol=ROUNDING)
    assert torch.autograd.gradcheck(Products.apply, (columns, residual))


def test_the_order_of_values_in_memory_makes_no_difference():
    factor, residual = torch.randn(3, 2, 4, 5, 6, dtype=F64), torch.randn(2, 4, 5, 6, dtype=F64)
    last = factor.permute(1, 0, 3, 4, 2).contiguous().permute(1, 0, 4, 2, 3)
    assert last.stride() != factor.stride()
    expected = spread_correction(residual.flatten(1), factor.flatten(2), 0.5, 0.7)
    torch.testing.assert_close(spread_correction(residual, last, 0.5, 0.7), expected)
    halved = spread_correction(residual / 2, factor / 2, 0.5, 0.7)
    torch.testing.assert_close(spread_correction(residual, factor, 0.5, 0.7, torch.tensor(4.0)), halved)


def test_functions_that_are_no_modules_are_carried_in_one_pass():
    calls = []

    def decode(latents):
        calls.append(len(latents))
        return F.softplus(latents)

    z = torch.randn(BATCH, LATENT, dtype=F64)
    columns = push_forward(decode, z, torch.ones_like(z))
    torch.testing.assert_close(columns, torch.diag_embed(z.sigmoid()).movedim(1, 0))
    assert calls == [BATCH]
