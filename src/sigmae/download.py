"""Downloads: over https, from the first mirror that has the file, checked by hash, whole or not at all."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import BaseHandler, build_opener, Request

from sigmae.errors import SigmaeError
from sigmae.files import write_atomically

Progress = Callable[[int, int], None]
"""Called with how much is done and how much there is; 0 where that is not known."""

BLOCK = 1 << 20
TIMEOUT = 30  # seconds without a byte
THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


class _Refused(Exception):
    """What a mirror leads to, or what came from it, is not to be taken."""


class _Encrypted(BaseHandler):
    """Refuses addresses that are neither https nor on this machine, also those that a mirror redirects to."""

    def default_open(self, request: Request) -> None:
        address = urlsplit(request.full_url)
        if address.scheme != "https" and (address.scheme != "http" or address.hostname not in THIS_MACHINE):
            host = address.hostname or "this machine"
            raise _Refused(f"{address.scheme} from {host} is refused: only https is taken")


def fetch(target: Path, checksum: str, mirrors: Sequence[str], advice: str, progress: Progress | None = None) -> Path:
    """`target`, fetched from the first of `mirrors` (base addresses) that has the file of that name and checksum.

    `checksum` names its algorithm: `md5:`, `sha256:` or `sha512:` and hexadecimal digits. A file that is there is
    returned as it is: one that is code is for the caller to check. Where no mirror has it, the error tells
    each one's reason, then `advice`.
    """
    if target.is_file():
        return target
    reasons = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{target.name}"
        try:
            write_atomically(target, partial(_stream, url, checksum, progress))
            return target
        except (OSError, HTTPException, _Refused) as error:
            reasons.append(f"{url}: {error}")
            if isinstance(error, HTTPError):
                error.close()  # it is the server's answer, and holds a socket
    raise SigmaeError(f"{target.name} could not be downloaded ({'; '.join(reasons)}). {advice}")


def _stream(url: str, checksum: str, progress: Progress | None, part: Path) -> None:
    algorithm, _, expected = checksum.partition(":")
    hashed, done = hashlib.new(algorithm, usedforsecurity=False), 0
    with build_opener(_Encrypted).open(url, timeout=TIMEOUT) as response, part.open("wb") as file:
        total = response.length or 0
        while block := response.read(BLOCK):
            file.write(block)
            hashed.update(block)
            done += len(block)
            if progress:
                progress(done, total)
    if done < total:
        raise _Refused(f"cut after {done:,} of {total:,} bytes")
    if hashed.hexdigest() != expected:
        raise _Refused(f"its {algorithm} is {hashed.hexdigest()}, not {expected}")
