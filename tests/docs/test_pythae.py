"""What docs/pythae.md says of pythae: its names exist, none of its models is left out, the example runs."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import sigmae
from sigmae.recipes import METHODS
from sigmae.settings import TrainingConfig

PAGE = (Path(__file__).parents[2] / "docs" / "pythae.md").read_text()
ROWS = [line.split("|")[1:-1] for line in PAGE.splitlines() if line.startswith("| `")]


NAMES = """
import inspect
from dataclasses import fields
import pythae.models as models, pythae.pipelines as pipelines, pythae.samplers as samplers, pythae.trainers as trainers

for module in (models, pipelines, samplers, trainers):
    print(*(f"{module.__name__}.{name}" for name in module.__all__))
configs = [getattr(models, name) for name in models.__all__ if name.endswith("Config")]
print(*(field.name for config in (*configs, trainers.BaseTrainerConfig) for field in fields(config)))
print(*dir(models.VAE), *inspect.signature(pipelines.TrainingPipeline.__call__).parameters)
"""


@pytest.fixture(scope="module")
def pythae():
    """The names that pythae has, from a process of its own: it logs and warns when it is imported."""
    if find_spec("pythae") is None:
        pytest.skip("pythae is not installed")
    return set(python(NAMES).split())


def python(code: str, folder: Path | None = None) -> str:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_names_of_pythae_exist(pythae):
    known = {name.split(".")[-1] for name in pythae}
    told = {name for row in ROWS for name in re.findall(r"`([A-Za-z_]+)(?:\.\w+)?[`(]", row[0])}
    assert told - known == set()


def test_no_model_or_sampler_of_pythae_is_left_out(pythae):
    for kind, silent in (("models", ("Auto", "Base")), ("samplers", ("Base",))):
        names = [name.split(".")[-1] for name in pythae if name.startswith(f"pythae.{kind}.")]
        shown = [name for name in names if not name.endswith("Config") and not name.startswith(silent)]
        assert len(shown) > 5
        assert [name for name in shown if f"`{name}`" not in PAGE] == []


def test_names_of_ours_exist():
    for row in ROWS:
        for name in re.findall(r"`([a-z][\w-]*)`", row[1]):
            model = sigmae.Autoencoder
            known = name in METHODS or hasattr(TrainingConfig, name) or hasattr(model, name) or hasattr(sigmae, name)
            assert known or name in ("device", "out"), name
    fields = re.findall(r"`(posterior|propagation|likelihood|latent|decoder)\.(\w+)(?:=\w+)?`", PAGE)
    assert fields
    parts = [part for method in METHODS.values() for part in method.objective().parts().items()]
    for axis, field in fields:
        assert any(hasattr(part, field) for name, part in parts if name == axis), (axis, field)


@pytest.mark.slow
def test_the_example_of_pythae_runs(pythae, tmp_path):
    (block,) = re.findall(r"^```py\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    python(block, tmp_path)
