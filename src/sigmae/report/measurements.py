"""The measurements of a run's page: tables by group, each protocol once beneath the numbers that it made."""

from collections.abc import Mapping, Sequence
from typing import Any

from sigmae.report.arrangement import arranged, extremes, Group, Matrix, Measurement, protocols, sharing
from sigmae.report.markup import code, element, Html, join, table
from sigmae.report.words import GROUPS, measured, metric_heading, metric_kind, metric_name, sentence_case, subject


def measurements(rows: Sequence[Measurement]) -> Html:
    """Every measurement, under the heading of its group."""
    return join(*[_group(group) for group in arranged(rows)])


def left_out(reasons: Mapping[str, Any]) -> Html:
    """The metrics that were left out, with their sentences."""
    if not reasons:
        return Html()
    rows = [
        element("tr", element("th", code(metric), scope="row"), element("td", str(why)))
        for metric, why in reasons.items()
    ]
    heading = element("h3", "Left out")
    return join(heading, table("settings", "Metrics that do not apply to this run", ["Metric", "Why"], rows))


def _group(group: Group) -> Html:
    heading, _ = GROUPS[group.name]
    columns = ["Metric", "Of", "Value", "Count"]
    single = table("single", f"{heading}: single numbers", columns, map(_single, group.single)) if group.single else ""
    return join(element("h3", heading), single, *map(_matrix, group.matrices))


def _single(row: Measurement) -> Html:
    told = _note(str(row.get("unit") or ""), str(row.get("protocol") or ""))
    heading = element("th", metric_name(str(row["metric"])), element("small", told) if told else "", scope="row")
    of = element("td", sentence_case(subject(str(row["of"]))))
    return element("tr", heading, of, _value(row), element("td", measured(row.get("count"))))


def _matrix(matrix: Matrix) -> Html:
    """Things below, metrics beside one another; a long column behind a line that says how far it reaches."""
    rows = [
        element(
            "tr",
            element("th", sentence_case(subject(of)), scope="row"),
            *[_value(column.get(of, {})) for column in matrix.columns.values()],
        )
        for of in matrix.subjects
    ]
    notes = [element("span", text) for text in _notes(matrix)]
    head = ["Of", *map(metric_heading, matrix.columns)]
    shown = element("div", table("matrix", join(*notes), head, rows), class_="scroll", tabindex=0)
    return element("details", element("summary", _ends(matrix)), shown) if matrix.folded else shown


def _value(row: Measurement) -> Html:
    return element("td", measured(row.get("value"), row.get("error")))


def _ends(matrix: Matrix) -> str:
    """A folded column in a line."""
    told = f"{metric_name(next(iter(matrix.columns)))}: {len(matrix.rows)} values"
    if found := extremes(matrix.rows):
        told += ", " + " to ".join(f"{measured(row['value'])} ({subject(str(row['of']))})" for row in found)
    return told


def _notes(matrix: Matrix) -> list[str]:
    """The features, and how the numbers were obtained: each protocol once, with the metrics that share it."""
    told = [f"In {matrix.features} features."] if matrix.features else []
    for key, alike in protocols(matrix.rows).items():
        names = [
            ", ".join(filter(None, (metric_name(metric_kind(metric)), subject(of))))
            for metric, of in sharing(alike, matrix.rows)
        ]
        told.append(f"{'; '.join(names)}: {_note(*key, alike)}")
    return told


def _note(unit: str, protocol: str, rows: Sequence[Measurement] = ()) -> str:
    counts = sorted({count for row in rows if isinstance(count := row.get("count"), int)})
    told = " to ".join(dict.fromkeys([measured(counts[0]), measured(counts[-1])])) if counts else ""
    parts = (unit, protocol, f"{told} examples" if told else "")
    note = ". ".join(sentence_case(text).rstrip(".") for text in parts if text)
    return f"{note}." if note else ""
