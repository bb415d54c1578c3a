"""Scoring codes of an image: p(x|z) in float64 of what the decoder makes of them in float32, a little at a time."""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import nn, Tensor

from sigmae.errors import SigmaeError
from sigmae.jacobians import Decoder
from sigmae.likelihoods import Gaussian, Likelihood, SquaredError
from sigmae.metrics.inference import mean_decoder
from sigmae.model import Autoencoder

SCORED_AT_ONCE = 1 << 16  # numbers in 64 bits: as many as a processor's cache holds


@dataclass(frozen=True)
class Scorer:
    """p(x|z) in float64, and the decoder whose outputs it scores.

    With a `basis` Q of the images that can be decoded, x_hat = Q y + `bias`, `decode` gives y alone: x - bias is turned
    into Q's axes, and what lies outside of them is the same for all codes. Exact for one variance of all values.
    """

    p: Likelihood
    decode: Decoder
    basis: Float64[Tensor, "values hidden"] | None = None
    bias: Float64[Tensor, " values"] | None = None

    def target(
        self, x: Float64[Tensor, "batch *event"]
    ) -> tuple[Float64[Tensor, "batch *any"], Float64[Tensor, "batch"]]:
        """What the decoder's outputs are compared with, and the part of -ln p(x|z) that this leaves out."""
        if self.basis is None or self.bias is None:
            return x, x.new_zeros(len(x))
        moved = x.flatten(1) - self.bias
        within = moved @ self.basis
        outside = moved - within @ self.basis.T
        left = self.p.distortion(torch.zeros_like(outside).unsqueeze(0), outside)
        constant = self.p.distortion(torch.zeros_like(within).unsqueeze(0), torch.zeros_like(within))
        return within, (left - constant)[0]

    def distortion(
        self, outputs: Float[Tensor, "points batch *any"], target: Float64[Tensor, "batch *event"]
    ) -> Float64[Tensor, "points batch"]:
        """-ln p(x|z) of every point, but for what `target` leaves out; no more than a part of them is made float64."""
        points = max(1, SCORED_AT_ONCE // outputs[0].numel())
        return torch.cat([self.p.distortion(part.double(), target) for part in outputs.split(points)])


def scorer(model: Autoencoder, variance: float | None) -> Scorer:
    """The model's own p(x|z), or N(x; mean image, variance I) where a variance is given."""
    posterior, likelihood = model.objective.posterior, model.objective.likelihood
    if not posterior.has_density:
        raise SigmaeError(
            f"A {type(posterior).__name__} posterior is a point: there is no bound, and nothing to weigh samples by; "
            "linearized_log_likelihood is of such models, with a Gaussian density of their codes."
        )
    if variance is not None:
        require_variance(variance)
        p: Likelihood = Gaussian(variance)
        images = isinstance(likelihood, Gaussian | SquaredError) and likelihood.reads_means
        return _shortened(p, model.decoder) if images else Scorer(p, mean_decoder(model))
    if not likelihood.is_density:
        raise SigmaeError(
            f"{type(likelihood).__name__} is no density p(x|z), so x has no likelihood: pass variance= to score by a "
            f"Gaussian of the decoder's image{_implied(likelihood)}."
        )
    return _shortened(deepcopy(likelihood).double().eval(), model.decoder)


def require_variance(variance: float) -> None:
    """Refuse what is no variance."""
    if not 0 < variance < math.inf:
        raise SigmaeError(f"A variance is above 0 and finite, got {variance}: take the mean squared error per value.")


def _shortened(p: Likelihood, decoder: nn.Module) -> Scorer:
    """Without the last layer's rotation where it is linear, wider than its input, and scored by one variance.

    With W = Q R, distances to W h + b are those of R h within the columns of Q: fewer products and fewer values to
    score. Unlike a Gram matrix of W it subtracts no large numbers, so 32 bits are enough.
    """
    layers: Sequence[nn.Module] = [*decoder] if isinstance(decoder, nn.Sequential) else []
    match layers:
        case [*body, nn.Linear() as last] | [*body, nn.Linear() as last, nn.Unflatten()]:
            wider = last.out_features > last.in_features
            if wider and isinstance(p, Gaussian) and not p.in_decoder and p.data_variance.numel() == 1:
                weight = last.weight.detach()
                basis, root = torch.linalg.qr(weight.double())
                short, hidden = root.to(weight), nn.Sequential(*body)
                bias = basis.new_zeros(len(basis)) if last.bias is None else last.bias.detach().double()
                return Scorer(p, lambda z: nn.functional.linear(hidden(z), short), basis, bias)
    return Scorer(p, decoder)


def _implied(likelihood: Likelihood) -> str:
    match likelihood:
        case SquaredError(reduction="sum", weight=weight):
            return f"; {0.5 / weight:g} makes it this error and a constant"
        case SquaredError(weight=weight):
            return f"; {0.5 / weight:g} times the number of values makes it this error and a constant"
    return ""
