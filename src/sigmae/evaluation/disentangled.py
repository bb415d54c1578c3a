"""Disentanglement: for data whose generative factors are known, whether each has a latent or a direction of its own."""

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.evaluation.rows import Row
from sigmae.evaluation.stages import Stages
from sigmae.metrics import disentanglement as scores

SPLITS = ("train", "validation", "test")


def known_factors(stages: Stages) -> tuple[Float[Tensor, "count latent"], Int64[Tensor, "count factors"]]:
    """Codes and factors of the whole data, as is usual for these scores."""
    found = [stages.split(name).factors for name in SPLITS]
    factors = [part for part in found if part is not None]
    if len(factors) < len(SPLITS):
        raise SigmaeError("These data have no known factors: sprites, dsprites and shapes3d do.")
    return torch.cat([stages.codes(name) for name in SPLITS]), torch.cat(factors)


def directions(stages: Stages) -> Float64[Tensor, "factors latent"]:
    """The latent direction of every factor; found once."""
    codes, factors = known_factors(stages)
    origin = f"{stages.weights} {[stages.split(name).fingerprint for name in SPLITS]} {stages.seed}"

    def find() -> dict[str, Tensor]:
        stages.tell("latent directions of the factors")
        return {"directions": scores.pca_directions(codes, factors, seed=stages.seed)}

    return stages.kept("directions", origin, find)["directions"]


def disentanglement(stages: Stages) -> list[Row]:
    """Every score of disentanglement."""
    codes, factors = known_factors(stages)
    axes, seed = directions(stages), stages.seed
    stages.tell("disentanglement")
    dci = scores.dci(codes, factors, seed=seed)
    angles = scores.direction_angles(axes)
    least = angles[~torch.eye(len(angles), dtype=torch.bool)].min()
    votes = "10,000 votes of 64 images, 5,000 more judged"
    values = {
        "mig": (scores.mig(codes, factors), "mutual information gap, 20 bins"),
        "factor_vae": (scores.factor_vae_score(codes, factors, seed=seed), f"FactorVAE score, {votes}"),
        "pca_mig": (scores.pca_mig(codes, factors, directions=axes, seed=seed), "MIG along directions, 10 bins"),
        "pca_factor_vae": (
            scores.pca_factor_vae_score(codes, factors, directions=axes, seed=seed),
            "directions by 10,000 votes of 100 images, 5,000 more judged (aggregate VAE, algorithm 2)",
        ),
        "dci-disentanglement": (dci.disentanglement, "random forests"),
        "dci-completeness": (dci.completeness, "random forests"),
        "dci-informativeness": (dci.informativeness, "random forests; accuracy above chance"),
    }
    rows = [
        Row(name, "codes", value, "score", len(codes), f"{told}; all splits") for name, (value, told) in values.items()
    ]
    return [
        *rows,
        Row("least_angle", "directions", float(least), "degrees", len(codes), "between two factors' directions"),
    ]
