import os
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def _fixed_seed():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """No test reads or fills the cache of the person who runs it."""
    monkeypatch.setenv("SIGMAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def real_data() -> Path:
    """The folder with the real MNIST and CIFAR-10 files."""
    folder = os.environ.get("SIGMAE_DATA")
    if not folder:
        pytest.skip("SIGMAE_DATA does not name a folder with mnist/ and cifar10/")
    return Path(folder).resolve()
