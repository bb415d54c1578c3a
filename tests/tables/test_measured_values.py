"""Which number of a run an entry of a table is."""

import pytest

from sigmae.errors import SigmaeError
from sigmae.studies.results import Result
from sigmae.studies.table import OWN
from sigmae.tables.plan import Entry
from sigmae.tables.published import Place
from sigmae.tables.reproduction import measured_value


def result(metric: str, of: str, value: float) -> Result:
    return Result("VAE", 0, metric, of, value, "", "run", {})


RESULTS = [
    result("squared_error", "reconstructions", 1.0),
    result("fid-random", "reconstructions", 2.0),
    result("fid-classifier", "reconstructions", 3.0),
    result("fid-random", "gmm10", 4.0),
    result("fid-random", OWN, 4.0),
    result("entropy-floored", "codes", 5.0),
    result("collapsed", "latents", 0.25),
]


def measured(measure: str, features: str | None = "random", factor: float = 1.0) -> float | None:
    return measured_value(RESULTS, Entry(Place("VAE", "column", "MNIST"), None, measure, factor), features)


@pytest.mark.parametrize(
    ("measure", "features", "value"),
    [
        ("squared_error:reconstructions", "random", 1.0),
        ("squared_error", "random", 1.0),
        ("fid:reconstructions", "random", 2.0),
        ("fid:reconstructions", "classifier", 3.0),
        ("fid-classifier:reconstructions", "classifier", 3.0),
        ("fid-classifier:reconstructions", "random", None),  # which others than the table's are not shown
        ("fid:gmm10", "random", 4.0),
        ("fid:own density", "random", 4.0),
        ("fid:gmm10", "classifier", None),
        ("entropy-floored:codes", "random", 5.0),
        ("squared_error:reconstructions", None, 1.0),  # vectors have no features
        ("nll", "random", None),
    ],
)
def test_a_measure_finds_its_number_in_the_features_of_the_table(measure, features, value):
    assert measured(measure, features) == value


def test_a_factor_brings_it_to_the_printed_unit():
    assert measured("collapsed:latents", factor=100.0) == 25.0


def test_a_measure_that_fits_several_numbers_is_refused():
    with pytest.raises(SigmaeError, match="fid fits fid-random:reconstructions, fid-random:gmm10: name one"):
        measured("fid")
