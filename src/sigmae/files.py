"""Files that are whole or absent: atomic writes, JSON, content hashes, the cache folder."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sigmae.errors import SigmaeError


def cache_folder(*parts: str) -> Path:
    """A folder for what can be made again: `SIGMAE_CACHE`, or `sigmae` under the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = os.environ.get("SIGMAE_CACHE") or Path(home) / "sigmae"
    return Path(root).joinpath(*parts)


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk, then rename it over `path`.

    Whatever happens in between, `path` holds the old content or the new one, never a part of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        temporary.unlink()
        write(temporary)
        temporary.chmod(mode)  # some writers leave a file that only its owner may read
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno is not None:
            error.filename, error.filename2 = str(path), None  # what the user knows, not the temporary file
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` atomically as UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` atomically."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, write)


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically as indented JSON; numbers that are not finite are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file; a file that is missing, cut or edited beyond reading is named."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SigmaeError(f"There is no {path.name} in {path.parent}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"{path} is not whole JSON ({error}): it was cut or edited; restore it, or train again."
        raise SigmaeError(message) from error


def digest(*chunks: bytes | memoryview) -> str:
    """The SHA-256 of the chunks, as hexadecimal digits."""
    state = hashlib.sha256()
    for chunk in chunks:
        state.update(chunk)
    return state.hexdigest()
