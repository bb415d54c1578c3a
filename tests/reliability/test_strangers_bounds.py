"""A stranger's files are bounded: what would take too much memory is refused before the memory is taken."""

import gzip
import json
import struct
import zlib
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import h5py
import numpy as np
import pytest
from PIL import Image

import sigmae
from sigmae.data import cifar, hub, load
from sigmae.data.cifar import load_cifar10
from sigmae.data.idx import read_idx
from sigmae.data.shapes3d import FILE as SHAPES, load_shapes3d
from sigmae.errors import SigmaeError
from sigmae.runs import run_data

GROUP = "Files of strangers"
pytestmark = pytest.mark.usefixtures("little_memory")

# Configurations

SIZES = {
    "latents": ({"latent_dim": 10**9}, "latent size is 1,000,000,000, over the bound of 16,384"),
    "endless latents": ({"latent_dim": 10**200}, "over the bound of 16,384"),
    "negative latents": ({"latent_dim": -3}, "must be 1 or more"),
    "half a latent": ({"latent_dim": 2.5}, "expected int"),
    "latents in words": ({"latent_dim": "1e9"}, "latent_dim"),
    "an example": ({"shape": [1, 10**6, 10**6]}, "over the bound of 16,777,216"),
    "a negative example": ({"shape": [1, -8, 8]}, "sizes of 1 or more"),
    "endless axes": ({"shape": [1] * 1000}, "1 to 8 sizes"),
    "a layer": ({"network": {"name": "mlp", "options": {"hidden": [10**12]}}}, "over the bound of 1,073"),
    "an endless layer": ({"network": {"name": "mlp", "options": {"hidden": [10**30]}}}, "cannot be of these sizes"),
    "layers": ({"network": {"name": "mlp", "options": {"hidden": [10**6] * 3}}}, "over the bound of 1,073,741,824"),
    "many layers": (
        {"network": {"name": "mlp", "options": {"hidden": [1] * 5000}}},
        "5,000, over the bound of 1,000",
    ),
    "a width": ({"shape": [1, 32, 32], "network": {"name": "conv", "options": {"width": 10**5}}}, "over the bound"),
    "an endless width": ({"shape": [1, 32, 32], "network": {"name": "uae", "options": {"width": 10**12}}}, "cannot be"),
    "no channels": (
        {"shape": [1, 32, 32], "network": {"name": "rae-mnist", "options": {"decoder_channels": []}}},
        "cannot be of these sizes",
    ),
    "a negative kernel": (
        {"shape": [1, 32, 32], "network": {"name": "rae-mnist", "options": {"kernel": -3}}},
        "cannot be of these sizes",
    ),
    "full covariances": (
        {"latent_dim": 16_384, "objective": {"posterior": {"type": "FullGaussian"}}},
        "over the bound of 1,073,741,824",
    ),
    "a discriminator": (
        {"objective": {"latent": {"type": "Adversarial", "hidden": [10**6, 10**6]}}},
        "weights of a discriminator is 1,000,003,000,000",
    ),
}


@pytest.mark.promise(GROUP, "A configuration of absurd sizes is refused before there is memory for its weights.")
@pytest.mark.parametrize("name", SIZES)
def test_absurd_sizes_are_refused(run, name):
    change, told = SIZES[name]
    config = json.loads((run / "config.json").read_text())
    objective = config["model"]["objective"] | change.get("objective", {})
    config["model"] |= change | {"objective": objective}
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(SigmaeError, match=told) as refusal:
        sigmae.load(run)
    assert len(str(refusal.value)) < 1000


@pytest.mark.promise(GROUP, "A configuration of absurd sizes is refused before there is memory for its weights.")
def test_pictures_of_absurd_sizes_are_refused(run):
    config = json.loads((run / "config.json").read_text())
    config["data"] |= {"source": "digits", "image_size": 10**9}
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(SigmaeError, match="An image cannot have 1000000000 pixels a side"):
        run_data(run)


# Pictures


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(side: int, *chunks: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", zlib.compress(bytes(99)))


def huge_gif() -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0) + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0"


BOMBS = {
    "a.png": png(50_000),
    "b.png": png(2**31 - 1),
    "text.png": png(60_000, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**8)))),
    "profile.png": png(60_000, chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(10**8)))),
    "a.gif": huge_gif(),
    "a.ppm": b"P6 50000 50000 255\n",
    "a.bmp": b"BM" + struct.pack("<IHHIIiiHH", 99, 0, 0, 54, 40, 50_000, 50_000, 1, 24) + bytes(24),
}


@pytest.mark.promise(GROUP, "What would inflate or decode past the stated bounds is refused.")
@pytest.mark.parametrize("name", BOMBS)
def test_a_picture_of_absurd_sizes_is_refused(tmp_path, name):
    for number in range(3):
        (tmp_path / f"{number}-{name}").write_bytes(BOMBS[name])
    with pytest.raises(SigmaeError, match=rf"{name} (is too large to decode safely|cannot be read as a picture)"):
        load(tmp_path)


def test_of_endless_frames_the_first_is_read(tmp_path):
    frames = [Image.new("L", (8, 8), shade) for shade in range(100, 200)] * 20
    for number in range(3):
        frames[number].save(tmp_path / f"{number}.gif", save_all=True, append_images=frames, loop=0)
    assert len(load(tmp_path).train) == 1


# Archives and arrays


def liar(path: Path, members: dict[str, bytes], told: int) -> None:
    """A zip file whose directory gives each member another size than it has."""
    with ZipFile(path, "w", ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
            size = struct.pack("<I", len(content))
    path.write_bytes(path.read_bytes().replace(size, struct.pack("<I", told)))


def npy(shape: str) -> bytes:
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + bytes(64)


def overlapping(path: Path) -> None:
    """Ten thousand members that are all the same bytes."""
    with ZipFile(path, "w") as made:
        made.writestr("00000.png", png(8))
    data = path.read_bytes()
    start = data.index(b"PK\1\2")
    entry, end = data[start : data.index(b"PK\5\6")], data[data.index(b"PK\5\6") :]
    entries = b"".join(entry.replace(b"00000.png", b"%05d.png" % number) for number in range(10_000))
    end = end[:8] + struct.pack("<HHII", 10_000, 10_000, len(entries), start) + end[20:]
    path.write_bytes(data[:start] + entries + end)


ARCHIVES = {
    "huge.npy": lambda path: path.write_bytes(npy("(1000000000, 10)")),
    "endless.npy": lambda path: path.write_bytes(npy(f"({10**18}, {10**18})")),
    "deep.npy": lambda path: path.write_bytes(npy("(" * 9000)),
    "lying.npz": lambda path: liar(path, {"images.npy": npy("(1000000000, 10)") + bytes(1 << 26)}, 1000),
    "bytes.npz": lambda path: liar(path, {"images": bytes(1 << 26)}, 1000),
    "lying.zip": lambda path: liar(path, {f"{number}.png": bytes(1 << 26) for number in range(3)}, 100),
    "claiming.zip": lambda path: liar(path, {f"{number}.png": b"PNG" * 5 for number in range(3)}, 1 << 31),
    "overlapping.zip": overlapping,
}


@pytest.mark.promise(GROUP, "What would inflate or decode past the stated bounds is refused.")
@pytest.mark.parametrize("name", ARCHIVES)
def test_what_inflates_without_bound_is_refused(tmp_path, name):
    ARCHIVES[name](tmp_path / name)
    with pytest.raises(SigmaeError, match=name):
        load(tmp_path / name)


def test_a_zip_within_a_zip_is_no_picture(tmp_path):
    with ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.writestr("inner.zip", bytes(100))
    with pytest.raises(SigmaeError, match="has no pictures"):
        load(tmp_path / "outer.zip")


@pytest.mark.promise(GROUP, "What would inflate or decode past the stated bounds is refused.")
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
@pytest.mark.parametrize("axes", [b"\0\0\x08\x01\xff\xff\xff\xff", b"\0\0\x08\xff" + b"\xff" * 1020])
def test_an_idx_header_that_promises_too_much_is_refused(tmp_path, packed, axes):
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(axes) if packed else axes)
    with pytest.raises(SigmaeError, match="has 0 values or more, and its header promises"):
        read_idx(path)


@pytest.mark.promise(GROUP, "What would inflate or decode past the stated bounds is refused.")
def test_an_archive_of_cifar_is_read_no_further_than_it_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "INFLATED", 1 << 20)
    with gzip.open(tmp_path / cifar.ARCHIVE, "wb", compresslevel=1) as file:
        file.write(b"x" * 512 + bytes(1 << 26))
    with pytest.raises(SigmaeError, match="cannot be unpacked"):
        load_cifar10(tmp_path)


@pytest.mark.promise(GROUP, "What would inflate or decode past the stated bounds is refused.")
@pytest.mark.parametrize("kind", ["a link", "other bytes"])
def test_a_file_of_3d_shapes_leads_to_no_other(tmp_path, kind):
    (tmp_path / "secret").write_bytes(bytes(12_288))
    with h5py.File(tmp_path / SHAPES, "w") as file:
        file["labels"] = np.zeros((1, 6))
        if kind == "a link":
            file["images"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "images")
        else:
            outside = [(str(tmp_path / "secret"), 0, 12_288)]
            file.create_dataset("images", (1, 64, 64, 3), np.uint8, external=outside)
    with pytest.raises(SigmaeError, match=r"of its own|leads to other files"):
        load_shapes3d(tmp_path)


def test_a_table_of_the_hub_that_is_none_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(50) + b"PAR1")
    monkeypatch.setattr(hub, "_fetched", lambda *_: [("", tmp_path / "a.parquet")])
    with pytest.raises(SigmaeError, match=r"a\.parquet of hf:owner/name is no whole table of pictures"):
        load("hf:owner/name")
