"""What a density is fitted to: the encodings of the training examples, and what else a fit may need."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sigmae.errors import SigmaeError

CLOSEST = 1e-30

Draw = Callable[[], Float[Tensor, "count latent"]]


@dataclass(frozen=True)
class Codes:
    """The means of q(z|x), on the CPU, in float32 or more; how to draw z afresh; the seed of the fit.

    `prior_scale` is the objective's; networks are trained on `device`.
    """

    means: Float[Tensor, "count latent"]
    draw: Draw | None
    seed: int
    prior_scale: float
    device: torch.device | str

    @property
    def latent(self) -> int:
        """The size of a code."""
        return self.means.shape[1]

    def to_train_on(self) -> Float[Tensor, "count latent"]:
        """Draws of every example's z, or its means where there is nothing to draw, where networks are trained."""
        z = self.means if self.draw is None else self.draw()
        return z.to(self.device, self.means.dtype)


def finite(z: Float[Tensor, "count latent"]) -> Float[Tensor, "count latent"]:
    """The encodings on the CPU, in float32 or more; NaN and infinity are refused."""
    broken = len(z) - int(z.isfinite().all(1).sum())
    if broken:
        raise SigmaeError(
            f"{broken} of {len(z)} encodings hold NaN or infinity, and no density has those: "
            "the model has diverged; train it again with a lower learning rate."
        )
    return z.detach().to("cpu", torch.promote_types(z.dtype, torch.float32))


def refuse_a_single_point(z: Float[Tensor, "count latent"]) -> None:
    """A point has no density, and none that a float can hold what is closer together than `CLOSEST`."""
    if ((z - z[:1]).abs() <= CLOSEST).all():
        raise SigmaeError(
            f"A density is fitted to two or more different encodings, and these {len(z)} are all the same: "
            "encode more data; if that does not help, the encoder has collapsed: use the prior."
        )
