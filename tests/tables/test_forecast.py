"""A forecast: operations by hand, steps as they are made, data that are missing, and nothing trained."""

from itertools import pairwise

import pytest

from sigmae.data import load
from sigmae.data.names import SIZES
from sigmae.propagations import Linearized, Mean, MonteCarlo, SigmaPoints
from sigmae.settings import TrainingConfig
from sigmae.studies.cells import Cell
from sigmae.tables import Choices, definition_of, plan_table
from sigmae.tables.forecast import cost, duration, forecast, forecast_lines, forecast_record, found, points
from sigmae.tables.pace import seconds_of_steps, step_seconds

PIXELS, LATENTS = 64, 2
TWICE_BACK = 3  # a forward pass, and a backward pass of twice as much


def dense(*sizes: int) -> int:
    """Multiplications and additions of dense layers."""
    return sum(2 * before * after for before, after in pairwise(sizes))


ENCODER, MEAN_ENCODER = dense(PIXELS, 16, 2 * LATENTS), dense(PIXELS, 16, LATENTS)
DECODER = dense(LATENTS, 16, PIXELS)


def cell(method: str = "vae", *settings: str, **training) -> Cell:
    options = TrainingConfig(**{"epochs": 2, "batch_size": 100, **training})
    return Cell("digits", method, LATENTS, "mlp", ("network.hidden=[16]", *settings), training=options)


@pytest.mark.parametrize(
    ("method", "settings", "an_example"),
    [
        ("vae", (), ENCODER + DECODER),
        ("vae", ("propagation.count=5",), ENCODER + 5 * DECODER),
        ("ae", (), MEAN_ENCODER + DECODER),
        ("ut-vae", ("propagation.scheme=all",), ENCODER + 5 * DECODER),
        ("ut-vae", ("propagation.count=4", "propagation.scheme=pairs"), ENCODER + 4 * DECODER),
        ("sampling-free", (), ENCODER + 3 * DECODER),
        ("sampling-free", ("propagation.share=0.5",), ENCODER + 2 * DECODER),
    ],
)
def test_the_operations_of_a_perceptron(method, settings, an_example):
    steps = 1439 // 100 * 2
    assert cost(cell(method, *settings)) == (steps, steps * 100 * TWICE_BACK * an_example)


def test_steps_follow_batches_epochs_and_the_limit():
    assert cost(cell(batch_size=7, epochs=3))[0] == 1439 // 7 * 3
    limited = Cell("digits", "vae", LATENTS, limit=50, training=TrainingConfig(batch_size=20, epochs=4))
    assert cost(limited)[0] == 50 // 20 * 4
    assert cost(Cell("digits", "vae", LATENTS, limit=10**6, training=TrainingConfig(epochs=1)))[0] == 14


def test_a_bank_that_no_step_trains_on_is_left_out():
    """The default bank of 10,000 is a quarter of the digits: 359 of 1,439."""
    assert cost(cell("avae"))[0] == (1439 - 359) // 100 * 2
    assert cost(cell("avae", "latent.bank=39"))[0] == 1400 // 100 * 2
    assert cost(cell("avae-queue"))[0] == 1439 // 100 * 2


def test_an_image_size_is_that_of_the_networks():
    small = Cell("mnist", "vae", LATENTS, "mlp", image_size=8, training=TrainingConfig(epochs=1))
    assert cost(small)[1] == 500 * 100 * TWICE_BACK * (dense(64, 512, 256, 4) + dense(2, 256, 512, 64))


def test_the_points_of_every_propagation():
    assert points(Mean(), 8) == 1
    assert points(MonteCarlo(3), 8) == 3
    assert points(SigmaPoints(2), 8) == 2
    assert points(SigmaPoints(scheme="all"), 8) == 17
    assert points(Linearized(share=0.25), 8) == 3


def test_data_of_unknown_size_have_no_cost(tmp_path):
    assert cost(Cell(str(tmp_path / "images.npy"), "vae")) is None


@pytest.mark.parametrize("name", ["digits", "sprites"])
def test_the_sizes_of_data_that_ship(name):
    data = load(name)
    assert SIZES[name] == (len(data.train), data.shape)


def test_the_sizes_of_data_at_hand(real_data):
    data = load("mnist", data_dir=real_data)
    assert SIZES["mnist"] == (len(data.train), data.shape)
    assert SIZES["cifar10"][1] == load("cifar10", data_dir=real_data, limit=3).shape  # of which a part may be at hand


@pytest.fixture(autouse=True)
def known_speed(monkeypatch):
    """A machine whose speed is not measured: that takes seconds."""
    monkeypatch.setattr("sigmae.tables.forecast.speed", lambda: 1e9)
    monkeypatch.setattr("sigmae.tables.pace.step_seconds", lambda cell: 0.5)


def groups_of(table: str, tmp_path, scale: str = "paper", **choices):
    plan = plan_table(definition_of(table), scale, Choices(**choices))
    return plan, forecast(plan, tmp_path / "cells")


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No data but those that ship."""
    monkeypatch.delenv("SIGMAE_DATA", raising=False)
    monkeypatch.setenv("SIGMAE_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("nowhere")
def test_groups_count_rows_seeds_and_runs(tmp_path):
    plan, groups = groups_of("avae-table-3", tmp_path, rows=("VAE", "AVAE"))
    assert [group.source for group in groups] == ["mnist", "celeba", "cifar10"]
    assert {(group.labels, group.seeds, group.runs, group.complete) for group in groups} == {(2, 5, 10, 0)}
    mnist = groups[0]
    alone = [cost(cell) for cell in plan.cells if cell.source == "mnist"]
    assert (mnist.steps, mnist.operations) == tuple(map(sum, zip(*alone, strict=True)))
    assert mnist.steps == 5 * (500 * 100 + 400 * 50)  # AVAE keeps 10,000 images for its bank


@pytest.mark.usefixtures("nowhere")
def test_missing_data_are_told_with_their_files(tmp_path):
    plan, groups = groups_of("rae-table-1", tmp_path, rows=("AE",))
    lines = "\n".join(forecast_lines(plan, groups))
    assert "CelebA is not downloaded by this library: put img_align_celeba.zip" in lines
    assert "list_eval_partition.txt" in lines
    assert "The files of mnist will be downloaded" in lines
    assert "celeba: 1 rows x 1 seeds, 0 of 1 runs complete" in lines
    assert not (tmp_path / "cells").exists()


def test_data_of_the_hub_and_of_a_third_party_are_no_missing_paths():
    assert found(Cell("hf:somebody/pictures", "ae")).advice.startswith("Fetched from the Hugging Face hub")
    assert found(Cell("module:attribute", "ae")).advice == ""
    assert found(Cell("./nowhere", "ae")).advice == "There is nothing at nowhere."


@pytest.mark.usefixtures("nowhere")
def test_a_forecast_in_words_and_as_a_record(tmp_path):
    plan, groups = groups_of("rae-table-1", tmp_path, "smoke")
    lines = list(forecast_lines(plan, groups))
    assert lines[0].startswith("Fréchet distances of reconstructions, samples and interpolations (From")
    assert lines[1] == "32 numbers by fid"
    assert "digits: 8 rows x 1 seeds, 0 of 8 runs complete, 40 steps to go" in lines
    assert "  data: built in" in lines
    assert lines[-1 - len(plan.deviations)].startswith("Training takes about 20 seconds here")
    assert [line[2:] for line in lines if line.startswith("- ")] == plan.deviations
    record = forecast_record(plan, groups)
    assert (record["table"], record["scale"], record["deviations"]) == ("rae-table-1", "smoke", plan.deviations)
    assert record["groups"][0]["where"] == {"folder": None, "advice": ""}
    assert record["groups"][0]["steps"] == 40
    assert record["least_seconds"] == groups[0].operations / 1e9
    assert record["seconds"] == record["groups"][0]["seconds"] == 40 * 0.5


def test_without_a_timed_step_a_forecast_tells_the_least_time(tmp_path, monkeypatch):
    monkeypatch.setattr("sigmae.tables.pace.LONGEST", 0.0)
    plan, groups = groups_of("rae-table-1", tmp_path, "smoke")
    lines = list(forecast_lines(plan, groups))
    least = duration(groups[0].operations / 1e9)
    assert lines[-1 - len(plan.deviations)].startswith(f"Training takes {least} at the least")
    assert groups[0].seconds is None
    assert forecast_record(plan, groups)["seconds"] is None


def test_runs_that_are_not_tried_take_as_much_longer_than_their_arithmetic_as_the_others(monkeypatch):
    short, middle, long = (Cell("digits", "ae", latent_dim=latents) for latents in (1, 2, 3))
    monkeypatch.setattr("sigmae.tables.pace.step_seconds", {short: 3.0, middle: 8.0}.__getitem__)
    found = seconds_of_steps({short: 1.0, middle: 2.0, long: 10.0})
    assert found == {short: 3.0, middle: 8.0, long: 35.0}


def test_no_run_is_tried_once_the_time_is_over(monkeypatch):
    cells = [Cell("digits", "ae", latent_dim=latents) for latents in (1, 2, 3)]
    clock = iter([0.0, 1.0, 21.0, 22.0])
    monkeypatch.setattr("sigmae.tables.pace.time.monotonic", lambda: next(clock))
    assert seconds_of_steps(dict.fromkeys(cells, 0.25)) == dict.fromkeys(cells, 0.5)


@pytest.mark.parametrize("method", ["vae", "avae", "aae", "sampling-free"])
def test_steps_are_timed_on_images_like_those_of_the_run(method):
    assert step_seconds(cell(method, batch_size=20)) > 0


def test_what_is_complete_is_not_timed(tmp_path, monkeypatch):
    monkeypatch.setattr("sigmae.tables.forecast.is_complete", lambda *arguments: True)
    monkeypatch.setattr("sigmae.tables.pace.step_seconds", lambda cell: pytest.fail("a complete run was tried"))
    plan, groups = groups_of("rae-table-1", tmp_path, "smoke")
    assert (groups[0].steps, groups[0].seconds) == (0, 0)
    assert any(line.startswith("Training takes about 0 seconds") for line in forecast_lines(plan, groups))


def test_tables_of_bandwidths_train_nothing(tmp_path):
    plan, groups = groups_of("avae-table-1", tmp_path)
    assert groups == []
    assert "Nothing is trained." in list(forecast_lines(plan, groups))


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        *((1.4, "1 seconds"), (119, "119 seconds"), (120, "2.0 minutes"), (7199, "120.0 minutes")),
        *((7200, "2.0 hours"), (172_800, "2.0 days"), (0, "0 seconds")),
    ],
)
def test_durations(seconds, told):
    assert duration(seconds) == told
