import pytest

from sigmae import Autoencoder, recipes
from sigmae.config import ModelConfig, objective_config
from sigmae.networks import NetworkConfig


@pytest.fixture
def make():
    """Makes an untrained model of a method and a network."""

    def made(method="vae", network="mlp", shape=(1, 8, 8), **options):
        objective = recipes.method(method).objective("mnist")
        parts = objective_config(objective)
        return Autoencoder.build(
            ModelConfig(method, shape, 3, parts, NetworkConfig(network, "sigmoid", options))
        ).eval()

    return made
