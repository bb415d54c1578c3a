"""Numbers that pages cite are those of files: [shown](file.csv "row, column; rank"), a count by "column < column"."""

import csv
import re
from pathlib import Path
from statistics import mean

import pytest

ROOT = Path(__file__).parents[2]
CITED = re.compile(r'\[([^\]]+)\]\(([^)\s]+\.csv) "([^"]+)"\)')
CITING = [path for path in sorted((ROOT / "docs").glob("*.md")) if CITED.search(path.read_text())]
RANKS = {"lowest": 0, "second lowest": 1, "third lowest": 2, "highest": -1}

Line = tuple[list[str], float]


def lines(path: Path) -> list[Line]:
    """Every number of a file with the words beside it: what it is of, the row first."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    column = "measured" if "measured" in rows[0] else "value"
    words = [name for name in rows[0] if name in ("method", "way", "dataset", "metric", "measure", "step")]
    return [([row[name] for name in words], float(row[column])) for row in rows if row[column]]


def check_count(found: list[Line], shown: str, smaller: str, larger: str) -> None:
    """How many rows have less in one column than in another."""
    columns = [
        {tuple(set(words) - {name}): value for words, value in found if name in words} for name in (smaller, larger)
    ]
    below = [columns[0][row] < columns[1][row] for row in columns[0]]
    assert shown == f"{sum(below)} of {len(below)}"


def check_value(found: list[Line], shown: str, cited: str, rank: str) -> None:
    """The mean of a row over its seeds, as it is rounded there, and its place among the rows."""
    name, *keys = cited.split(", ")
    among: dict[str, list[float]] = {}
    for (row, *words), value in found:
        if set(keys) <= set(words):
            among.setdefault(row, []).append(value)
    means = {row: mean(several) for row, several in among.items()}
    assert f"{means[name]:.{len(shown.partition('.')[2])}f}" == shown
    if rank:
        place, _, count = rank.partition(" of ")
        assert len(means) == int(count)
        assert sorted(means, key=means.__getitem__)[RANKS[place]] == name


def check(path: Path, shown: str, title: str) -> None:
    """Whether a citation is what the file says."""
    cited, _, rank = title.partition("; ")
    smaller, less, larger = cited.partition(" < ")
    if less:
        check_count(lines(path), shown, smaller, larger)
    else:
        check_value(lines(path), shown, cited, rank)


@pytest.mark.parametrize("path", CITING, ids=lambda path: path.name)
def test_cited_numbers_are_those_of_the_file(path):
    for shown, file, title in CITED.findall(path.read_text()):
        check((path.parent / file).resolve(), shown, title)


@pytest.mark.parametrize(
    ("shown", "title"),
    [
        ("5.93", "ae, squared error"),
        ("10.66", "vae, squared error; lowest of 9"),
        ("5.92", "ae, squared error; lowest of 8"),
        ("8 of 9", "GMM-10 < prior or Gaussian"),
    ],
)
def test_a_wrong_citation_is_found(shown, title):
    path = ROOT / "results" / "nine-methods.csv"
    check(path, "5.92", "ae, squared error; lowest of 9")
    check(path, "9 of 9", "GMM-10 < prior or Gaussian")
    with pytest.raises(AssertionError):
        check(path, shown, title)


def test_the_guide_has_no_decimals_without_a_source():
    text = re.sub(r"`[^`\n]*`", "", CITED.sub("", (ROOT / "docs" / "choosing.md").read_text()))
    assert re.findall(r"(?<![\w.^])\d+\.\d+", text) == ["0.05"]  # what there would be without holes
