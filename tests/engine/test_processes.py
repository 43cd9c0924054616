"""Engines in several processes: after a fork, over a pipe, and with the threads that a container allows."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import mime_fast
from mime_fast.backends import threads
from mime_fast.backends.select import Wanted, choose
from mime_fast.checkpoints.model_folder import load_model_folder
from mime_fast.engine.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import multiprocessing, os, sys
import mime_fast

folder, dialogues = sys.argv[1] or None, [["rain ."], ["we won the village race !"]] * 4

def load_in_child(backend):
    engine = mime_fast.load(folder, device="cpu", backend=backend)
    return [reply.token_ids for reply in engine.generate(dialogues, num_beams=2)]

def go_on(_):
    return [reply.token_ids for reply in engine.generate(dialogues, num_beams=2)]

def in_fork(work):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = work()
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, str(said).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return os.read(read, 1 << 16).decode()
"""
AFTER_A_FORK = {
    "load": """
for backend in ("native", "reference"):
    engine = mime_fast.load(folder, device="cpu", backend=backend, threads=2)
    mine = go_on(0)
    assert in_fork(lambda: load_in_child(backend)) == str(mine), backend
""",
    "pool": """
for backend in ("native", "reference"):
    engine = mime_fast.load(folder, device="cpu", backend=backend, threads=2)
    mine = go_on(0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(go_on, range(4)) == [mine] * 4, backend
""",
    "threads of PyTorch": """
# The shipped model: PyTorch gives a tiny one's work to no second thread.
engine = mime_fast.load(device="cpu", backend="reference", threads=2)
mine = go_on(0)
with multiprocessing.get_context("fork").Pool(1) as pool:
    assert pool.map(go_on, [0]) == [mine]
    assert pool.map(load_in_child, ["reference"]) == [mine]
""",
    "daemon thread in a call": """
import signal, threading
from mime_fast.engine.ending import ended_with_process
begun, may_end = threading.Event(), threading.Event()

def call():
    with ended_with_process():
        begun.set()
        may_end.wait()

threading.Thread(target=call, daemon=True).start()
begun.wait()
child = os.fork()
if child == 0:
    signal.alarm(10)  # kills it
    sys.exit()  # as a process ends, not by os._exit
status = os.waitpid(child, 0)[1]
may_end.set()
assert status == 0
""",
    "iterator": """
engine = mime_fast.load(folder, device="cpu", threads=2)
replies = engine.generate_iter(iter(dialogues), window=2)
first = next(replies)
said = in_fork(lambda: [reply.text for reply in replies])
assert said.startswith("BackendError: these replies were begun in another process"), said
assert len(list(replies)) == len(dialogues) - 1  # the parent's goes on
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("case", AFTER_A_FORK)
def test_a_forked_child_never_hangs(case: str, model_folder: Path) -> None:
    folder = "" if case == "threads of PyTorch" else str(model_folder)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SCRIPT + AFTER_A_FORK[case], folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


BEGUN = """
import atexit, os, sys, threading, time
from mime_fast.engine.overlap import overlapped
from mime_fast.errors import BackendError
from tests.engine.test_streams import windows

def endless(window, stop):  # after the first window it ends only when it is told to
    while window.start and not stop[0]:
        time.sleep(0.001)
    if window.start:
        raise BackendError("stopped")

atexit.register(lambda: print([one.name for one in threading.enumerate() if one.name == "mime_fast"]))
results = [overlapped(windows(4), endless) for _ in range(2)]
for each in results:
    next(each)
"""
ENDS = {
    "end": "",
    "error": "raise KeyboardInterrupt",
    "fork": "child = os.fork()\nif child: assert os.waitpid(child, 0)[1] == 0",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("end", ENDS)
def test_replies_that_were_begun_never_keep_a_process(end: str) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", BEGUN + ENDS[end]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode != 0) == (end == "error"), done.stderr
    assert done.stdout == "[]\n" * (2 if end == "fork" else 1)


ANSWERING = """
import sys, threading, time
import mime_fast

engine = mime_fast.load(sys.argv[1], device="cpu", threads=1)
dialogues, begun = [["we won the village race !"]] * 500, threading.Event()
beams = {"num_beams": 20, "num_return_sequences": 20}

def answer():
    while True:
        begun.set()
        CALL

threading.Thread(target=answer, daemon=True).start()
begun.wait()
time.sleep(0.3)
"""
CALLS = {
    "load": "mime_fast.load(device='cpu')",
    "generate": "engine.generate(dialogues, **beams)",
    "generate_iter": "list(engine.generate_iter(dialogues, window=50, **beams))",
    "score": "engine.score(dialogues, ['we won !'] * 500)",
    "classify": "engine.classify(dialogues)",
    "explain": "engine.explain(dialogues[0], **beams)",
}


@pytest.mark.parametrize("call", CALLS)
def test_a_daemon_thread_that_answers_never_breaks_the_end_of_its_process(call: str, model_folder: Path) -> None:
    command = [sys.executable, "-c", ANSWERING.replace("CALL", CALLS[call]), str(model_folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_engine_is_pickled_by_its_path_and_options(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(model_folder.parent)
    engine = mime_fast.load(model_folder.name, device="cpu", precision="int8", threads=1, batch_size=3)
    data = pickle.dumps(engine)
    assert len(data) < 2000
    monkeypatch.chdir(tmp_path)
    twin = pickle.loads(data)
    assert twin.describe() | {"model": ""} == engine.describe() | {"model": ""}
    assert twin.generate([["rain ."]]) == engine.generate([["rain ."]])
    engine.generation_config = engine.generation_config.replace(max_new_tokens=1)
    assert pickle.loads(pickle.dumps(engine)).generation_config.max_new_tokens == 1


def test_an_engine_of_no_folder_says_what_to_do(model_folder: Path) -> None:
    folder = load_model_folder(model_folder)
    engine = Engine(folder, "made here", choose(folder.weights, Wanted(device="cpu")))
    with pytest.raises(TypeError, match=r"call mime_fast\.load in the other process"):
        pickle.dumps(engine)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(errors="surrogateescape"))


def test_cgroup_v2(tmp_path: Path) -> None:
    """The least quota of a group and of those above it; "max" is none."""
    assert threads.cpu_quota(tmp_path) >= (os.cpu_count() or 1)
    write(tmp_path / "proc/self/cgroup", "0::/jobs/mine\n")
    write(tmp_path / "sys/fs/cgroup/jobs/mine/cpu.max", "max 100000\n")
    assert threads.cpu_quota(tmp_path) >= (os.cpu_count() or 1)
    write(tmp_path / "sys/fs/cgroup/jobs/cpu.max", "150000 100000\n")
    assert threads.cpu_quota(tmp_path) == 1.5
    write(tmp_path / "sys/fs/cgroup/jobs/mine/cpu.max", "50000 100000\n")
    assert threads.cpu_quota(tmp_path) == 0.5


def test_cgroup_v1(tmp_path: Path) -> None:
    """Inside a container only the mount's own files are there, whatever path the process is given."""
    write(tmp_path / "proc/self/cgroup", "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n")
    write(tmp_path / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
    write(tmp_path / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert threads.cpu_quota(tmp_path) >= (os.cpu_count() or 1)
    write(tmp_path / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n")
    assert threads.cpu_quota(tmp_path) == 3.0
    write(tmp_path / "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "200000\n")
    write(tmp_path / "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n")
    assert threads.cpu_quota(tmp_path) == 2.0


@pytest.mark.parametrize("broken", ["", "nonsense", "0::", "0::/../..", "4:cpu:/x", "0::/caf\udce9"])
@pytest.mark.parametrize("quota", ["", "x y", "100000 0", "1", "\udcff\udcfe 1", "-1 100000", "0 100000"])
def test_what_cannot_be_read_is_no_quota(tmp_path: Path, broken: str, quota: str) -> None:
    write(tmp_path / "proc/self/cgroup", broken)
    write(tmp_path / "sys/fs/cgroup/cpu.max", quota)
    assert threads.cpu_quota(tmp_path) >= 1


@pytest.mark.parametrize(("value", "count"), [("3", 3), ("4,2", 4), (" 2 ", 2), ("", 0), ("0", 0), ("-1", 0), ("x", 0)])
def test_omp_num_threads(value: str, count: int) -> None:
    assert threads.omp_threads({"OMP_NUM_THREADS": value}) == count


def test_default_threads(monkeypatch: pytest.MonkeyPatch, model_folder: Path) -> None:
    """The quota rounded up, but never more than the cores; OMP_NUM_THREADS goes first."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "affinity", lambda: 8)
    for quota, count in ((0.5, 1), (1.5, 2), (4.0, 4), (64.0, 8)):
        monkeypatch.setattr(threads, "cpu_quota", lambda _, quota=quota: quota)
        assert threads.default_threads() == count
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads.default_threads() == 3
    assert mime_fast.load(model_folder, device="cpu", backend="native").describe()["threads"] == 3
    assert mime_fast.load(model_folder, device="cpu", threads=1).describe()["threads"] == 1
