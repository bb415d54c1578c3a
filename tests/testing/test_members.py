"""All that the library has of its own keeps the laws that it asks of others."""

import pytest
import torch

from sigmae.config import PARTS
from sigmae.evaluation import METRICS
from sigmae.networks import NETWORKS
from sigmae.recipes import METHODS
from sigmae.testing import check_dataset, check_method, check_metric, check_network, check_part, part_checks

LONG = (
    "other_parts_are_served_or_refused",
    "the_state_is_saved_with_the_model",
    "stopped_training_ends_with_the_same_bits",
)
LONG_METRICS = ("disentanglement", "entropy", "gradient_variance", "kid", "prd", "taylor")
SMALL = {"mlp": {"hidden": (8,)}, "linear": {}}  # options, where there is no width
PARTS_BY_AXIS = [pytest.param(axis, kind, id=name) for axis, kinds in PARTS.items() for name, kind in kinds.items()]
VARIANTS = [
    PARTS["posterior"]["IsotropicGaussian"](0.3),
    PARTS["posterior"]["IsotropicGaussian"](0.0),
    PARTS["posterior"]["FullGaussian"]("tanh"),
    PARTS["propagation"]["MonteCarlo"](3),
    PARTS["propagation"]["SigmaPoints"](scheme="all", pool="mean"),
    PARTS["propagation"]["SigmaPoints"](2, "largest", along="rows"),
    PARTS["propagation"]["Linearized"](share=0.5),
    PARTS["likelihood"]["SquaredError"]("mean"),
    *(
        PARTS["likelihood"]["Gaussian"](variance, shape, per)
        for variance in ("learned", "optimal")
        for shape in ("iso", "diag")
        for per in ("dataset", "sample")
    ),
    PARTS["latent"]["Wasserstein2"](form="exact"),
    PARTS["latent"]["MMD"](kernel="rbf"),
    PARTS["latent"]["TotalCorrelation"](estimate="discriminator", hidden=(8,)),
    PARTS["latent"]["KernelDensity"](schedule="queue"),
    PARTS["latent"]["KernelDensity"](convention="code", floor=1e-6, redraw_every=2, refresh_every=3),
    PARTS["decoder"]["GradientPenalty"](estimate="exact", scale="largest-variance"),
    PARTS["decoder"]["OutputGradient"](outputs="plain", scale="largest-variance"),
    PARTS["decoder"]["SpectralNorm"](encoder=True),
]


@pytest.mark.parametrize(("axis", "kind"), PARTS_BY_AXIS)
def test_every_part(axis, kind):
    check_part(kind, axis=axis, without=LONG)


@pytest.mark.slow
@pytest.mark.parametrize(("axis", "kind"), PARTS_BY_AXIS)
def test_every_part_beside_others_trained_and_stopped(axis, kind):
    for law, check in part_checks(kind, axis=axis):
        if law in LONG:
            check()


@pytest.mark.slow
@pytest.mark.parametrize("part", VARIANTS, ids=repr)
def test_parts_with_other_fields(part):
    check_part(part)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method(name):
    check_method(name)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network(name):
    check_network(name, **SMALL.get(name, {"width": 4}))


@pytest.mark.parametrize("name", [name for name in METRICS if name not in LONG_METRICS])
def test_metrics(name):
    check_metric(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG_METRICS)
def test_metrics_that_take_long(name):
    check_metric(name)


@pytest.mark.parametrize("source", ["digits", torch.rand(60, 5)], ids=["digits", "vectors"])
def test_data_that_ship_and_arrays(source):
    check_dataset(source)


@pytest.mark.slow
def test_sprites():
    check_dataset("sprites", image_size=16)
