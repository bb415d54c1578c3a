"""The laws of a comparison, on clocks that only move when a side says so."""

import json
import math

import benchmarks.__main__ as command
import pytest
from benchmarks.comparison import Comparison, measured, Outcome

from benchmarks import comparison as timing


class Clock:
    """A time that passes when it is told to."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def __call__(self):
        return self.now

    def side(self, name, *seconds):
        """A run that takes these seconds, one call after the other, the last ones again and again."""
        left = list(seconds)

        def run():
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


@pytest.fixture
def clock(monkeypatch):
    fake = Clock()
    monkeypatch.setattr(timing, "CLOCKS", {"wall": fake, "processor": lambda: 7.0})
    return fake


def compared(clock, ours=(1.0,), base=(2.0,), **options):
    sides = {"ours": clock.side("ours", *ours), "base": clock.side("base", *base)}
    return Comparison("a comparison", sides, "ours", "base", **options)


def test_the_share_is_the_median_of_the_shares_of_rounds(clock):
    outcome = measured(compared(clock, ours=(1.0, 9.0, 3.0), base=(2.0, 3.0, 2.0)), rounds=3, warmup=0)
    assert outcome.shares == [0.5, 3.0, 1.5]
    assert outcome.share == 1.5
    assert outcome.spread == (1.0, 2.25)
    assert outcome.values == {"ours": [1.0, 9.0, 3.0], "base": [2.0, 3.0, 2.0]}


def test_what_slows_a_round_down_changes_no_share(clock):
    paces = (1.0, 4.0, 0.25, 8.0)
    outcome = measured(compared(clock, ours=paces, base=[2 * pace for pace in paces]), rounds=4, warmup=0)
    assert outcome.shares == [0.5] * 4
    assert outcome.spread == (0.5, 0.5)


def test_sides_take_turns_in_being_first(clock):
    sides = {name: clock.side(name, 1.0) for name in "abc"}
    measured(Comparison("turns", sides, "a", "b"), rounds=4, warmup=0)
    assert "".join(clock.calls) == "abc" + "bca" + "cab" + "abc"


def test_warming_up_runs_every_side_and_counts_for_nothing(clock):
    outcome = measured(compared(clock, ours=(50.0, 50.0, 1.0)), rounds=2, warmup=2)
    assert clock.calls[:4] == ["ours", "base"] * 2
    assert outcome.shares == [0.5, 0.5]


def test_a_side_beside_is_timed_and_changes_no_share(clock):
    comparison = compared(clock)
    sides = {**comparison.sides, "beside": clock.side("beside", 100.0)}
    outcome = measured(Comparison("three", sides, "ours", "base"), rounds=3, warmup=0)
    assert outcome.share == 0.5
    assert outcome.values["beside"] == [100.0] * 3


@pytest.mark.parametrize("difference", [0.2, math.nan, math.inf])
def test_sides_that_differ_are_not_timed(clock, difference):
    comparison = compared(clock, agree=lambda: difference, tolerance=0.1)
    with pytest.raises(AssertionError, match=r"a comparison: the sides differ by .*, more than 0\.1"):
        measured(comparison, rounds=1)
    assert clock.calls == []


def test_sides_that_agree_are_asked_before_anything_runs(clock):
    def agree():
        assert clock.calls == []
        return 0.1

    assert measured(compared(clock, agree=agree, tolerance=0.1), rounds=1).difference == 0.1
    assert measured(compared(clock), rounds=1).difference is None


@pytest.mark.parametrize(("goal", "met"), [(0.49, False), (0.5, True), (1.0, True), (None, None)])
def test_a_goal_is_met_up_to_itself(clock, goal, met):
    assert measured(compared(clock, goal=goal), rounds=1).met is met


def test_one_round_has_no_spread(clock):
    assert measured(compared(clock), rounds=1).spread == (0.5, 0.5)


def test_the_clock_is_the_one_that_is_named(clock):
    outcome = measured(compared(clock), rounds=1, clock="processor")
    assert outcome.values == {"ours": [0.0], "base": [0.0]}


def outcome_of(ours, base, **options):
    comparison = Comparison("one", {"ours": list, "base": list}, "ours", "base", **options)
    return Outcome(comparison, {"ours": ours, "base": base}, None)


def test_a_line_tells_share_spread_and_goal():
    outcome = outcome_of([1.0, 2.0, 3.0], [2.0, 2.0, 2.0], goal=0.9)
    assert command.line("name", outcome) == "name | one | ours / base 1.000 (0.750 to 1.250), goal 0.9: missed"
    assert command.line("name", outcome_of([1.0], [2.0])) == "name | one | ours / base 0.500 (0.500 to 0.500)"


def test_a_record_is_json_and_says_what_was_measured():
    told = command.record("name", outcome_of([1.0, 3.0], [2.0, 2.0], goal=1.0, floor=0.8, tolerance=0.1, about="why"))
    assert json.loads(json.dumps(told)) == told
    assert told["share"] == 1.0
    assert told["quartiles"] == [0.75, 1.25]
    assert told["medians"] == {"ours": 2.0, "base": 2.0}
    assert (told["goal"], told["floor"], told["met"], told["rounds"]) == (1.0, 0.8, True, 2)


def written(path, monkeypatch, clock, *arguments):
    monkeypatch.setattr(command, "comparisons", lambda name, toy: iter([compared(clock, about=f"of {name}")]))
    command.main([*arguments, "--rounds", "3", "--out", str(path)])
    return json.loads(path.read_text()) if path.exists() else None


def test_results_of_other_benchmarks_stay(tmp_path, monkeypatch, clock):
    path = tmp_path / "benchmarks.json"
    path.write_text(json.dumps([{"benchmark": "another", "share": 2.0}, {"benchmark": "seeds", "share": 3.0}]))
    rows = written(path, monkeypatch, clock, "seeds")
    assert [(row["benchmark"], row["share"]) for row in rows] == [("another", 2.0), ("seeds", 0.5)]
    assert rows[1]["about"] == "of seeds"
    assert {"commit", "processor", "threads", "gpu", "python", "torch", "clock"} <= rows[1].keys()


@pytest.mark.parametrize(("only", "shares"), [("a comp", [0.5, 3.0, 4.0]), ("nothing", [2.0, 3.0, 4.0])])
def test_of_a_benchmark_some_comparisons_may_be_run_again(tmp_path, monkeypatch, clock, only, shares):
    path = tmp_path / "benchmarks.json"
    old = [("seeds", "a comparison", 2.0), ("seeds", "another", 3.0), ("growth", "a comparison", 4.0)]
    path.write_text(json.dumps([dict(zip(("benchmark", "comparison", "share"), row, strict=True)) for row in old]))
    assert sorted(row["share"] for row in written(path, monkeypatch, clock, "seeds", "--only", only)) == shares


def test_without_a_name_all_are_run(tmp_path, monkeypatch, clock):
    rows = written(tmp_path / "benchmarks.json", monkeypatch, clock)
    assert [row["benchmark"] for row in rows] == list(command.NAMES)
    assert set(command.NAMES).isdisjoint(command.OTHERS)
    assert {"training_step", "peers", "penalty", "seeds"} <= set(command.NAMES)


def test_a_toy_writes_nothing_and_is_not_repeated(tmp_path, monkeypatch, clock):
    assert written(tmp_path / "benchmarks.json", monkeypatch, clock, "seeds", "--toy") is None
    assert clock.calls == ["ours", "base"]


def test_a_name_that_is_no_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["comparison"])
    assert "invalid choice: 'comparison'" in capsys.readouterr().err
