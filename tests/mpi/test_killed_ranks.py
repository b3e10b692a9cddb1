"""A rank is killed, interrupted, or stopped for a while, in the middle of a call, under each MPI's own mpirun: fault_mpi.py.

No survivor hangs, and none has wrong numbers: it raises CommError by the deadline, or its MPI ends it. tests/c/
test_fault_runs.c has many more, with ranks that are threads.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import pytest
from test_transport import MPIS, launcher

SCRIPT = pathlib.Path(__file__).resolve().parent / "fault_mpi.py"
RANKS, DEADLINE, SLACK = 3, 1, 25  # SLACK: to start, to end, and for a machine that is busy
WHERE = ("build", "before", "during", "after", "end")


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill(mpi, victim, where, extra=()):
    """What the survivors said of a run in which one rank was killed; nothing is left of it."""
    command, environment = launcher(mpi, RANKS)
    command = [command[0], *extra, *command[1:], sys.executable, str(SCRIPT), "kill", str(victim), where, str(DEADLINE)]
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dgnn-") as folder:  # Open MPI's runs at one time trip over each other's files
        done = subprocess.run(command, env={**environment, "TMPDIR": folder}, capture_output=True, text=True, timeout=120)
    output = done.stdout + done.stderr
    assert (done.returncode or extra) and time.monotonic() - begin < DEADLINE + SLACK, output
    pids = re.findall(r"rank \d: process (\d+)", output)
    assert len(pids) == RANKS, output
    for _ in range(50):
        left = [pid for pid in pids if alive(int(pid))]
        if not left:
            break
        time.sleep(0.1)
    assert not left, f"{left} live on: {output}"
    assert "wrong" not in output and "Traceback" not in output, output
    return re.findall(r"rank (\d): (right|CommError after \S+ s: .*)", output)


def killed(mpi, runs):
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        return [run.result() for run in [pool.submit(kill, mpi, *run) for run in runs]]


@pytest.mark.parametrize("mpi", MPIS)
def test_killed(mpi):
    """Six runs: the MPI ends the others, or they are told."""
    if not launcher(mpi, RANKS)[0]:
        pytest.skip(f"no launcher of {mpi} was found")
    runs = [(k % RANKS, where) for k, where in enumerate((*WHERE, "during"))]
    assert len(killed(mpi, runs)) == 6


def test_survivors():
    """Open MPI can leave the survivors alone: then each raises CommError by the deadline, and says for whom it waited."""
    if not launcher("openmpi", RANKS)[0]:
        pytest.skip("no launcher of openmpi was found")
    runs = [(1, "before", ["--enable-recovery"]), (0, "during", ["--enable-recovery"]), (2, "build", ["--enable-recovery"])]
    for (victim, _, _), said in zip(runs, killed("openmpi", runs)):
        assert sorted(int(rank) for rank, _ in said) == [rank for rank in range(RANKS) if rank != victim], said
        for rank, words in said:
            assert re.search(rf"CommError after [1-4]\.\d s: .*rank {rank} waited {DEADLINE} s", words), words


@pytest.mark.parametrize("mpi", MPIS)
def test_stopped(mpi):
    """Fifteen stops that end before the deadline give the right numbers, three longer ones CommError."""
    command, environment = launcher(mpi, RANKS)
    if not command:
        pytest.skip(f"no launcher of {mpi} was found")
    done = subprocess.run([*command, sys.executable, str(SCRIPT), "stop"], env=environment, capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0 and done.stdout.count("ok: 18 stops") == RANKS, done.stdout + done.stderr


@pytest.mark.parametrize("mpi", MPIS)
def test_interrupted(mpi):
    """Ctrl-C on one or two of three ranks, at five places of a call."""
    command, environment = launcher(mpi, RANKS)
    if not command:
        pytest.skip(f"no launcher of {mpi} was found")
    done = subprocess.run([*command, sys.executable, str(SCRIPT), "interrupt"], env=environment, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.count("ok: 15 calls interrupted") == RANKS, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize("mpi", MPIS)
def test_killed_often(mpi):
    runs = [(victim, where) for victim in range(RANKS) for where in WHERE * 3]
    assert len(killed(mpi, runs)) == 45
