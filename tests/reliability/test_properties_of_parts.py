"""Properties of every part of an objective, over random batches, sizes and scales from 1e-3 to 1e3."""

import math
from types import SimpleNamespace

import pytest
import torch
from tests.reliability.properties import batches, F64, holds_for
from torch import nn

from sigmae import KL, Objective, SigmaeError
from sigmae.config import PARTS
from sigmae.kernels import inverse_multiquadric, radial_basis, squared_distances
from sigmae.latent_regularizers import kl_to_prior, squared_mmd, Wasserstein2
from sigmae.likelihoods import Bernoulli, Gaussian, SquaredError
from sigmae.parts import Sizes
from sigmae.posteriors import diagonal_gaussian, DiagonalGaussian, full_gaussian, FullGaussian
from sigmae.propagations import DecodedPoints, Linearized, MonteCarlo, SigmaPoints
from sigmae.total_correlation import total_correlation

GROUP = "Numbers that go wrong"
FINITE = "Every part gives finite terms and gradients for codes of scales from 1e-3 to 1e3, or refuses in a sentence."
ALIKE = "The order of a batch changes no term, and 32 bits agree with 64."
MOMENTS = "Sigma points have weights that add up to one, and the mean and the covariance of q."
SIGNS = "Divergences, distances and penalties are never negative, and zero where they should be."

SHAPE = (2, 3, 2)
VARIANTS = {
    "IsotropicGaussian": ({}, {"variance": 0.3}, {"variance": 0.0}),
    "FullGaussian": ({}, {"parameterization": "tanh"}),
    "MonteCarlo": ({}, {"count": 3}),
    "SigmaPoints": (
        {},
        {"scheme": "all"},
        {"scheme": "all", "pool": "mean"},
        {"count": 2, "scheme": "pairs", "along": "rows"},
        {"count": 3, "scheme": "mean-pairs"},
        {"count": 2, "scheme": "largest"},
        {"count": 2, "scheme": "smallest"},
    ),
    "Linearized": ({}, {"gamma": 1.0}, {"share": 0.5}),
    "SquaredError": ({}, {"reduction": "mean"}),
    "Gaussian": (
        {},
        *(
            {"variance": variance, "shape": shape, "per": per}
            for variance in ("learned", "optimal")
            for shape in ("iso", "diag")
            for per in ("dataset", "sample")
        ),
    ),
    "Wasserstein2": ({}, {"form": "exact"}, {"form": "norms"}),
    "MMD": ({}, {"kernel": "rbf"}),
    "TotalCorrelation": ({}, {"estimate": "decomposed"}, {"estimate": "discriminator", "hidden": (4,)}),
    "Adversarial": ({"hidden": (4,)},),
    "KernelDensity": ({"bandwidth": 0.5}, {"bandwidth": 0.5, "convention": "code", "floor": 1e-6}),
    "GradientPenalty": ({}, {"estimate": "exact"}, {"scale": "largest-eigenvalue"}, {"scale": "largest-variance"}),
    "OutputGradient": ({}, {"outputs": "plain", "scale": "largest-variance"}),
}
CHOICES = [
    pytest.param(axis, kind, fields, id=f"{name}-{'-'.join(map(str, fields.values()))}".rstrip("-"))
    for axis, members in PARTS.items()
    for name, kind in members.items()
    for fields in VARIANTS.get(name, ({},))
]
DRAWING = ("MonteCarlo", "MMD", "TotalCorrelation", "Adversarial")  # noise, in an order of its own
PROBED = [{"scheme": "all"}, {"scheme": "all", "pool": "mean"}, {"estimate": "exact"}]


def draws(kind, fields):
    """Whether a part draws noise, of which every example has its own."""
    if kind.__name__ in ("SigmaPoints", "GradientPenalty"):
        return fields not in PROBED
    return kind.__name__ in DRAWING or "share" in fields


class Given(nn.Module):
    """An encoder that gives what it was given."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = nn.Parameter(outputs)

    def forward(self, x):
        return self.outputs


def encoded(posterior, batch):
    """What an encoder gives for codes of the batch's scale, in their mean and in their spread."""
    outputs = batch.normal(batch.size, posterior.outputs(batch.latent))
    outputs[:, : batch.latent] *= batch.scale
    outputs[:, batch.latent : 2 * batch.latent] += 2 * math.log(batch.scale)
    outputs[:, 2 * batch.latent :] *= batch.scale
    return outputs


def objective_with(axis, kind, fields):
    """A simple objective with one part exchanged; with the posterior, what reads its mean alone."""
    parts = {"posterior": DiagonalGaussian(), "propagation": MonteCarlo(), "likelihood": Gaussian(), "latent": KL()}
    if axis != "propagation":
        parts["propagation"] = PARTS["propagation"]["Mean"]()
    if axis == "posterior":
        parts["latent"] = PARTS["latent"]["SquaredNorm"]()
    return Objective(**parts | {axis: kind(**fields)})


def prepared(objective, batch, dtype):
    """The objective with networks around the batch's codes, and images for them."""
    torch.manual_seed(batch.seed)
    shape = objective.likelihood.decoder_shape(SHAPE)
    decoder = nn.Sequential(nn.Linear(batch.latent, math.prod(shape)), nn.Unflatten(1, shape), nn.Tanh())
    model = SimpleNamespace(encoder=Given(encoded(objective.posterior, batch)), decoder=decoder)
    objective.prepare(model, Sizes(SHAPE, batch.latent))
    if hasattr(objective.latent, "codes"):  # which the training loop encodes, and an error that it measures
        objective.latent.codes = batch.scale * batch.normal(5, batch.latent)
        objective.latent.error.fill_(1)
    for module in (objective, model.encoder, model.decoder):
        module.to(dtype)
    return model, torch.rand(batch.size, *SHAPE, dtype=F64).to(dtype)


@pytest.mark.promise(GROUP, FINITE)
@pytest.mark.parametrize(("axis", "kind", "fields"), CHOICES)
@holds_for(6, batch=batches())
def test_terms_and_gradients_are_finite(axis, kind, fields, batch):
    objective = objective_with(axis, kind, fields)
    model, x = prepared(objective, batch, torch.float32)
    try:
        terms = objective(model, x)
    except SigmaeError:
        assert (kind.__name__, batch.size) == ("MMD", 1)
        return
    assert torch.stack(list(terms)).isfinite().all()
    terms.loss.backward()
    weights = [*model.encoder.parameters(), *model.decoder.parameters(), *objective.parameters()]
    assert all(weight.grad.isfinite().all() for weight in weights if weight.grad is not None)
    assert model.encoder.outputs.grad is not None


@pytest.mark.promise(GROUP, ALIKE)
@pytest.mark.parametrize(("axis", "kind", "fields"), [c for c in CHOICES if not draws(*c.values[1:])])
@holds_for(5, batch=batches())
@torch.no_grad()
def test_neither_the_order_nor_the_precision_matters(axis, kind, fields, batch):
    objective = objective_with(axis, kind, fields)
    if axis == "propagation":
        objective = objective.replace(latent=PARTS["latent"]["Wasserstein2"]())
    model, x = prepared(objective, batch, F64)
    for module in (objective, model.encoder, model.decoder):
        module.eval()  # power iteration goes on with every pass in training mode
    exact, outputs = torch.stack(list(objective(model, x))), model.encoder.outputs.data
    model.encoder.outputs.data = outputs[batch.order]
    torch.testing.assert_close(torch.stack(list(objective(model, x[batch.order]))), exact)
    model.encoder.outputs.data = outputs
    narrow = SimpleNamespace(encoder=model.encoder.float(), decoder=model.decoder.float())
    close = torch.stack(list(objective.float()(narrow, x.float()))).double()
    torch.testing.assert_close(close, exact, rtol=1e-3, atol=1e-3 * max(1.0, float(exact.abs().max())))


@pytest.mark.promise(GROUP, FINITE)
@pytest.mark.parametrize(("axis", "kind", "fields"), [c for c in CHOICES if c.values[0] == "posterior"])
@holds_for(6, batch=batches())
def test_posteriors_draw_what_they_are_dense_at(axis, kind, fields, batch):
    posterior = kind(**fields)
    q = posterior(encoded(posterior, batch).float())
    z = q.rsample((7,))
    assert z.shape == (7, batch.size, batch.latent)
    assert z.isfinite().all()
    assert (q.variance >= 0).all()
    if posterior.has_density:
        assert q.log_prob(z).isfinite().all()
        assert kl_to_prior(q).isfinite().all()


@pytest.mark.promise(GROUP, MOMENTS)
@pytest.mark.parametrize("full", [False, True])
@holds_for(20, batch=batches())
def test_all_sigma_points_have_the_moments_of_q(full, batch):
    q = gaussian(batch, full)
    all_points, pairs = SigmaPoints(scheme="all"), SigmaPoints(2 * batch.latent, "pairs", kappa=0.0)
    matrix = batch.normal(batch.latent, 3)
    for part in (all_points, pairs):
        decoded = part(q, lambda z: z @ matrix + 1)
        ones = decoded.average(torch.ones(decoded.latents.shape[:2], dtype=F64))
        torch.testing.assert_close(ones, torch.ones(batch.size, dtype=F64))
        mean, scale = decoded.average(decoded.latents), batch.scale
        torch.testing.assert_close(mean / scale, q.mean / scale)
        centred = (decoded.latents - mean) / scale
        covariance = decoded.average(centred.unsqueeze(-1) * centred.unsqueeze(-2))
        torch.testing.assert_close(covariance, covariance_of(q) / scale**2)
        torch.testing.assert_close(decoded.average(decoded.outputs) / scale, (q.mean @ matrix + 1) / scale)


@pytest.mark.promise(GROUP, MOMENTS)
@pytest.mark.parametrize("full", [False, True])
@holds_for(20, batch=batches())
def test_the_linearization_of_a_linear_decoder_has_the_moments_of_q(full, batch):
    q = gaussian(batch, full)
    matrix = batch.normal(batch.latent, 3)
    decoded = Linearized()(q, nn.Sequential(linear(matrix)))
    torch.testing.assert_close(decoded.outputs[0], q.mean @ matrix)
    columns = decoded.factor.movedim(0, -1) / batch.scale
    expected = matrix.T @ covariance_of(q) @ matrix / batch.scale**2
    torch.testing.assert_close(columns @ columns.mT, expected)


def gaussian(batch, full):
    """q(z|x) of a batch, with a covariance that is diagonal or full."""
    posterior = FullGaussian() if full else DiagonalGaussian()
    return posterior(encoded(posterior, batch))


def covariance_of(q):
    """[batch, latent, latent]."""
    return q.covariance_matrix if hasattr(q, "covariance_matrix") else torch.diag_embed(q.variance)


def linear(matrix):
    """A layer that multiplies by a matrix from the right."""
    layer = nn.Linear(*matrix.shape, bias=False, dtype=F64)
    layer.weight.data = matrix.T.clone()
    return layer


@pytest.mark.promise(GROUP, SIGNS)
@pytest.mark.parametrize("full", [False, True])
@holds_for(25, batch=batches())
def test_divergences_from_the_prior_are_zero_at_the_prior_alone(full, batch):
    q = gaussian(batch, full)
    points = DecodedPoints(q.mean[None], q.mean[None])
    rounding = 1e-12 * max(1.0, batch.scale) ** 2
    assert (kl_to_prior(q) >= -rounding).all()
    bound, exact, norms = (Wasserstein2(form=form)(q, points) for form in ("bound", "exact", "norms"))
    assert -rounding <= exact <= bound + rounding
    assert norms >= 0
    mean, eye = torch.zeros_like(q.mean), torch.eye(batch.latent, dtype=F64).expand(batch.size, -1, -1)
    prior = full_gaussian(mean, eye) if full else diagonal_gaussian(mean, torch.ones_like(mean))
    at_prior = torch.stack([kl_to_prior(prior).sum(), *(Wasserstein2(form=f)(prior, points) for f in FORMS)])
    torch.testing.assert_close(at_prior, torch.zeros(4, dtype=F64), atol=1e-12, rtol=0)


FORMS = ("bound", "exact", "norms")


@pytest.mark.promise(GROUP, SIGNS)
@pytest.mark.parametrize("kernel", [inverse_multiquadric, radial_basis])
@holds_for(25, batch=batches((2, 8)))
def test_a_discrepancy_is_symmetric_and_with_its_diagonal_not_negative(kernel, batch):
    z, prior = batch.codes, batch.normal(batch.size, batch.latent, stream=2)
    both = torch.cat([z, prior])
    signs = torch.tensor([1.0, -1.0], dtype=F64).repeat_interleave(batch.size)
    gram = kernel(squared_distances(both, both), batch.latent)
    assert signs @ gram @ signs >= -1e-9
    there, back = squared_mmd(z, prior, kernel), squared_mmd(prior, z, kernel)
    torch.testing.assert_close(there, back)
    torch.testing.assert_close(squared_mmd(z[batch.order], prior, kernel), there)
    scale = len(kernel(torch.zeros(1, 1), 1)) * gram.max()
    assert -2 * scale <= there <= 2 * scale


@pytest.mark.promise(GROUP, SIGNS)
@holds_for(25, batch=batches())
def test_one_latent_has_no_total_correlation_and_others_no_more_than_their_bound(batch):
    q = DiagonalGaussian()(encoded(DiagonalGaussian(), batch))
    z = q.mean + q.stddev * batch.normal(batch.size, batch.latent, stream=2)
    found = total_correlation(q, z)
    bound = (batch.latent - 1) * math.log(batch.size)
    assert found <= bound + 1e-9
    if batch.latent == 1:
        assert abs(float(found)) < 1e-9
    order = batch.order
    torch.testing.assert_close(total_correlation(diagonal_gaussian(q.mean[order], q.stddev[order]), z[order]), found)


@pytest.mark.promise(GROUP, SIGNS)
@pytest.mark.parametrize(("axis", "kind", "fields"), [c for c in CHOICES if c.values[0] == "decoder"])
@holds_for(6, batch=batches())
def test_penalties_are_not_negative_and_nothing_for_a_constant_decoder(axis, kind, fields, batch):
    objective = objective_with(axis, kind, fields)
    model, x = prepared(objective, batch, F64)
    assert objective(model, x).decoder >= 0
    if kind.__name__ != "SpectralNorm":
        for weight in model.decoder.parameters():
            nn.init.zeros_(weight)
        assert objective(model, x).decoder == 0


@pytest.mark.promise(GROUP, SIGNS)
@holds_for(25, batch=batches())
def test_errors_are_zero_for_the_data_alone_and_the_optimal_variance_is_the_best(batch):
    x = batch.normal(batch.size, *SHAPE).sigmoid()
    outputs = batch.scale * batch.normal(2, batch.size, *SHAPE)
    for reduction in ("sum", "mean"):
        part = SquaredError(reduction)
        assert (part.distortion(outputs, x) > 0).all()
        assert (part.distortion(x[None], x) == 0).all()
    assert (Bernoulli().distortion(outputs, x) > 0).all()
    optimal, nothing = Gaussian("optimal"), SimpleNamespace(encoder=nn.Identity(), decoder=nn.Identity())
    optimal.prepare(nothing, Sizes(SHAPE, batch.latent))
    points = DecodedPoints(torch.zeros(2, batch.size, 1, dtype=F64), outputs)
    for variance in (0.1, 1.0, batch.scale**2):
        assert optimal.double()(points, x) <= Gaussian(variance)(points, x) + 1e-9 * (1 + batch.scale**2)
