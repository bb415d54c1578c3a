import gc

import pytest


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch):
    """With all of the tests in memory, a collection before every round takes longer than a toy."""
    monkeypatch.setattr(gc, "collect", lambda: 0)
