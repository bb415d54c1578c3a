"""Opponents learn beside the model, by optimizers of their own, and are continued with the same bits."""

import copy
import math
import signal
from dataclasses import dataclass

import pytest
import torch
from torch.optim import Adam

from sigmae import Delta, DiagonalGaussian, Mean, MonteCarlo, Objective, SigmaeError, SquaredError, TrainingConfig
from sigmae.adversarial import Adversarial
from sigmae.api import plan
from sigmae.model import load
from sigmae.seeds import derived_seed
from sigmae.tensors import load_tensors
from sigmae.total_correlation import TotalCorrelation
from sigmae.training import Interrupted, make_fabric, train
from sigmae.training.loop import Loop

SETTINGS = TrainingConfig(epochs=6, batch_size=20, seed=3)


def aae(**options):
    latent = Adversarial(**{"hidden": (8, 8), "relative_lr": 2.0} | options)
    return Objective(Delta(), Mean(), SquaredError(), latent)


def factor_vae():
    latent = TotalCorrelation(5.0, "discriminator", hidden=(8, 8), relative_lr=0.5)
    return Objective(DiagonalGaussian(), MonteCarlo(), SquaredError(), latent)


def fresh(data, objective, training=SETTINGS):
    return plan(data, objective, latent_dim=2, training=training).model


def copied(weights):
    return [weight.detach().clone() for weight in weights]


def same_bits(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def loop_of(model, data, training=SETTINGS):
    return Loop(model, data, training, None, lambda report: None, make_fabric(device="cpu"))


@pytest.mark.parametrize("method", [aae, factor_vae])
def test_an_opponent_learns_and_the_model_s_optimizer_leaves_it_alone(blobs, method):
    model = fresh(blobs, method())
    opponent = model.objective.latent.opponent()
    before = copied(opponent.parameters())
    loop = loop_of(model, blobs)
    main = {id(weight) for group in loop.optimizer.param_groups for weight in group["params"]}
    own = {id(weight) for group in loop.opponents[0].optimizer.param_groups for weight in group["params"]}
    assert own == {id(weight) for weight in opponent.parameters()}
    assert main == {id(weight) for weight in (*model.encoder.parameters(), *model.decoder.parameters())}
    loop.step(torch.arange(20))
    assert not any(torch.equal(old, new) for old, new in zip(before, opponent.parameters(), strict=True))
    assert loop.opponents[0].optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * loop.parts[3].relative_lr)
    before = copied(model.parameters())
    loop.validate()
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_the_loop_alternates_as_written_out_by_hand(blobs):
    model = fresh(blobs, aae(weight=4.0))
    twin = copy.deepcopy(model)
    loop = loop_of(model, blobs)
    judge = twin.objective.latent.opponent()
    main = Adam([*twin.encoder.parameters(), *twin.decoder.parameters()], lr=1e-3)
    other = Adam(judge.parameters(), lr=2e-3)
    bce = torch.nn.BCEWithLogitsLoss()
    for step in range(4):
        indices = torch.arange(20) + 20 * step
        loop.step(indices)
        x = blobs.train.images[indices] / 255
        z = twin.encoder(x)
        loss = (twin.decoder(z) - x).square().flatten(1).sum(1).mean() + 4 * bce(judge(z), torch.ones(20, 1))
        main.zero_grad()
        loss.backward()
        main.step()
        torch.manual_seed(derived_seed(SETTINGS.seed, "step", step, 0))
        judge.requires_grad_(True)
        drawn = judge(torch.randn(20, 2))
        loss = bce(drawn, torch.ones(20, 1)) + bce(judge(z.detach()), torch.zeros(20, 1))
        other.zero_grad()
        loss.backward()
        other.step()
        judge.requires_grad_(False)
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_rate_follows_the_model_s(blobs):
    settings = TrainingConfig(epochs=1, batch_size=20, lr=0.01)
    loop = loop_of(fresh(blobs, aae(), settings), blobs, settings)
    loop.optimizer.param_groups[0]["lr"] = 0.004  # as the plateau schedule does
    loop.step(torch.arange(20))
    assert loop.opponents[0].optimizer.param_groups[0]["lr"] == 0.008


@pytest.mark.promise(
    "Killed and continued", "A run stopped by Ctrl-C or SIGTERM in any step ends with the bits of an undisturbed one."
)
@pytest.mark.parametrize("method", [aae, factor_vae])
@pytest.mark.parametrize("step", [7, 47])
def test_interrupted_and_continued_is_undisturbed(blobs, tmp_path, method, step):
    whole = fresh(blobs, method())
    train(whole, blobs, SETTINGS)

    def interrupt(report):
        if report.record is None and report.progress.step > step:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(fresh(blobs, method()), blobs, SETTINGS, folder=tmp_path, observe=interrupt)
    continued = fresh(blobs, method())
    train(continued, blobs, SETTINGS, folder=tmp_path)
    assert same_bits(whole, continued)


def test_a_checkpoint_holds_the_opponent_s_moments(blobs, tmp_path):
    train(fresh(blobs, aae()), blobs, SETTINGS, folder=tmp_path)
    tensors, record = load_tensors(next(tmp_path.glob("checkpoints/*.safetensors")))
    assert tensors["opponent0.0.exp_avg"].shape == (8, 2)
    assert tensors["opponent0.0.step"].item() == tensors["optimizer.0.step"].item() == 48
    assert len(record["rates"]) == 1


def test_a_model_with_an_opponent_is_saved_and_loaded(blobs, tmp_path):
    model = fresh(blobs, aae())
    train(model, blobs, SETTINGS)
    model.save(tmp_path)
    again = load(tmp_path, trust=None)
    assert same_bits(model, again)
    assert not any(weight.requires_grad for weight in again.objective.latent.parameters())


@pytest.mark.promise(
    "Numbers that go wrong",
    "Training stops at a loss, gradient or weight that is not finite, and names the step and a remedy.",
)
def test_an_opponent_that_is_not_finite_is_never_saved(blobs, tmp_path):
    @dataclass(eq=False)
    class Breaks(Adversarial):
        def opponent_loss(self):
            return super().opponent_loss() * math.nan

    model = fresh(blobs, Objective(Delta(), Mean(), SquaredError(), Breaks(hidden=(8,))))
    with pytest.raises(SigmaeError, match="the latent term became nan"):
        train(model, blobs, SETTINGS, folder=tmp_path)
    loop = loop_of(fresh(blobs, Objective(Delta(), Mean(), SquaredError(), Breaks(hidden=(8,)))), blobs)
    loop.folder = tmp_path
    loop.step(torch.arange(20))  # the term is finite yet, the opponent no more
    with pytest.raises(SigmaeError, match="the weights are not finite"):
        loop.save()
    assert not list(tmp_path.glob("checkpoints/*"))


@pytest.mark.parametrize("method", [aae, factor_vae])
def test_bfloat16_trains_both_with_weights_in_32_bits(blobs, method):
    model = fresh(blobs, method())
    progress = train(model, blobs, TrainingConfig(epochs=5, batch_size=20, lr=3e-3, precision="bf16"))
    assert all(weight.dtype is torch.float32 for weight in model.parameters())
    assert progress.history[-1]["validation"]["loss"] < progress.history[0]["validation"]["loss"]
