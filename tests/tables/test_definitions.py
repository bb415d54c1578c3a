"""The tables of the papers: complete, plannable, true in print, and with the papers' hyperparameters."""

from dataclasses import replace
from importlib import resources

import pytest

from sigmae.errors import SigmaeError
from sigmae.model import Autoencoder
from sigmae.recipes import method
from sigmae.settings import TrainingConfig
from sigmae.tables import Choices, definition_of, forecast, plan_table, TABLES
from sigmae.tables.claims import compared
from sigmae.tables.published import Number, Place, published_numbers

SCALES = ("smoke", "small", "paper")
LATER = "avae-later-"  # numbers of versions that are no table here
IMAGES = {"mnist": 50_000, "celeba": 162_770, "chairs": 69_094}


def published_files() -> list[str]:
    files = (resources.files("sigmae.tables") / "published").iterdir()
    return sorted(file.name for file in files if not file.name.startswith(LATER))


def printed(name: str) -> dict[Place, float]:
    """The numbers of a table in print, without those that are bounds."""
    published = definition_of(name).published
    numbers = published_numbers(published) if published else {}
    return {place: number.value for place, number in numbers.items() if not number.bound}


def run_of(table: str, row: str, data: str, column: str | None = None):
    """The first run of a number at the paper's scale."""
    return next(
        entry.cells[0]
        for entry in plan_table(definition_of(table), "paper").entries
        if (entry.place.row, entry.place.data) == (row, data) and column in (None, entry.place.column)
    )


def runs_of(table: str) -> dict[tuple[str, str], object]:
    """A run of every row on every data set at the paper's scale."""
    entries = plan_table(definition_of(table), "paper").entries
    return {(entry.place.row, entry.place.data): entry.cells[0] for entry in entries}


def test_the_tables_are_those_of_the_issue():
    figures = {"rae-figure-1", "rae-figure-2", "sampling-free-figure-1", "sampling-free-figure-2"}
    assert set(TABLES) == {
        *(f"avae-table-{number}" for number in range(1, 8)),
        *(f"ar-elbo-table-{number}" for number in (1, 3, 4, 5)),
        *(f"sampling-free-table-{number}" for number in range(1, 6)),
        *figures,
        *(f"sampling-free-figure-{number}" for number in ("4", "c1", "c2")),
        *("rae-table-1", "rae-table-2", "uae-table-2", "uae-sigma-points"),
    }
    assert all(TABLES.values())


@pytest.mark.parametrize("file", published_files())
def test_every_published_number_has_a_place(file):
    plans = [plan_table(found, "paper") for found in map(definition_of, TABLES) if found.published == file]
    assert plans
    for plan in plans:
        places = [entry.place for entry in plan.entries]
        assert len(set(places)) == len(places)
    shown = {entry.place: entry.published for plan in plans for entry in plan.entries if entry.published}
    assert shown == published_numbers(file)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_plans_at_every_scale(name):
    found = definition_of(name)
    assert found.title == TABLES[name]
    assert set(found.scales) == set(SCALES)
    for scale in SCALES:
        plan = plan_table(found, scale)
        assert plan.entries
        assert all(entry.measure for entry in plan.entries)
        assert plan.deviations
        assert bool(plan.cells) == (found.measured_by == "runs")
        for entry in plan.entries:
            assert [cell.training.seed for cell in entry.cells] == list(range(len(entry.cells)))
    trained = found.measured_by == "runs"
    assert bool(found.scales["smoke"].deviations)
    assert bool(found.scales["small"].deviations) == trained
    assert not found.scales["paper"].deviations


def kinds(config) -> str:
    """What decides which networks a model has: all but the numbers of its objective."""
    parts = {
        axis: {name: value for name, value in part.items() if not isinstance(value, float)}
        for axis, part in config.objective.items()
    }
    return repr((config.shape, config.latent_dim, config.network, parts))


SLOW = [pytest.param(scale, marks=pytest.mark.slow) for scale in ("small", "paper")]


@pytest.mark.parametrize("scale", ["smoke", *SLOW])
def test_every_run_can_be_configured_and_its_networks_built(scale, monkeypatch):
    build, built = Autoencoder.build, {}

    def once(config, **more):
        if kinds(config) not in built:
            built[kinds(config)] = build(config, **more)
        return built[kinds(config)]

    monkeypatch.setattr(Autoencoder, "build", once)
    monkeypatch.setattr(forecast, "operations", lambda network, example: 1)  # which takes half of the time
    cells = {cell.without_seed for name in TABLES for cell in plan_table(definition_of(name), scale).cells}
    for cell in cells:
        steps, operations = forecast.cost.__wrapped__(cell)  # past its cache, which other tests read
        assert min(steps, operations) > 0, cell
    assert len(built) > 10


@pytest.mark.parametrize("name", TABLES)
def test_every_claim_holds_in_print(name):
    found, numbers = definition_of(name), printed(name)
    for claim in found.claims:
        if claim.near is None and numbers:
            assert compared(claim, numbers, list(found.rows)).holds, claim.says


@pytest.mark.parametrize("name", TABLES)
def test_every_claim_compares_numbers_of_the_table(name):
    found = definition_of(name)
    numbers = {entry.place: 0.0 for entry in plan_table(found, "paper").entries}
    for claim in found.claims:
        if claim.near is None:
            assert compared(claim, numbers, list(found.rows)).of, claim.says


@pytest.mark.parametrize(
    ("file", "row", "data", "column", "number"),
    [
        ("ar-elbo-table-1.csv", "stochastic log10(sigma_x^2)=0.0", "MNIST", "MSE", Number(52.74)),
        ("ar-elbo-table-5.csv", "Iso-I AR-ELBO fixed log10(sigma_z^2)=1.0", "MNIST", "KL", Number(26.79)),
        ("ar-elbo-table-5.csv", "Iso-I AR-ELBO fixed log10(sigma_z^2)=0.9", "MNIST", "KL", Number(19.48)),
        ("ar-elbo-table-3.csv", "Iso-I AR-ELBO", "MNIST", "MSE", Number(4.40)),
        ("ar-elbo-table-3.csv", "Iso-I AR-ELBO", "CelebA", "MSE", Number(62.02)),
        ("avae-table-5.csv", "AVAE", "MNIST", "KL_agg_to_prior", 0.31),
        ("avae-table-5.csv", "AVAE", "CelebA", "KL_agg_to_prior", 1.63),
        ("avae-table-6.csv", "AVAE", "CIFAR10", "entropy_whitened_KDE", Number(55.64, 0.0)),
        ("avae-table-6.csv", "Standard Normal", "MNIST", "entropy_whitened_KDE", 8.0),
        ("avae-table-6.csv", "Standard Normal", "CIFAR10", "entropy_whitened_KDE", 64.0),
        ("sampling-free-table-1.csv", "Taylor(1 point)", "CelebA", "cov_frob_sq", Number(297.0)),
        ("sampling-free-tables-2-5.csv", "Sampling-Free VAE", "CelebA", "logML", Number(-7244.9, 0.6)),
        ("sampling-free-table-3.csv", "Sampling-Free (ours)", "MNIST", "NLL", Number(26.18)),
        ("sampling-free-table-3.csv", "vanilla VAE", "MNIST", "NLL_train_k=1", Number(27.61)),
        ("sampling-free-table-3.csv", "IWAE", "MNIST", "NLL_train_k=1", Number(27.62)),
    ],
)
def test_published_values_are_those_that_the_papers_argue_from(file, row, data, column, number):
    found = published_numbers(file)[Place(row, column, data)]
    assert found == number if isinstance(number, Number) else found.value == number


def test_the_end_of_the_collapse_study_is_as_printed():
    numbers = printed("sampling-free-table-4")
    columns = ("eps_delta_collapse_percent", "reconstruction_error", "KL")
    found = {
        row: [numbers[Place(row, f"{column}@{steps}_steps", "MNIST-1000 full batch")] for column in columns]
        for row, steps in (("Sampling-Free VAE", 1000), ("Sampling VAE", 100))
    }
    assert found == {"Sampling-Free VAE": [0.6, 9.8, 4.2], "Sampling VAE": [99.0, 172.5, 0.1]}


def test_a_bound_is_no_number_to_compare():
    bounds = {place: number for place, number in published_numbers("avae-tables-1-2.csv").items() if number.bound}
    assert bounds
    assert all(number.value == 1.0 for number in bounds.values())


def test_the_kl_of_a_collapsed_posterior_is_that_of_eight_latents():
    """KL = m/2 (s² - ln s² - 1) at s² = 10 with a mean of 0: the numbers prove m = 8."""
    from math import log

    numbers = printed("ar-elbo-table-5")
    kl = numbers[Place("Iso-I AR-ELBO fixed log10(sigma_z^2)=1.0", "KL", "MNIST")]
    assert kl == pytest.approx(8 / 2 * (10 - log(10) - 1), abs=0.005)
    assert {cell.latent_dim for cell in runs_of("ar-elbo-table-5").values()} == {8}


TRAINING = {  # paper-facts, section 11: epochs, lr, batch size, patience of the schedule, weights kept, latent size
    ("uae-table-2", "UAE", "FashionMNIST"): (100, 5e-3, 64, 5, "best", 64),
    ("uae-table-2", "VAE", "CIFAR10"): (100, 5e-3, 64, 5, "best", 128),
    ("uae-table-2", "UT-VAE*-full", "CelebA"): (100, 5e-3, 64, 5, "best", 64),
    ("rae-table-1", "RAE-L2", "MNIST"): (100, 5e-4, 100, 5, "best", 16),
    ("rae-table-1", "WAE", "MNIST"): (100, 1e-3, 100, 5, "best", 16),
    ("rae-table-1", "CV-VAE", "CIFAR10"): (100, 1e-4, 100, 5, "best", 128),
    ("rae-table-1", "RAE-SN", "CelebA"): (70, 1e-3, 100, 5, "best", 64),
    ("rae-table-1", "VAE", "CelebA"): (70, 1e-4, 1000, 5, "best", 64),
    ("avae-table-3", "AVAE", "MNIST"): (50, 5e-4, 100, 5, "last", 16),
    ("avae-table-3", "VAE", "MNIST"): (100, 5e-4, 100, 5, "last", 16),
    ("avae-table-3", "beta-TCVAE", "MNIST"): (100, 5e-4, 100, 5, "last", 16),
    ("avae-table-3", "VAE", "CelebA"): (50, 5e-4, 100, 5, "last", 64),
    ("avae-table-5", "AAE", "CIFAR10"): (100, 5e-4, 100, 5, "last", 128),
    ("avae-table-7", "AVAE", "DSprites"): (35, 5e-4, 100, 5, "best", 6),
    ("avae-table-7", "VAE", "3DShapes"): (60, 5e-4, 100, 5, "best", 6),
    ("ar-elbo-table-1", "stochastic log10(sigma_x^2)=-0.5", "MNIST"): (200, 1e-3, 64, 1000, "last", 8),
    ("ar-elbo-table-5", "Iso-I AR-ELBO fixed log10(sigma_z^2)=0.0", "MNIST"): (200, 1e-3, 64, 1000, "last", 8),
    ("ar-elbo-table-3", "Iso-I AR-ELBO", "MNIST"): (100, 1e-3, 64, 3, "best", 16),
    ("ar-elbo-table-4", "WAE-MMD", "CelebA"): (70, 2e-4, 64, 3, "best", 64),
    ("sampling-free-table-3", "IWAE", "Omniglot"): (3280, 1e-3, 20, 5, "best", 50),
    ("sampling-free-figure-2", "Sampling VAE", "MNIST"): (64, 1e-4, 64, 100_000, "last", 2),
}


@pytest.mark.parametrize("place", TRAINING, ids=" ".join)
def test_training_is_as_published(place):
    table, row, data = place
    cell = run_of(table, row, data)
    training = cell.training
    assert (
        training.epochs,
        training.lr,
        training.batch_size,
        training.plateau_patience,
        training.keep,
        cell.latent_dim,
    ) == TRAINING[place]
    assert (training.plateau_factor, training.precision, training.clip) == (0.5, "32", None)
    assert cell.limit is None


@pytest.mark.parametrize(
    ("table", "seeds"),
    [
        *(("avae-table-3", 5), ("avae-table-6", 5), ("avae-table-7", 10)),
        *(("sampling-free-table-2", 3), ("sampling-free-table-3", 5), ("sampling-free-table-4", 10)),
        *(("rae-table-1", 1), ("uae-table-2", 1), ("ar-elbo-table-1", 1)),
    ],
)
def test_seeds_are_as_published(table, seeds):
    assert definition_of(table).scales["paper"].seeds == seeds


@pytest.mark.parametrize(
    ("table", "row", "data", "steps", "within"),
    [
        ("sampling-free-table-2", "Sampling-Free VAE", "CelebA", 1_000_000, 1000),
        ("sampling-free-table-2", "Sampling VAE", "3DChairs", 1_000_000, 1000),
        ("sampling-free-table-2", "Sampling-Free VAE (matching budget 650k steps)", "CelebA", 650_000, 2000),
        ("sampling-free-table-2", "Sampling-Free VAE (matching budget 650k steps)", "3DChairs", 650_000, 2000),
        ("sampling-free-figure-2", "Sampling-Free VAE", "MNIST", 50_000, 100),
    ],
)
def test_lengths_in_steps_are_as_published(table, row, data, steps, within):
    cell = run_of(table, row, data)
    assert IMAGES[cell.source] // cell.training.batch_size * cell.training.epochs == pytest.approx(steps, abs=within)


def test_the_collapse_study_takes_the_printed_steps_of_the_full_batch():
    for columns, steps in (("KL@100_steps", 100), ("KL@1000_steps", 1000)):
        cell = run_of("sampling-free-table-4", "Sampling VAE", "MNIST-1000 full batch", columns)
        assert (cell.limit, cell.training.batch_size, cell.training.epochs) == (1000, 1000, steps)
        assert (cell.latent_dim, cell.network, cell.training.lr) == (200, "mlp", 1e-3)
        assert cell.settings == ("network.init=kaiming",)


def test_the_estimators_of_table_3_have_the_printed_numbers_of_samples():
    for k in (1, 5, 20, 50, 100, 200):
        cell = run_of("sampling-free-table-3", "Stick", "MNIST", f"NLL_train_k={k}")
        assert f"propagation.count={k}" in cell.settings
        assert "network.hidden=[200,200]" in cell.settings
        assert "network.activation=tanh" in cell.settings
    assert definition_of("sampling-free-table-3").scales["paper"].points == 5000
    assert definition_of("sampling-free-table-2").scales["paper"].points == 50_000


def test_the_variances_of_the_sweeps_are_tenths_of_a_decade():
    for table, name, exponents in (
        ("ar-elbo-table-1", "likelihood.variance", [-step / 10 for step in range(11)]),
        ("ar-elbo-table-5", "posterior.variance", [1 - step / 10 for step in range(21)]),
    ):
        cells = [cell for (row, _), cell in runs_of(table).items() if not row.startswith("deterministic")]
        settings = [setting.partition("=") for cell in cells for setting in cell.settings]
        found = [float(value) for setting, _, value in settings if setting == name]
        assert found == pytest.approx([10**exponent for exponent in exponents], rel=1e-5)
        labels = [float(row.rpartition("=")[2]) for row, _ in runs_of(table) if not row.startswith("deterministic")]
        assert labels == pytest.approx(exponents)


def parts_of(cell) -> dict[str, dict[str, object]]:
    """The parts of a run's objective, by the axis; data are not loaded."""
    from sigmae.config import objective_config, with_settings

    chosen = [setting for setting in cell.settings if not setting.startswith("network.")]
    return objective_config(with_settings(method(cell.method).objective(cell.source), chosen))


WEIGHTS = {  # Table XI of the aggregate paper, and section 3.2 for the RAE code
    ("avae-table-7", "beta-TCVAE", "DSprites"): {"latent.weight": 4.0, "likelihood.type": "Bernoulli"},  # beta 5
    ("avae-table-7", "beta-TCVAE", "3DShapes"): {"latent.weight": 4.0, "likelihood.type": "Gaussian"},
    ("avae-table-3", "beta-TCVAE", "MNIST"): {"latent.weight": 1.0, "likelihood.variance": 0.5},  # beta 2
    ("avae-table-7", "RAE", "DSprites"): {
        "latent.weight": pytest.approx(1e-4 * 4096 / 6, rel=0.01),
        "decoder.weight": pytest.approx(1e-6 * 4096, rel=0.01),
        "likelihood.type": "Bernoulli",
    },
    ("avae-table-7", "RAE", "3DShapes"): {
        "latent.weight": pytest.approx(1e-4 * 12288 / 6, rel=0.01),
        "decoder.weight": pytest.approx(1e-6 * 12288, rel=0.01),
    },
    ("avae-table-3", "RAE", "MNIST"): {
        "latent.weight": pytest.approx(1e-4 * 1024 / 16, rel=0.01),
        "decoder.weight": pytest.approx(1e-7 * 1024, rel=0.03),
    },
    ("avae-table-3", "RAE", "CIFAR10"): {
        "latent.weight": pytest.approx(1e-3 * 3072 / 128, rel=0.01),
        "decoder.weight": pytest.approx(1e-6 * 3072, rel=0.01),
    },
    ("avae-table-3", "RAE", "CelebA"): {
        "latent.weight": pytest.approx(1e-4 * 12288 / 64 / 4, rel=0.01),  # of images in [0, 1], a quarter of the error
        "decoder.weight": pytest.approx(1e-7 * 12288 / 4, rel=0.03),
    },
    ("avae-table-3", "VAE", "CelebA"): {"likelihood.variance": 0.5 / 4},
    ("avae-table-3", "AAE", "CelebA"): {"likelihood.weight": 0.05 * 4},
    ("avae-table-7", "WAE", "DSprites"): {"latent.weight": 10.0, "likelihood.weight": 0.05},
    ("avae-table-3", "WAE", "CIFAR10"): {"latent.weight": 100.0, "likelihood.weight": 0.05},
    ("avae-table-3", "WAE", "CelebA"): {"latent.weight": 100.0, "likelihood.weight": 0.05 * 4},
    ("avae-table-7", "AAE", "3DShapes"): {"latent.weight": 1.0, "latent.hidden": (1024, 1024, 1024)},
    ("avae-table-3", "AAE", "CIFAR10"): {"latent.weight": 1.0, "latent.hidden": (1024, 4096, 1024)},
    ("avae-table-3", "AAE", "MNIST"): {"latent.hidden": (100, 100, 100), "likelihood.weight": 0.05},
    ("avae-table-3", "AVAE", "MNIST"): {"latent.bank": 10_000, "latent.redraw_every": 1, "latent.refresh_every": 10},
    ("avae-table-3", "AVAE", "CelebA"): {"latent.bank": 20_000},
    ("avae-table-7", "AVAE", "DSprites"): {"latent.bank": 10_000, "likelihood.type": "Bernoulli"},
    ("rae-table-1", "VAE", "CIFAR10"): {"latent.weight": pytest.approx(0.024 * 3), "likelihood.variance": 0.5},
    ("rae-table-1", "WAE", "MNIST"): {"likelihood.weight": 1.0, "latent.weight": pytest.approx(0.03 * 1024, rel=0.01)},
    ("rae-table-1", "WAE", "CIFAR10"): {
        "likelihood.weight": 1.0,
        "latent.weight": pytest.approx(0.006 * 3072, rel=0.01),
    },
    ("rae-table-1", "WAE", "CelebA"): {"likelihood.weight": 0.05, "latent.weight": 100.0},
    ("rae-table-1", "VAE", "CelebA"): {"latent.weight": pytest.approx(0.09024 * 3, rel=0.01)},
    ("rae-table-1", "CV-VAE", "MNIST"): {"latent.weight": 0.039, "posterior.scale": 0.7},
    ("rae-table-1", "RAE-SN", "CelebA"): {"latent.weight": pytest.approx(2.4e-3 * 192, rel=0.01)},
    ("rae-table-1", "RAE", "CIFAR10"): {"latent.weight": pytest.approx(0.01 * 24)},
    ("uae-table-2", "VAE", "CelebA"): {"latent.weight": pytest.approx(2.5e-4 * 12288, rel=0.01), "latent.type": "KL"},
    ("uae-table-2", "VAE", "FashionMNIST"): {"latent.weight": 0.256, "propagation.type": "MonteCarlo"},
    ("uae-table-2", "VAE*", "CIFAR10"): {"latent.weight": 0.768, "latent.type": "Wasserstein2"},
    ("uae-table-2", "UAE", "FashionMNIST"): {"posterior.type": "FullGaussian", "propagation.count": 1},
    ("ar-elbo-table-3", "VAE (sigma_x^2=1.0)", "MNIST"): {"likelihood.variance": 1.0, "latent.weight": 1.0},
    ("ar-elbo-table-3", "WAE-MMD", "CelebA"): {"latent.weight": 100.0, "likelihood.weight": 0.05},
    ("ar-elbo-table-1", "deterministic log10(sigma_x^2)=-1.0", "MNIST"): {
        "posterior.type": "Delta",
        "likelihood.variance": 0.1,
        "latent.type": "SquaredNorm",
        "latent.weight": 0.5,
    },
    ("sampling-free-table-2", "Sampling-Free VAE", "CelebA"): {"propagation.gamma": 0.5, "likelihood.variance": 0.5},
    ("sampling-free-table-3", "vanilla VAE", "MNIST"): {"likelihood.variance": 0.5, "latent.weight": 1.0},
}


@pytest.mark.parametrize("place", WEIGHTS, ids=" ".join)
def test_weights_are_as_published(place):
    parts = parts_of(run_of(*place))
    found = {f"{axis}.{name}": value for axis, part in parts.items() for name, value in part.items()}
    for name, value in WEIGHTS[place].items():
        given = tuple(found[name]) if isinstance(value, tuple) else found[name]
        assert given == value, name


@pytest.mark.parametrize(
    ("table", "row", "data", "network", "image_size"),
    [
        ("rae-table-1", "RAE", "MNIST", "rae-mnist", 32),
        ("rae-table-1", "RAE", "CIFAR10", "rae-cifar10", None),
        ("avae-table-3", "AVAE", "MNIST", "avae-mnist", 32),
        ("avae-table-4", "AVAE", "CelebA", "avae-celeba", 64),
        ("avae-table-7", "AVAE", "3DShapes", "avae-factors", None),
        ("ar-elbo-table-1", "stochastic log10(sigma_x^2)=0.0", "MNIST", "ar-elbo-smoothness", None),
        ("ar-elbo-table-3", "AE", "MNIST", "ar-elbo-mnist", None),
        ("uae-table-2", "UAE", "FashionMNIST", "uae", 32),
        ("sampling-free-table-1", "Taylor(1 point)", "3DChairs", "beta-vae", 64),
    ],
)
def test_networks_are_those_of_the_table(table, row, data, network, image_size):
    cell = run_of(table, row, data)
    assert (cell.network, cell.image_size) == (network, image_size)


def test_distances_are_in_inception_features_at_the_scale_of_the_papers():
    for name in TABLES:
        plan = plan_table(definition_of(name), "paper")
        if {"fid", "prd"} & set(plan.scoring.metrics) and any("fid" in entry.measure for entry in plan.entries):
            assert plan.scoring.features == "inception", name


def test_smoothness_and_collapse_are_studied_on_the_training_images():
    for name in ("ar-elbo-table-1", "ar-elbo-table-5", "sampling-free-table-4"):
        assert plan_table(definition_of(name), "paper").scoring.split == "train"


def test_the_runs_of_one_table_are_those_of_its_sister():
    for sister, table in (("rae-table-2", "rae-table-1"), ("avae-table-5", "avae-table-3")):
        cells = set(plan_table(definition_of(table), "paper").cells)
        assert set(plan_table(definition_of(sister), "paper").cells) == cells


def test_columns_of_other_epochs_are_other_runs():
    plan = plan_table(definition_of("sampling-free-table-4"), "paper", Choices(seeds=1))
    assert sorted({cell.training.epochs for cell in plan.cells}) == [100, 1000]
    assert len(plan.cells) == 4


def test_rows_without_columns_of_their_own_have_what_is_in_print():
    entries = plan_table(definition_of("ar-elbo-table-3"), "paper").entries
    unpublished = [(entry.place.row, entry.place.column) for entry in entries if entry.published is None]
    assert set(unpublished) == {("Iso-I trainable", "sigma_x^2"), ("Iso-I AR-ELBO", "sigma_x^2")} & set(unpublished)
    assert ("AE", "FID_prior") not in {(entry.place.row, entry.place.column) for entry in entries}


def test_two_numbers_in_one_place_are_refused(monkeypatch, tmp_path):
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "twice.csv").write_text("method,dataset,metric,value,std\nA,B,C,1,\nA,B,C,2,\n")
    monkeypatch.setattr("sigmae.tables.published.folder", lambda name: tmp_path / name)
    with pytest.raises(SigmaeError, match="two numbers"):
        published_numbers("twice.csv")


def test_choices_narrow_a_plan_in_the_tables_order():
    found = definition_of("rae-table-1")
    plan = plan_table(found, "paper", Choices(rows=("AE", "VAE"), data=("MNIST",), seeds=2, features="random"))
    assert list(dict.fromkeys(entry.place.row for entry in plan.entries)) == ["VAE", "AE"]
    assert {entry.place.data for entry in plan.entries} == {"MNIST"}
    assert plan.scoring.features == "random"
    assert {cell.training for cell in plan.cells if cell.method == "ae"} == {
        replace(TrainingConfig(epochs=100, lr=5e-4, batch_size=100), seed=seed) for seed in (0, 1)
    }
