"""Run under mpirun: rank 0 reads and writes for all; archives with damaged programs on many ranks; errors are agreed.

    mpirun -n 2 python trust_mpi.py FOLDER
"""

import os
import pathlib
import pickle
import sys

import numpy as np
from mpi4py import MPI

import dgnn

WORLD = MPI.COMM_WORLD
FOLDER = pathlib.Path(sys.argv[1])
CASES = pathlib.Path(__file__).resolve().parent.parent / "data" / "cases"


def all_raise(kind, text, call):
    try:
        call()
        found = ("none", "")
    except Exception as error:
        found = (type(error).__name__, str(error))
    everyone = WORLD.allgather(found)
    assert all(name == kind and text in message for name, message in everyone), everyone


def main():
    rng = np.random.default_rng(1)
    coords, types, box = rng.random((40, 3)) * 9, rng.integers(0, 2, 40), np.eye(3) * 9
    path = CASES / "dpa3_base" / "model.pt2"
    mine = path if WORLD.rank == 0 else pathlib.Path("/only/rank/0/has/it.pt2")
    model = dgnn.Model.load(mine, comm=WORLD, threads=1)
    want = dgnn.Model.load(path, threads=1).compute(coords, types, box)
    for kind in ("dgnn", "dp", "yaml"):
        model.save(FOLDER / f"model.{kind}", comm=WORLD)
        again = dgnn.Model.load(FOLDER / f"model.{kind}", comm=WORLD, threads=1)
        result = again.compute(coords, types, box, comm=WORLD, replicated=True)
        assert np.abs(result.forces - want.forces).max() < 1e-11
    all_raise("FileNotFoundError", "absent", lambda: dgnn.Model.load(FOLDER / "absent.pt2", comm=WORLD))
    all_raise("InputError", "memory", lambda: dgnn.Model.load(path, memory="fast" if WORLD.rank else "tiny", comm=WORLD))
    all_raise("InputError", "memory", lambda: dgnn.Model.load(path, memory="tiny" if WORLD.rank else "fast", comm=WORLD))
    all_raise("FileNotFoundError", "no/such", lambda: model.save(FOLDER / "no/such" / "x.dgnn", comm=WORLD))
    other = dgnn.Model.load(CASES / "dpa3_tanh" / "model.pt2") if WORLD.rank else model
    all_raise("InputError", "rank 1 has another model", lambda: other.save(FOLDER / "x.dgnn", comm=WORLD))
    for name in pickle.loads((FOLDER / "names").read_bytes()):
        real = dgnn.Model.load(FOLDER / name, comm=WORLD, threads=1)
        one, many = real.compute(coords, types, box), real.compute(coords, types, box, comm=WORLD, replicated=True)
        assert np.abs(one.forces).max() > 1e-3 and np.abs(one.forces - many.forces).max() < 1e-11
    WORLD.Barrier()
    if WORLD.rank == 0:
        assert not [name for name in os.listdir(FOLDER) if ".tmp." in name]
        print(f"ok: {WORLD.size} ranks", flush=True)


try:
    main()
except BaseException:
    import traceback

    traceback.print_exc()
    WORLD.Abort(1)
