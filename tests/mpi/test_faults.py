"""What goes wrong on one rank, under both MPIs: the same error on all within a second, and the model goes on.

What compute_mpi.py's "faults" leaves out: models that differ in dtype, parameters that differ, memory, a communicator
whose other ranks stay away.
"""

import pathlib
import time
import warnings

import numpy as np
import pytest
from test_transport import MPIS

from dgnn.testing import run_mpi

CASES = pathlib.Path(__file__).resolve().parent.parent / "data" / "cases"
RANKS = 3
CHECKS = {"disagreement": 4 * 3, "memory": 40 * 3, "split": 6}  # of each rank


def system(rank, size, n=24):
    rng = np.random.default_rng(8)
    places = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)[:n]
    coords = (places + rng.uniform(0.2, 0.8, (n, 3))) * 2.4
    return coords, rng.integers(0, 2, n).astype(np.int32), np.eye(3) * 7.2, np.arange(n)[rank::size]


def outcome(call):
    begin = time.monotonic()
    try:
        return call(), time.monotonic() - begin
    except Exception as error:
        return error, time.monotonic() - begin


def check_fault(comm, call, kind, text):
    """The number of checks made: the class, the message and the time."""
    found, seconds = outcome(call)
    assert isinstance(found, kind), f"{text}: {found!r}"
    messages = comm.allgather(str(found))
    assert all(text in message for message in messages) and len(set(messages)) == 1, messages
    assert seconds < 1, f"{text}: {seconds} s"
    return 3


def disagreement(comm):
    import dgnn
    from dgnn import _core, mpi

    coords, types, box, mine = system(comm.rank, comm.size)
    bad = comm.rank == comm.size - 1
    path = CASES / "dpa3_fparam_aparam" / "model.pt2"
    model, single = (dgnn.Model.load(path, threads=1, dtype=dtype) for dtype in ("float64", "float32"))
    info = model.info()
    fparam, aparam = np.full(info["dim_fparam"], 0.3), np.full((len(mine), info["dim_aparam"]), 0.2)
    shared = _core.Comm(mpi.transport(comm))  # models that differ are bound to one communicator only here

    def compute(model=model, fparam=fparam, **options):
        return model.compute(coords[mine], types[mine], box, fparam=fparam, aparam=aparam, comm=shared, **options)

    want, checks = compute().energy, 0
    for text, call in (
        ("model", lambda: compute(model=single if bad else model)),
        ("fparam: rank 2 has another", lambda: compute(fparam=fparam + bad)),
        ("pbc: rank 2 has another", lambda: compute(pbc=(1, 0, 1) if bad else (1, 1, 1))),
        ("box: rank 2 has another", lambda: model.compute(coords[mine], types[mine], box * (1 + 1e-9 * bad), comm=shared,
                                                          fparam=fparam, aparam=aparam)),
    ):
        checks += check_fault(comm, call, dgnn.InputError, text)
        assert compute().energy == want
    return checks


def memory(comm):
    """Each of forty allocations of a first call fails once, on rank 1."""
    import dgnn
    from dgnn import _core, mpi

    coords, types, box, mine = system(comm.rank, comm.size)
    shared, checks = _core.Comm(mpi.transport(comm)), 0
    path = CASES / "dpa3_base" / "model.pt2"
    want = dgnn.Model.load(path, threads=1).compute(coords, types, box).energy
    for nth in range(1, 41):
        model = dgnn.Model.load(path, threads=1)
        compute = lambda: model.compute(coords[mine], types[mine], box, comm=shared)  # noqa: E731
        if comm.rank == 1:
            _core._alloc_fail_at(nth)
        checks += check_fault(comm, compute, MemoryError, "rank 1: ")
        _core._alloc_fail_at(0)
        np.testing.assert_allclose(compute().energy, want, rtol=1e-13)
    return checks


def split(comm):
    """Only half of the ranks compute, while the others wait elsewhere: nothing is done with all ranks."""
    import dgnn

    path = CASES / "dpa3_base" / "model.pt2"
    model, checks = dgnn.Model.load(path, threads=1), 0
    for turn in range(6):
        half = comm.Split(comm.rank % 2, comm.rank)
        coords, types, box, mine = system(half.rank, half.size)
        if comm.rank % 2 == turn % 2:
            energy = model.compute(coords[mine], types[mine], box, comm=half).energy
            np.testing.assert_allclose(energy, model.compute(coords, types, box).energy, rtol=1e-13)
        checks += 1
        half.Free()
        comm.Barrier()
    return checks


@pytest.mark.parametrize("what", [disagreement, memory, split], ids=lambda what: what.__name__)
@pytest.mark.parametrize("mpi", MPIS)
def test_faults(mpi, what):
    warnings.simplefilter("ignore")
    assert run_mpi(what, RANKS, mpi=mpi, timeout=60).values == [CHECKS[what.__name__]] * RANKS
