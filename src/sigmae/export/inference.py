"""What a model computes after training, as two modules without objective or mode."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import nn, Tensor

from sigmae.errors import SigmaeError
from sigmae.model import Autoencoder

EXAMPLES = 3  # in the batch that is traced and compared: neither one, which is special, nor a size of the networks


class Encoder(nn.Module):
    """The mean of q(z|x) of a batch of floats, images in [0, 1]: `Autoencoder.encode` of one batch."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.encoder, self.posterior = model.encoder, model.objective.posterior

    def forward(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch latent"]:
        mean: Tensor = self.posterior(self.encoder(x)).mean
        return mean


class Decoder(nn.Module):
    """The mean of p(x|z) of a batch of codes: `Autoencoder.decode` of one batch."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.decoder, self.likelihood = model.decoder, model.objective.likelihood

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *event"]:
        mean: Tensor = self.likelihood.mean(self.decoder(z))
        return mean


@contextmanager
def at_rest(model: Autoencoder) -> Iterator[None]:
    """The model on the processor, in evaluation mode and without gradients; afterwards as it was."""
    device, training = model.device, model.training
    model.cpu().eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.to(device).train(training)


def example_of(model: Autoencoder, part: type[Encoder] | type[Decoder]) -> Tensor:
    """A batch of noise that the part reads."""
    if model.config is None:
        raise SigmaeError(
            "A model without a config has no sizes to be exported with: give Autoencoder(..., config=ModelConfig(...))."
        )
    shape = tuple(model.config.shape) if part is Encoder else (model.config.latent_dim,)
    drawn = torch.Generator().manual_seed(0)
    return (torch.rand if part is Encoder else torch.randn)(EXAMPLES, *shape, generator=drawn)
