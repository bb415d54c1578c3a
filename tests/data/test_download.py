import gzip
import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from sigmae.data import cifar, idx
from sigmae.data.cifar import load_cifar10
from sigmae.data.download import fetch
from sigmae.data.idx import load_idx
from sigmae.errors import SigmaeError

CONTENT = bytes(range(256)) * 5000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server:
    """Serves `files` on this machine; a file in `cut` stops after half of what it promised."""

    def __init__(self):
        self.files, self.cut, self.asked = {}, set(), []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.lstrip("/")
                outer.asked.append(name)
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


def test_a_file_arrives_whole(tmp_path, server):
    server.files["a.bin"] = CONTENT
    seen = []
    path = fetch(tmp_path / "new" / "a.bin", MD5, [server.url + "/"], "", lambda *step: seen.append(step))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) > 1
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_there_is_not_fetched(tmp_path, server):
    (tmp_path / "a.bin").write_bytes(b"mine")
    assert fetch(tmp_path / "a.bin", MD5, [server.url], "").read_bytes() == b"mine"
    assert server.asked == []


@pytest.mark.parametrize("fault", ["hash", "cut", "absent"])
def test_what_is_wrong_is_told_and_nothing_is_left(tmp_path, server, fault):
    if fault != "absent":
        server.files["a.bin"] = CONTENT if fault == "cut" else b"other" + CONTENT
    if fault == "cut":
        server.cut.add("a.bin")
    sentence = {"hash": f"its md5 is .*, not {MD5}", "cut": "cut after 640,000 of 1,280,000 bytes", "absent": "404"}
    with pytest.raises(SigmaeError, match=rf"a\.bin could not be downloaded .*{sentence[fault]}.*Fetch it by hand"):
        fetch(tmp_path / "a.bin", MD5, [server.url], "Fetch it by hand.")
    assert list(tmp_path.glob("**/*.bin*")) == []


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
