"""Engines: every one runs the same tasks by the same laws."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from sigmae.errors import SigmaeError
from sigmae.studies.engines import make_engine
from sigmae.studies.engines.engine import attempt
from sigmae.studies.engines.processes import environment

HERE = str(Path(__file__).parent)
sys.path.insert(0, HERE)
import engine_tasks as work  # noqa: E402, by this name workers find it, too

PACKAGES = {"processes": "joblib", "ray": "ray", "slurm": "submitit"}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("ray", "slurm")]
REMOTE = ["processes", *SLOW]


def options_of(name, folder):
    """Options for two workers, or what comes nearest."""
    slurm = {"folder": str(folder / "jobs"), "cluster": "local", "seconds": 0.1}
    return {"processes": {"workers": 2}, "slurm": slurm}.get(name, {})


@pytest.fixture(autouse=True)
def _workers_import_from_here(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", HERE)


@pytest.fixture(scope="module")
def ray_cluster():
    """Ray is started once for all tests, with two CPUs."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def engine(name, request, tmp_path, monkeypatch):
    """Makes the engine of that name."""
    pytest.importorskip(PACKAGES.get(name, "sigmae"))
    if name == "ray":
        request.getfixturevalue("ray_cluster")
    if name == "slurm":
        from submitit.core.core import Job

        monkeypatch.setattr(Job, "_results_timeout_s", 1)  # a slow disk is not what is tested
    return partial(make_engine, name, **options_of(name, tmp_path))


def attempts(folder, name):
    return len(list(folder.glob(f"{name}.*")))


@pytest.mark.parametrize("name", ["here", *REMOTE])
def test_every_task_is_run_once_and_failures_stop_no_other(engine, tmp_path):
    kinds = {"first": work.mark, "worded": work.fail_in_words, "broken": work.fail, "exits": work.leave}
    tasks = {name: partial(kind, tmp_path, name) for name, kind in {**kinds, "last": work.mark}.items()}
    told, caller = [], os.getpid()

    def finished(name, error):
        assert os.getpid() == caller
        told.append((name, error))

    engine().run(tasks, finished)

    assert sorted(told) == [
        ("broken", "ValueError: no such axis"),
        ("exits", "SystemExit: enough"),
        ("first", ""),
        ("last", ""),
        ("worded", "The data lack labels: give some."),
    ]
    assert [attempts(tmp_path, name) for name in tasks] == [1] * 5


@pytest.mark.parametrize("name", ["here", *REMOTE])
def test_nothing_to_run_is_nothing_to_tell(engine):
    engine().run({}, lambda name, error: pytest.fail(name))


@pytest.mark.parametrize("name", REMOTE)
def test_results_are_told_as_they_come(engine, tmp_path):
    """The first task ends only when it sees that the second one was told."""
    tasks = {
        "first": partial(work.await_other, tmp_path, "first", "told"),
        "second": partial(work.mark, tmp_path, "second"),
    }
    told = []

    def finished(name, error):
        assert error == ""
        told.append(name)
        (tmp_path / "told").write_text(name)

    engine().run(tasks, finished)
    assert told == ["second", "first"]


@pytest.mark.promise(
    "Killed and continued", "A worker process that is killed costs its own task alone, which is run again."
)
@pytest.mark.parametrize("name", REMOTE)
def test_a_killed_worker_costs_its_own_task_only(engine, tmp_path):
    """The victim is killed while its neighbour runs, which sees it run again and is itself not repeated."""
    tasks = {
        "victim": partial(work.die_once, tmp_path, "victim", "neighbour.0"),
        "neighbour": partial(work.await_other, tmp_path, "neighbour", "victim.1"),
        "later": partial(work.mark, tmp_path, "later"),
    }
    told = {}
    engine().run(tasks, told.__setitem__)

    assert told == {"victim": "", "neighbour": "", "later": ""}
    assert [attempts(tmp_path, name) for name in tasks] == [2, 1, 1]


@pytest.mark.parametrize("name", REMOTE)
def test_a_task_that_always_loses_its_worker_is_told(engine, tmp_path):
    tasks = {"fatal": partial(work.die, tmp_path, "fatal"), "other": partial(work.mark, tmp_path, "other")}
    told = {}
    engine(retries=1).run(tasks, told.__setitem__)

    assert told["other"] == ""
    assert "worker was lost 2 times" in told["fatal"]
    assert attempts(tmp_path, "fatal") == 2


@pytest.mark.parametrize("name", ["here", *REMOTE])
def test_what_the_caller_raises_ends_the_run_and_the_engine_can_run_again(engine, tmp_path):
    def finished(name, error):
        raise OSError("the disk is full")

    tasks = {name: partial(work.mark, tmp_path, name) for name in ("one", "two")}
    with pytest.raises(OSError, match="the disk is full"):
        engine().run(tasks, finished)
    told = {}
    engine().run(tasks, told.__setitem__)
    assert told == {"one": "", "two": ""}


PROGRAM = """
import json, sys
from functools import partial
from pathlib import Path
from engine_tasks import sleep
from sigmae.studies.engines import make_engine

if __name__ == "__main__":
    folder, engine = Path(sys.argv[1]), make_engine(sys.argv[2], **json.loads(sys.argv[3]))
    try:
        engine.run({name: partial(sleep, folder, name) for name in "ab"}, print)
    except KeyboardInterrupt:
        (folder / "interrupted").write_text("yes")
"""


def start_program(name, folder):
    """A process whose engine runs two tasks that take for ever; and the numbers of the workers."""
    (folder / "program.py").write_text(PROGRAM)
    options = {"cpus": 0.5} if name == "ray" else options_of(name, folder)
    command = [sys.executable, str(folder / "program.py"), str(folder), name, json.dumps(options)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, start_new_session=True, **quiet)
    return process, [int(work.await_file(folder / f"{task}.0")) for task in "ab"]


def is_running(pid):
    """Whether there is a process of that number which is not a zombie."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return state.strip()[:1] not in ("", "Z")


def await_end(pids):
    end = time.monotonic() + work.PATIENCE
    while any(map(is_running, pids)):
        assert time.monotonic() < end, "workers outlive their parent"
        time.sleep(0.1)


@pytest.mark.promise(
    "Killed and continued", "Ctrl-C, and the end of the command in any way, leave no worker process behind."
)
@pytest.mark.parametrize("name", REMOTE)
def test_control_c_leaves_no_process(name, tmp_path):
    pytest.importorskip(PACKAGES[name])
    process, workers = start_program(name, tmp_path)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everyone in the group gets it
    process.wait(work.PATIENCE)

    assert (tmp_path / "interrupted").exists()
    await_end(workers)


@pytest.mark.promise(
    "Killed and continued", "Ctrl-C, and the end of the command in any way, leave no worker process behind."
)
def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    process, workers = start_program("processes", tmp_path)
    process.kill()
    process.wait(work.PATIENCE)
    await_end(workers)


@pytest.mark.parametrize("name", REMOTE)
def test_a_worker_is_asked_to_stop_before_it_is_killed(engine, tmp_path):
    tasks = {
        "other": partial(work.await_other, tmp_path, "other", "training.0"),
        "training": partial(work.save_when_asked, tmp_path, "training"),
    }

    def finished(name, error):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine().run(tasks, finished)
    assert (tmp_path / "saved").exists()


def test_workers_share_the_cores_unless_the_user_says_otherwise(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert environment(threads=3)["OMP_NUM_THREADS"] == "3"
    assert environment(threads=0)["OMP_NUM_THREADS"] == "1"

    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    told = {}
    make_engine("processes").run({"one": partial(work.tell_threads, tmp_path, "threads")}, told.__setitem__)
    assert told == {"one": ""}
    assert (tmp_path / "threads").read_text() == "7"


def test_an_error_without_words_is_still_an_error():
    assert attempt(work.fail_silently) == "SigmaeError: "


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("proceses", {}, "Did you mean 'processes'"),
        ("processes", {"worker": 2}, "Did you mean 'workers'"),
        ("here", {"workers": 2}, "takes no options"),
        ("processes", {"workers": 0}, "workers cannot be 0: give 1 or more"),
        ("processes", {"retries": -1}, "retries cannot be -1"),
        ("processes", {"workers": "two"}, "In the engine's workers: 'two' cannot be read"),
        ("processes", {"workers": 1.5}, "In the engine's workers: 1.5 cannot be read"),
        ("slurm", {"minutes": "ten"}, "In the engine's minutes: 'ten' cannot be read"),
        ("slurm", {"gpus": 0.5}, "In the engine's gpus: 0.5 cannot be read"),
    ],
)
def test_wrong_options_are_told(name, options, words):
    with pytest.raises(SigmaeError, match=words):
        make_engine(name, **options)


@pytest.mark.parametrize("name", ["ray", "slurm"])
def test_a_missing_extra_is_named(name, monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    with pytest.raises(SigmaeError, match=rf"pip install 'sigmae\[{name}\]'"):
        make_engine(name)


def test_parameters_of_slurm_by_submitits_names_are_handed_on(tmp_path):
    pytest.importorskip("submitit")
    engine = make_engine("slurm", folder=tmp_path, cluster="local", minutes="5", slurm_account="lab", mem_gb=4)
    assert (engine.minutes, engine.options) == (5, {"slurm_account": "lab", "mem_gb": 4})


def test_slurm_options_that_submitit_does_not_take_are_told(tmp_path):
    pytest.importorskip("submitit")
    with pytest.raises(SigmaeError, match="Did you mean 'slurm'"):
        make_engine("slurm", cluster="slum")
    engine = make_engine("slurm", folder=tmp_path, cluster="local", options={"slurm_quality": "high"})
    with pytest.raises(SigmaeError, match="submitit refuses these options"):
        engine.run({}, print)


def test_slurm_is_not_everywhere(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SigmaeError, match="No SLURM here"):
        make_engine("slurm", folder=tmp_path).run({}, print)


def test_what_slurm_says_of_jobs_that_it_does_not_take_is_told(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    for name, does in (("srun", "exit 0"), ("sbatch", "echo 'sbatch: error: invalid partition: gpus' >&2; exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(SigmaeError, match=r"SLURM did not take the jobs.*invalid partition: gpus"):
        make_engine("slurm", folder=tmp_path / "jobs", partition="gpus").run({"one": print}, print)


@pytest.mark.slow
def test_ray_refuses_what_this_machine_never_has():
    """Last, since it starts and ends a Ray of its own."""
    ray = pytest.importorskip("ray")
    ray.shutdown()
    with pytest.raises(SigmaeError, match=r"A task wants 1e\+06 CPUs"):
        make_engine("ray", cpus=1e6).run({"one": print}, print)
    assert not ray.is_initialized()
