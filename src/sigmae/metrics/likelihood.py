"""How probable a model finds images: its evidence lower bound, and the likelihood that it bounds.

All of it is of the generative model p(z) = N(0, I), p(x|z), in nats and in float64. A weight of the latent term,
such as beta, and the bound that was trained are no part of that model. A decoder's variance is the one that training
found: a learned one, or the running average of the optimum over batches. Bernoulli values between 0 and 1 are
cross-entropies, which are densities for binary images alone.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal

from sigmae.bounds import log_ratio
from sigmae.data import scaled
from sigmae.errors import SigmaeError
from sigmae.jacobians import Decoder, push_forward
from sigmae.latent_regularizers import kl_to_prior
from sigmae.likelihoods import Bernoulli, Gaussian, Likelihood, LOG_2_PI, spread_correction
from sigmae.metrics.inference import draws_of, evaluating, examples, finite, in_float64, mean_decoder
from sigmae.metrics.scoring import require_variance, scorer
from sigmae.model import Autoencoder
from sigmae.posteriors import factor_columns
from sigmae.propagations import decode_points, DecodedPoints
from sigmae.seeds import generator, seeded

DECODED_AT_ONCE = 1 << 17  # numbers; the layers before may have fifty times as many
DRAWN_AT_ONCE = 1000  # a fixed number, since a generator's normal draws depend on how many it is asked for
DERIVATIVES_AT_ONCE = 1 << 24
FEW = 10


@dataclass(frozen=True, eq=False)
class LogLikelihood:
    """ln p(x) of each image in nats, the effective number of the `draws` behind it, and the constant of p(x|z).

    `constant` is n/2 ln(2 pi c) for a Gaussian of fixed variance c, 0 for Bernoulli, and None where the variance was
    learned or optimal: its logarithm is then part of the score.
    """

    values: Float64[Tensor, " count"]
    effective: Float64[Tensor, " count"]
    draws: int
    constant: float | None

    @property
    def mean(self) -> float:
        """The mean over the images."""
        return self.values.mean().item()

    @property
    def standard_error(self) -> float | None:
        """Of the mean, by the spread over the images; None of a single one."""
        count = len(self.values)
        return (self.values.std() / math.sqrt(count)).item() if count > 1 else None

    def nll(self, *, with_constant: bool = True) -> float:
        """-ln p(x), the mean over the images; the sampling-free paper keeps the constant but in its Table 3."""
        if with_constant:
            return -self.mean
        if self.constant is None:
            raise SigmaeError(
                "The decoder's variance is not a fixed number, so its logarithm is no constant to leave out: "
                "report the value with it."
            )
        return -self.mean - self.constant

    @property
    def warning(self) -> str | None:
        """A sentence if a few draws carry the weight of some images, whose values are then too low."""
        poor = int((self.effective < min(FEW, self.draws)).sum())
        if not poor:
            return None
        return (
            f"For {poor} of {len(self.values)} images fewer than {FEW} of {self.draws:,} draws carry the weight, and "
            "ln p(x) is probably higher than estimated: raise the count, and compare with care."
        )


def elbo(
    model: Autoencoder,
    images: Any,
    *,
    samples: int = 100,
    variance: float | None = None,
    seed: int = 0,
    elements: int = DECODED_AT_ONCE,
) -> Float64[Tensor, " count"]:
    """E_q ln p(x|z) - KL(q(z|x) || N(0, I)) of each image in nats: the evidence lower bound, higher is better.

    The expectation is a mean over `samples` draws of q, the divergence in closed form; unbiased, and below ln p(x)
    in expectation. `variance` scores by N(x; mean image, variance I) in place of the model's own p(x|z), and must be
    given where that is a squared error. Source: Kingma and Welling 2014, equation 3, with beta = 1 whatever training
    used. Decodes `samples` codes for each image, at most `elements` numbers at once. As a likelihood it misleads: a
    poor encoder lowers it, and models are comparable only at the same variance, or each at its best one.
    """
    score, batch = scorer(model, variance), examples(model, images)
    with evaluating(model):
        values = []
        for q, x, decoded in _decoded_draws(model, score.decode, batch, samples, seed, elements):
            target, left_out = score.target(x)
            distortion = sum((score.distortion(part.outputs, target).sum(0) for part in decoded), samples * left_out)
            values.append(-distortion / samples - kl_to_prior(q))
    return finite(torch.cat(values), "ELBO")


def trained_bound(model: Autoencoder, images: Any, *, batch_size: int = 100, seed: int = 0) -> float:
    """Minus the loss that training minimised, of the images in evaluation mode: what was trained for bounding them.

    The mean over the images, in nats where p(x|z) is a density, higher is better. Of a VAE it is its ELBO by one
    draw, of the sampling-free VAE its biased bound, whose distance from `elbo` is the gap of its Figure C.2. What
    compares examples, such as an MMD, does so within batches of `batch_size`. Weights are in it as they were trained,
    so that losses of different objectives do not compare, and losses that are no bound are none here either.
    """
    batch, total = examples(model, images), 0.0
    with evaluating(model), seeded(seed, "trained bound"):
        for part in batch.split(batch_size):
            total -= len(part) * float(model(scaled(part.to(model.device)).to(model.dtype)).loss)
    return finite(torch.tensor([total / len(batch)], dtype=torch.float64), "trained bound").item()


def log_likelihood(
    model: Autoencoder,
    images: Any,
    *,
    count: int = 5000,
    variance: float | None = None,
    seed: int = 0,
    common: bool = False,
    elements: int = DECODED_AT_ONCE,
) -> LogLikelihood:
    """ln 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), z_k ~ q(z|x), K = `count`: importance-sampled ln p(x) in nats.

    Higher is better. Exact where q is the true posterior, else below ln p(x) in expectation and rising with K.
    Source: Burda et al. 2016, Section 5; the sampling-free paper takes K = 50,000 for Tables 2 and 5 and, by its
    reference set-up, 5,000 for Table 3. `variance` as in `elbo`. Every image is encoded once and K of its codes are
    decoded, whose images are at most `elements` numbers at once, whatever K is. Results are the same for the same
    seed, but for rounding whatever `elements` is, and an image's do not depend on the others; nor on its place among
    them, if all have their noise in `common`. It misleads where the
    effective sample size, 1 / sum of the squared normalised weights, is small (see `LogLikelihood.warning`): narrow
    posteriors miss mass.
    """
    score, batch = scorer(model, variance), examples(model, images)
    totals, squares = [], []
    with evaluating(model):
        for q, x, decoded in _decoded_draws(model, score.decode, batch, count, seed, elements, common):
            target, left_out = score.target(x)
            total = square = x.new_full((len(x),), -math.inf)
            for part in decoded:
                weights = -score.distortion(part.outputs, target) - log_ratio(q, part)
                total = torch.logaddexp(total, weights.logsumexp(0))
                square = torch.logaddexp(square, (2 * weights).logsumexp(0))
            totals.append(total - left_out)
            squares.append(square - 2 * left_out)
    total = finite(torch.cat(totals), "log-likelihood")
    effective = (2 * total - torch.cat(squares).cpu()).exp()
    return LogLikelihood(total - math.log(count), effective, count, _constant(score.p, batch[0].numel()))


def linearized_log_likelihood(
    model: Autoencoder,
    images: Any,
    density: Distribution,
    *,
    variance: float,
    elements: int = DERIVATIVES_AT_ONCE,
) -> Float64[Tensor, " count"]:
    """ln N(x; f(mu) + J (m - mu), J S Jᵀ + variance I) of each image in nats, mu its code and J the Jacobian there.

    For methods without a posterior: the codes' prior is a Gaussian `density` N(m, S) fitted to training codes (not to
    those of `images`), p(x|z) is N(f(z), variance I), and z is integrated out of a decoder made linear at each
    image's own code. Exact for a linear decoder. Otherwise it is an approximation whose error has no known sign: no
    bound, and no density of x either, since every image picks the linearisation that suits it. It is close where the
    decoder hardly bends within the posterior, which a small variance makes narrow, and of no use where it does.
    Never print it beside an importance-sampled one without its name. Higher is better; the variance must be the same
    for all that is compared, or each model's own mean squared error per value on validation images.

    Determinants and inverses are of the latent's size (those of the sampling-free VAE, eqs. 19 and 20). One
    derivative of the decoder for each latent and image; at most `elements` numbers of them at once.
    """
    if not isinstance(density, MultivariateNormal | Independent):
        raise SigmaeError(
            f"A linearized likelihood integrates over one Gaussian, got a {type(density).__name__}: "
            "fit the density 'gaussian' to the codes."
        )
    require_variance(variance)
    batch, decode = examples(model, images), mean_decoder(model)
    rows = max(1, elements // (batch[0].numel() * (density.event_shape[0] + 1)))
    with evaluating(model):
        values = []
        for part in batch.split(rows):
            z, x = model.posterior(part).mean, scaled(part.to(model.device))
            values.append(_linearized(decode, z, x, density, variance))
    return finite(torch.cat(values), "linearized log-likelihood")


def _linearized(
    decode: Decoder,
    z: Float[Tensor, "batch latent"],
    x: Float[Tensor, "batch *event"],
    density: Distribution,
    variance: float,
) -> Float64[Tensor, " batch"]:
    factor = factor_columns(density.expand(torch.Size([len(z)])))
    tangents = torch.cat([factor.to(z), (density.mean.to(z) - z).unsqueeze(0)])
    columns = push_forward(decode, z, tangents).double().flatten(2) / math.sqrt(variance)
    residual = (decode(z).double() - x).flatten(1) / math.sqrt(variance) + columns[-1]
    plain = 0.5 * (residual.square().sum(1) + residual.shape[1] * (LOG_2_PI + math.log(variance)))
    return -plain - spread_correction(residual, columns[:-1], gamma=1.0, logdet_weight=1.0)


def _decoded_draws(
    model: Autoencoder, decode: Decoder, images: Tensor, count: int, seed: int, elements: int, common: bool = False
) -> Iterator[tuple[Distribution, Float64[Tensor, "batch *event"], Iterator[DecodedPoints]]]:
    """Group by group of images: q, x, and `count` draws of q with what is decoded from them, a part at a time."""
    if count < 1 or elements < 1:
        raise SigmaeError(
            f"One or more draws are decoded, one or more numbers at once; got {count} draws and elements={elements}."
        )
    chunk = max(1, elements // images[0].numel())
    rows = max(1, chunk // count)
    for first in range(0, len(images), rows):
        part = images[first : first + rows]
        q, x = in_float64(model.posterior(part)), scaled(part.to(model.device)).double()
        generators = [generator(seed, "draws of q", 0 if common else row) for row in range(first, first + len(part))]
        draws = _draws(q, count, generators, chunk)
        yield q, x, (decode_points(lambda z: decode(z.to(model.dtype)), points) for points in draws)


def _draws(
    q: Distribution, count: int, generators: Sequence[torch.Generator], chunk: int
) -> Iterator[Float64[Tensor, "points batch latent"]]:
    """`count` draws, at most `chunk` at once; the same ones for every chunk."""
    sizes = [min(DRAWN_AT_ONCE, count - start) for start in range(0, count, DRAWN_AT_ONCE)]
    together = max(1, chunk // DRAWN_AT_ONCE)
    for first in range(0, len(sizes), together):
        drawn = torch.cat([draws_of(q, size, generators) for size in sizes[first : first + together]])
        yield from drawn.split(chunk)


def _constant(p: Likelihood, values: int) -> float | None:
    if isinstance(p, Gaussian) and not isinstance(p.variance, str):
        return values / 2 * (LOG_2_PI + math.log(p.variance))
    return 0.0 if isinstance(p, Bernoulli) else None
