"""Bounds that are no sum of a mean reconstruction and a divergence: other ways from the same parts to a loss."""

import math

from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from sigmae.errors import IncompatibleParts
from sigmae.latent_regularizers import KL
from sigmae.objective import Objective, Terms
from sigmae.parts import Networks, NoRegularizer
from sigmae.posteriors import detached, diagonal_gaussian
from sigmae.propagations import DecodedPoints, MonteCarlo


class SampledBound(Objective):
    """An objective on log weights ln p(x|z) + ln p(z) - ln q(z|x) of samples z."""

    def __post_init__(self) -> None:
        super().__post_init__()
        name, likelihood = type(self).__name__, self.likelihood
        if not isinstance(self.propagation, MonteCarlo):
            raise IncompatibleParts(f"{name} weighs samples of q: use MonteCarlo.")
        if not likelihood.is_density or getattr(likelihood, "variance", None) == "optimal":
            raise IncompatibleParts(f"{name} needs a density p(x|z) for each sample: use Gaussian or Bernoulli.")
        if not isinstance(self.latent, KL) or self.latent.weight != 1:
            raise IncompatibleParts(f"{name} holds the divergence to the prior itself: use KL with weight 1 beside it.")
        if not isinstance(self.decoder, NoRegularizer):
            raise IncompatibleParts(f"{name} is a bound on the likelihood: use no decoder regularizer.")


class ImportanceWeighted(SampledBound):
    """-ln 1/k sum_j w_j, w_j = p(x|z_j) p(z_j) / q(z_j|x): the IWAE's bound with the k of `MonteCarlo`.

    The reconstruction term is the mean distortion under the normalized weights, the latent term the rest.
    """

    def forward(self, model: Networks, x: Float[Tensor, "batch *event"]) -> Terms:
        q = self.encode(model, x)
        decoded = self.propagation(q, model.decoder)
        distortion = self.likelihood.distortion(decoded.outputs, x)
        weights = -distortion - log_ratio(q, decoded)
        loss = -(weights.logsumexp(0) - math.log(len(weights))).mean()
        reconstruction = (weights.softmax(0) * distortion).sum(0).mean()
        return Terms(reconstruction, loss - reconstruction, loss.new_zeros(()))


class StickingTheLanding(SampledBound):
    """The ELBO by samples, with no gradient through the parameters of ln q(z|x) (Roeder et al., 2017).

    The gradient is unbiased, and has no variance where q is the true posterior.
    """

    def forward(self, model: Networks, x: Float[Tensor, "batch *event"]) -> Terms:
        q = self.encode(model, x)
        decoded = self.propagation(q, model.decoder)
        latent = log_ratio(detached(q), decoded).mean()
        return Terms(self.likelihood(decoded, x), latent, latent.new_zeros(()))


def log_ratio(q: Distribution, decoded: DecodedPoints) -> Float[Tensor, "points batch"]:
    """ln q(z|x) - ln p(z) of every point."""
    z = decoded.latents
    prior = diagonal_gaussian(z.new_zeros(z.shape[-1]), z.new_ones(z.shape[-1]))
    ratio: Tensor = q.log_prob(z) - prior.log_prob(z)
    return ratio
