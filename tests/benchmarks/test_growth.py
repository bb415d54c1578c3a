"""The figure of growth: powers that are known come out of the records of doublings."""

import json

import pytest
from benchmarks.__main__ import record
from benchmarks.comparison import Outcome
from benchmarks.growth import comparisons, curves, picture, resident_growth, STATUS

from benchmarks import growth
from sigmae.errors import SigmaeError

MANY = 50_000_000  # bytes
PNG = b"\x89PNG"


def link(name, small, large, share, floor, unit="seconds"):
    return {
        "benchmark": "growth",
        "comparison": f"{name} {small} to {large}",
        "base": str(small),
        "ours": str(large),
        "share": share,
        "floor": floor,
        "unit": unit,
    }


RECORDS = [
    link("uae, mlp, latent size", 128, 1024, 64.0, 512.0),
    link("uae, mlp, latent size", 8, 16, 4.0, 8.0),
    link("uae, mlp, latent size", 16, 128, 64.0, 512.0),
    link("memory of uae, mlp, latent size", 8, 16, 2.0, 4.0, "bytes"),
    link("vae, mlp, batch", 10, 100, 10**0.5, 10.0),
    link("vae, mlp, batch", 1, 10, 10**0.5, 10.0) | {"benchmark": "peers"},
    {"benchmark": "growth", "comparison": "memory of 1,000 images on disk"},
]


def test_shares_are_chained_to_curves_of_known_powers():
    panels = curves(RECORDS)
    assert set(panels) == {("seconds", "latent size"), ("bytes", "latent size"), ("seconds", "batch")}
    curve = panels["seconds", "latent size"]["uae, mlp"]
    assert curve.sizes == [8, 16, 128, 1024]
    assert curve.measured == [1, 4, 256, 16384]
    assert curve.power(curve.measured) == pytest.approx(2)
    assert curve.power(curve.expected) == pytest.approx(3)
    batch = panels["seconds", "batch"]["vae, mlp"]
    assert (batch.power(batch.measured), batch.power(batch.expected)) == pytest.approx((0.5, 1))


def test_the_legend_tells_both_powers():
    drawn = picture(RECORDS, "svg").decode()
    assert "uae, mlp: 2.00 (3.00)" in drawn
    assert "uae, mlp: 1.00 (2.00)" in drawn
    assert "vae, mlp: 0.50 (1.00)" in drawn
    assert picture(RECORDS, "svg").decode() == drawn


def test_nothing_measured_is_said():
    with pytest.raises(SigmaeError, match="python -m benchmarks growth"):
        picture([])


def test_what_the_benchmark_writes_is_drawn(monkeypatch):
    monkeypatch.setattr(growth, "flops", lambda run: 1)
    found = comparisons(toy=True)
    records = [record("growth", Outcome(one, {side: [1.0] for side in one.sides}, None)) for one in found]
    panels = curves(json.loads(json.dumps(records)))
    grown = {"latent size", "batch", "image size"}
    assert set(panels) == {(unit, name) for unit in ("seconds", "bytes") for name in grown} | {("seconds", "images")}
    assert picture(records).startswith(PNG)


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells the memory of a process apart")
def test_growth_is_that_of_memory_which_is_held():
    assert resident_growth(lambda: b"1" * MANY) == pytest.approx(MANY, rel=0.1)
    assert resident_growth(lambda: None) < 0.1 * MANY
