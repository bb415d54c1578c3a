"""Commands in processes of their own, to be killed or left without what they need; children can import this.

They are forked from a server that has imported all that is heavy, so that another one costs little.
"""

import ctypes
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import count
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

HEAVY = ["sigmae.cli", "sigmae.api", "sigmae.console", "sigmae.studies.study", "sigmae.tables", "sigmae.runs"]
OTHERS = ["lightning_fabric", "sklearn.datasets", "sklearn.mixture", "scipy.stats", "pytest"]
DRAWING = ["matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg"]
PATIENCE = 120.0  # seconds until something that never came is called missing

NO_MOUNTS = 77  # the exit status where the system gives no process mounts of its own

Prepare = Callable[..., Callable[[], None] | None]


def start(arguments: Sequence[object], log: Path, prepare: Prepare | None = None, *options: Any) -> BaseProcess:
    """A process that runs `sigmae` with these arguments, after `prepare(*options)`; it prints into a file."""
    context = get_context("forkserver")
    context.set_forkserver_preload([*HEAVY, *OTHERS, *DRAWING])
    process = context.Process(target=live, args=([*map(str, arguments)], log, prepare, options), daemon=True)
    with patch.dict(os.environ, OMP_NUM_THREADS="1"):
        process.start()
    return process


def live(arguments: list[str], log: Path, prepare: Prepare | None, options: Sequence[Any]) -> None:
    """The command itself, which saves so often that any moment may be one of a checkpoint.

    What is done by `prepare` before it may return what is to be done behind it.
    """
    from sigmae.cli import main
    from sigmae.training import loop

    number = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(number, stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["SIGMAE_CACHE"] = str(log.parent / "cache")
    os.environ["GIT_DIR"] = os.devnull  # a commit that is made meanwhile is no difference
    loop.CHECKPOINT_SECONDS = 0.02
    finish = prepare(*options) if prepare else None
    try:
        main(arguments)
    finally:
        if finish:
            finish()


def status(arguments: Sequence[object], log: Path, prepare: Prepare | None = None, *options: Any) -> int:
    """The exit status of a command that is left alone; minus the signal's number where one ended it."""
    process = start(arguments, log, prepare, *options)
    process.join(PATIENCE)
    assert process.exitcode is not None, f"{arguments} did not end"
    return process.exitcode


def await_words(process: BaseProcess, log: Path, words: str, before: int = 0) -> None:
    """Wait until a process has printed these words behind that many bytes, or has ended."""
    end = time.monotonic() + PATIENCE
    while process.is_alive() and words not in said(log)[before:]:
        assert time.monotonic() < end, f"'{words}' was never said"
        time.sleep(0.002)


def said(log: Path) -> str:
    """All that was printed into a file."""
    return log.read_text() if log.exists() else ""


def killed(arguments: Sequence[object], log: Path, seconds: float) -> bool:
    """Kill a command so many seconds after its first line; whether it was still alive."""
    before = len(said(log))
    process = start(arguments, log)
    await_words(process, log, "\n", before)
    process.join(seconds)
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), said(log)
    return process.exitcode != 0


def die_at_write(folder: Path, moment: int) -> None:
    """Be killed at that moment of those when a file below a folder is opened to be written, renamed or removed."""
    moments = count()

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            writes = isinstance(arguments[2], int) and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        else:
            writes = event in ("os.mkdir", "os.rename", "os.remove")
        if writes and str(arguments[0]).startswith(str(folder)) and next(moments) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def die_with_half_a_file(name: str) -> None:
    """Be killed when half of a file of that name is written."""
    whole = Path.write_bytes

    def half(path: Path, content: bytes) -> int:
        if not path.name.startswith(f".{name}"):
            return whole(path, content)
        whole(path, content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    Path.write_bytes = half


def own_disk(folder: Path) -> None:
    """Put a folder and what is in it on a disk that only this process sees."""
    new_mounts = 0x20000  # CLONE_NEWNS
    if ctypes.CDLL(None).unshare(new_mounts):
        os._exit(NO_MOUNTS)
    mount("--make-rprivate", "/")
    disk = folder.with_name("disk")
    disk.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "tmpfs", disk)
    shutil.copytree(folder, disk, dirs_exist_ok=True)
    mount("--bind", disk, folder)


def mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def on_a_small_disk(folder: Path, room: int, arguments: list[str]) -> Callable[[], None]:
    """Run the command on a disk with so much room left, look at what it left, and make room; leave a copy behind it."""
    from sigmae.cli import main

    own_disk(folder)
    disk = os.statvfs(folder)
    mount("-o", f"remount,size={(disk.f_blocks - disk.f_bfree) * disk.f_frsize + room}", folder)
    try:
        main(arguments)
    except SystemExit as ended:
        print("status", ended.code, flush=True)
    check_whole(folder)
    mount("-o", "remount,size=1g", folder)
    return lambda: shutil.copytree(folder, folder.with_name("after"))


def on_a_read_only_disk(folder: Path) -> None:
    own_disk(folder)
    mount("-o", "remount,ro", folder)


def check_whole(folder: Path) -> None:
    """See that every file can be read, and that none is there in part."""
    from sigmae.files import read_json
    from sigmae.tensors import load_tensors

    for path in folder.rglob("*"):
        assert path.suffix != ".part"
        if reader := {".safetensors": load_tensors, ".json": read_json}.get(path.suffix):
            reader(path)


def with_little_memory(spare: int) -> None:
    """Let this process have so many bytes more than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + spare,) * 2)


def with_short_files(most: int) -> None:
    """Let no file of this process be longer than so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def stopped(arguments: Sequence[object], log: Path, words: str, number: int) -> int:
    """The exit status of a command that gets a signal when it has said these words."""
    before = len(said(log))
    process = start(arguments, log)
    await_words(process, log, words, before)
    os.kill(process.pid, number)
    process.join(PATIENCE)
    return process.exitcode


class Scene:
    """A command, run at the same paths with and without a disturbance."""

    def __init__(self, folder, *arguments, before=None):
        self.made, self.kept, self.log = folder / "made", folder / "kept", folder / "log"
        self.command = [self.made / word[2:] if str(word).startswith("./") else word for word in arguments]
        self.before = before
        self.set_up()
        process = start(self.command, self.log)
        await_words(process, self.log, "\n")
        started = time.monotonic()
        process.join(PATIENCE)
        self.seconds = time.monotonic() - started
        assert process.exitcode == 0, said(self.log)
        self.made.rename(self.kept)

    def clear(self):
        """Remove what the command made in a test before."""
        shutil.rmtree(self.made, ignore_errors=True)
        self.log.write_text("")

    def set_up(self):
        """What the command finds when it starts for the first time."""
        if self.before:
            shutil.copytree(self.before, self.made)
        else:
            self.made.mkdir()

    def dies(self, prepare, *options):
        """Whether the command dies, with what kills it; nothing else may keep it from its end."""
        ended = status(self.command, self.log, prepare, *options)
        assert ended in (0, -signal.SIGKILL), said(self.log)
        return ended != 0

    def end_undisturbed(self):
        """Let the command end, compare all that it made, and clear it away."""
        assert status(self.command, self.log) == 0, said(self.log)
        self.compare()

    def compare(self):
        """Compare all that the command made with what it makes undisturbed, and clear it away."""
        found, wanted = contents(self.made), contents(self.kept)
        different = [name for name in found | wanted if found.get(name) != wanted.get(name)]
        assert not different, different
        for folder in self.made.rglob("checkpoints"):
            assert [path.suffix for path in folder.iterdir()] == [".safetensors"] * 2, list(folder.iterdir())
        shutil.rmtree(self.made)

    def survive(self, kills, seed):
        """Kill the command that many times at random moments, in turn; one that came to its end is begun anew."""
        draw, done = random.Random(seed), 0
        while done < kills:
            if killed(self.command, self.log, draw.uniform(0, self.seconds / 3)):
                done += 1
            else:
                self.end_undisturbed()
        self.end_undisturbed()


def contents(folder):
    """All files below a folder but its checkpoints, without the times that were taken."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "checkpoints")
    return {str(path.relative_to(folder)): timeless(path) for path in files}


def timeless(path):
    if path.name != "metrics.jsonl":
        return path.read_bytes()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]
