"""Likelihood: how probable the model finds test images."""

from sigmae.data import scaled
from sigmae.errors import SigmaeError
from sigmae.evaluation.rows import Row
from sigmae.evaluation.stages import Stages
from sigmae.metrics import likelihood
from sigmae.metrics.images import squared_error

BOUNDED, SAMPLED = 1000, 100  # images
SAMPLES = 10  # of q for each image's bound


def elbo(stages: Stages) -> list[Row]:
    """The evidence lower bound."""
    stages.tell("evidence lower bound")
    values = likelihood.elbo(stages.model, stages.data.test.images[:BOUNDED], samples=SAMPLES, seed=stages.seed)
    error = float(values.std() / len(values) ** 0.5) if len(values) > 1 else None
    protocol = f"{SAMPLES} samples of q for each of the first test images; standard error over images"
    return [Row("elbo", "test images", float(values.mean()), "nats", len(values), protocol, error)]


def trained_bound(stages: Stages) -> list[Row]:
    """Minus the loss that was trained, which for a VAE is its bound."""
    stages.tell("the loss that was trained")
    images, unit = stages.data.test.images[:BOUNDED], "nats" if stages.model.objective.likelihood.is_density else ""
    value = likelihood.trained_bound(stages.model, images, seed=stages.seed)
    protocol = "minus the objective's loss, its weights included, on the first test images in batches of 100"
    return [Row("trained_bound", "test images", value, unit, len(images), protocol)]


def log_likelihood(stages: Stages) -> list[Row]:
    """The importance-sampled log marginal likelihood, and the negative one without its constant."""
    stages.tell(f"log-likelihood by {stages.points:,} samples for each image")
    images = stages.data.test.images[:SAMPLED]
    found = likelihood.log_likelihood(stages.model, images, count=stages.points, seed=stages.seed)
    protocol = f"{stages.points:,} importance samples for each of the first test images; standard error over images"
    told = f"{protocol}. {found.warning}" if found.warning else protocol
    count, error = len(found.values), found.standard_error
    rows = [Row("log_likelihood", "test images", found.mean, "nats", count, told, error)]
    if found.constant is not None:
        value, without = found.nll(with_constant=False), f"-ln p(x) without n/2 ln 2 pi c = {found.constant:.2f}"
        rows.append(Row("nll_without_constant", "test images", value, "nats", count, f"{without}; {protocol}", error))
    least = float(found.effective.min())
    of_draws = f"least effective number of the {stages.points:,} samples of an image"
    return [*rows, Row("effective_samples", "test images", least, "samples", count, of_draws)]


def linearized_log_likelihood(stages: Stages) -> list[Row]:
    """The likelihood of a linearized decoder under a Gaussian of the codes, for methods without a posterior."""
    if stages.has_posterior:
        raise SigmaeError("This model has a posterior, and so the likelihood itself: log_likelihood.")
    density = stages.model.densities.get("gaussian")
    if density is None:
        raise SigmaeError("The linearized likelihood integrates over the density 'gaussian', which is not fitted.")
    stages.tell("linearized log-likelihood")
    validation = stages.data.validation.images[:BOUNDED]
    decoded = stages.model.decode(stages.codes("validation")[:BOUNDED])
    variance = float(squared_error(real=scaled(validation), generated=decoded).mean()) / validation[0].numel()
    images = stages.data.test.images[:SAMPLED]
    values = likelihood.linearized_log_likelihood(stages.model, images, density, variance=variance)
    protocol = (
        f"decoder linearized at each code, Gaussian fitted to the codes, variance {variance:.4g} by the validation "
        "error: an approximation, not to be compared with log_likelihood"
    )
    error = float(values.std() / len(values) ** 0.5) if len(values) > 1 else None
    return [Row("linearized_log_likelihood", "test images", float(values.mean()), "nats", len(values), protocol, error)]
