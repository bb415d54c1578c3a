"""The page docs/reliability.md, from what the tests left in results/reliability.json.

    pytest -m promise --ledger results/reliability.json
    python results/reliability.py

results/reliability/GROUP.md says by hand what is to be said of a group of promises: how they are tried, and limits.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from runs import HERE, table

PAGE = HERE.parent / "docs" / "reliability.md"
NOTES = HERE / "reliability"
Record = Mapping[str, Any]
OPENING = """\
# What was tried to break it

`pytest -m promise --ledger results/reliability.json` tries all of this, and `python results/reliability.py` wrote
this page from what it found. A try is a kill, an input or a refusal that a test checked; it is kept when the test
passed. Rows were counted at one of the commits below (+: with changes that were committed later); a promise that slow
tests keep as well may have been counted without them."""


def records() -> list[Record]:
    """What was tried, by group."""
    found: list[Record] = json.loads((HERE / "reliability.json").read_text())
    return found


def kept(one: Record) -> str:
    """How many of the tries were kept, and how many could not be made."""
    share = f"{one['kept']:,} of {one['tried']:,}" if one["kept"] < one["tried"] else f"all {one['tried']:,}"
    return share + (f" ({one['left out']} left out)" if one["left out"] else "")


def circumstances(found: Sequence[Record]) -> str:
    """On what, and with what."""
    told = {
        f"{one['processor']}, {one['system']}, torch {one['packages']['torch']}, Python {one['python']}, "
        f"commit {one['commit']}"
        for one in found
    }
    return "; ".join(sorted(told)) + "."


def section(name: str, found: Sequence[Record]) -> Iterator[str]:
    """A group of promises: what is to be said of it, and what was tried."""
    yield f"## {name}"
    if (notes := NOTES / f"{name.lower().replace(' ', '-')}.md").exists():
        yield notes.read_text().strip()
    yield table(["promise", "tests", "kept"], [[one["promise"], str(one["tests"]), kept(one)] for one in found])


def page(found: Sequence[Record]) -> str:
    """The whole page."""
    total, tests = sum(one["tried"] for one in found), sum(one["tests"] for one in found)
    good = sum(one["kept"] for one in found)
    sections = [section(name, list(group)) for name, group in groupby(found, key=lambda one: str(one["group"]))]
    head = [OPENING, f"In all: {tests:,} tests, {total:,} tries, {good:,} kept.", circumstances(found)]
    return "\n\n".join([*head, *(text for texts in sections for text in texts)]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(records()))
