"""The command that a configuration stands for: run again, it is the same run."""

import shlex

import pytest

from sigmae.api import plan
from sigmae.cli import app
from sigmae.commands import train_command
from sigmae.config import differences
from sigmae.conversion import as_json
from sigmae.settings import TrainingConfig

CASES = {
    "plain": {"method": "vae"},
    "weights": {"method": "rae-l2", "settings": ["latent.weight=0.5", "decoder.weight=1e-3"]},
    "parts": {"method": "vae", "settings": ["latent=MMD", "posterior=Delta", "propagation=Mean"]},
    "bound": {"method": "iwae", "latent_dim": 3},
    "network": {"method": "ae", "network": "mlp", "settings": ["network.hidden=[20, 10]"]},
    "training": {"method": "vae", "training": TrainingConfig(epochs=3, lr=1e-4, clip=1.0, precision="bf16")},
}


@pytest.mark.parametrize("case", CASES)
def test_the_command_gives_the_same_configuration(case, monkeypatch):
    config = plan("digits", **CASES[case]).config
    words = shlex.split(train_command(config, "runs/x"))
    assert words[:2] == ["sigmae", "train"]
    _, bound, _ = app.parse_args(words[1:])
    options = dict(bound.arguments)
    out, given = options.pop("out"), {key: options.get(key) for key in ("network", "image_size", "data_dir")}
    assert str(out) == "runs/x"
    again = plan(
        options["source"],
        options["method"],
        latent_dim=options.get("latent_dim", 16),
        settings=options.get("settings") or (),
        training=options.get("training") or TrainingConfig(),
        **given,
    )
    assert differences(as_json(config), as_json(again.config)) == []


def test_changes_take_the_place_of_what_was_set():
    config = plan("digits", "vae", settings=["likelihood.variance=2"]).config
    command = train_command(config, "my runs/x", "likelihood.variance=optimal", epochs=7, latent_dim=4)
    options = "--method vae --latent-dim 4 --epochs 7 --set likelihood.variance=optimal"
    assert command == f"sigmae train digits {options} --out 'my runs/x'"
    other = train_command(config, "x", method="ae")
    assert other == "sigmae train digits --method ae --out x"
