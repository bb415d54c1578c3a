"""Networks: pairs of an encoder and a decoder, by name, by `module:attribute`, or one's own modules."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn, Tensor

from sigmae.conversion import structure
from sigmae.errors import SigmaeError
from sigmae.networks.ar_elbo import ar_elbo_celeba, ar_elbo_mnist
from sigmae.networks.avae import avae, avae_factors
from sigmae.networks.beta_vae import beta_vae
from sigmae.networks.conv import conv
from sigmae.networks.initialization import initialize
from sigmae.networks.mlp import linear, mlp
from sigmae.networks.rae import rae
from sigmae.networks.sizes import require_bounded, WEIGHTS
from sigmae.networks.uae import uae
from sigmae.plugins import resolve

Network = Callable[..., tuple[nn.Module, nn.Module]]

NETWORKS: dict[str, Network] = {
    "mlp": mlp,
    "linear": linear,
    "conv": conv,
    "rae-mnist": partial(rae, side=32, kernel=4, decoder_channels=(4, 2)),
    "rae-cifar10": partial(rae, side=32, kernel=4, decoder_channels=(4, 2)),
    "rae-celeba": partial(rae, side=64, kernel=5, decoder_channels=(4, 2, 1)),
    "uae": uae,
    "beta-vae": beta_vae,
    "avae-mnist": partial(avae, side=32, start=2, decoder_channels=(4, 2, 1)),
    "avae-cifar10": partial(avae, side=32, start=8, decoder_channels=(4, 2), width=128),
    "avae-celeba": partial(avae, side=64, start=8, decoder_channels=(4, 2, 1)),
    "avae-factors": avae_factors,
    "ar-elbo-smoothness": partial(ar_elbo_mnist, kernel=4, norm=False),
    "ar-elbo-mnist": partial(ar_elbo_mnist, kernel=5, norm=True),
    "ar-elbo-celeba": ar_elbo_celeba,
}
DESCRIPTIONS = {
    "mlp": "Perceptron 512-256 and its mirror image; vectors and small images. Options: hidden, activation.",
    "linear": "One linear layer each way: the network of a linear VAE, whose optimum is probabilistic PCA.",
    "conv": "Stride-2 convolutions down to 4 by 4, any image size and channels. Option: width (32).",
    "rae-mnist": "The RAE paper's network for MNIST padded to 32 by 32. Options: dense_norm, centre_input, width.",
    "rae-cifar10": "The RAE paper's network for CIFAR-10. Options: dense_norm, centre_input, width.",
    "rae-celeba": "The RAE paper's network for CelebA at 64 by 64. Options: dense_norm, centre_input, width.",
    "uae": "The UAE authors' network for images of 32 by 32 or 64 by 64. Option: width (32).",
    "beta-vae": "The sampling-free paper's convolutional network for images of 64 by 64. Option: width (32).",
    "avae-mnist": "The AVAE paper's network for MNIST padded to 32 by 32. Option: width (64).",
    "avae-cifar10": "The AVAE paper's network for CIFAR-10. Option: width (128).",
    "avae-celeba": "The AVAE paper's network for CelebA at 64 by 64. Option: width (64).",
    "avae-factors": "The AVAE paper's network for dSprites and 3D Shapes at 64 by 64. Options: dense, width (32).",
    "ar-elbo-smoothness": "The AR-ELBO paper's network for its study of smoothness, 28 by 28. Option: width (64).",
    "ar-elbo-mnist": "The AR-ELBO paper's network for MNIST at 28 by 28. Option: width (64).",
    "ar-elbo-celeba": "The AR-ELBO paper's network for CelebA at 64 by 64. Option: width (128).",
}
SIZES = ("shape", "latent_dim", "encoder_outputs", "decoder_shape")  # given to every network, and no options
OUTPUTS: dict[str, Callable[[], nn.Module]] = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "linear": nn.Identity}


class MeanActivation(nn.Module):
    """An activation of the first `channels` outputs, the mean; the log-variances behind them are left as they are."""

    def __init__(self, activation: nn.Module, channels: int) -> None:
        super().__init__()
        self.activation, self.channels = activation, channels

    def forward(self, outputs: Tensor) -> Tensor:
        mean, rest = outputs.tensor_split([self.channels], dim=1)
        return torch.cat([self.activation(mean), rest], dim=1)


@dataclass(frozen=True)
class NetworkConfig:
    """A network's name, its options, the activation that its decoder ends in, and the weights that it starts from."""

    name: str = "conv"
    output: str = "sigmoid"
    options: dict[str, Any] = field(default_factory=dict)
    init: str = "default"


def default_network(shape: Sequence[int]) -> str:
    """Convolutions for images of 16 by 16 or more, a perceptron below and for vectors."""
    return "conv" if len(shape) == 3 and min(shape[1:]) >= 16 else "mlp"


def build(
    config: NetworkConfig,
    *,
    shape: tuple[int, ...],
    latent_dim: int,
    encoder_outputs: int,
    decoder_shape: tuple[int, ...],
    trust: Sequence[str] | None = None,
) -> tuple[nn.Module, nn.Module]:
    """The encoder and the decoder, checked on two blank examples; `trust` as for `plugins.resolve`."""
    network = resolve("network", config.name, NETWORKS, trust)
    if config.output not in OUTPUTS:
        raise SigmaeError(f"A decoder ends in one of {', '.join(OUTPUTS)}; got '{config.output}'.")
    options = checked_options(config, network)
    sizes: Mapping[str, Any] = {
        "shape": shape, "latent_dim": latent_dim, "encoder_outputs": encoder_outputs, "decoder_shape": decoder_shape
    }  # fmt: skip
    if config.name in NETWORKS:  # a third party's may need numbers to be made
        check_weights(config.name, partial(network, **sizes, **options), sizes)
    pair = network(**sizes, **options)
    if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(module, nn.Module) for module in pair)):
        raise SigmaeError(f"The network {config.name} must return an encoder and a decoder, it returns {pair!r}.")
    encoder, decoder = pair
    for module in pair:
        initialize(module, config.init)
    if config.output != "linear":
        activation = OUTPUTS[config.output]()
        extra = decoder_shape[0] - shape[0]
        decoder = nn.Sequential(decoder, MeanActivation(activation, shape[0]) if extra else activation)
    if config.name not in NETWORKS:
        check_shapes(config.name, encoder, decoder, **sizes)
    return encoder, decoder


def check_weights(name: str, make: Callable[[], tuple[nn.Module, nn.Module]], sizes: Mapping[str, Any]) -> None:
    """Refuse a network of too many weights, or of wrong shapes, before there is memory for any."""
    try:
        with torch.device("meta"):
            pair = make()
            check_shapes(name, *pair, **sizes)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise SigmaeError(f"The network {name} cannot be of these sizes ({error!s:.200}): choose others.") from error
    count = sum(weights.numel() for module in pair for weights in module.parameters())
    require_bounded(f"number of weights of the network {name}", count, WEIGHTS)


def checked_options(config: NetworkConfig, network: Network) -> dict[str, Any]:
    """The options as the network's signature has them; one that it does not have is refused."""
    signature = inspect.signature(network).parameters
    parameters = {name: kind for name, kind in signature.items() if name not in SIZES}
    checked = {}
    for option, value in config.options.items():
        if option not in parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            raise SigmaeError(f"The network {config.name} has no option '{option}'. It takes: {', '.join(parameters)}.")
        hint = parameters[option].annotation if option in parameters else Any
        known = hint is not inspect.Parameter.empty and not isinstance(hint, str)
        checked[option] = structure(value, hint, f"network.{option}") if known else value
    return checked


@torch.no_grad()
def check_shapes(
    name: str,
    encoder: nn.Module,
    decoder: nn.Module,
    *,
    shape: tuple[int, ...],
    latent_dim: int,
    encoder_outputs: int,
    decoder_shape: tuple[int, ...],
) -> None:
    """Refuse a pair whose outputs have the wrong shape for the posterior or the data."""
    for role, network, given, wanted in (
        ("encoder", encoder, shape, (encoder_outputs,)),
        ("decoder", decoder, (latent_dim,), decoder_shape),
    ):
        training = network.training
        try:
            got = tuple(network.eval()(torch.zeros(2, *given)).shape[1:])
        except RuntimeError as error:
            raise SigmaeError(f"The {role} of {name} cannot read a batch of shape (2, {given}): {error}") from error
        finally:
            network.train(training)
        if got != tuple(wanted):
            raise SigmaeError(f"The {role} of {name} must return {tuple(wanted)} for each example, it returns {got}.")
