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
    result("fid-random", "gmm10", 4.0),
    result("fid-random", OWN, 4.0),
    result("entropy-floored", "codes", 5.0),
    result("collapsed", "latents", 0.25),
]


def measured(measure: str, factor: float = 1.0) -> float | None:
    return measured_value(RESULTS, Entry(Place("VAE", "column", "MNIST"), None, measure, factor))


@pytest.mark.parametrize(
    ("measure", "value"),
    [
        ("squared_error:reconstructions", 1.0),
        ("squared_error", 1.0),
        ("fid:reconstructions", 2.0),
        ("fid-random:reconstructions", 2.0),
        ("fid-classifier:reconstructions", None),
        ("fid:gmm10", 4.0),
        ("fid:own density", 4.0),
        ("entropy-floored:codes", 5.0),
        ("nll", None),
    ],
)
def test_a_measure_finds_its_number(measure, value):
    assert measured(measure) == value


def test_a_factor_brings_it_to_the_printed_unit():
    assert measured("collapsed:latents", factor=100.0) == 25.0


def test_a_measure_that_fits_several_numbers_is_refused():
    with pytest.raises(SigmaeError, match="fid fits fid-random:reconstructions, fid-random:gmm10: name one"):
        measured("fid")
