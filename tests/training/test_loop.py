"""The loop learns, follows the validation loss, calls the hooks, and stops on what is not finite."""

import json
import math
from dataclasses import dataclass

import pytest
import torch

from sigmae import Objective, recipes, SigmaeError, SquaredNorm, Terms, TrainingConfig
from sigmae.api import plan
from sigmae.recipes import METHODS
from sigmae.training import make_fabric, train

QUICK = {"epochs": 3, "batch_size": 20, "lr": 3e-3}


def model_for(data, method="rae", **options):
    return plan(data, method, latent_dim=2, training=TrainingConfig(**QUICK), **options).model


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns(blobs, name):
    model = model_for(blobs, name)
    before = (model.reconstruct(blobs.test.images) - blobs.test.images / 255).square().sum()
    progress = train(model, blobs, TrainingConfig(**{**QUICK, "epochs": 15}))
    after = (model.reconstruct(blobs.test.images) - blobs.test.images / 255).square().sum()
    assert after < before
    assert progress.step == 15 * (6 if name in ("avae", "avae-code") else 8)  # a fifth of the examples is their bank
    assert all(math.isfinite(value) for value in progress.history[-1]["validation"].values())


def test_the_incomplete_batch_is_left_out_and_the_order_changes(blobs):
    seen = []

    @dataclass(eq=False)
    class Watch(SquaredNorm):
        def measure(self, q, decoded):
            if self.training:
                seen.append(decoded.latents.shape[1])
            return super().measure(q, decoded)

    model = model_for(blobs, recipes.rae().replace(latent=Watch(0.1)))
    train(model, blobs, TrainingConfig(epochs=1, batch_size=60))
    assert seen == [60, 60]


@pytest.mark.promise(
    "The same seed", "Weights, order, noise, points, banks, densities and pairs follow the seed, and it alone."
)
def test_a_run_is_a_function_of_its_seed(blobs):
    def weights(seed):
        settings = TrainingConfig(**QUICK, seed=seed)
        model = plan(blobs, "vae", latent_dim=2, training=settings).model
        train(model, blobs, settings)
        return torch.cat([p.flatten() for p in model.parameters()])

    torch.manual_seed(1)
    first = weights(seed=0)
    torch.manual_seed(2)
    assert torch.equal(first, weights(seed=0))
    assert not torch.equal(first, weights(seed=1))


@dataclass(eq=False)
class Spoils(SquaredNorm):
    def begin_step(self, moment):
        if moment.epoch > 5:
            torch.nn.init.normal_(moment.model.decoder[0][0].weight)


def test_the_best_validation_weights_are_kept(blobs):
    model = model_for(blobs, recipes.rae().replace(latent=Spoils(0.1)))
    progress = train(model, blobs, TrainingConfig(**QUICK | {"epochs": 9}))
    losses = [record["validation"]["loss"] for record in progress.history]
    assert losses[-1] > min(losses)
    assert progress.best_loss == min(losses)
    model.eval()
    with torch.no_grad():
        assert model(blobs.validation.images / 255).loss.item() == pytest.approx(min(losses), rel=1e-4)


def test_the_last_weights_are_kept_where_they_are_asked_for(blobs):
    model = model_for(blobs, recipes.rae().replace(latent=Spoils(0.1)))
    progress = train(model, blobs, TrainingConfig(**QUICK | {"epochs": 9}, keep="last"))
    losses = [record["validation"]["loss"] for record in progress.history]
    assert losses[-1] > min(losses)
    assert progress.best_epoch == 9
    model.eval()
    with torch.no_grad():
        assert model(blobs.validation.images / 255).loss.item() == pytest.approx(losses[-1], rel=1e-4)


def test_a_part_of_the_validation_split_is_enough(blobs):
    model = model_for(blobs)
    progress = train(model, blobs, TrainingConfig(**QUICK, validation_examples=5))
    model.eval()
    with torch.no_grad():
        part = model(blobs.validation.images[:5] / 255).loss.item()
    assert progress.best_loss == pytest.approx(part, rel=1e-5)
    with pytest.raises(SigmaeError, match="validation_examples must be above 0"):
        TrainingConfig(validation_examples=0)


def test_the_learning_rate_falls_on_a_plateau_below_zero(blobs, monkeypatch):
    """A relative threshold would call an unchanged negative loss better every time."""
    model = model_for(blobs)
    monkeypatch.setattr(type(model), "forward", lambda self, x: Terms(self.encoder(x).sum() * 0 - 5, *torch.zeros(2)))
    settings = TrainingConfig(epochs=6, batch_size=20, lr=0.1, plateau_patience=1)
    assert train(model, blobs, settings).history[-1]["lr"] < 0.1


@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_a_step_in_bfloat16_as_a_gpu_casts(blobs, name, monkeypatch):
    """A GPU's autocast widens exp and leaves the rest in 16 bits; a CPU's does not, so it is made to."""
    wide = torch.Tensor.exp
    monkeypatch.setattr(torch.Tensor, "exp", lambda self: wide(self.float() if self.dtype == torch.bfloat16 else self))
    settings = TrainingConfig(epochs=1, batch_size=40, precision="bf16")
    history = train(model_for(blobs, name), blobs, settings).history
    assert all(math.isfinite(value) for value in history[-1]["train"].values())


def test_a_fabric_of_ones_own_chooses_the_precision(blobs):
    def losses(precision, fabric=None):
        settings = TrainingConfig(epochs=1, batch_size=40, precision=precision)
        return train(model_for(blobs), blobs, settings, fabric=fabric).history[-1]["train"]

    half = losses("bf16")
    assert losses("32", make_fabric("bf16")) == half
    assert losses("32") != half


@pytest.mark.parametrize(
    ("capability", "precision", "warned"), [("AVX2", "bf16", 1), ("AVX2", "32", 0), ("AVX512", "bf16", 0)]
)
def test_16_bits_on_a_processor_without_them_are_warned_of(capability, precision, warned, blobs, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    told = []
    train(model_for(blobs), blobs, TrainingConfig(epochs=1, batch_size=40, precision=precision), warn=told.append)
    assert len(told) == warned
    assert all("use --precision 32" in sentence for sentence in told)


def test_early_stopping_and_the_plateau_schedule(blobs):
    model = model_for(blobs)
    settings = TrainingConfig(epochs=200, batch_size=20, lr=0.3, patience=4, plateau_patience=1)
    progress = train(model, blobs, settings)
    assert progress.epoch == progress.best_epoch + 4 < 200
    assert progress.history[-1]["lr"] < 0.3


def test_a_batch_larger_than_the_data_is_refused(blobs):
    with pytest.raises(SigmaeError, match="batch size 161 is larger than the 160 training examples"):
        train(model_for(blobs), blobs, TrainingConfig(batch_size=161))


@pytest.mark.promise(
    "Numbers that go wrong",
    "Training stops at a loss, gradient or weight that is not finite, and names the step and a remedy.",
)
@pytest.mark.parametrize(("term", "bad"), [("latent", math.nan), ("latent", math.inf)])
def test_a_term_that_is_not_finite_stops_with_its_name_and_the_step(blobs, tmp_path, term, bad):
    @dataclass(eq=False)
    class Breaks(SquaredNorm):
        steps: int = 0

        def begin_step(self, moment):
            self.steps = moment.step

        def measure(self, q, decoded):
            return super().measure(q, decoded) * (bad if self.steps >= 12 else 1)

    model = model_for(blobs, recipes.rae().replace(latent=Breaks(0.1)))
    with pytest.raises(SigmaeError, match=rf"step 13 \(epoch 2\): the {term} term became {bad}"):
        train(model, blobs, TrainingConfig(**QUICK), folder=tmp_path)


@pytest.mark.promise(
    "Numbers that go wrong",
    "Training stops at a loss, gradient or weight that is not finite, and names the step and a remedy.",
)
def test_weights_that_are_not_finite_are_never_saved(blobs, tmp_path):
    model = model_for(blobs)
    with torch.no_grad():
        model.decoder[0][-2].bias.fill_(math.nan)  # squashed by no later layer but the sigmoid
    with pytest.raises(SigmaeError, match="no checkpoint yet"):
        train(model, blobs, TrainingConfig(**QUICK), folder=tmp_path)
    assert not list(tmp_path.glob("checkpoints/*"))


def test_the_hooks_are_called_in_order_and_indices_can_be_left_out(blobs):
    calls = []

    @dataclass(eq=False)
    class Hooked(SquaredNorm):
        def begin_epoch(self, moment):
            calls.append(("epoch", moment.epoch))
            assert moment.train is blobs.train
            return torch.arange(40)

        def begin_step(self, moment):
            calls.append(("step", moment.step))

        def end_validation(self, moment, terms):
            calls.append(("validation", round(float(terms.loss), 6)))

    model = model_for(blobs, recipes.rae().replace(latent=Hooked(0.1)))
    progress = train(model, blobs, TrainingConfig(epochs=2, batch_size=60))
    validation = [("validation", round(record["validation"]["loss"], 6)) for record in progress.history]
    steps = [("step", 0), ("step", 1)], [("step", 2), ("step", 3)]
    assert calls == [("epoch", 0), *steps[0], validation[0], ("epoch", 1), *steps[1], validation[1]]


def test_clipping_bounds_the_gradient(blobs, monkeypatch):
    norms = []
    original = torch.optim.Adam.step

    def watch(self, closure=None):
        grads = [p.grad.flatten() for group in self.param_groups for p in group["params"]]
        norms.append(torch.cat(grads).norm().item())
        return original(self, closure)

    monkeypatch.setattr(torch.optim.Adam, "step", watch)
    train(model_for(blobs), blobs, TrainingConfig(**QUICK, clip=0.01))
    assert max(norms) <= 0.0101


def test_bfloat16_trains_with_weights_in_32_bits(blobs):
    model = model_for(blobs)
    progress = train(model, blobs, TrainingConfig(**QUICK | {"epochs": 20}, precision="bf16"))
    assert all(p.dtype is torch.float32 for p in model.parameters())
    assert progress.history[-1]["validation"]["loss"] < progress.history[0]["validation"]["loss"]


def test_metrics_are_a_line_an_epoch(blobs, tmp_path):
    progress = train(model_for(blobs), blobs, TrainingConfig(**QUICK), folder=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == progress.history
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[0].keys() == {"epoch", "step", "lr", "seconds", "train", "validation", "best"}


def test_bernoulli_refuses_data_outside_the_unit_interval():
    import sigmae

    vectors = torch.randn(100, 4)
    objective = Objective(sigmae.Delta(), sigmae.Mean(), sigmae.Bernoulli())
    with pytest.raises(SigmaeError, match="needs values in \\[0, 1\\]"):
        sigmae.fit(vectors, objective, latent_dim=2, epochs=1, batch_size=10)
