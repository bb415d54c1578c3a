import sys

import pytest

from sigmae.errors import SigmaeError, unknown
from sigmae.plugins import resolve

KNOWN = {"mlp": 1, "conv": 2, "rae": 3}


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    """Writes the module `theirs` into the working folder, from where it is not imported yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield (tmp_path / "theirs.py").write_text
    sys.modules.pop("theirs", None)


@pytest.mark.parametrize("name", ["covn", "con", "conv2"])
def test_an_unknown_name_gets_the_nearest_and_all(name):
    sentence = f"Unknown network '{name}'. Did you mean 'conv'? There is: conv, mlp, rae."
    assert str(unknown("network", name, KNOWN)) == sentence
    with pytest.raises(SigmaeError) as refusal:
        resolve("network", name, KNOWN)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize("name", ["", "transformer"])
def test_a_name_that_is_near_to_none_gets_no_hint(name):
    assert str(unknown("network", name, KNOWN)) == f"Unknown network '{name}'. There is: conv, mlp, rae."


def test_our_names_come_first(write_module):
    write_module("answer = 42")
    assert resolve("network", "conv", KNOWN) == 2
    assert resolve("network", "theirs:answer", {"theirs:answer": 1}) == 1
    assert "theirs" not in sys.modules


def test_a_module_of_the_working_folder_is_imported(write_module):
    write_module("answer = 42")
    assert resolve("network", "theirs:answer", KNOWN) == 42
    places = list(sys.path)
    assert resolve("network", "theirs:answer", KNOWN, trust=["others", "theirs"]) == 42
    assert sys.path == places


def test_what_a_script_or_a_notebook_defines_is_found(write_module, monkeypatch):
    notebook = type(sys)("theirs")  # as __main__ is there: it has no file to be imported from
    notebook.answer = 42
    monkeypatch.setitem(sys.modules, "theirs", notebook)
    assert resolve("network", "theirs:answer", KNOWN) == 42


@pytest.mark.promise(
    "Files of strangers", "Code that a file names as module:attribute is imported only where --trust names the module."
)
@pytest.mark.parametrize("trust", [[], ["their"], ["theirs.part"]])
def test_code_that_a_file_names_is_not_run_untrusted(write_module, trust):
    write_module("answer = 42")
    with pytest.raises(SigmaeError, match=r"network 'theirs:answer' is code outside .* add --trust theirs "):
        resolve("network", "theirs:answer", KNOWN, trust)
    assert "theirs" not in sys.modules


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("import sys\nsys.nothing_of_this_name", "AttributeError", "module 'sys' has no attribute 'nothing_of_th"),
        ("import nowhere_at_all", "ModuleNotFoundError", "No module named 'nowhere_at_all'"),
        ("from math import no_number", "ImportError", "cannot import name 'no_number'"),
        ("answer = 1 +", "SyntaxError", "invalid syntax"),
        ("raise ValueError('out of range')", "ValueError", "out of range"),
    ],
)
def test_what_a_module_raises_is_told(write_module, code, kind, message):
    write_module(code)
    with pytest.raises(SigmaeError) as refusal:
        resolve("network", "theirs:answer", KNOWN)
    assert f"'theirs:answer' cannot be imported, since importing theirs raised {kind} ({message}" in str(refusal.value)
    assert type(refusal.value.__cause__).__name__ == kind


@pytest.mark.parametrize("module", ["nowhere_at_all", "nowhere_at_all.part", "", "..up"])
def test_a_module_that_is_not_there_is_named(write_module, module):
    with pytest.raises(SigmaeError, match=f"The network '{module}:answer' cannot be imported, .* install it"):
        resolve("network", f"{module}:answer", KNOWN)


@pytest.mark.parametrize("attribute", ["question", "", "answer.real"])
def test_an_attribute_that_is_not_there_is_named(write_module, attribute):
    write_module("answer = 42")
    with pytest.raises(SigmaeError, match=f"The module theirs has no attribute '{attribute}' to be a network"):
        resolve("network", f"theirs:{attribute}", KNOWN)


def test_an_attribute_that_is_misspelt_gets_the_nearest(write_module):
    write_module("answer = 42")
    with pytest.raises(SigmaeError, match=r"no attribute 'answr' to be a network. Did you mean 'answer'\?"):
        resolve("network", "theirs:answr", KNOWN)
