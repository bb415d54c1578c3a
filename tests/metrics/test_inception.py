import hashlib
import threading
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch import nn, Tensor

from sigmae.errors import SigmaeError
from sigmae.metrics import extract
from sigmae.metrics.inception import inception_features, INCEPTION_FILE


class Pooled(nn.Module):
    """In the form of the Inception file: 8-bit images of three channels, and a flag."""

    def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
        means = images.float().mean(dim=[2, 3])
        if return_features:
            return means
        return means[:, :1]


@pytest.fixture(scope="module")
def network_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("network") / "tiny.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Pooled()).save(str(path))
    return path


@pytest.fixture
def tiny(network_file, monkeypatch, tmp_path):
    """`inception_features` for the tiny network: its own hash, an empty cache, and nowhere to fetch it from."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("SIGMAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SIGMAE_INCEPTION", raising=False)
    sha256 = hashlib.sha256(network_file.read_bytes()).hexdigest()
    return partial(inception_features, sha256=sha256, mirrors=["http://127.0.0.1:9"])


@pytest.fixture
def server(tmp_path):
    """A folder, and the address that serves it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=partial(http.serve_forever, poll_interval=0.01), daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()
    thread.join()


def test_inception_gets_three_channels_and_returns_features(tiny, network_file):
    features = tiny(network_file)
    gray, colour = (torch.randint(256, (6, channels, 5, 5), dtype=torch.uint8) for channels in (1, 3))
    torch.testing.assert_close(extract(features, colour), colour.float().mean((2, 3)))
    torch.testing.assert_close(extract(features, gray), gray.float().mean((2, 3)).expand(-1, 3))
    assert features.name == "inception"
    assert features.details["fingerprint"] == hashlib.sha256(network_file.read_bytes()).hexdigest()


def test_inception_refuses_four_channels(tiny, network_file):
    with pytest.raises(SigmaeError, match="1 or 3 channels, and these images have 4"):
        extract(tiny(network_file), torch.zeros(2, 4, 5, 5, dtype=torch.uint8))


def test_inception_file_is_what_the_environment_names(tiny, network_file, monkeypatch):
    monkeypatch.setenv("SIGMAE_INCEPTION", str(network_file))
    assert tiny().name == "inception"


def test_inception_is_fetched_once(tiny, network_file, server):
    folder, address = server
    (folder / INCEPTION_FILE).write_bytes(network_file.read_bytes())
    images = torch.zeros(2, 3, 5, 5, dtype=torch.uint8)
    first = extract(tiny(mirrors=[address]), images)
    (folder / INCEPTION_FILE).unlink()
    assert torch.equal(extract(tiny(mirrors=[address]), images), first)


def test_without_a_network_the_error_says_where_to_put_the_file(tiny, tmp_path):
    place = tmp_path / "cache" / "features" / INCEPTION_FILE
    with pytest.raises(SigmaeError, match=r"could not be downloaded.*refused.*'classifier' or 'random'") as refusal:
        tiny()
    assert f"Save it as {place}, or name it with SIGMAE_INCEPTION" in str(refusal.value)
    assert not place.exists()


@pytest.mark.promise(
    "Files of strangers", "Loading a model, a run, a data file or a study never runs code that the file holds."
)
@pytest.mark.parametrize("place", ["given", "environment", "cache", "fetched"])
def test_a_file_of_another_hash_is_not_loaded(tiny, network_file, server, place, monkeypatch, tmp_path):
    folder, address = server
    content = network_file.read_bytes() + b" "
    places = {"cache": tmp_path / "cache/features" / INCEPTION_FILE, "fetched": folder / INCEPTION_FILE}
    path = places.get(place, tmp_path / "other.pt")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if place == "environment":
        monkeypatch.setenv("SIGMAE_INCEPTION", str(path))
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("loaded"))
    reason = "its sha256 is" if place == "fetched" else "is not the Inception network.*it is code: it was not loaded"
    with pytest.raises(SigmaeError, match=reason):
        tiny(path if place == "given" else None, mirrors=[address])
    assert not list((tmp_path / "cache").rglob("*.pt")) or place == "cache"


@pytest.mark.parametrize("named_by", ["argument", "environment"])
def test_a_missing_file_is_named(tiny, monkeypatch, tmp_path, named_by):
    path = tmp_path / "nowhere.pt"
    if named_by == "environment":
        monkeypatch.setenv("SIGMAE_INCEPTION", str(path))
    with pytest.raises(SigmaeError, match=r"no file .*nowhere\.pt"):
        tiny(path if named_by == "argument" else None)
