"""Inception features: of the network that published FIDs use, a file that is fetched once and is code."""

import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from sigmae.download import fetch
from sigmae.errors import SigmaeError
from sigmae.files import cache_folder, digest
from sigmae.metrics.named import NamedFeatures

INCEPTION_FILE = "inception-2015-12-05.pt"
INCEPTION_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
INCEPTION_MIRRORS = ("https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics",)


def inception_features(
    file: Path | None = None,
    *,
    device: str = "cpu",
    mirrors: Sequence[str] = INCEPTION_MIRRORS,
    sha256: str = INCEPTION_SHA256,
) -> NamedFeatures:
    """The pool_3 layer of the 2015-12-05 Inception network, whose own resizing to 299 by 299 takes any size.

    Its TorchScript file is `file`, else what SIGMAE_INCEPTION names, else the cached one, else fetched from
    `mirrors`. The file is code: one without the hash `sha256` is refused, not loaded.
    """
    content = inception_code(file, mirrors=mirrors, sha256=sha256)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit: it is the form that the file has
        network = torch.jit.load(io.BytesIO(content), map_location=device).eval()
    details = {"fingerprint": sha256}
    return NamedFeatures("inception", lambda images: network(_rgb(images), return_features=True), details, device)


def inception_code(
    file: Path | None = None, *, mirrors: Sequence[str] = INCEPTION_MIRRORS, sha256: str = INCEPTION_SHA256
) -> bytes:
    """The content of the file, found as `inception_features` says, its hash checked."""
    return _checked(_inception_file(file, mirrors, sha256), sha256)


def _inception_file(file: Path | None, mirrors: Sequence[str], sha256: str) -> Path:
    if named := file or os.environ.get("SIGMAE_INCEPTION"):
        if not Path(named).is_file():
            raise SigmaeError(f"There is no file {named} with the Inception network: name {INCEPTION_FILE}.")
        return Path(named)
    path = cache_folder("features", INCEPTION_FILE)
    advice = f"Save it as {path}, or name it with SIGMAE_INCEPTION, or use the features 'classifier' or 'random'."
    return fetch(path, f"sha256:{sha256}", mirrors, advice)


def _checked(path: Path, sha256: str) -> bytes:
    """The bytes of the file, which are those to load: the file could change after it was checked."""
    content = path.read_bytes()
    if digest(content) != sha256:
        raise SigmaeError(
            f"{path} is not the Inception network, since its SHA-256 begins {digest(content)[:12]} and not "
            f"{sha256[:12]}, and it is code: it was not loaded; delete it and get it again."
        )
    return content


def _rgb(images: UInt8[Tensor, "batch channels height width"]) -> UInt8[Tensor, "batch 3 height width"]:
    if images.shape[1] not in (1, 3):
        raise SigmaeError(
            f"The Inception network sees 1 or 3 channels, and these images have {images.shape[1]}: use 'random'."
        )
    return images.expand(-1, 3, -1, -1)
