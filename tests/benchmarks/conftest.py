import gc
import warnings

import jaxtyping
import pytest


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch):
    """With all of the tests in memory, a collection before every round takes longer than a toy."""
    monkeypatch.setattr(gc, "collect", lambda *_: 0)


@pytest.fixture(autouse=True)
def _no_shape_checks_in_what_is_compiled(request, monkeypatch):
    """torch.compile gets the checks wrong, and warns of tensors that it meets at their edges."""
    if "compiled" in request.node.name:
        monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        warnings.filterwarnings("ignore", "The .grad attribute")  # until the end of this test
