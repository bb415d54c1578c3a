import statistics as standard

import pytest
from hypothesis import given, strategies as st
from scipy import stats

from sigmae.errors import SigmaeError
from sigmae.report.words import METRICS
from sigmae.studies.statistics import direction, DIRECTIONS, holm, mean_ranks, paired_test, summary

RELATIVE = 1e-9  # of float64, after differences are taken
measured = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))
rows = st.dictionaries(st.integers(0, 20), measured, min_size=1, max_size=8)


def by_seed(*values):
    return dict(enumerate(map(float, values)))


@given(st.lists(measured, min_size=1))
def test_a_summary_is_mean_and_sample_deviation(values):
    found = summary(values)
    assert found.mean == pytest.approx(sum(values) / len(values), rel=RELATIVE, abs=1e-6)
    assert found.count == len(values)
    assert found.deviation == (standard.stdev(values) if len(values) > 1 else None)


def test_no_values_have_no_mean():
    with pytest.raises(SigmaeError, match="one value or more, got none"):
        summary([])


@pytest.mark.parametrize(
    ("metric", "better"),
    [
        ("squared_error", "lower"),
        ("fid-classifier", "lower"),
        ("kid-mine:features", "lower"),
        ("nll_without_constant", "lower"),
        ("precision-random", "higher"),
        ("density-inception", "higher"),
        ("f1_8_precision-classifier", "higher"),
        ("elbo", "higher"),
        ("pca_factor_vae", "higher"),
        ("dci-disentanglement", "higher"),
        ("entropy-floored", None),
        ("mutual_information", None),
        ("active_units", None),
        ("holes", None),
        ("brightness", None),
    ],
)
def test_directions(metric, better):
    assert direction(metric) == better


def test_every_metric_with_a_direction_is_one_that_there_is():
    assert DIRECTIONS.keys() - METRICS.keys() == {"nll"}  # which published tables have


@given(st.lists(st.tuples(measured, measured), min_size=3, max_size=10))
def test_the_paired_test_is_the_t_test_of_the_seeds_that_both_have(pairs):
    values = {seed: pair[0] for seed, pair in enumerate(pairs)} | {100: 1e9}
    best = {seed: pair[1] for seed, pair in enumerate(pairs)} | {101: -1e9}
    differences = [pair[0] - pair[1] for pair in pairs]
    found = paired_test(values, best)
    if standard.stdev(differences) <= 1e-6 * max(map(abs, differences)):  # where scipy warns of lost digits
        assert 0 <= found <= 1
    else:
        reference = stats.ttest_rel(*zip(*pairs, strict=True)).pvalue
        assert found == pytest.approx(reference, rel=1e-6, abs=1e-12)
    assert paired_test(best, values) == found


def test_few_common_seeds_are_not_tested():
    assert paired_test(by_seed(1, 2, 3), {0: 1.0, 1: 2.0, 7: 3.0}) is None


def test_differences_that_do_not_vary():
    assert paired_test(by_seed(1, 2, 3), by_seed(1, 2, 3)) == 1
    assert paired_test(by_seed(2, 3, 4), by_seed(1, 2, 3)) == 0


def test_five_pairs_can_never_be_told_apart_by_signed_ranks_but_by_the_t_test():
    values, best = (10.1, 10.2, 10.3, 10.4, 10.6), (1.0, 2.0, 3.0, 4.0, 5.0)
    assert stats.wilcoxon(values, best).pvalue == 0.0625
    assert paired_test(by_seed(*values), by_seed(*best)) < 0.01


def test_holm_by_hand():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert list(found) == ["a", "b", "c", "d"]
    assert holm({}) == {}


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=8))
def test_holm_keeps_order_and_never_shrinks_nor_exceeds_bonferroni(p_values):
    found = holm(p_values)
    assert found.keys() == p_values.keys()
    for name, p in p_values.items():
        assert p <= found[name] <= min(1, p * len(p_values)) or found[name] == pytest.approx(p)
        assert all(found[name] <= found[other] for other in p_values if p <= p_values[other])


def test_ranks_are_within_seeds_and_shared_by_equals():
    values = {"a": by_seed(1, 5), "b": by_seed(2, 2), "c": by_seed(2, 9)}
    assert mean_ranks(values, "lower") == {"a": 1.5, "b": 1.75, "c": 2.75}
    assert mean_ranks(values, "higher") == {"a": 2.5, "b": 2.25, "c": 1.25}


@given(st.dictionaries(st.text(max_size=3), rows, min_size=2, max_size=5))
def test_ranks_add_up_over_the_seeds_that_all_have(values):
    common = set.intersection(*map(set, values.values()))
    found = mean_ranks(values, "lower")
    assert bool(found) == bool(common)
    if common:
        assert sum(found.values()) == pytest.approx(len(values) * (len(values) + 1) / 2)
        kept = {label: {seed: row[seed] for seed in common} for label, row in values.items()}
        assert mean_ranks(kept, "lower") == found


def test_one_row_has_no_rank():
    assert mean_ranks({"a": by_seed(1, 2)}, "lower") == {}
