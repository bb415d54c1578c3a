"""Several seeds trained at once leave what each leaves alone; what cannot be trained so is refused with a sentence."""

import math
import signal
from copy import deepcopy
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from sigmae import recipes, SigmaeError, SquaredNorm, TrainingConfig
from sigmae.api import plan
from sigmae.data import Dataset, load, Split
from sigmae.runs import train_run
from sigmae.tensors import load_tensors
from sigmae.training import can_train_together, Interrupted, loop as loops, train, train_together

WEIGHTS = 1e-5  # largest difference of a weight after training in 32 bits
NORMALIZED = 5e-3  # behind batch normalization, where some gradients are rounding alone and Adam makes full steps of it
EXACT = 1e-10  # in 64 bits
LOSSES = 1e-4  # relative difference of a term
SHORT = TrainingConfig(epochs=2, batch_size=40, lr=3e-3)
SETTINGS = TrainingConfig(epochs=3, batch_size=40, lr=3e-3)
SEEDS = (3, 4, 9)
SMALL = {"network": "mlp", "settings": ["network.hidden=[16]"]}
CONV = {"network": "conv", "settings": ["network.width=4"]}


@pytest.fixture(scope="module")
def digits() -> Dataset:
    whole = load("digits")
    return Dataset("digits", *(Split(split.images[:120]) for split in (whole.train, whole.validation, whole.test)))


def configs(training=SETTINGS, seeds=SEEDS):
    return [replace(training, seed=seed) for seed in seeds]


def fresh(data, method, training=SETTINGS, seeds=SEEDS, **options):
    options = SMALL | options
    return [
        plan(data, deepcopy(method), latent_dim=3, training=config, **options).model
        for config in configs(training, seeds)
    ]


def strip(history):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in history]


def assert_same_history(one, other):
    for a, b in zip(strip(one), strip(other), strict=True):
        for name in ("train", "validation"):
            terms, others = a.pop(name), b.pop(name)
            assert terms == pytest.approx(others, rel=LOSSES, abs=LOSSES * abs(terms["loss"]))
        assert a == b


def largest_difference(a, b):
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return max(float((x.double() - y.double()).abs().max()) for x, y in pairs)


def assert_each_is_as_alone(data, together, histories, alone, training=SETTINGS, tolerance=WEIGHTS):
    for model, history, other, config in zip(together, histories, alone, configs(training), strict=True):
        assert_same_history(history, train(other, data, config).history)
        assert largest_difference(model, other) < tolerance


def histories(progresses):
    return [progress.history for progress in progresses]


def saved(folder):
    """The records and the checkpoints of a run."""
    paths = sorted(folder.glob("checkpoints/*.safetensors"))
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return len(lines), {path.name: load_tensors(path) for path in paths}


METHODS = [
    "ae", "vae", "rae-l2", "wae-mmd", "vae-w2", "ut-vae-w2-full", "iwae", "ar-iso-i", "sampling-free", "rae-gp"
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_together_is_each_alone(digits, method):
    together, alone = fresh(digits, method, SHORT), fresh(digits, method, SHORT)
    told = histories(train_together(together, digits, configs(SHORT)))
    assert_each_is_as_alone(digits, together, told, alone, SHORT)


@pytest.mark.parametrize("method", ["vae", "sampling-free"])
def test_batch_normalization_keeps_the_statistics_of_each(digits, method):
    together, alone = fresh(digits, method, **CONV), fresh(digits, method, **CONV)
    told = histories(train_together(together, digits, configs(SHORT)))
    assert_each_is_as_alone(digits, together, told, alone, SHORT, tolerance=NORMALIZED)


def test_in_64_bits_nothing_but_their_rounding_is_left(digits):
    class Widened(nn.Module):
        def forward(self, x):
            return x.double()

    together, alone = ([model.double() for model in fresh(digits, "vae")] for _ in range(2))
    for model in (*together, *alone):
        model.encoder.insert(0, Widened())
    told = histories(train_together(together, digits, configs()))
    assert_each_is_as_alone(digits, together, told, alone, tolerance=EXACT)


def test_every_kind_of_draw_is_that_of_the_run(digits):
    """All sigma points' axes, a random part of the batch, noise of an image's size."""

    @dataclass(eq=False)
    class Draws(SquaredNorm):
        def measure(self, q, decoded):
            z = decoded.latents[0]
            noise = (
                torch.rand_like(z) + torch.randn(3, device=z.device) + torch.rand(1) + torch.empty_like(z).normal_(2)
            )
            return super().measure(q, decoded) + (z * noise * torch.empty_like(z).bernoulli_(0.3)).sum(1).mean()

    for objective in (
        recipes.rae().replace(latent=Draws(0.1)),
        recipes.sampling_free(share=0.3),
        recipes.ut_vae_w2_full(points=4, scheme="pairs"),
    ):
        together, alone = fresh(digits, objective), fresh(digits, objective)
        told = histories(train_together(together, digits, configs(SHORT)))
        assert_each_is_as_alone(digits, together, told, alone, SHORT)


def test_every_run_has_a_learning_rate_of_its_own_and_its_gradient_is_clipped_alone(digits):
    training = replace(SETTINGS, epochs=5, lr=0.1, plateau_patience=0, clip=0.5)
    together, alone = fresh(digits, "vae", training), fresh(digits, "vae", training)
    told = histories(train_together(together, digits, configs(training)))
    assert_each_is_as_alone(digits, together, told, alone, training)
    assert len({tuple(record["lr"] for record in history) for history in told}) > 1


def test_bfloat16_trains_together(digits):
    training = replace(SETTINGS, epochs=8, precision="bf16")
    for progress in train_together(fresh(digits, "vae", training), digits, configs(training)):
        losses = [record["validation"]["loss"] for record in progress.history]
        assert losses[-1] < losses[0]


def test_a_weight_that_is_not_trained_is_left_alone(digits):
    together, alone = fresh(digits, "vae"), fresh(digits, "vae")
    for model in (*together, *alone):
        model.encoder[1].weight.requires_grad_(False)
    before = [model.encoder[1].weight.clone() for model in together]
    told = histories(train_together(together, digits, configs(SHORT)))
    assert_each_is_as_alone(digits, together, told, alone, SHORT)
    assert all(torch.equal(old, model.encoder[1].weight) for old, model in zip(before, together, strict=True))


def test_the_models_share_no_memory_afterwards(digits):
    models = fresh(digits, "vae", **CONV)
    train_together(models, digits, configs())
    for model in models:
        for tensor in model.state_dict().values():
            assert tensor.untyped_storage().nbytes() == tensor.nbytes
    kernels = [weight for weight in models[0].parameters() if weight.ndim == 4]
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


def test_an_observer_is_told_which_run_a_report_is_of(digits):
    seen = []
    train_together(fresh(digits, "vae"), digits, configs(), observe=lambda run, report: seen.append((run, report)))
    for run in range(len(SEEDS)):
        records = [report.record["epoch"] for number, report in seen if number == run and report.record]
        assert records == [1, 2, 3]


def test_the_folders_are_those_of_ordinary_runs(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(loops, "CHECKPOINT_SECONDS", 0.0)
    ours, theirs = ([tmp_path / f"{kind}{seed}" for seed in SEEDS] for kind in ("together", "alone"))
    for folder in (*ours, *theirs):
        folder.mkdir()
    train_together(fresh(digits, "vae"), digits, configs(), folders=ours)
    for model, config, folder in zip(fresh(digits, "vae"), configs(), theirs, strict=True):
        train(model, digits, config, folder=folder)
    for one, other in zip(ours, theirs, strict=True):
        (lines, checkpoints), (expected_lines, expected) = saved(one), saved(other)
        assert lines == expected_lines == 3
        assert checkpoints.keys() == expected.keys()
        for name, (tensors, record) in checkpoints.items():
            assert tensors.keys() == expected[name][0].keys()
            for key, tensor in tensors.items():
                torch.testing.assert_close(tensor, expected[name][0][key], rtol=LOSSES, atol=WEIGHTS)
            assert record["rates"] == expected[name][1]["rates"]
            assert record["schedule"].keys() == expected[name][1]["schedule"].keys()


def test_a_run_that_was_trained_together_is_finished_for_train_run(digits, tmp_path):
    planned = [
        plan(digits, "vae", latent_dim=3, training=config, network="mlp", settings=["network.hidden=[16]"])
        for config in configs()
    ]
    folders = [tmp_path / str(seed) for seed in SEEDS]
    train_together([p.model for p in planned], digits, configs(), folders=folders)
    again = fresh(digits, "vae")[0]
    trained = train_run(again, digits, planned[0].config, folders[0])
    assert largest_difference(trained, planned[0].model) == 0
    assert len((folders[0] / "metrics.jsonl").read_text().splitlines()) == SETTINGS.epochs


def interrupted(data, folders, step, number=signal.SIGTERM):
    def stop(run, report):
        if run == len(SEEDS) - 1 and report.record is None and report.progress.step >= step:
            signal.raise_signal(number)

    with pytest.raises(Interrupted):
        train_together(fresh(data, "vae"), data, configs(), folders=folders, observe=stop)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_saves_every_run_and_each_goes_on_alone_or_together(digits, tmp_path, number, monkeypatch):
    monkeypatch.setattr(loops, "FLUSH_EVERY", 1)
    folders = [tmp_path / str(seed) for seed in SEEDS]
    interrupted(digits, folders, step=5, number=number)
    assert [list(saved(folder)[1]) for folder in folders] == [["step-00000005.safetensors"]] * 3
    continued = fresh(digits, "vae")
    if number == signal.SIGINT:
        told = [
            train(model, digits, config, folder=folder).history
            for model, config, folder in zip(continued, configs(), folders, strict=True)
        ]
    else:
        told = histories(train_together(continued, digits, configs(), folders=folders))
    assert_each_is_as_alone(digits, continued, told, fresh(digits, "vae"))


@pytest.mark.parametrize("steps", [(5, None, 2), (9, 3, 4)])
def test_runs_that_stand_at_different_steps_catch_up(digits, tmp_path, steps, monkeypatch):
    monkeypatch.setattr(loops, "FLUSH_EVERY", 1)
    folders = [tmp_path / str(seed) for seed in SEEDS]
    for model, config, folder, step in zip(fresh(digits, "vae"), configs(), folders, steps, strict=True):
        if step is not None:
            stop_alone(model, digits, config, folder, step)
    together = fresh(digits, "vae")
    told = histories(train_together(together, digits, configs(), folders=folders))
    assert_each_is_as_alone(digits, together, told, fresh(digits, "vae"))


def test_an_interruption_while_they_catch_up_keeps_what_each_has_done(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(loops, "FLUSH_EVERY", 1)
    folders = [tmp_path / str(seed) for seed in SEEDS]
    stop_alone(fresh(digits, "vae")[0], digits, configs()[0], folders[0], 2)
    interrupted(digits, folders, step=1)
    steps = [max(saved(folder)[1]) for folder in folders]
    assert steps == ["step-00000003.safetensors", "step-00000003.safetensors", "step-00000001.safetensors"]


def test_a_weight_without_a_gradient_has_no_moments_to_continue_from(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(loops, "FLUSH_EVERY", 1)
    folders = [tmp_path / str(seed) for seed in SEEDS]
    interruptible, together, alone = (fresh(digits, "vae") for _ in range(3))
    for model in (*interruptible, *together, *alone):
        model.encoder.unused = nn.Parameter(torch.ones(2))
    for model, config, folder in zip(interruptible, configs(), folders, strict=True):
        stop_alone(model, digits, config, folder, 2)
    told = histories(train_together(together, digits, configs(), folders=folders))
    assert_each_is_as_alone(digits, together, told, alone)


def stop_alone(model, data, config, folder, step):
    def stop(report):
        if report.progress.step == step:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(model, data, config, folder=folder, observe=stop)


def test_a_run_that_fails_is_not_saved_and_does_not_take_the_others_along(digits, tmp_path):
    @dataclass(eq=False)
    class Breaks(SquaredNorm):
        """Infinite from one step on, and without a gradient: the weights stay finite."""

        def prepare(self, networks, sizes):
            self.register_buffer("steps", torch.zeros(()))
            self.register_buffer("limit", torch.tensor(1e9))

        def measure(self, q, decoded):
            self.steps += float(self.training)
            return torch.where(self.steps > self.limit, math.inf, 0.0)

    objective = recipes.vae().replace(latent=Breaks(1.0))
    together, folders = fresh(digits, objective), [tmp_path / str(seed) for seed in SEEDS]
    together[2].objective.latent.limit.fill_(4)
    with pytest.raises(SigmaeError, match="step 5 \\(epoch 2\\): the latent term became inf"):
        train_together(together, digits, configs(), folders=folders)
    assert not list(folders[2].glob("checkpoints/*"))
    assert [list(saved(folder)[1]) for folder in folders[:2]] == [["step-00000006.safetensors"]] * 2
    continued = fresh(digits, objective)[:2]
    told = train_together(continued, digits, configs()[:2], folders=folders[:2])
    assert [progress.step for progress in told] == [9, 9]
    for model, other, config in zip(continued, fresh(digits, objective), configs(), strict=False):
        train(other, digits, config)
        assert largest_difference(model, other) < WEIGHTS


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("avae-queue", "KernelDensity acts between the steps of its own run"),
        ("aae", "Adversarial has an opponent"),
        ("factor-vae", "TotalCorrelation has an opponent"),
        ("rae-sn", "not possible .*Batching rule not implemented"),
    ],
)
def test_methods_that_cannot_are_refused(digits, method, sentence):
    models = fresh(digits, method)
    before = [model.state_dict()["encoder.1.weight"].clone() for model in models]
    with pytest.raises(SigmaeError, match=f"{sentence}.*one by one"):
        train_together(models, digits, configs())
    assert all(
        torch.equal(old, model.state_dict()["encoder.1.weight"]) for old, model in zip(before, models, strict=True)
    )


class Dropping(nn.Module):
    """Draws by a function that vmap passes by."""

    def forward(self, x):
        return x * torch.bernoulli(torch.full(x.shape[1:], 0.5))


class Looking(nn.Module):
    """Decides by a value."""

    def forward(self, x):
        return x if x.sum().item() > 0 else -x


class Unregistered(nn.Module):
    """Has a tensor that is neither weight nor buffer."""

    def __init__(self):
        super().__init__()
        self.offset = torch.randn(8)

    def forward(self, x):
        return x + self.offset


class Counting(nn.Module):
    """Replaces a buffer by another."""

    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x):
        self.steps = self.steps + 1
        return x


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (Dropping, "is not that of each alone"),
        (Unregistered, "is not that of each alone"),
        (Counting, "is not that of each alone"),
        (Looking, "is not possible"),
    ],
)
def test_layers_that_cannot_are_found_out_by_a_trial(digits, layer, sentence):
    models = fresh(digits, "vae")
    for model in models:
        model.encoder.insert(0, layer())
    state = torch.random.get_rng_state()
    assert sentence in can_train_together(models, digits, configs())
    assert torch.equal(state, torch.random.get_rng_state())


def test_settings_that_cannot_are_refused(digits):
    models = fresh(digits, "vae")
    assert can_train_together(models, digits, configs()) == ""
    assert "One run" in can_train_together(models[:1], digits, configs()[:1])
    patient = configs(replace(SETTINGS, patience=3))
    assert "patience" in can_train_together(models, digits, patient)
    mixed = [configs()[0], replace(configs()[1], lr=0.1), configs()[2]]
    assert "nothing but their seeds" in can_train_together(models, digits, mixed)
    other = fresh(digits, "vae", settings=["network.hidden=[8]"])
    assert "more than the values of their weights" in can_train_together([*models[:2], other[2]], digits, configs())
    shared = recipes.sigma_iso_i()
    twins = [plan(digits, shared, latent_dim=3, training=config, **SMALL).model for config in configs()]
    assert "share weights" in can_train_together(twins, digits, configs())
    with pytest.raises(SigmaeError, match="batch size 500 is larger"):
        train_together(models, digits, configs(replace(SETTINGS, batch_size=500)))
