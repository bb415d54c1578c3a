"""Features with the name and the details that are stored beside a number."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, UInt8
from torch import Tensor


@dataclass(frozen=True, eq=False)
class NamedFeatures:
    """Features computed on `device` by `compute`; `details` say which they are, as JSON-like values."""

    name: str
    compute: Callable[[Tensor], Tensor]
    details: dict[str, Any]
    device: str = "cpu"

    def __call__(self, images: UInt8[Tensor, "batch channels height width"]) -> Float[Tensor, "batch features"]:
        return self.compute(images.to(self.device))
