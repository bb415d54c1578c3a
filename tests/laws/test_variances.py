"""Decoder variances: closed forms are the optimum of the learned ones, and a trained model can report them."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sigmae import DecodedPoints, Gaussian, SigmaeError
from sigmae.likelihoods import EPSILON
from sigmae.parts import Sizes

F64 = torch.float64
SHAPE = (2, 3, 3)
VALUES = 18
VARIANTS = [(shape, per) for shape in ("iso", "diag") for per in ("dataset", "sample")]


def prepared(*fields):
    part = Gaussian(*fields).double()
    networks = SimpleNamespace(encoder=nn.Identity(), decoder=nn.Identity())
    part.prepare(networks, Sizes(SHAPE, 2))
    return part.double()


def points(outputs):
    return DecodedPoints(torch.zeros(*outputs.shape[:2], 2, dtype=F64), outputs)


def data(count=2, batch=5):
    return torch.rand(batch, *SHAPE, dtype=F64), torch.rand(count, batch, *SHAPE, dtype=F64)


def minimum(part, parameter, call):
    """The least value over one parameter."""
    optimizer = torch.optim.LBFGS([parameter], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure():
        optimizer.zero_grad()
        loss = call()
        loss.backward()
        return loss

    optimizer.step(closure)
    return call().detach()


@pytest.mark.parametrize("shape", ["iso", "diag"])
def test_the_optimum_over_data_is_that_of_the_learned_variance(shape):
    x, outputs = data()
    learned, optimal = prepared("learned", shape), prepared("optimal", shape)
    value = minimum(learned, learned.log_variance, lambda: learned(points(outputs), x))
    best = optimal(points(outputs), x)
    floor = 1e-4 if shape == "diag" else 1e-8  # of the 1e-6 inside the logarithm
    torch.testing.assert_close(best, value, rtol=floor, atol=floor)
    torch.testing.assert_close(optimal.data_variance, learned.data_variance.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", ["iso", "diag"])
def test_the_optimum_per_sample_is_that_of_the_learned_head(shape):
    x, outputs = data(count=1)
    learned, optimal = prepared("learned", shape, "sample"), prepared("optimal", shape, "sample")
    extra = 1 if shape == "iso" else SHAPE[0]
    head = torch.zeros(1, 5, extra, *SHAPE[1:], dtype=F64, requires_grad=True)
    value = minimum(learned, head, lambda: learned(points(torch.cat([outputs, head], dim=2)), x))
    tolerance = 1e-3 if shape == "iso" else 0.5  # single errors may be as small as the root of 1e-6
    assert optimal(points(outputs), x).item() == pytest.approx(value.item(), abs=tolerance)


def test_iso_i_is_half_n_log_of_the_mean_squared_error():
    x, outputs = data()
    error = (outputs - x).square().flatten(2).sum(-1).mean()
    constant = 0.5 * VALUES * (1 + math.log(2 * math.pi / VALUES))
    torch.testing.assert_close(prepared("optimal")(points(outputs), x), 0.5 * VALUES * error.log() + constant)


@pytest.mark.parametrize(("shape", "per"), VARIANTS)
def test_the_closed_forms_as_printed(shape, per):
    x, outputs = data(count=1)
    squares = (outputs[0] - x).square().flatten(1)
    printed = {
        ("iso", "dataset"): VALUES / 2 * squares.sum(1).mean().log(),
        ("iso", "sample"): VALUES / 2 * (squares.sum(1) + EPSILON).log().mean(),
        ("diag", "dataset"): 0.5 * (squares.mean(0) + EPSILON).log().sum(),
        ("diag", "sample"): 0.5 * (squares + EPSILON).log().mean(0).sum(),
    }[shape, per]
    dropped = 0.5 * VALUES * (1 + math.log(2 * math.pi)) - (VALUES / 2 * math.log(VALUES) if shape == "iso" else 0)
    torch.testing.assert_close(prepared("optimal", shape, per)(points(outputs), x), printed + dropped)


def test_the_gradient_is_that_of_a_vae_with_the_best_variance():
    x, outputs = data()
    outputs.requires_grad_()
    (gradient,) = torch.autograd.grad(prepared("optimal")(points(outputs), x), outputs)
    variance = ((outputs - x).square().mean()).item()
    (fixed,) = torch.autograd.grad(Gaussian(variance)(points(outputs), x), outputs)
    torch.testing.assert_close(gradient, fixed)


def test_finer_variances_never_cost_more():
    x, outputs = data()
    value = {variant: prepared("optimal", *variant)(points(outputs), x).item() for variant in VARIANTS}
    slack = 0.01  # for the 1e-6 inside
    assert value["diag", "sample"] <= value["iso", "sample"] + slack
    assert value["diag", "sample"] <= value["diag", "dataset"] + slack
    assert value["iso", "sample"] <= value["iso", "dataset"] + slack
    assert value["diag", "dataset"] <= value["iso", "dataset"] + slack


@pytest.mark.parametrize(("shape", "per"), VARIANTS)
def test_a_trained_optimum_reports_a_variance_and_a_density(shape, per):
    part = prepared("optimal", shape, per)
    x = torch.rand(200, *SHAPE, dtype=F64)
    for _ in range(400):
        part(points((x + 0.1 * torch.randn_like(x))[None]), x)
    assert part.data_variance.shape == (() if shape == "iso" else SHAPE)
    torch.testing.assert_close(part.data_variance, torch.full_like(part.data_variance, 0.01), rtol=0.05, atol=0)
    part.eval()
    before = part.data_variance.clone()
    part(points(torch.zeros(1, 200, *SHAPE, dtype=F64)), x)
    torch.testing.assert_close(part.data_variance, before)
    outputs = x[None] + 0.1
    expected = -torch.distributions.Normal(outputs, before.sqrt()).log_prob(x).flatten(2).sum(-1)
    torch.testing.assert_close(part.distortion(outputs, x), expected)


def test_the_first_batches_are_averaged_evenly():
    part = prepared("optimal")
    x = torch.zeros(1, *SHAPE, dtype=F64)
    for error in (1.0, 3.0):
        part(points(torch.full((1, 1, *SHAPE), error, dtype=F64)), x)
    assert part.data_variance.item() == pytest.approx(5)


@pytest.mark.parametrize(("shape", "channels"), [("iso", 3), ("diag", 4)])
def test_a_learned_head_is_read_off_the_decoder(shape, channels):
    part = prepared("learned", shape, "sample")
    assert part.decoder_shape(SHAPE) == (channels, 3, 3)
    assert part.decoder_shape((7,)) == ((8,) if shape == "iso" else (14,))
    x, outputs = data(count=1)
    head = torch.randn(1, 5, channels - 2, 3, 3, dtype=F64)
    log_variance = head.mean((2, 3, 4), keepdim=True) if shape == "iso" else head
    both = torch.cat([outputs, head], dim=2)
    variance = log_variance.exp() + (EPSILON if shape == "diag" else 0)
    expected = -torch.distributions.Normal(outputs, variance.sqrt()).log_prob(x).flatten(2).sum(-1)
    torch.testing.assert_close(part.distortion(both, x), expected)
    torch.testing.assert_close(part.mean(both[0]), outputs[0])
    torch.testing.assert_close(part.mean(both), outputs)


def test_state_is_kept_and_prepared_once():
    part = prepared("learned", "diag")
    with torch.no_grad():
        part.log_variance += 1
    part.prepare(SimpleNamespace(encoder=nn.Identity(), decoder=nn.Identity()), Sizes(SHAPE, 2))
    assert (part.log_variance == 1).all()
    assert set(prepared("optimal", "diag").state_dict()) == {"estimate", "batches"}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (("optimum",), "Did you mean 'optimal'"),
        ((0.0,), "a variance above 0, got 0"),
        (("learned", "full"), "Unknown shape 'full'"),
        (("learned", "iso", "batch"), "Unknown scope of a variance 'batch'"),
        ((0.5, "diag"), "A fixed variance of 0.5 is one for all"),
    ],
)
def test_impossible_variances_are_refused(fields, sentence):
    with pytest.raises(SigmaeError, match=sentence):
        Gaussian(*fields)


def test_a_model_of_unknown_sizes_is_told_what_to_give():
    networks = SimpleNamespace(encoder=nn.Identity(), decoder=nn.Identity())
    with pytest.raises(SigmaeError, match="Gaussian has to know the sizes of the model"):
        Gaussian("learned").prepare(networks, None)
    Gaussian(0.5).prepare(networks, None)
