"""The linearized likelihood against dense Gaussians, samples and finite differences; Jacobians behind normalization."""

import pytest
import torch
from torch import nn
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal

from sigmae import Bernoulli, Gaussian, IncompatibleParts, KL, Objective, SigmaeError, SquaredError
from sigmae.jacobians import jacobian_columns, push_forward
from sigmae.likelihoods import spread_correction
from sigmae.networks import build, NetworkConfig
from sigmae.posteriors import Delta, diagonal_gaussian, DiagonalGaussian, factor_columns, full_gaussian
from sigmae.propagations import Linearized, MonteCarlo

F64 = torch.float64
BATCH, LATENT, VALUES = 3, 4, 20


def posterior(kind, batch=BATCH):
    mean = torch.randn(batch, LATENT, dtype=F64)
    scale = torch.rand(batch, LATENT, dtype=F64) + 0.2
    if kind == "diagonal":
        return diagonal_gaussian(mean, scale)
    return full_gaussian(mean, torch.randn(batch, LATENT, LATENT, dtype=F64).tril(-1) + torch.diag_embed(scale))


def decoder(values=VALUES, activation=nn.Tanh):
    return nn.Sequential(nn.Linear(LATENT, 9), activation(), nn.Linear(9, values), nn.Sigmoid()).double()


def images(batch=BATCH):
    return torch.rand(batch, VALUES, dtype=F64)


@pytest.mark.parametrize("kind", ["diagonal", "full"])
@pytest.mark.parametrize("variance", [0.5, 0.03])
def test_the_linearized_likelihood_is_that_of_the_dense_gaussian(kind, variance):
    q, network, x = posterior(kind), decoder(), images()
    value = Gaussian(variance)(Linearized(gamma=1.0)(q, network), x)
    mean = network(q.mean)
    u = torch.stack([torch.func.jacrev(network)(z) for z in q.mean]) @ factor_columns(q).movedim(0, -1)
    dense = MultivariateNormal(mean, u @ u.mT + variance * torch.eye(VALUES, dtype=F64))
    low_rank = LowRankMultivariateNormal(mean, u, torch.full_like(mean, variance))
    torch.testing.assert_close(value, -dense.log_prob(x).mean(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(value, -low_rank.log_prob(x).mean(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("logdet_weight", [None, 1.0])
def test_gamma_mixes_with_the_likelihood_of_the_mean(logdet_weight):
    q, network, x = posterior("diagonal"), decoder(), images()
    part = Gaussian(0.5)

    def value(gamma, logdet=None):
        return part(Linearized(gamma, logdet)(q, network), x)

    plain, whole = value(0.0), value(1.0)
    torch.testing.assert_close(plain, part.distortion(network(q.mean)[None], x).mean())
    if logdet_weight is None:
        torch.testing.assert_close(value(0.3), 0.3 * whole + 0.7 * plain)
    else:
        logdet = value(0.0, 1.0) - plain
        torch.testing.assert_close(value(0.3, 1.0), 0.3 * (whole - logdet) + 0.7 * plain + logdet)


def test_no_spread_is_the_likelihood_of_the_mean():
    network, x = decoder(), images()
    mean = torch.randn(BATCH, LATENT, dtype=F64)
    narrow = diagonal_gaussian(mean, torch.full_like(mean, 1e-9))
    value = Gaussian(0.5)(Linearized(1.0)(narrow, network), x)
    torch.testing.assert_close(value, Gaussian(0.5).distortion(network(mean)[None], x).mean())


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_a_linear_decoder_gives_the_exact_log_expectation(kind):
    """ln E_q p(x|z): above E_q ln p(x|z), which is -n/2 ln 2 pi c - (||r||² + ||U||²) / 2c."""
    q, network, x = posterior(kind), nn.Linear(LATENT, VALUES).double(), images()
    value = -Gaussian(0.5)(Linearized(1.0)(q, network), x)
    weights = Gaussian(0.5).distortion(network(q.sample((400_000,)).flatten(0, 1)).unflatten(0, (-1, BATCH)), x)
    sampled = ((-weights).logsumexp(0) - torch.tensor(400_000.0).log()).mean()
    assert value.item() == pytest.approx(sampled.item(), abs=0.5)
    u = network.weight @ factor_columns(q).movedim(0, -1)
    residual = (network(q.mean) - x).square().sum(1)
    expected = -(0.5 * VALUES * torch.tensor(torch.pi).double().log() + residual + u.square().sum((1, 2))).mean()
    assert value > expected


def test_the_gradient_is_that_of_finite_differences():
    network, x = decoder(), images()
    outputs = 0.3 * torch.randn(BATCH, 2 * LATENT, dtype=F64)

    def loss(encoded, *weights):
        q = DiagonalGaussian()(encoded)
        decode = nn.Sequential(nn.Linear(LATENT, 9), nn.Tanh(), nn.Linear(9, VALUES), nn.Sigmoid()).double()
        parameters = dict(zip(dict(decode.named_parameters()), weights, strict=True))
        call = lambda z: torch.func.functional_call(decode, parameters, (z,))  # noqa: E731
        return Gaussian(0.5)(Linearized(0.5)(q, call), x)

    weights = [weight.detach().clone().requires_grad_() for weight in network.parameters()]
    assert torch.autograd.gradcheck(loss, (outputs.requires_grad_(), *weights))


def test_a_share_of_the_batch_is_unbiased():
    q, network, x = posterior("diagonal", 12), decoder(), images(12)
    exact = Gaussian(0.5)(Linearized(0.5)(q, network), x)
    part = Linearized(0.5, share=0.25)
    drawn = torch.stack([Gaussian(0.5)(part(q, network), x) for _ in range(600)])
    assert len(part(q, network).rows) == 3
    assert abs(drawn.mean() - exact) < 4 * drawn.std() / 600**0.5
    assert drawn.std() > 0
    torch.testing.assert_close(Gaussian(0.5)(part.eval()(q, network), x), exact)


def test_a_learned_variance_for_each_value_is_the_dense_gaussian_too():
    from types import SimpleNamespace

    from sigmae.parts import Sizes

    q, network, x = posterior("diagonal"), decoder(), images()
    part = Gaussian("learned", "diag").double()
    part.prepare(SimpleNamespace(encoder=network, decoder=network), Sizes((VALUES,), LATENT))
    part.log_variance = nn.Parameter(0.5 * torch.randn(VALUES, dtype=F64))
    value = part(Linearized(1.0)(q, network), x)
    u = torch.stack([torch.func.jacrev(network)(z) for z in q.mean]) @ factor_columns(q).movedim(0, -1)
    dense = MultivariateNormal(network(q.mean), u @ u.mT + torch.diag(part.data_variance))
    torch.testing.assert_close(value, -dense.log_prob(x).mean(), rtol=1e-9, atol=1e-9)


def test_the_correction_of_no_factor_is_zero():
    assert (spread_correction(torch.randn(2, 5), torch.zeros(3, 2, 5), 0.5, 0.5) == 0).all()


CONVOLUTIONS = {
    "transposed": lambda: nn.ConvTranspose2d(2, 3, 4, 2, 1),
    "convolution": lambda: nn.Conv2d(2, 3, 3, padding=1),
    "normalized": lambda: nn.BatchNorm2d(2),
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layer", CONVOLUTIONS)
def test_columns_through_every_layer_are_the_jacobian(layer, training):
    network = nn.Sequential(nn.Linear(LATENT, 8), nn.Unflatten(1, (2, 2, 2)), CONVOLUTIONS[layer](), nn.Tanh())
    network.double().train(training)
    z = torch.randn(5, LATENT, dtype=F64)
    network(z)
    columns = jacobian_columns(network, z)
    if layer == "normalized" and training:
        hidden = network[1](network[0](z))
        variance, mean = torch.var_mean(hidden, (0, 2, 3), correction=0)
        network[2].running_mean, network[2].running_var = mean.detach(), variance.detach()
    network.eval()
    for example, code in enumerate(z):
        dense = torch.func.jacrev(lambda one: network(one[None])[0])(code)
        torch.testing.assert_close(columns[:, example], dense.movedim(-1, 0))


def test_normalization_behind_linearized_keeps_the_spread():
    """Moving all codes of a batch alike moves nothing behind batch normalization; each for itself does."""
    network = nn.Sequential(nn.Linear(LATENT, VALUES), nn.BatchNorm1d(VALUES)).double()
    q = diagonal_gaussian(torch.randn(8, LATENT, dtype=F64), torch.ones(8, LATENT, dtype=F64))
    points = Linearized(1.0)(q, network)
    assert points.factor.abs().mean() > 0.1
    assert network[1].num_batches_tracked == 1
    Gaussian(0.5)(points, torch.rand(8, VALUES, dtype=F64)).backward()
    assert network[0].weight.grad.isfinite().all()
    assert network[1].weight.grad.abs().sum() > 0


def test_push_forward_of_a_function():
    z, tangents = torch.randn(5, 2, dtype=F64), torch.randn(3, 5, 2, dtype=F64)
    torch.testing.assert_close(push_forward(torch.sin, z, tangents), z.cos() * tangents)


@pytest.mark.parametrize("name", ["conv", "rae-mnist"])
def test_the_published_networks_are_linearized(name):
    config = NetworkConfig(name, "sigmoid", {"width": 2})
    objective = Objective(DiagonalGaussian(), Linearized(), Gaussian(), KL())
    encoder, network = build(config, shape=(1, 32, 32), latent_dim=3, encoder_outputs=6, decoder_shape=(1, 32, 32))
    model = type("Pair", (), {"encoder": encoder, "decoder": network})()
    objective(model, torch.rand(4, 1, 32, 32)).loss.backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())


@pytest.mark.parametrize(
    ("likelihood", "sentence"),
    [
        (SquaredError(), "SquaredError cannot score the LinearizedPoints of Linearized: use a Gaussian likelihood"),
        (Bernoulli(), "Bernoulli cannot score"),
        (Gaussian("optimal"), "use a fixed or learned variance per dataset, or MonteCarlo"),
        (Gaussian("learned", "iso", "sample"), "use a fixed or learned variance per dataset, or MonteCarlo"),
    ],
)
def test_likelihoods_that_cannot_be_linearized_are_refused(likelihood, sentence):
    with pytest.raises(IncompatibleParts, match=sentence):
        Objective(DiagonalGaussian(), Linearized(), likelihood, KL())


def test_wrong_settings_are_refused():
    with pytest.raises(IncompatibleParts, match="pushes a covariance"):
        Objective(Delta(), Linearized(), Gaussian())
    with pytest.raises(SigmaeError, match=r"between 0 and 1, got 1\.5"):
        Linearized(1.5)
    with pytest.raises(SigmaeError, match="above 0 and up to 1, got 0"):
        Linearized(share=0.0)


def test_the_gradient_is_quieter_than_that_of_samples():
    network, x = decoder(), images()
    encoded = 0.3 * torch.randn(BATCH, 2 * LATENT, dtype=F64)

    def gradients(part):
        drawn = []
        for _ in range(50):
            outputs = encoded.clone().requires_grad_()
            Gaussian(0.5)(part(DiagonalGaussian()(outputs), network), x).backward()
            drawn.append(outputs.grad)
        return torch.stack(drawn).var(0).sum()

    assert gradients(Linearized(0.5, share=0.5)) < gradients(MonteCarlo())
    assert gradients(Linearized(0.5)) < 1e-20
