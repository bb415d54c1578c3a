"""Generation: how far reconstructions, samples and interpolations are from real images."""

import torch

from sigmae.data import scaled
from sigmae.errors import SigmaeError
from sigmae.evaluation.rows import Row
from sigmae.evaluation.stages import REAL, Stages
from sigmae.likelihoods import Gaussian
from sigmae.metrics.frechet import frechet_distance
from sigmae.metrics.images import squared_error as squared_errors

PROTOCOL = "against the test split; reconstructions and interpolations of the validation split"


def squared_error(stages: Stages) -> list[Row]:
    """The mean squared error of reconstructions of the test split, summed over an image's values."""
    stages.tell("squared error")
    test = stages.data.test
    pairs = zip(test.images.split(1000), stages.codes("test").split(1000), strict=True)
    parts = [squared_errors(real=scaled(x), generated=stages.model.decode(z)) for x, z in pairs]
    error = float(torch.cat(parts).mean())
    if error != error:
        raise SigmaeError("The reconstructions hold NaN: the model has diverged; train it with a lower learning rate.")
    return [Row("squared_error", "reconstructions", error, "sum per image", len(test), "test split, means")]


def decoder_variance(stages: Stages) -> list[Row]:
    """The decoder's variance where training has found one for all codes: its mean over the values of an example."""
    likelihood = stages.model.objective.likelihood
    if not isinstance(likelihood, Gaussian) or not isinstance(likelihood.variance, str) or likelihood.in_decoder:
        raise SigmaeError("This method trains no variance that all codes share: sigma-iso-i and ar-iso-i do.")
    variance = float(likelihood.data_variance.detach().mean())
    found = "learned, or the running optimum"
    return [Row("decoder_variance", "p(x|z)", variance, "mean per value", len(stages.data.train), found)]


def fid(stages: Stages) -> list[Row]:
    """The Fréchet distance of everything that is generated."""
    require_images(stages)
    name = f"fid-{stages.known_features.name}"
    rows = []
    for of in stages.generated():
        stages.tell(f"fid of {of}")
        generated = stages.statistics(of)
        distance = frechet_distance(real=stages.statistics(REAL), generated=generated)
        rows.append(Row(name, of, distance, "", generated.count, PROTOCOL))
    return rows


def require_images(stages: Stages) -> None:
    """Refuse data that have no features, and a test split of one image."""
    _ = stages.known_features
    if stages.compared < 2:
        raise SigmaeError("A distance between sets needs two images or more, and the test split has one.")
