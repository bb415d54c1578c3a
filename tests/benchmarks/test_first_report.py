"""From a clone to a report: the parts are run in turn where they belong, and their time is taken."""

import json
import subprocess
import sys

import pytest
from benchmarks.first_report import demo, timed, training_seconds


def test_parts_run_beside_the_clone_until_it_is_there_and_in_it_afterwards(tmp_path):
    clone = tmp_path / "clone"
    parts = {
        "makes it": [sys.executable, "-c", f"import os; open('beside', 'w'); os.mkdir({str(clone)!r})"],
        "is in it": [sys.executable, "-c", "import time; time.sleep(0.2); open('within', 'w')"],
    }
    seconds = timed(parts, clone)
    assert list(seconds) == list(parts)
    assert seconds["is in it"] >= 0.2
    assert (tmp_path / "beside").exists()
    assert (clone / "within").exists()


def test_a_part_that_fails_is_not_timed(tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        timed({"fails": [sys.executable, "-c", "raise SystemExit(1)"]}, tmp_path)


def test_the_demo_is_that_of_the_makefile(tmp_path, pytestconfig):
    words = (pytestconfig.rootpath / "Makefile").read_text()
    *_, install, _, _, train = demo(tmp_path).values()
    assert " ".join(install[3:]).replace(".[dev]", '".[dev]"') in words  # pip install ...
    assert " ".join(train[1:]) in words


def test_training_is_what_the_history_says_of_its_last_epoch(tmp_path):
    lines = [{"epoch": 1, "seconds": 1.5}, {"epoch": 2, "seconds": 2.5}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert training_seconds(tmp_path) == 2.5
