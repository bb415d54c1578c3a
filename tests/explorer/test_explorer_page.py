"""What the explorer writes: one file that holds everything and asks for nothing, and says what the model says."""

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors

import sigmae
from sigmae.api import plan
from sigmae.cli import main
from sigmae.data import Dataset, Split
from sigmae.errors import SigmaeError
from sigmae.evaluation import latent, Stages
from sigmae.explorer import contents as contents_module
from sigmae.explorer.contents import contents
from sigmae.explorer.page import asset, embedded, explore_run, filled, inlined, page, SCRIPTS
from sigmae.explorer.vendoring import Runtime
from sigmae.figures.charts import COLOURS
from sigmae.metrics.images import to_uint8
from sigmae.seeds import generator
from sigmae.settings import TrainingConfig

HOSTILE = "</script><img src=x onerror=alert(1)>"
STAND_IN = Runtime(gzip.compress(b"export default 1;"), gzip.compress(b"\0asm"))


class Page(HTMLParser):
    """A page taken apart: its elements, and the text of each script by its id."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements, self.scripts, self.inside = [], {}, None
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside = dict(attrs).get("id", tag)

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.scripts[self.inside] = self.scripts.get(self.inside, "") + data

    @property
    def facts(self):
        return json.loads(self.scripts["facts"])

    def unpacked(self, name):
        return gzip.decompress(base64.b64decode(self.scripts[f"packed-{name}"], validate=True))


def dataset(shape, *, labels=None, count=40, dtype=torch.uint8) -> Dataset:
    """Noise of a shape in three splits."""
    draw = torch.Generator().manual_seed(3)
    values = torch.rand(count, *shape, generator=draw)
    values = (255 * values).to(dtype) if dtype == torch.uint8 else 4 * values - 1
    return Dataset("noise", Split(values), Split(values[:5]), Split(values, labels), label_names=(HOSTILE, "one"))


def explored(data, *, method="vae", count=1000, latent_dim=3):
    """The contents of a page of an untrained model with a prior and a Gaussian."""
    model = plan(data, method, latent_dim=latent_dim, training=TrainingConfig(batch_size=20)).model.eval()
    for name in ("prior", "gaussian"):
        model.fit_density(name, model.encode(data.train.images))
    stages = Stages(model, data)
    return stages, contents(stages, "a title", count)


@pytest.fixture(scope="module")
def written(run, model, digits, tmp_path_factory):
    """The page of the run, with something in the runtime's place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sigmae.explorer.page.runtime", lambda: STAND_IN)
        path = explore_run(model, digits, run, tmp_path_factory.mktemp("written"))
    return path.read_text(encoding="utf-8")


@pytest.fixture
def stand_in(monkeypatch):
    """Something in the place of the runtime and of the decoder, whose export takes seconds."""
    monkeypatch.setattr("sigmae.explorer.page.runtime", lambda: STAND_IN)
    monkeypatch.setattr("sigmae.explorer.page.decoder_onnx", lambda model: b"onnx")


PROMISE = pytest.mark.promise(
    "Files of strangers", "The explorer's page runs this library's scripts alone, and loads nothing."
)


@PROMISE
def test_the_page_asks_for_nothing(written):
    found = Page(written)
    for tag, attributes in found.elements:
        assert tag not in ("iframe", "object", "embed", "base", "form", "img")
        for name in ("src", "href", "srcset", "action", "style"):
            assert not attributes.get(name) or attributes[name] == "data:,"
        assert not any(name.startswith("on") for name in attributes)
    code = found.scripts["script"] + found.scripts["style"]
    assert not re.search(r"https?:|//\w+\.\w|@import|url\(|fetch\(|XMLHttpRequest|WebSocket|innerHTML|eval\(", code)


@PROMISE
def test_the_policy_allows_this_script_and_this_style_alone(written):
    found = Page(written)
    policy = next(a["content"] for t, a in found.elements if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for name, kind in (("script-src", "script"), ("style-src", "style")):
        digest = base64.b64encode(hashlib.sha256(found.scripts[kind].encode()).digest()).decode()
        assert f"'sha256-{digest}'" in rules[name]
    assert rules["default-src"] == "'none'"
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy


@PROMISE
def test_text_from_the_data_stays_text(written):
    found = Page(written)
    assert found.facts["labels"]["names"][0] == HOSTILE
    assert HOSTILE not in written
    assert [tag for tag, _ in found.elements].count("script") == 6
    assert "<" not in found.scripts["facts"]


@pytest.mark.parametrize("text", ["<!--<script>", "</SCRIPT>", "\u2028", "\ud800", '"\\'])
def test_any_text_survives_within_the_page(text):
    script = embedded({"name": text})
    assert json.loads(script) == {"name": text}
    assert "<" not in script
    script.encode()


def test_a_hostile_title_is_escaped(stand_in):
    _, found = explored(dataset((1, 8, 8)))
    found.facts["title"] = f"{HOSTILE} %script% \ud800"
    source = page(found, b"onnx", STAND_IN)
    assert HOSTILE not in source
    assert "&lt;/script&gt;&lt;img" in source
    assert "%script% ?" in source
    source.encode()


def test_what_is_filled_in_is_not_looked_through_again():
    assert filled("%a% %b%", {"a": "%b%", "b": "100%"}) == "%b% 100%"


def test_the_decoder_and_the_runtime_are_whole(written, model):
    import onnxruntime

    found = Page(written)
    assert found.unpacked("module") == b"export default 1;"
    session = onnxruntime.InferenceSession(found.unpacked("decoder"))
    z = torch.randn(5, 4)
    np.testing.assert_allclose(session.run(None, {"z": z.numpy()})[0], model.decode(z).numpy(), atol=1e-5)


def test_codes_and_images_are_those_of_the_model(written, model, digits):
    found = Page(written)
    held = load_tensors(found.unpacked("tensors"))
    rows = torch.randperm(len(digits.test), generator=generator(0, "explorer")).sort().values
    assert torch.equal(held["test"], digits.test.images[rows].flatten(1))
    torch.testing.assert_close(held["codes"], model.encode(digits.test.images[rows]))
    assert torch.equal(held["labels"], digits.test.labels[rows].int())
    assert held["train"].shape == (1439, 64)
    assert {tuple(row.tolist()) for row in held["train"]} <= {
        tuple(row.flatten().tolist()) for row in digits.train.images
    }


def test_every_density_of_the_run_is_there(written, model):
    found = Page(written)
    held = load_tensors(found.unpacked("tensors"))
    names = ["prior", "gaussian", "gmm10", "second-stage", "flow"]
    assert [density["name"] for density in found.facts["densities"]] == names
    assert found.facts["density"] == "gmm10"
    assert found.facts["densities"][2]["title"] == "a mixture of 10 Gaussians"
    parts = {name: {key.partition("/")[2] for key in held if key.startswith(f"{name}/")} for name in names}
    assert parts == {
        "prior": {"mean", "scale"},
        "gaussian": {"mean", "factor"},
        "gmm10": {"mean", "factor", "weights"},
        "second-stage": {"draws"},
        "flow": {"draws"},
    }
    torch.testing.assert_close(held["gmm10/factor"], model.densities["gmm10"].component_distribution.scale_tril)
    torch.testing.assert_close(held["flow/draws"], model.sample_latents(512, density="flow", seed=0))


def test_a_density_of_many_numbers_is_drawn_beforehand(monkeypatch):
    monkeypatch.setattr(contents_module, "LARGEST", 11)
    _, found = explored(dataset((1, 8, 8)))
    assert {"prior/mean", "gaussian/draws"} <= found.tensors.keys()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_are_stored_in_8_bits(channels):
    stages, found = explored(dataset((channels, 8, 8)))
    assert found.facts["shape"] == (channels, 8, 8)
    assert found.facts["noun"] == "image"
    assert torch.equal(found.tensors["test"], stages.data.test.images.flatten(1)[:40])
    assert found.tensors["test"].dtype == torch.uint8


def test_images_of_floats_are_rounded_to_8_bits():
    data = dataset((1, 8, 8), dtype=torch.float32)
    clipped = Dataset("noise", *(Split(split.images.clamp(0, 1)) for split in (data.train, data.validation, data.test)))
    _, found = explored(clipped)
    assert torch.equal(found.tensors["test"], to_uint8(clipped.test.images).flatten(1))


def test_vectors_keep_their_values_and_range():
    data = dataset((6,), dtype=torch.float32)
    _, found = explored(data, method="ae")
    assert torch.equal(found.tensors["test"], data.test.images)
    assert found.facts["range"] == (float(data.train.images.min()), float(data.train.images.max()))
    assert found.facts["noun"] == "example"


def test_a_posterior_tells_nats_and_its_sliders_reach_over_its_draws():
    stages, found = explored(dataset((1, 8, 8)))
    told = found.facts["latents"]
    assert told["measure"] == "nats"
    nats = latent.nats(stages).double().mean(0)
    np.testing.assert_allclose(told["information"], nats.clamp_min(0), rtol=1e-6)
    assert told["order"] == nats.argsort(descending=True).tolist()
    draws = torch.cat([stages.model.posterior(stages.data.test.images).sample((2000,))]).flatten(0, 1)
    np.testing.assert_allclose(told["reach"], 3 * draws.detach().std(0), rtol=0.03)


def test_a_deterministic_encoder_tells_shares_of_the_variance():
    stages, found = explored(dataset((1, 8, 8)), method="rae-l2")
    told = found.facts["latents"]
    codes = stages.codes("test").double()
    assert told["measure"] == "share"
    np.testing.assert_allclose(told["information"], codes.var(0) / codes.var(0).sum())
    np.testing.assert_allclose(told["reach"], 3 * codes.std(0, correction=0))
    np.testing.assert_allclose(told["center"], codes.mean(0))


def test_a_latent_that_never_moves_gets_a_slider_all_the_same():
    assert contents_module.reaches(torch.tensor([0.0, 4.0], dtype=torch.float64)).tolist() == [3.0, 6.0]


def test_the_plane_is_that_of_the_largest_variance():
    stages, found = explored(dataset((1, 8, 8)), method="rae-l2", latent_dim=5)
    codes = stages.codes("test").double().numpy()
    values, vectors = np.linalg.eigh(np.cov(codes.T))
    directions = found.tensors["directions"].double().numpy()
    np.testing.assert_allclose(np.abs(directions @ vectors[:, [-1, -2]]), np.eye(2), atol=1e-4)
    np.testing.assert_allclose(found.facts["plane"]["shares"], values[[-1, -2]] / values.sum(), rtol=1e-4)


def test_one_latent_has_no_plane():
    _, found = explored(dataset((1, 8, 8)), latent_dim=1)
    assert found.facts["plane"] is None
    assert "directions" not in found.tensors


@pytest.mark.parametrize(("count", "coloured"), [(2, True), (len(COLOURS), True), (len(COLOURS) + 1, False)])
def test_labels_have_names_and_up_to_ten_of_them_colours(count, coloured):
    labels = torch.arange(40) % count
    _, found = explored(dataset((1, 8, 8), labels=labels))
    assert found.facts["labels"]["names"] == [HOSTILE, "one", *map(str, range(2, count))]
    assert found.facts["labels"]["colours"] == (COLOURS[:count] if coloured else [])
    assert torch.equal(found.tensors["labels"], labels.int())


def test_labels_may_be_any_numbers():
    _, found = explored(dataset((1, 8, 8), labels=10**9 * (torch.arange(40) % 2) - 7))
    assert found.facts["labels"]["names"] == ["-7", "999999993"]
    assert found.tensors["labels"].unique().tolist() == [0, 1]


def test_without_labels_there_are_none():
    _, found = explored(dataset((1, 8, 8)))
    assert found.facts["labels"] is None
    assert "labels" not in found.tensors


def test_a_page_holds_no_more_examples_than_asked_for_or_than_fit(monkeypatch):
    data = dataset((3, 8, 8))
    _, found = explored(data, count=7)
    assert [len(found.tensors[name]) for name in ("codes", "test", "train")] == [7, 7, 40]
    monkeypatch.setattr(contents_module, "COMPARED", 9)
    assert len(explored(data)[1].tensors["train"]) == 9
    monkeypatch.setattr(contents_module, "BYTES", 5 * 192 + 1)
    _, found = explored(data)
    assert len(found.tensors["test"]) == 5
    monkeypatch.setattr(contents_module, "BYTES", 1)
    _, found = explored(data)
    assert len(found.tensors["test"]) == 1


def test_two_channels_are_refused():
    with pytest.raises(SigmaeError, match="1, 3 or 4 channels, and these have 2"):
        explored(dataset((2, 8, 8)))


def test_codes_that_are_no_numbers_are_refused():
    data = dataset((1, 8, 8))
    stages, _ = explored(data)
    stages.memory.clear()
    with torch.no_grad():
        next(stages.model.encoder.parameters()).fill_(float("nan"))
    with pytest.raises(SigmaeError, match="40 of 40 codes hold NaN or infinity"):
        contents(stages, "", 10)


@pytest.mark.parametrize(("out", "written"), [(None, "run"), ("new", "new"), ("new/my.html", "new/my.html")])
def test_the_page_lies_where_it_was_asked_for(run, model, digits, tmp_path, stand_in, monkeypatch, out, written):
    monkeypatch.chdir(tmp_path)
    path = explore_run(model, digits, run, None if out is None else Path(out), count=2)
    expected = run / "explorer.html" if out is None else Path(written)
    assert path == (expected if expected.suffix == ".html" else expected / "explorer.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_no_examples_are_refused(run, model, digits):
    with pytest.raises(SigmaeError, match="--count must be 1 or more, got 0"):
        explore_run(model, digits, run, count=0)


def test_the_command_says_where_the_page_is(run, tmp_path, stand_in, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["explore", str(run), "--out", str(tmp_path / "a.html"), "--count", "3"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a.html'}\n"
    assert "rae" not in (source := (tmp_path / "a.html").read_text())[:2000]
    assert "<h1>vae on digits</h1>" in source


def test_the_same_run_gives_the_same_bytes(written, run, model, digits, tmp_path, monkeypatch):
    monkeypatch.setattr("sigmae.explorer.page.runtime", lambda: STAND_IN)
    assert explore_run(model, digits, run, tmp_path).read_text(encoding="utf-8") == written


def top_level(module: str) -> list[str]:
    return re.findall(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", module, flags=re.M)


def test_modules_can_stand_in_one_script():
    """Each name is declared once, each module comes after those that it imports, and no line of linking is left."""
    seen: dict[str, list[str]] = {}
    for name in SCRIPTS:
        module = asset(f"{name}.js")
        for names, source in re.findall(r'^import \{ (.*) \} from "\./(\w+)\.js";$', module, flags=re.M):
            assert set(names.split(", ")) <= set(seen[source]), (name, source)
        assert "import {" not in inlined(module)
        assert not re.search(r"^export", inlined(module), flags=re.M)
        seen[name] = top_level(module)
    declared = [name for names in seen.values() for name in names]
    assert len(declared) == len(set(declared))
    assert {path.stem for path in Path(sigmae.__file__).parent.glob("explorer/*.js")} == set(SCRIPTS)


def test_the_parts_of_the_page_that_scripts_ask_for_are_there():
    asked = {name for script in SCRIPTS for name in re.findall(r'find\("([\w-]+)"\)', asset(f"{script}.js"))}
    there = set(re.findall(r' id="([\w-]+)"', asset("page.html")))
    assert asked <= there
