import math
from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from sigmae.errors import SigmaeError
from sigmae.studies.results import Result
from sigmae.studies.statistics import holm, paired_test
from sigmae.studies.table import by_data, Column, OWN, tabulate
from sigmae.studies.tidy import read_results, write_results

ERROR, FID = Column("squared_error", "reconstructions"), Column("fid-classifier", "gmm10")


def result(label, seed, value, column=ERROR, data="mnist"):
    return Result(label, seed, column.metric, column.of, value, "", f"runs/{label}-{seed}", {"data": data})


def study(column=ERROR, **rows):
    return [result(label, seed, value, column) for label, row in rows.items() for seed, value in enumerate(row)]


def sampled(own, **values):
    """Distances of each row's densities, the one that is its own twice."""
    found = []
    for label, by_density in values.items():
        for of, value in by_density.items():
            found.append(result(label, 0, value, Column("fid-classifier", of)))
        found.append(result(label, 0, by_density[own[label]], Column("fid-classifier", OWN)))
    return found


def test_rows_and_columns_are_in_the_order_of_their_first_appearance():
    results = [*study(FID, b=[1.0]), *study(ERROR, a=[2.0], b=[3.0])]
    table = tabulate(results, columns=["fid-classifier", "squared_error"])
    assert table.labels == ("b", "a")
    assert table.columns == [FID, ERROR]
    assert table.cells[ERROR]["a"].values == {0: 2.0}
    assert "a" not in table.cells[FID]


@given(
    st.dictionaries(
        st.sampled_from("abcde"), st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4), min_size=2, max_size=5
    )
)
@settings(deadline=None)
def test_values_survive_and_marks_follow_the_means(rows):
    cells = tabulate(study(**rows)).cells[ERROR]
    means = {label: cell.summary.mean for label, cell in cells.items()}
    ordered = sorted(set(means.values()))
    for label, cell in cells.items():
        assert list(cell.values.values()) == rows[label]
        expected = {mean: place for place, mean in enumerate(ordered[:2], start=1)}.get(means[label])
        assert cell.place == expected
        assert 1 <= cell.rank <= len(rows)


def test_a_metric_that_is_better_higher_is_marked_so():
    cells = tabulate(study(Column("elbo", "test images"), a=[-3.0], b=[-1.0], c=[-2.0]), columns=["elbo"])
    assert [cell.place for cell in next(iter(cells.cells.values())).values()] == [None, 1, 2]


def test_what_has_no_direction_and_what_stands_alone_is_not_judged():
    for table in (
        tabulate(study(Column("mutual_information", "codes"), a=[1.0, 2.0, 4.0], b=[3.0, 4.0, 7.0])),
        tabulate(study(a=[1.0, 2.0, 3.0])),
    ):
        for cell in next(iter(table.cells.values())).values():
            assert (cell.place, cell.rank, cell.p_value) == (None, None, None)


def test_others_are_tested_against_the_best_with_holm_correction():
    rows = {"best": [1.0, 1.1, 0.9, 1.2], "near": [1.1, 1.0, 1.3, 1.2], "far": [5.0, 5.2, 4.7, 5.1]}
    cells = tabulate(study(**rows)).cells[ERROR]
    seeds = {label: dict(enumerate(row)) for label, row in rows.items()}
    expected = holm({label: paired_test(seeds[label], seeds["best"]) for label in ("near", "far")})
    assert {label: cell.p_value for label, cell in cells.items()} == {"best": None, **expected}
    assert cells["far"].p_value < 0.01 < cells["near"].p_value


def test_mean_ranks_are_over_columns_and_of_rows_that_have_them_all():
    table = tabulate(
        [*study(ERROR, a=[1.0], b=[2.0], c=[3.0]), *study(FID, a=[9.0], b=[8.0])], columns=["squared_error", "fid"]
    )
    assert table.ranks == {"a": 1.5, "b": 1.5}
    assert tabulate(study(a=[1.0], b=[2.0])).ranks == {}  # of one column, its own ranks say it


def test_failed_rows_are_there():
    table = tabulate(study(a=[1.0]), failures={"b": "It diverged."})
    assert table.labels == ("a", "b")
    assert table.failures == {"b": "It diverged."}
    assert tabulate([], failures={"b": "It diverged."}).columns == []


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("fid-classifier:gmm10", ["gmm10"]),
        ("fid:gmm10", ["gmm10"]),
        ("fid", ["prior", "gmm10", "gaussian"]),
        ("fid-classifier", ["prior", "gmm10", "gaussian"]),
        (f"fid:{OWN}", [OWN]),
    ],
)
def test_names_of_columns(name, chosen):
    results = sampled({"a": "prior", "b": "gaussian"}, a={"prior": 3.0, "gmm10": 1.0}, b={"gaussian": 2.0})
    assert [column.of for column in tabulate(results, columns=[name]).columns] == chosen


def test_a_column_that_no_run_has_is_empty():
    table = tabulate(
        study(a=[1.0]), columns=["elbo", "squared_error", "fid-random:gmm10"], failures={"b": "It diverged."}
    )
    assert table.columns == [Column("elbo", ""), ERROR, Column("fid-random", "gmm10")]
    assert [set(cells) for cells in table.cells.values()] == [set(), {"a"}, set()]
    assert tabulate([], columns=["elbo"]).labels == ()


def test_the_headline():
    both = sampled({"a": "prior", "b": "gaussian"}, a={"prior": 3.0, "gmm10": 1.0}, b={"gaussian": 2.0, "gmm10": 1.5})
    extra = study(Column("active_units", "latents"), a=[7.0], b=[9.0])
    table = tabulate([*extra, *both, *study(a=[1.0], b=[2.0])])
    assert [column.of for column in table.columns] == ["reconstructions", OWN, "gmm10"]
    assert table.cells[Column("fid-classifier", OWN)]["b"].values == {0: 2.0}
    assert table.own_densities == {"a": "prior", "b": "gaussian"}


def test_a_density_that_all_methods_share_goes_by_its_name():
    table = tabulate(sampled({"a": "prior", "b": "prior"}, a={"prior": 3.0, "gmm10": 1.0}, b={"prior": 2.0}))
    assert [column.of for column in table.columns] == ["prior", "gmm10"]


def test_without_any_headline_metric_all_are_shown():
    columns = [Column("elbo", "test images"), Column("active_units", "latents")]
    assert tabulate([result("a", 0, 1.0, column) for column in columns]).columns == columns


def test_numbers_in_different_features_are_never_side_by_side():
    results = [*study(FID, a=[1.0]), *study(Column("fid-random", "gmm10"), a=[2.0])]
    assert tabulate(results).columns == [FID]
    with pytest.raises(SigmaeError, match="features classifier and random cannot be compared"):
        tabulate(results, columns=["fid"])


def test_different_data_are_never_in_one_table():
    results = [result("a", 0, 1.0), result("a data=cifar10", 0, 2.0, data="cifar10")]
    with pytest.raises(SigmaeError, match="mnist, cifar10 cannot be compared"):
        tabulate(results)
    assert [tabulate(some).labels for some in by_data(results).values()] == [("a",), ("a data=cifar10",)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(value):
    with pytest.raises(SigmaeError, match="squared_error of reconstructions, a, seed 0, is"):
        tabulate([result("a", 0, value)])


def test_two_values_of_one_run_are_refused():
    with pytest.raises(SigmaeError, match="two values of squared_error of reconstructions, a, seed 0"):
        tabulate([result("a", 0, 1.0), result("a", 0, 1.0)])


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
results_of_any_kind = st.builds(
    Result,
    label=texts,
    seed=st.integers(),
    metric=texts,
    of=texts,
    value=st.floats(allow_nan=False),
    unit=texts,
    run=texts,
    details=st.dictionaries(texts, texts, max_size=3),
)


@given(st.lists(results_of_any_kind, max_size=5))
@settings(deadline=None, max_examples=50)
def test_tidy_files_round_trip_exactly(tmp_path_factory, results):
    path = tmp_path_factory.mktemp("tidy") / "results.csv"
    write_results(path, results)
    assert read_results(path) == results
    written = path.read_bytes()
    write_results(path, read_results(path))
    assert path.read_bytes() == written


def test_a_tidy_file_reads_as_a_table(tmp_path):
    known = replace(result("vae", 3, 0.1), details={"method": "vae", "data": "mnist", "settings": ""})
    write_results(tmp_path / "results.csv", [known])
    head, row = (tmp_path / "results.csv").read_text().splitlines()
    assert head.startswith('"label","seed","metric","of","value","unit","run","details.method"')
    assert row.startswith('"vae",3,"squared_error","reconstructions",0.1,"","runs/vae-3","vae","mnist"')


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "lacks label, seed, metric, of, value, unit, run"),
        (b"label,seed,metric,of,value,unit,run\na,0,b,c,much,,\n", "Row 1 of .*could not convert string to float"),
        (b"label,seed,metric,of,value,unit,run\na,0,b\n", "Row 1 of .* cut or edited"),
        (b"label,seed,metric,of,value,unit,run\na,0,b,c,1,,,more\n", "Row 1 of .* cut or edited"),
        (b'label,seed,metric,of,value,unit,run\n"a', "not whole CSV"),
        (b"\xff\xfe", "not whole CSV in UTF-8"),
    ],
)
def test_damaged_tidy_files_are_told(tmp_path, content, message):
    (tmp_path / "results.csv").write_bytes(content)
    with pytest.raises(SigmaeError, match=message):
        read_results(tmp_path / "results.csv")


def test_a_missing_tidy_file_is_told(tmp_path):
    with pytest.raises(SigmaeError, match="no table of results"):
        read_results(tmp_path / "results.csv")
