"""Downloads: from the first mirror that answers, checked by hash, whole or not at all."""

import hashlib
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from sigmae.data.dataset import Progress
from sigmae.errors import SigmaeError
from sigmae.files import write_atomically

BLOCK = 1 << 20
TIMEOUT = 30  # seconds without a byte


class _Refused(Exception):
    """What came from a mirror is not the file."""


def fetch(target: Path, md5: str, mirrors: Sequence[str], advice: str, progress: Progress | None = None) -> Path:
    """`target`, fetched from the first of `mirrors` (base addresses) that has the file of that name and hash.

    Where none does, the error tells each mirror's reason, then `advice`.
    """
    if target.is_file():
        return target
    reasons = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{target.name}"
        try:
            write_atomically(target, lambda part, url=url: _stream(url, part, md5, progress))  # type: ignore[misc]
            return target
        except (OSError, HTTPException, _Refused) as error:
            reasons.append(f"{url}: {error}")
    raise SigmaeError(f"{target.name} could not be downloaded ({'; '.join(reasons)}). {advice}")


def _stream(url: str, part: Path, md5: str, progress: Progress | None) -> None:
    hashed, done = hashlib.md5(usedforsecurity=False), 0
    with urlopen(url, timeout=TIMEOUT) as response, part.open("wb") as file:
        total = int(response.headers.get("Content-Length") or 0)
        while block := response.read(BLOCK):
            file.write(block)
            hashed.update(block)
            done += len(block)
            if progress:
                progress(done, total)
    if done < total:
        raise _Refused(f"cut after {done:,} of {total:,} bytes")
    if hashed.hexdigest() != md5:
        raise _Refused(f"its md5 is {hashed.hexdigest()}, not {md5}")
