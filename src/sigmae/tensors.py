"""Tensor files: safetensors with a checksum and JSON metadata, written whole or not at all."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open, SafetensorError
from safetensors.torch import save
from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.files import digest, from_json, write_bytes


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any] | None = None) -> None:
    """Write tensors and JSON-like metadata to one safetensors file, atomically."""
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(dict(metadata or {}))  # in its own order, which history and report show
    header = json.dumps({"metadata": text, "sha256": checksum(whole, text)})
    # One key, since safetensors writes several in any order, and equal content shall be equal bytes. And not by its
    # own writer of files, whose temporary file would stay behind a process that is killed.
    write_bytes(path, save(whole, {"sigmae": header}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the metadata of a file that `save_tensors` wrote; a damaged one is named."""
    if not path.is_file():
        raise SigmaeError(f"There is no {path.name} in {path.parent}.")
    try:
        with safe_open(path, framework="pt") as file:
            header = from_json((file.metadata() or {}).get("sigmae", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise SigmaeError(f"{path} is not a whole safetensors file ({error}): it was cut or edited.") from error
    text = header.get("metadata") if isinstance(header, dict) else None
    if not isinstance(text, str) or header.get("sha256") != checksum(tensors, text):
        raise SigmaeError(f"{path} does not match its checksum: it was cut or edited, or written by another program.")
    return tensors, metadata_of(text, path)


def metadata_of(text: str, path: Path) -> dict[str, Any]:
    """The metadata that a file's text spells: a checksum that is right does not say who wrote it."""
    try:
        record = from_json(text)
    except ValueError as error:
        raise SigmaeError(f"{path} has metadata that are not whole JSON ({error}): it was edited.") from error
    if not isinstance(record, dict):
        raise SigmaeError(f"{path} has a {type(record).__name__} for its metadata, where names belong: it was edited.")
    return record


def finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all of the tensors' values are finite numbers."""
    found = [tensor.detach().isfinite().all() for tensor in tensors]
    return bool(torch.stack(found).all()) if found else True


def checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    """The SHA-256 of the metadata and of every tensor's name, type, shape and bytes."""
    chunks: list[bytes | memoryview] = [text.encode("utf-8", "backslashreplace")]
    for name in sorted(tensors):
        tensor = tensors[name]
        chunks.append(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        chunks.append(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest(*chunks)
