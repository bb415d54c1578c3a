"""A training step of ours against pythae's: its model's forward and backward passes, and Adam as its trainer has it.

pythae is optional: without it nothing is compared. It reads our networks, from equal weights, as it would a user's own.
"pythae" is as it comes; "pythae, tuned" has our layout of the weights and fused Adam as well. Memory is kept for all.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from itertools import chain, pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import nn, Tensor
from torch.optim import Adam, Optimizer

from benchmarks.comparison import Comparison
from benchmarks.training_step import (
    bare_steps,
    first_batches,
    LATENT,
    new_loop,
    new_model,
    our_steps,
    ROUNDING,
    Setting,
    settings,
)
from sigmae import Autoencoder
from sigmae.data import scaled
from sigmae.training.loop import Loop

MISSING = "Nothing is compared with pythae, which cannot be imported ({}): pip install pythae."


@dataclass(frozen=True)
class Peer:
    """A model of pythae, what makes it ours, and why its loss cannot be compared where it cannot."""

    model: str
    config: str
    about: str
    options: Mapping[str, Any] = field(default_factory=dict)
    ours: tuple[str, ...] = ()
    comparable: bool = True
    halves: bool = False  # whether it decodes one half of the images that it is given


UNIT = "likelihood.variance=1"
PEERS = {
    "ae": Peer("AE", "AEConfig", "equal losses"),
    "vae": Peer("VAE", "VAEConfig", "equal losses but for the constant of the Gaussian", ours=(UNIT,)),
    "rae-l2": Peer(
        "RAE_L2",
        "RAE_L2_Config",
        "equal losses but for the decoder's weights, which one of pythae's two optimizers decays; two backward passes",
        {"embedding_weight": 0.0128, "reg_weight": 2e-4},
    ),
    "rae-gp": Peer(
        "RAE_GP",
        "RAE_GP_Config",
        "losses do not compare: pythae penalises the gradient of the sum of outputs by the image, through the encoder",
        {"embedding_weight": 0.0128, "reg_weight": 0.01},
        comparable=False,
    ),
    "wae-mmd": Peer(
        "WAE_MMD", "WAE_MMD_Config", "equal losses", {"reg_weight": 10.0, "reconstruction_loss_scale": 0.05}
    ),
    "beta-tcvae": Peer(
        "BetaTCVAE",
        "BetaTCVAEConfig",
        "both decompose the KL by minibatch weighting; losses do not compare: our weighting draws a sample of its own",
        {"beta": 2.0, "use_mss": False},
        (UNIT, "latent.estimate=decomposed"),
        comparable=False,
    ),
    "aae": Peer(
        "Adversarial_AE",
        "Adversarial_AE_Config",
        "equal losses and discriminators",
        {"adversarial_loss_scale": 1.0, "reconstruction_loss_scale": 0.1, "deterministic_posterior": True},
    ),
    "iwae": Peer(
        "IWAE",
        "IWAEConfig",
        "losses do not compare: pythae's has the gradient of the bound and not its value",
        {"number_samples": 5},
        (UNIT,),
        comparable=False,
    ),
    "factor-vae": Peer(
        "FactorVAE",
        "FactorVAEConfig",
        "equal discriminators; losses do not compare: pythae encodes all images and decodes one half",
        {"gamma": 10.0},
        (UNIT, "latent.hidden=[1000,1000,1000,1000,1000]"),
        comparable=False,
        halves=True,
    ),
}
GOALS = {("rae-l2", "mlp"): 0.667, ("rae-l2", "conv"): 0.667, ("wae-mmd", "mlp"): 0.556}


def wrapped(model: Autoencoder) -> dict[str, Any]:
    """Copies of our networks as pythae calls networks, by its names for them."""
    bases = import_module("pythae.models.nn")
    output = import_module("pythae.models.base.base_utils").ModelOutput
    spread = model.objective.posterior.has_density

    def statistics(outputs: Tensor) -> Any:
        mean, log_variance = outputs.chunk(2, dim=1) if spread else (outputs, torch.zeros_like(outputs))
        return output(embedding=mean, log_covariance=log_variance)

    networks = {
        "encoder": adapted(bases.BaseEncoder, model.encoder, statistics),
        "decoder": adapted(bases.BaseDecoder, model.decoder, lambda outputs: output(reconstruction=outputs)),
    }
    judge = model.objective.latent.opponent()
    if judge is not None:
        judged = adapted(bases.BaseDiscriminator, judge, lambda logits: output(embedding=logits.sigmoid()))
        networks["discriminator"] = judged.requires_grad_(True)
    return networks


def adapted(base: type[nn.Module], network: nn.Module, told: Callable[[Tensor], Any]) -> nn.Module:
    """A module of a base class that hands on what a copy of a network gives."""

    class Adapted(base):  # type: ignore[valid-type, misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = deepcopy(network)

        def forward(self, inputs: Tensor) -> Any:
            return told(self.network(inputs))

    return Adapted()


class PeerLoop:
    """The steps that pythae's trainers make, on images in memory."""

    def __init__(self, peer: Peer, model: Autoencoder, images: Tensor, lr: float, *, tuned: bool) -> None:
        pythae, networks = import_module("pythae.models"), wrapped(model)
        config = getattr(pythae, peer.config)(input_dim=tuple(images.shape[1:]), latent_dim=LATENT, **peer.options)
        if peer.model == "FactorVAE":
            networks.pop("discriminator")  # it makes its own
        self.model = getattr(pythae, peer.model)(config, **networks).to(images.device).train()
        self.model.device, self.images = images.device, images
        if tuned:
            self.model.to(memory_format=torch.channels_last)
        self.optimizers = optimizers(self.model, lr=lr, fused=tuned or None)

    def forward(self, indices: Int[Tensor, " batch"]) -> Any:
        """What its model says of a batch."""
        return self.model({"data": self.images[indices]}, dataset_size=len(self.images))

    def step(self, indices: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
        """One step of each optimizer, one backward pass for each, and the loss."""
        output = self.forward(indices)
        for followed, optimizer in self.optimizers.items():
            optimizer.zero_grad()
            output[followed].backward(retain_graph=len(self.optimizers) > 1)
        for optimizer in self.optimizers.values():
            optimizer.step()
        loss: Tensor = output.loss.detach()
        return loss


def optimizers(model: Any, **options: Any) -> dict[str, Optimizer]:
    """The optimizers of the trainer that pythae has for a model, by the name of the loss that each follows."""
    if model.model_name == "RAE_L2":
        decay = model.model_config.reg_weight
        decoder = Adam(model.decoder.parameters(), weight_decay=decay, **options)
        return {"encoder_loss": Adam(model.encoder.parameters(), **options), "decoder_loss": decoder}
    if not hasattr(model, "discriminator"):
        return {"loss": Adam(model.parameters(), **options)}
    both = Adam(chain(model.encoder.parameters(), model.decoder.parameters()), **options)
    return {"autoencoder_loss": both, "discriminator_loss": Adam(model.discriminator.parameters(), **options)}


def difference(loop: Loop, other: PeerLoop, batch: Int[Tensor, " batch"]) -> float:
    """By which share the losses differ for equal weights and noise, ours without its constant and its decoder term."""
    torch.manual_seed(0)
    terms = loop.wrapped(scaled(loop.images[batch]))
    torch.manual_seed(0)
    theirs = float(other.forward(batch)[next(iter(other.optimizers))].detach())
    own = float((terms.reconstruction + terms.latent).detach())
    if loop.model.objective.likelihood.is_density:
        own -= 0.5 * loop.images[0].numel() * math.log(2 * math.pi)
    return abs(own - theirs) / abs(theirs)


def against_pythae(setting: Setting, method: str, *, as_many_decoded: bool = False) -> Comparison:
    """Our loop and pythae's steps of the same method; where it decodes one half, on equal batches or twice as many."""
    peer = PEERS[method]
    loop = new_loop(setting, method, options=peer.ours)
    images, batches = scaled(loop.images), first_batches(loop, setting)
    model = new_model(setting, method, loop.data, loop.config, options=peer.ours)
    plain, tuned = (PeerLoop(peer, model, images, loop.config.lr, tuned=tuned) for tuned in (False, True))
    others = [torch.cat(pair) for pair in pairwise([batches[-1], *batches])] if as_many_decoded else batches
    return Comparison(
        name=f"{method}, as many images decoded, {setting.name}" if as_many_decoded else f"{method}, {setting.name}",
        sides={
            "sigmae": partial(our_steps, loop, batches),
            "pythae": partial(bare_steps, plain.step, others),
            "pythae, tuned": partial(bare_steps, tuned.step, others),
        },
        ours="sigmae",
        base="pythae",
        goal=GOALS.get((method, setting.network), 1.0),
        agree=partial(difference, loop, plain, batches[0]) if peer.comparable else None,
        tolerance=ROUNDING,
        about=f"{setting.steps} steps of {setting.batch} images; {peer.about}"
        + ("; it is given twice as many." if as_many_decoded else "."),
    )


def comparisons(toy: bool) -> Iterator[Comparison]:
    """Every method that both have, on a perceptron and a convolutional network."""
    try:
        import_module("pythae.models")
    except ImportError as error:
        print(MISSING.format(error))
        return
    for setting in settings(toy)[:2]:
        for method, peer in PEERS.items():
            yield against_pythae(setting, method)
            if peer.halves:
                yield against_pythae(setting, method, as_many_decoded=True)
