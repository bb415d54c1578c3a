"""The page docs/tables.md, from the tables that sigmae reproduce left in results/tables.

    sigmae reproduce TABLE --scale small --out results/tables/TABLE
    python results/tables.py

A folder may hold notes.md: what is to be said of its table. Of each folder table.json, table.md and table.csv are kept.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runs import HERE, table

from sigmae.tables import TABLES

TABLES_HERE = HERE / "tables"
PAGE = HERE.parent / "docs" / "tables.md"
Record = dict[str, Any]
VERDICTS = {True: "held", False: "did not hold", None: "could not be tested"}


def records() -> list[tuple[Path, Record]]:
    """The tables that were measured, in the order of their names."""
    return [(path.parent, json.loads(path.read_text())) for path in sorted(TABLES_HERE.glob("*/table.json"))]


def claims(found: Sequence[tuple[Path, Record]]) -> Iterator[tuple[str, list[str]]]:
    """Every claim by its verdict: the table, the sentence, the comparisons here and in print."""
    for folder, record in found:
        for claim in record["claims"]:
            here, printed = claim["measured"], claim["published"]
            counts = [f"{count['held']} of {count['of']}" if count["of"] else "–" for count in (here, printed)]
            yield VERDICTS[here["holds"]], [f"[{folder.name}](#{folder.name})", claim["says"], *counts]


def claims_told(found: Sequence[tuple[Path, Record]]) -> str:
    """The claims in three lists."""
    parts = []
    for verdict in VERDICTS.values():
        rows = [row for known, row in claims(found) if known == verdict]
        if rows:
            head = ["table", "claim", "comparisons here", "in print"]
            parts += [f"### {len(rows)} {verdict}", table(head, rows)]
    return "\n\n".join(parts)


def section(folder: Path, record: Record) -> str:
    """A table under its name: what is to be said of it, and what sigmae reproduce wrote."""
    notes = folder / "notes.md"
    text = (folder / "table.md").read_text().split("\n", 1)[1].strip()
    said = notes.read_text().strip() if notes.exists() else ""
    body = re.sub(r"^#(?=#* )", "##", text, flags=re.MULTILINE)
    return "\n\n".join(filter(None, [f"## {folder.name}", f"**{record['title']}**", said, body]))


def page(found: Sequence[tuple[Path, Record]]) -> str:
    """The whole page."""
    missing = [name for name in TABLES if name not in {folder.name for folder, _ in found}]
    kept = f"Not measured here yet: {', '.join(missing)}." if missing else ""
    opening = f"""\
# The papers' tables, measured

`sigmae reproduce TABLE` measured these; [studies](studies.md) tells how, and `results/tables` holds all numbers.
`python results/tables.py` wrote this page; typed by hand are the notes under a table's title, and nothing else. A scale
`small` is a fraction of the paper's data, epochs and channels, named under each table: what may be compared then is the
order of methods and the trend of a number, not the number. {kept}

## Which claims of the papers held here

A claim holds if all its comparisons do, or the share that the table names; the last column makes the same comparisons
among the paper's own printed numbers."""
    return "\n\n".join([opening, claims_told(found), *(section(*one) for one in found)]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(records()))
