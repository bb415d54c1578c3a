"""Densities as tensors by name, and back."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn, Tensor
from torch.distributions import (
    constraints,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from sigmae.densities.flows import HIDDEN, spline_flow, SplineFlow
from sigmae.densities.gaussians import mixture
from sigmae.densities.second_stage import SecondStage, SecondStageVAE
from sigmae.errors import SigmaeError
from sigmae.posteriors import diagonal_gaussian
from sigmae.seeds import seeded

CONSTRAINTS = {
    "mean": (constraints.real, "is not finite"),
    "scale": (constraints.positive, "is not above zero"),
    "factor": (constraints.lower_cholesky, "is not the Cholesky factor of a positive definite covariance"),
    "weights": (constraints.simplex, "are not shares of one"),
}
ANY = (constraints.real, "is not finite")
FLOW = "flow."
PRECISIONS = (torch.float32, torch.float64)


def density_tensors(density: Distribution) -> dict[str, Tensor]:
    """The parameters that `density_from_tensors` makes the same density of, bit for bit.

    `mean` and `scale` of independent normals; `mean` and `factor` (Cholesky's) of a Gaussian; these and
    `weights` of a mixture; the weights of networks by their names, after `flow.` with `mean` and `scale` of
    the codes for a flow.
    """
    match density:
        case Independent(base_dist=Normal(loc=mean, scale=scale)):
            tensors = {"mean": mean, "scale": scale}
        case MultivariateNormal():
            tensors = {"mean": density.loc, "factor": density.scale_tril}
        case MixtureSameFamily(component_distribution=MultivariateNormal() as parts, mixture_distribution=choice):
            tensors = {"weights": choice.probs, "mean": parts.loc, "factor": parts.scale_tril}
        case SecondStageVAE():
            tensors = dict(density.networks.named_parameters())
        case SplineFlow():
            weights = {FLOW + name: weight for name, weight in density.network.named_parameters()}
            tensors = {"mean": density.center, "scale": density.scale, **weights}
        case _:
            known = "independent normals, a Gaussian, a mixture of Gaussians, a second-stage VAE or a flow"
            raise SigmaeError(f"A density to be saved must be {known}, got {type(density).__name__}.")
    return {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}


def density_from_tensors(tensors: Mapping[str, Tensor]) -> Distribution:
    """The density that `density_tensors` took apart; raises `SigmaeError` where the tensors are not one."""
    if "log_gamma" in tensors:
        return _second_stage(tensors)
    if any(name.startswith(FLOW) for name in tensors):
        return _flow(tensors)
    _refuse_damage(tensors, _gaussian_shapes(tensors))
    mean = tensors["mean"]
    if "scale" in tensors:
        return diagonal_gaussian(mean, tensors["scale"])
    if "weights" in tensors:
        return mixture(tensors["weights"], mean, tensors["factor"])
    return MultivariateNormal(mean, scale_tril=tensors["factor"])


def _gaussian_shapes(tensors: Mapping[str, Tensor]) -> dict[str, Sequence[int]]:
    if set(tensors) not in ({"mean", "scale"}, {"mean", "factor"}, {"mean", "factor", "weights"}):
        raise _damaged(f"it holds {', '.join(sorted(tensors)) or 'nothing'}")
    *batch, latent = tensors["mean"].shape or [0]
    if latent == 0 or len(batch) != ("weights" in tensors):
        raise _misshapen(tensors, "mean")
    shapes = {"mean": [*batch, latent], "scale": [latent], "factor": [*batch, latent, latent], "weights": batch}
    return {name: shapes[name] for name in tensors}


def _second_stage(tensors: Mapping[str, Tensor]) -> SecondStageVAE:
    head = tensors.get("decoder.output.weight", torch.empty(0))
    latent, inputs = head.shape if head.ndim == 2 else (0, 0)
    if not 0 < latent < inputs:
        raise _misshapen(tensors, "decoder.output.weight")
    with torch.device("meta"):
        networks = SecondStage(latent, width=inputs - latent)
    _refuse_damage(tensors, _weight_shapes(networks))
    networks.load_state_dict(dict(tensors), assign=True)
    return SecondStageVAE(networks)


def _flow(tensors: Mapping[str, Tensor]) -> SplineFlow:
    mean = tensors.get("mean", torch.empty(0))
    if mean.ndim != 1 or len(mean) == 0 or not mean.is_floating_point():
        raise _misshapen(tensors, "mean")
    if (count := sum(tensor.numel() for tensor in tensors.values())) < len(mean) * HIDDEN[0]:
        raise _damaged(f"its {count:,} numbers are fewer than the first layer of {len(mean):,} latents has")
    with seeded(0):  # the weights that it is made with are replaced, and no generator shall have moved
        network = spline_flow(len(mean)).to(mean.dtype)
    weights = {name.removeprefix(FLOW): tensor for name, tensor in tensors.items() if name.startswith(FLOW)}
    own = {"mean": mean.shape, "scale": mean.shape}
    _refuse_damage(tensors, own | {FLOW + name: shape for name, shape in _weight_shapes(network).items()})
    network.load_state_dict(weights, strict=False)  # the masks, which are not weights, are made anew
    return SplineFlow(network, mean, tensors["scale"])


def _weight_shapes(network: nn.Module) -> dict[str, Sequence[int]]:
    return {name: weight.shape for name, weight in network.named_parameters()}


def _refuse_damage(tensors: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> None:
    for name in sorted(shapes.keys() ^ tensors.keys()):
        raise _damaged(f"it lacks {name}" if name in shapes else f"it holds {name}, which is no part of it")
    dtype = tensors[next(iter(shapes))].dtype
    for name, tensor in tensors.items():
        if list(tensor.shape) != list(shapes[name]) or tensor.dtype != dtype or dtype not in PRECISIONS:
            raise _misshapen(tensors, name)
        constraint, complaint = CONSTRAINTS.get(name, ANY)
        if not (tensor.isfinite().all() and constraint.check(tensor).all()):
            raise _damaged(f"its {name} {complaint}")


def _misshapen(tensors: Mapping[str, Tensor], name: str) -> SigmaeError:
    if name not in tensors:
        return _damaged(f"it lacks {name}")
    return _damaged(f"its {name} is a {tensors[name].dtype} tensor of shape {list(tensors[name].shape)}")


def _damaged(reason: str) -> SigmaeError:
    return SigmaeError(f"This is not a whole density, {reason}: the file was cut or edited; fit the density again.")
