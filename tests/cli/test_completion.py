"""Shell completion is installed where the shell looks for it, and knows commands and options."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed(shell, tmp_path):
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "SHELL": f"/bin/{shell}",
        "XDG_DATA_HOME": "",
        "XDG_CONFIG_HOME": "",
    }
    command = [sys.executable, "-m", "sigmae", "--install-completion", "--shell", shell]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    script = max(written, key=len)
    assert all(word in script for word in ("explore", "--latent-dim", "torch-export"))
