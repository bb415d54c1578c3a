import pytest
import torch

from sigmae import Dataset, Split


@pytest.fixture(scope="session")
def blobs() -> Dataset:
    """Small gray images whose brightness has two factors: enough to learn in a moment."""
    draw = torch.Generator().manual_seed(0)
    codes = torch.rand(200, 2, generator=draw)
    ramp = torch.linspace(0, 1, 6)
    images = (codes[:, :1, None] * ramp + codes[:, 1:, None] * ramp[:, None])[:, None] / 2
    pixels = (images * 255).round().to(torch.uint8)
    return Dataset("blobs", Split(pixels[:160]), Split(pixels[160:180]), Split(pixels[180:]))
