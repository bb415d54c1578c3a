"""The second-stage VAE and the flow: their losses, what they learn, what they refuse, and their files."""

import math
import sys

import pytest
import torch
from torch.distributions import kl_divergence, MultivariateNormal, Normal

from sigmae.densities import density_from_tensors, density_tensors, fit_density, flows, sample, second_stage, steps
from sigmae.densities.codes import Codes
from sigmae.densities.second_stage import learning_rate, second_stage_vae, SecondStage, SecondStageVAE
from sigmae.errors import SigmaeError

NAMES = ["second-stage2", "flow"]


def codes_of(z, draw=None):
    return Codes(z, draw, seed=0, prior_scale=1.0, device="cpu")


def two_modes(count=1024):
    """A third of the points around (-3, 0), the others around (3, 0)."""
    side = torch.where(torch.arange(count) % 3 == 0, -3.0, 3.0)
    return torch.stack([side, torch.zeros(count)], dim=1) + 0.5 * torch.randn(count, 2)


def banana(count=1500):
    x = torch.randn(count)
    return torch.stack([x, x.square() + 0.3 * torch.randn(count)], dim=1)


@pytest.fixture
def quick(monkeypatch):
    """Larger steps, few epochs: the same code, in a second."""
    monkeypatch.setattr(second_stage, "LEARNING_RATE", 4e-3)
    monkeypatch.setattr(flows, "EPOCHS", 12)


def test_the_second_stages_loss_is_that_of_the_paper():
    torch.manual_seed(0)
    networks = SecondStage(3, width=8).double()
    networks.log_gamma.data.fill_(-0.7)
    u = torch.randn(5, 3, dtype=torch.float64)
    torch.manual_seed(1)
    loss = networks(u)
    torch.manual_seed(1)
    outputs = networks.encoder(u)
    mean, scale = outputs[:, :3], outputs[:, 3:].exp()
    u_hat = networks.decoder(mean + scale * torch.randn(5, 3, dtype=torch.float64))
    divergence = kl_divergence(Normal(mean, scale), Normal(0.0, 1.0)).sum(1)
    gamma = math.exp(-0.7)
    error = ((u - u_hat) ** 2 / (2 * gamma**2) + math.log(gamma) + 0.5 * math.log(2 * math.pi)).sum(1)
    torch.testing.assert_close(loss, (divergence + error).mean())


def test_the_second_stages_networks_have_the_papers_sizes_and_see_their_input_again():
    shapes = {name: tuple(weight.shape) for name, weight in SecondStage(4).named_parameters()}
    for side, outputs in {"encoder": 8, "decoder": 4}.items():
        hidden = [shapes[f"{side}.hidden.{layer}.weight"] for layer in (0, 2, 4)]
        assert hidden == [(1024, 4), (1024, 1024), (1024, 1024)]
        assert shapes[f"{side}.output.weight"] == (outputs, 4 + 1024)
    networks = SecondStage(2, width=4)
    for layer in (0, 2, 4):
        networks.decoder.hidden[layer].bias.data.fill_(-100.0)  # no hidden unit is above zero
    w = torch.randn(6, 2)
    output = networks.decoder.output
    torch.testing.assert_close(networks.decoder(w), w @ output.weight[:, :2].T + output.bias)
    assert networks.log_gamma == 0


def test_the_second_stages_rate_is_halved_twice_whatever_the_epochs():
    rates = [learning_rate(epoch, 800) for epoch in range(800)]
    assert [epoch for epoch in range(1, 800) if rates[epoch] == rates[epoch - 1] / 2] == [300, 600]
    assert rates[0] == 1e-4
    assert [learning_rate(epoch, 8) for epoch in range(8)] == [1e-4] * 3 + [5e-5] * 3 + [2.5e-5] * 2
    assert learning_rate(0, 1) == 1e-4


@pytest.mark.parametrize(("name", "epochs"), [("second-stage", 800), ("second-stage20", 20)])
def test_the_name_says_how_many_epochs(monkeypatch, name, epochs):
    seen = []
    monkeypatch.setattr(second_stage, "train_epoch", lambda loss, z, optimizer, size: seen.append(size))
    fit_density(name, torch.randn(50, 1))
    assert seen == [64] * epochs


def test_an_epoch_steps_once_for_every_batch_and_sees_every_code():
    weight, seen = torch.nn.Parameter(torch.zeros(1)), []

    def loss(batch):
        seen.append(batch)
        return weight.sum()

    steps.train_epoch(loss, torch.arange(150.0)[:, None], torch.optim.SGD([weight], lr=1.0), 64)
    assert [len(batch) for batch in seen] == [64, 64, 22]
    assert torch.equal(torch.cat(seen).sort(0).values, torch.arange(150.0)[:, None])
    assert weight == -3


def test_a_second_stage_of_a_standard_normal_is_one():
    """Paper-facts' known answer, with the published width and rate."""
    draws = sample(second_stage_vae(codes_of(torch.randn(1024, 2)), 2), 5000, seed=0)
    torch.testing.assert_close(draws.mean(0), torch.zeros(2), rtol=0, atol=0.15)
    torch.testing.assert_close(draws.T.cov(), torch.eye(2), rtol=0, atol=0.15)


def test_a_second_stage_learns_gamma_and_the_mean(quick):
    z = 0.5 + 0.4 * torch.randn(1024, 2)
    density = second_stage_vae(codes_of(z), 40, width=32)
    draws = sample(density, 5000, seed=0)
    torch.testing.assert_close(draws.mean(0), z.mean(0), rtol=0, atol=0.1)
    torch.testing.assert_close(draws.std(0), z.std(0), rtol=0, atol=0.08)
    assert density.networks.log_gamma.exp() == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize("name", ["second-stage", "flow"])
def test_two_modes_are_kept_apart_where_one_gaussian_fills_the_gap(quick, name):
    z = two_modes()
    density = second_stage_vae(codes_of(z), 40, width=64) if name == "second-stage" else fit_density(name, z)
    draws, blurred = sample(density, 4000, seed=0), sample(fit_density("gaussian", z), 4000, seed=0)
    gap = [(points[:, 0].abs() < 1).float().mean().item() for points in (z, draws, blurred)]
    assert gap[1] < 0.1 < 0.2 < gap[2]
    assert gap[0] < 0.01
    assert (draws[:, 0] < 0).float().mean() == pytest.approx(1 / 3, abs=0.1)


def linear_second_stage(gamma=0.7):
    """u = W w + b + γ ε with orthogonal columns W, and the exact q(w|u): networks whose hidden layers are ignored."""
    networks = SecondStage(2, width=4).double()
    rotation = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    matrix, offset = rotation * torch.tensor([1.5, 0.5]), torch.tensor([0.3, -1.0], dtype=torch.float64)
    precision = matrix.square().sum(0) + gamma**2
    inverse = matrix.T / precision[:, None]
    encoder, decoder = networks.encoder.output, networks.decoder.output
    for layer in (encoder, decoder):
        layer.weight.data.zero_()
    decoder.weight.data[:, :2], decoder.bias.data = matrix, offset
    encoder.weight.data[:2, :2] = inverse
    encoder.bias.data = torch.cat([-inverse @ offset, (gamma / precision.sqrt()).log()])
    networks.log_gamma.data.fill_(math.log(gamma))
    covariance = matrix @ matrix.T + gamma**2 * torch.eye(2, dtype=torch.float64)
    return networks, MultivariateNormal(offset, covariance)


def test_a_second_stage_that_is_linear_has_the_known_loss_density_and_samples():
    networks, exact = linear_second_stage()
    u = exact.sample((4000,))
    torch.testing.assert_close(networks(u), -exact.log_prob(u).mean(), rtol=0, atol=0.1)
    density = SecondStageVAE(networks)
    for count in (1, 7):  # with the exact posterior, every weight is p(u)
        torch.testing.assert_close(density.estimated_log_prob(u, count), exact.log_prob(u))
    draws = density.sample((20_000,))
    torch.testing.assert_close(draws.mean(0), exact.mean, rtol=0, atol=0.05)
    torch.testing.assert_close(draws.T.cov(), exact.covariance_matrix, rtol=0, atol=0.1)


def test_a_second_stages_log_density_is_estimated_from_below_and_not_given():
    networks, exact = linear_second_stage()
    networks.encoder.output.bias.data += 0.5  # another posterior than the exact one
    density, u = SecondStageVAE(networks), exact.sample((500,))
    gaps = [(exact.log_prob(u) - density.estimated_log_prob(u, count)).mean() for count in (1, 10, 1000)]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] == pytest.approx(0, abs=0.05)
    with pytest.raises(SigmaeError, match=r"no density in closed form: use estimated_log_prob"):
        density.log_prob(u)


def test_noise_is_drawn_anew_for_every_epoch():
    z, drawn = torch.randn(20, 2), []

    def draw():
        drawn.append(z + 0.1 * torch.randn(20, 2))
        return drawn[-1]

    noisy = fit_density("second-stage3", z, draw=draw)
    assert len(drawn) == 3
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(sample(noisy, 5, seed=0), sample(fit_density("second-stage3", z), 5, seed=0))
    torch.rand(1)
    again = density_tensors(fit_density("second-stage3", z, draw=draw))
    assert all(torch.equal(again[name], tensor) for name, tensor in density_tensors(noisy).items())


@pytest.fixture(scope="module")
def flow_of_a_banana():
    torch.manual_seed(0)
    z = banana()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flows, "EPOCHS", 12)
        return z, fit_density("flow", z)


def test_a_flow_integrates_to_one(flow_of_a_banana):
    _, density = flow_of_a_banana
    axis = torch.linspace(-12, 20, 321)
    mass = density.log_prob(torch.cartesian_prod(axis, axis)).exp().double().sum() * (axis[1] - axis[0]) ** 2
    assert mass == pytest.approx(1, abs=1e-3)


def test_a_flow_beats_the_gaussian_on_a_banana(flow_of_a_banana):
    z, density = flow_of_a_banana
    fresh = banana(4000)
    assert density.log_prob(fresh).mean() > fit_density("gaussian", z).log_prob(fresh).mean() + 1
    entropy = Normal(0.0, 1.0).entropy() + Normal(0.0, 0.3).entropy()
    assert density.log_prob(fresh).mean() == pytest.approx(-entropy.item(), abs=0.2)


def test_a_flow_gives_the_density_of_its_own_draws(flow_of_a_banana):
    """By change of variables from the base distribution, with the Jacobian of the map by automatic differentiation."""
    _, density = flow_of_a_banana
    base = density.network().base

    def push(noise):
        return density.center + density.scale * density.network().transform.inv(noise)

    noise = base.sample((5,)).double().float()
    jacobians = torch.stack([torch.autograd.functional.jacobian(push, one) for one in noise])
    expected = base.log_prob(noise) - jacobians.det().abs().log()
    torch.testing.assert_close(density.log_prob(push(noise)), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_a_flow_follows_location_and_scale(monkeypatch, scale):
    monkeypatch.setattr(flows, "EPOCHS", 2)
    z, moved = two_modes(200).double(), torch.tensor([5.0, -3.0]) * scale
    density, other = fit_density("flow", z), fit_density("flow", moved + scale * z)
    expected = density.log_prob(z) - 2 * math.log(scale)
    torch.testing.assert_close(other.log_prob(moved + scale * z), expected, rtol=1e-6, atol=1e-6)


def test_a_flow_keeps_the_weights_that_are_best_on_held_out_codes(monkeypatch):
    """Few codes and many epochs: the last weights are overfitted, those kept are not."""
    z, fresh = torch.randn(60, 2), torch.randn(4000, 2)
    seen = []

    def count(loss, points, optimizer, size):
        seen.append(len(points))
        steps.train_epoch(loss, points, optimizer, size)

    monkeypatch.setattr(flows, "train_epoch", count)
    monkeypatch.setattr(flows, "EPOCHS", 100)
    kept = fit_density("flow", z)
    assert len(seen) < flows.EPOCHS
    assert set(seen) == {54}
    monkeypatch.setattr(flows, "PATIENCE", 10**9)
    monkeypatch.setattr(flows, "HELD_OUT", 0.0)  # one code
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *_: None)
    assert kept.log_prob(fresh).mean() > fit_density("flow", z).log_prob(fresh).mean() + 0.1


@pytest.mark.parametrize("z", [torch.tensor([[0.0], [1.0]]), torch.arange(300.0).view(2, 150) / 300])
def test_the_smallest_and_the_widest_sets_of_codes_are_fitted(monkeypatch, z):
    monkeypatch.setattr(flows, "EPOCHS", 2)
    for name in NAMES:
        assert sample(fit_density(name, z), 3, seed=0).isfinite().all()


def test_a_collapsed_dimension_has_a_flow(monkeypatch):
    monkeypatch.setattr(flows, "EPOCHS", 3)
    z = torch.cat([torch.randn(300, 1), torch.full((300, 1), 0.1)], dim=1)
    density = fit_density("flow", z)
    assert density.log_prob(z).isfinite().all()
    torch.testing.assert_close(sample(density, 100, seed=0)[:, 1], torch.full((100,), 0.1), rtol=0, atol=1e-2)


@pytest.mark.parametrize("name", NAMES)
def test_a_fitted_density_asks_for_no_gradients(monkeypatch, name):
    monkeypatch.setattr(flows, "EPOCHS", 1)
    density = fit_density(name, torch.randn(40, 2))
    assert not density.rsample(torch.Size((2,))).requires_grad


def test_codes_on_which_training_diverges_are_told():
    with pytest.raises(
        SigmaeError, match=r"has diverged on codes with a standard deviation of .*use gaussian or gmm10"
    ):
        fit_density("second-stage5", 1e20 * torch.randn(100, 2))


def test_a_flow_without_its_extra_names_it(monkeypatch, flow_of_a_banana):
    _, density = flow_of_a_banana
    tensors = density_tensors(density)
    monkeypatch.setitem(sys.modules, "zuko.flows", None)
    with pytest.raises(SigmaeError, match=r"needs the extra flow: pip install 'sigmae\[flow\]'"):
        fit_density("flow", torch.randn(20, 2))
    with pytest.raises(SigmaeError, match=r"needs the extra flow"):
        density_from_tensors(tensors)
    assert sample(fit_density("gmm2", torch.randn(20, 2)), 2, seed=0).isfinite().all()


@pytest.fixture(scope="module")
def second_stage_tensors():
    return density_tensors(SecondStageVAE(SecondStage(3, width=8)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"decoder.output.weight": None}, "it lacks decoder.output.weight"),
        ({"decoder.output.weight": torch.zeros(3, 3)}, r"decoder.output.weight is a torch.float32 tensor of shape"),
        (
            {"decoder.output.weight": torch.zeros(11)},
            r"decoder.output.weight is a torch.float32 tensor of shape \[11\]",
        ),
        ({"encoder.hidden.2.bias": None}, "it lacks encoder.hidden.2.bias"),
        ({"extra": torch.zeros(1)}, "it holds extra, which is no part of it"),
        ({"log_gamma": torch.zeros(1)}, r"log_gamma is a torch.float32 tensor of shape \[1\]"),
        ({"log_gamma": torch.tensor(math.nan)}, "log_gamma is not finite"),
        ({"encoder.hidden.0.weight": torch.zeros(8, 4)}, "encoder.hidden.0.weight is a torch.float32 tensor of shape"),
        ({"encoder.output.bias": torch.zeros(6).double()}, "encoder.output.bias is a torch.float64 tensor"),
        ({"log_gamma": None}, "it holds decoder.hidden.0.bias"),
    ],
)
def test_damaged_second_stages_are_refused(second_stage_tensors, change, reason):
    tensors = {name: tensor for name, tensor in {**second_stage_tensors, **change}.items() if tensor is not None}
    with pytest.raises(SigmaeError, match=f"not a whole density.*{reason}"):
        density_from_tensors(tensors)


WEIGHT = "flow.transform.transforms.0.hyper.0.weight"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mean": None}, "it lacks mean"),
        ({"scale": None}, "it lacks scale"),
        ({"mean": torch.zeros(2, 2)}, "mean is a torch.float32 tensor of shape"),
        ({"mean": torch.zeros(2, dtype=torch.int64)}, "mean is a torch.int64 tensor"),
        ({"mean": torch.zeros(3)}, "is a torch.float32 tensor of shape"),
        ({"scale": torch.tensor([1.0, 0.0])}, "scale is not above zero"),
        ({WEIGHT: None}, f"it lacks {WEIGHT}"),
        ({WEIGHT: torch.full((128, 2), math.inf)}, f"{WEIGHT} is not finite"),
        ({"flow.extra": torch.zeros(1)}, "it holds flow.extra"),
    ],
)
def test_damaged_flows_are_refused(flow_of_a_banana, change, reason):
    _, density = flow_of_a_banana
    tensors = {name: tensor for name, tensor in {**density_tensors(density), **change}.items() if tensor is not None}
    with pytest.raises(SigmaeError, match=f"not a whole density.*{reason}"):
        density_from_tensors(tensors)


@pytest.mark.parametrize("name", NAMES)
def test_taking_apart_and_together_moves_no_generator(monkeypatch, name):
    monkeypatch.setattr(flows, "EPOCHS", 1)
    tensors = density_tensors(fit_density(name, torch.randn(40, 2)))
    state = torch.get_rng_state()
    density_from_tensors(tensors)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", NAMES)
def test_networks_trained_on_a_gpu_are_densities_on_the_cpu(quick, name):
    z = two_modes(300)
    density = fit_density(name, z, device="cuda")
    assert {tensor.device.type for tensor in density_tensors(density).values()} == {"cpu"}
    draws = sample(density, 10, seed=0)
    assert torch.equal(draws, sample(density_from_tensors(density_tensors(density)), 10, seed=0))
