"""The aggregate posterior by kernel density estimation, pulled towards N(0, I): the aggregate VAE.

Codes are scored by q(z) = mean_i N(z; z'_i, h² I), whose kernels sit on a bank of codes of other examples. Where
q is N(0, I), the codes themselves follow N(0, alpha² I) with alpha² = 1 - h²: that is what to sample.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import nn, Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.distributions import Distribution
from torch.utils.hooks import RemovableHandle

from sigmae.bandwidth import corrected_bandwidth, optimal_bandwidth
from sigmae.data import scaled
from sigmae.errors import SigmaeError, unknown
from sigmae.joint import gathered
from sigmae.latent_regularizers import LatentRegularizer
from sigmae.likelihoods import Likelihood, squared_error
from sigmae.parts import Moment, Networks, Sizes
from sigmae.propagations import DecodedPoints, Linearized, Mean
from sigmae.seeds import generator

QUARTER = 4  # of the training split at most is the bank: CIFAR-10 has 10,000 of 40,000 there
CHUNK = 1000
CODE_PRIOR_FLOOR = 1e-30
FUSED = hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu")  # no public function gives the logarithm


@dataclass(eq=False)
class KernelDensity(LatentRegularizer):
    """error · mean [ln q(z) - ln N(z; 0, I)], an estimate of KL(q || N(0, I)) (aggregate VAE, Section III-B).

    The weight is no field: it is the mean over the validation images of ||x - x_hat||_2 (eq. 9), measured before
    the first epoch, or `first_error` then, and after every epoch. h is `bandwidth`, or None for the corrected one
    of the latent size and the bank's. The bank holds means of q(z|x) that pass no gradients; at most a quarter of
    the training split, however large `bank` is. Several points of one posterior are scored one by one and averaged.

    `schedule` "refresh" is Algorithm 1: every `redraw_every` epochs another part of the training split becomes the
    bank, which no step trains on until the next draw, and every `refresh_every` steps it is encoded anew, in
    evaluation mode; before validation too, which the paper does not say. "queue" holds the last `bank` codes of
    training itself (1,000 are enough) and leaves nothing out; it starts with codes of training images. In
    data-parallel training all processes have one bank: that of the joint batches.

    `convention` "code" is the authors' code: logarithms to base 10, 1e-30 added to the prior, the weight
    sqrt(mean ||x - x_hat||²). The code divides the reconstruction by it; here it multiplies this term, so that the
    loss is the code's times the weight.

    Without a `floor` the term has no lower bound: ln q falls with d² / (2 h²) and ln N with d² / 2 only, so that a code
    far from the whole bank is pushed further away. `floor`, 1 - p in the authors' code (1e-6 for 16 latents), adds
    their constant to q, beyond which the prior alone acts and pulls such a code back.
    """

    bank: int = 10_000
    redraw_every: int = 1
    refresh_every: int = 10
    schedule: str = "refresh"
    bandwidth: float | None = None
    convention: str = "paper"
    floor: float | None = None
    first_error: float | None = None

    def __post_init__(self) -> None:
        for name in ("bank", "redraw_every", "refresh_every"):
            if getattr(self, name) < 1:
                raise SigmaeError(f"KernelDensity needs a {name} of 1 or more, got {getattr(self, name)}.")
        for name, known in {"schedule": ("refresh", "queue"), "convention": ("paper", "code")}.items():
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        for name in ("bandwidth", "floor"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise SigmaeError(f"KernelDensity's {name} lies between 0 and 1, got {value:g}: None is its default.")
        if self.first_error is not None and not 0 < self.first_error < math.inf:
            raise SigmaeError(f"first_error must be above 0 and finite, got {self.first_error:g}: None measures it.")

    def prepare(self, networks: Networks, sizes: Sizes | None) -> None:
        """An empty bank: how many codes there are is known with the training data."""
        self.codes: Tensor = nn.Buffer(torch.zeros(0, 0 if sizes is None else sizes.latent_dim))
        self.upcoming: Tensor = nn.Buffer(torch.zeros(0, 0))  # a queue's codes with those of the last step
        self.error: Tensor = nn.Buffer(torch.tensor(self.first_error or 0.0))  # 0: not yet measured
        self.draw: Tensor = nn.Buffer(torch.tensor(-1))  # which of the bank's draws the codes belong to
        self.seed: Tensor = nn.Buffer(torch.randint(2**62, ()))
        self.images, self.fresh = torch.zeros(0), False  # the bank's images, and whether they were just encoded
        self.squares: list[Tensor] = []  # squared errors of the validation images that a pass has reconstructed
        self.watched: RemovableHandle | None = None

    @property
    def centres(self) -> Float[Tensor, "bank latent"]:
        """The codes under the kernels."""
        if not len(self.codes):
            raise SigmaeError(
                "KernelDensity has no bank of codes yet: sigmae.training.train fills it; in a loop of your own, "
                "call the objective's begin_epoch before every epoch and its begin_step before every step."
            )
        return self.codes

    @property
    def width(self) -> float:
        """The standard deviation h of a kernel; while there is no bank, that of one of the size asked for."""
        if self.bandwidth is not None:
            return self.bandwidth
        codes = self.codes if self.codes.shape[1] else self.centres
        width: float = kernel_width(codes.shape[1], len(codes) or self.bank)
        return width

    @property
    def prior_scale(self) -> float:
        """alpha = sqrt(1 - h²): codes follow N(0, alpha² I) once the term is small."""
        return math.sqrt(1 - self.width**2)

    def measure(self, q: Distribution, decoded: DecodedPoints) -> Float[Tensor, ""]:
        count, dtype = len(self.centres), self.centres.dtype
        if self.training and self.schedule == "queue":
            # What arrived in the last step enters now: no code is scored by a kernel on itself.
            self.codes = self.upcoming
            self.upcoming = torch.cat([self.codes, gathered(q.mean.detach()).to(dtype)])[-count:]
        z = decoded.latents.flatten(0, 1).to(dtype)
        return decoded.expectation(self.log_ratio(z).unflatten(0, decoded.latents.shape[:2]))

    def log_ratio(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, " batch"]:
        """ln q(z) - ln N(z; 0, I), or log10 with the floors of the authors' code."""
        latent_dim, h = z.shape[1], self.width
        constant = latent_dim / 2 * math.log(2 * math.pi)  # which the code leaves out of q, p and their floors
        with plain_arithmetic(z.device):
            q = scored_kernel_density(z, self.centres, h)
            p = Scored(z.square().sum(1) / -2 - constant, -z)
            if self.floor is not None:
                q = q.with_floor(log_floor(latent_dim, h, self.floor) - constant)
            if self.convention == "code":
                p = p.with_floor(math.log(CODE_PRIOR_FLOOR) - constant)
            unit = math.log(10) if self.convention == "code" else 1.0
            ratio = Scored((q.value - p.value) / unit, (q.score - p.score) / unit)
        return ratio.of(z)

    def forward(self, q: Distribution, decoded: DecodedPoints) -> Float[Tensor, ""]:
        return self.error * self.measure(q, decoded)

    def begin_epoch(self, moment: Moment) -> Tensor | None:
        """Measure the first weight, draw the bank where it is due; the bank's examples are left out of the epoch."""
        if not self.error:
            self.error.fill_(self.validation_error(moment))
        examples, refreshed = len(moment.train), self.schedule == "refresh"
        draw = moment.epoch // self.redraw_every if refreshed else 0
        order = torch.randperm(examples, generator=generator(int(self.seed), "bank", draw))
        chosen = order[: bank_size(self.bank, examples)]
        self.fresh = draw != int(self.draw)  # a resumed epoch keeps its codes, as old as they are
        if refreshed or self.fresh:
            self.images = moment.train.images[chosen].to(self.codes.device)
        if self.fresh:
            self.encode(moment)
            self.draw.fill_(draw)
        return chosen if refreshed else None

    def begin_step(self, moment: Moment) -> None:
        """Encode the bank anew where it is due."""
        if self.schedule == "refresh" and moment.step % self.refresh_every == 0 and not self.fresh:
            self.encode(moment)
        self.fresh = False

    def begin_validation(self, moment: Moment) -> None:
        """Encode the bank anew: by codes that lag behind the encoder, an epoch would be kept for having just moved.

        Where the likelihood scores reconstructions of the means, their errors are kept.
        """
        if self.schedule == "refresh":
            self.encode(moment)
        self.look_away()
        objective = moment.model.objective
        if isinstance(objective.propagation, Mean | Linearized):
            self.watched = objective.likelihood.register_forward_hook(self.watch)

    def look_away(self) -> None:
        """Watch the likelihood no longer."""
        self.squares = []
        if self.watched is not None:
            self.watched.remove()

    def watch(self, likelihood: Likelihood, scored: tuple[DecodedPoints, Tensor], _: Tensor) -> None:
        """Keep the squared errors of a batch, unless 16 bits have blurred them."""
        decoded, x = scored
        if decoded.outputs.dtype == x.dtype:
            self.squares.append(squared_error(likelihood.mean(decoded.outputs), x)[0])

    def encode(self, moment: Moment) -> None:
        """The codes of the bank's images, by the encoder as it is, in evaluation mode and without gradients."""
        self.codes = moment.model.encode(self.images).to(self.codes.device)
        self.upcoming = self.codes.clone() if self.schedule == "queue" else self.upcoming

    def end_validation(self, moment: Moment, terms: Any) -> None:
        """The weight of the epoch to come."""
        self.error.fill_(self.validation_error(moment))
        self.look_away()

    @torch.no_grad()
    def validation_error(self, moment: Moment) -> float:
        """Mean ||x - x_hat||_2 over the validation images; its root mean square in the authors' code.

        They are reconstructed for it, unless a validation pass has just done so with all of them.
        """
        images, squares = moment.validation.images, self.squares
        if sum(map(len, squares)) != len(images):
            pairs = ((moment.model.reconstruct(part).unsqueeze(0), scaled(part)) for part in images.split(CHUNK))
            squares = [squared_error(*pair)[0] for pair in pairs]
        errors = torch.cat(squares).double()
        return float(errors.mean().sqrt() if self.convention == "code" else errors.sqrt().mean())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in ("codes", "upcoming"):  # of the size that the bank had where they were saved
            if (saved := state_dict.get(prefix + name)) is not None:
                setattr(self, name, torch.empty_like(saved, device=self.codes.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def kernel_width(latent_dim: int, count: int) -> float:
    """The corrected bandwidth; nothing for torch.compile to look into."""
    return corrected_bandwidth(optimal_bandwidth(latent_dim, count))


def bank_size(bank: int, examples: int) -> int:
    """How many of the training examples are the bank: `bank`, or a quarter of them where that is less."""
    if examples < 2:
        raise SigmaeError(
            "KernelDensity scores codes by those of other examples, and the training split has one example only: "
            "give two or more, or use SquaredNorm."
        )
    return min(bank, max(1, examples // QUARTER))


class Scored(NamedTuple):
    """Logarithms of a density at codes, and their gradients by the codes, worked out beside them.

    By autograd the forward pass would keep, and the backward pass visit again, several batch x bank matrices.
    """

    value: Float[Tensor, " batch"]
    score: Float[Tensor, "batch latent"]

    def with_floor(self, floor: float) -> "Scored":
        """Those of the density with the constant exp(floor) added to it."""
        value = torch.logaddexp(self.value, self.value.new_tensor(floor))
        return Scored(value, self.score * (self.value - value).exp_().unsqueeze(1))

    def of(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, " batch"]:
        """The values, as what autograd takes for a function of the codes."""
        known: Tensor = Known.apply(z, *self)  # type: ignore[no-untyped-call]
        return known


class Known(Function):
    """Values of every code whose gradients are known."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, value: Tensor, score: Tensor) -> Tensor:
        """The values as they are; the scores are kept."""
        ctx.save_for_backward(score)
        return value.view_as(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """The gradient by the codes."""
        (score,) = ctx.saved_tensors
        return gradient.unsqueeze(1) * score, None, None


@contextmanager
def plain_arithmetic(device: torch.device) -> Iterator[None]:
    """In this block autograd records nothing, and 32 bits stay: a distance by a product needs all its digits."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


def log_kernel_density(
    z: Float[Tensor, "batch latent"], bank: Float[Tensor, "bank latent"], bandwidth: float
) -> Float[Tensor, " batch"]:
    """ln mean_i N(z; z'_i, h² I) in nats (aggregate VAE, eq. 4, with its normaliser); gradients go through z alone."""
    with plain_arithmetic(z.device):
        density = scored_kernel_density(z, bank, bandwidth)
    return density.of(z)


def scored_kernel_density(
    z: Float[Tensor, "batch latent"], bank: Float[Tensor, "bank latent"], bandwidth: float
) -> Scored:
    """`log_kernel_density`, and its gradient sum_i w_i (z'_i - z) / h² under softmax weights w."""
    count, latent_dim = bank.shape
    centre = bank.mean(0)  # few digits cancel then, wherever the codes lie
    z, bank = z - centre, bank - centre
    precision = 1 / bandwidth**2
    attend = attended_in_blocks if FUSED and z.device.type == "cpu" else attended
    mean, logarithm = attend(z, bank, bank.square().sum(1) * (-precision / 2), precision)
    constant = math.log(count) + latent_dim / 2 * math.log(2 * math.pi * bandwidth**2)
    return Scored(logarithm - z.square().sum(1) * (precision / 2) - constant, (mean - z) * precision)


Attended = tuple[Float[Tensor, "batch latent"], Float[Tensor, " batch"]]


def attended(
    z: Float[Tensor, "batch latent"], bank: Float[Tensor, "bank latent"], bias: Float[Tensor, " bank"], scale: float
) -> Attended:
    """The mean of the bank under the weights exp(scale z·z'_i + bias_i), and the logarithm of their sum.

    A kernel density is attention: codes are the queries, the bank is the keys and the values.
    """
    scores = torch.addmm(bias, z, bank.T, alpha=scale)
    logarithm = scores.logsumexp(1)
    return scores.sub_(logarithm.unsqueeze(1)).exp_() @ bank, logarithm


def attended_in_blocks(
    z: Float[Tensor, "batch latent"], bank: Float[Tensor, "bank latent"], bias: Float[Tensor, " bank"], scale: float
) -> Attended:
    """The same by torch's fused attention for CPUs, which holds no batch x bank matrix."""
    queries, keys, mask = z[None, None], bank[None, None], bias.expand(1, 1, len(z), -1)
    mean, logarithm = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        queries, keys, keys, attn_mask=mask, scale=scale
    )
    return mean[0, 0], logarithm.flatten()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def log_floor(latent_dim: int, bandwidth: float, tail: float) -> float:
    """ln of the authors' eps_q = h^-m exp(-c / 2): one kernel, unnormalised, at the squared distance c in units of h²
    that a draw of N(0, I) exceeds with probability `tail`.
    """
    return -exceeded(latent_dim, tail) / 2 - latent_dim * math.log(bandwidth)


@cache
def exceeded(latent_dim: int, tail: float) -> float:
    """The squared norm that a draw of N(0, I) exceeds with probability `tail`."""
    from scipy.stats import chi2

    return float(chi2.isf(tail, latent_dim))
