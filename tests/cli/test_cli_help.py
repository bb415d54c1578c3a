"""Help and version come at once: nothing heavy is imported for them."""

import re
import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "sklearn", "matplotlib", "PIL", "lightning_fabric")
COMMANDS = ("train", "sample", "evaluate", "diagnose", "compare", "reproduce", "explore", "export", "show", "list")


def imported_by(program):
    """What a fresh interpreter prints and has imported after a program."""
    code = (
        f"import sys\ntry:\n    {program}\nexcept SystemExit as stopped:\n    assert not stopped.code, stopped.code\n"
    )
    code += f"print('heavy:', *[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.rpartition("heavy:")


def test_import_is_light():
    assert imported_by("import sigmae; assert 'fit' in dir(sigmae)")[2].split() == []


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"], ["list", "--help"]])
def test_help_is_light(arguments):
    said, _, heavy = imported_by(f"from sigmae.cli import main; main({arguments})")
    assert heavy.split() == []
    assert said.strip()


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "sigmae", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.1.0"
    assert done.stderr == ""


def test_help_names_every_command(sigmae):
    for answer in (sigmae("--help"), sigmae()):
        assert answer.status == 0
        assert all(f"│ {command} " in answer.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_describes_every_option(sigmae, command):
    answer = sigmae(command, "--help")
    assert answer.status == 0
    options = [line.strip("│ *") for line in answer.out.splitlines() if re.match(r"│[ *]+--", line)]
    assert options
    assert all(len(line.split()) > 2 for line in options)
    assert f"• sigmae {command} " in answer.out.partition("Examples")[2]
