"""A normalizing flow: rational-quadratic splines (Durkan et al., 2019), from zuko (the extra `flow`)."""

import math
from copy import deepcopy

import torch
from jaxtyping import Float
from torch import nn, Tensor
from torch.distributions import AffineTransform, Distribution, TransformedDistribution
from torch.optim import Adam

from sigmae.densities.codes import Codes, refuse_a_single_point
from sigmae.densities.gaussians import VARIANCE_FLOOR
from sigmae.densities.steps import train_epoch
from sigmae.errors import SigmaeError
from sigmae.seeds import seeded

TRANSFORMS = 3
HIDDEN = (128, 128)
EPOCHS = 200
PATIENCE = 10
BATCH_SIZE = 256
LEARNING_RATE = 1e-3
HELD_OUT = 0.1


class SplineFlow(TransformedDistribution):
    """`network`'s distribution of standardised codes, scaled by `scale` and moved to `center`."""

    def __init__(self, network: nn.Module, center: Float[Tensor, " latent"], scale: Float[Tensor, " latent"]) -> None:
        self.network, self.center, self.scale = network.requires_grad_(False), center, scale
        super().__init__(network(), AffineTransform(center, scale, event_dim=1), validate_args=False)


def spline_flow(latent: int) -> nn.Module:
    """The untrained flow: three autoregressive transforms, each of splines with eight bins on [-5, 5]."""
    try:
        from zuko.flows import NSF
    except ImportError as error:
        raise SigmaeError("The density flow needs the extra flow: pip install 'sigmae[flow]'.") from error
    network: nn.Module = NSF(latent, transforms=TRANSFORMS, hidden_features=HIDDEN)
    return network


def flow(codes: Codes) -> Distribution:
    """Fit a neural spline flow to standardised codes by maximum likelihood.

    Adam at 1e-3, batches of 256, at most 200 epochs; a tenth of the codes is held out, and the weights that are
    best there are kept once ten epochs have not improved on them.
    """
    z = codes.means
    refuse_a_single_point(z)
    points = z.double()
    variance = points.var(0)
    center, scale = points.mean(0), variance.clamp_min(VARIANCE_FLOOR * variance.mean().item()).sqrt()
    with seeded(codes.seed, "flow"):
        network = spline_flow(codes.latent).to(codes.device, z.dtype)
        standardised = ((points - center) / scale)[torch.randperm(len(z))].to(codes.device, z.dtype)
        held_out = max(1, int(HELD_OUT * len(z)))
        fit_with_patience(network, standardised[held_out:], standardised[:held_out])
    return SplineFlow(network.cpu(), center.to(z), scale.to(z))


def fit_with_patience(
    network: nn.Module, points: Float[Tensor, "count latent"], held_out: Float[Tensor, "others latent"]
) -> None:
    """Maximise the likelihood of `points`, and leave the weights under which `held_out` is likeliest."""

    def loss(batch: Tensor) -> Tensor:
        value: Tensor = -network().log_prob(batch).mean()
        return value

    optimizer = Adam(network.parameters(), lr=LEARNING_RATE)
    best, best_weights, waited = math.inf, network.state_dict(), 0
    for _ in range(EPOCHS):
        train_epoch(loss, points, optimizer, BATCH_SIZE)
        with torch.no_grad():
            value = loss(held_out).item()
        if value < best:
            best, best_weights, waited = value, deepcopy(network.state_dict()), 0
        else:
            waited += 1
        if waited == PATIENCE:
            break
    network.load_state_dict(best_weights)
