"""Propagations: how q(z|x) passes through the decoder."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution

from sigmae.errors import IncompatibleParts, SigmaeError, unknown
from sigmae.jacobians import decode_and_push, Decoder
from sigmae.parts import Part
from sigmae.posteriors import axis_variance, factor_column, scale_of

if TYPE_CHECKING:
    from sigmae.objective import Objective


@dataclass(frozen=True)
class DecodedPoints:
    """Points of the latent space, what the decoder makes of them, and their weights, which add up to one.

    `weights` None means equal ones; `pooled` that their weighted mean image is scored in place of each of them.
    """

    latents: Float[Tensor, "points batch latent"]
    outputs: Float[Tensor, "points batch *event"]
    weights: Float[Tensor, " points"] | None = None
    pooled: bool = False

    def average(self, values: Float[Tensor, "points batch *rest"]) -> Float[Tensor, "batch *rest"]:
        """The weighted mean of a quantity over the points."""
        if len(values) == 1:
            return values[0]
        return values.mean(0) if self.weights is None else torch.tensordot(self.weights, values, 1)

    def expectation(self, values: Float[Tensor, "points batch"]) -> Float[Tensor, ""]:
        """The mean of a quantity over the points, by their weights, and over the batch."""
        return values.mean() if self.weights is None else self.average(values).mean()

    @property
    def draw(self) -> Float[Tensor, "batch latent"]:
        """One point of every example, picked at random: what stands for a draw of q."""
        points, batch, _ = self.latents.shape
        if points == 1:
            return self.latents[0]
        device = self.latents.device
        return self.latents[torch.randint(points, (batch,), device=device), torch.arange(batch, device=device)]

    @property
    def scored(self) -> "DecodedPoints":
        """What a likelihood compares with x: the points, or their mean image as a single one."""
        if not self.pooled:
            return self
        latents, outputs = self.average(self.latents), self.average(self.outputs)
        return DecodedPoints(latents.unsqueeze(0), outputs.unsqueeze(0))


@dataclass(frozen=True, kw_only=True)
class LinearizedPoints(DecodedPoints):
    """The decoded mean, and the columns of U = J L for the examples `rows` of the batch."""

    factor: Float[Tensor, "latent rows *event"]
    rows: Int[Tensor, " rows"]
    gamma: float
    logdet_weight: float


class Propagation(Part):
    """Pushes q through the decoder; `hands_on` says what a likelihood gets to see."""

    hands_on: ClassVar[type] = DecodedPoints

    @abstractmethod
    def forward(self, q: Distribution, decode: Decoder) -> DecodedPoints:
        """Decode what stands for q: one `decode` of a stacked batch."""


def require_spread(part: Propagation, objective: "Objective", does: str) -> None:
    """Refuse a posterior that is a point."""
    if not objective.posterior.has_density:
        name = type(objective.posterior).__name__
        raise IncompatibleParts(
            f"{type(part).__name__} {does}, but all samples of {name} are the same point: "
            "use Mean, or a posterior with a spread such as DiagonalGaussian."
        )


def decode_points(decode: Decoder, latents: Float[Tensor, "points batch latent"]) -> DecodedPoints:
    """Decode every point of every example as one large batch."""
    outputs = decode(latents.flatten(0, 1))
    return DecodedPoints(latents, outputs.view(latents.shape[:2] + outputs.shape[1:]))


@dataclass(eq=False)
class Mean(Propagation):
    """Decode the mean of q and nothing else."""

    def forward(self, q: Distribution, decode: Decoder) -> DecodedPoints:
        return decode_points(decode, q.mean.unsqueeze(0))


@dataclass(eq=False)
class MonteCarlo(Propagation):
    """Decode `count` reparameterised samples of q."""

    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise SigmaeError(f"MonteCarlo draws one or more samples, got count={self.count}: use Mean for none.")

    def check(self, objective: "Objective") -> None:
        require_spread(self, objective, "draws samples")

    def forward(self, q: Distribution, decode: Decoder) -> DecodedPoints:
        return decode_points(decode, q.rsample((self.count,)))


SCHEMES = {
    "all": "the 2m + 1 points",
    "random": "of the 2m + 1 points, each example its own, with replacement",
    "pairs": "antithetic pairs mu ± sqrt(m + kappa) L_i along random axes",
    "mean-pairs": "the mean, and antithetic pairs along random axes",
    "largest": "antithetic pairs along the axes of largest variance",
    "smallest": "antithetic pairs along the axes of smallest variance",
}


@dataclass(eq=False)
class SigmaPoints(Propagation):
    """The unscented transform: decode `count` sigma points of q, chosen by `scheme` (one of `SCHEMES`).

    "all" decodes the 2m + 1 points whatever `count` says, with the weights kappa/(m + kappa) of the mean and
    1/(2(m + kappa)) of the others: their mean and covariance are those of q, and a linear decoder's image is exact.
    The other schemes weigh their points alike; picking uniformly among the 2m + 1 has covariance
    2(m + kappa)/(2m + 1) Sigma, that of q for kappa 1/2, and pairs have (m + kappa)/m Sigma.

    `pool` "points" scores every decoded point, "mean" their mean image. Points lie along the columns of L;
    `along` "rows" is the authors' code, whose covariance is LᵀL.
    """

    count: int = 1
    scheme: str = "random"
    kappa: float = 1e-3
    pool: str = "points"
    along: str = "columns"

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise unknown("scheme", self.scheme, SCHEMES)
        if self.pool not in ("points", "mean"):
            raise unknown("pool", self.pool, ["points", "mean"])
        if self.along not in ("columns", "rows"):
            raise unknown("direction", self.along, ["columns", "rows"])
        if self.count < 1:
            raise SigmaeError(f"SigmaPoints decodes one or more points, got count={self.count}: use Mean for none.")
        paired, extra = self.scheme in ("pairs", "mean-pairs", "largest", "smallest"), self.scheme == "mean-pairs"
        if paired and ((self.count - extra) % 2 or self.count == extra):
            needed = "an odd count of 3 or more" if extra else "an even count"
            raise SigmaeError(f"The scheme '{self.scheme}' needs {needed}, got {self.count}.")

    def check(self, objective: "Objective") -> None:
        require_spread(self, objective, "spreads points")
        if self.pool == "mean" and not objective.likelihood.reads_means:
            raise IncompatibleParts(
                "SigmaPoints averages the decoder's outputs, and those that "
                f"{type(objective.likelihood).__name__} reads are not images alone: score the points, by pool='points'."
            )

    def forward(self, q: Distribution, decode: Decoder) -> DecodedPoints:
        if q.mean.shape[1] + self.kappa <= 0:
            raise SigmaeError(f"kappa must be above minus the latent size {q.mean.shape[1]}, got {self.kappa}.")
        axes, signs = self.choice(q)
        latents = sigma_points(q, axes, signs, kappa=self.kappa, rows=self.along == "rows")
        weights = self.weights(q.mean) if self.scheme == "all" else None
        return replace(decode_points(decode, latents), weights=weights, pooled=self.pool == "mean")

    def weights(self, mean: Float[Tensor, "batch latent"]) -> Float[Tensor, " points"]:
        """The weights of all 2m + 1 points, the mean first."""
        latent = mean.shape[1]
        weights = mean.new_full((2 * latent + 1,), 0.5 / (latent + self.kappa))
        weights[0] = self.kappa / (latent + self.kappa)
        return weights

    def choice(self, q: Distribution) -> tuple[Int[Tensor, "points batch"], Int[Tensor, "points batch"]]:
        """The axis of every point, and on which side of the mean it lies: +1, -1, or 0 for the mean itself."""
        batch, latent = q.mean.shape
        device = q.mean.device
        if self.scheme == "random":
            picked = torch.randint(2 * latent + 1, (self.count, batch), device=device)
            return (picked - 1) % latent, (picked > 0).long() - 2 * (picked > latent)
        if self.scheme == "all":
            axes = torch.arange(latent, device=device).unsqueeze(1).expand(-1, batch)
        else:
            axes = self.paired_axes(q)
        centre = axes.new_zeros(int(self.scheme in ("all", "mean-pairs")), batch)
        signs = torch.cat([centre, torch.ones_like(axes), -torch.ones_like(axes)])
        return torch.cat([centre, axes, axes]), signs

    def paired_axes(self, q: Distribution) -> Int[Tensor, "pairs batch"]:
        """The axes of the pairs: distinct ones for every example."""
        pairs, latent = self.count // 2, q.mean.shape[1]
        if pairs > latent:
            raise SigmaeError(f"There are {latent} pairs of sigma points, and count={self.count} asks for {pairs}.")
        sign = {"largest": 1, "smallest": -1}.get(self.scheme)
        order = torch.rand_like(q.mean) if sign is None else sign * axis_variance(q)
        return order.topk(pairs, dim=1).indices.T


def sigma_points(
    q: Distribution,
    axes: Int[Tensor, "points batch"],
    signs: Int[Tensor, "points batch"],
    *,
    kappa: float,
    rows: bool = False,
) -> Float[Tensor, "points batch latent"]:
    """mu + sign · sqrt(m + kappa) L_i for the axis i of every point (UAE, eq. 5), from gathered columns of L."""
    offsets = factor_column(q, axes, rows=rows)
    mean: Tensor = q.mean
    reach: float = (mean.shape[1] + kappa) ** 0.5
    return mean + reach * (signs.unsqueeze(-1) * offsets)


@dataclass(eq=False)
class Linearized(Propagation):
    """The first-order Taylor expansion of the decoder at the mean of q: no sampling (sampling-free VAE).

    x is then N(f(mu), U Uᵀ + the likelihood's variance) with U = J L. Its inverse covariance is mixed with that of
    the mean alone, gamma to 1 - gamma (their eq. 21), and so is the log-determinant unless `logdet_weight` says
    otherwise: the text asks for a mixture of log-likelihoods, the formula mentions the inverse only, and Table 4
    comes out with the mixture. The loss is no bound: it linearises ln E_q p(x|z), which is above E_q ln p(x|z).

    Training may compute U for a random `share` of the batch alone; the estimate stays unbiased. `tangents` "bf16"
    carries the columns of U through the decoder in 16 bits, the decoded mean and all that follows as the model has
    them ("full"): the loss is off by about 0.1 %.
    """

    gamma: float = 0.5
    logdet_weight: float | None = None
    share: float = 1.0
    tangents: str = "full"
    hands_on = LinearizedPoints

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= 1:
            raise SigmaeError(f"Linearized mixes with a gamma between 0 and 1, got {self.gamma}.")
        if not 0 < self.share <= 1:
            raise SigmaeError(f"Linearized takes a share of the batch above 0 and up to 1, got {self.share}.")
        if self.tangents not in ("full", "bf16"):
            raise unknown("precision of tangents", self.tangents, ["full", "bf16"])

    def check(self, objective: "Objective") -> None:
        require_spread(self, objective, "pushes a covariance through the decoder")

    def forward(self, q: Distribution, decode: Decoder) -> LinearizedPoints:
        rows, latents = self.rows(q.mean), q.mean.unsqueeze(0)
        scale = scale_of(q)[rows]
        tangents = scale if scale.ndim == 2 else scale.movedim(-1, 0)
        tangents = tangents.bfloat16() if self.tangents == "bf16" else tangents
        outputs, factor = decode_and_push(decode, latents[0], tangents, None if self.takes_all else rows)
        return LinearizedPoints(
            latents=latents,
            outputs=outputs.unsqueeze(0),
            factor=factor,
            rows=rows,
            gamma=self.gamma,
            logdet_weight=self.gamma if self.logdet_weight is None else self.logdet_weight,
        )

    @property
    def takes_all(self) -> bool:
        """Whether the covariance of every example is computed."""
        return not self.training or self.share == 1

    def rows(self, mean: Float[Tensor, "batch latent"]) -> Int[Tensor, " rows"]:
        """The examples whose covariance is computed: in training a random part of them."""
        if self.takes_all:
            return torch.arange(len(mean), device=mean.device)
        return torch.randperm(len(mean), device=mean.device)[: max(1, round(self.share * len(mean)))]
