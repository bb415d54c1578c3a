"""The tries of a property, a small finished run, a command line that refuses, and little memory."""

import resource
import shutil
from functools import partial
from pathlib import Path

import pytest
from tests.reliability.fuzzing import make_run

from sigmae.cli import main
from sigmae.metrics import precision_recall_curve

MORE = 1 << 30  # bytes that a test with little memory may take beyond what the process has


@pytest.fixture(autouse=True)
def _tries(request, record_property):
    """A property that `properties.holds_for` made states its tries to the ledger."""
    if tries := getattr(request.function, "tries", 0):
        record_property("tried", tries)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> Path:
    """Only to be read."""
    return make_run(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def run(finished_run, tmp_path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


@pytest.fixture
def refused(capsys):
    """The one line in which a command refuses what it is given."""

    def told(*arguments: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        assert (stopped.value.code, printed.out) == (1, "")
        line = printed.err.splitlines()[-1]
        assert line.startswith("sigmae: ")
        return line

    return told


@pytest.fixture
def little_memory():
    """Whatever takes more fails in another way than by the sentence that a test expects."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MORE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def coarse(monkeypatch):
    """Metrics and maps of a few draws, whose values do not matter."""
    monkeypatch.setattr("sigmae.bandwidth.PAIRS", 1000)
    monkeypatch.setattr("sigmae.evaluation.decoder.REFERENCE", 20)
    monkeypatch.setattr("sigmae.evaluation.decoder.COUNTS", (5,))
    monkeypatch.setattr("sigmae.evaluation.decoder.REPEATS", 2)
    monkeypatch.setattr("sigmae.evaluation.generation.precision_recall_curve", partial(precision_recall_curve, runs=1))
    monkeypatch.setattr("sigmae.figures.maps.embedded", lambda points, method, *, seed=0: points[:, :2])
