"""Initializations: the weights that a network starts from."""

from collections.abc import Callable
from functools import partial

from torch import nn, Tensor

from sigmae.errors import unknown

INITIALIZATIONS: dict[str, Callable[[Tensor], Tensor] | None] = {
    "default": None,
    "kaiming": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
    "glorot": nn.init.xavier_uniform_,
}


def initialize(network: nn.Module, name: str) -> None:
    """Draw the weights of dense, convolutional and transposed convolutional layers anew; their biases become zero.

    "default" leaves them as torch made them. "kaiming" is normal with variance 2 / fan-in: what the sampling-free
    paper's study of collapse comes out with. "glorot" is uniform within ±sqrt(6 / (fan-in + fan-out)): the default of
    Keras and so of the RAE code. The fan-in is torch's, of the weight as stored: inputs times kernel; for a transposed
    convolution, whose weight is stored with the inputs first, outputs times kernel.
    """
    if name not in INITIALIZATIONS:
        raise unknown("initialization", name, INITIALIZATIONS)
    draw = INITIALIZATIONS[name]
    if draw is None:
        return
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            draw(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
