"""The time left of a study: by the runs that were made, whatever was complete before."""

import pytest

from sigmae import console
from sigmae.console import Display, TimeLeft


@pytest.fixture
def clock(monkeypatch):
    """A time that passes when it is told to."""
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def left(display):
    return str(TimeLeft().render(display.bar.tasks[0]))


def followed(clock, runs, seconds):
    """A display of ten runs, some of which have ended, one after the other."""
    display = Display(quiet=True)
    finished = display.runs(10)
    for _ in range(runs):
        clock[0] += seconds
        finished("a run", "")
    return display, finished


def test_long_runs_have_a_time_left(clock):
    display, _ = followed(clock, 2, 40)
    assert left(display) == "0:05:20"
    clock[0] += 20
    assert left(display) == "0:05:00"
    clock[0] += 1000  # the next one takes longer than was thought
    assert left(display) == "0:00:00"


def test_runs_that_were_complete_before_have_no_speed(clock):
    display, finished = followed(clock, 5, 0.01)
    assert left(display) == "-:--:--"
    clock[0] += 59.95
    finished("a run", "")
    assert left(display) == "0:04:00"
