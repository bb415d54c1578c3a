"""Recipes bind the published weights, are short, and hold no arithmetic."""

import ast
import inspect

import pytest

from sigmae import recipes
from sigmae.recipes import method, METHODS

# values of an image, latents, channels
SIZES = {"mnist": (1024, 16, 1), "cifar10": (3072, 128, 3), "celeba": (12288, 64, 3)}

# the RAE authors' code: squared error and latent penalty are means, their VAEs average over channels
CODE = {
    "rae": {"mnist": 5e-4, "cifar10": 0.01, "celeba": 1e-4},
    "rae-l2": {"mnist": 1e-4, "cifar10": 1e-3, "celeba": 1e-4},
    "rae-gp": {"mnist": 1e-4, "cifar10": 9e-4, "celeba": 1e-4},
    "rae-sn": {"mnist": 0.009, "cifar10": 0.03, "celeba": 2.4e-3},
}
CODE_WEIGHT_DECAY = {"mnist": 1e-7, "cifar10": 1e-6, "celeba": 1e-7}
CODE_KL = {
    "beta-vae": {"mnist": 0.312, "cifar10": 0.024, "celeba": 0.09024},
    "cv-vae": {"mnist": 0.039, "cifar10": 9e-4, "celeba": 0.01},
}


@pytest.mark.parametrize("data", SIZES)
@pytest.mark.parametrize("name", CODE)
def test_latent_weights_of_means_are_converted_to_sums(name, data):
    values, latents, _ = SIZES[data]
    assert method(name).objective(data).latent.weight == pytest.approx(CODE[name][data] * values / latents, rel=0.01)


@pytest.mark.parametrize("data", SIZES)
def test_the_weight_decay_is_converted(data):
    expected = CODE_WEIGHT_DECAY[data] * SIZES[data][0]
    assert method("rae-l2").objective(data).decoder.weight == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("data", SIZES)
@pytest.mark.parametrize("name", CODE_KL)
def test_kl_weights_are_beside_an_error_averaged_over_channels(name, data):
    objective = method(name).objective(data)
    assert objective.latent.weight == pytest.approx(CODE_KL[name][data] * SIZES[data][2], rel=0.01)
    assert objective.likelihood.variance == 0.5  # SSE + KL


def test_unknown_data_have_the_weights_for_mnist():
    for each in METHODS.values():
        assert repr(each.objective("photos")) == repr(each.objective("mnist")) == repr(each.objective())


@pytest.mark.parametrize("name", METHODS)
def test_a_recipe_is_short_and_without_arithmetic(name):
    function = next(
        node for node in ast.parse(inspect.getsource(METHODS[name].recipe)).body if isinstance(node, ast.FunctionDef)
    )
    body = function.body[1:]  # after the docstring
    assert sum(node.end_lineno - node.lineno + 1 for node in body) <= 8
    nodes = [node for part in (*body, *function.args.defaults) for node in ast.walk(part)]
    assert not [node for node in nodes if isinstance(node, ast.BinOp | ast.If | ast.For)]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_a_line_and_a_citation(name):
    each = METHODS[name]
    assert each.summary.endswith(".")
    assert len(each.summary) < 100
    assert each.paper.url.startswith("https://")
    assert each.paper.bibtex.count("{") == each.paper.bibtex.count("}")
    assert str(each.paper.year) in str(each.paper)


def test_recipes_are_functions_of_the_module_by_their_names():
    for name, each in METHODS.items():
        assert getattr(recipes, name.replace("-", "_")) is each.recipe
