"""Generation: how far reconstructions, samples and interpolations are from real images."""

from collections.abc import Iterator
from dataclasses import asdict

import torch
from jaxtyping import Float
from torch import Tensor

from sigmae.data import scaled
from sigmae.errors import SigmaeError
from sigmae.evaluation.rows import Row
from sigmae.evaluation.stages import REAL, Stages
from sigmae.likelihoods import Gaussian
from sigmae.metrics.images import squared_error as squared_errors, to_uint8
from sigmae.metrics.kernel_distance import kernel_distance
from sigmae.metrics.neighbours import Memorisation, memorisation, neighbourhoods
from sigmae.metrics.precision_recall import precision_recall_curve, PrecisionRecallCurve

SUBSET = 1000  # images, of the kernel distance
COMPARED_IN_PIXELS = 1000  # samples, and held-out images, sought among the training images
PROTOCOL = "against the test split; reconstructions and interpolations of the validation split"


def squared_error(stages: Stages) -> list[Row]:
    """The mean squared error of the test split, summed over an image's values: of decoded means, and of draws.

    That of draws of q(z|x), one for each image, is what AR-ELBO tabulates as E ||x - x'||² (Tables 1 and 5).
    """
    stages.tell("squared error")
    latents = {"reconstructions": ("means", stages.codes("test"))}
    if stages.has_posterior:
        latents["draws"] = ("draws", stages.draws("test"))
    return [error_row(stages, of, told, z) for of, (told, z) in latents.items()]


def error_row(stages: Stages, of: str, told: str, latents: Float[Tensor, "count latent"]) -> Row:
    """The error of the decoded latents of the test split."""
    test = stages.data.test
    pairs = zip(test.images.split(1000), latents.split(1000), strict=True)
    parts = [squared_errors(real=scaled(x), generated=stages.model.decode(z)) for x, z in pairs]
    error = float(torch.cat(parts).mean())
    if error != error:
        raise SigmaeError("The reconstructions hold NaN: the model has diverged; train it with a lower learning rate.")
    return Row("squared_error", of, error, "sum per image", len(test), f"test split, {told}")


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
        rows.append(Row(name, of, stages.distance(of), "", stages.statistics(of).count, PROTOCOL))
    return rows


def kid(stages: Stages) -> list[Row]:
    """The kernel distance of everything that is generated."""
    rows = []
    for of, real, generated in pairs(stages, "kid"):
        found = kernel_distance(real=real, generated=generated, seed=stages.seed)
        protocol = f"mean of 100 subsets of up to 1,000 images and their deviation, {PROTOCOL}"
        differ = min(len(real), len(generated)) > SUBSET  # otherwise there is one subset: the whole
        rows.append(named(stages, "kid", of, found.value, generated, protocol, found.deviation if differ else None))
    return rows


def prd(stages: Stages) -> list[Row]:
    """Precision and recall of distributions of everything that is generated."""
    rows = []
    protocol = f"10 clusterings into 20, 1,001 angles; F8 weighs recall, F1/8 precision; {PROTOCOL}"
    for of, _, generated in pairs(stages, "prd"):
        curve = prd_curve(stages, of)
        rows.append(named(stages, "f8_recall", of, curve.f8_recall, generated, protocol))
        rows.append(named(stages, "f1_8_precision", of, curve.f1_8_precision, generated, protocol))
    return rows


def prd_curve(stages: Stages, of: str) -> PrecisionRecallCurve:
    """Precision and recall of distributions for every angle; computed once."""
    real, generated = stages.features_of(REAL), stages.features_of(of)
    known = stages.origin(of)

    def compute() -> dict[str, Tensor]:
        found = precision_recall_curve(real=real, generated=generated, seed=stages.seed)
        return {"precision": found.precision, "recall": found.recall}

    origin = None if known is None else f"{known} {stages.origin(REAL)}"
    return PrecisionRecallCurve(**stages.kept(f"{stages.known_features.name}-prd-{of}", origin, compute))


def precision_recall(stages: Stages) -> list[Row]:
    """Improved precision and recall, density and coverage of everything that is generated."""
    rows = []
    protocol = f"neighbourhoods of 3 for precision and recall, of 5 for density and coverage; {PROTOCOL}"
    for of, real, generated in pairs(stages, "precision and recall"):
        found = neighbourhoods(real=real, generated=generated)
        rows += [named(stages, name, of, value, generated, protocol) for name, value in asdict(found).items()]
    return rows


def copies(stages: Stages) -> list[Row]:
    """Whether samples are nearer to training images than decoded held-out images are, for every density."""
    rows = []
    for of in stages.chosen_densities:
        stages.tell(f"memorisation of {of}")
        found, count = memorised(stages, of), min(COMPARED_IN_PIXELS, stages.compared)
        protocol = "nearest training example by squared error, beside decoded held-out ones"
        rows.append(Row("nearer_than_held_out", of, found.nearer, "probability", count, f"{protocol}; 0.5 is as new"))
        rows.append(Row("copies", of, found.copies, "share", count, f"{protocol}, the nearest 1 % of them"))
    return rows


def memorised(stages: Stages, of: str) -> Memorisation:
    """Memorisation by the samples of one density."""
    data = stages.data
    if len(data.validation) < 20:
        raise SigmaeError(f"Memorisation needs 20 held-out examples or more, got {len(data.validation)}.")
    held_out = decoded(stages, stages.codes("validation")[:COMPARED_IN_PIXELS])
    samples = decoded(stages, stages.latents(of)[:COMPARED_IN_PIXELS])
    tail = max(0.01, 1 / len(held_out))
    return memorisation(train=data.train.images.flatten(1), held_out=held_out, generated=samples, tail=tail)


def decoded(stages: Stages, z: Tensor) -> Tensor:
    """Images of latents as the data hold them, flattened."""
    images = stages.model.decode(z)
    return (to_uint8(images) if stages.data.train.images.dtype == torch.uint8 else images).flatten(1)


def pairs(stages: Stages, metric: str) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Everything that is generated, by name, as the features of the real images and of its own."""
    require_images(stages)
    for of in stages.generated():
        stages.tell(f"{metric} of {of}")
        yield of, stages.features_of(REAL), stages.features_of(of)


def named(
    stages: Stages, metric: str, of: str, value: float, generated: Tensor, protocol: str, error: float | None = None
) -> Row:
    """A row whose features are part of its name."""
    return Row(f"{metric}-{stages.known_features.name}", of, value, "", len(generated), protocol, error)


def require_images(stages: Stages) -> None:
    """Refuse data that have no features, and a test split of one image."""
    _ = stages.known_features
    if stages.compared < 2:
        raise SigmaeError("A distance between sets needs two images or more, and the test split has one.")
