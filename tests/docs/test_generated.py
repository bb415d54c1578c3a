"""Pages that are written from results are what the results say."""

from importlib import import_module

import pytest


@pytest.mark.parametrize("name", ["gallery", "performance", "reliability", "tables"])
def test_a_page_is_that_of_the_results(name, pytestconfig, monkeypatch):
    monkeypatch.syspath_prepend(str(pytestconfig.rootpath / "results"))
    script = import_module(name)
    assert script.PAGE.read_text() == script.page(script.records()), f"run python results/{name}.py"
