"""Steps of an optimizer, for the densities that are trained."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from sigmae.errors import SigmaeError

Loss = Callable[[Tensor], Tensor]


def train_epoch(loss: Loss, codes: Float[Tensor, "count latent"], optimizer: Optimizer, batch_size: int) -> None:
    """A step for every batch of the codes, in a random order; training that has diverged is told."""
    order = torch.randperm(len(codes)).to(codes.device)
    for batch in codes[order].split(batch_size):
        optimizer.zero_grad()
        loss(batch).backward()
        optimizer.step()
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    if not torch.stack([weight.isfinite().all() for weight in weights]).all():
        raise SigmaeError(
            f"Training the density has diverged on codes with a standard deviation of {codes.std():.3g}: "
            "use gaussian or gmm10, or a model with smaller codes."
        )
