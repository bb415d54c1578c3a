"""Laws of networks: functions of sizes that return an encoder and a decoder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn, Tensor

from sigmae.errors import SigmaeError
from sigmae.jacobians import push_forward
from sigmae.networks import check_shapes, Network, NETWORKS
from sigmae.plugins import resolve
from sigmae.seeds import seeded
from sigmae.testing.laws import Law, LawBroken, require
from sigmae.testing.objectives import require_gradients
from sigmae.testing.trials import same_bits

SHAPES = ((1, 8, 8), (12,), (1, 28, 28), (3, 32, 32), (3, 64, 64))
LATENTS = (1, 2, 7)
EXAMPLES = 4
STEP = 1e-6


@dataclass(frozen=True)
class NetworkTrial:
    """A network on trial, with its options, on examples of these shapes."""

    name: str
    function: Network
    options: Mapping[str, Any]
    shapes: Sequence[tuple[int, ...]]

    def __str__(self) -> str:
        return self.name

    def made(self, shape: tuple[int, ...], latent: int = 2, outputs: int = 4, extra: int = 0, *, seed: int = 0) -> Any:
        """What the function returns; the same weights for the same seed."""
        with seeded(seed, "weights"):
            return self.function(**sizes(shape, latent, outputs, extra), **self.options)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The first shape that is not refused."""
        for shape in self.shapes:
            if self.takes(shape):
                return shape
        require(False, f"{self} refuses examples of all the shapes {self.shapes}: give shapes= that it is for.")
        return ()

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether the function makes networks for a shape."""
        try:
            self.made(shape)
        except SigmaeError:
            return False
        except Exception as error:
            told = f"{self} raised {type(error).__name__} ({error}) for examples of the shape {shape}"
            raise LawBroken(
                f"{told}: raise a SigmaeError that says what it needs, or give shapes= that it is for."
            ) from error
        return True

    def roles(self, seed: int = 0) -> Iterator[tuple[str, nn.Module, Tensor]]:
        """The encoder for that shape with examples, and the decoder with codes."""
        encoder, decoder = self.made(self.shape, seed=seed)
        with seeded(0, "inputs"):
            yield f"the encoder of {self}", encoder, torch.rand(EXAMPLES, *self.shape)
            yield f"the decoder of {self}", decoder, torch.randn(EXAMPLES, 2)


def network_trial(
    network: str | Network, shapes: Sequence[tuple[int, ...]], options: Mapping[str, Any]
) -> NetworkTrial:
    """The trial of a function, or of a network by the name that the command line takes."""
    if isinstance(network, str):
        return NetworkTrial(network, resolve("network", network, NETWORKS), options, shapes)
    return NetworkTrial(str(getattr(network, "__name__", network)), network, options, shapes)


def sizes(shape: tuple[int, ...], latent: int, outputs: int, extra: int) -> dict[str, Any]:
    """What every network is told; `extra` channels of the decoder are log-variances."""
    given: dict[str, Any] = {"shape": shape, "latent_dim": latent, "encoder_outputs": outputs}
    return given | {"decoder_shape": (shape[0] + extra, *shape[1:])}


def two_modules_are_returned(trial: NetworkTrial) -> None:
    """The function returns an encoder and a decoder, other ones at every call."""
    pair, other = trial.made(trial.shape), trial.made(trial.shape)
    modules = isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(module, nn.Module) for module in pair)
    require(modules, f"{trial} returns {pair!r:.80}: return a tuple of an encoder and a decoder, two modules.")
    require(not {*pair} & {*other}, f"two calls of {trial} return the same module: make a new one in every call.")


def sizes_are_kept(trial: NetworkTrial) -> None:
    """Any latent size, number of the encoder's outputs and of the decoder's channels is kept."""
    for shape in filter(trial.takes, trial.shapes):
        for latent in LATENTS:
            for outputs, extra in ((latent, 0), (2 * latent, 1)):
                encoder, decoder = trial.made(shape, latent, outputs, extra)
                try:
                    check_shapes(str(trial), encoder, decoder, **sizes(shape, latent, outputs, extra))
                except SigmaeError as error:
                    require(False, f"for {sizes(shape, latent, outputs, extra)}: {error}")


def evaluation_is_of_each_example_alone(trial: NetworkTrial) -> None:
    """In evaluation mode outputs are always the same, whatever else is in the batch, and inputs stay as they are."""
    for role, network, inputs in trial.roles():
        given = inputs.clone()
        with torch.no_grad():
            whole, again = network.eval()(inputs), network(inputs)
            single = torch.cat([network(one) for one in inputs.split(1)])
        require(torch.equal(given, inputs), f"{role} changes its inputs: use no method ending in _ on them.")
        require(torch.equal(whole, again), f"{role} gives other outputs for the same inputs: noise is for training.")
        apart = float((whole - single).abs().max())
        close = torch.allclose(whole, single, rtol=1e-4, atol=1e-5)
        told = f"outputs of {role} are off by {apart:.3g} when its examples come one by one"
        require(close, f"{told}: let no example depend on the others in evaluation mode.")


def every_weight_is_trained(trial: NetworkTrial) -> None:
    """A gradient reaches every weight of the encoder and of the decoder."""
    for role, network, inputs in trial.roles():
        network.train()(inputs).square().sum().backward()
        require_gradients(role, network)


def the_state_is_all_there_is(trial: NetworkTrial) -> None:
    """A network that has the state dict of another, in training as in evaluation, gives what that one gives."""
    for (role, network, inputs), (_, other, _) in zip(trial.roles(), trial.roles(seed=1), strict=True):
        with torch.no_grad():
            network.train()(inputs)
        other.load_state_dict(network.state_dict())
        different = same_bits(network.state_dict(), other.state_dict())
        told = f"{', '.join(different)} of {role} are not loaded"
        require(not different, f"{told}: keep state in parameters and buffers.")
        with torch.no_grad():
            same = torch.equal(network.eval()(inputs), other.eval()(inputs))
        require(same, f"{role} decides by more than its state dict: keep layers in modules, and state in buffers.")


def precision_follows_the_weights(trial: NetworkTrial) -> None:
    """After .double() all that a network computes is in 64 bits."""
    for role, network, inputs in trial.roles():
        outputs = network.double()(inputs.double())
        told = f"{role} gives {outputs.dtype} after .double()"
        require(outputs.dtype == torch.float64, f"{told}: make constants by new_zeros and its kin, or as buffers.")


def derivatives_pass_through(trial: NetworkTrial) -> None:
    """Changes of a code are carried through the decoder, as `Linearized` and `GradientPenalty` do."""
    decoder = trial.made(trial.shape)[1].double().eval()
    with seeded(0, "codes"), torch.no_grad():
        z, change = torch.randn(2, EXAMPLES, 2, dtype=torch.float64)
        carried = push_forward(decoder, z, change.unsqueeze(0))[0]
        measured = (decoder(z + STEP * change) - decoder(z - STEP * change)) / (2 * STEP)
    errors = (carried - measured).flatten(1).abs().amax(1) / measured.abs().max()
    apart = float(errors.median())  # a ReLU may bend between the two outputs of one of the examples
    told = f"the derivative of the decoder of {trial} is off the difference of two outputs by {apart:.2g} of it"
    require(apart < 1e-3, f"{told}: look for a detach, .data or a backward pass of one's own.")


NETWORK: tuple[Law, ...] = (
    two_modules_are_returned,
    sizes_are_kept,
    evaluation_is_of_each_example_alone,
    every_weight_is_trained,
    the_state_is_all_there_is,
    precision_follows_the_weights,
    derivatives_pass_through,
)
