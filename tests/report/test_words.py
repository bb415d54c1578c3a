import pytest

from sigmae.report.markup import code, element, Html, join
from sigmae.report.words import measured, metric_name, picture_caption, picture_rank, picture_title, subject, written


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


def test_densities_and_pictures_have_names():
    assert subject("gmm100") == "samples from a mixture of 100 Gaussians"
    assert picture_title("samples-gmm10") == "Samples from a mixture of 10 Gaussians"
    assert picture_title("samples-mine") == "Samples, mine"
    assert picture_title("samples-second-stage50") == "Samples from a second-stage VAE"
    assert picture_title("samples-flow") == "Samples from a normalizing flow"
    assert subject("scaled-prior") == "samples from the scaled prior"
    assert picture_title("neighbours") == "Nearest training images"
    assert picture_caption("samples-gmm10").startswith("Latents drawn from a mixture")
    assert picture_caption("something-else") == ""


def test_pictures_come_in_the_order_of_a_story():
    told = ["reconstructions", "samples-prior", "samples-gaussian", "samples-gmm2", "samples-gmm10", "samples-flow"]
    told += ["interpolations", "neighbours", "anything"]
    assert sorted(set(told), key=picture_rank) == told


def test_text_is_escaped_once_and_markup_is_kept():
    assert element("p", "<b> & 'c'", Html("<i>d</i>")) == "<p>&lt;b&gt; &amp; &#x27;c&#x27;<i>d</i></p>"
    assert element("img", src='"><x', class_="a") == '<img src="&quot;&gt;&lt;x" class="a">'
    assert join("a" + Html("<b>")) == "a&lt;b&gt;"  # markup mixed into text counts as text


def test_code_may_break_between_its_words():
    assert code("SquaredError") == "<code>Squared<wbr>Error</code>"
    assert code("batch_size") == "<code>batch_<wbr>size</code>"
    assert code("<a_b>") == "<code>&lt;a_<wbr>b&gt;</code>"
