"""Large .npy files stay on disk: the same splits as in memory, and memory that does not grow with the file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sigmae.data import arrays, load, mapped
from sigmae.errors import SigmaeError

COUNT = 60_000  # images of 28x28 bytes: 47 MB
GROWTH = 16e6  # bytes
STATUS = Path("/proc/self/status")
BYTES = np.random.RandomState(1).randint(0, 256, (50, 6, 7, 3)).astype(np.uint8)
FLOATS = np.random.RandomState(2).rand(50, 5).astype(np.float32)


@pytest.fixture
def stream(monkeypatch):
    """Every file counts as large, and is copied little by little."""
    monkeypatch.setattr(arrays, "HELD", 0)
    monkeypatch.setattr(mapped, "COPIED_AT_ONCE", 1000)


def parts(data):
    return data.train, data.validation, data.test


def resident():
    """Bytes of memory that are no pages of files."""
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon")]
    return 1024 * int(line.split()[1])


@pytest.mark.parametrize("images", [BYTES, BYTES[..., 0], FLOATS, FLOATS.astype(np.float64), np.asfortranarray(FLOATS)])
def test_a_streamed_file_is_split_as_one_in_memory(tmp_path, images, request):
    np.save(tmp_path / "mine.npy", images)
    expected = load(tmp_path / "mine.npy")
    request.getfixturevalue("stream")
    data = load(tmp_path / "mine.npy")
    for found, wanted in zip(parts(data), parts(expected), strict=True):
        assert found.images.is_contiguous()
        assert found.images.equal(wanted.images)
        assert found.fingerprint == wanted.fingerprint
    assert load(tmp_path / "mine.npy", limit=3).train.images.equal(expected.train.images[:3])


def test_an_array_that_is_mapped_is_streamed_with_its_labels(tmp_path, stream):
    np.save(tmp_path / "mine.npy", BYTES)
    expected, labels = load((BYTES, np.arange(50))), np.arange(50)
    for mode in ("r", "r+", "c"):
        data = load((np.load(tmp_path / "mine.npy", mmap_mode=mode), labels))
        for found, wanted in zip(parts(data), parts(expected), strict=True):
            assert found.images.equal(wanted.images)
            assert found.labels.equal(wanted.labels)
    data.train.images.zero_()
    assert np.array_equal(np.load(tmp_path / "mine.npy"), BYTES)


def test_the_splits_are_of_one_file_that_no_folder_lists(tmp_path, stream):
    np.save(tmp_path / "mine.npy", BYTES)
    data = load(tmp_path / "mine.npy")
    assert len({split.images.untyped_storage().data_ptr() for split in parts(data)}) == 1
    assert [path.name for path in (tmp_path / "cache").rglob("*")] == ["reordered"]
    (tmp_path / "mine.npy").unlink()
    assert sum(int(split.images.sum()) for split in parts(data)) == BYTES.sum()


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells the memory of a process apart")
def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    images = np.lib.format.open_memmap(tmp_path / "mine.npy", "w+", np.uint8, (COUNT, 28, 28))
    images[::100] = 255
    del images
    monkeypatch.setattr(arrays, "HELD", 1 << 20)
    monkeypatch.setattr(arrays, "CHECKED_AT_ONCE", 1 << 20)
    monkeypatch.setattr(mapped, "COPIED_AT_ONCE", 1 << 20)
    before = resident()
    data = load(tmp_path / "mine.npy")
    sums = [int(data.train.images[rows].sum()) for rows in torch.randperm(len(data.train)).split(100)]
    assert resident() - before < GROWTH < data.train.images.nbytes / 2
    assert sum(sums) > 0


def test_bad_values_of_a_streamed_file_are_placed(tmp_path, stream, monkeypatch):
    monkeypatch.setattr(arrays, "CHECKED_AT_ONCE", 10)
    values = FLOATS.copy()
    values[7, 3] = np.nan
    np.save(tmp_path / "bad.npy", values)
    with pytest.raises(SigmaeError, match=r"1 values that are NaN or infinite, the first at \[7, 3\]"):
        load(tmp_path / "bad.npy")
    np.save(tmp_path / "objects.npy", np.array([{}, {}, {}]), allow_pickle=True)
    np.save(tmp_path / "cut.npy", FLOATS)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-9])
    for name in ("objects.npy", "cut.npy"):
        with pytest.raises(SigmaeError, match=f"{name} cannot be read as numpy arrays of numbers"):
            load(tmp_path / name)


def test_a_cache_that_cannot_be_written_is_named(tmp_path, stream, monkeypatch):
    np.save(tmp_path / "mine.npy", BYTES)
    (tmp_path / "file").touch()
    monkeypatch.setenv("SIGMAE_CACHE", str(tmp_path / "file"))
    with pytest.raises(SigmaeError, match=r"6,300 bytes of images are split by a copy in .*file.*SIGMAE_CACHE"):
        load(tmp_path / "mine.npy")
