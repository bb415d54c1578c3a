"""What a stranger's JSON, TOML and tensor files hold: bounded in size and depth, and of the form that is meant."""

import json
import os
import struct

import pytest
import torch
from safetensors.torch import save_file

import sigmae
from sigmae.errors import SigmaeError
from sigmae.files import DEPTH_LIMIT, read_json, READ_LIMIT
from sigmae.report import write_report
from sigmae.tables import definition_of
from sigmae.tensors import checksum, load_tensors, save_tensors

GROUP = "Files of strangers"
pytestmark = pytest.mark.usefixtures("little_memory")

DEEP = 10**5
TEXTS = {
    "lists": "[" * DEEP + "]" * DEEP,
    "objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "levels": "[" * (DEPTH_LIMIT + 1) + "]" * (DEPTH_LIMIT + 1),
    "digits": "9" * DEEP,
    "digits that Python reads": "9" * 4000,
    "half a number": "1.",
}
FILES = ("config.json", "evaluation.json", "environment.json", "metrics.jsonl")


@pytest.mark.promise(GROUP, "JSON and TOML that are too large, nested too deep or not of their form are refused.")
@pytest.mark.parametrize("name", TEXTS)
def test_json_that_nobody_means_is_refused(run, name, record_property):
    for file in FILES:
        whole = (run / file).read_text()
        (run / file).write_text(TEXTS[name])
        with pytest.raises(SigmaeError, match=rf"{file} is not whole JSON") as refusal:
            write_report(run)
        assert len(str(refusal.value)) < 500
        (run / file).write_text(whole)
    record_property("tried", len(FILES))


@pytest.mark.promise(GROUP, "JSON and TOML that are too large, nested too deep or not of their form are refused.")
def test_what_is_too_large_is_not_read(run, tmp_path, record_property):
    for file in (*FILES, "figures/reconstructions.png"):
        whole = (run / file).read_bytes()
        os.truncate(run / file, READ_LIMIT + 1)
        with pytest.raises(SigmaeError, match=f"{file} has 67,108,865 bytes, over the bound of 67,108,864"):
            write_report(run)
        (run / file).write_bytes(whole)
    (tmp_path / "study.toml").touch()
    os.truncate(tmp_path / "study.toml", READ_LIMIT + 1)
    with pytest.raises(SigmaeError, match="over the bound"):
        definition_of(str(tmp_path / "study.toml"))
    record_property("tried", len(FILES) + 2)


@pytest.mark.promise(GROUP, "JSON and TOML that are too large, nested too deep or not of their form are refused.")
@pytest.mark.parametrize("text", ["a = " + "[" * DEEP, ".".join("a" * 3000) + " = 1", "a = " + "9" * DEEP])
def test_toml_that_nobody_means_is_refused(tmp_path, text):
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(SigmaeError, match="cannot be read as TOML"):
        definition_of(str(tmp_path / "study.toml"))


def test_the_deepest_json_that_is_read_can_be_shown(run):
    deepest = "[" * (DEPTH_LIMIT - 2) + "]" * (DEPTH_LIMIT - 2)
    (run / "environment.json").write_text(f'{{"a": {{"b": {deepest}}}}}')
    write_report(run)
    assert read_json(run / "environment.json")


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(begin: int, end: int, *shape: int, kind: str = "F32") -> dict[str, object]:
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


HEADERS = {
    "overlap": safetensors({"a": tensor(0, 8, 2), "b": tensor(4, 12, 2)}, bytes(12)),
    "a gap": safetensors({"a": tensor(0, 4, 1), "b": tensor(8, 12, 1)}, bytes(12)),
    "beyond the file": safetensors({"a": tensor(0, 1 << 40, 1 << 38)}, bytes(8)),
    "another shape": safetensors({"a": tensor(0, 8, 1 << 40)}, bytes(8)),
    "an endless shape": safetensors({"a": tensor(0, 8, 1 << 62, 1 << 62)}, bytes(8)),
    "backwards": safetensors({"a": tensor(8, 0, 2)}, bytes(8)),
    "an unknown type": safetensors({"a": tensor(0, 8, 2, kind="O8")}, bytes(8)),
    "an endless header": safetensors(b"{}", length=2**63),
    "a long header": safetensors(b" " * (101 << 20)),
    "a deep header": safetensors(b"[" * DEEP),
    "deep metadata": safetensors({"__metadata__": {"sigmae": "[" * DEEP}}),
    "metadata that are a number": safetensors({"__metadata__": {"sigmae": "3"}}),
    "inner metadata that are a number": safetensors({"__metadata__": {"sigmae": '{"metadata": 3}'}}),
    "no text": safetensors(b"\xff\xfe{}"),
}


@pytest.mark.promise(GROUP, "Tensor files with edited headers, types, shapes or metadata are refused.")
@pytest.mark.parametrize("name", HEADERS)
def test_a_tensor_file_with_a_strange_header_is_refused(run, name, record_property):
    for file in ("model.safetensors", "densities.safetensors"):
        whole = (run / file).read_bytes()
        (run / file).write_bytes(HEADERS[name])
        with pytest.raises(SigmaeError, match=f"{file} .* cut or edited"):
            sigmae.load(run)
        (run / file).write_bytes(whole)
    record_property("tried", 2)


SIGNED = {
    "a list for metadata": ({}, [1]),
    "names that are none": ({}, {"densities": [{"a": 1}]}),
    "no names": ({}, {"densities": 3}),
    "half a character": ({}, {"densities": ["\ud800"]}),
    "another type": ({"prior.mean": torch.zeros(2).to(torch.float8_e4m3fn)}, {}),
    "a flow of nothing": ({"f.mean": torch.zeros(1 << 24), "f.scale": torch.ones(1), "f.flow.a": torch.ones(1)}, {}),
    "a stage of nothing": ({"s.log_gamma": torch.zeros(()), "s.decoder.output.weight": torch.zeros(1, 1 << 20)}, {}),
}


@pytest.mark.promise(GROUP, "Tensor files with edited headers, types, shapes or metadata are refused.")
@pytest.mark.parametrize("name", SIGNED)
def test_a_right_checksum_does_not_make_densities(run, name):
    tensors, metadata = load_tensors(run / "densities.safetensors")
    changed, told = SIGNED[name]
    metadata = metadata | told if isinstance(told, dict) else told
    text = json.dumps(metadata)
    header = json.dumps({"metadata": text, "sha256": checksum(tensors | changed, text)})
    save_file(tensors | changed, run / "densities.safetensors", {"sigmae": header})
    with pytest.raises(SigmaeError):
        sigmae.load(run)


@pytest.mark.promise(GROUP, "Tensor files with edited headers, types, shapes or metadata are refused.")
@pytest.mark.parametrize("kind", [torch.complex64, torch.int64])
def test_weights_of_another_kind_are_refused(run, kind):
    weights, _ = load_tensors(run / "model.safetensors")
    save_tensors(run / "model.safetensors", {name: weight.to(kind) for name, weight in weights.items()})
    with pytest.raises(SigmaeError, match="do not fit its config"):
        sigmae.load(run)
