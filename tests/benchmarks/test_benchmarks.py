"""Every benchmark runs at toy size, on sides that compute the same; how fast they are is not looked at."""

import json
import math
from importlib import import_module

import pytest
from benchmarks.__main__ import comparisons, keep, main, NAMES
from benchmarks.training_step import ae, against_bare_loop, METHODS, new_loop, rae_l2, settings, WRITTEN

from sigmae.recipes import METHODS as RECIPES


def has_pythae():
    try:
        import_module("pythae.models")
    except ImportError:
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_runs_as_a_toy(name, tmp_path, capsys):
    main([name, "--toy", "--out", str(tmp_path / "benchmarks.json")])
    lines = capsys.readouterr().out.splitlines()
    if name == "peers" and not has_pythae():
        assert [line[:32] for line in lines] == ["Nothing is compared with pythae,"]
    else:
        told = [line.split(" | ") for line in lines]
        assert len(told) >= 1
        assert {first for first, *_ in told} == {name}
        assert len({second for _, second, _ in told}) == len(told)  # no two of one name
    assert not list(tmp_path.iterdir())


def test_the_networks_are_those_that_are_named():
    for setting in settings(toy=False):
        loop = new_loop(setting, "ae")
        assert tuple(loop.images.shape[1:]) == setting.shape
        assert loop.steps >= setting.steps
        kinds = {type(layer).__name__ for layer in loop.model.encoder.modules()}
        assert ("Conv2d" in kinds) == (setting.network == "conv")
    sizes = [tuple(weight.shape) for weight in new_loop(settings(toy=False)[0], "ae").model.encoder.parameters()]
    assert sizes[::2] == [(512, 784), (256, 512), (16, 256)]


def test_every_plain_method_is_a_recipe_and_those_written_out_agree_to_rounding():
    assert set(METHODS) <= set(RECIPES)
    for method in WRITTEN:
        difference = against_bare_loop(settings(toy=True)[0], method).agree()
        assert 0 <= difference < 1e-6


def test_a_loss_that_is_not_ours_is_found_out(monkeypatch):
    for method, other in {"rae-l2": ae, "wae-mmd": ae, "ae": rae_l2}.items():
        monkeypatch.setitem(WRITTEN, method, other)
        comparison = against_bare_loop(settings(toy=True)[1], method)
        assert not comparison.agree() <= comparison.tolerance


def test_the_exact_penalty_has_the_floor_of_its_products():
    """Encoder and decoder of the perceptron are mirror images, so that m tangents add m halves of a step."""
    for comparison in comparisons("penalty", True):
        if comparison.ours == "exact norm":
            assert math.isclose(comparison.floor, 9)
            assert math.isclose(comparison.goal, 1.15 * 9)


def test_numbers_are_replaced_where_they_stand_and_others_stay(tmp_path):
    path = tmp_path / "benchmarks.json"

    def found(**shares):
        return [{"benchmark": "b", "comparison": name, "share": share} for name, share in shares.items()]

    def kept():
        return [(one["benchmark"], one["comparison"], one["share"]) for one in json.loads(path.read_text())]

    path.write_text(json.dumps([{"benchmark": "a", "comparison": "one", "share": 9}, *found(one=1, two=2, three=3)]))
    keep(path, "b", found(two=5, four=4), whole=False)
    assert kept() == [("a", "one", 9), ("b", "one", 1), ("b", "two", 5), ("b", "three", 3), ("b", "four", 4)]
    keep(path, "b", found(three=6, one=7))
    assert kept() == [("a", "one", 9), ("b", "three", 6), ("b", "one", 7)]
