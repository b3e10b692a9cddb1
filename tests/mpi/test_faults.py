"""What goes wrong on one rank, under both MPIs: the same error with the same words on all within a second, and the model
goes on. Each of the ranks' disagreements and bad inputs; memory; a communicator whose other ranks stay away.
"""

import copy
import pathlib
import subprocess
import sys
import threading
import time
import warnings

import brick
import numpy as np
import pytest
from test_transport import MPIS, launcher

import dgnn
from dgnn.testing import run_mpi

CASES = pathlib.Path(__file__).resolve().parent.parent / "data" / "cases"
RANKS = 3
CHECKS = {"cached": 6 * 3, "disagreement": 21 * 3, "parameters": 17 * 3, "borders": 17 * 3, "memory": 40 * 3, "split": 6}  # of each rank


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


def check_faults(comm, faults, good):
    """faults: [(what all messages contain, call)]; after each, the result of good() is that of before."""
    want, checks = good().energy, 0
    for message, call in faults:
        checks += check_fault(comm, call, dgnn.InputError, message)
        assert good().energy == want
    return checks


def load(name, **options):
    return dgnn.Model.load(CASES / name / "model.pt2", threads=1, **options)


def disagreement(comm):
    """Ranks that are about to compute different things."""
    coords, types, box, mine = system(comm.rank, comm.size)
    bad = comm.rank == 2
    ids = np.arange(24)[mine] + 100
    model, other, single, thick = load("dpa3_base"), load("dpa3_tanh"), load("dpa3_base", dtype="float32"), \
        load("dpa3_base", skin=0.7)
    spin = load("spin_dpa3")
    frames = np.stack([coords[mine]] * 3)

    def compute(coords=coords[mine], types=types[mine], box=box, model=model, **options):
        return model.compute(coords, types, box, comm=comm, **options)

    def nan():
        moved = coords[mine].copy()
        moved[3, 2] = np.nan if bad else moved[3, 2]
        return moved

    return check_faults(comm, [
        ("rank 2 is in compute with model ", lambda: compute(model=other if bad else model)),
        ("dtype of the model: rank 2 has another", lambda: compute(model=single if bad else model)),
        ("skin of the model: rank 2 has another", lambda: compute(model=thick if bad else model)),
        ("rank 2 is in compute with model ", lambda: compute(model=spin if bad else model, spins=coords[mine] if bad else None)),
        ("box: rank 2 has another", lambda: compute(box=box * (1 + 1e-9 * bad))),
        ("box: rank 2 has another", lambda: compute(box=None if bad else box, pbc=False)),
        ("pbc: rank 2 has another", lambda: compute(pbc=(1, 0, 1) if bad else (1, 1, 1))),
        ("grid: rank 2 has another", lambda: compute(grid=(1, 3, 1) if bad else (3, 1, 1))),
        ("grid: found 2 x 2 x 1; the communicator has 3 ranks", lambda: compute(grid=(2, 2, 1))),
        ("replicated: rank 2 has another", lambda: compute(replicated=bad)),
        ("whole system (replicated: coords, types, spins, ids, aparam): rank 2 has another",
         lambda: compute(coords + 1e-12 * bad, types, replicated=True)),
        ("ids: rank 0 passes ids and rank 2 none", lambda: compute(ids=None if bad else ids)),
        ("ids: 101 is there more than once", lambda: compute(ids=np.r_[101, ids[1:]] if bad else ids)),
        ("rank 2: ids: atom 0 has id -1", lambda: compute(ids=np.r_[-1, ids[1:]] if bad else ids)),
        ("rank 2: spins: given, but this is no spin model", lambda: compute(spins=np.ones((8, 3)) if bad else None)),
        ("rank 2: coords: atom 3 has z = nan", lambda: compute(nan())),
        ("rank 2: types: atom 0 has type 7", lambda: compute(types=np.full(8, 7) if bad else types[mine])),
        ("rank 2 is in compute of 2 frames", lambda: compute(frames[:2] if bad else frames)),
        ("rank 2 is in compute_ghosted with", lambda: model.compute_ghosted(coords[mine], types[mine], 8, comm=comm)
         if bad else compute()),
        ("rank 2: atomic: expected True or False", lambda: compute(atomic="no" if bad else False)),
        ("rank 2: coords: atom 3 has z = nan", lambda: compute(nan()[None] if bad else frames[:1])),
    ], lambda: compute(ids=ids))


def parameters(comm):
    """What is said of the frame, and of spins."""
    coords, types, box, mine = system(comm.rank, comm.size)
    bad = comm.rank == 1
    charged, spin, model = load("dpa3_charge_spin"), load("spin_dpa3"), load("dpa3_fparam_aparam")
    fparam, aparam, spins = np.array([0.3, 0.1]), np.full((8, 1), 0.2), np.full((8, 3), 0.4)

    def compute(**options):
        options = dict(fparam=fparam, aparam=aparam) | options
        return model.compute(coords[mine], types[mine], box, comm=comm, **options)

    def with_charge(charge_spin=(1.0, 2.0)):
        return charged.compute(coords[mine], types[mine], box, comm=comm, charge_spin=charge_spin)

    def with_spins(spins=spins):
        return spin.compute(coords[mine], types[mine], box, comm=comm, spins=spins)

    checks = check_faults(comm, [
        ("fparam: rank 1 has another", lambda: compute(fparam=fparam + 1e-9 * bad)),
        ("rank 1: fparam: found 0 numbers; this model takes 2", lambda: compute(fparam=None if bad else fparam)),
        ("rank 1: fparam: found 3 numbers; this model takes 2", lambda: compute(fparam=np.ones(3) if bad else fparam)),
        ("rank 1: fparam: element 1 is inf", lambda: compute(fparam=[0.3, np.inf] if bad else fparam)),
        ("rank 1: aparam: found 0 numbers per atom; this model takes 1", lambda: compute(aparam=None if bad else aparam)),
        ("rank 1: aparam: expected shape ", lambda: compute(aparam=aparam[1:] if bad else aparam)),
        ("rank 1: aparam: atom 0 has nan in column 0", lambda: compute(aparam=aparam * np.nan if bad else aparam)),
        ("rank 1: charge_spin: this model takes none", lambda: compute(charge_spin=(1, 2) if bad else None)),
    ], compute)
    checks += check_faults(comm, [
        ("charge_spin: rank 1 has another", lambda: with_charge((1, 3) if bad else (1, 2))),
        ("rank 1: charge_spin: this model needs charge and spin", lambda: with_charge(None if bad else (1, 2))),
        ("rank 1: charge_spin: expected shape (2,)", lambda: with_charge((1, 2, 3) if bad else (1, 2))),
        ("rank 1: charge_spin: element 0 is nan", lambda: with_charge((np.nan, 2) if bad else (1, 2))),
    ], with_charge)
    return checks + check_faults(comm, [
        ("rank 1: spins: found none; this is a spin model", lambda: with_spins(None if bad else spins)),
        ("rank 1: spins: expected shape ", lambda: with_spins(spins[:, :2] if bad else spins)),
        ("rank 1: spins: expected numbers, found dtype complex128", lambda: with_spins(spins * 1j if bad else spins)),
        ("rank 1: spins: atom 0 has nan in column 0", lambda: with_spins(spins * np.nan if bad else spins)),
        ("rank 0: spins: found none", lambda: with_spins(None)),
    ], with_spins)


def borders(comm):
    """A host's border of which one rank has another idea: rank, swap and field are named."""
    coords, types, box, _ = system(comm.rank, comm.size)
    model, bad = load("dpa3_base"), comm.rank == 2
    mine = brick.build(coords % 7.2, [7.2] * 3, (3, 1, 1), model.cutoff + 0.5)[comm.rank]
    again = types[mine.ids]

    def compute(change=None, types=again, **options):
        rank = copy.deepcopy(mine)
        if change and bad:
            change(rank)
        border = dgnn.Border(rank.sendlists, rank.sendproc, rank.recvproc, rank.sendnum, rank.recvnum, rank.firstrecv)
        return model.compute_ghosted(rank.coords, types[:len(rank.ids)], rank.nlocal,
                                     **dict(border=border, comm=comm) | options)

    def field(name, swap, value, also=lambda rank: None):
        def change(rank):
            getattr(rank, name)[swap] = value(getattr(rank, name)[swap]) if callable(value) else value
            also(rank)

        return lambda: compute(change)

    def send_less(rank):
        rank.sendlists[0] = rank.sendlists[0][1:]

    def shift_window(rank):
        rank.recvnum[1] += 1
        rank.firstrecv = None

    def no_swaps(rank):
        rank.ids, rank.coords = rank.ids[:rank.nlocal], rank.coords[:rank.nlocal]
        for name in ("sendlists", "sendproc", "recvproc", "sendnum", "recvnum", "firstrecv"):
            setattr(rank, name, [])

    def far_row(rank):
        rank.sendlists[1][0] = len(rank.ids)

    def ghost(value):
        changed = again.copy()
        changed[mine.nlocal + 2] = value(changed[mine.nlocal + 2]) if bad else changed[mine.nlocal + 2]
        return changed

    nswap = len(mine.sendnum)
    return check_faults(comm, [
        ("border: swap 0: sendnum of rank 2 is ", field("sendnum", 0, lambda n: n - 1, send_less)),
        ("recvnum of rank 2 is ", field("recvnum", 0, lambda n: n - 1, shift_window)),
        ("border: swap 0: sendproc of rank 2 is 0, but recvproc of rank 0 is 1", field("sendproc", 0, 0)),
        ("border: swap 1: recvproc of rank 2 is 0, but sendproc of rank 0 is not 2", field("recvproc", 1, 0)),
        (f"border: nswap is {nswap} on rank 0 and 0 on rank 2", lambda: compute(no_swaps)),
        ("rank 2: border: swap 1: firstrecv is ", field("firstrecv", 1, lambda row: row + 1)),
        ("rank 2: border: swap 1: sendlist[0] is row ", lambda: compute(far_row)),
        ("rank 2: border: swap 3: sendproc is 7", field("sendproc", 3, 7)),
        ("rank 2: border: swap 0: sendproc is 2 and recvproc 0", field("sendproc", 0, 2)),
        ("rank 2: border: swap 0: recvnum is -1", field("recvnum", 0, -1)),
        ("rank 2: types: ghost row ", lambda: compute(types=ghost(lambda kind: -1))),
        ("rank 2: types: ghost row ", lambda: compute(types=ghost(lambda kind: 1 - kind))),
        ("kind of plan (border, direct, mapping or none): rank 2 has another",
         lambda: compute(**({"border": None, "mapping": np.r_[:mine.nlocal, [0] * (len(again) - mine.nlocal)]} if bad else {}),
                         types=np.zeros_like(again) if bad else again)),
        ("rank 2: border: this model passes messages", lambda: compute(**({"border": None} if bad else {}))),
        ("ghost_forces: rank 2 has another", lambda: compute(ghost_forces="add" if bad else "return")),
        ("same_list: rank 2 has another", lambda: compute(same_list=bad)),
        ("rank 2: same_list: the last call had other types", lambda: compute(types=ghost(lambda kind: -1), same_list=True)),
    ], compute)


def models(comm):
    """More models in turn than duplicates of a communicator are kept; each has its plan, or makes it again."""
    from dgnn import communicators

    communicators._KEPT = 2
    coords, types, box, mine = system(comm.rank, comm.size)
    loaded = [load(name) for name in ("dpa3_base", "dpa3_tanh", "dpa2_base", "dpa3_two_heads", "dpa3_base")]
    want = [model.compute(coords, types, box).energy for model in loaded]
    for _ in range(3):
        for k in (0, 1, 0, 2, 3, 4, 4, 0):
            found = loaded[k].compute(coords[mine], types[mine], box, comm=comm).energy
            np.testing.assert_allclose(found, want[k], rtol=1e-12)
    assert len(communicators._bound_to(None, comm).models) == 2
    return True


def unusable(comm):
    """Communicators on which nobody can compute, and one whose other ranks stay away."""
    coords, types, box, mine = system(comm.rank, comm.size)
    model = load("dpa3_base")
    half = comm.Split(comm.rank % 2, comm.rank)
    inter = half.Create_intercomm(0, comm, 1 - comm.rank % 2, 7)
    freed = comm.Dup()
    freed.Free()

    def compute(comm):
        return model.compute(coords[mine], types[mine], box, comm=comm)

    for which, message in ((inter, "an inter-communicator"), (freed, "a null communicator"), ("world", "found str")):
        found, seconds = outcome(lambda which=which: compute(which))
        assert type(found) is dgnn.InputError and message in str(found) and seconds < 1, found
    from dgnn import communicators

    communicators.DEADLINE = 1.0
    alone = comm.Dup()
    assert np.isfinite(compute(alone).energy)
    communicators.DEADLINE = 300.0
    if comm.rank != 1:
        found, seconds = outcome(lambda: compute(alone))
        assert type(found) is dgnn.CommError and 0.9 < seconds < 10, (found, seconds)
        assert str(found).startswith("in compute with model ") and f"rank {comm.rank} waited 1 s" in str(found), found
        found, seconds = outcome(lambda: compute(alone))
        assert type(found) is dgnn.CommError and "failed earlier" in str(found) and seconds < 0.5, found
    assert np.isfinite(compute(comm).energy)  # another communicator
    inter.Free()
    half.Free()
    return True


def beside(comm):
    """Rank 1's model computes in another thread: the ranks' calls are right."""
    coords, types, box, mine = system(comm.rank, comm.size)
    model = load("dpa3_base")
    want = model.compute(coords, types, box).energy
    many = np.random.default_rng(1).random((3000, 3)) * 40
    kinds, begun = np.arange(3000) % 2, threading.Event()

    def alone():
        begun.set()
        model.compute(many, kinds, np.eye(3) * 40)

    thread = threading.Thread(target=alone)
    if comm.rank == 1:
        thread.start()
        begun.wait()
    for _ in range(3):
        found = model.compute(coords[mine], types[mine], box, comm=comm)
        np.testing.assert_allclose(found.energy, want, rtol=1e-13)
    if comm.rank == 1:
        thread.join()
    return True


def cached(comm):
    """The ASE calculator's decision whether it must compute is that of all ranks."""
    from ase import Atoms

    from dgnn.calculator import DGNNCalculator

    coords, types, box, _ = system(comm.rank, comm.size)
    bad, checks = comm.rank == 1, 0
    atoms = Atoms(np.array(["O", "H"])[types], coords, cell=box, pbc=True)
    atoms.calc = DGNNCalculator(load("dpa3_base"), comm=comm)
    want = atoms.get_potential_energy(), atoms.get_forces()

    def same():
        return atoms.get_potential_energy() == want[0] and np.array_equal(atoms.get_forces(), want[1])

    for ask in (atoms.get_potential_energy, atoms.get_forces, atoms.get_stress):
        atoms.positions[2, 1] += 0.1 * bad  # one rank's atoms alone changed since the last call
        checks += check_fault(comm, ask, dgnn.InputError, "whole system (replicated: coords, types, spins, ids, aparam): rank")
        atoms.positions = coords
        assert same()
    for name in ("spins", "initial_magmoms"):  # arrays, of one rank alone
        if bad:
            atoms.set_array(name, np.ones((24, 3)))
        checks += check_fault(comm, atoms.get_forces, dgnn.InputError, "rank 1: ") if name == "spins" else 0
        atoms.arrays.pop(name, None)
        assert same()
    if bad:
        atoms.calc.reset()  # one rank's results alone are gone: all compute
    assert same()
    checks += check_fault(comm, atoms.get_stress if bad else atoms.get_forces, dgnn.InputError,
                          "rank 1 is in get_property stress while rank 0 is in get_property forces")
    checks += check_fault(comm, lambda: atoms.calc.get_property("energy", 3 if bad else atoms), dgnn.InputError,
                          "rank 1: AttributeError: ")
    assert same()
    found, seconds = outcome(atoms.get_dipole_moment)
    assert isinstance(found, NotImplementedError) and seconds < 1
    if bad:  # what is there is for this rank alone
        assert atoms.calc.get_property("energy", atoms, allow_calculation=False) == want[0]
    assert same()
    return checks


def memory(comm):
    """Each of forty allocations of a first call fails once, on rank 1."""
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


@pytest.mark.parametrize("what", [cached, disagreement, parameters, borders, memory, split], ids=lambda what: what.__name__)
@pytest.mark.parametrize("mpi", MPIS)
def test_faults(mpi, what):
    warnings.simplefilter("ignore")
    assert run_mpi(what, RANKS, mpi=mpi, timeout=60).values == [CHECKS[what.__name__]] * RANKS


@pytest.mark.parametrize("mpi", MPIS)
def test_model_in_two_threads(mpi):
    assert run_mpi(beside, RANKS, mpi=mpi, timeout=60).values == [True] * RANKS


@pytest.mark.parametrize("what", [models, unusable], ids=lambda what: what.__name__)
@pytest.mark.parametrize("mpi", MPIS)
def test_communicators(mpi, what):
    warnings.simplefilter("ignore")
    assert run_mpi(what, RANKS, mpi=mpi, timeout=60).values == [True] * RANKS


MPI_IS_NOT_UP = """
import mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
import dgnn, sys
model = dgnn.Model.load(sys.argv[1], threads=1)
compute = lambda comm=None: model.compute([[0.0, 0, 0], [0, 0, 1.1]], [0, 1], comm=comm).energy
def refused():
    try:
        compute(MPI.COMM_WORLD)
    except dgnn.InputError as error:
        return "MPI is not initialised, or finalised already" in str(error)
assert refused()
MPI.Init()
assert abs(compute(MPI.COMM_WORLD) - compute()) < 1e-12
MPI.Finalize()
assert refused() and compute()
print("ok")
"""


@pytest.mark.parametrize("mpi", MPIS)
def test_mpi_is_not_up(mpi):
    command, environment = launcher(mpi, 1)
    if not command:
        pytest.skip(f"no launcher of {mpi} was found")
    done = subprocess.run([*command, sys.executable, "-c", MPI_IS_NOT_UP, str(CASES / "dpa3_base" / "model.pt2")],
                          env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == "ok\n", done.stdout + done.stderr
