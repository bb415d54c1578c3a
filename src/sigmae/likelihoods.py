"""Likelihoods: what p(x|z) is, and what a reconstruction costs."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import nn, Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from sigmae.errors import IncompatibleParts, SigmaeError, unknown
from sigmae.joint import averaged
from sigmae.parts import Networks, Part, Sizes
from sigmae.propagations import DecodedPoints, LinearizedPoints

if TYPE_CHECKING:
    from sigmae.objective import Objective


class Likelihood(Part):
    """Scores decoder outputs against the data, in nats where `is_density`, summed over the event.

    `reads_logits` says that the decoder must end without an activation; `unit_range` that x must lie in [0, 1].
    """

    accepts: ClassVar[tuple[type, ...]] = (DecodedPoints,)
    is_density: ClassVar[bool] = True
    reads_logits: ClassVar[bool] = False
    unit_range: ClassVar[bool] = False

    @property
    def reads_means(self) -> bool:
        """Whether the decoder's outputs are images and nothing else, so that they may be averaged."""
        return not self.reads_logits

    def check(self, objective: "Objective") -> None:
        handed = objective.propagation.hands_on
        if handed not in self.accepts:
            raise IncompatibleParts(
                f"{type(self).__name__} cannot score the {handed.__name__} of "
                f"{type(objective.propagation).__name__}: use a Gaussian likelihood, or MonteCarlo."
            )

    def decoder_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that the decoder must give for examples of a shape: more where it has a variance to say."""
        return shape

    @abstractmethod
    def distortion(
        self, outputs: Float[Tensor, "points batch *event"], x: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "points batch"]:
        """-ln p(x|z) of every point and example (for `SquaredError` its weighted squared error)."""

    def mean(self, outputs: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """The mean of p(x|z), which is the picture to show, from the decoder's outputs."""
        return outputs

    def draw(self, outputs: Float[Tensor, "batch *any"], generator: torch.Generator) -> Float[Tensor, "batch *event"]:
        """An x ~ p(x|z) for each of the decoder's outputs, where p is a density."""
        raise SigmaeError(f"{type(self).__name__} is no density p(x|z), of which x could be drawn: show its mean.")

    def forward(self, decoded: DecodedPoints, x: Float[Tensor, "batch *event"]) -> Float[Tensor, ""]:
        """The reconstruction term: the mean distortion over points and batch, or that of the points' mean image."""
        scored = decoded.scored
        return scored.expectation(self.distortion(scored.outputs, x))


def squared_error(
    outputs: Float[Tensor, "points batch *event"], x: Float[Tensor, "batch *event"]
) -> Float[Tensor, "points batch"]:
    """||x - x_hat||², summed over the event."""
    return event_sum(mse_loss(outputs, x.expand_as(outputs), reduction="none"))  # one pass, where a square takes two


def event_sum(values: Float[Tensor, "points batch *event"]) -> Float[Tensor, "points batch"]:
    """The sum over the event as it lies in memory: to flatten channels_last takes a copy."""
    return values.sum(list(range(2, values.ndim)))


@dataclass(eq=False)
class SquaredError(Likelihood):
    """The papers' plain reconstruction term: weight · ||x - x_hat||², by `reduction` over the event.

    "sum" is the convention of this library. "mean" divides by the number of values D: a Gaussian of
    variance D / (2 weight) without its constant, the scale of the RAE and UAE authors' code.
    """

    reduction: str = "sum"
    weight: float = 1.0
    is_density = False

    def __post_init__(self) -> None:
        if self.reduction not in ("sum", "mean"):
            raise SigmaeError(f"SquaredError reduces by 'sum' or 'mean', got '{self.reduction}'.")

    def distortion(
        self, outputs: Float[Tensor, "points batch *event"], x: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "points batch"]:
        scale = self.weight if self.reduction == "sum" else self.weight / math.prod(x.shape[1:])
        return scale * squared_error(outputs, x)


LOG_2_PI = math.log(2 * math.pi)
EPSILON = 1e-6
MEMORY = 100


@dataclass(eq=False)
class Gaussian(Likelihood):
    """N(x; f(z), variance), its constants included, in the variants of AR-ELBO (Section 4, Table 2).

    `variance` is a number; or "learned", by gradients; or "optimal", the maximum of the likelihood in closed form,
    with the expectation over data and codes inside the logarithm and the batch in its place (in data-parallel training
    the joint batch). `shape` is "iso", one variance for all values, or "diag", one for each; `per` is "dataset", or
    "sample" for one that depends on z. A learned variance per sample is read off the decoder: a channel more ("iso",
    averaged over the image), or as many again ("diag"), both log-variances. 1e-6 is added inside the logarithm, but
    not for one variance for all, and to learned variances of single values, which pixels that never change would
    drive to zero.

    A number is one variance for all; 1/2 is SSE + constant, what code that omits the 1/(2 variance) minimises.
    """

    variance: float | str = 0.5
    shape: str = "iso"
    per: str = "dataset"
    accepts = (DecodedPoints, LinearizedPoints)

    def __post_init__(self) -> None:
        if self.shape not in ("iso", "diag"):
            raise unknown("shape", self.shape, ["iso", "diag"])
        if self.per not in ("dataset", "sample"):
            raise unknown("scope of a variance", self.per, ["dataset", "sample"])
        if isinstance(self.variance, str):
            if self.variance not in ("learned", "optimal"):
                raise unknown("variance", self.variance, ["learned", "optimal"])
        elif not self.variance > 0:
            raise SigmaeError(f"Gaussian needs a variance above 0, got {self.variance}.")
        elif (self.shape, self.per) != ("iso", "dataset"):
            raise SigmaeError(
                f"A fixed variance of {self.variance} is one for all: set variance to learned or optimal for "
                f"shape='{self.shape}' per='{self.per}'."
            )

    def check(self, objective: "Objective") -> None:
        super().check(objective)
        linear = issubclass(objective.propagation.hands_on, LinearizedPoints)
        if linear and (self.variance == "optimal" or self.per == "sample"):
            raise IncompatibleParts(
                f"{type(objective.propagation).__name__} adds the decoder's spread to a variance that is known before: "
                "use a fixed or learned variance per dataset, or MonteCarlo."
            )

    def prepare(self, networks: Networks, sizes: Sizes | None) -> None:
        if isinstance(self.variance, str) and not hasattr(self, "dims"):
            shape = self.known(sizes).shape
            self.dims = len(shape)
            size = () if self.shape == "iso" else shape
            if self.variance == "optimal":
                self.register_buffer("estimate", torch.ones(size))
                self.register_buffer("batches", torch.zeros(()))
            elif self.per == "dataset":
                self.log_variance = nn.Parameter(torch.zeros(size))

    @property
    def reads_means(self) -> bool:
        return not self.in_decoder

    @property
    def in_decoder(self) -> bool:
        """Whether the decoder gives log-variances beside the mean."""
        return self.variance == "learned" and self.per == "sample"

    def decoder_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if not self.in_decoder:
            return shape
        return (shape[0] + 1 if self.shape == "iso" else 2 * shape[0], *shape[1:])

    def split(self, outputs: Float[Tensor, "*any"]) -> tuple[Tensor, Tensor]:
        """The mean, and a variance that broadcasts to it; of an optimal one the running estimate."""
        if self.in_decoder:
            axis = outputs.ndim - self.dims
            size = outputs.shape[axis]
            means = size - 1 if self.shape == "iso" else size // 2
            mean, log_variance = outputs.split([means, size - means], dim=axis)
            if self.shape == "iso":
                log_variance = log_variance.flatten(axis).mean(-1).reshape(*outputs.shape[:axis], *[1] * self.dims)
                return mean, positive(log_variance.exp())
            return mean, log_variance.exp() + EPSILON
        return outputs, self.data_variance

    @property
    def data_variance(self) -> Float[Tensor, "..."]:
        """The variance of p(x|z) where it does not depend on z, else (optimal, per sample) its running average."""
        floor = EPSILON if self.shape == "diag" else 0.0
        match self.variance:
            case "learned":
                return positive(self.log_variance.exp() + floor)
            case "optimal":
                return positive(self.get_buffer("estimate") + floor)
        return torch.tensor(self.variance, dtype=torch.float64)

    def mean(self, outputs: Float[Tensor, "*any"]) -> Float[Tensor, "*rest"]:
        return self.split(outputs)[0] if self.in_decoder else outputs

    def draw(self, outputs: Float[Tensor, "batch *any"], generator: torch.Generator) -> Float[Tensor, "batch *event"]:
        mean, variance = self.split(outputs)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        x: Tensor = mean + variance.to(mean).sqrt() * noise.to(mean.device)
        return x

    def distortion(
        self, outputs: Float[Tensor, "points batch *any"], x: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "points batch"]:
        variance: float | Tensor
        logarithm: float | Tensor
        if isinstance(self.variance, str):
            mean, found = self.split(outputs)
            if found.numel() > 1:
                return event_sum(0.5 * ((mean - x).square() / found + found.log() + LOG_2_PI))
            variance, logarithm = found.reshape(()), found.log().reshape(())
        else:  # by numbers, without tensors that hold one each
            mean, variance, logarithm = outputs, self.variance, math.log(self.variance)
        return squared_error(mean, x) / (2 * variance) + 0.5 * math.prod(x.shape[1:]) * (LOG_2_PI + logarithm)

    def forward(self, decoded: DecodedPoints, x: Float[Tensor, "batch *event"]) -> Float[Tensor, ""]:
        """The reconstruction term: the mean distortion, with the covariance of linearized points if there is one."""
        if self.variance == "optimal":
            return self.optimum(decoded.scored, x)
        mean = super().forward(decoded, x)
        if not isinstance(decoded, LinearizedPoints):
            return mean
        with torch.autocast(x.device.type, enabled=False):  # the m by m systems need their 32 bits
            return mean + self.spread(decoded, x).mean()

    def spread(self, decoded: LinearizedPoints, x: Float[Tensor, "batch *event"]) -> Float[Tensor, " rows"]:
        """What the covariance of the linearized points changes in their examples' distortions."""
        means, targets = (values.index_select(0, decoded.rows) for values in (decoded.outputs[0], x))
        residual, factor, variance = means.to(x.dtype) - targets, decoded.factor, self.data_variance
        if variance.numel() > 1:
            scale = variance.sqrt()
            residual, factor, variance = residual / scale, factor / scale, torch.ones(())
        return spread_correction(residual, factor, decoded.gamma, decoded.logdet_weight, variance)

    def optimum(self, decoded: DecodedPoints, x: Float[Tensor, "batch *event"]) -> Float[Tensor, ""]:
        """The mean distortion at the best variance: sum over values of 1/2 ln(2 pi e · best variance)."""
        values = math.prod(x.shape[1:])
        if self.shape == "iso":
            whole = squared_error(decoded.outputs, x).unsqueeze(-1)
        else:
            whole = (decoded.outputs - x).square().flatten(2)
        shared = averaged(decoded.average(whole).mean(0))
        if self.training:
            self.remember(shared.detach() * (whole.shape[-1] / values), x.shape[1:])
        floor = 0.0 if (self.shape, self.per) == ("iso", "dataset") else EPSILON
        inside = shared.expand(1, 1, -1) if self.per == "dataset" else whole
        logarithms = positive((inside + floor) * (whole.shape[-1] / values)).log().mean(-1)
        best = 0.5 * values * (logarithms + LOG_2_PI + 1)
        return best.mean() if self.per == "dataset" else decoded.expectation(best)

    @torch.no_grad()
    def remember(self, variance: Float[Tensor, " values"], shape: Sequence[int]) -> None:
        """Average the batches' variances: all of them up to 100, then the latest about 100."""
        estimate, batches = self.get_buffer("estimate"), self.get_buffer("batches")
        batches += 1
        latest = variance.reshape(() if self.shape == "iso" else tuple(shape))
        estimate += (latest - estimate) / batches.clamp(max=MEMORY)


def positive(variance: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """The variance, at least the smallest normal number: that of an exact reconstruction runs to zero."""
    return variance.clamp_min(torch.finfo(variance.dtype).tiny)


def spread_correction(
    residual: Float[Tensor, "rows *event"],
    factor: Float[Tensor, "latent rows *event"],
    gamma: float,
    logdet_weight: float,
    variance: Float[Tensor, ""] | float = 1.0,
) -> Float[Tensor, " rows"]:
    """What U changes in -ln N(x; f(mu), U Uᵀ + D), for D = variance · I; a factor in 16 bits is summed in the others'.

    logdet_weight/2 · ln det A - gamma/2 · bᵀ A⁻¹ b, with A = I + UᵀU of the latent's size and b = Uᵀr
    (determinant lemma and Woodbury's identity; sampling-free VAE, eqs. 19 to 21), U and the residual r both divided
    by D's square root: for another D, divide them before.
    """
    order = sorted(range(1, residual.ndim), key=lambda dim: -factor.stride(dim + 1))  # no copy of channels_last
    columns = factor.movedim(0, 1).permute(0, 1, *(dim + 1 for dim in order)).flatten(2)
    gram, inner = Products.apply(columns, residual.permute(0, *order).flatten(1))  # type: ignore[no-untyped-call]
    root = torch.linalg.cholesky(gram / variance + torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device))
    whitened = torch.linalg.solve_triangular(root, (inner / variance).unsqueeze(-1), upper=False)
    logdet = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    correction: Tensor = 0.5 * (logdet_weight * logdet - gamma * whitened.square().sum((1, 2)))
    return correction


class Products(torch.autograd.Function):
    """UᵀU and Uᵀr of every example, by one product each way: autograd would take two, of which each is half."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        columns: Float[Tensor, "rows latent values"], residual: Float[Tensor, "rows values"]
    ) -> tuple[Float[Tensor, "rows latent latent"], Float[Tensor, "rows latent"]]:
        wide = columns.to(residual.dtype)
        return wide @ wide.mT, (wide @ residual.unsqueeze(2)).squeeze(2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gram: Tensor, inner: Tensor) -> tuple[Tensor, Tensor]:
        columns, residual = ctx.saved_tensors
        wide = columns.to(residual.dtype)
        by_columns = torch.baddbmm(inner.unsqueeze(2) * residual.unsqueeze(1), gram + gram.mT, wide)
        return by_columns.to(columns.dtype), (inner.unsqueeze(1) @ wide).squeeze(1)


@dataclass(eq=False)
class Bernoulli(Likelihood):
    """Independent Bernoulli values with logits f(z); x in [0, 1] is read as a probability (cross-entropy)."""

    reads_logits = True
    unit_range = True

    def distortion(
        self, outputs: Float[Tensor, "points batch *event"], x: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "points batch"]:
        target = x.expand_as(outputs)
        return event_sum(binary_cross_entropy_with_logits(outputs, target, reduction="none"))

    def mean(self, outputs: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return torch.sigmoid(outputs)

    def draw(self, outputs: Float[Tensor, "batch *any"], generator: torch.Generator) -> Float[Tensor, "batch *event"]:
        return torch.bernoulli(self.mean(outputs).cpu(), generator=generator).to(outputs)
