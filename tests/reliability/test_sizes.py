"""Sizes at both ends: batches, images, channels, latents and splits, each trained on for a step or refused."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sigmae import Dataset, SigmaeError, Split, TrainingConfig
from sigmae.api import plan
from sigmae.evaluation import evaluate_stages, pictures, Stages
from sigmae.metrics.features import load_features
from sigmae.networks import NETWORKS
from sigmae.recipes import METHODS
from sigmae.runs import fit_densities
from sigmae.training import train

GROUP = "Numbers that go wrong"
ONE = "A batch of one example is trained on by every method and network, or refused in a sentence."
LATENTS = "Every method trains with 1 latent and with 512."
IMAGES = "Images of 1, 3 and 4 channels from 8 by 8 to 256 by 256, and images that are not square, are trained on."
FEW = "One or two examples in a split are trained on and evaluated, or refused in a sentence."
EMPTY = "A split without examples is refused in a sentence."


def dataset(shape, train=6, validation=3, test=3):
    """Random images, in splits of so many."""
    draw = torch.Generator().manual_seed(0)
    parts = (Split(torch.rand(count, *shape, generator=draw)) for count in (train, validation, test))
    return Dataset("sizes", *parts)


def trained(data, method, batch_size=2, latent_dim=2, **options):
    """The model after an epoch, whose loss and images are numbers."""
    settings = TrainingConfig(epochs=1, batch_size=batch_size)
    model = plan(data, method, latent_dim=latent_dim, training=settings, **options).model
    record = train(model, data, settings).history[-1]
    assert all(math.isfinite(value) for value in (*record["train"].values(), *record["validation"].values()))
    images = model.reconstruct(data.test.images)
    assert images.shape == data.test.images.shape
    assert images.isfinite().all()
    return model


PLAIN = ("vae", "rae", "wae-mmd", "avae", "aae", "beta-tcvae", "uae", "ar-iso-i", "sampling-free", "iwae")


@pytest.mark.promise(GROUP, ONE)
@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=() if name in PLAIN else pytest.mark.slow) for name in METHODS]
)
def test_a_batch_of_one(method):
    if method == "wae-mmd":
        with pytest.raises(SigmaeError, match="got a batch of 1: raise the batch size or use SquaredNorm"):
            trained(dataset((1, 8, 8)), method, batch_size=1)
    else:
        trained(dataset((1, 8, 8)), method, batch_size=1, network="conv")


pytestmark = pytest.mark.usefixtures("coarse")
WIDTHS = {"mlp": "hidden=[4]", "linear": "output=linear"}
SIDES = {"mlp": 8, "linear": 8, "conv": 16, "mnist": 28, "smoothness": 28, "rae-mnist": 32, "avae-mnist": 32}
SIDES |= {"cifar10": 32, "uae": 32}


@pytest.mark.promise(GROUP, ONE)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_batch_of_one_in_every_network(network):
    side = next((SIDES[name] for name in (network, network.rpartition("-")[2]) if name in SIDES), 64)
    options = {"network": network, "settings": [f"network.{WIDTHS.get(network, 'width=2')}"]}
    if network in ("uae", "ar-elbo-mnist"):  # which normalise a single value of each example
        with pytest.raises(SigmaeError, match="one value of each: use --batch-size 2 or more"):
            trained(dataset((1, side, side)), "vae", batch_size=1, **options)
    else:
        trained(dataset((1, side, side)), "vae", batch_size=1, **options)


@pytest.mark.slow
@pytest.mark.promise(GROUP, LATENTS)
@pytest.mark.parametrize("latent_dim", [1, 512])
@pytest.mark.parametrize("method", METHODS)
def test_latent_sizes(method, latent_dim):
    trained(dataset((1, 8, 8), train=8), method, latent_dim=latent_dim)


@pytest.mark.promise(GROUP, IMAGES)
@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    "side", [8, 16, 28, 32, *(pytest.param(side, marks=pytest.mark.slow) for side in (64, 128, 256))]
)
def test_square_images(network, channels, side):
    width = "hidden=[16]" if network == "mlp" else "width=8"
    trained(dataset((channels, side, side), 4, 2, 2), "vae", network=network, settings=[f"network.{width}"])


@pytest.mark.promise(GROUP, IMAGES)
@pytest.mark.parametrize("shape", [(1, 8, 20), (3, 9, 31), (4, 4, 5), (1, 5, 4), (1, 1, 8), (1, 1, 1), (2, 8, 8)])
@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_images_that_are_not_square(shape, network):
    if network == "conv" and min(shape[1:]) < 4:
        with pytest.raises(SigmaeError, match="images of 4 by 4 or more"):
            trained(dataset(shape), "vae", network=network)
    else:
        trained(dataset(shape), "vae", network=network)


@pytest.mark.promise(GROUP, IMAGES)
def test_images_of_four_channels_are_an_array_s_and_pictures_lie_on_white(tmp_path):
    from PIL import Image

    from sigmae.data import load

    array = np.random.RandomState(0).randint(0, 256, (5, 8, 8, 4)).astype(np.uint8)
    assert load(array).shape == (4, 8, 8)
    array[..., 3] = 0
    for row, image in enumerate(array):
        Image.fromarray(image).save(tmp_path / f"{row}.png")
    pictured = load(tmp_path)
    assert pictured.shape == (3, 8, 8)
    assert (pictured.train.images == 255).all()


@pytest.mark.promise(GROUP, FEW)
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), *(pytest.param(sizes, marks=pytest.mark.slow) for sizes in ((2, 1, 1), (2, 2, 1), (3, 1, 2)))]
)
@pytest.mark.parametrize("method", ["vae", "wae-mmd", "avae", "ar-iso-i"])
def test_few_examples(method, sizes):
    data = dataset((1, 8, 8), *sizes)
    if method == "wae-mmd" or (method, sizes[0]) == ("avae", 1):
        with pytest.raises(SigmaeError, match="use SquaredNorm"):
            trained(data, method, batch_size=1)
        return
    model = trained(data, method, batch_size=1 if sizes[0] == 1 or method == "avae" else 2)
    warnings = []
    fit_densities(model, data, warn=warnings.append)
    assert (sizes[0] > 1) == (not any("gaussian is left out" in warning for warning in warnings))
    stages = Stages(model, data, load_features("random", data), points=10)
    done = evaluate_stages(stages)
    assert all(row.is_finite for row in done.rows)
    assert {"squared_error"} <= {row.metric for row in done.rows}
    assert all(reason.endswith(".") for reason in done.left_out.values())
    assert all(pictures(stages).values())


@pytest.mark.promise(GROUP, EMPTY)
@pytest.mark.parametrize("sizes", [(0, 3, 3), (3, 0, 3), (3, 3, 0), (0, 0, 0)])
def test_an_empty_split(sizes):
    with pytest.raises(SigmaeError, match=r"The (train|validation|test) split of sizes is empty: give it one example"):
        dataset((1, 8, 8), *sizes)


@pytest.mark.promise(GROUP, EMPTY)
@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"images": (0, 8, 8)}, "none of them empty"),
        ({"x_train": (9, 8, 8), "x_test": (0, 8, 8)}, "none of them empty"),
        ({"x_train": (9, 8, 8), "x_val": (0, 8, 8), "x_test": (3, 1, 8, 8)}, "none of them empty"),
        ({"x_train": (1, 1, 8, 8), "x_test": (9, 8, 8)}, "1 examples to train on, too few for train and validation"),
        ({"images": (2, 1, 8, 8)}, "2 examples, too few for train, validation and test: give three or more"),
    ],
)
def test_files_that_leave_a_split_empty(tmp_path, arrays, sentence):
    from sigmae.data import load

    path = Path(tmp_path / "a.npz")
    np.savez(path, **{name: np.full(shape, 7, np.uint8) for name, shape in arrays.items()})
    with pytest.raises(SigmaeError, match=sentence):
        load(path)
