"""Images that stay on disk: a file mapped into memory, of which the system holds what is looked at and has room for."""

from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.files import cache_folder

HELD = 1 << 28  # bytes; a file up to this size is read into memory, which is faster
COPIED_AT_ONCE = 1 << 24  # bytes


def reordered(images: Shaped[Tensor, "count *shape"], order: Int64[Tensor, " rows"]) -> Shaped[Tensor, "rows *shape"]:
    """`images[order]`, on disk: mapped from a file of the cache folder that nobody else sees, gone with the tensor.

    Parts of a random order are so whole ranges of a file, and every tensor is an ordinary one.
    """
    folder = cache_folder("reordered")
    try:
        return _reordered(images, order, folder)
    except OSError as error:
        raise SigmaeError(
            f"{images.nbytes:,} bytes of images are split by a copy in {folder}, which cannot be written ({error}): "
            "make room there, or name another folder by the environment variable SIGMAE_CACHE."
        ) from error


def _reordered(images: Tensor, order: Tensor, folder: Path) -> Tensor:
    folder.mkdir(parents=True, exist_ok=True)
    rows = max(1, COPIED_AT_ONCE // images[0].nbytes)
    with TemporaryFile(dir=folder) as file:
        for part in order.split(rows):
            file.write(images[part].contiguous().numpy().data)
        file.flush()
        shape = (len(order), *images.shape[1:])
        return torch.from_numpy(np.memmap(file, images[:0].numpy().dtype, "c", shape=shape))
