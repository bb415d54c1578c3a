"""Pictures: PNG, JPEG and their kin decoded into one tensor."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import UInt8
from torch import Tensor

from sigmae.data.dataset import Progress
from sigmae.errors import SigmaeError

if TYPE_CHECKING:
    import PIL.Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
)
MEMORY_LIMIT = 16 << 30  # bytes of decoded pixels
BLOCK = 32  # pictures a thread decodes in turn

Pixels = npt.NDArray[np.uint8]
Prepare = Callable[["PIL.Image.Image"], "PIL.Image.Image"]


@dataclass(frozen=True)
class Picture:
    """A picture that is not decoded yet: the name that errors tell, its bytes when asked for, its class."""

    name: str
    read: Callable[[], bytes]
    label: str | None = None


def decode(
    pictures: Sequence[Picture], prepare: Prepare, progress: Progress | None = None
) -> UInt8[Tensor, "count channels height width"]:
    """All pictures, each opened, given to `prepare` and written into one tensor, by several threads.

    Errors: a picture that cannot be read, sizes or channels that differ, more pixels than `MEMORY_LIMIT`.
    """
    with _bombs_as_errors():
        first = pixels(prepare(opened(pictures[0])))
        check_memory(len(pictures), first.shape)
        images = torch.empty(len(pictures), *first.shape, dtype=torch.uint8)
        rows = images.numpy()

        def fill(start: int) -> int:
            block = pictures[start : start + BLOCK]
            for index, picture in enumerate(block, start):
                found = pixels(prepare(opened(picture)))
                if found.shape != first.shape:
                    raise _mixed(pictures[0].name, first.shape, picture.name, found.shape)
                rows[index] = found
            return start + len(block)

        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            for done in pool.map(fill, range(0, len(pictures), BLOCK)):
                if progress:
                    progress(done, len(pictures))
    return images


def opened(picture: Picture) -> "PIL.Image.Image":
    """The picture upright (by its EXIF orientation) and in mode L or RGB; one that cannot be is named."""
    from PIL import Image, ImageOps

    try:
        with Image.open(BytesIO(picture.read()), formats=FORMATS) as image:
            ImageOps.exif_transpose(image, in_place=True)
            return eight_bits(image, picture.name)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SigmaeError(f"{picture.name} is too large to decode safely ({error}): shrink it or remove it.") from error
    except SigmaeError:
        raise
    except Exception as error:  # Pillow's readers raise whatever they meet in a broken file.
        reason = f"{type(error).__name__}: {error}"
        raise SigmaeError(
            f"{picture.name} cannot be read as a picture ({reason}): it is cut or of another kind; "
            "replace it or remove it."
        ) from error


def eight_bits(image: "PIL.Image.Image", name: str) -> "PIL.Image.Image":
    """The image in mode L or RGB: palettes become RGB, transparency is laid on white.

    More than eight bits a gray pixel are refused: no scaling to eight suits all of them. (Pillow itself
    reads sixteen-bit colour by its upper eight bits.)
    """
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        raise SigmaeError(f"{name} has more than 8 bits a pixel (mode {image.mode}): save it with 8 bits.")
    gray = image.mode in ("1", "L", "LA")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if gray else "RGB")


def square(image: "PIL.Image.Image", size: int | None) -> "PIL.Image.Image":
    """The image centre-cropped to a square and resized bilinearly; unchanged where `size` is None."""
    from PIL import Image

    if size is None or image.size == (size, size):
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)


def pixels(image: "PIL.Image.Image") -> Pixels:
    """An image of mode L or RGB as uint8 [channels, height, width]."""
    array: npt.NDArray[Any] = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def check_memory(count: int, shape: Sequence[int]) -> None:
    """Refuse images that would not fit into `MEMORY_LIMIT` bytes."""
    needed = count * int(np.prod(shape))
    if needed > MEMORY_LIMIT:
        raise SigmaeError(
            f"{count:,} images of {list(shape)} need {needed / 2**30:.1f} GiB, over the bound of "
            f"{MEMORY_LIMIT / 2**30:.0f} GiB: give a smaller image_size (--image-size), or fewer images."
        )


def _mixed(first: str, first_shape: Sequence[int], other: str, other_shape: Sequence[int]) -> SigmaeError:
    if first_shape[0] != other_shape[0]:
        gray, colour = (first, other) if first_shape[0] == 1 else (other, first)
        return SigmaeError(f"{gray} is gray and {colour} is in colour: convert them to one kind.")
    sizes = (f"{name} is {shape[2]}x{shape[1]}" for name, shape in ((first, first_shape), (other, other_shape)))
    return SigmaeError(f"{' and '.join(sizes)}: give image_size (--image-size) to crop and resize all of them.")


@contextmanager
def _bombs_as_errors() -> Iterator[None]:
    """Pillow warns of a picture of 90 megapixels and refuses one of 180; let both be errors."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
