"""Data sets of the Hugging Face hub whose pictures are stored as parquet files."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sigmae.data.dataset import Dataset, Progress
from sigmae.data.folders import from_pictures, in_splits, SPLITS
from sigmae.data.pictures import Picture, square
from sigmae.errors import SigmaeError, unknown

CONVERTED = "refs/convert/parquet"  # the branch where the hub keeps its own parquet copies
DAMAGE = (AttributeError, LookupError, NotImplementedError, OSError, TypeError, ValueError)  # as it shows
LABELS = ("label", "labels", "fine_label", "class")


def load_hub(name: str, size: int | None = None, progress: Progress | None = None, limit: int | None = None) -> Dataset:
    """The pictures of `owner/name`, or of one configuration, `owner/name/configuration`.

    Where it has train and test splits those are used, and everything else is pooled and divided.
    """
    owner, _, rest = name.partition("/")
    repository, _, configuration = rest.partition("/")
    if not owner or not repository:
        raise SigmaeError(f"'hf:{name}' does not name a data set: write hf:owner/name.")
    groups: dict[str, list[Picture]] = defaultdict(list)
    names: tuple[str, ...] = ()
    for split, path in _fetched(f"{owner}/{repository}", configuration):
        try:
            names = _add_pictures(path, groups[split])
        except DAMAGE as error:
            reason = f"{type(error).__name__}: {error!s:.200}"
            raise SigmaeError(
                f"{path.name} of hf:{name} is no whole table of pictures ({reason}): tell its owner."
            ) from error
    if not {"train", "test"} <= groups.keys():
        groups = {"": [picture for group in groups.values() for picture in group]}
    if not names:
        found = {picture.label for group in groups.values() for picture in group if picture.label}
        names = tuple(sorted(found, key=int))
    splits = in_splits(groups, f"hf:{name}")
    return from_pictures(name, splits, lambda image: square(image, size), progress, names, limit)


def _fetched(repository: str, configuration: str) -> Iterator[tuple[str, Path]]:
    """The parquet files of one configuration, each with the split it belongs to."""
    try:
        from huggingface_hub import hf_hub_download, list_repo_files
    except ImportError as error:
        raise SigmaeError("Data of the hub needs the extra hub: pip install 'sigmae[hub]'.") from error
    try:
        revision, files = "main", _parquet(list_repo_files(repository, repo_type="dataset"))
        if not files:
            revision, files = CONVERTED, _parquet(list_repo_files(repository, repo_type="dataset", revision=CONVERTED))
        for file in _configured(files, repository, configuration):
            path = hf_hub_download(repository, file, repo_type="dataset", revision=revision)
            splits = [SPLITS[word] for word in re.split("[^a-z]+", file.lower()) if word in SPLITS]
            yield splits[-1] if splits else "", Path(path)
    except SigmaeError:
        raise
    except Exception as error:  # The hub's client raises its own errors and those of its transports.
        reason = f"{type(error).__name__}: {error}"
        raise SigmaeError(f"hf:{repository} cannot be fetched ({reason}): check its name and the network.") from error


def _parquet(files: list[str]) -> list[str]:
    return sorted(file for file in files if file.endswith(".parquet"))


def _configured(files: list[str], repository: str, configuration: str) -> list[str]:
    """The files whose first folder is the configuration; by default the only folder, or `default`."""
    groups: dict[str, list[str]] = defaultdict(list)
    for file in files:
        folder = file.rpartition("/")[0].partition("/")[0]
        groups["" if folder in SPLITS else folder].append(file)
    if not groups:
        raise SigmaeError(f"hf:{repository} has no parquet files: download its pictures and give their folder.")
    if not configuration:
        configuration = next(iter(groups)) if len(groups) == 1 else "default"
    if configuration not in groups:
        raise unknown(f"configuration of hf:{repository}", configuration, groups)
    return groups[configuration]


def _add_pictures(path: Path, pictures: list[Picture]) -> tuple[str, ...]:
    """Append the pictures of a file, with their classes where it has a column for them; give the classes' names."""
    from pyarrow import parquet

    schema = parquet.read_schema(path)
    column = next((field.name for field in schema if _holds_bytes(field.type)), None)
    if column is None:
        raise SigmaeError(f"{path.name} has the columns {', '.join(schema.names)}, and no pictures among them.")
    label = next((name for name in LABELS if name in schema.names), None)
    table = parquet.read_table(path, columns=[name for name in (column, label) if name])
    names = _class_names(schema.metadata or {}, label)
    numbers = table[label].to_pylist() if label else [None] * len(table)
    for row, number in enumerate(numbers):
        known = isinstance(number, int) and number >= 0  # -1 stands for a hidden class
        text = (names[number] if names else str(number)) if known else None
        pictures.append(Picture(f"row {row} of {path.name}", partial(_read_cell, table[column], row), text))
    return names


def _holds_bytes(kind: Any) -> bool:
    from pyarrow import types

    inside = types.is_struct(kind) and any(field.name == "bytes" for field in kind)
    return inside or types.is_binary(kind) or types.is_large_binary(kind)


def _read_cell(column: Any, row: int) -> bytes:
    value = column[row].as_py()
    return bytes(value["bytes"] if isinstance(value, dict) else value)


def _class_names(metadata: dict[bytes, bytes], label: str | None) -> tuple[str, ...]:
    """The names that the hub's own library writes into the schema."""
    features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return tuple(features.get(label, {}).get("names") or ())
