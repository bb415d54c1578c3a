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
    told = findings(PAGE.replace("```text\n", ""))
    commands = re.findall(r"^\$ sigmae ((?:train digits|diagnose) .*)$", PAGE, flags=re.MULTILINE)
    found = []
    for command in commands:
        with pytest.raises(SystemExit) as exit_:
            main(shlex.split(command))
        assert exit_.value.code == 0
        found += findings(capsys.readouterr().out)
    assert [name for name, _ in told] == ["collapse", "holes"]
    assert found[0] == told[0]
    assert found[1] in (told[1], ("prior-mismatch", told[1][1]))  # the share that falls outside is near their border


def findings(text):
    """The first finding of each diagnosis in a text, and the first words of its remedy."""
    return re.findall(r"^1\. (\S+):.*?\n   \$ (sigmae \S+ \S+ --\S+ \S+)", text, flags=re.MULTILINE | re.DOTALL)
