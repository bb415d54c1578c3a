import sys
from functools import partial

import pytest
import torch
from torch import nn

from sigmae import (
    Autoencoder,
    Dataset,
    DiagonalGaussian,
    evaluation,
    Gaussian,
    KL,
    ModelConfig,
    MonteCarlo,
    Objective,
    Split,
)
from sigmae.metrics.features import random_features
from sigmae.metrics.precision_recall import precision_recall_curve
from sigmae.report.markup import code, element, Html, join
from sigmae.report.words import (
    feature_set,
    GROUPS,
    measured,
    metric_group,
    metric_heading,
    metric_kind,
    metric_name,
    METRICS,
    picture_rank,
    picture_words,
    PICTURES,
    subject,
    written,
)

MODULE = sys.modules["sigmae.evaluation.pictures"]  # whose name in the package is the function's


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.3141, "5.314"),
        (0.25, "0.2500"),
        (-31.5, "−31.50"),
        (999.94, "999.9"),
        (999.96, "1,000"),
        (-12345.6, "−12,346"),
        (10000, "10,000"),
        (0.0, "0.000"),
        (1.234567e-7, "1.235e−07"),
        (float("nan"), "not finite"),
        (float("inf"), "not finite"),
        (None, "–"),
        (True, "yes"),
        ("unknown", "unknown"),
    ],
)
def test_measurements_have_four_digits(value, text):
    assert measured(value) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (98.9117, 12.28, "98.91 ± 12"),
        (-476.92, 0.9552, "−476.9 ± 0.96"),
        (3.864, 0.0527, "3.864 ± 0.053"),
        (5.0, 1234.5, "5.000 ± 1,234"),
        (1.0, float("nan"), "1.000"),
        (1.0, "unknown", "1.000"),
    ],
)
def test_errors_have_two_digits(value, error, text):
    assert measured(value, error) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0064, "0.0064"),
        (1e-7, "1e-07"),
        (123456, "123456"),
        (False, "no"),
        (None, "none"),
        ([32, 64], "32, 64"),
        ([], "none"),
        ({}, "none"),
        ({"type": "plateau", "factor": 0.5}, "type = plateau, factor = 0.5"),
    ],
)
def test_settings_are_written_as_they_were_set(value, text):
    assert written(value) == text


def test_metrics_name_their_features():
    assert metric_name("fid-classifier") == "Fréchet distance (FID), classifier features"
    assert metric_name("fid-inception") != metric_name("fid-classifier")
    assert metric_name("squared_error") == "Squared error"
    assert metric_name("latent_gap-8") == "Latent gap-8"


def test_only_features_are_taken_off_a_name():
    assert (metric_kind("f8_recall-classifier"), feature_set("f8_recall-classifier")) == ("f8_recall", "classifier")
    assert (metric_kind("fid-mine:net-2"), feature_set("fid-mine:net-2")) == ("fid", "mine:net-2")
    for whole in ("entropy-leave-one-out", "dci-completeness", "mine-classifier", "squared_error"):
        assert (metric_kind(whole), feature_set(whole)) == (whole, "")


def test_columns_have_short_headings():
    assert metric_heading("fid-classifier") == "FID"
    assert metric_heading("f1_8_precision-inception") == "F1/8"
    assert metric_heading("precision-random") == "Precision"
    assert metric_heading("holes") == "Holes"
    headings = [metric_heading(metric) for metric in METRICS]
    assert len(set(headings)) == len(headings)


def test_every_metric_has_its_words_and_its_group():
    names = [name for _, named in GROUPS.values() for name in named]
    assert len(names) == len(set(names)) == len(METRICS) == len(set(METRICS.values()))
    assert {metric.group for metric in evaluation.METRICS.values()} < GROUPS.keys()
    assert metric_group("fid-classifier") == "generation"
    assert metric_group("entropy-floored") == "latent"
    assert metric_group("mine-classifier") == "other"


@pytest.mark.slow
def test_the_words_are_those_of_an_evaluation(monkeypatch):
    quick = partial(precision_recall_curve, clusters=3, runs=1)
    monkeypatch.setattr("sigmae.evaluation.generation.precision_recall_curve", quick)
    factors = torch.cartesian_prod(torch.arange(6), torch.arange(5), torch.arange(4))[torch.randperm(120)]
    images = (factors.float() @ torch.rand(3, 16) * 20).to(torch.uint8).view(-1, 1, 4, 4)
    whole = Split(images, factors=factors)
    data = Dataset("grid", whole[:60], whole[60:90], whole[90:])
    objective = Objective(DiagonalGaussian(), MonteCarlo(1), Gaussian(0.1), KL())
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 6))
    nn.init.orthogonal_(encoder[1].weight, gain=2)
    decoder = nn.Sequential(nn.Linear(3, 16), nn.Unflatten(1, (1, 4, 4)))
    model = Autoencoder(encoder, decoder, objective, config=ModelConfig("custom", (1, 4, 4), 3, {}, None))
    for name in ("prior", "gaussian"):
        model.fit_density(name, model.encode(whole.images))
    done = evaluation.evaluate(model, data, random_features(1), points=20)
    assert {metric_kind(row.metric) for row in done.rows} == METRICS.keys() - {
        "decoder_variance",
        "linearized_log_likelihood",
    }
    groups = {row.metric: metric_group(row.metric) for row in done.rows}
    assert groups["dci-completeness"] == evaluation.METRICS["disentanglement"].group
    assert groups["els"] == evaluation.METRICS["smoothness"].group


def test_densities_and_pictures_have_names():
    assert subject("gmm100") == "samples from a mixture of 100 Gaussians"
    assert subject("scaled-prior") == "samples from the scaled prior"
    titles = {
        "samples-gmm10": "Samples from a mixture of 10 Gaussians",
        "samples-mine": "Samples, mine",
        "samples-second-stage50": "Samples from a second-stage VAE",
        "samples-flow": "Samples from a normalizing flow",
        "neighbours": "Nearest training images",
        "something-else": "Something-else",
    }
    assert {stem: picture_words(stem).title for stem in titles} == titles
    assert picture_words("samples-gmm10").caption.startswith("Latents drawn from a mixture")
    assert picture_words("something-else").caption == ""
    assert picture_words("direction-traversals") != picture_words("traversals")


def test_every_picture_of_an_evaluation_has_its_words():
    drawn = MODULE.QUICK_GRIDS | MODULE.GRIDS | MODULE.CHARTS
    assert drawn.keys() == {stem for stem in PICTURES if not stem.startswith("samples")}
    assert {stem for stem in drawn if PICTURES[stem].kind != "Images"} == set(MODULE.CHARTS)


def test_pictures_come_in_the_order_of_a_story():
    told = ["reconstructions", "samples-prior", "samples-gaussian", "samples-gmm2", "samples-gmm10", "samples-flow"]
    told += ["interpolations", "neighbours", "traversals", "manifold", "divergences", "map-tsne", "angles", "anything"]
    assert sorted(set(told), key=picture_rank) == told


def test_text_is_escaped_once_and_markup_is_kept():
    assert element("p", "<b> & 'c'", Html("<i>d</i>")) == "<p>&lt;b&gt; &amp; &#x27;c&#x27;<i>d</i></p>"
    assert element("img", src='"><x', class_="a") == '<img src="&quot;&gt;&lt;x" class="a">'
    assert join("a" + Html("<b>")) == "a&lt;b&gt;"  # markup mixed into text counts as text


def test_code_may_break_between_its_words():
    assert code("SquaredError") == "<code>Squared<wbr>Error</code>"
    assert code("batch_size") == "<code>batch_<wbr>size</code>"
    assert code("<a_b>") == "<code>&lt;a_<wbr>b&gt;</code>"
