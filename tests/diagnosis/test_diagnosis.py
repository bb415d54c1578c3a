"""Models that were made sick on purpose are told so, each by the right cause, and a healthy one is told that it is."""

import json
import shlex

import numpy as np
import pytest
import torch

import sigmae
from sigmae.cli import main
from sigmae.diagnosis import CHECKS
from sigmae.diagnosis.case import percent, sharpness
from sigmae.runs import diagnose_run, load_run, run_data

SICK = {
    "collapsed": {"method": "vae", "settings": ["likelihood.variance=1"], "epochs": 30},
    "heavy": {"method": "vae", "settings": ["likelihood.variance=optimal", "latent.weight=40"], "epochs": 30},
    "short": {"method": "rae-l2", "epochs": 1},
    "plain": {"method": "ae", "epochs": 60},
    "healthy": {"method": "ar-iso-i", "latent_dim": 8, "epochs": 200},
}


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """The folder of a run by its name; each is trained once."""
    root = tmp_path_factory.mktemp("sick")

    def trained(name):
        folder = root / name
        if not (folder / "report.html").exists():
            sigmae.fit("digits", out=folder, device="cpu", **SICK[name])
        return folder

    return trained


def diagnosed(folder, **options):
    return diagnose_run(load_run(folder), run_data(folder), folder, **options)


def test_a_variance_too_large_collapses_the_latents(runs):
    found = diagnosed(runs("collapsed"))
    first = found.findings[0]
    assert first.name == "collapse"
    assert "16 of 16 latents" in first.says
    assert "The cause is the likelihood: its variance of 1 is" in first.says
    assert "likelihood.variance=optimal" in first.remedy
    assert first.evidence["implied_variance"] == 1
    assert first.evidence["residual"] == pytest.approx(0.073, abs=0.005)  # the variance of a pixel of the digits
    assert {"variance-too-large", "over-smoothing"} <= {finding.name for finding in found.findings}
    assert "all alike" in found.left_out["memorisation"]


@pytest.mark.slow
def test_a_divergence_too_heavy_is_named_as_the_cause(runs):
    found = {finding.name: finding for finding in diagnosed(runs("heavy")).findings}
    assert "its KL term has the weight 40" in found["collapse"].says
    assert "--set latent.weight=1 " in found["collapse"].remedy


def test_an_epoch_is_not_enough(runs):
    first = diagnosed(runs("short")).findings[0]
    assert first.name == "undertrained"
    assert "1 epoch," in first.says
    assert "--epochs 20" in first.remedy


@pytest.mark.slow
def test_a_plain_autoencoder_has_holes_where_the_prior_is_sampled(runs):
    found = diagnosed(runs("plain"), density="prior")
    first = found.findings[0]
    assert first.name == "holes"
    assert first.evidence["outside"] > 0.9
    assert first.measured
    distances = found.distances
    assert first.gain == pytest.approx(1 - distances["gmm10"] / distances["prior"])
    assert first.gain > 0.8
    assert first.remedy == f"sigmae sample {runs('plain')} --density gmm10"
    assert "collapse" in found.fine


@pytest.mark.slow
def test_a_mixture_with_a_component_for_each_image_copies(runs):
    found = {finding.name: finding for finding in diagnosed(runs("plain"), density="gmm1000").findings}
    copies = found.pop("memorisation")
    assert set(found) <= {"prior-mismatch"}  # it samples better or worse than gmm10, as the training went
    assert copies.evidence["nearer_than_held_out"] > 0.9
    assert copies.remedy.endswith("--density gmm10")
    assert "memorisation" in diagnosed(runs("plain"), density="gmm10").fine


@pytest.mark.slow
def test_a_healthy_model_is_told_so(runs):
    found = diagnosed(runs("healthy"), density="gmm10")
    assert found.healthy
    assert set(found.fine) | set(found.left_out) == set(CHECKS)
    mismatched = diagnosed(runs("healthy")).findings[0]  # its prior is not what its codes follow
    assert mismatched.name == "prior-mismatch"
    assert mismatched.gain > 0.3


def test_the_command_line_tells_and_its_remedy_can_be_run(runs, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = runs("short")
    with pytest.raises(SystemExit) as stopped:
        main(["diagnose", str(folder)])
    told = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "1. undertrained: up to 100% of the samples' distance" in told
    with pytest.raises(SystemExit):
        main(["diagnose", str(folder), "--json"])
    record = json.loads(capsys.readouterr().out)
    finding = record["findings"][0]
    assert finding["name"] == "undertrained"
    words = shlex.split(finding["remedy"])
    words[words.index("--epochs") + 1] = "2"
    with pytest.raises(SystemExit) as stopped:
        main(words[1:])
    assert stopped.value.code == 0
    assert (folder.parent / "short-longer" / "report.html").exists()


def test_findings_are_in_the_order_of_their_gain(runs):
    for name in ("collapsed", "short"):
        gains = [finding.gain for finding in diagnosed(runs(name)).findings]
        assert gains == sorted(gains, reverse=True)


def test_vectors_are_diagnosed_without_distances(tmp_path):
    x = torch.randn(300, 3, generator=torch.Generator().manual_seed(0)) @ torch.randn(3, 10)
    sigmae.fit(x, "vae", latent_dim=2, epochs=2, out=tmp_path / "run", device="cpu")
    np.save(tmp_path / "x.npy", x.numpy())
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["data"]["source"] = str(tmp_path / "x.npy")
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    found = diagnosed(tmp_path / "run")
    assert found.distances == {}
    assert all(finding.gain is None or finding.name == "memorisation" for finding in found.findings)
    assert "no neighbouring values" in found.left_out["smoothing"]
    assert "undertrained" in {finding.name for finding in found.findings}


def test_sharpness_is_the_mean_squared_difference_of_neighbours():
    board = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).expand(3, 1, 2, 2)
    assert sharpness(board) == 1
    assert sharpness(torch.full((3, 1, 4, 4), 0.5)) == 0


@pytest.mark.parametrize(("share", "text"), [(0.0, "0 %"), (0.004, "0.4 %"), (0.5, "50 %"), (1.0, "100 %")])
def test_shares_are_written_as_people_read_them(share, text):
    assert percent(share) == text
