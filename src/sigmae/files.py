"""Files that are whole or absent: atomic writes, JSON, content hashes, the cache folder."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sigmae.errors import SigmaeError

READ_LIMIT = 1 << 26  # bytes of a file that is read whole; as values, text takes many times as much memory
DEPTH_LIMIT = 64  # of lists and objects within one another
DIGITS_LIMIT = 300  # of a whole number: no float is larger


def cache_folder(*parts: str) -> Path:
    """A folder for what can be made again: `SIGMAE_CACHE`, or `sigmae` under the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = os.environ.get("SIGMAE_CACHE") or Path(home) / "sigmae"
    return Path(root).joinpath(*parts)


PART = re.compile(r"\..+\.(\d+)\.part")


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk, then rename it over `path`.

    Whatever happens in between, `path` holds the old content or the new one, never a part of it. A process that is
    killed leaves its temporary file, whose name is a `PART`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        if error.errno is not None:
            error.filename, error.filename2 = str(path), None  # what the user knows, not the temporary file
        raise
    finally:
        temporary.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Flush a folder's list of names to disk, without which a new name may be lost when the power fails."""
    with suppress(OSError):  # not every system can
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def remove_parts(folder: Path) -> None:
    """Remove what writers below a folder left that were killed."""
    for path in folder.rglob(".*.part"):
        if (named := PART.fullmatch(path.name)) and not is_running(int(named[1])):
            path.unlink(missing_ok=True)


def is_running(process: int) -> bool:
    """Whether another process of that number runs, as far as the system tells."""
    return process != os.getpid() and Path(f"/proc/{process}").exists()


def write_text(path: Path, text: str) -> None:
    """Write `text` atomically as UTF-8; half a character of a file's name becomes an escape that JSON reads back."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


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
        return from_json(read_bytes(path).decode())
    except FileNotFoundError as error:
        raise SigmaeError(f"There is no {path.name} in {path.parent}.") from error
    except ValueError as error:
        message = f"{path} is not whole JSON ({error}): it was cut or edited; restore it, or train again."
        raise SigmaeError(message) from error


def read_bytes(path: Path) -> bytes:
    """The content of a file; one of more than `READ_LIMIT` bytes is refused."""
    if (size := path.stat().st_size) > READ_LIMIT:
        raise SigmaeError(f"{path} has {size:,} bytes, over the bound of {READ_LIMIT:,}: it is none of ours.")
    return path.read_bytes()


def from_json(text: str) -> Any:
    """The value that JSON spells; raises `ValueError` where it is none, or nested deeper than `DEPTH_LIMIT`."""
    try:
        value = json.loads(text, parse_int=whole_number)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    check_depth(value)
    return value


def whole_number(text: str) -> int:
    """A whole number that a float can hold."""
    if len(text) > DIGITS_LIMIT:
        raise ValueError(f"it has a number of {len(text)} digits")
    return int(text)


def check_depth(value: Any) -> None:
    """Raise `ValueError` where lists and objects are nested deeper than functions of them can follow."""
    level = [value]
    for _ in range(DEPTH_LIMIT):
        holders = [one for one in level if isinstance(one, dict | list)]
        level = [inner for one in holders for inner in (one.values() if isinstance(one, dict) else one)]
    if any(isinstance(one, dict | list) for one in level):
        raise ValueError(f"it is nested deeper than {DEPTH_LIMIT} levels")


def refuse_links(folder: Path) -> None:
    """Refuse a folder that has links out of it: what is read there, or written, would be elsewhere."""
    home = os.path.realpath(folder)
    for place, folders, names in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *names)):
            if path.is_fifo() or (path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home)):
                raise SigmaeError(f"{path} is no file of {folder} but leads out of it: put the file itself there.")


def digest(*chunks: bytes | memoryview) -> str:
    """The SHA-256 of the chunks, as hexadecimal digits."""
    state = hashlib.sha256()
    for chunk in chunks:
        state.update(chunk)
    return state.hexdigest()
