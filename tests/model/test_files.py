import hashlib
from pathlib import Path

import pytest

from sigmae.errors import SigmaeError
from sigmae.files import cache_folder, digest, read_json, write_atomically, write_bytes, write_json, write_text


def half(path: Path) -> None:
    """A writer that fails after it has begun."""
    path.write_text("ne")
    raise OSError("the disk is full")


def test_a_file_is_written_beside_and_renamed(tmp_path):
    path, seen = tmp_path / "a" / "b" / "file.txt", []
    write_atomically(path, lambda part: seen.append((part, path.exists())) or part.write_text("new"))
    ((part, existed),) = seen
    assert (part.parent, part.name != path.name, existed) == (path.parent, True, False)
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("writer", [half, lambda part: None], ids=["fails half-way", "writes nothing"])
def test_what_was_there_stays_when_the_writer_fails(tmp_path, writer):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(OSError, match=r"the disk is full|No such file"):
        write_atomically(path, writer)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_file_is_made_when_the_writer_fails(tmp_path):
    with pytest.raises(OSError, match="the disk is full"):
        write_atomically(tmp_path / "file.txt", half)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_writer_leaves_nothing_either(tmp_path):
    def interrupted(part: Path) -> None:
        part.write_text("ne")
        raise KeyboardInterrupt

    write_text(tmp_path / "file.txt", "old")
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file.txt", interrupted)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_text_and_bytes_replace_what_was_there(tmp_path):
    path = tmp_path / "file"
    write_text(path, "Fréchet, λ")
    assert path.read_bytes() == "Fréchet, λ".encode()
    write_bytes(path, b"\0\xff")
    assert path.read_bytes() == b"\0\xff"


def test_json_survives_a_round_trip(tmp_path):
    value = {"λ": [1, 2.5, None, True], "nested": {"text": "é\n"}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "λ" in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}], ids=["nan", "infinity", "set"])
def test_what_is_no_json_leaves_the_old_file(tmp_path, value):
    path = tmp_path / "a.json"
    write_json(path, 1)
    with pytest.raises((ValueError, TypeError)):
        write_json(path, [value])
    assert read_json(path) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_json_file_is_named(tmp_path):
    with pytest.raises(SigmaeError, match=rf"There is no run\.json in {tmp_path}"):
        read_json(tmp_path / "run.json")


@pytest.mark.promise(
    "Files of strangers", "JSON and TOML that are too large, nested too deep or not of their form are refused."
)
@pytest.mark.parametrize(
    "content",
    [b"", b'{"a": [1, 2', b'{"a": 1} and more', b'"\xff"', b"[" * 200_000, b'{"a":' * 200_000],
    ids=["empty", "cut", "longer", "not UTF-8", "deep list", "deep object"],
)
def test_damaged_json_is_named(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(SigmaeError, match=rf"{path} is not whole JSON \(.+\): it was cut or edited"):
        read_json(path)


def test_digest_is_sha256_of_the_chunks_in_turn():
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert digest(b"abc") == digest(b"a", b"", memoryview(b"bc")) == abc
    assert digest(b"acb") != abc
    assert digest() == hashlib.sha256().hexdigest()


def test_the_cache_folder_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("SIGMAE_CACHE", str(tmp_path / "own"))
    assert cache_folder("data", "mnist") == tmp_path / "own" / "data" / "mnist"
    monkeypatch.delenv("SIGMAE_CACHE")
    assert cache_folder("data") == tmp_path / "xdg" / "sigmae" / "data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / "home" / ".cache" / "sigmae"
