"""The aggregate posterior's kernel density: its formula, its bank, its weight, and what training makes of them."""

import math
import signal
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch
from torch.distributions import Independent, MixtureSameFamily, MultivariateNormal, Normal
from torch.nn import Flatten, Linear, ReLU, Sequential, Unflatten

from sigmae import (
    bandwidth,
    Bernoulli,
    Dataset,
    DecodedPoints,
    Delta,
    DiagonalGaussian,
    Gaussian,
    Linearized,
    load,
    Mean,
    MonteCarlo,
    NoRegularizer,
    Objective,
    SigmaeError,
    Split,
    SquaredError,
    TrainingConfig,
)
from sigmae.api import plan
from sigmae.bandwidth import corrected_bandwidth, optimal_bandwidth
from sigmae.data import scaled
from sigmae.kernel_density import (
    attended,
    attended_in_blocks,
    bank_size,
    KernelDensity,
    log_floor,
    log_kernel_density,
)
from sigmae.parts import Moment, Sizes
from sigmae.posteriors import PointMass
from sigmae.training import Interrupted, train

F64 = torch.float64
NETWORKS = SimpleNamespace(encoder=torch.nn.Identity(), decoder=torch.nn.Identity())
SETTINGS = TrainingConfig(epochs=3, batch_size=20, seed=3)
H = 0.6
SINGLE = {"rtol": 1e-6, "atol": 5e-6}  # error of a log density in single precision, in nats
SINGLE_GRADIENT = 1e-5  # and of its gradient, by norm


@pytest.fixture(autouse=True)
def _rough_bandwidths(monkeypatch):
    """Good to about 0.01, at once."""
    monkeypatch.setattr(bandwidth, "PAIRS", 1_000_000)
    optimal_bandwidth.cache_clear()
    yield
    optimal_bandwidth.cache_clear()


@pytest.fixture
def ramps() -> Dataset:
    """Small gray images whose brightness has two factors."""
    codes = torch.rand(200, 2, generator=torch.Generator().manual_seed(0))
    ramp = torch.linspace(0, 1, 6)
    images = (codes[:, :1, None] * ramp + codes[:, 1:, None] * ramp[:, None])[:, None] / 2
    pixels = (images * 255).round().to(torch.uint8)
    return Dataset("ramps", Split(pixels[:160]), Split(pixels[160:180]), Split(pixels[180:]))


def fresh(data, latent, training=SETTINGS, **options):
    objective = Objective(Delta(), Mean(), SquaredError(), latent)
    return plan(data, objective, latent_dim=2, training=training, **options).model


def part(**settings):
    """A part that is prepared for four latents, its weight known."""
    latent = KernelDensity(**{"bandwidth": H, "first_error": 1.0} | settings)
    latent.prepare(NETWORKS, Sizes((1, 6, 6), 4))
    return latent.double()


def points(*codes):
    z = torch.stack(codes)
    return DecodedPoints(z, torch.zeros(*z.shape[:2], 1, dtype=z.dtype))


def mixture(bank, h):
    kernels = Independent(Normal(bank, h), 1)
    return MixtureSameFamily(torch.distributions.Categorical(torch.ones(len(bank), dtype=F64)), kernels)


# The formula


def test_log_density_is_the_mixture_of_torch_distributions():
    z, bank = torch.randn(7, 3, dtype=F64), torch.randn(50, 3, dtype=F64)
    torch.testing.assert_close(log_kernel_density(z, bank, 0.3), mixture(bank, 0.3).log_prob(z))
    far = 1e3 * z  # where every kernel underflows
    torch.testing.assert_close(log_kernel_density(far, bank, 0.3), mixture(bank, 0.3).log_prob(far))


def test_it_integrates_to_one():
    bank = torch.randn(5, 1, dtype=F64)
    z = torch.linspace(-8, 8, 20_001, dtype=F64)
    density = log_kernel_density(z[:, None], bank, 0.4).exp()
    assert torch.trapezoid(density, z).item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("latent_dim", "h", "spread", "centre"),
    [(16, 0.58, 1, 0), (128, 0.746, 1, 0), (16, 0.58, 25, 0), (16, 0.58, 1, 100), (4, 0.3, 0.1, -100)],
    ids=["normal", "128 latents", "codes at 100", "codes and bank at 100", "a cluster far away"],
)
def test_single_precision_follows_a_mixture_in_double(latent_dim, h, spread, centre):
    z = (centre + spread * torch.randn(50, latent_dim)).requires_grad_()
    bank = centre + min(spread, 1) * torch.randn(2000, latent_dim)
    exact = z.detach().double().requires_grad_()
    found, expected = log_kernel_density(z, bank, h), mixture(bank.double(), h).log_prob(exact)
    torch.testing.assert_close(found.double(), expected, **SINGLE)
    gradient, exact_gradient = (torch.autograd.grad(q.sum(), at)[0] for q, at in ((found, z), (expected, exact)))
    assert (gradient - exact_gradient).norm() <= SINGLE_GRADIENT * exact_gradient.norm()


def test_kernels_of_any_distance_are_told_apart():
    """Two codes, whose kernels differ by e^-200 or not at all, at a distance where both are below 1e-300."""
    bank = torch.tensor([[0.0], [1.0]])
    z = torch.tensor([[-50.0], [0.5], [51.0]])
    torch.testing.assert_close(
        log_kernel_density(z, bank, 0.5).double(), mixture(bank.double(), 0.5).log_prob(z.double()), **SINGLE
    )


def test_a_bank_of_one_code_is_a_normal_density():
    bank, z = torch.randn(1, 3, dtype=F64), torch.randn(5, 3, dtype=F64)
    torch.testing.assert_close(log_kernel_density(z, bank, 0.5), Independent(Normal(bank, 0.5), 1).log_prob(z))


def test_gradient_is_the_softmax_weighted_difference():
    z, bank = torch.randn(7, 3, dtype=F64, requires_grad=True), torch.randn(50, 3, dtype=F64)
    log_kernel_density(z, bank, 0.3).sum().backward()
    weights = torch.stack([(-(z[i] - bank).square().sum(1) / (2 * 0.09)).softmax(0) for i in range(7)])
    difference = bank[None] - z[:, None]
    torch.testing.assert_close(z.grad, (weights[..., None] * difference).sum(1) / 0.09)


def test_gradient_is_that_of_finite_differences_and_of_the_mixture():
    z, bank = torch.randn(4, 3, dtype=F64, requires_grad=True), torch.randn(20, 3, dtype=F64)
    assert torch.autograd.gradcheck(lambda z: log_kernel_density(z, bank, 0.5), z)
    cotangent = torch.randn(4, dtype=F64)
    ours = torch.autograd.grad(log_kernel_density(z, bank, 0.5), z, cotangent)
    theirs = torch.autograd.grad(mixture(bank, 0.5).log_prob(z), z, cotangent)
    torch.testing.assert_close(ours, theirs)


def test_the_bank_passes_no_gradient():
    z, bank = (torch.randn(5, 3, requires_grad=True) for _ in range(2))
    log_kernel_density(z, bank, 0.5).sum().backward()
    assert z.grad is not None
    assert bank.grad is None


@pytest.mark.parametrize(("batch", "count", "latent_dim"), [(1, 1, 1), (7, 50, 3), (100, 3000, 64)])
def test_fused_attention_is_the_attention_of_two_products(batch, count, latent_dim):
    z, bank, bias = (torch.randn(size, dtype=F64) for size in ((batch, latent_dim), (count, latent_dim), (count,)))
    torch.testing.assert_close(attended_in_blocks(z, bank, bias, 2.5), attended(z, bank, bias, 2.5))


def test_half_precision_around_it_does_not_blur_distances():
    z, bank = torch.randn(20, 16) + 10, torch.randn(200, 16) + 10
    exact = log_kernel_density(z, bank, 0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(log_kernel_density(z, bank, 0.5), exact)


@pytest.mark.parametrize(
    ("latent_dim", "h", "tail", "log10"),
    [(16, 0.584, 1e-6, -8.93), (64, 0.714, 1e-2, -10.88), (128, 0.746, 1e-1, -16.04), (6, 0.425, 1e-6, -6.08)],
)
def test_floors_of_the_authors_code(latent_dim, h, tail, log10):
    assert log_floor(latent_dim, h, tail) / math.log(10) == pytest.approx(log10, abs=0.005)


# The term


def test_the_term_is_the_divergence_of_the_paper():
    latent, z = part(), torch.randn(30, 4, dtype=F64)
    latent.codes, latent.error = torch.randn(90, 4, dtype=F64), torch.tensor(7.0, dtype=F64)
    prior = MultivariateNormal(torch.zeros(4, dtype=F64), torch.eye(4, dtype=F64))
    expected = 7 * (mixture(latent.codes, H).log_prob(z) - prior.log_prob(z)).mean()
    torch.testing.assert_close(latent(PointMass(z), points(z)), expected)


def test_several_points_are_averaged_with_their_weights():
    latent, a, b = part(), torch.randn(6, 4, dtype=F64), torch.randn(6, 4, dtype=F64)
    latent.codes = torch.randn(90, 4, dtype=F64)
    q = PointMass(a)
    one, other = (latent.measure(q, points(z)) for z in (a, b))
    torch.testing.assert_close(latent.measure(q, points(a, b)), (one + other) / 2)
    weighted = replace(points(a, b), weights=torch.tensor([0.2, 0.8], dtype=F64))
    torch.testing.assert_close(latent.measure(q, weighted), 0.2 * one + 0.8 * other)


def test_the_term_is_that_of_the_authors_code():
    """Their formula, with q and p without (2 pi)^(m/2), written out as numbers."""
    latent, z = part(convention="code", floor=1e-2, first_error=1.5), 2 * torch.randn(30, 4, dtype=F64)
    z[0] = 13  # ||z||² = 676: beyond the floor of the prior
    latent.codes = torch.randn(90, 4, dtype=F64)
    q = (-(z[:, None] - latent.codes).square().sum(-1) / (2 * H**2)).exp().mean(1) / H**4
    p = (-z.square().sum(1) / 2).exp()
    expected = ((q + math.exp(log_floor(4, H, 1e-2))).log10() - (p + 1e-30).log10()).mean()
    torch.testing.assert_close(latent(PointMass(z), points(z)), 1.5 * expected)


@pytest.mark.parametrize("convention", ["paper", "code"])
@pytest.mark.parametrize("floor", [None, 1e-2])
def test_its_gradient_is_that_of_finite_differences(convention, floor):
    latent, z = part(convention=convention, floor=floor), torch.randn(6, 4, dtype=F64)
    latent.codes = torch.randn(90, 4, dtype=F64)
    directions = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0]], dtype=F64)
    far = torch.cat([z, 4 * directions, 11.8 * directions])  # where the floors of q and of p begin to act
    assert torch.autograd.gradcheck(latent.log_ratio, far.requires_grad_())


def test_a_code_far_from_the_bank_runs_away_unless_there_is_a_floor():
    """Without one the term falls without bound and descent leads outward; with one the prior pulls back."""
    far = torch.tensor([[10.0, 0, 0, 0], [20.0, 0, 0, 0]], dtype=F64, requires_grad=True)
    for floor in (None, 1e-6):
        latent = part(floor=floor)
        latent.codes = torch.zeros(10, 4, dtype=F64)
        near, further = values = latent.log_ratio(far)
        (gradient,) = torch.autograd.grad(values.sum(), far)
        if floor is None:
            assert further < near < -50
            torch.testing.assert_close(gradient, (1 - 1 / H**2) * far.detach())
        else:
            assert further > near > 0
            torch.testing.assert_close(gradient, far.detach())


def test_it_is_about_zero_where_codes_and_bank_follow_the_scaled_prior():
    """There its radial pull vanishes too; narrower codes are pushed out, wider ones pulled in (two latents)."""
    latent_dim, count = 2, 500
    h = corrected_bandwidth(optimal_bandwidth(latent_dim, count))
    alpha = math.sqrt(1 - h**2)

    def term(scale):
        draw, values, pulls = torch.Generator().manual_seed(5), [], []
        for _ in range(10):
            bank, z = (scale * torch.randn(n, latent_dim, generator=draw, dtype=F64) for n in (count, 500))
            z.requires_grad_()
            log_prior = -z.square().sum(1) / 2 - latent_dim / 2 * math.log(2 * math.pi)
            values.append((log_kernel_density(z, bank, h) - log_prior).mean())
            (gradient,) = torch.autograd.grad(values[-1], z)
            pulls.append((z * gradient).sum())
        return torch.stack(values).mean().item(), torch.stack(pulls).mean().item()

    value, pull = term(alpha)
    narrow, wide = term(0.7 * alpha), term(1.4 * alpha)
    assert abs(value) < 0.05 < narrow[0]
    assert narrow[1] < -0.3 < pull < 0.3 < wide[1]


def test_the_estimate_of_normal_draws_is_nearest_at_its_own_bandwidth():
    """KL(N(0, I) || q_h), on draws of its own, is smallest at h_opt and then small."""
    latent_dim, count = 8, 1000
    draw = torch.Generator().manual_seed(5)
    bank, z = (torch.randn(n, latent_dim, generator=draw, dtype=F64) for n in (count, 5000))
    log_prior = -z.square().sum(1) / 2 - latent_dim / 2 * math.log(2 * math.pi)
    h = optimal_bandwidth(latent_dim, count)
    best, *others = ((log_prior - log_kernel_density(z, bank, factor * h)).mean().item() for factor in (1, 0.85, 1.15))
    assert 0 < best < 0.5
    assert min(others) > best


def test_bandwidth_and_prior_come_from_the_latent_size_and_the_real_bank():
    latent = KernelDensity(bank=80)
    latent.prepare(NETWORKS, Sizes((1, 6, 6), 4))
    asked = latent.width
    latent.codes = torch.randn(40, 4)
    assert latent.width == corrected_bandwidth(optimal_bandwidth(4, 40)) != asked
    assert latent.prior_scale**2 == pytest.approx(1 - latent.width**2, rel=1e-14)
    assert latent.prior_scale == pytest.approx(1 / math.sqrt(1 + optimal_bandwidth(4, 40) ** 2), rel=1e-12)
    assert part(bandwidth=0.8).prior_scale == pytest.approx(0.6)


# The bank during training


def moment(data, latent, epoch=0, step=0):
    model = fresh(data, latent)
    return Moment(model, data.train, data.validation, epoch, step)


def test_bank_and_gradient_split_are_disjoint_and_redrawn(ramps):
    latent = KernelDensity(bank=30, redraw_every=2)
    now = moment(ramps, latent)
    epochs = [latent.begin_epoch(replace(now, epoch=epoch)) for epoch in range(4)]
    assert [len(left_out.unique()) for left_out in epochs] == [30] * 4
    assert torch.equal(epochs[0], epochs[1])
    assert torch.equal(epochs[2], epochs[3])
    assert set(epochs[0].tolist()) != set(epochs[2].tolist())
    torch.testing.assert_close(latent.codes, now.model.encode(ramps.train.images[epochs[3]]))


def test_an_epoch_trains_on_the_rest_alone(ramps):
    """The bank of an epoch is what its steps leave out: seen from the encoder's batches."""
    seen, latent = [], KernelDensity(bank=40)
    model = fresh(ramps, latent)
    images = scaled(ramps.train.images)

    def look(module, inputs):
        if module.training:
            distances = (inputs[0][:, None] - images[None]).flatten(2).abs().sum(-1)
            seen.extend(distances.argmin(1).tolist())

    model.encoder.register_forward_pre_hook(look)
    train(model, ramps, replace(SETTINGS, epochs=1))
    left_out = latent.begin_epoch(Moment(model, ramps.train, ramps.validation, 0, 0))
    same = (images[:, None] - images[None]).flatten(2).abs().sum(-1) == 0  # equal images are one example here
    assert len(seen) == 120
    assert not same[left_out][:, seen].any()


def test_the_bank_is_encoded_every_few_steps_in_evaluation_mode(ramps):
    latent = KernelDensity(bank=30, refresh_every=3)
    now = moment(ramps, latent, epoch=1, step=7)
    encoder, modes = now.model.encoder, []
    encoder.register_forward_pre_hook(lambda module, _: modes.append((module.training, torch.is_grad_enabled())))
    now.model.train()
    left_out = latent.begin_epoch(now)
    modes.clear()
    codes = []
    for step in range(7, 13):
        latent.begin_step(replace(now, step=step))
        codes.append(latent.codes)
        with torch.no_grad():
            next(encoder.parameters()).mul_(1.1)
    fresh_now = [i for i in range(1, 6) if codes[i] is not codes[i - 1]]
    assert fresh_now == [2, 5]  # steps 9 and 12
    assert modes == [(False, False)] * 2
    assert now.model.training
    assert latent.codes.grad_fn is None
    assert not torch.equal(latent.codes, now.model.encode(ramps.train.images[left_out]))


def test_validation_scores_by_a_bank_that_does_not_lag(ramps):
    latent = KernelDensity(bank=40, refresh_every=10**6)
    model = fresh(ramps, latent)
    train(model, ramps, replace(SETTINGS, epochs=1, lr=1e-2))
    torch.testing.assert_close(latent.codes, model.encode(latent.images))


def test_the_bank_is_a_quarter_at_most(ramps):
    assert bank_size(10_000, 40_000) == 10_000
    assert bank_size(10_000, 1439) == 359
    assert bank_size(10_000, 2) == bank_size(1, 1000) == 1
    latent = KernelDensity()
    now = moment(ramps, latent)
    assert len(latent.begin_epoch(now)) == len(latent.codes) == 40


def test_a_queue_holds_the_last_codes_and_leaves_nothing_out(ramps):
    latent = KernelDensity(bank=30, schedule="queue")
    now = moment(ramps, latent)
    model = now.model
    assert latent.begin_epoch(now) is None
    start, entered = latent.codes, []
    assert len(start) == 30
    for step in range(5):
        latent.begin_step(replace(now, step=step))
        batch = scaled(ramps.train.images[20 * step : 20 * step + 20])
        model.train()
        model(batch)
        expected = torch.cat([start, *entered])[-30:]  # those of the present batch are not among them
        torch.testing.assert_close(latent.codes, expected)
        entered.append(model.encoder(batch).detach())
        with torch.no_grad():
            next(model.encoder.parameters()).mul_(1.1)
    torch.testing.assert_close(latent.upcoming, torch.cat(entered)[-30:])
    assert latent.upcoming.grad_fn is None


@pytest.mark.parametrize("schedule", ["refresh", "queue"])
def test_validation_changes_nothing(ramps, schedule):
    latent = KernelDensity(bank=30, schedule=schedule)
    now = moment(ramps, latent)
    latent.begin_epoch(now)
    before = {name: tensor.clone() for name, tensor in latent.state_dict().items()}
    now.model.eval()
    now.model(scaled(ramps.validation.images))
    assert all(torch.equal(tensor, before[name]) for name, tensor in latent.state_dict().items())


def test_the_weight_follows_the_validation_error(ramps):
    latent = KernelDensity(bank=30)
    now = moment(ramps, latent)
    x = scaled(ramps.validation.images)

    def error():
        return (x - now.model.reconstruct(x)).flatten(1).norm(dim=1).mean().item()

    latent.begin_epoch(now)
    first = error()
    assert latent.error.item() == pytest.approx(first, rel=1e-5)
    train(now.model, ramps, replace(SETTINGS, epochs=3, lr=1e-2))
    latent.begin_epoch(now)
    assert latent.error.item() == pytest.approx(error(), rel=1e-5) != pytest.approx(first, rel=0.1)


def test_the_weight_of_the_code_is_a_root_mean_square_after_a_constant(ramps):
    latent = KernelDensity(bank=30, convention="code", first_error=200**0.5)
    now = moment(ramps, latent)
    latent.begin_epoch(now)
    assert latent.error.item() == pytest.approx(200**0.5)
    latent.end_validation(now, None)
    x = scaled(ramps.validation.images)
    squares = (x - now.model.reconstruct(x)).flatten(1).square().sum(1)
    assert latent.error.item() == pytest.approx(squares.mean().sqrt().item(), rel=1e-5)


def weights_of_training(data, likelihood=None, propagation=None, convention="paper", **settings):
    """The weight after an epoch, what reconstructing the validation split anew gives, and how often that was done."""
    latent, counts = KernelDensity(bank=30, convention=convention), []
    posterior = Delta() if propagation is None else DiagonalGaussian()
    objective = Objective(posterior, propagation or Mean(), likelihood or SquaredError(), latent)
    model = plan(data, objective, latent_dim=2, training=replace(SETTINGS, epochs=1)).model
    reconstruct = model.reconstruct
    model.reconstruct = lambda *images: counts.append(len(images[0])) or reconstruct(*images)
    train(model, data, replace(SETTINGS, epochs=1, **settings))
    after = latent.error.item()
    return after, latent.validation_error(Moment(model, data.train, data.validation, 1, 0)), len(counts)


@pytest.mark.parametrize("convention", ["paper", "code"])
@pytest.mark.parametrize("likelihood", [SquaredError(weight=0.1), Bernoulli(), Gaussian("learned", "iso", "sample")])
def test_the_weight_is_taken_from_the_validation_pass(ramps, likelihood, convention):
    """One reconstruction before the first epoch, one by this test, and none after the epoch."""
    found, expected, times = weights_of_training(ramps, likelihood, convention=convention)
    assert found == pytest.approx(expected, rel=1e-6)
    assert times == 2


@pytest.mark.parametrize(
    "settings",
    [{"propagation": MonteCarlo()}, {"likelihood": Gaussian(), "validation_examples": 15}, {"precision": "bf16"}],
    ids=["samples are decoded", "a part is looked at", "16 bits"],
)
def test_where_the_pass_decodes_something_else_the_weight_is_that_of_another(ramps, settings):
    found, expected, times = weights_of_training(ramps, **settings)
    assert found == pytest.approx(expected, rel=1e-6)
    assert times == 3


@pytest.mark.parametrize("propagation", [Mean(), Linearized()])
def test_linearized_means_are_reconstructions_too(ramps, propagation):
    found, expected, times = weights_of_training(ramps, Gaussian(), propagation)
    assert found == pytest.approx(expected, rel=1e-6)
    assert times == 2


def test_the_likelihood_is_watched_during_validation_alone(ramps):
    latent = KernelDensity(bank=30)
    now = moment(ramps, latent)
    latent.begin_epoch(now)
    likelihood, x = now.model.objective.likelihood, scaled(ramps.validation.images)
    for _ in range(2):  # a pass that fails is followed by another
        latent.begin_validation(now)
        now.model(x)
        assert len(likelihood._forward_hooks) == len(latent.squares) == 1
    latent.end_validation(now, None)
    assert not likelihood._forward_hooks
    assert not latent.squares


# Training, resuming, keeping


def same_bits(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.promise(
    "Killed and continued", "A run stopped by Ctrl-C or SIGTERM in any step ends with the bits of an undisturbed one."
)
@pytest.mark.parametrize("schedule", ["refresh", "queue"])
@pytest.mark.parametrize("step", [0, 8, 11, 14])
def test_interrupted_and_continued_is_undisturbed(ramps, tmp_path, schedule, step):
    """Epochs of 6 or 8 steps, a bank that is drawn every other epoch and encoded every fourth step."""

    def latent():
        return KernelDensity(bank=40, redraw_every=2, refresh_every=4, schedule=schedule, bandwidth=0.5)

    @dataclass(eq=False)
    class Stops(NoRegularizer):
        def begin_step(self, moment):
            if moment.step == step:
                signal.raise_signal(signal.SIGINT)

    whole = fresh(ramps, latent())
    train(whole, ramps, SETTINGS)
    stopped = fresh(ramps, latent())
    stopped.objective.decoder = Stops()
    with pytest.raises(Interrupted):
        train(stopped, ramps, SETTINGS, folder=tmp_path)
    continued = fresh(ramps, latent())
    progress = train(continued, ramps, SETTINGS, folder=tmp_path)
    assert progress.epoch == SETTINGS.epochs
    assert same_bits(whole, continued)


def test_a_saved_model_has_its_bank_and_its_bandwidth(ramps, tmp_path):
    model = fresh(ramps, KernelDensity())
    train(model, ramps, replace(SETTINGS, epochs=1))
    model.save(tmp_path)
    again = load(tmp_path)
    assert same_bits(model, again)
    assert again.objective.latent.prior_scale == model.objective.latent.prior_scale


@pytest.mark.parametrize("schedule", [pytest.param("refresh", marks=pytest.mark.slow), "queue"])
def test_training_pulls_the_codes_towards_the_scaled_prior(schedule):
    """From nearly a point to within 30 % of 1 - h², at each of the seeds 0 to 5."""
    training = TrainingConfig(epochs=12, batch_size=20, lr=2e-3, seed=0)
    encoder = Sequential(Flatten(), Linear(64, 64), ReLU(), Linear(64, 2))
    decoder = Sequential(Linear(2, 64), ReLU(), Linear(64, 64), Unflatten(1, (1, 8, 8)))
    latent = KernelDensity(bank=100, refresh_every=5, schedule=schedule, bandwidth=0.474, floor=1e-6)
    objective = Objective(Delta(), Mean(), SquaredError(), latent)
    made = plan("digits", objective, latent_dim=2, network=(encoder, decoder), training=training)
    before = made.model.encode(made.data.train.images).var(0).mean()
    train(made.model, made.data, training)
    after = made.model.encode(made.data.train.images)
    target = latent.prior_scale**2
    assert target == pytest.approx(1 - 0.474**2)
    assert before < target / 3
    assert after.var(0).mean().item() == pytest.approx(target, rel=0.3)
    assert after.mean(0).abs().max() < 0.3


# What cannot be


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bank": 0}, "bank of 1 or more"),
        ({"redraw_every": 0}, "redraw_every of 1 or more"),
        ({"refresh_every": -1}, "refresh_every of 1 or more"),
        ({"schedule": "refresk"}, "Did you mean 'refresh'"),
        ({"convention": "papers"}, "Did you mean 'paper'"),
        ({"bandwidth": 1.0}, "bandwidth lies between 0 and 1"),
        ({"bandwidth": float("nan")}, "bandwidth lies between 0 and 1"),
        ({"floor": 0.0}, "floor lies between 0 and 1"),
        ({"first_error": -1.0}, "first_error must be above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(SigmaeError, match=words):
        KernelDensity(**settings)


def test_one_training_example_is_refused(ramps):
    latent = KernelDensity()
    now = moment(ramps, latent)
    with pytest.raises(SigmaeError, match="give two or more, or use SquaredNorm"):
        latent.begin_epoch(replace(now, train=ramps.train[:1]))


@pytest.mark.parametrize("schedule", ["refresh", "queue"])
def test_a_loop_without_hooks_is_told_to_call_them(ramps, schedule):
    model = fresh(ramps, KernelDensity(schedule=schedule))
    with pytest.raises(SigmaeError, match="begin_epoch before every epoch"):
        model(scaled(ramps.train.images))
