"""The checks: each looks for one illness, and returns a finding, or in a sentence what it saw that is fine.

A check that cannot be made raises `SigmaeError` with the reason.
"""

import math
from collections.abc import Callable

from sigmae.diagnosis.case import Case, EXAMINED, Finding, percent, sharpness
from sigmae.errors import SigmaeError
from sigmae.evaluation.generation import COMPARED_IN_PIXELS, decoded, memorised
from sigmae.evaluation.latent import nats
from sigmae.latent_regularizers import KL
from sigmae.likelihoods import Gaussian, SquaredError
from sigmae.metrics.aggregate import holes as holes_of
from sigmae.metrics.collapse import collapsed
from sigmae.metrics.neighbours import Memorisation

COLLAPSED = 0.1  # of the latents
NARROW = 1e-4  # of the widest latent's variance, where no prior gives a scale
TOO_LARGE, TOO_SMALL = 2.0, 0.5  # times the variance that the data ask for
OUTSIDE = 0.15  # of the samples, where 0.05 are usual
GAINED, NOTICEABLE = 0.1, 0.02  # of the samples' distance, by another density; the latter if there are holes
BLURRED = 0.7  # of the images' own sharpness
COPIED, NEARER = 0.05, 0.75
ALIKE = 0.02  # of the data's variance
RECENT, STILL_FALLING, TOO_SHORT = 0.2, 0.05, 3
WORTHWHILE = 0.05  # of the samples' distance

Check = Callable[[Case], Finding | str]


def implied_variance(case: Case) -> float | None:
    """The variance of p(x|z) at which the objective is an ELBO: a heavier KL is a larger variance; None if it is found.

    None too without a KL term, since nothing then weighs it.
    """
    objective = case.stages.model.objective
    if not isinstance(objective.latent, KL):
        return None
    values = math.prod(case.config.model.shape)
    match objective.likelihood:
        case Gaussian(variance=float() | int() as variance):
            return objective.latent.weight * variance
        case SquaredError(reduction=reduction, weight=weight):
            return objective.latent.weight * (values if reduction == "mean" else 1) / (2 * weight)
    return None


def collapse(case: Case) -> Finding | str:
    """Latents that say nothing about x, and which part silences them."""
    stages = case.stages
    if stages.has_posterior:
        dead = collapsed(nats(stages))
        told = "follow the prior whatever the image is"
    else:
        codes = stages.codes("test")
        if len(codes) < 2:
            raise SigmaeError("Whether latents vary from image to image takes two or more, and the test split has one.")
        spread = codes.double().var(0)
        dead = spread <= NARROW * spread.max()
        told = "hardly vary from image to image"
    share, latent = float(dead.double().mean()), len(dead)
    says = f"{int(dead.sum())} of {latent} latents {told}."
    if share < COLLAPSED:
        return says
    evidence = {"collapsed": share}
    cause, remedy = _cause_of_collapse(case, evidence)
    used = latent - int(dead.sum())
    if remedy:
        return Finding("collapse", f"{says} {cause}", remedy, case.limit, evidence)
    if used:
        return f"{says} Nothing outweighs the data: the other {used} are all that this model needs."
    return Finding("collapse", f"{says} {cause}", case.train("longer", epochs=200), case.limit, evidence)


def _cause_of_collapse(case: Case, evidence: dict[str, float]) -> tuple[str, str]:
    """The part that silences latents, and the command without it; no command where no part is to blame."""
    variance, latent = implied_variance(case), case.stages.model.objective.latent
    if variance is not None and variance > TOO_LARGE * case.residual:
        evidence |= {"implied_variance": variance, "residual": case.residual}
        weight = f" (with the weight {latent.weight:g} of the KL term)" if latent.weight != 1 else ""
        cause = (
            f"The cause is the likelihood: its variance of {variance:.3g}{weight} is {variance / case.residual:.0f} "
            f"times the squared error of a value, {case.residual:.3g}, so that detail is not worth its divergence."
        )
        return cause, _found_variance(case)
    if isinstance(latent, KL) and latent.weight > 1:
        cause = f"The cause is the latent regularizer: its KL term has the weight {latent.weight:g}."
        return cause, case.train("weight-1", "latent.weight=1")
    return "No part outweighs the data: training went nowhere.", ""


def _found_variance(case: Case) -> str:
    """The command that lets the likelihood find its variance, and samples the codes where they then are."""
    objective = case.stages.model.objective
    settings = [] if isinstance(objective.likelihood, Gaussian) else ["likelihood=Gaussian"]
    settings.append("likelihood.variance=optimal")
    settings += ["latent.weight=1"] if objective.latent.weight != 1 else []
    return f"{case.train('optimal', *settings)} && sigmae sample {case.beside('optimal')} --density gmm10"


def variance(case: Case) -> Finding | str:
    """A variance of p(x|z) that is not that of the errors."""
    implied = implied_variance(case)
    if implied is None:
        raise SigmaeError("This method finds its variance, or has no KL term that it would be weighed against.")
    ratio = implied / case.residual
    says = f"The variance of p(x|z) is {implied:.3g}, and the squared error of a value {case.residual:.3g}"
    if TOO_SMALL <= ratio <= TOO_LARGE or (case.limit is not None and ratio > 1 and case.limit < WORTHWHILE):
        return f"{says}."
    evidence = {"implied_variance": implied, "residual": case.residual}
    if ratio > 1:
        told = f"{says}: {ratio:.0f} times too large, which smooths the decoder and silences latents."
        return Finding("variance-too-large", told, _found_variance(case), case.limit, evidence)
    told = (
        f"{says}: {1 / ratio:.0f} times too small, so that the divergence from the prior hardly counts and codes stray."
    )
    gain = None if case.limit is None else 1 - case.limit
    return Finding("variance-too-small", told, _found_variance(case), gain, evidence)


def density(case: Case) -> Finding | str:
    """Codes that do not follow the density that is sampled: holes, or another mismatch."""
    stages, name = case.stages, case.density
    stages.tell(f"holes of {name}")
    samples, held_out = stages.latents(name), stages.draws("test")[: stages.count]
    outside = holes_of(stages.draws("train"), held_out=held_out, samples=samples).outside
    others = {of: fid for of, fid in case.distances.items() if of not in ("reconstructions", name)}
    best = min(others, key=others.__getitem__, default=None)
    own = case.distances.get(name)
    gain = 0.0 if best is None or not own else max(0.0, 1 - others[best] / own)
    fallen = (
        f"{percent(outside)} of the samples of {name} fall farther from every training code than 95 % of held-out codes"
    )
    if gain < GAINED and (outside <= OUTSIDE or (own is not None and gain < NOTICEABLE)):
        return (
            f"{fallen} (5 % would if they followed the codes); no other fitted density samples better by {GAINED:.0%}."
        )
    told = [f"{fallen} (5 % would)." if outside > OUTSIDE else f"Codes do not follow the density {name}."]
    if own is not None:
        listed = ", ".join(f"{of} {fid:.4g} ({fid / own - 1:+.0%})" for of, fid in sorted(others.items(), key=_value))
        told.append(f"Distance to the test images: {name} {own:.4g}, {listed}.")
    choice = best if gain > 0 else "gmm10"
    evidence = {"outside": outside, **{f"fid of {of}": fid for of, fid in case.distances.items()}}
    remedy = f"sigmae sample {case.run} --density {choice}"
    kind = "holes" if outside > OUTSIDE else "prior-mismatch"
    return Finding(kind, " ".join(told), remedy, gain if own is not None else None, evidence, measured=own is not None)


def _value(item: tuple[str, float]) -> float:
    return item[1]


def smoothing(case: Case) -> Finding | str:
    """Reconstructions that are blurred."""
    if not case.stages.data.is_image:
        raise SigmaeError("Vectors have no neighbouring values to be blurred.")
    images, decoded = case.examined
    own = sharpness(images)
    if own == 0:
        raise SigmaeError("The images are flat: there is nothing to blur.")
    ratio, unexplained = sharpness(decoded) / own, case.residual / max(case.spread, 1e-12)
    says = f"Reconstructions have {percent(ratio)} of the images' squared differences between neighbouring values"
    if ratio >= BLURRED or (case.limit is not None and case.limit < WORTHWHILE):
        return f"{says}."
    told = f"{says}, and miss {percent(unexplained)} of the variance: the decoder smooths too much."
    implied = implied_variance(case)
    if implied is not None and implied > TOO_LARGE * case.residual:
        remedy = _found_variance(case)
    else:
        remedy = case.train("wider", latent_dim=2 * case.config.model.latent_dim)
    return Finding("over-smoothing", told, remedy, case.limit, {"sharpness": ratio, "unexplained": unexplained})


def memorisation(case: Case) -> Finding | str:
    """Samples that are training images."""
    case.stages.tell(f"memorisation of {case.density}")
    samples = decoded(case.stages, case.stages.latents(case.density)[:COMPARED_IN_PIXELS]).double()
    data = case.stages.data.train.images[:EXAMINED].flatten(1).double()
    if samples.var(0, correction=0).sum() < ALIKE * data.var(0, correction=0).sum():
        raise SigmaeError("The samples are all alike, and no more copies than one image can be.")
    found = memorised(case.stages, case.density)
    says = (
        f"{percent(found.copies)} of the samples of {case.density} are as near to a training image as the nearest 1 % "
        "of decoded held-out images are; of a sample and a held-out image, the sample is the nearer one "
        f"{percent(found.nearer)} of the time"
    )
    if not copying(found):
        return f"{says}."
    others = [of for of in case.stages.model.densities if of not in ("prior", case.density)]
    new = (of for of in reversed(others) if not copying(memorised(case.stages, of)))
    remedy = f"sigmae sample {case.run} --density {next(new, 'gmm10')}"
    evidence = {"copies": found.copies, "nearer_than_held_out": found.nearer}
    told = f"{says}: they are copies, not new images."
    return Finding("memorisation", told, remedy, found.copies, evidence, gain_of="of the samples")


def copying(found: Memorisation) -> bool:
    """Whether samples are copies rather than new images."""
    return found.copies >= COPIED and found.nearer >= NEARER


def training(case: Case) -> Finding | str:
    """A validation loss that was still falling when training ended."""
    losses = [float(record["validation"]["loss"]) for record in case.history if "validation" in record]
    if not losses:
        raise SigmaeError("There is no record of the training.")
    epochs = len(losses)
    remedy = case.train("longer", epochs=max(20, 4 * epochs))
    if epochs < TOO_SHORT:
        told = f"The model was trained for {epochs} epoch{'s' if epochs > 1 else ''}, in which no loss settles."
        return Finding("undertrained", told, remedy, case.limit, {"epochs": float(epochs)})
    before = losses[-1 - max(1, round(RECENT * epochs))]
    fallen, recent = losses[0] - min(losses), before - min(losses[-1], before)
    share = recent / fallen if fallen > 0 else 0.0
    says = f"In the last fifth of {epochs} epochs the validation loss fell by {percent(share)} of its whole way"
    if share < STILL_FALLING:
        return f"{says}."
    gain = None if case.limit is None else case.limit * min(1.0, 2 * share)
    return Finding(
        "undertrained", f"{says}: it had not settled.", remedy, gain, {"epochs": float(epochs), "recent": share}
    )


CHECKS: dict[str, Check] = {  # of equal gains, the first is told first
    "training": training,
    "density": density,
    "collapse": collapse,
    "variance": variance,
    "smoothing": smoothing,
    "memorisation": memorisation,
}
