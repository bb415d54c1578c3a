"""Arguments of the command line that were chosen at random: each command ends well, or with one sentence."""

import io
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from tests.reliability.fuzzing import fuzzed, RANDOM, TEXTS

from sigmae.cli import main
from sigmae.errors import SigmaeError

GROUP = "Files of strangers"
BASES = {
    "train": "train images.npy --epochs 1 --latent-dim 2 --batch-size 8 --features random",
    "sample": "sample run",
    "evaluate": "evaluate run --features random --metrics squared_error",
    "diagnose": "diagnose run --features random",
    "compare": "compare images.npy --methods ae --epochs 1 --seeds 1 --batch-size 8 --features random",
    "reproduce": "reproduce rae-table-1 --dry-run",
    "show": "show vae",
    "list": "list",
}
COMMON = "seed data-dir features inception-file latent-dim image-size limit set network out trust x"
OPTIONS = {
    "train": "method batch-size lr precision clip patience plateau-patience plateau-factor keep device",
    "sample": "count density",
    "evaluate": "metrics densities split",
    "diagnose": "density",
    "compare": "methods vary columns on engine metrics densities runs",
    "reproduce": "scale rows data seeds on engine runs",
    "show": "data",
    "list": "json",
}
VALUES = (
    *(text.replace("\ud800", "\udcff") for text in TEXTS if "\0" not in text),  # no argument has a NUL
    *(
        "latent=KL",
        "latent.weight=nan",
        "latent.weight=1e400",
        "network.hidden=[1e9]",
        "network.hidden=[1000000000000]",
    ),
    *("network.width=9", "network.hidden=" + "[" * 5000, "likelihood.variance=optimal", "posterior=FullGaussian"),
    *("gmm3", "gmm" + "9" * 5000, "second-stage1", "prior", "images.npy", "run", "run/config.json", ".", "out.npy"),
    *("out.png", "ae", "rae-gp", "iwae", "lr=0.1,0.2", "fid:gmm10", "bf16", "16", "8", "smoke", "RAE", "here", "cpu"),
)


@st.composite
def commands(draw: Any) -> list[str]:
    """A command that would work, of which one or two words were exchanged or added."""
    verb = draw(st.sampled_from(sorted(BASES)))
    words = BASES[verb].split()
    for _ in range(draw(st.integers(1, 2))):
        option, value = draw(st.sampled_from([*OPTIONS[verb].split(), *COMMON.split()])), draw(st.sampled_from(VALUES))
        if (place := draw(st.integers(0, 20))) < min(2, len(words)):
            words[place] = value
        elif f"--{option}" in words[:-1]:
            words[words.index(f"--{option}") + 1] = value
        else:
            words += [f"--{option}", value]
    return words


def obey(words: list[str]) -> None:
    """Run a command, which ends well, or with a refusal on one line."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stopped:
        main(words)
    status = stopped.value.code
    assert status in (0, 1, 2)
    assert "Traceback" not in err.getvalue()
    if status == 1:
        assert err.getvalue().splitlines()[-1].startswith("sigmae: ")
    if status:
        raise SigmaeError(err.getvalue())


@pytest.mark.promise(GROUP, "A command of arguments that were chosen at random ends well, or with one sentence.")
@pytest.mark.parametrize("tries", [30, pytest.param(150, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore")  # what is odd and taken may warn
def test_arguments_chosen_at_random(run, tmp_path, monkeypatch, tries, record_property):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIGMAE_INCEPTION", str(tmp_path / "absent.pt"))
    monkeypatch.setattr("sigmae.download.build_opener", lambda *_: SimpleNamespace(open=no_network))
    np.save("images.npy", RANDOM.rand(40, 8, 8))
    taken = fuzzed((commands(), obey), tries)
    record_property("tried", tries)
    assert 0 < taken < tries


def no_network(*_: object, **__: object) -> None:
    raise OSError("no network")
