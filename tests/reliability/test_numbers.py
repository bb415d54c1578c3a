"""Numbers that are not finite, variances at both ends, encodings that have collapsed: from training to the report."""

import json
import math
import shutil
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import Function

import sigmae
from sigmae import Dataset, DecodedPoints, Gaussian, SigmaeError, Split, SquaredNorm, TrainingConfig
from sigmae.api import plan
from sigmae.diagnosis import diagnose
from sigmae.evaluation import evaluate, evaluate_stages, METRICS, pictures, Row, Stages
from sigmae.metrics.features import load_features
from sigmae.parts import Sizes
from sigmae.recipes import METHODS, rae
from sigmae.runs import diagnose_run, evaluate_run, fit_densities, load_run, run_data
from sigmae.tensors import finite, load_tensors, save_tensors
from sigmae.training import train
from sigmae.training.together import train_together

GROUP = "Numbers that go wrong"
STOPS = "Training stops at a loss, gradient or weight that is not finite, and names the step and a remedy."
KEPT = "The last good checkpoint stays where training goes wrong, and holds finite weights."
SCALE = "Data too large for the first step are told to be scaled."
WEIGHTS = "A model with NaN or infinite weights is refused by every command."
VARIANCES = "Variances at both ends, learned, fixed or in closed form, give finite losses or a sentence."
COLLAPSED = "Of collapsed or broken encodings every metric is a finite number, or left out with its reason."
IDENTICAL = "Images that are all the same are trained on, evaluated, diagnosed and reported."

SHAPE = (1, 8, 8)
KINDS = ("vae", "rae-l2", "avae", "ut-vae-w2-full")


def dataset(*, with_factors=False):
    """Random images with labels, and with two factors where they are asked for."""
    draw = torch.Generator().manual_seed(0)

    def split(count):
        factors = torch.stack([torch.arange(count) % 2, torch.arange(count) // 2 % 2], dim=1)
        images = torch.rand(count, *SHAPE, generator=draw)
        return Split(images, torch.arange(count) % 3, factors if with_factors else None)

    return Dataset("noise", split(40), split(24), split(24))


@dataclass(eq=False)
class Spoils(SquaredNorm):
    """A gradient of NaN or infinity at one step, of a loss that is finite."""

    at: int = 0
    by: float = math.nan

    def begin_step(self, moment):
        self.now = moment.step

    def measure(self, q, decoded):
        measured = super().measure(q, decoded)
        return SpoiltGradient.apply(measured, self.by) if self.training and self.now == self.at else measured


class SpoiltGradient(Function):
    """The same value; a gradient times a number."""

    @staticmethod
    def forward(ctx, value, by):
        ctx.by = by
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.by, None


@pytest.mark.promise(GROUP, KEPT)
@pytest.mark.promise(GROUP, STOPS)
@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("by", [math.nan, math.inf])
@pytest.mark.parametrize("at", [5, 7])  # in the middle of an epoch, and its last step
def test_a_gradient_that_is_not_finite(tmp_path, monkeypatch, clip, by, at):
    monkeypatch.setattr("sigmae.training.loop.CHECKPOINT_SECONDS", 0)
    data, config = dataset(), TrainingConfig(epochs=3, batch_size=10, clip=clip)
    for _ in range(2):  # the same command continues from the good checkpoint, and comes to the same place
        model = plan(data, rae().replace(latent=Spoils(0.1, at, by)), latent_dim=2, training=config).model
        with pytest.raises(SigmaeError, match=rf"stopped at step {at + 1} \(epoch 2\): the weights .*--lr") as told:
            train(model, data, config, folder=tmp_path)
        kept = tmp_path / "checkpoints" / f"step-{at:08d}.safetensors"
        assert f"the last good checkpoint is {kept}" in str(told.value)
        assert finite(load_tensors(kept)[0].values())
        assert not list(tmp_path.glob(f"checkpoints/*{at + 1}.safetensors"))


@pytest.mark.promise(GROUP, STOPS)
@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_gradient_that_is_not_finite_without_a_folder(clip):
    data, config = dataset(), TrainingConfig(epochs=2, batch_size=10, clip=clip)
    model = plan(data, rae().replace(latent=Spoils(0.1, 2)), latent_dim=2, training=config).model
    with pytest.raises(SigmaeError, match=r"stopped at step 4 \(epoch 1\): the reconstruction term became nan"):
        train(model, data, config)


@pytest.mark.promise(GROUP, STOPS)
@pytest.mark.parametrize(
    "method",
    [
        pytest.param(name, marks=() if name in ("vae", "aae", "rae-l2-uae-code", "sampling-free") else pytest.mark.slow)
        for name in METHODS
    ],
)
@pytest.mark.parametrize("lr", [1e30, 1e2])
def test_every_method_stops_in_a_sentence_where_it_diverges(method, lr, coarse):
    data, config = dataset(), TrainingConfig(epochs=3, batch_size=10, lr=lr)
    model = plan(data, method, latent_dim=2, training=config).model
    try:
        train(model, data, config)
    except SigmaeError as error:
        told = str(error)
        assert "Training stopped at step" in told
        assert "Try a lower --lr" in told
    else:
        assert finite(model.parameters())


@pytest.mark.promise(GROUP, STOPS)
@pytest.mark.parametrize(
    "settings", ["latent.form=exact", "decoder.scale=largest-eigenvalue", "propagation=Linearized"]
)
def test_matrices_that_cannot_be_decomposed_stop_in_a_sentence(settings):
    method = "vae" if settings.startswith("propagation") else "uae"
    data, config = dataset(), TrainingConfig(epochs=3, batch_size=10, lr=1e30)
    model = plan(data, method, latent_dim=2, training=config, settings=[settings]).model
    with pytest.raises(SigmaeError, match=r"stopped at step \d+ \(epoch 1\): .*Try a lower --lr"):
        train(model, data, config)


@pytest.mark.promise(GROUP, STOPS)
@pytest.mark.parametrize("method", ["vae", "sampling-free"])
def test_runs_that_are_trained_together_stop_in_a_sentence(method):
    data = dataset()
    configs = [TrainingConfig(epochs=3, batch_size=10, lr=1e30, clip=1.0, seed=seed) for seed in range(2)]
    models = [plan(data, method, latent_dim=2, training=config).model for config in configs]
    with pytest.raises(SigmaeError, match="Training stopped at step"):
        train_together(models, data, configs)


@pytest.mark.promise(GROUP, SCALE)
@pytest.mark.parametrize("method", ["vae", "ar-iso-i", "sampling-free"])
def test_a_table_that_is_not_scaled(method, coarse):
    table = 1e7 * torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    with pytest.raises(SigmaeError, match=r"stopped at step 1 .* divide the data by their standard deviation"):
        sigmae.fit(table, method, latent_dim=2, epochs=1, batch_size=10, device="cpu")


@pytest.fixture
def broken(finished_run, tmp_path):
    """A finished run whose weights were replaced by its own with one number changed."""

    def spoil(number):
        run = tmp_path / "broken"
        shutil.copytree(finished_run, run)
        weights, record = load_tensors(run / "model.safetensors")
        next(tensor for tensor in weights.values() if tensor.is_floating_point()).view(-1)[0] = number
        save_tensors(run / "model.safetensors", weights, record)
        return run

    return spoil


@pytest.mark.promise(GROUP, WEIGHTS)
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("command", ["sample", "evaluate", "diagnose"])
def test_weights_that_are_not_finite(broken, refused, command, number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = broken(number)
    assert "hold NaN or infinity: the model has diverged" in refused(command, run)
    with pytest.raises(SigmaeError, match=r"model.safetensors hold NaN or infinity"):
        sigmae.load(run)


def prepared(*fields):
    """A likelihood that knows its sizes."""
    part = Gaussian(*fields)
    part.prepare(SimpleNamespace(encoder=nn.Identity(), decoder=nn.Identity()), Sizes(SHAPE, 2))
    return part


FOUND = [(v, shape, per) for v in ("learned", "optimal") for shape in ("iso", "diag") for per in ("dataset", "sample")]


@pytest.mark.promise(GROUP, VARIANCES)
@pytest.mark.parametrize("fields", FOUND)
@pytest.mark.parametrize("log_variance", [-1e38, -1e4, -100.0, 0.0, 80.0])
def test_exact_reconstructions_have_a_finite_loss_and_gradient(fields, log_variance):
    part, x = prepared(*fields), torch.rand(3, *SHAPE)
    outputs = x[None].clone().requires_grad_()
    if part.in_decoder:
        head = torch.full((1, 3, part.decoder_shape(SHAPE)[0] - 1, 8, 8), log_variance)
        outputs = torch.cat([x[None], head], dim=2).requires_grad_()
    elif fields[0] == "learned":
        nn.init.constant_(part.log_variance, log_variance)
    for _ in range(2):
        loss = part(DecodedPoints(torch.zeros(1, 3, 2), outputs), x)
        assert loss.isfinite()
        gradients = torch.autograd.grad(loss, [outputs, *part.parameters()])
        assert all(gradient.isfinite().all() for gradient in gradients)
    part.eval()
    assert part.distortion(outputs, x).isfinite().all()


@pytest.mark.promise(GROUP, VARIANCES)
@pytest.mark.parametrize("images", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("method", ["ar-iso-i", "ar-iso-d", "ar-diag-i", "sigma-iso-i", "sigma-diag-i", "sigma-diag-d"])
def test_images_that_can_be_reconstructed_exactly_are_trained_on(method, images):
    same = np.full((60, 4, 4), images)
    model = sigmae.fit(same, method, latent_dim=2, epochs=10, batch_size=12, lr=0.03, device="cpu")
    assert finite(model.parameters())


@pytest.mark.promise(GROUP, VARIANCES)
@pytest.mark.parametrize("variance", [1e-320, 1e-38, 1e38, 1e308])
@pytest.mark.parametrize("part", ["likelihood.variance", "posterior=IsotropicGaussian posterior.variance"])
def test_fixed_variances_at_both_ends(part, variance):
    data, config = dataset(), TrainingConfig(epochs=1, batch_size=10)
    with suppress(SigmaeError):
        model = plan(data, "vae", latent_dim=2, training=config, settings=f"{part}={variance}".split()).model
        train(model, data, config)
        assert finite(model.parameters())


def last_layer(network):
    """The last dense layer of a network."""
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]


def constant(encoder, decoder, latent):
    encoder.weight.zero_()


def one_dimension(encoder, decoder, latent):
    encoder.weight[1:].zero_()


def on_a_line(encoder, decoder, latent):
    encoder.weight[:latent] = encoder.weight[:1]
    encoder.bias[:latent] = encoder.bias[0]


def huge(encoder, decoder, latent):
    encoder.weight[:latent] *= 1e20


def not_a_number(encoder, decoder, latent):
    encoder.bias[0] = math.nan


def infinite(encoder, decoder, latent):
    encoder.bias[0] = math.inf


def narrow(encoder, decoder, latent):
    encoder.bias[latent:] = -1e4


def very_narrow(encoder, decoder, latent):
    encoder.bias[latent:] = -1e38


def wide(encoder, decoder, latent):
    encoder.bias[latent:] = 1e4


def constant_decoder(encoder, decoder, latent):
    decoder.weight.zero_()


def infinite_decoder(encoder, decoder, latent):
    decoder.bias[0] = math.inf


def broken_decoder(encoder, decoder, latent):
    decoder.bias[0] = math.nan


ILLNESSES = [constant, one_dimension, on_a_line, huge, not_a_number, infinite, narrow, very_narrow, wide]
ILLNESSES += [constant_decoder, infinite_decoder, broken_decoder]
QUICK = {("vae", wide), ("ut-vae-w2-full", one_dimension), ("rae-l2", not_a_number)}


def sick(method, illness, data):
    """A model that was never trained, made sick, with the densities that it admits; and its plan."""
    planned = plan(data, method, latent_dim=3, training=TrainingConfig(epochs=1, batch_size=10))
    model = planned.model.eval()
    with torch.no_grad():
        illness(last_layer(model.encoder), last_layer(model.decoder), 3)
    with suppress(SigmaeError):
        fit_densities(model, data)
    return model, planned.config


@pytest.mark.promise(GROUP, COLLAPSED)
@pytest.mark.parametrize(
    ("method", "illness"),
    [
        pytest.param(method, illness, marks=() if (method, illness) in QUICK else pytest.mark.slow)
        for method in KINDS
        for illness in ILLNESSES
    ],
)
def test_sick_models_are_evaluated_and_diagnosed(method, illness, coarse, record_property):
    quick = (method, illness) in QUICK
    data = dataset(with_factors=not quick)
    model, config = sick(method, illness, data)
    stages = Stages(model, data, load_features("random", data), points=10)
    for name in METRICS:
        with suppress(SigmaeError) if name == "squared_error" else nullcontext():
            done = evaluate_stages(stages, [name])
            assert all(row.is_finite for row in done.rows)
            assert done.rows or done.left_out
    with suppress(SigmaeError):  # of a decoder that gives NaN
        pictures(stages, quick=quick)
    found = diagnose(stages, config, [{"validation": {"loss": 1.0}}], run="run")
    json.dumps([asdict(finding) for finding in found.findings] + [found.distances], allow_nan=False)
    record_property("tried", len(METRICS) + 2)


@pytest.mark.promise(GROUP, COLLAPSED)
def test_two_distinct_codes(coarse):
    data = dataset()
    halves = [(part.labels > 0).float().view(-1, 1, 1, 1) for part in (data.train, data.validation, data.test)]
    data = Dataset("halves", *(Split(part.expand(-1, *SHAPE).contiguous()) for part in halves))
    model, _ = sick("rae-l2", lambda *_: None, data)
    assert len(model.encode(data.train.images).unique(dim=0)) == 2
    assert list(model.densities) == ["prior", "gaussian"]
    done = evaluate(model, data, load_features("random", data), densities=["gaussian"], points=10)
    assert all(row.is_finite for row in done.rows)
    with pytest.raises(SigmaeError, match="10 Gaussians cannot be fitted to 2 distinct encodings: use gmm1"):
        model.fit_density("gmm10", model.encode(data.train.images))


def broken_metric(stages):
    """A third party's metric, one of whose errors is no number."""
    return [Row("mine", "all", 1.0, "", 1, "by hand", 0.5), Row("mine", "none", 1.0, "", 1, "by hand", math.inf)]


def impossible_metric(stages):
    """A third party's metric of a matrix that cannot be decomposed."""
    return [Row("mine", "all", float(torch.linalg.cholesky(-torch.eye(2)).sum()), "", 1, "by hand")]


@pytest.mark.promise(GROUP, COLLAPSED)
def test_metrics_of_third_parties_are_left_out_where_they_fail():
    data = dataset()
    model, _ = sick("rae-l2", constant, data)
    names = [f"{__name__}:broken_metric", f"{__name__}:impossible_metric"]
    done = evaluate(model, data, metrics=names)
    assert [row.of for row in done.rows] == ["all"]
    assert done.left_out[names[0]] == "Not finite: mine of none."
    assert "linalg.cholesky" in done.left_out[names[1]]


def no_constant(name):
    """What JSON does not have."""
    raise AssertionError(name)


@pytest.mark.slow
@pytest.mark.promise(GROUP, IDENTICAL)
@pytest.mark.parametrize(
    ("method", "image"),
    [
        ("ar-iso-i", 0.0),
        ("ae", 0.5),
        ("vae", 1.0),
        ("avae", 0.0),
        ("uae", 0.5),
    ],
)
def test_identical_images_to_the_report(tmp_path, coarse, method, image):
    np.save(tmp_path / "same.npy", np.full((60, 8, 8), image))
    run = tmp_path / "run"
    sigmae.fit(tmp_path / "same.npy", method, latent_dim=3, epochs=3, batch_size=12, lr=0.01, out=run, device="cpu")
    model, data = load_run(run), run_data(run)
    assert "gaussian" not in model.densities
    evaluate_run(model, data, run, features="random", points=10)
    record = json.loads((run / "evaluation.json").read_text(), parse_constant=no_constant)
    assert all(math.isfinite(row["value"]) for row in record["rows"])
    assert {row["metric"] for row in record["rows"]} >= {"squared_error", "fid-random", "active_units"}
    assert all(reason.endswith(".") for reason in record["left_out"].values())
    assert "nan" not in (run / "report.html").read_text().lower().split()
    found = diagnose_run(model, data, run, features="random")
    assert found.fine or found.findings
    assert set(found.distances) >= {"reconstructions"}
