import gzip
import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError

import numpy as np
import pytest

from sigmae.data import cifar, idx
from sigmae.data.cifar import load_cifar10
from sigmae.data.idx import load_idx
from sigmae.download import fetch
from sigmae.errors import SigmaeError

CONTENT = bytes(range(256)) * 5000
MD5, SHA256 = (f"{name}:{hashlib.new(name, CONTENT).hexdigest()}" for name in ("md5", "sha256"))


class Server:
    """Serves `files` on this machine; one in `cut` stops half-way, one in `moved` is said to be elsewhere."""

    def __init__(self):
        self.files, self.cut, self.moved, self.asked = {}, set(), {}, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.lstrip("/")
                outer.asked.append(name)
                if name in outer.moved:
                    self.send_response(302)
                    self.send_header("Location", outer.moved[name])
                    self.end_headers()
                    return
                if name not in outer.files:
                    self.send_error(404)
                    return
                content = outer.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if name in outer.cut else content)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    serving = Server()
    thread = threading.Thread(target=serving.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield serving
    serving.http.shutdown()
    thread.join()
    serving.http.server_close()


@pytest.fixture
def nobody(monkeypatch):
    """An address on this machine where no server answers."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    closed = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    closed.server_close()
    return f"http://127.0.0.1:{closed.server_port}"


@pytest.mark.parametrize("checksum", [MD5, SHA256], ids=["md5", "sha256"])
def test_a_file_arrives_whole(tmp_path, server, checksum):
    server.files["a.bin"] = CONTENT
    seen = []
    path = fetch(tmp_path / "new" / "a.bin", checksum, [server.url + "/"], "", lambda *step: seen.append(step))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) > 1
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_there_is_not_fetched(tmp_path, server):
    (tmp_path / "a.bin").write_bytes(b"mine")
    assert fetch(tmp_path / "a.bin", MD5, [server.url], "").read_bytes() == b"mine"
    assert server.asked == []


@pytest.mark.promise(
    "Files of strangers",
    "A download is taken over https alone, and has its name only once it is whole and its hash is right.",
)
@pytest.mark.parametrize("checksum", [MD5, SHA256], ids=["md5", "sha256"])
@pytest.mark.parametrize("fault", ["hash", "cut", "absent"])
def test_what_is_wrong_is_told_and_nothing_is_left(tmp_path, server, fault, checksum):
    if fault != "absent":
        server.files["a.bin"] = CONTENT if fault == "cut" else b"other" + CONTENT
    if fault == "cut":
        server.cut.add("a.bin")
    algorithm, digits = checksum.split(":")
    half = "cut after 640,000 of 1,280,000 bytes"
    reason = {"hash": f"its {algorithm} is .*, not {digits}", "cut": half, "absent": "404"}[fault]
    with pytest.raises(SigmaeError, match=rf"a\.bin could not be downloaded .*{reason}.*Fetch it by hand"):
        fetch(tmp_path / "a.bin", checksum, [server.url], "Fetch it by hand.")
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_is_an_error_is_closed(tmp_path, server, monkeypatch):
    closed, close = [], HTTPError.close
    monkeypatch.setattr(HTTPError, "close", lambda error: closed.append(error.code) or close(error))
    with pytest.raises(SigmaeError, match="404"):
        fetch(tmp_path / "a.bin", MD5, [server.url], "")
    assert closed == [404]


@pytest.mark.promise(
    "Files of strangers",
    "A download is taken over https alone, and has its name only once it is whole and its hash is right.",
)
def test_only_https_is_taken_from_elsewhere(tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a.bin").write_bytes(CONTENT)
    mirrors = ["http://mirror.invalid", "ftp://mirror.invalid", (tmp_path / "served").as_uri()]
    with pytest.raises(SigmaeError) as refusal:
        fetch(tmp_path / "a.bin", MD5, mirrors, "")
    for source in ("http from mirror.invalid", "ftp from mirror.invalid", "file from this machine"):
        assert f"a.bin: {source} is refused: only https is taken" in str(refusal.value)
    assert not (tmp_path / "a.bin").exists()


def test_https_is_tried(tmp_path, nobody):
    with pytest.raises(SigmaeError, match=r"https://127\.0\.0\.1:\d+/a\.bin: .*[Rr]efused>"):
        fetch(tmp_path / "a.bin", MD5, [nobody.replace("http", "https")], "")


@pytest.mark.promise(
    "Files of strangers",
    "A download is taken over https alone, and has its name only once it is whole and its hash is right.",
)
def test_a_mirror_cannot_lead_away_from_https(tmp_path, server):
    server.moved["a.bin"] = "http://mirror.invalid/a.bin"
    with pytest.raises(SigmaeError, match=r"127\.0\.0\.1:\d+/a\.bin: http from mirror\.invalid is refused"):
        fetch(tmp_path / "a.bin", MD5, [server.url], "")
    server.moved["a.bin"] = f"{server.url}/b.bin"
    server.files["b.bin"] = CONTENT
    assert fetch(tmp_path / "a.bin", MD5, [server.url], "").read_bytes() == CONTENT


def test_the_next_mirror_is_asked(tmp_path, server, nobody):
    server.files["a.bin"] = CONTENT
    assert fetch(tmp_path / "a.bin", MD5, [nobody, server.url + "/no", server.url], "").read_bytes() == CONTENT
    assert server.asked == ["no/a.bin", "a.bin"]


def test_without_a_network_the_files_and_folders_are_told(tmp_path, nobody):
    folder = tmp_path / "cache" / "data" / "mnist"
    files = (
        "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz"
    )
    with pytest.raises(SigmaeError, match=f"Put {files} into {folder}, or into a folder that you name as data_dir"):
        load_idx("mnist", mirrors=[nobody])
    with pytest.raises(SigmaeError, match=r"cifar-10-binary\.tar\.gz could not .* Put it into .*data/cifar10, or"):
        load_cifar10(mirrors=[nobody])


def test_mnist_is_fetched_once(tmp_path, server, monkeypatch):
    counts = {"train": 6, "t10k": 2}
    for half, count in counts.items():
        images = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (count, 28, 28)) + bytes(count * 784)
        labels = b"\0\0\x08\x01" + count.to_bytes(4, "big") + bytes(count)
        server.files[f"{half}-images-idx3-ubyte.gz"] = gzip.compress(images)
        server.files[f"{half}-labels-idx1-ubyte.gz"] = gzip.compress(labels)
    hashes = {name: hashlib.md5(content).hexdigest() for name, content in server.files.items()}
    monkeypatch.setitem(idx.MD5, "mnist", hashes)
    server.cut.add("t10k-labels-idx1-ubyte.gz")
    with pytest.raises(SigmaeError, match=r"t10k-labels-idx1-ubyte\.gz could not be downloaded"):
        load_idx("mnist", mirrors=[server.url])
    server.cut.clear()
    server.asked.clear()
    data = load_idx("mnist", mirrors=[server.url])
    assert (len(data.train), len(data.validation), len(data.test)) == (5, 1, 2)
    assert server.asked == ["t10k-labels-idx1-ubyte.gz"]
    server.asked.clear()
    load_idx("mnist", mirrors=[server.url])
    assert server.asked == []


def test_cifar10_is_fetched_and_read(tmp_path, server, monkeypatch):
    buffer, record = io.BytesIO(), bytes([3]) + np.arange(3072, dtype=np.uint16).astype(np.uint8).tobytes()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for file in (*cifar.TRAIN, cifar.TEST):
            info = tarfile.TarInfo(f"{cifar.FOLDER}/{file}")
            info.size = len(record)
            tar.addfile(info, io.BytesIO(record))
    server.files[cifar.ARCHIVE] = buffer.getvalue()
    monkeypatch.setattr(cifar, "MD5", hashlib.md5(buffer.getvalue()).hexdigest())
    data = load_cifar10(mirrors=[server.url])
    assert (len(data.train), data.test.labels.tolist()) == (4, [3])
    assert load_cifar10(mirrors=[]).test.fingerprint == data.test.fingerprint
