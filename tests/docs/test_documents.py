"""What the documents show runs: Python blocks as they stand, `$ sigmae` lines on the data that ship."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sigmae.cli import main

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "parts").glob("*.md"))]
EXTERNAL = ("mnist", "cifar10", "./my-photos", "hf:")  # data that do not ship


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), flags=re.MULTILINE | re.DOTALL)


PYTHON = [path for path in DOCUMENTS if blocks(path, "python")]
COMPILED = [path for path in PYTHON if "torch.compile(" in path.read_text()]


@pytest.mark.parametrize("path", [path for path in PYTHON if path not in COMPILED], ids=lambda path: path.name)
def test_python_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = type(sys)("document")
    monkeypatch.setitem(sys.modules, "document", module)
    for block in blocks(path, "python"):
        exec(compile(block, str(path), "exec"), module.__dict__)


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.name)
def test_python_runs_in_a_process_without_the_checks_of_shapes(path, tmp_path):
    (tmp_path / "document.py").write_text("\n".join(blocks(path, "python")))
    done = subprocess.run([sys.executable, "document.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_console_commands_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for path in DOCUMENTS:
        for block in [*blocks(path, "toml"), *blocks(path, "python")]:
            if name := re.match(r"# (\w+\.(toml|py))\n", block):  # the first line says that it is a file
                (tmp_path / name[1]).write_text(block)
    lines = [line for path in DOCUMENTS for block in blocks(path, "console") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("$ sigmae")]
    shown = [command for command in commands if not any(part.startswith(EXTERNAL) for part in command)]
    assert len(shown) >= 5
    for command in shown:
        with pytest.raises(SystemExit) as exit_:
            main(command[1:])
        assert exit_.value.code == 0, (command, capsys.readouterr().err)
