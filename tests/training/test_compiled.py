"""A compiled step is the step as it is.

In processes of their own: torch.compile gets wrong the checks of shapes that these tests run under.
"""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open

from sigmae import recipes, SigmaeError, TrainingConfig
from sigmae.api import plan
from sigmae.recipes import METHODS
from sigmae.training import can_train_together
from sigmae.training.compiled import failures_explained, uses_graphs

ROUNDING = 1e-5  # largest share of the losses, and of the norm of weights and buffers
STATEFUL = ["ar-diag-d", "aae"]  # keep numbers in buffers, or for an opponent

PROGRAM = """
import json, sys
from functools import partial
from itertools import islice
import torch
from sigmae import SigmaeError, TrainingConfig
from sigmae.api import plan
from sigmae.training import loop as module, make_fabric

backend, *methods = sys.argv[1:]
module.compiled = partial(module.compiled, backend=backend)

def trained(method, compile):
    settings = TrainingConfig(batch_size=16, compile=compile)
    options = {"latent_dim": 3, "network": "mlp", "settings": ["network.hidden=[12]"], "limit": 60}
    planned = plan("digits", method, training=settings, **options)
    loop = module.Loop(planned.model, planned.data, settings, None, lambda report: None, make_fabric(device="cpu"))
    loop.wrapped.train()
    for batch in islice(loop.batches(), 2):
        loop.step(batch)
    numbers = [tensor.double().flatten() for tensor in planned.model.state_dict().values()]
    return torch.stack(loop.pending).sum(1), torch.cat(numbers), list(planned.model.state_dict())

def difference(method):
    (losses, numbers, names), (losses_, numbers_, names_) = trained(method, True), trained(method, False)
    assert names == names_
    pairs = (losses, losses_), (numbers, numbers_)
    return max(float((one - other).norm() / other.norm()) for one, other in pairs)

for method in methods:
    try:
        print(json.dumps([method, difference(method)]))
    except SigmaeError as error:
        print(json.dumps([method, str(error)]))
"""


def differences(backend, methods, folder):
    caches = {"SIGMAE_CACHE": str(folder), "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor")}
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | caches
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, backend, *methods]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=1800)
    return dict(map(json.loads, done.stdout.splitlines()))


def test_losses_weights_and_buffers_are_those_of_the_eager_step(tmp_path):
    found = differences("aot_eager", STATEFUL, tmp_path)
    assert found.keys() == set(STATEFUL)
    assert max(found.values()) < ROUNDING


@pytest.mark.slow
def test_every_method_is_compiled(tmp_path):
    found = differences("aot_eager", METHODS, tmp_path)
    assert found.keys() == set(METHODS)
    assert not {method: told for method, told in found.items() if isinstance(told, str)}
    assert max(found.values()) < ROUNDING


@pytest.mark.slow
def test_generated_code_computes_the_same(tmp_path):
    found = differences("inductor", ["vae", "aae"], tmp_path)
    assert max(found.values()) < ROUNDING


def train(folder, *options, **environment):
    base = [sys.executable, "-m", "sigmae", "train", "digits", "--limit", "60", "--batch-size", "16", "--epochs", "1"]
    network = ["--network", "mlp", "--set", "network.hidden=[4]", "--features", "random", "--out", str(folder)]
    changed = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.run([*base, *network, *options], capture_output=True, text=True, env=changed, timeout=600)


@pytest.mark.slow
def test_without_a_compiler_a_sentence_says_what_to_do(tmp_path):
    done = train(tmp_path / "run", "--compile", CXX="/no/compiler", TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "cache"))
    told = " ".join(done.stderr.split())
    assert done.returncode == 1
    assert "No working C++ compiler" in told
    assert "Install one such as g++, or name it in CXX; or train without --compile." in told
    assert "Traceback" not in told


@pytest.mark.slow
def test_checkpoints_do_not_tell_how_a_step_was_made(tmp_path):
    names = []
    for options in ([], ["--compile"]):
        folder = tmp_path / str(len(options))
        assert train(folder, *options).returncode == 0
        found = []
        for path in sorted([folder / "model.safetensors", *folder.glob("checkpoints/*.safetensors")]):
            with safe_open(path, "pt") as file:
                found.append(sorted(file.keys()))
        names.append(found)
    assert names[0] == names[1]


class CompilerFailed(RuntimeError):
    inner_exception = RuntimeError("No working C++ compiler found\nin a list")


def test_failures_are_told_with_what_to_do():
    with pytest.raises(SigmaeError, match=r"\(No working C\+\+ compiler found\)\. Install one"), failures_explained():
        raise CompilerFailed("backend='inductor' raised:")
    with pytest.raises(SigmaeError, match=r"\(no double backward\)\. Train without --compile"), failures_explained():
        raise RuntimeError("no double backward\nand a long trace")
    with pytest.raises(SigmaeError, match=r"^a sentence$"), failures_explained():
        raise SigmaeError("a sentence")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_cuda_graphs_are_for_cuda_and_for_parts_that_keep_nothing_between_steps(device):
    def graphs(objective):
        return uses_graphs(torch.device(device), list(objective.parts().values()))

    assert graphs(recipes.vae()) == graphs(recipes.ar_iso_d()) == (device == "cuda")
    assert not graphs(recipes.avae())
    assert not graphs(recipes.avae_queue())


def test_an_opponent_keeps_cuda_graphs_away(blobs):
    model = plan(blobs, "aae", latent_dim=2).model
    assert not uses_graphs(torch.device("cuda"), list(model.objective.parts().values()))


def test_runs_are_not_trained_together_where_steps_are_compiled(blobs):
    configs = [TrainingConfig(seed=seed, batch_size=20, compile=True) for seed in range(2)]
    models = [plan(blobs, "ae", latent_dim=2, training=config).model for config in configs]
    assert can_train_together(models, blobs, configs) == "A compiled step is that of one run."
