"""The runtime comes whole from npm's package, is known by its hash, and is asked for once."""

import gzip
import hashlib
import io
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sigmae.errors import SigmaeError
from sigmae.explorer import vendoring
from sigmae.explorer.vendoring import gzipped, is_vendored, MODULE, PACKAGE, runtime, unpack, vendor, WASM

CONTENT = {MODULE: b"export const module = 1;", WASM: b"\0asm" + bytes(1000)}


def package(content: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, held in {"LICENSE": b"MIT", **content}.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(held)
            archive.addfile(member, io.BytesIO(held))
    return file.getvalue()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A registry on this machine that has the package; returns the file that it serves."""
    served = tmp_path / "served" / "onnxruntime-web" / "-" / PACKAGE
    served.parent.mkdir(parents=True)
    served.write_bytes(package(CONTENT))
    monkeypatch.setattr(vendoring, "INTEGRITY", f"sha512:{hashlib.sha512(served.read_bytes()).hexdigest()}")
    monkeypatch.setattr(vendoring, "SHA256", {name: hashlib.sha256(held).hexdigest() for name, held in CONTENT.items()})
    monkeypatch.setattr(vendoring, "HOME", tmp_path / "package")
    monkeypatch.setenv("SIGMAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "served"))
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{http.server_port}/")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    http.shutdown()
    thread.join()
    http.server_close()


def test_both_files_are_taken_and_the_package_is_not_kept(registry, tmp_path):
    assert vendor(tmp_path / "new") == tmp_path / "new"
    assert {path.name for path in (tmp_path / "new").iterdir()} == {f"{MODULE}.gz", f"{WASM}.gz"}
    assert gzip.decompress(gzipped(tmp_path / "new", WASM).read_bytes()) == CONTENT[WASM]


def test_what_is_there_is_not_fetched_again(registry):
    first = runtime()
    assert gzip.decompress(first.module) == CONTENT[MODULE]
    registry.unlink()
    assert runtime() == first


def test_what_came_with_the_package_comes_first(registry):
    vendor(vendoring.HOME)
    registry.unlink()
    assert gzip.decompress(runtime().wasm) == CONTENT[WASM]


@pytest.mark.parametrize("name", ["NPM_CONFIG_REGISTRY", "npm_config_registry"])
def test_npms_own_setting_names_the_registry(name, monkeypatch):
    monkeypatch.delenv("npm_config_registry", raising=False)
    assert vendoring.registry() == "https://registry.npmjs.org"
    monkeypatch.setenv(name, "https://npm.example.org/")
    assert vendoring.registry() == "https://npm.example.org/"


def test_a_closed_network_is_told_with_the_way_out(registry, tmp_path):
    registry.unlink()
    with pytest.raises(SigmaeError) as told:
        runtime()
    message = str(told.value)
    assert "npm_config_registry" in message
    assert f"save {PACKAGE} of npm's onnxruntime-web as {tmp_path / 'cache'}" in message


def test_a_package_that_was_put_there_by_hand_is_taken(registry, tmp_path):
    registry.rename((tmp_path / "by-hand").with_suffix(".tgz"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "by-hand.tgz").rename(tmp_path / "folder" / PACKAGE)
    assert is_vendored(vendor(tmp_path / "folder"))


def test_another_package_is_refused(registry, tmp_path):
    registry.write_bytes(package({**CONTENT, WASM: b"something else"}))
    with pytest.raises(SigmaeError, match="its sha512 is"):
        vendor(tmp_path / "new")
    assert not is_vendored(tmp_path / "new")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (package({**CONTENT, WASM: b"something else"}), "does not hold the ort-wasm"),
        (package({MODULE: CONTENT[MODULE]}), "is not the npm package"),
        (b"no archive", "is not the npm package"),
    ],
)
def test_a_package_with_other_files_is_refused(registry, tmp_path, content, told):
    (path := tmp_path / PACKAGE).write_bytes(content)
    with pytest.raises(SigmaeError, match=told):
        unpack(path, tmp_path / "new")
    assert not is_vendored(tmp_path / "new")


def damaged(content: bytes) -> list[bytes]:
    return [gzip.compress(b"something else"), content[: len(content) // 2], b"no gzip", content[:20] + b"x" * 20]


@pytest.mark.parametrize("number", range(4))
def test_a_file_that_was_changed_is_not_put_into_a_page(registry, number):
    runtime()
    path = gzipped(Path(vendoring.cache_folder("explorer", f"onnxruntime-web-{vendoring.VERSION}")), WASM)
    path.write_bytes(damaged(path.read_bytes())[number])
    with pytest.raises(SigmaeError, match="delete it, and repeat the command"):
        runtime()
