"""What docs/security.md promises is what tests keep, and its bounds are those of the code."""

import ast
import re
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
GROUP = "Files of strangers"


def section(heading: str) -> str:
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def kept(path: Path) -> set[str]:
    """The sentences of the group that tests of a file are marked with; names stand for the file's own constants."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    constants = {
        ast.unparse(node.targets[0]): node.value
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }
    marks = [node.args for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".promise")]
    told = [[constants.get(ast.unparse(word), word) for word in mark] for mark in marks]
    return {sentence.value for group, sentence in told if group.value == GROUP}


def test_every_promise_is_kept_by_tests_and_told():
    listed = re.findall(r"^- (.+)$", section("What is promised"), flags=re.MULTILINE)
    assert len(set(listed)) == len(listed) >= 10
    assert set(listed) == set().union(*map(kept, (ROOT / "tests").rglob("test_*.py")))


def test_the_bounds_are_those_of_the_code():
    rows = re.findall(r"^\|[^|]+\| ([\d,]+) \| `([\w.]+)` \|$", section("The bounds"), flags=re.MULTILINE)
    assert len(rows) == section("The bounds").count("\n| ") - 1
    for bound, place in rows:
        module, _, name = place.rpartition(".")
        assert int(bound.replace(",", "")) == getattr(import_module(module), name), place
