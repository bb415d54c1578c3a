"""The record of kept promises: `pytest -m promise --ledger results/reliability.json`, for docs/reliability.md.

A test keeps a promise by the marker `promise(group, sentence)`. It counts as one try, or as many as it states by
`record_property("tried", number)`.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

GROUPS = (
    "Killed and continued",
    "What the machine lacks",
    "The same seed",
    "Numbers that go wrong",
    "Files of strangers",
    "Several processes",
)


class Ledger:
    """What every promise's tests did in this session."""

    def __init__(self, path: Path) -> None:
        self.path, self.tallies = path, {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the test's call, and whatever else of it failed or was left out."""
        if report.when != "call" and report.passed:
            return
        told = dict(report.user_properties)
        tries = told.get("tried", 1)
        for name, value in report.user_properties:
            if name == "promise":
                tally = self.tallies.setdefault(value, Counter())
                tally["tests"] += 1
                tally["left out" if report.skipped else "tried"] += tries
                tally["kept"] += tries if report.passed else 0

    def pytest_sessionfinish(self) -> None:
        """Write the promises of this session in place of their old entries, beside those that were not tried."""
        from sigmae.files import write_json  # not sooner: the tests' checks of shapes must come before it
        from sigmae.runs.environment import environment

        known = json.loads(self.path.read_text()) if self.path.exists() else []
        entries = {(entry["group"], entry["promise"]): entry for entry in known}
        where = {key: environment()[key] for key in ("commit", "processor", "system", "python", "packages")}
        for (group, sentence), tally in self.tallies.items():
            counts = {name: tally[name] for name in ("tests", "tried", "kept", "left out")}
            entries[group, sentence] = {"group": group, "promise": sentence, **counts, **where}
        write_json(self.path, sorted(entries.values(), key=lambda one: (GROUPS.index(one["group"]), one["promise"])))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ledger", type=Path, help="write the promises that were tried, and kept, to this JSON file")


def pytest_configure(config: pytest.Config) -> None:
    if path := config.getoption("--ledger"):
        config.pluginmanager.register(Ledger(path))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("promise"):
            group, sentence = mark.args
            assert group in GROUPS, f"{item.nodeid}: there is no group '{group}' in tests/ledger.py"
            item.user_properties.append(("promise", (group, sentence)))
