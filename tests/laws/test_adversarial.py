"""The adversarial regularizer: the value of deceit, the optimal discriminator, and steps that keep apart."""

import math
from types import SimpleNamespace

import pytest
import torch

from sigmae import DecodedPoints, Delta, DiagonalGaussian, Mean, MonteCarlo, Objective, SigmaeError, SquaredError
from sigmae.adversarial import Adversarial
from sigmae.config import make_objective, objective_config
from sigmae.parts import Sizes
from sigmae.posteriors import PointMass
from sigmae.training import make_fabric
from sigmae.training.opponents import Opponent

NETWORKS = SimpleNamespace(encoder=torch.nn.Identity(), decoder=torch.nn.Identity())


def prepared(latent=2, **options):
    term = Adversarial(**options)
    term.prepare(NETWORKS, Sizes((1, 4, 4), latent))
    return term


def points(z):
    return DecodedPoints(z[None], torch.zeros(1, len(z), 1))


def measured(term, z):
    return term.measure(PointMass(z), points(z))


def test_where_nothing_is_told_apart_the_term_is_ln_2():
    term = prepared(weight=3.0)
    for weight in term.opponent().parameters():
        weight.zero_()
    z = torch.randn(30, 2)
    assert term(PointMass(z), points(z)).item() == pytest.approx(3 * math.log(2))
    assert term.opponent_loss().item() == pytest.approx(2 * math.log(2))


def test_term_and_loss_are_the_logarithms_of_the_paper():
    term = prepared()
    z = torch.randn(30, 2) + 1
    judged = torch.sigmoid(term.opponent()(z))
    torch.testing.assert_close(measured(term, z), -judged.log().mean())
    torch.manual_seed(5)
    loss = term.opponent_loss()
    torch.manual_seed(5)
    drawn = torch.sigmoid(term.opponent()(torch.randn(30, 2)))
    torch.testing.assert_close(loss, -drawn.log().mean() - (1 - judged).log().mean())


def trained(term, draw, steps=300):
    opponent, fabric = Opponent(term, term.opponent()), make_fabric(device="cpu")
    for step in range(steps):
        measured(term, draw(1000))
        opponent.step(5e-3 if step < steps / 2 else 5e-4, fabric)
    return term


def test_the_best_discriminator_is_the_ratio_of_the_densities():
    """Codes N(1, 1) in one dimension: ln p(z) / q(z) = 1/2 - z."""
    term = trained(prepared(latent=1, hidden=(32,)), lambda count: torch.randn(count, 1) + 1)
    z = torch.linspace(-1, 2, 7)[:, None]
    torch.testing.assert_close(term.opponent()(z), 0.5 - z, rtol=0, atol=0.2)


def test_codes_that_follow_the_prior_cannot_be_told_from_it():
    term = trained(prepared(hidden=(16,)), lambda count: torch.randn(count, 2))
    assert measured(term, torch.randn(4000, 2)).item() == pytest.approx(math.log(2), abs=0.03)


def test_neither_step_reaches_the_other_s_weights():
    term, encoder = prepared(), torch.nn.Linear(3, 2)
    measured(term, encoder(torch.randn(10, 3))).backward()
    assert all(weight.grad is None for weight in term.parameters())
    assert all(weight.grad.abs().sum() > 0 for weight in encoder.parameters())
    encoder.zero_grad()
    before = [weight.clone() for weight in term.parameters()]
    Opponent(term, term.opponent()).step(0.01, make_fabric(device="cpu"))
    assert all(weight.grad is None for weight in encoder.parameters())
    assert not any(torch.equal(old, new) for old, new in zip(before, term.parameters(), strict=True))
    assert not any(weight.requires_grad or weight.grad is not None for weight in term.parameters())


def test_the_codes_move_to_the_prior():
    """An encoder alone against its discriminator: stretched, shifted codes end as N(0, I)."""
    torch.manual_seed(0)
    term, encoder = prepared(hidden=(32, 32)), torch.nn.Linear(2, 2)
    with torch.no_grad():
        encoder.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 0.3]]))
        encoder.bias.copy_(torch.tensor([1.0, -1.0]))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=5e-3)
    opponent, fabric = Opponent(term, term.opponent()), make_fabric(device="cpu")
    for _ in range(600):
        optimizer.zero_grad()
        measured(term, encoder(torch.randn(200, 2))).backward()
        optimizer.step()
        opponent.step(1e-2, fabric)
    covariance = encoder.weight @ encoder.weight.T
    torch.testing.assert_close(covariance, torch.eye(2), rtol=0, atol=0.25)
    torch.testing.assert_close(encoder.bias, torch.zeros(2), rtol=0, atol=0.2)


def test_one_point_of_every_example_is_judged_picked_at_random():
    term = prepared()
    latents = torch.randn(3, 50, 2)
    decoded = DecodedPoints(latents, torch.zeros(3, 50, 1))
    term.measure(PointMass(latents[0]), decoded)
    picked = (term.codes == latents).all(-1)
    assert (picked.sum(0) == 1).all()
    assert (picked.sum(1) > 5).all()


@pytest.mark.parametrize("parts", [(Delta(), Mean()), (DiagonalGaussian(), MonteCarlo(2))])
def test_it_is_a_part_like_any_other(parts):
    objective = Objective(*parts, SquaredError(), Adversarial(0.5, hidden=(20, 7)))
    again = make_objective(objective_config(objective))
    assert repr(again) == repr(objective)
    assert objective.matches_prior
    again.prepare(NETWORKS, Sizes((1, 4, 4), 2))
    network = again.latent.opponent()
    again.prepare(NETWORKS, Sizes((1, 4, 4), 2))
    assert again.latent.opponent() is network
    shapes = [tuple(weight.shape) for weight in again.state_dict().values()]
    assert shapes == [(20, 2), (20,), (7, 20), (7,), (1, 7), (1,)]


def test_what_cannot_be_is_told():
    with pytest.raises(SigmaeError, match="relative_lr times the model's rate, above 0; got -1"):
        Adversarial(relative_lr=-1.0)
    with pytest.raises(SigmaeError, match="hidden must be 1 or more"):
        prepared(hidden=(0,))
    with pytest.raises(SigmaeError, match="has to know the sizes of the model"):
        Adversarial().prepare(NETWORKS, None)
