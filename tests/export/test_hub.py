"""The hub's conventions, with the hub's own client and a server that answers it."""

import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from shutil import copytree
from threading import Thread

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants, hf_api

from sigmae import Autoencoder, SigmaeError
from sigmae.cli import main
from sigmae.runs import load_run

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = ["README.md", "config.json", "densities.safetensors", "model.safetensors"]


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a model's upload and download take."""

    files: dict[str, bytes] = {}  # noqa: RUF012  # replaced by each test
    fetched: list[str] = []  # noqa: RUF012

    def answer(self, content, status=200, **headers):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), "X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        if self.path.startswith("/api/models/someone/digits/tree"):
            listed = [{"type": "file", "path": name, "size": len(self.files[name]), "oid": name} for name in self.files]
            return self.answer(listed)
        if self.path.startswith("/api/models/someone/digits"):
            names = [{"rfilename": name} for name in self.files]
            return self.answer({"id": "someone/digits", "sha": COMMIT, "siblings": names})
        name = self.path.rpartition(f"/resolve/{COMMIT}/")[2]
        if name not in self.files:
            return self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        if self.command == "GET":
            self.fetched.append(name)
        return self.answer(self.files[name], ETag=f'"{hash(self.files[name]):x}"')

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            return self.answer({"url": f"http://{self.headers['Host']}/someone/digits"})
        if "/preupload/" in self.path:
            told = [{"path": one["path"], "uploadMode": "regular"} for one in json.loads(body)["files"]]
            return self.answer({"files": [{**one, "shouldIgnore": False} for one in told]})
        for line in map(json.loads, body.splitlines()):
            if line.get("key") == "file":
                self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        address = f"http://{self.headers['Host']}/someone/digits/commit/{COMMIT}"
        return self.answer({"commitUrl": address, "commitOid": COMMIT, "success": True})

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The class that serves: its `files` are those of someone/digits."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    for module in (constants, hf_api):
        monkeypatch.setattr(module, "ENDPOINT", f"http://127.0.0.1:{server.server_port}", raising=False)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        f"http://127.0.0.1:{server.server_port}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
    )
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_TOKEN", "of-a-test")
    monkeypatch.setattr(Hub, "files", {})
    monkeypatch.setattr(Hub, "fetched", [])
    yield Hub
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("runs") / "a run"
    with pytest.raises(SystemExit, match="0"):
        main(["train", "digits", "--method", "rae-l2", "--epochs", "1", "--features", "random", "--out", str(folder)])
    return folder


def test_a_folder_goes_and_comes_back(make, tmp_path):
    model = make("rae-l2", hidden=[8])
    model.fit_density("gaussian", torch.randn(50, 3))
    model.save_pretrained(tmp_path / "digits")
    assert sorted(path.name for path in (tmp_path / "digits").iterdir()) == FILES
    again = Autoencoder.from_pretrained(tmp_path / "digits")
    assert torch.equal(again.sample(5), model.sample(5, density="gaussian"))


def test_uploaded_and_fetched_from_the_hub(hub, make, tmp_path):
    model = make("vae", hidden=[8])
    model.fit_density("prior", torch.randn(50, 3))
    address = model.push_to_hub("someone/digits", private=True)
    assert address.endswith("/someone/digits")
    assert sorted(hub.files) == FILES
    hub.files["setup.py"] = b"raise SystemExit"
    again = Autoencoder.from_pretrained("someone/digits", cache_dir=tmp_path / "cache")
    assert torch.equal(again.sample(5), model.sample(5))
    assert sorted(hub.fetched) == ["config.json", "densities.safetensors", "model.safetensors"]
    hub.files.clear()
    offline = Autoencoder.from_pretrained("someone/digits", cache_dir=tmp_path / "cache", local_files_only=True)
    assert torch.equal(offline.sample(5), model.sample(5))


def test_code_of_a_stranger_is_not_run(hub, make, tmp_path):
    make("vae", hidden=[8]).save_pretrained(tmp_path / "digits")
    config = (tmp_path / "digits" / "config.json").read_text().replace('"mlp"', '"theirs:network"')
    hub.files |= {path.name: path.read_bytes() for path in (tmp_path / "digits").iterdir()}
    hub.files["config.json"] = config.encode()
    with pytest.raises(SigmaeError, match="'theirs:network' is code outside this library"):
        Autoencoder.from_pretrained("someone/digits", cache_dir=tmp_path / "cache")


def test_what_the_hub_has_not_is_told(hub, tmp_path):
    with pytest.raises(
        SigmaeError, match="no folder 'someone/nothing', and the hub's model of that name cannot"
    ) as told:
        Autoencoder.from_pretrained("someone/nothing", cache_dir=tmp_path)
    assert "\n" not in str(told.value)


def test_an_upload_that_fails_is_told(hub, make, monkeypatch):
    monkeypatch.setattr(Hub, "do_POST", lambda self: self.answer({"error": "You may not."}, 403))
    with pytest.raises(SigmaeError, match=r"'someone/digits' could not be uploaded .*: check the name, the token"):
        make("vae", hidden=[8]).push_to_hub("someone/digits")


def test_the_card_of_a_run(run, tmp_path):
    load_run(run).save_pretrained(tmp_path / "out", run=run, name="someone/digits")
    card = huggingface_hub.ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.library_name == "sigmae"
    assert card.data.pipeline_tag == "unconditional-image-generation"
    found = {result.metric_name: result.metric_value for result in card.data.eval_results}
    rows = json.loads((run / "evaluation.json").read_text())["rows"]
    assert found == {f"{row['metric']} of {row['of']}": row["value"] for row in rows}
    assert "from_pretrained('someone/digits')" in card.text
    pictures = [line.partition("](")[2].rstrip(")") for line in card.text.splitlines() if line.startswith("![")]
    assert len(pictures) > 2
    for path in pictures:
        assert (tmp_path / "out" / path).read_bytes() == (run / path).read_bytes()
    assert "ghosh2020variational" in card.text


def test_what_a_run_names_is_no_markup(run, tmp_path):
    folder = copytree(run, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    config["data"]["source"] = "/home/someone/<img src=x onerror=alert(1)> [a](b)\n---"
    (folder / "config.json").write_text(json.dumps(config))
    load_run(folder).save_pretrained(tmp_path / "out", run=folder)
    text = (tmp_path / "out" / "README.md").read_text()
    assert "/home/someone" not in text
    body = text.split("\n---\n", 1)[1]
    assert "<img" not in body.replace("\\<", "")
    assert "[a](b)" not in body
    assert huggingface_hub.ModelCard.load(tmp_path / "out" / "README.md").data.library_name == "sigmae"


@pytest.mark.parametrize("name", ["a/b'c", 'x"y'])
def test_a_name_stays_a_name(make, tmp_path, name):
    make("vae", hidden=[8]).save_pretrained(tmp_path, name=name)
    assert f"from_pretrained({name!r})" in (tmp_path / "README.md").read_text()
