"""The latent space: whether codes follow the prior, which latents are used, and what falls between the codes."""

import torch
from jaxtyping import Float
from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.evaluation.rows import Row
from sigmae.evaluation.stages import Stages
from sigmae.metrics import aggregate
from sigmae.metrics.collapse import active_units, collapsed, divergences, mean_divergences
from sigmae.metrics.energy import energy_distance
from sigmae.posteriors import diagonal_gaussian, FullGaussian
from sigmae.seeds import generator

DETERMINISTIC_VARIANCE = 0.01  # at which codes without a spread are looked at for their mutual information

FITTED = {"codes": "draws", "means": "means", "normal draws": "draws of N(0, I) in place"}


def held_out(stages: Stages) -> Float[Tensor, "count latent"]:
    """Draws of q(z|x) of the test split, or its codes where q is a point."""
    return stages.draws("test")[: stages.count]


def aggregate_divergence(stages: Stages) -> list[Row]:
    """KL of a Gaussian fitted to held-out codes to the prior that the method aims at."""
    stages.tell("divergence of the codes from the prior")
    z, scale = held_out(stages), stages.model.objective.prior_scale
    rows = []
    for of, points in points_of(stages, z).items():
        value = aggregate.gaussian_divergence(points, scale=scale)
        protocol = f"Gaussian fit of {FITTED[of]} of q of the test split, against N(0, {scale**2:.4g} I)"
        rows.append(Row("aggregate_divergence", of, value, "nats", len(z), protocol))
    return rows


def energy(stages: Stages) -> list[Row]:
    """Energy distance of held-out codes from the prior that the method aims at."""
    z, scale = held_out(stages), stages.model.objective.prior_scale
    rows = []
    for of, points in points_of(stages, z).items():
        stages.tell(f"energy distance of {of}")
        protocol = f"{FITTED[of]} of q of the test split, against N(0, {scale**2:.4g} I); unbiased"
        rows.append(Row("energy_distance", of, energy_distance(points, scale=scale), "code", len(z), protocol))
    return rows


def points_of(stages: Stages, z: Float[Tensor, "count latent"]) -> dict[str, Float[Tensor, "count latent"]]:
    """The codes, and beside them the means of q(z|x) where they are not the same."""
    means = {"means": stages.codes("test")[: stages.count]} if stages.has_posterior else {}
    return {"codes": z, **means}


def entropy(stages: Stages) -> list[Row]:
    """Entropy of whitened held-out codes by three estimators, beside as many draws of N(0, I)."""
    z = held_out(stages)
    normal = torch.randn(z.shape, generator=generator(stages.seed, "normal draws"))
    rows = []
    for of, points in {**points_of(stages, z), "normal draws": normal}.items():
        stages.tell(f"entropy of {of}")
        found = aggregate.whitened_entropy(points)
        values = {
            "floored": (found.floored, f"the aggregate VAE's estimator, which cannot exceed {found.ceiling:.4g}"),
            "leave-one-out": (found.leave_one_out, "kernel density of the other codes"),
            "nearest-neighbour": (found.nearest_neighbour, "Kozachenko and Leonenko"),
        }
        for name, (value, protocol) in values.items():
            told = f"{protocol}; whitened {FITTED[of]} of q of the test split, without m/2 ln 2 pi"
            rows.append(Row(f"entropy-{name}", of, value, "nats", len(z), told))
    return rows


def mutual_information(stages: Stages) -> list[Row]:
    """The leave-one-out upper bound of I(x; z)."""
    if isinstance(stages.model.objective.posterior, FullGaussian):
        raise SigmaeError("The bound of the mutual information is computed for diagonal posteriors only.")
    stages.tell("mutual information")
    found = stages.moments("test")
    mean = found["mean"][: stages.count]
    variance = found["variance"][: stages.count] if stages.has_posterior else DETERMINISTIC_VARIANCE
    value = aggregate.mutual_information(mean, variance, seed=stages.seed)
    width = "" if stages.has_posterior else f", codes widened by a variance of {DETERMINISTIC_VARIANCE:g}"
    return [Row("mutual_information", "codes", value, "nats", len(mean), f"upper bound, leave-one-out{width}")]


def nats(stages: Stages) -> Float[Tensor, "count latent"]:
    """Each latent's divergence from N(0, 1) for every example of the test split."""
    if not stages.has_posterior:
        raise SigmaeError("A deterministic encoder has no divergence from the prior, and so no collapse by it.")
    found = stages.moments("test")
    return divergences(diagonal_gaussian(found["mean"], found["variance"].sqrt()))


def active(stages: Stages) -> list[Row]:
    """How many latents vary with x."""
    mean = stages.codes("test")
    count = int(active_units(mean).sum())
    protocol = f"of {mean.shape[1]}, variance of the code over the test split above 0.01"
    return [Row("active_units", "latents", float(count), "latents", len(mean), protocol)]


def collapse(stages: Stages) -> list[Row]:
    """The share of collapsed latents, and every latent's mean divergence, the largest first."""
    table = nats(stages)
    share = float(collapsed(table).double().mean())
    told = "below 0.05 nats for 99 % of the test split"
    means = mean_divergences(table)
    rows = [
        Row("collapsed", "latents", share, "share", len(table), told),
        Row("kl", "all latents", float(means.sum()), "nats", len(table), "sum of the latents' mean divergences"),
    ]
    order = means.argsort(descending=True).tolist()
    protocol = "mean divergence of q(z_j|x) from N(0, 1) over the test split"
    return rows + [Row("latent_kl", f"latent {j}", float(means[j]), "nats", len(table), protocol) for j in order]


def encoder_variance(stages: Stages) -> list[Row]:
    """The variance of q(z|x), its mean over latents and examples."""
    if not stages.has_posterior:
        raise SigmaeError("A deterministic encoder has no variance.")
    variance = stages.moments("test")["variance"]
    protocol = "mean over the latents and the test split"
    return [Row("encoder_variance", "q(z|x)", float(variance.double().mean()), "mean", len(variance), protocol)]


def holes(stages: Stages) -> list[Row]:
    """How many samples of each density fall farther from all training codes than held-out codes do."""
    rows = []
    for of in stages.chosen_densities:
        stages.tell(f"holes of {of}")
        samples = stages.latents(of)
        found = aggregate.holes(stages.draws("train"), held_out=held_out(stages), samples=samples)
        protocol = "distance to the nearest training code, beyond the 95 % quantile of held-out codes"
        rows.append(Row("holes", of, found.outside, "share", len(samples), f"{protocol}; 0.05 without holes"))
        protocol = "probability to be farther from the training codes than a held-out code; 0.5 without holes"
        rows.append(Row("farther_than_held_out", of, found.farther, "probability", len(samples), protocol))
    return rows
