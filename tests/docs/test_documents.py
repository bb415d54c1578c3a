"""What the documents show runs: Python blocks as they stand, `$ sigmae` lines on the data that ship."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from sigmae.cli import main

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXTERNAL = ("mnist", "cifar10", "./my-photos", "hf:")  # data that do not ship


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if blocks(path, "python")], ids=lambda path: path.name)
def test_python_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = type(sys)("document")
    monkeypatch.setitem(sys.modules, "document", module)
    for block in blocks(path, "python"):
        exec(compile(block, str(path), "exec"), module.__dict__)


def test_console_commands_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for path in DOCUMENTS:
        for block in blocks(path, "toml"):  # the first line says the file's name
            (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(block)
    lines = [line for path in DOCUMENTS for block in blocks(path, "console") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("$ sigmae")]
    shown = [command for command in commands if not any(part.startswith(EXTERNAL) for part in command)]
    assert len(shown) >= 5
    for command in shown:
        with pytest.raises(SystemExit) as exit_:
            main(command[1:])
        assert exit_.value.code == 0, (command, capsys.readouterr().err)


def test_links_between_documents_lead_somewhere():
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), (path.name, target)
