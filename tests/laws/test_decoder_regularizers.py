"""Decoder regularizers against autograd's Jacobian, singular values and sums."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sigmae import DecodedPoints, GradientPenalty, SigmaeError, SpectralNorm, WeightNorm
from sigmae.decoder_regularizers import exact_squared_norm, probed_squared_norm
from sigmae.posteriors import PointMass
from sigmae.propagations import decode_points

F64 = torch.float64
LATENT = 3


def perceptron():
    return nn.Sequential(nn.Linear(LATENT, 8), nn.Tanh(), nn.Linear(8, 5)).to(F64)


def convolutions():
    return nn.Sequential(
        nn.Linear(LATENT, 16), nn.Unflatten(1, (4, 2, 2)), nn.BatchNorm2d(4), nn.ReLU(),
        nn.ConvTranspose2d(4, 2, 4, 2, 1), nn.Sigmoid(),
    ).to(F64)  # fmt: skip


def decoded_at(decoder, batch=6):
    z = torch.randn(batch, LATENT, dtype=F64, requires_grad=True)
    return PointMass(z), decode_points(decoder, z[None])


def reference(decoder, z):
    """||J||_F² of each example from autograd's full Jacobian."""
    return torch.stack(
        [torch.autograd.functional.jacobian(lambda u: decoder(u[None])[0], point).square().sum() for point in z]
    )


@pytest.mark.parametrize("make", [perceptron, convolutions])
def test_exact_norm_is_autograds(make):
    decoder = make().eval()
    z = torch.randn(4, LATENT, dtype=F64)
    torch.testing.assert_close(exact_squared_norm(decoder, z), reference(decoder, z))


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("make", [perceptron, convolutions])
def test_the_probe_is_unbiased(make, mode):
    decoder = make().train(mode)
    z = torch.randn(2, LATENT, dtype=F64)
    estimates = probed_squared_norm(decoder, z.repeat(4000, 1)).view(4000, 2).detach()
    error = estimates.std(0) / 4000**0.5
    assert ((estimates.mean(0) - exact_squared_norm(decoder, z)).abs() < 5 * error).all()


@pytest.mark.parametrize("make", [perceptron, convolutions])
def test_the_probe_is_pushed_forward_as_the_points_are_decoded(make):
    """One pass gives the same images, the same term and the same gradients as a second one with the same signs."""
    decoder, penalty = make(), GradientPenalty(1.0)
    q, z = PointMass(torch.randn(6, LATENT, dtype=F64)), torch.randn(2, 6, LATENT, dtype=F64, requires_grad=True)

    def term(joined):
        torch.manual_seed(1)
        decoded = decode_points(joined, z)
        value = penalty(q, decoded, joined)
        return [decoded.outputs, value, *torch.autograd.grad(value, [z, *decoder.parameters()], allow_unused=True)]

    torch.testing.assert_close(term(penalty.joined(decoder)), term(decoder))


def test_the_exact_norm_leaves_the_decoder_as_it_is():
    decoder = perceptron()
    assert GradientPenalty(1.0, "exact").joined(decoder) is decoder


@pytest.mark.parametrize("estimate", ["probe", "exact"])
def test_the_gradient_reaches_decoder_and_encoder(estimate):
    decoder = perceptron()
    q, decoded = decoded_at(decoder)
    GradientPenalty(1.0, estimate)(q, decoded, decoder).backward()
    assert q.mean.grad is None or q.mean.grad.any()
    assert all(layer.weight.grad.any() for layer in decoder if isinstance(layer, nn.Linear))


def test_gradient_of_the_exact_penalty_is_that_of_finite_differences():
    decoder = perceptron()

    def penalty(z):
        return exact_squared_norm(decoder, z)

    assert torch.autograd.gradcheck(penalty, torch.randn(2, LATENT, dtype=F64, requires_grad=True))


def test_a_linear_decoder_has_the_norm_of_its_matrix():
    decoder = nn.Linear(LATENT, 7).to(F64)
    q, decoded = decoded_at(decoder)
    expected = 0.5 * decoder.weight.square().sum()
    torch.testing.assert_close(GradientPenalty(0.5, "exact")(q, decoded, decoder), expected)


def test_the_penalty_is_measured_without_recorded_graph():
    decoder = perceptron()
    q, _ = decoded_at(decoder)
    with torch.no_grad():
        silent = decode_points(decoder, q.mean.detach()[None])
        value = GradientPenalty(1.0, "exact")(q, silent, decoder)
        probe = GradientPenalty(1.0, "probe")(q, silent, decoder)
    torch.testing.assert_close(value, reference(decoder, q.mean.detach()).mean())
    assert probe > 0


@pytest.mark.parametrize("estimate", ["probe", "exact"])
def test_statistics_are_recorded_once_a_step(estimate):
    plain, penalised = convolutions(), convolutions()
    penalised.load_state_dict(plain.state_dict())
    z = torch.randn(8, LATENT, dtype=F64, requires_grad=True)
    decode_points(plain, z[None])
    GradientPenalty(1.0, estimate)(PointMass(z), decode_points(penalised, z[None]), penalised)
    torch.testing.assert_close(penalised[2].running_mean, plain[2].running_mean)
    assert penalised[2].num_batches_tracked == 1
    assert penalised[2].track_running_stats


def test_weight_norm_sums_kernels_only():
    decoder = convolutions()
    q, decoded = decoded_at(decoder)
    expected = 0.1 * (decoder[0].weight.square().sum() + decoder[4].weight.square().sum())
    torch.testing.assert_close(WeightNorm(0.1)(q, decoded, decoder), expected)


def test_spectral_norm_bounds_every_kernel_by_one():
    decoder = convolutions()
    part = SpectralNorm()
    networks = SimpleNamespace(encoder=decoder, decoder=decoder)
    part.prepare(networks, None)
    part.prepare(networks, None)  # a second time changes nothing
    for _ in range(100):
        decoder(torch.randn(4, LATENT, dtype=F64))
    kernel = decoder[4].weight.transpose(0, 1).flatten(1)
    assert torch.linalg.matrix_norm(decoder[0].weight, 2).item() == pytest.approx(1, abs=1e-3)
    assert torch.linalg.matrix_norm(kernel, 2).item() == pytest.approx(1, abs=1e-3)
    q, decoded = decoded_at(decoder)
    assert part(q, decoded, decoder).item() == 0


def test_spectral_norm_of_an_unprepared_decoder_is_refused():
    decoder = perceptron()
    q, decoded = decoded_at(decoder)
    with pytest.raises(SigmaeError, match="prepare"):
        SpectralNorm()(q, decoded, decoder)


def test_unknown_estimate_is_refused():
    with pytest.raises(SigmaeError, match="'probe' or 'exact'"):
        GradientPenalty(1.0, "guess")


def test_decoded_points_are_stacked_once():
    calls = []

    def decode(z):
        calls.append(z.shape)
        return z

    points = decode_points(decode, torch.zeros(3, 4, LATENT))
    assert calls == [(12, LATENT)]
    assert isinstance(points, DecodedPoints)
    assert points.outputs.shape == (3, 4, LATENT)
