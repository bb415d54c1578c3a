"""The bandwidth: the published tables, its optimality, and how it is kept."""

import math

import pytest
import torch

from sigmae import bandwidth, SigmaeError
from sigmae.bandwidth import corrected_bandwidth, maximise, optimal_bandwidth
from sigmae.files import cache_folder, read_json

F64 = torch.float64
# Tables I and II of the aggregate VAE: h_opt (None: printed as > 1.0) and alpha h_opt, for 500, ..., 10,000 draws.
COUNTS = (500, 1000, 2000, 5000, 10_000)
PUBLISHED = {
    10: ((0.74, 0.70, 0.67, 0.63, 0.60), (0.60, 0.58, 0.56, 0.53, 0.51)),
    20: ((0.89, 0.86, 0.84, 0.80, 0.78), (0.67, 0.65, 0.64, 0.62, 0.61)),
    40: ((None, None, 0.98, 0.95, 0.93), (0.72, 0.71, 0.70, 0.69, 0.68)),
    50: ((None, None, None, 0.99, 0.98), (0.73, 0.72, 0.71, 0.70, 0.70)),
    70: ((None,) * 5, (0.74, 0.74, 0.73, 0.73, 0.72)),
    100: ((None,) * 5, (0.76, 0.75, 0.75, 0.74, 0.74)),
}


@pytest.fixture(autouse=True)
def _fresh_memory():
    optimal_bandwidth.cache_clear()
    yield
    optimal_bandwidth.cache_clear()


@pytest.fixture
def quick(monkeypatch, tmp_path):
    monkeypatch.setattr(bandwidth, "PAIRS", 100_000)
    monkeypatch.setenv("SIGMAE_CACHE", str(tmp_path))


def test_it_is_the_maximum_of_the_expected_log_density(quick, monkeypatch):
    """Against a grid search over independent draws, with the density written out by torch.distributions."""
    monkeypatch.setattr(bandwidth, "PAIRS", 1_000_000)
    latent_dim, count = 6, 200

    def expectation(h):
        draw = torch.Generator().manual_seed(1)
        total = 0.0
        for _ in range(15):
            bank, z = (torch.randn(n, latent_dim, generator=draw, dtype=F64) for n in (count, 200))
            kernels = torch.distributions.Normal(bank, h).log_prob(z[:, None]).sum(-1)
            total += kernels.logsumexp(1).mean().item()
        return total

    h = maximise(latent_dim, count)
    best = max((h * factor for factor in (0.9, 0.94, 0.98, 1.0, 1.02, 1.06, 1.1)), key=expectation)
    assert best == pytest.approx(h, rel=0.021)


def test_one_draw_alone_has_the_spread_of_a_difference(quick, monkeypatch):
    """E ||z - z'||² = 2 m, so h = sqrt 2 wherever the draw falls."""
    monkeypatch.setattr(bandwidth, "GROUP", 20)
    assert optimal_bandwidth(100, 1) == pytest.approx(math.sqrt(2), rel=0.02)


def test_more_draws_make_it_smaller_and_more_latents_larger(quick):
    values = [[optimal_bandwidth(latent, count) for count in (50, 300)] for latent in (4, 8, 16)]
    assert all(row == sorted(row, reverse=True) for row in values)
    assert all(list(column) == sorted(column) for column in zip(*values, strict=True))


def test_some_published_entries(quick, monkeypatch):
    monkeypatch.setattr(bandwidth, "PAIRS", 2_000_000)
    for latent, count in ((40, 2000), (100, 500), (100, 2000)):
        wide, corrected = (table[COUNTS.index(count)] for table in PUBLISHED[latent])
        h = maximise(latent, count)
        assert h > 1 if wide is None else h == pytest.approx(wide, abs=0.01)
        assert corrected_bandwidth(h) == pytest.approx(corrected, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("latent", PUBLISHED)
def test_both_published_tables(latent):
    for count, wide, corrected in zip(COUNTS, *PUBLISHED[latent], strict=True):
        h = optimal_bandwidth(latent, count)
        assert h > 1 if wide is None else h == pytest.approx(wide, abs=0.01)
        assert corrected_bandwidth(h) == pytest.approx(corrected, abs=0.01)


def test_the_correction_makes_the_estimate_have_unit_variance():
    for optimal in (0.05, 0.72, 1.02, 1.414):
        h, alpha = corrected_bandwidth(optimal), 1 / math.sqrt(1 + optimal**2)
        assert h == pytest.approx(alpha * optimal, rel=1e-14)
        assert alpha**2 == pytest.approx(1 - h**2, rel=1e-14)


@pytest.mark.parametrize(("optimal", "corrected"), [(0.72, 0.584), (1.02, 0.714), (1.12, 0.746), (0.47, 0.425)])
def test_corrected_values_of_the_authors_code(optimal, corrected):
    assert corrected_bandwidth(optimal) == pytest.approx(corrected, abs=5e-4)


def test_it_is_kept_in_a_file_and_a_second_process_does_not_compute_it(quick, monkeypatch, tmp_path):
    first = optimal_bandwidth(5, 60)
    (file,) = cache_folder("bandwidths").iterdir()
    assert file.is_relative_to(tmp_path)
    assert read_json(file) == first
    optimal_bandwidth.cache_clear()
    monkeypatch.setattr(bandwidth, "maximise", lambda *sizes: pytest.fail("computed again"))
    assert optimal_bandwidth(5, 60) == first


@pytest.mark.parametrize("content", ["", "{", "null", '"0.7"', "-1.0", "[0.7]", "0.0"])
def test_a_file_that_is_no_bandwidth_is_made_anew(quick, content):
    first = optimal_bandwidth(5, 60)
    (file,) = cache_folder("bandwidths").iterdir()
    file.write_text(content)
    optimal_bandwidth.cache_clear()
    assert optimal_bandwidth(5, 60) == first == read_json(file)


def test_a_cache_folder_that_cannot_be_written_is_no_error(quick, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    expected = optimal_bandwidth(5, 60)
    optimal_bandwidth.cache_clear()
    monkeypatch.setenv("SIGMAE_CACHE", str(blocked))
    assert optimal_bandwidth(5, 60) == expected


def test_it_touches_no_global_generator(quick):
    before = torch.get_rng_state()
    optimal_bandwidth(3, 70)
    assert torch.equal(torch.get_rng_state(), before)


def test_few_distances_are_held_at_once(monkeypatch):
    monkeypatch.setattr(bandwidth, "ELEMENTS", 1000)
    monkeypatch.setattr(bandwidth, "PAIRS", 100_000)
    chunks = list(bandwidth.chunks(3, 90))
    assert max(chunk.numel() for chunk in chunks) <= 1000
    assert sum(len(chunk) for chunk in chunks) % bandwidth.GROUP == 0


@pytest.mark.parametrize(("sizes", "words"), [((0, 5), "latent size of 1 or more"), ((5, 0), "number of draws of 1")])
def test_sizes_below_one_are_refused(sizes, words):
    with pytest.raises(SigmaeError, match=words):
        optimal_bandwidth(*sizes)
