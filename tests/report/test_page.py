import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from sigmae.errors import SigmaeError
from sigmae.report import write_report

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;{}"


class Page(HTMLParser):
    """A page taken apart; anything that is not well nested fails."""

    VOID = frozenset({"meta", "img", "wbr"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open, self.elements, self.words = [], [], []
        self.feed(self.source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    @property
    def prose(self) -> str:
        """The text with no space added between elements."""
        return "".join(self.words)

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def png(width: int = 3, height: int = 2) -> bytes:
    file = io.BytesIO()
    Image.new("RGBA", (width, height), "teal").save(file, "PNG")
    return file.getvalue()


def terms(loss: float) -> dict:
    return {"loss": loss, "reconstruction": loss - 0.5, "latent": 0.5, "decoder": 0.0}


def measurement(metric: str, of: str, value: float | None, **more) -> dict:
    return {"metric": metric, "of": of, "value": value, "count": 10000, "unit": "", "protocol": "held out", **more}


CONFIG = {
    "version": 1,
    "method": "rae-l2",
    "citation": "A paper (2020). https://example.org/abs/1",
    "model": {
        "method": "rae-l2",
        "latent_dim": 16,
        "objective": {
            "decoder": {"type": "WeightNorm", "weight": 1e-4},
            "posterior": {"type": "Delta"},
            "propagation": {"type": "Mean"},
            "likelihood": {"type": "SquaredError", "weight": 1.0},
            "latent": {"type": "SquaredNorm", "weight": 0.0064},
        },
        "network": {"name": "conv", "options": {"blocks": [{"kernel": 4}, {"kernel": 3}], "channels": [32, 64]}},
    },
    "data": {"source": "mnist", "mirror": "javascript:alert(1)", "image_size": 32},
    "training": {"epochs": 5, "seed": 7, "schedule": {"type": "plateau", "inner": {"patience": 3}}},
}
EVALUATION = {
    "version": 1,
    "features": {"classifier": {"accuracy": 0.98}},
    "rows": [
        measurement("squared_error", "reconstructions", 5.3141, unit="sum over pixels"),
        measurement("fid-classifier", "reconstructions", 2.1),
        measurement("fid-classifier", "prior", 31.2),
        measurement("fid-inception", "prior", 0.5),
        measurement("fid-classifier", "gmm10", 6.43),
        measurement("fid-classifier", "interpolations", 1.0),
        measurement("kid-classifier", "reconstructions", 1.2, error=0.3, count=9000),
        measurement("kid-classifier", "gmm10", 3.4, error=0.4),
        measurement("entropy", "encodings", None),
    ],
    "left_out": {"elbo": "A deterministic encoder has none."},
}
ENVIRONMENT = {
    "version": 1,
    "command": ["sigmae", "train", "my photos"],
    "versions": {"torch": "2.13.0"},
    "hardware": {"cores": 2},
    "commit": "3f2a91c",
}


FILES = ("config.json", "evaluation.json", "environment.json", "metrics.jsonl")


def write(folder: Path, name: str, value: object) -> None:
    (folder / name).write_text(json.dumps(value), encoding="utf-8")


def make_run(folder: Path) -> Path:
    write(folder, "config.json", CONFIG)
    write(folder, "evaluation.json", EVALUATION)
    write(folder, "environment.json", ENVIRONMENT)
    losses = [9.0, 6.0, 7.5]
    lines = [
        {"epoch": i, "train": terms(loss - 0.25), "validation": terms(loss), "best": loss != 7.5}
        for i, loss in enumerate(losses, start=1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "figures").mkdir()
    for width, stem in enumerate(["reconstructions", "samples-gmm10", "samples-prior", "neighbours"], start=1):
        (folder / "figures" / f"{stem}.png").write_bytes(png(width, 2 * width))
    return folder


@pytest.fixture
def run(tmp_path) -> Path:
    return make_run(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run with its page; only read."""
    folder = make_run(tmp_path_factory.mktemp("run"))
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(finished) -> Page:
    return Page(finished / "report.html")


def test_the_page_is_where_it_is_said_to_be(run):
    assert write_report(run) == run / "report.html"
    assert {path.name for path in run.iterdir()} == {
        *("config.json", "evaluation.json", "environment.json", "metrics.jsonl", "figures", "report.html")
    }


def test_the_same_files_give_the_same_bytes(run):
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_the_summary_tells_the_run_in_words(page):
    summary = page.prose[page.prose.index("An autoencoder") :]
    assert summary.startswith(
        "An autoencoder with 16 latent dimensions, made of Delta (posterior), Mean (propagation), "
        "SquaredError (likelihood), SquaredNorm (latent regularizer) and WeightNorm (decoder regularizer). "
        "It was trained for 3 of 5 epochs; the validation loss was lowest at epoch 2: 6.000. "
        "Squared error: 5.314 for reconstructions. "
        "Fréchet distance (FID), classifier features: 2.100 for reconstructions, "
        "6.430 for samples from a mixture of 10 Gaussians (the best of 2 densities). "
        "Fréchet distance (FID), inception features: 0.5000 for samples from the prior. "
    )


def test_the_sections_come_in_order_and_are_linked(page):
    sections = [attributes["id"] for attributes in page.all("section")]
    assert sections == ["metrics", "pictures", "training", "objective", "settings", "environment"]
    assert [a["href"] for a in page.all("a") if a["href"].startswith("#")] == [f"#{name}" for name in sections]
    headings = re.findall(r"<h(\d)", page.source)
    assert headings == ["1", "2", *["3"] * 3, *["2"] * 5]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["aria-labelledby"] for attributes in page.all("section")} <= set(ids)


def tables(page: Page, kind: str) -> list[str]:
    """The text of every table of a class, cells apart."""
    found = [part.split("</table>")[0] for part in page.source.split(f'<table class="{kind}"')[1:]]
    return [re.sub(r"(\|\s*)+", "|", re.sub(r"<[^>]+>", "|", table)) for table in found]


def test_numbers_of_two_feature_sets_are_never_in_one_table(page):
    (matrix,) = tables(page, "matrix")
    assert "|In classifier features.|" in matrix
    assert "|Of|FID|KID|" in matrix
    assert "|Reconstructions|2.100|1.200 ± 0.3|Samples from the prior|31.20|–|" in matrix
    assert "0.5000" not in matrix
    (inception,) = [table for table in tables(page, "single") if "0.5000" in table]
    assert "Fréchet distance (FID), inception features" in inception


def test_every_protocol_is_told_once_for_the_metrics_that_share_it(page):
    (matrix,) = tables(page, "matrix")
    assert "|Fréchet distance (FID); Kernel distance (KID): Held out. 9,000 to 10,000 examples.|" in matrix
    (squared, *_) = tables(page, "single")
    assert "|Squared error|Sum over pixels. Held out.|Reconstructions|5.314|10,000|" in squared


def test_metrics_are_grouped_and_strangers_are_called_other(page):
    headings = re.findall(r"<h3>(.*?)</h3>", page.source)
    assert headings == ["Generation", "Other", "Left out"]
    assert "–" in next(table for table in tables(page, "single") if "Entropy" in table)
    (reasons,) = [table for table in tables(page, "settings") if "Why" in table]
    assert "|elbo|A deterministic encoder has none.|" in reasons


def test_protocols_that_differ_name_what_they_are_of(run):
    rows = [measurement("expected_gap", f"variance {v}", v, protocol=f"for {v}", count=5) for v in (1, 2)]
    write(run, "evaluation.json", {"version": 1, "rows": [*rows, measurement("els", "decoder", 1.0)]})
    (matrix,) = tables(Page(write_report(run)), "matrix")
    assert "|Expected gap, variance 1: For 1. 5 examples.|Expected gap, variance 2: For 2. 5 examples.|" in matrix


@pytest.mark.parametrize(("latents", "folded"), [(12, 0), (128, 1)])
def test_many_latents_are_folded(run, latents, folded):
    rows = [measurement("latent_kl", f"latent {j}", 1 / (j + 1), unit="nats") for j in range(latents)]
    write(run, "evaluation.json", {"version": 1, "rows": rows})
    page = Page(write_report(run))
    assert len(page.all("details")) == folded
    assert page.text.count("Latent 11 ") == 1
    told = "Divergence of each latent from the prior: 128 values, 0.007812 (latent 127) to 1.000 (latent 0)"
    assert (told in page.text) == bool(folded)


def test_pictures_are_inside_the_page_whole_and_in_order(finished, page):
    shown = [image for image in page.all("img") if image["src"].startswith("data:image/png;base64,")]
    stems = ["reconstructions", "samples-prior", "samples-gmm10", "neighbours"]
    for image, stem in zip(shown, stems, strict=True):
        content = (finished / "figures" / f"{stem}.png").read_bytes()
        assert base64.b64decode(image["src"].split(",", 1)[1], validate=True) == content
        assert (int(image["width"]), int(image["height"])) == Image.open(io.BytesIO(content)).size
    assert "Samples from a mixture of 10 Gaussians Latents drawn" in re.sub(r"\s+", " ", page.text)
    assert "Fréchet distance (FID), classifier features: 31.20" in page.text


def test_charts_are_shown_at_half_their_pixels(run):
    (run / "figures" / "divergences.png").write_bytes(png(960, 600))
    (chart,) = [image for image in Page(write_report(run)).all("img") if image["alt"].startswith("Bar chart: ")]
    assert (chart["width"], chart["height"]) == ("480", "300")
    assert "Divergence of each latent. How many nats" in chart["alt"]


def test_every_picture_has_words(page):
    assert len(page.all("img")) == 4 + 3  # three terms are not zero throughout
    assert all(len(image["alt"]) > 10 for image in page.all("img"))
    alts = [image["alt"] for image in page.all("img")]
    assert any(alt.startswith("Images: Nearest training images. Decoded samples") for alt in alts)
    assert any("from 9.000 at epoch 1 to 7.500 at epoch 3, lowest 6.000" in image["alt"] for image in page.all("img"))


def test_parts_settings_and_environment_are_told(page):
    text = page.prose
    parts = text[text.index("The parts of the objective") :]
    names = ["Posterior", "Propagation", "Likelihood", "Latent regularizer", "Decoder regularizer"]
    assert sorted(names, key=parts.index) == names
    assert "weight = 0.0064" in text
    assert all(told in text for told in ("image_size", "32, 64", "blocks.1.kernel", "schedule.inner.patience"))
    assert "sigmae train 'my photos'" in text
    assert all(told in text for told in ("2.13.0", "cores", "3f2a91c"))


def test_tables_have_headings_for_rows_and_columns(page):
    assert len(page.all("caption")) == len(page.all("table")) >= 4
    assert {attributes.get("scope") for attributes in page.all("th")} == {"col", "row", "rowgroup"}


@pytest.mark.promise(
    "Files of strangers",
    "Text from a file stays text in every page, table and picture, and a report loads and runs nothing.",
)
def test_only_secure_addresses_become_links(page):
    assert [a for a in page.all("a") if not a["href"].startswith("#")] == [
        {"href": "https://example.org/abs/1", "rel": "noreferrer"}
    ]


@pytest.mark.promise(
    "Files of strangers",
    "Text from a file stays text in every page, table and picture, and a report loads and runs nothing.",
)
def test_the_page_stands_alone(page):
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form", "video", "audio"}
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "srcset")], tag
        assert attributes.get("src", "data:").startswith("data:")
    style = page.source.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.promise(
    "Files of strangers",
    "Text from a file stays text in every page, table and picture, and a report loads and runs nothing.",
)
def test_the_policy_admits_this_style_and_nothing_else(page):
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    style = page.source.split("<style>")[1].split("</style>")[0]
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert set(policy.split("; ")) == {
        "default-src 'none'",
        "img-src data:",
        f"style-src 'sha256-{allowed}'",
        "base-uri 'none'",
        "form-action 'none'",
    }


def hostile(value: object) -> object:
    """Every name and every text in a JSON value made hostile; numbers stay."""
    if isinstance(value, dict):
        fixed = {"version", "rows", "metric", "of", "value", "epoch", "train", "validation", "loss", "best"}
        fixed |= {"method", "title", "citation", "objective", "data", "name", "type", "command", "protocol", "unit"}
        return {key if key in fixed else key + HOSTILE: hostile(member) for key, member in value.items()}
    if isinstance(value, list):
        return [hostile(member) for member in value]
    return value + HOSTILE if isinstance(value, str) else value


@pytest.mark.promise(
    "Files of strangers",
    "Text from a file stays text in every page, table and picture, and a report loads and runs nothing.",
)
def test_hostile_text_stays_text(run):
    tame = Page(write_report(run))
    for name in ("config.json", "evaluation.json", "environment.json"):
        write(run, name, hostile(json.loads((run / name).read_text())))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (run / "metrics.jsonl").write_text("".join(json.dumps(hostile(line)) + "\n" for line in lines))
    (run / "figures" / f"{HOSTILE.replace('/', '')}.png").write_bytes(png())
    page = Page(write_report(run))
    assert page.prose.count("<script>alert(1)</script>") > 40
    assert not page.all("script")
    assert len(page.all("img")) == len(tame.all("img")) + 1
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in tame.elements}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert not [a for a in page.all("a") if not a["href"].startswith(("#", "https://"))]


def test_a_value_of_any_kind_can_be_shown(run):
    (run / "metrics.jsonl").unlink()
    odd = [None, True, [], {}, [[1], {"a": None}], "\ud800 half a pair", -1, 1e-9, "x" * 5000]
    write(run, "config.json", {"version": 1, **{f"key{i}": value for i, value in enumerate(odd)}})
    assert "? half a pair" in Page(write_report(run)).text
    for value in odd:
        write(run, "config.json", dict.fromkeys(CONFIG, value) | {"version": 1})
        write(run, "environment.json", dict.fromkeys(ENVIRONMENT, value))
        Page(write_report(run))


def test_a_run_that_has_only_begun_has_a_page_too(tmp_path):
    write(tmp_path, "config.json", {"version": 1})
    page = Page(write_report(tmp_path))
    assert "No epoch has been recorded yet." in page.text
    assert "This run has not been evaluated yet." in page.text
    assert [attributes["id"] for attributes in page.all("section")] == ["metrics"]


def test_a_diverged_run_has_a_page(run):
    line = {"epoch": 1, "train": {"loss": float("nan")}, "validation": {"loss": float("inf")}, "best": True}
    (run / "metrics.jsonl").write_text(json.dumps(line))
    page = Page(write_report(run))
    assert "It was trained for 1 of 5 epochs." in page.text
    assert "training" not in [attributes["id"] for attributes in page.all("section")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((name, content) for name in FILES for content in ('{"version": 1, "me', "[1]", "\xff")),
        *((name, content) for name in FILES[:2] for content in ("", '{"version": 2}', "{}")),
        ("metrics.jsonl", '{"step": 1}'),
        ("metrics.jsonl", '{"epoch": 1}\n\n{"epoch": 2}\n'),
    ],
)
def test_a_damaged_file_is_named_and_an_older_page_stays(run, name, content):
    (run / "report.html").write_text("an older page")
    (run / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(SigmaeError, match=re.escape(name)):
        write_report(run)
    assert (run / "report.html").read_text() == "an older page"


@pytest.mark.parametrize("rows", [{}, ["x"], [{"metric": "fid", "of": "prior"}]])
def test_rows_of_another_form_are_named(run, rows):
    write(run, "evaluation.json", {"version": 1, "rows": rows})
    with pytest.raises(SigmaeError, match=r"evaluation\.json"):
        write_report(run)


def test_a_picture_that_is_none_is_named(run):
    (run / "figures" / "samples-prior.png").write_bytes(b"")
    with pytest.raises(SigmaeError, match=r"samples-prior\.png is not a PNG"):
        write_report(run)


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(SigmaeError, match=r"no config\.json"):
        write_report(tmp_path)


def luminance(colour: str) -> float:
    digits = colour * 2 if len(colour) == 3 else colour
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_text_has_contrast_in_light_dark_and_print(page):
    schemes = [dict(re.findall(r"--(\w+): #(\w+);", block)) for block in re.findall(r":root \{[^}]*\}", page.source)]
    assert len(schemes) == 3
    for scheme in schemes:
        for name in ("ink", "soft", "accent"):
            dark, light = sorted([luminance(scheme[name]), luminance(scheme["paper"])])
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, scheme)
