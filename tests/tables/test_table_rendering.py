"""A reproduction made by hand, in every form that it is written in."""

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from sigmae.studies.statistics import Summary
from sigmae.tables.claims import Count, Verdict
from sigmae.tables.orderings import Ordering
from sigmae.tables.published import Number, Place
from sigmae.tables.rendering import as_record, markdown, numbers_csv, page, terminal
from sigmae.tables.reproduction import Measured, Reproduction

NASTY = "<b>|\n`x`\x1b[31m*_&\"'"
TOLD = "<b>| `x` [31m*_&\"'"  # the same on one line, without control characters


def number(row, column, *, data="MNIST", printed=None, measured=None, **more) -> Measured:
    return Measured(Place(row, column, data), f"{column}:all", printed, measured, **more)


NUMBERS = (
    number("VAE", "FID", printed=Number(19.86, 2.57), measured=Summary(39.72, 1.23, 3)),
    number("VAE", "MSE", printed=Number(-8000.0), measured=Summary(-4000.0, None, 1)),
    number("RAE", "FID", printed=Number(17446.0)),
    number("RAE", "MSE", measured=Summary(0.25, None, 1)),
    number("AE", "FID", printed=Number(1.0, bound=">"), measured=Summary(3.0, None, 1)),
    number("AE", "MSE", failure="Seed 1: It diverged."),
    number("VAE", "FID", data="CelebA", printed=Number(0.0, 0.0), measured=Summary(2.0, None, 1)),
    number("VAE", "MSE", data="CelebA", printed=Number(50.0), measured=Summary(25.0, 0.5, 2), comparable=False),
)


def table(numbers=NUMBERS, text="") -> Reproduction:
    return Reproduction(
        name="a-table",
        title=f"Distances{text}",
        source=f"A paper{text}, Table 1",
        scale="small",
        numbers=tuple(numbers),
        orderings=(Ordering("FID", f"MNIST{text}", 2, 3),),
        verdicts=(
            Verdict(f"RAE is better{text}.", Count(2, 3, ("RAE 4, VAE 3",)), Count(1, 1)),
            Verdict("It is near.", Count(), Count()),
        ),
        deviations=(f"One seed{text}.",),
        circumstances={"seeds": "0, 1", "hardware": f"a computer{text}", "features": ""},
    )


def nasty() -> Reproduction:
    numbers = [
        number(NASTY + str(n), NASTY + "column", data=NASTY, measured=Summary(1.0, None, 1), failure=NASTY)
        for n in range(3)
    ]
    return table(numbers, NASTY)


class Page(HTMLParser):
    """A page taken apart; anything that is not well nested fails."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open, self.elements, self.words = [], [], []
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
        self.words.append(data)

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (3, 2), "teal").save(file, "PNG")
    return file.getvalue()


FORMATS = {
    "markdown": markdown,
    "csv": numbers_csv,
    "json": lambda found: json.dumps(as_record(found)),
    "html": page,
    "terminal": terminal,
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_values_give_the_same_text(name):
    assert FORMATS[name](table()) == FORMATS[name](table())
    assert FORMATS[name](nasty()) == FORMATS[name](nasty())


@pytest.mark.parametrize("name", FORMATS)
def test_control_characters_come_nowhere(name):
    text = FORMATS[name](nasty())
    if name != "csv":  # which holds every name as it is
        assert "\x1b" not in text
    if name == "json":
        assert "\\u001b" in text


@pytest.mark.parametrize("name", ["markdown", "html", "terminal"])
def test_all_is_told(name):
    text = FORMATS[name](table()).replace("\\", "")
    for told in ("39.7 ± 1.2", "19.86 ± 2.57", "×2", "-8000", "×0.5", "17446", "0.25", ">1", "failed", "–", "50"):
        assert told in text.replace("&gt;", ">"), told
    for told in ("AE on MNIST failed. Seed 1: It diverged.", "One seed.", "RAE is better.", "It is near."):
        assert told in text
    for told in ("no, 2 of 3", "yes", "not tested", "2 of 3", "Scale small; seeds: 0, 1; hardware: a computer."):
        assert told in text
    assert "features:" not in text  # of which nothing is known


@pytest.mark.parametrize("name", ["markdown", "html", "terminal"])
def test_what_does_not_compare_has_no_ratio(name):
    text = FORMATS[name](table())
    assert text.count("×") == 2 + text.count("× measured")  # two numbers, and the note
    assert "the order of rows compares, no number does" in text
    assert "the order of rows compares" not in FORMATS[name](table(NUMBERS[:6]))


def test_ratios():
    found = {(n.place.row, n.place.column, n.place.data): n.ratio for n in NUMBERS}
    assert found == {
        ("VAE", "FID", "MNIST"): 2.0,
        ("VAE", "MSE", "MNIST"): 0.5,
        ("RAE", "FID", "MNIST"): None,  # not measured
        ("RAE", "MSE", "MNIST"): None,  # not in print
        ("AE", "FID", "MNIST"): 3.0,
        ("AE", "MSE", "MNIST"): None,
        ("VAE", "FID", "CelebA"): None,  # zero in print
        ("VAE", "MSE", "CelebA"): None,  # of other data
    }


def rows_of(text: str) -> list[list[str]]:
    """The cells of Markdown's tables."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_markdown():
    rows = rows_of(markdown(table()))
    assert rows[0] == ["", "FID", "MSE"]
    assert rows[2] == ["VAE", "39.7 ± 1.2 (19.86 ± 2.57, ×2)", "-4000 (-8000, ×0.5)"]
    assert rows[3] == ["RAE", "– (17446)", "0.2500"]
    assert rows[4] == ["AE", r"3.000 (\>1)", "failed"]
    assert ["FID", "MNIST", "2 of 3"] in rows
    assert ["RAE is better.", "no, 2 of 3", "yes"] in rows


def test_markdown_with_nasty_names_has_even_rows():
    text = markdown(nasty())
    blocks = re.split(r"\n\n", text)
    for block in blocks:
        assert len({len(row) for row in rows_of(block)}) <= 1
    assert not re.search(r"(?<!\\)<b>", text)
    assert len(rows_of(text)) == (2 + 3) + (2 + 1) + (2 + 2)


def test_csv_holds_all_digits_and_every_name_as_it_is():
    (first, *_), whole = csv.DictReader(io.StringIO(numbers_csv(table()))), numbers_csv(table())
    assert first == {
        "method": "VAE",
        "dataset": "MNIST",
        "metric": "FID",
        "measured": "39.72",
        "deviation": "1.23",
        "seeds": "3",
        "published": "19.86",
        "published_deviation": "2.57",
        "ratio": "2.0",
    }
    lines = list(csv.DictReader(io.StringIO(whole)))
    assert [line["measured"] for line in lines] == ["39.72", "-4000.0", "", "0.25", "3.0", "", "2.0", "25.0"]
    assert [line["ratio"] for line in lines] == ["2.0", "0.5", "", "", "3.0", "", "", ""]
    hostile = list(csv.DictReader(io.StringIO(numbers_csv(nasty()), newline="")))
    assert [line["method"] for line in hostile] == [f"{NASTY}{n}" for n in range(3)]


def test_json_holds_numbers_claims_and_circumstances():
    found = json.loads(json.dumps(as_record(table()), allow_nan=False))
    assert (found["table"], found["scale"], len(found["rows"])) == ("a-table", "small", len(NUMBERS))
    failed = found["rows"][5]
    assert (failed["measured"], failed["seeds"], failed["failure"]) == (None, 0, "Seed 1: It diverged.")
    assert found["rows"][4]["bound"] == ">"
    assert [row["comparable"] for row in found["rows"]] == [True] * 7 + [False]
    assert found["orderings"] == [{"column": "FID", "data": "MNIST", "agreeing": 2, "pairs": 3, "holds": False}]
    assert found["claims"][0]["measured"] == {"holds": False, "held": 2, "of": 3, "against": ["RAE 4, VAE 3"]}
    assert found["claims"][1]["published"]["holds"] is None
    assert found["deviations"] == ["One seed."]


@pytest.mark.promise(
    "Files of strangers",
    "Text from a file stays text in every page, table and picture, and a report loads and runs nothing.",
)
def test_the_page_loads_and_runs_nothing():
    source = page(table(), {"MNIST": {"VAE": {"reconstructions": png(), "samples": png()}, "AE": {"samples": png()}}})
    found = Page(source)
    assert not {"script", "link", "iframe", "a", "object"} & set(found.tags)
    assert not re.search(r"https?://|@import|url\(", source)
    sources = [attributes["src"] for tag, attributes in found.elements if tag == "img"]
    assert len(sources) == 3
    assert all(text.startswith("data:image/png;base64,") for text in sources)
    (policy,) = [a["content"] for _, a in found.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)


@pytest.mark.promise(
    "Files of strangers",
    "Text from a file stays text in every page, table and picture, and a report loads and runs nothing.",
)
def test_nasty_text_is_text_on_the_page():
    found = Page(page(nasty(), {NASTY: {f"{NASTY}0": {"samples": png()}}}))
    assert "b" not in found.tags
    assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
    assert TOLD in found.words
    alike = [number(str(n), "c", data="d", measured=Summary(1.0, None, 1), failure="f") for n in range(3)]
    assert found.tags == Page(page(table(alike), {"d": {"0": {"samples": png()}}})).tags


@pytest.mark.parametrize("width", [40, 80, 160])
def test_a_terminal_has_its_width_and_every_number(width):
    wide = [number("VAE", f"column {n}", measured=Summary(float(n), None, 1)) for n in range(20)]
    grid = terminal(table(wide), width=width).split("Each number")[0]
    assert max(map(len, grid.splitlines())) <= width
    assert all(f"{n}.00" in grid for n in range(1, 20))


def test_one_number_on_every_data_set_makes_one_grid():
    numbers = [number("h", "bandwidth", data=f"m={m}", measured=Summary(float(m), None, 1)) for m in (5, 6)]
    assert rows_of(markdown(table(numbers)))[:4] == [["", "h"], ["---", "---"], ["m=5", "5.000"], ["m=6", "6.000"]]


@pytest.mark.parametrize("name", FORMATS)
def test_a_table_without_numbers_can_still_be_written(name):
    empty = Reproduction("t", "Nothing", "", "small", (), (), (), (), {})
    assert FORMATS[name](empty)


@pytest.mark.parametrize(("count", "told"), [(Count(1, 1), "yes"), (Count(0, 1), "no"), (Count(), "not tested")])
def test_a_verdict_of_one_comparison_is_a_word(count, told):
    found = Reproduction("t", "T", "", "small", (), (), (Verdict("So.", count, Count()),), (), {})
    assert ["So.", told, "not tested"] in rows_of(markdown(found))
