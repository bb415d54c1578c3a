"""A data set: three splits of examples, and what is known about them."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from sigmae.download import Progress as Progress
from sigmae.errors import SigmaeError
from sigmae.files import digest


@dataclass(frozen=True, eq=False)
class Split:
    """Examples, and where known their labels and generative factors.

    `images` is uint8 or float32 [count, channels, height, width], or float32 [count, features];
    `labels` is int64 [count]; `factors` is int64 [count, factors].
    """

    images: Tensor
    labels: Tensor | None = None
    factors: Tensor | None = None

    def __post_init__(self) -> None:
        kinds = {4: (torch.uint8, torch.float32), 2: (torch.float32,)}
        if self.images.dtype not in kinds.get(self.images.ndim, ()):
            raise SigmaeError(
                f"A split cannot hold {_described(self.images)}: give images as uint8 or float32 [count, channels, "
                "height, width], or vectors as float32 [count, features]."
            )
        for name, tensor, axes in (("labels", self.labels, 1), ("factors", self.factors, 2)):
            if tensor is not None and (tensor.dtype, tensor.ndim, len(tensor)) != (torch.int64, axes, len(self)):
                raise SigmaeError(
                    f"The {name} are {_described(tensor)}, for {len(self)} examples: give int64, one row an example."
                )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice | Tensor) -> "Split":
        """The split of these rows: a slice shares memory, an index copies."""
        parts = (self.images, self.labels, self.factors)
        return Split(*(None if part is None else part[rows] for part in parts))  # type: ignore[arg-type]

    @cached_property
    def fingerprint(self) -> str:
        """A SHA-256 over the type, the shape and the bytes of all that the split holds."""
        chunks: list[bytes | memoryview] = []
        for name in ("images", "labels", "factors"):
            tensor = getattr(self, name)
            if tensor is not None:
                chunks.append(f"{name} {_described(tensor)}".encode())
                chunks.append(memoryview(tensor.cpu().contiguous().view(-1).numpy()))
        return digest(*chunks)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three disjoint splits, the same for every training seed, with the names of labels and factors."""

    name: str
    train: Split
    validation: Split
    test: Split
    label_names: tuple[str, ...] = ()
    factor_names: tuple[str, ...] = ()
    factor_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, split in (("validation", self.validation), ("test", self.test)):
            mine, train = (split.images.shape[1:], split.images.dtype), (self.shape, self.train.images.dtype)
            if mine != train:
                raise SigmaeError(
                    f"The {name} images of {self.name} are {_described(split.images)} and those of train "
                    f"{_described(self.train.images)}: give all splits one shape and type."
                )
        for name in ("train", "validation", "test"):
            if not len(getattr(self, name)):
                raise SigmaeError(f"The {name} split of {self.name} is empty: give it one example or more.")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example: (channels, height, width), or (features,)."""
        return tuple(self.train.images.shape[1:])

    @property
    def is_image(self) -> bool:
        """Whether the examples are images rather than vectors."""
        return len(self.shape) == 3

    @cached_property
    def unit_range(self) -> bool:
        """Whether the examples, `scaled`, lie in [0, 1]: uint8 does."""
        return all(_in_unit_range(split.images) for split in (self.train, self.validation, self.test))


def scaled(images: Shaped[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Images as a network takes them: uint8 divided by 255 into float32, floats unchanged.

    The one place where pixels are scaled.
    """
    return images.to(torch.float32).div_(255) if images.dtype == torch.uint8 else images


def _in_unit_range(images: Tensor) -> bool:
    if images.dtype == torch.uint8:
        return True
    low, high = images.aminmax()
    return bool(low >= 0) and bool(high <= 1)


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
