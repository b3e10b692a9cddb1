"""The transport over each MPI: exchange_mpi.py under that MPI's own mpirun."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import compile as builder
import pytest

FOLDER = pathlib.Path(__file__).resolve().parent
MPIS = ("mpich", "openmpi")
CHECKS = {1: 734, 2: 1498, 4: 3001}  # of exchange_mpi.py with 40 plans


def launcher(mpi, ranks):
    """(command, environment) to start ranks; MPICH is PyPI's in this environment, Open MPI the system's."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("MPI4PY_MPIABI", None)
    if mpi == "mpich":
        here = str(pathlib.Path(sys.prefix) / "bin")
        command = shutil.which("mpiexec", path=here) or shutil.which("mpiexec.mpich")
        return command and [command, "-n", str(ranks)], environment
    environment.update(MPI4PY_MPIABI="openmpi")
    environment.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    command = shutil.which("mpirun.openmpi")
    return command and [command, "--oversubscribe", "-n", str(ranks)], environment


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    sources = [path for path in builder.core_sources() if path.parent.name in ("base", "comm")]
    sources += builder.with_helpers(FOLDER / "exchange_mpi.c")
    target = tmp_path_factory.mktemp("mpi") / "exchange_mpi.so"
    folder = builder.ROOT / "build" / "mpi"
    objects = builder.compile_objects(sources, "release", ["-Itests/c"], folder=folder)
    builder.link(objects, target, ["-shared", "-pthread", "-lm"])
    return target


@pytest.mark.parametrize("ranks", sorted(CHECKS))
@pytest.mark.parametrize("mpi", MPIS)
def test_exchange(mpi, ranks, library):
    command, environment = launcher(mpi, ranks)
    if not command:
        pytest.skip(f"no launcher of {mpi} was found")
    done = subprocess.run([*command, sys.executable, str(FOLDER / "exchange_mpi.py"), str(library), "40"],
                          env=environment, capture_output=True, text=True, timeout=300)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-6000:]
    found = re.findall(r"ok: (\d+) checks on (\d+) ranks, (\w+)", output)
    assert found, output[-2000:]
    checks, size, vendor = found[0]
    assert int(size) == ranks
    assert vendor == {"mpich": "MPICH", "openmpi": "Open"}[mpi]
    assert int(checks) == CHECKS[ranks]
