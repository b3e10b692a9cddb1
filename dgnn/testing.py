"""For test suites: run a script or a function on several ranks.

    from dgnn.testing import run_mpi

    def energy(comm, path):                       # runs on each rank; comm is MPI.COMM_WORLD
        ...
        return dgnn.Model.load(path).compute(coords[mine], types[mine], box, comm=comm).energy

    def test_energy():
        assert len(set(run_mpi(energy, 4, "model.pt2").values)) == 1
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dgnn import _core, launch
from dgnn._core import InputError

__all__ = ["Run", "RanksFailed", "run_mpi", "thread_ranks"]


@dataclass(frozen=True)
class Run:
    """What came of a run."""

    returncode: int
    stdout: str
    stderr: str
    values: list = field(default_factory=list)  #: what the function returned, one for each rank; [] for a script


class RanksFailed(RuntimeError):
    """A rank raised, or ended with another exit code than 0, or the time was up; .run has what was printed."""

    def __init__(self, message: str, run: Run) -> None:
        super().__init__(message)
        self.run = run


def thread_ranks(ranks: int, timeout: float = 120.0) -> list[_core.Comm]:
    """Communicators for threads of this process that stand for ranks: item r goes to rank r's thread as comm=.

    Each rank has a model of its own. timeout: seconds that a rank waits for others, which then get a CommError.
    comm.counts(reset=False) gives this rank's traffic since it was made or last reset: messages by kind, "bytes", and
    "feature_bytes" of them; what it counts for a collective is what an MPI library sends for it, about.
    """
    return _core._comm_threads(ranks, timeout)


def run_mpi(what: str | os.PathLike | Callable[..., Any], ranks: int, *arguments: Any, mpi: str | None = None,
            timeout: float = 120.0, environment: Mapping[str, Any] | None = None, check: bool = True) -> Run:
    """Runs a script or a function under mpirun, on this machine; waits for it.

    what: the path of a Python script (arguments: its command line), or a function at the top level of a file, which is
    called as what(MPI.COMM_WORLD, ...) on each rank, with the arguments. These and what it returns are pickled.
    mpi: "mpich" or "openmpi"; None: the one that mpi4py loads.
    timeout: seconds, after which all ranks are ended.
    environment: variables to set on top of this process's (None as a value: to unset).
    check: raise RanksFailed where the exit code isn't 0; False: only where a function's ranks left no answer.

    Raises dgnn.InputError where it cannot be started, RanksFailed with the ranks' own words where it failed.
    """
    start, variables = launch.command(ranks, mpi)
    for name, value in (environment or {}).items():
        variables.pop(name, None)
        if value is not None:
            variables[name] = str(value)
    if not callable(what):
        script = [os.fspath(what), *map(str, arguments)]
        return _finished([*start, sys.executable, *script], variables, timeout, check, os.fspath(what))
    with tempfile.TemporaryDirectory(prefix="dgnn-ranks-") as folder:
        _write_task(pathlib.Path(folder), what, arguments)
        parts = [*start, sys.executable, "-m", "dgnn.testing", folder]
        return _with_values(parts, variables, timeout, check, what, ranks, pathlib.Path(folder))


def _finished(parts, variables, timeout, check, name):
    try:
        done = launch.run(parts, variables, timeout)
    except subprocess.TimeoutExpired as error:
        run = Run(-1, error.stdout or "", error.stderr or "")
        raise RanksFailed(f"{name}: not done after {timeout} s\n{_tail(run)}", run) from None
    run = Run(done.returncode, done.stdout, done.stderr)
    if check and run.returncode:
        raise RanksFailed(f"{name}: exit code {run.returncode}\n{_tail(run)}", run)
    return run


def _with_values(parts, variables, timeout, check, function, ranks, folder):
    try:
        run = _finished(parts, variables, timeout, False, function.__qualname__)
    except RanksFailed as error:
        raise RanksFailed(f"{error}\n{_words(folder)}", error.run) from None
    answers = [folder / f"{rank}.pickle" for rank in range(ranks)]
    words = _words(folder)
    if words or (check and run.returncode) or not all(path.exists() for path in answers):
        raise RanksFailed(f"{function.__qualname__}: exit code {run.returncode}\n{words or _tail(run)}", run)
    return Run(run.returncode, run.stdout, run.stderr, [pickle.loads(path.read_bytes()) for path in answers])


def _tail(run):
    return (run.stdout + run.stderr)[-6000:]


def _words(folder):
    """The tracebacks of the ranks that raised."""
    return "\n".join(path.read_text() for path in sorted(folder.glob("*.traceback")))


def _write_task(folder, function, arguments):
    path = inspect.getsourcefile(function)
    if path is None or not os.path.isfile(path) or "<" in function.__qualname__:
        raise InputError(f"{function.__qualname__}: expected a function at the top level of a file, which each rank can "
                         "load; nested functions and lambdas cannot be found there")
    with open(folder / "task", "wb") as file:
        pickle.dump((sys.path, function.__module__, os.path.abspath(path), function.__qualname__), file)
        pickle.dump(arguments, file)


# ---------------------------------------------------------------- on each rank


def _read_task(folder):
    """(function, arguments). Arguments may be of classes that the function's file defines."""
    with open(folder / "task", "rb") as file:
        search, name, path, qualified = pickle.load(file)
        sys.path[:] = search
        name = "_dgnn_ranks_main" if name == "__main__" else name
        found = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        function = module
        for part in qualified.split("."):
            function = getattr(function, part)
        return function, pickle.load(file)


def _main(folder):
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    try:
        function, arguments = _read_task(folder)
        answer = pickle.dumps(function(world, *arguments))
        (folder / f"{world.rank}.pickle").write_bytes(answer)
    except BaseException:
        (folder / f"{world.rank}.traceback").write_text(f"rank {world.rank}: {traceback.format_exc()}")
        time.sleep(0.5)  # the other ranks may have something to say, too
        world.Abort(1)


if __name__ == "__main__":
    _main(pathlib.Path(sys.argv[1]))
