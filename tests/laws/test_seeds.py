"""Seeds: independent by purpose, the same everywhere, without a trace on the global generator."""

import pytest
import torch

from sigmae.seeds import derived_seed, generator, seeded


def test_derived_seeds_are_fixed_and_differ_by_purpose():
    assert derived_seed(0, "step", 1) == 2111436579075594638
    seeds = {derived_seed(seed, *purpose) for seed in range(3) for purpose in [("step", 1), ("step", 2), ("epoch", 1)]}
    assert len(seeds) == 9
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_generator_repeats_itself():
    assert torch.equal(torch.rand(3, generator=generator(1, "a")), torch.rand(3, generator=generator(1, "a")))


@pytest.mark.promise("The same seed", "The generators of torch and numpy that everyone shares are left as they were.")
def test_a_seeded_block_leaves_the_global_generator_as_it_was():
    state = torch.get_rng_state()
    with seeded(5, "block"):
        first = torch.rand(2)
    assert torch.equal(torch.get_rng_state(), state)
    with seeded(5, "block"):
        assert torch.equal(torch.rand(2), first)
