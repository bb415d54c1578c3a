import base64
import csv
import hashlib
import io
import re
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from sigmae.errors import SigmaeError
from sigmae.studies.rendering import FORMATS, latex, markdown, page, summary_csv, terminal
from sigmae.studies.rendering.numbers import MOST_DIGITS, p_text, written
from sigmae.studies.results import Result
from sigmae.studies.statistics import Summary
from sigmae.studies.table import OWN, tabulate

BEST = {"a": [[1.0, 5.0, 3.0]], "b": [[2.0, 4.0, 2.0]], "c": [[3.0, 3.0, 1.0]]}
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;{}|`\\_$%#~^*\n\x1b[31m"
COLUMNS = [("squared_error", "reconstructions"), ("fid-classifier", "gmm10"), ("elbo", "test images")]

values = st.floats(-1e8, 1e8).filter(lambda value: value == 0 or abs(value) > 1e-9)
labels = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
studies = st.dictionaries(
    labels, st.lists(st.lists(values, min_size=3, max_size=3), min_size=1, max_size=3), min_size=1, max_size=3
)


def tabled(study, columns=COLUMNS, **more):
    """A table of a study: for each label, for each seed, a value in each column."""
    results = [
        Result(label, seed, metric, of, value, "", "run", {})
        for label, seeds in study.items()
        for seed, row in enumerate(seeds)
        for (metric, of), value in zip(columns, row, strict=False)
    ]
    chosen = [f"{metric}:{of}" for metric, of in columns] if results else None
    return tabulate(results, columns=chosen, **more)


def numbers(table, plus_minus=" ± ", times="e{}"):
    return [written(cell.summary).text(plus_minus, times) for cells in table.cells.values() for cell in cells.values()]


class Page(HTMLParser):
    """A page taken apart; anything that is not well nested fails."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open, self.elements, self.words, self.style = [], [], [], ""
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["style"]:
            self.style += data
        else:
            self.words.append(data)

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def png(width: int = 3, height: int = 2) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("mean", "deviation", "text"),
    [
        (12.3456, 0.0789, "12.346 ± 0.079"),
        (12.3456, 0.0996, "12.35 ± 0.10"),
        (12.3456, 1.04, "12.3 ± 1.0"),
        (1234.56, 123.4, "1235 ± 123"),
        (-0.04, 1.3, "0.0 ± 1.3"),
        (-5.25, 1.3, "-5.2 ± 1.3"),
        (12.3, 0.0, "12.30 ± 0.00"),
        (0.0, 0.0, "0 ± 0"),
        (1.25e-7, 3.14e-8, "(1.25 ± 0.31)e-7"),
        (1.25e-7, 3.14e-6, "(0.1 ± 3.1)e-6"),
        (3.0, 1e-15, "3.0000000 ± 0.0000000"),
        (12.3456, None, "12.35"),
        (9.99999, None, "10.00"),
        (123456.7, None, "123457"),
        (1.23456e-9, None, "1.235e-9"),
        (-6.02214e23, None, "-6.022e23"),
        (0.0, None, "0"),
    ],
)
def test_digits_follow_the_deviation(mean, deviation, text):
    assert written(Summary(mean, deviation, 2)).text() == text


@given(values, st.floats(1e-9, 1e8))
def test_a_deviation_keeps_two_digits_and_the_value_as_many_places(mean, deviation):
    found = written(Summary(mean, deviation, 2))
    shown, spread = Decimal(found.value), Decimal(found.deviation)
    scale = Decimal(10) ** found.power
    assert abs(shown * scale - Decimal(mean)) <= abs(Decimal(1).scaleb(shown.as_tuple().exponent) * scale)
    assert shown.as_tuple().exponent == spread.as_tuple().exponent
    if 10.0 ** (2 - MOST_DIGITS) * abs(mean) < deviation < 10:
        assert len(spread.as_tuple().digits) == 2
        assert float(spread * scale) == pytest.approx(deviation, rel=0.051)


@pytest.mark.parametrize(
    ("p", "text"), [(0.0004, "p < 0.001"), (0.0121, "p = 0.012"), (0.5, "p = 0.50"), (1, "p = 1.0")]
)
def test_p_values(p, text):
    assert p_text(float(p)) == text


@given(studies)
@settings(deadline=None, max_examples=15)
def test_values_survive_into_every_format(study):
    table = tabled(study)
    lines = terminal(table, width=400)
    assert all(number in lines for number in numbers(table))
    assert all(number in markdown(table) for number in numbers(table))
    assert all(f"${number}$" in latex(table) for number in numbers(table, r" \pm ", r" \times 10^{{{}}}"))
    spans = Page(page(table)).words
    assert all(number.replace("-", "−") in spans for number in numbers(table))
    known = [
        (column.metric, column.of, cell.summary)
        for label in table.labels
        for column, cells in table.cells.items()
        for cell in [cells[label]]
    ]
    for line, (metric, of, summary) in zip(csv.DictReader(io.StringIO(summary_csv(table))), known, strict=True):
        assert (line["metric"], line["of"], float(line["mean"])) == (metric, of, summary.mean)
        assert line["deviation"] == ("" if summary.deviation is None else repr(summary.deviation))


def test_a_narrow_terminal_gets_blocks_of_whole_columns():
    table = tabled(BEST)
    lines = terminal(table, width=50).split("\nOne seed")[0].splitlines()
    assert max(map(len, lines)) <= 50
    assert sum("Method" in line for line in lines) == 2
    assert all(number in "\n".join(lines) for number in numbers(table))


def test_long_names_of_metrics_make_way_for_those_of_their_rows():
    columns = [("nll_without_constant", "test images"), ("my_metric|<b>", "x")]
    table = tabled({"a": [[1.0, 2.0]]}, columns)
    assert r"| Method | nll\_without\_constant ↓ test images | My metric\|\<b\> x |" in markdown(table)
    assert r"{nll\_without\_constant $\downarrow$} & \multicolumn{1}{c}{My metric\textbar{}\textless{}b" in latex(table)
    assert "My metric|<b>" in Page(page(table)).words


@given(studies, labels)
@settings(deadline=None, max_examples=30)
def test_latex_is_balanced_and_its_rows_are_even(study, footer):
    table = tabled(study)
    source = latex(table, footer)
    bare = re.sub(r"\\[\\{}&%$#_]", "", re.sub(r"\\\\\n", "\n", source).replace("% needs", ""))
    depth = [0]
    for sign in re.findall(r"[{}]", bare):
        depth.append(depth[-1] + (1 if sign == "{" else -1))
    assert min(depth) == 0 == depth[-1]
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[%#~\"]", bare.replace('"', ""))
    rows = [line for line in source.splitlines() if line.endswith(r" \\")]
    assert len(rows) == len(table.labels) + 2
    body = [len(re.findall(r"(?<!\\)&", row)) for row in rows]
    assert set(body[1:]) == {3 + bool(table.ranks)}
    environments = re.findall(r"\\(begin|end)\{(\w+)\}", source)
    assert environments == [("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table")]


@given(studies)
@settings(deadline=None, max_examples=30)
def test_markdown_rows_are_even(study):
    table = tabled(study)
    rows = [line for line in markdown(table).splitlines() if line.startswith("|")]
    assert len(rows) == len(table.labels) + 2
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


@pytest.mark.promise(
    "Files of strangers",
    "Text from a file stays text in every page, table and picture, and a report loads and runs nothing.",
)
def test_latex_escapes():
    source = latex(tabled({r"50%_a&b\c~^{d}<$#": [[1.0, 2.0, 3.0]]}))
    assert r"50\%\_a\&b\textbackslash{}c\textasciitilde{}\textasciicircum{}\{d\}\textless{}\$\# & " in source


@pytest.mark.promise(
    "Files of strangers",
    "Text from a file stays text in every page, table and picture, and a report loads and runs nothing.",
)
@given(studies, labels)
@settings(deadline=None, max_examples=30)
def test_any_label_is_text_on_the_page(study, title):
    table = tabled(study)
    pictures = {label: {"samples": png()} for label in study}
    found = Page(page(table, title, title=title, pictures=pictures))
    plainly = dict(zip("abc", study.values(), strict=False))
    expected = Page(page(tabled(plainly), "footer", pictures=dict(zip("abc", pictures.values(), strict=False))))
    assert [tag for tag, _ in found.elements] == [tag for tag, _ in expected.elements]
    assert len(found.all("img")) == len(study)


@pytest.mark.promise(
    "Files of strangers",
    "Text from a file stays text in every page, table and picture, and a report loads and runs nothing.",
)
def test_a_hostile_label_does_nothing_anywhere():
    columns = [*COLUMNS[:2], (HOSTILE, HOSTILE)]
    table = tabled({HOSTILE: [[1.0, 2.0, 3.0]], "b": [[2.0, 1.0, 3.0]]}, columns, failures={HOSTILE + "2": HOSTILE})
    found = Page(page(table, HOSTILE, title=HOSTILE, pictures={HOSTILE: {HOSTILE: png()}}))
    assert not {"script", "a", "link"} & {tag for tag, _ in found.elements}
    assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
    assert any("<script>alert(1)</script>" in words for words in found.words)
    for name, render in FORMATS.items():
        assert name == "csv" or "\x1b" not in render(table, HOSTILE)


@pytest.mark.promise(
    "Files of strangers",
    "Text from a file stays text in every page, table and picture, and a report loads and runs nothing.",
)
def test_the_page_loads_and_runs_nothing():
    found = Page(page(tabled({"a": [[1.0, 2.0, 3.0]]}), pictures={"a": {"reconstructions": png(5, 4)}}))
    policy = next(m["content"] for m in found.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(found.style.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"style-src 'sha256-{digest}'" in policy
    assert not re.search(r"url\(|@import", found.style)
    (image,) = found.all("img")
    assert image["src"].startswith("data:image/png;base64,")
    assert (image["width"], image["height"]) == ("5", "4")
    assert image["alt"] == "Reconstructions: a"


def test_pictures_are_side_by_side_in_the_tables_order():
    pictures = {label: {"samples": png(), "reconstructions": png()} for label in ("b", "a")}
    del pictures["b"]["samples"]
    found = Page(page(tabled({"a": [[1.0, 2.0, 3.0]], "b": [[1.0, 2.0, 3.0]]}), pictures=pictures))
    assert [image["alt"] for image in found.all("img")] == [
        "Reconstructions: a",
        "Reconstructions: b",
        "Samples of each method's own density: a",
    ]
    with pytest.raises(SigmaeError, match="picture samples of a is not a PNG"):
        page(tabled({"a": [[1.0, 2.0, 3.0]]}), pictures={"a": {"samples": b"GIF89a"}})


def test_best_and_second_are_marked_in_every_format():
    table = tabled(BEST)
    assert "1.000 *" in terminal(table)
    assert "2.000 +" in terminal(table)
    assert "| a | **1.000** | 5.000 | **3.000** | 1.67 |" in markdown(table)
    assert "| b | *2.000* | *4.000* | *2.000* | 2.00 |" in markdown(table)
    assert r"c & $3.000$ & \textbf{\boldmath $3.000$} & $1.000$ & 2.33 \\" in latex(table)
    assert r"b & \underline{$2.000$} &" in latex(table)
    assert [attributes.get("class") for attributes in Page(page(table)).all("span")][:3] == ["best", "value", "best"]
    places = [line["place"] for line in csv.DictReader(io.StringIO(summary_csv(table)))]
    assert places == ["1", "", "1", "2", "2", "2", "", "1", ""]


def test_a_terminal_shows_styles_and_a_file_none():
    assert "\x1b[1m" in terminal(tabled(BEST), styled=True)
    assert "\x1b" not in terminal(tabled(BEST))


@pytest.mark.parametrize("name", ["terminal", "markdown", "latex", "html"])
def test_what_is_missing_is_told(name):
    seeds = [[1.0, 5.0], [1.5, 5.5], [1.2, 5.1], [1.1, 5.4]]
    study = {"vae": seeds, "wae": [[one + 1, two + 3] for one, two in seeds], "few": [[2.0], [3.0], [2.4]]}
    table = tabled(study, COLUMNS[:2], failures={"gone": "It diverged."})
    text = FORMATS[name](table, "12 epochs on mnist")
    for told in ("failed", "3 of 4 seeds", "gone failed: It diverged.", "12 epochs on mnist", "over 4 seeds"):
        assert told in text
    assert "in classifier features" in text
    assert re.search(r"p (=|<|&lt;|\\textless\{\}) 0\.0", text)
    assert "paired t-test" in text


def test_the_summary_has_a_line_for_what_failed():
    *_, last = csv.DictReader(io.StringIO(summary_csv(tabled(BEST, failures={"gone": "It diverged."}))))
    assert (last["label"], last["mean"], last["failure"]) == ("gone", "", "It diverged.")


def test_one_seed_has_no_deviation_and_no_test():
    text = markdown(tabled(BEST))
    assert "±" not in text
    assert "One seed a row." in text
    assert "p:" not in text


def test_the_densities_of_the_methods_are_told():
    columns = [("fid-classifier", "prior"), ("fid-classifier", "gaussian"), ("fid-classifier", OWN)]
    table = tabled({"vae": [[1.0, 2.0, 1.0]], "rae": [[1.5, 2.5, 2.5]], "wae": [[3.0, 4.0, 3.0]]}, columns)
    assert "prior (vae, wae), gaussian (rae)." in terminal(table)


@pytest.mark.parametrize("name", FORMATS)
def test_a_study_that_failed_altogether_still_renders(name):
    assert "It diverged." in FORMATS[name](tabled({}, failures={"a": "It diverged."}), "")
