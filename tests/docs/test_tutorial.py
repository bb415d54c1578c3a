"""What docs/tutorial.md says comes out of a diagnosis comes out of it."""

import re
import shlex
from pathlib import Path

import pytest

from sigmae.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()


@pytest.mark.slow
def test_each_diagnosis_begins_with_the_finding_that_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    told = re.findall(r"^```text\n1\. (\S+):", PAGE, flags=re.MULTILINE)
    commands = re.findall(r"^\$ sigmae ((?:train digits|diagnose) .*)$", PAGE, flags=re.MULTILINE)
    found = []
    for command in commands:
        with pytest.raises(SystemExit) as exit_:
            main(shlex.split(command))
        assert exit_.value.code == 0
        found += re.findall(r"^1\. (\S+):", capsys.readouterr().out, flags=re.MULTILINE)
    assert found == told == ["collapse", "holes"]
