"""Starting programs on several ranks: mpirun of the MPI that mpi4py loads, found and given what it needs."""

import contextlib
import functools
import os
import pathlib
import shutil
import signal
import subprocess
import sys

from dgnn._core import InputError
from dgnn.mpi import _FAMILIES, _LAUNCHED

_NAMES = {  # of launchers, in the order in which they are tried
    "mpich": ("mpiexec.hydra", "mpiexec.mpich", "mpiexec", "mpirun"),
    "openmpi": ("mpirun.openmpi", "mpiexec.openmpi", "mpirun", "mpiexec"),
}
_SIGNS = {"mpich": ("HYDRA", "Intel(R) MPI", "MPICH"), "openmpi": ("Open MPI", "OpenRTE", "PRRTE")}  # in --version
_GRACE_S = 5.0


def under_mpirun() -> bool:
    """Did an mpirun start this process?"""
    return any(name in os.environ for name in (*_LAUNCHED.values(), "PMI_RANK", "PMIX_RANK"))


def command(ranks, mpi=None):
    """(start of the command line, environment) that run a program on so many ranks of this machine.

    mpi: "mpich" or "openmpi"; None: the one that mpi4py loads. Raises dgnn.InputError where there is no launcher.
    More ranks than cores are allowed; root is, too, where Open MPI asks for a word (in the child's environment only).
    """
    if isinstance(ranks, bool) or not isinstance(ranks, int) or ranks < 1:
        raise InputError(f"ranks: expected a number of 1 or more, found {ranks!r}")
    if under_mpirun():
        raise InputError("this process was started by mpirun already, and an mpirun inside another has no ranks to give")
    if mpi not in (None, *_NAMES):
        raise InputError(f"mpi: expected {' or '.join(_NAMES)}, found {mpi!r}")
    environment = dict(os.environ)
    family = mpi or loaded()
    if family != loaded():  # without the variable mpi4py looks in more places, so that is tried first
        environment.pop("MPI4PY_MPIABI", None)
        if loaded("") != family:
            environment["MPI4PY_MPIABI"] = family
    options = ["-n", str(ranks)]
    if family == "openmpi":
        options = ["--oversubscribe", "--bind-to", "none", *options]
        if os.geteuid() == 0:
            environment.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    environment.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // ranks)))
    return [launcher(family), *options], environment


@functools.cache
def loaded(choice=None) -> str:
    """The family of the MPI that mpi4py loads here; asked in a process of its own, so that nothing is loaded in this one.

    choice: what MPI4PY_MPIABI says ("": unset; None: as it is).
    """
    environment = dict(os.environ)
    if choice is not None:
        environment.pop("MPI4PY_MPIABI", None)
    if choice:
        environment["MPI4PY_MPIABI"] = choice
    question = "import mpi4py; mpi4py.rc.initialize = False; from mpi4py import MPI; print(MPI.get_vendor()[0])"
    done = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, env=environment)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word on why"])[-1]
        raise InputError(f"several ranks need mpi4py and an MPI (pip install 'dgnn-md[mpi]'): {last}")
    vendor = (done.stdout.strip().splitlines() or [""])[-1]  # libraries below an MPI may print lines of their own before
    family = _FAMILIES.get(vendor)
    if family is None:
        raise InputError(f"mpi4py uses {vendor}, and dgnn talks to {', '.join(sorted(set(_FAMILIES)))}")
    return family


@functools.cache
def launcher(family) -> str:
    """The path of that family's mpirun: beside this Python first, then on PATH."""
    here = os.pathsep.join([str(pathlib.Path(sys.prefix) / "bin"), os.environ.get("PATH", "")])
    for name in _NAMES[family]:
        path = shutil.which(name, path=here)
        if path and any(sign in _version(path) for sign in _SIGNS[family]):
            return path
    raise InputError(f"no launcher of {family} was found ({', '.join(_NAMES[family])} on PATH); mpi4py needs the mpirun "
                     "of the MPI that it loads, and MPI4PY_MPIABI chooses another MPI")


def _version(path):
    done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def run(arguments, environment, timeout):
    """subprocess.CompletedProcess; past the timeout, ends what it started and raises subprocess.TimeoutExpired."""
    process = subprocess.Popen(arguments, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        output, errors = process.communicate(timeout=timeout)
    except BaseException as error:
        output, errors = _end(process)
        if isinstance(error, subprocess.TimeoutExpired):
            error.stdout, error.stderr = output, errors
        raise
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


def _end(process):
    """The launcher ends its ranks when asked to; what is left after some seconds is killed."""
    for which in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, which)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=_GRACE_S)
    return "", ""
