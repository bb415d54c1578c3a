"""One sigma point of a Gaussian with full covariance, beside one sample of a VAE with a diagonal one."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch.distributions import Distribution

from benchmarks.comparison import Comparison
from benchmarks.steps import apart, flops, loss_and_gradient, Network, training_step
from sigmae import recipes
from sigmae.jacobians import Decoder
from sigmae.posteriors import factor_columns
from sigmae.propagations import decode_points, DecodedPoints, Propagation, SigmaPoints

KAPPA = SigmaPoints.kappa
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Case:
    """A network, its sizes, and the largest share of a VAE's step that is wanted, if any."""

    network: Network
    latent_dim: int = 128
    batch: int = 100
    goal: float | None = None


CASES = (
    Case(Network("uae", (3, 32, 32), {"width": 16}), goal=1.15),
    Case(Network("conv", (3, 64, 64))),
    Case(Network("mlp", (784,))),
)
TOYS = (
    Case(Network("uae", (3, 32, 32), {"width": 1}), 3, 4),
    Case(Network("mlp", (24,)), 3, 4),
)


def comparisons(toy: bool) -> Iterator[Comparison]:
    """Every network."""
    return map(one_point, TOYS if toy else CASES)


def one_point(case: Case) -> Comparison:
    """Columns gathered from the packed factor, all 2m + 1 points built first, and the VAE."""
    full = recipes.ut_vae_w2_full()
    objectives = {"one sigma point": full, "vae": recipes.vae(), "all built": full.replace(propagation=AllBuilt())}
    models = {side: case.network.model(objective, case.latent_dim) for side, objective in objectives.items()}
    x = case.network.images(case.batch)
    z = torch.zeros(case.batch, case.latent_dim)
    decoder = flops(partial(models["vae"].decoder, z))
    whole, packed = (decoder + flops(partial(models[side].encoder, x)) for side in ("vae", "one sigma point"))
    ours, naive = (partial(loss_and_gradient, models[side], x) for side in ("one sigma point", "all built"))
    return Comparison(
        name=f"one sigma point, {case.network.name}, {case.network.shape}, m = {case.latent_dim}",
        sides={side: training_step(model, x) for side, model in models.items()},
        ours="one sigma point",
        base="vae",
        goal=case.goal,
        floor=packed / whole,
        agree=lambda: apart(ours(), naive()),
        tolerance=TOLERANCE,
        about="the floor is the encoder's last layer, of m (m + 3) / 2 outputs; loss and gradient agree with those of "
        "the same point picked from all that were built",
    )


@dataclass(eq=False)
class AllBuilt(Propagation):
    """A random one of the 2m + 1 sigma points, picked when all of them are there."""

    def forward(self, q: Distribution, decode: Decoder) -> DecodedPoints:
        batch, latent = q.mean.shape
        offsets = (latent + KAPPA) ** 0.5 * factor_columns(q)
        points = torch.cat([q.mean.unsqueeze(0), q.mean + offsets, q.mean - offsets])
        picked = torch.randint(len(points), (1, batch))
        return decode_points(decode, points[picked, torch.arange(batch)])
