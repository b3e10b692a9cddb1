"""compute with a communicator under each MPI's own mpirun: compute_mpi.py."""

import pathlib
import re
import subprocess
import sys

import pytest
from test_transport import MPIS, launcher

FOLDER = pathlib.Path(__file__).resolve().parent
# what -> ranks -> checks: a run that skips some is seen
RUNS = {
    "random": {1: 918, 2: 918, 4: 918, 6: 918, 8: 918},
    "frames": {1: 20, 3: 20},
    "replicated": {1: 72, 2: 72, 4: 72},
    "spins": {1: 22, 3: 22},
    "faults": {1: 121, 2: 164, 3: 164, 4: 164},
    "split": {1: 252, 3: 252, 4: 252},
    "lifetime": {1: 28, 2: 28},
    "ghosted": {1: 576, 2: 576, 4: 1152, 8: 576},
}
LAUNCHES = [(what, ranks) for what in RUNS for ranks in RUNS[what]]


def run(mpi, ranks, what, **variables):
    command, environment = launcher(mpi, ranks)
    if not command:
        pytest.skip(f"no launcher of {mpi} was found")
    environment.update(variables)
    done = subprocess.run([*command, sys.executable, str(FOLDER / "compute_mpi.py"), what], env=environment,
                          capture_output=True, text=True, timeout=300)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-6000:]
    found = re.findall(r"ok: (\d+) checks on (\d+) ranks, (\w+)", output)
    assert found, output[-2000:]
    checks, size, vendor = found[0]
    assert int(size) == ranks
    assert vendor == {"mpich": "MPICH", "openmpi": "Open"}[mpi]
    return int(checks)


@pytest.mark.parametrize("what, ranks", LAUNCHES, ids=lambda value: str(value))
@pytest.mark.parametrize("mpi", MPIS)
def test_compute(mpi, what, ranks):
    assert run(mpi, ranks, what) == RUNS[what][ranks]
