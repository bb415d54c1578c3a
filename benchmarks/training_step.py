"""A training step as our loop makes it, against a loop written out in plain torch.

Both sides have the same networks, loss, batches and fused Adam, and the bare loop is given what belongs to no loop: the
layout of the weights in memory, memory that is kept, and images that are floats already. What is compared is the rest:
indexing, scaling, hooks, seeds, and the look at the terms every so many steps.

What keeping memory is worth cannot be compared within a process: glibc's own thresholds move as memory is freed, and
never again once they were set. Run all of this with SIGMAE_KEEP_MEMORY=0 to see.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import nn, Tensor
from torch.optim import Adam

from benchmarks.comparison import Comparison
from benchmarks.steps import loop_of
from sigmae import Autoencoder, Dataset, Objective, Split, TrainingConfig
from sigmae.api import plan
from sigmae.data import scaled
from sigmae.seeds import generator
from sigmae.training.loop import FLUSH_EVERY, Loop

LATENT, FACTORS = 16, 8
ROUNDING, SHORT = 1e-5, 0.01  # largest share by which losses differ: both in 32 bits, one in bf16
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
Loss = Callable[[nn.Module, nn.Module, Tensor], Tensor]


@dataclass(frozen=True)
class Setting:
    """A network, what it is trained on, and how many steps are timed together."""

    name: str
    network: str
    shape: tuple[int, int, int]
    options: tuple[str, ...] = ()
    batch: int = 100
    examples: int = 10_000
    steps: int = FLUSH_EVERY


def settings(toy: bool) -> list[Setting]:
    """The networks that steps are timed on."""
    if toy:
        small: dict[str, Any] = {"batch": 8, "examples": 24, "steps": 2}
        return [
            Setting("mlp 144-16-8", "mlp", (1, 12, 12), ("network.hidden=[16,8]",), **small),
            Setting("conv 16x16x3", "conv", (3, 16, 16), ("network.width=2",), **small),
        ]
    return [
        Setting("mlp 784-512-256", "mlp", (1, 28, 28)),
        Setting("conv 28x28", "conv", (1, 28, 28), steps=5),  # long rounds scatter as much, and are fewer
        Setting("conv 32x32x3", "conv", (3, 32, 32), steps=5),
    ]


def random_images(setting: Setting) -> Dataset:
    """Images in bytes with a few Gaussian factors, so that there is something to encode."""
    draw, count = generator(0, "benchmark"), setting.examples + 2 * setting.batch
    factors = torch.randn(count, FACTORS, generator=draw)
    images = (factors @ torch.randn(FACTORS, math.prod(setting.shape), generator=draw)).sigmoid()
    bytes_ = (255 * images).to(torch.uint8).unflatten(1, setting.shape)
    train, validation, test = bytes_.split([setting.examples, setting.batch, setting.batch])
    return Dataset("factors", Split(train), Split(validation), Split(test))


def new_model(
    setting: Setting, method: str | Objective, data: Dataset, config: TrainingConfig, *, options: Sequence[str] = ()
) -> Autoencoder:
    """A model as `sigmae train` makes it; the same weights every time."""
    chosen = (*setting.options, *options)
    return plan(data, method, latent_dim=LATENT, network=setting.network, settings=chosen, training=config).model


def new_loop(setting: Setting, method: str | Objective, *, options: Sequence[str] = (), **training: Any) -> Loop:
    """Our loop before its first step; further words are fields of `TrainingConfig`."""
    data, chosen = random_images(setting), {"batch_size": setting.batch} | training
    model = new_model(setting, method, data, TrainingConfig(**chosen), options=options)
    return loop_of(model, data, device="auto", **chosen)


def first_batches(loop: Loop, setting: Setting) -> list[Tensor]:
    """The indices of the first batches, beside the images."""
    return [batch.to(loop.images.device) for batch in islice(loop.batches(), setting.steps)]


def our_steps(loop: Loop, batches: Sequence[Tensor]) -> None:
    """Steps as an epoch makes them, with the look at their terms."""
    for batch in batches:
        loop.step(batch)
    loop.flush()


def ae(encoder: nn.Module, decoder: nn.Module, x: Float[Tensor, "batch *event"]) -> Float[Tensor, ""]:
    """The squared error."""
    return squared_error(decoder(encoder(x)), x)


def squared_error(x_hat: Float[Tensor, "batch *event"], x: Float[Tensor, "batch *event"]) -> Float[Tensor, ""]:
    """Summed over an image, mean over the batch."""
    return (x_hat - x).square().sum() / len(x)


def vae(encoder: nn.Module, decoder: nn.Module, x: Float[Tensor, "batch *event"]) -> Float[Tensor, ""]:
    """The negative ELBO at the decoder variance 1/2, by one sample."""
    mean, log_variance = encoder(x).chunk(2, dim=1)
    z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    divergence: Tensor = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
    return squared_error(decoder(z), x) + divergence + 0.5 * x[0].numel() * math.log(math.pi)


def rae_l2(encoder: nn.Module, decoder: nn.Module, x: Float[Tensor, "batch *event"]) -> Float[Tensor, ""]:
    """The squared error with squared codes and squared kernels."""
    z: Tensor = encoder(x)
    kernels = torch.stack([weight.square().sum() for weight in decoder.parameters() if weight.ndim > 1]).sum()
    return squared_error(decoder(z), x) + 0.0064 * z.square().sum() / len(z) + 1e-4 * kernels


def wae_mmd(encoder: nn.Module, decoder: nn.Module, x: Float[Tensor, "batch *event"]) -> Float[Tensor, ""]:
    """The weighted squared error with the MMD of inverse multiquadrics at seven scales."""
    z: Tensor = encoder(x)
    count, latent = z.shape
    points = torch.cat([z, torch.randn_like(z)])
    squares = points.square().sum(1)
    distances = (squares[:, None] + squares - 2 * points @ points.T).clamp_min(0)
    constants = [2 * latent * scale for scale in SCALES]
    gram = torch.stack([constant / (constant + distances) for constant in constants]).sum(0)
    within = gram[:count, :count].sum() + gram[count:, count:].sum() - gram.trace()
    mmd = within / (count * (count - 1)) - 2 * gram[:count, count:].mean()
    return 0.05 * squared_error(decoder(z), x) + 10 * mmd


WRITTEN: dict[str, Loss] = {"ae": ae, "vae": vae, "rae-l2": rae_l2, "wae-mmd": wae_mmd}
METHODS = (
    *WRITTEN, "beta-vae", "cv-vae", "rae", "vae-w2", "ut-vae-w2", "iwae", "stl", "ar-iso-i", "sigma-iso-i"
)  # fmt: skip


class BareLoop:
    """The loop that one would write, from where ours stands; without a loss of its own it calls our objective."""

    def __init__(self, loop: Loop, loss: Loss | None) -> None:
        self.model, self.loss = deepcopy(loop.model), loss
        self.images = scaled(loop.images)
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimizer = Adam(weights, lr=loop.config.lr, fused=True)

    def step(self, indices: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
        """One step, and its loss."""
        x = self.images.index_select(0, indices)
        if self.loss is None:
            loss: Tensor = self.model.objective(self.model, x).loss
        else:
            loss = self.loss(self.model.encoder, self.model.decoder, x)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def bare_steps(step: Callable[[Tensor], Tensor], batches: Sequence[Tensor]) -> float:
    """Steps of another loop, and one look at its loss, as ours has."""
    for batch in batches:
        loss = step(batch)
    return float(loss)


def second_loss(loop: Loop, batches: Sequence[Tensor]) -> float:
    """Our loss after one step."""
    for batch in batches[:2]:
        loop.step(batch)
    loss = float(loop.pending[-1].sum())
    loop.flush()
    return loss


def difference_after_a_step(loop: Loop, bare: BareLoop, batches: Sequence[Tensor]) -> float:
    """By which share the losses differ after a step from equal weights, with equal noise."""
    for batch in batches[:2]:
        torch.manual_seed(loop.noise_seed())
        other = float(bare.step(batch))
        loop.step(batch)
    own = float(loop.pending[-1].sum())
    loop.flush()
    return abs(own - other) / abs(other)


def against_bare_loop(setting: Setting, method: str) -> Comparison:
    """Our loop and the bare one."""
    loop = new_loop(setting, method)
    bare, batches = BareLoop(loop, WRITTEN.get(method)), first_batches(loop, setting)
    loss = "its loss by hand" if method in WRITTEN else "our objective called"
    return Comparison(
        name=f"{method}, {setting.name}",
        sides={"sigmae": partial(our_steps, loop, batches), "bare loop": partial(bare_steps, bare.step, batches)},
        ours="sigmae",
        base="bare loop",
        goal=1.05,
        agree=partial(difference_after_a_step, loop, bare, batches),
        tolerance=ROUNDING,
        about=f"{setting.steps} steps of {setting.batch} images; the bare loop has {loss}. Agreement: the share by "
        "which the losses differ after a step.",
    )


def of_two_loops(setting: Setting, loops: Mapping[str, Loop], **more: Any) -> Comparison:
    """Two loops of ours: the first against the second."""
    (ours, base), batches = loops, {side: first_batches(loop, setting) for side, loop in loops.items()}

    def difference() -> float:
        mine, other = (second_loss(loops[side], batches[side]) for side in (ours, base))
        return abs(mine - other) / abs(other)

    return Comparison(
        sides={side: partial(our_steps, loop, batches[side]) for side, loop in loops.items()},
        ours=ours,
        base=base,
        agree=difference,
        **more,
    )


def comparisons(toy: bool) -> Iterator[Comparison]:
    """Every plain method against the bare loop, on every network."""
    for setting in settings(toy):
        for method in METHODS:
            yield against_bare_loop(setting, method)
