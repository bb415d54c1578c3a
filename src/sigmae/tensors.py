"""Tensor files: safetensors with a checksum and JSON metadata, written whole or not at all."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.files import digest, write_atomically


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any] | None = None) -> None:
    """Write tensors and JSON-like metadata to one safetensors file, atomically."""
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(dict(metadata or {}), sort_keys=True)
    header = json.dumps({"metadata": text, "sha256": checksum(whole, text)})
    # one key, since safetensors writes several in any order, and equal content shall be equal bytes
    write_atomically(path, lambda temporary: write_safetensors(whole, temporary, {"sigmae": header}))


def write_safetensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """`save_file`, with a disk that is full told as by every other writer: as an `OSError`."""
    try:
        save_file(tensors, path, metadata=metadata)
    except SafetensorError as error:
        if number := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
        raise


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the metadata of a file that `save_tensors` wrote; a damaged one is named."""
    if not path.is_file():
        raise SigmaeError(f"There is no {path.name} in {path.parent}.")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("sigmae", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise SigmaeError(f"{path} is not a whole safetensors file ({error}): it was cut or edited.") from error
    text = header.get("metadata", "") if isinstance(header, dict) else ""
    if not text or header.get("sha256") != checksum(tensors, text):
        raise SigmaeError(f"{path} does not match its checksum: it was cut or edited, or written by another program.")
    return tensors, json.loads(text)


def checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    """The SHA-256 of the metadata and of every tensor's name, type, shape and bytes."""
    chunks: list[bytes | memoryview] = [text.encode()]
    for name in sorted(tensors):
        tensor = tensors[name]
        chunks.append(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        chunks.append(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest(*chunks)
