"""Run under mpirun: compute with a communicator against one rank. Prints "ok: N checks on P ranks, VENDOR" on rank 0.

    mpirun -n 4 python compute_mpi.py random|frames|replicated|spins|faults|split|lifetime|ghosted
"""

import gc
import os
import pathlib
import sys
import time
import warnings

import brick
import numpy as np
from mpi4py import MPI

import dgnn

DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "cases"
WORLD = MPI.COMM_WORLD
CHECKS = 0


def check(good, text):
    """All ranks check; a failure names its rank and ends the job."""
    global CHECKS
    CHECKS += 1
    if not good:
        print(f"rank {WORLD.rank}: failed: {text}", file=sys.stderr, flush=True)
        WORLD.Abort(1)


def load(name, **options):
    return dgnn.Model.load(DATA / name / "model.pt2", threads=1, **options)


def random_system(rng, n, pbc=None, skew=0.0, density=0.06):
    """Atoms no closer than about 0.7 Å; all ranks make the same one."""
    edge = (n / density) ** (1 / 3)
    box = np.diag(edge * rng.uniform(0.7, 1.4, 3))
    box[1, 0], box[2, 0], box[2, 1] = skew * edge * rng.uniform(-1, 1, 3)
    side = int(np.ceil(n ** (1 / 3)))
    cells = rng.permutation(side**3)[:n]
    grid = np.stack([cells % side, cells // side % side, cells // side**2], axis=1)
    coords = (grid + rng.uniform(0.25, 0.75, (n, 3))) / side @ box
    types = rng.integers(0, 2, n).astype(np.int32)
    types[rng.uniform(size=n) < 0.1] = -1
    pbc = rng.uniform(size=3) < 0.75 if pbc is None else pbc
    coords += (rng.integers(-2, 3, (n, 3)) * pbc) @ box
    return coords, types, box, tuple(bool(p) for p in pbc)


def parameters(model, rng, n):
    """Arguments of the system, and of each atom."""
    info = model.info()
    given, each = {}, {}
    if info["dim_fparam"]:
        given["fparam"] = rng.uniform(-1, 1, info["dim_fparam"])
    if info["dim_aparam"]:
        each["aparam"] = rng.uniform(-1, 1, (n, info["dim_aparam"]))
    if info["dim_charge_spin"]:
        given["charge_spin"] = np.array([1.0, 2.0])
    if info["is_spin"]:
        each["spins"] = rng.uniform(-0.8, 0.8, (n, 3))
    return given, each


def of(each, rows):
    return {name: values[rows] for name, values in each.items()}


def share(largest_of, got, want, tolerance):
    """The largest difference over its tolerance."""
    return float(np.abs(np.asarray(got) - want).max(initial=0) / (tolerance * max(1.0, np.abs(largest_of).max(initial=0))))


def compare(result, want, mine, parts=1e-11, energy=1e-13):
    magnitude = max(1.0, float(np.abs(want.atom_energy).sum()))
    check(abs(result.energy - want.energy) <= energy * magnitude, f"energy {result.energy!r}, {want.energy!r}")
    for name in ("virial", "forces", "forces_mag", "atom_energy", "atom_virial"):
        got, expected = getattr(result, name), getattr(want, name)
        if expected is not None:
            part = expected if name == "virial" else expected[mine]
            check(share(expected, got, part, parts) <= 1, f"{name}: {share(expected, got, part, parts)}")
    totals = WORLD_OF.allgather((np.float64(result.energy).tobytes(), result.virial.tobytes()))
    check(len(set(totals)) == 1, "totals are not the same bits on all ranks")


WORLD_OF = WORLD  # the communicator under test
TURN = 0


def computed(compute, *arguments, **options):
    """What a call of all ranks gives with per-atom virials. Without them, before or after it in turn, all else is the
    same bits."""
    global TURN
    TURN += 1
    order = (True, False) if TURN % 2 else (False, True)
    results = {atomic: compute(*arguments, atomic=atomic, **options) for atomic in order}
    other = [name for name in ("energy", "virial", "forces", "forces_mag", "atom_energy")
             if np.asarray(getattr(results[True], name)).tobytes() != np.asarray(getattr(results[False], name)).tobytes()
             and getattr(results[True], name) is not getattr(results[False], name)]
    check(results[False].atom_virial is None and results[True].atom_virial is not None and not other,
          f"other bits without per-atom virials: {other}")
    return results[True]


def split(rng, n, comm):
    """An owner for each atom; some ranks may have none."""
    mode = rng.integers(4)
    owner = rng.integers(0, comm.size, n)
    if mode == 0:
        owner[:] = comm.size - 1
    if mode == 1 and comm.size > 1:
        owner[owner == 0] = comm.size - 1
    return owner


def one_random(model, serial, rng, comm, grid=None, **tolerance):
    n = int(rng.integers(2, 120))
    coords, types, box, pbc = random_system(rng, n, skew=rng.choice([0.0, 0.5]))
    given, each = parameters(model, rng, n)
    mine = np.flatnonzero(split(rng, n, comm) == comm.rank)
    ids = rng.permutation(10 * n)[:n]
    for step in range(3):  # fresh, moved a little (reused), moved much (rebuilt)
        moved = coords + (0, 0.1, 1.5)[step] * rng.uniform(-0.5, 0.5, (n, 3))
        if "spins" in each:
            each["spins"] = each["spins"] + (0, 0.1, 1.5)[step] * rng.uniform(-0.5, 0.5, (n, 3))
        result = computed(model.compute, moved[mine], types[mine], box, pbc=pbc, ids=ids[mine], comm=comm, grid=grid,
                          **of(each, mine), **given)
        want = serial.compute(moved, types, box, pbc=pbc, ids=ids, atomic=True, **each, **given)
        compare(result, want, mine, **tolerance)


def run_random():
    rng = np.random.default_rng(1)
    tolerances = {"dpa3_f32": dict(parts=1e-5, energy=1e-6), "spin_f32": dict(parts=1e-5, energy=1e-6)}
    for name in ("dpa3_base", "dpa3_fparam_aparam", "dpa3_f32", "dpa3_small_sel", "spin_fparam", "spin_dpa2", "spin_f32",
                 "dpa4c_spin", "dpa4c_charge_spin"):
        model, serial = load(name), load(name, skin=0)
        for _ in range(1 if model.is_spin else 4):
            one_random(model, serial, rng, WORLD, **tolerances.get(name, {}))
        for grid in [(WORLD.size, 1, 1), (1, 1, WORLD.size)]:
            one_random(model, serial, rng, WORLD, grid=grid, **tolerances.get(name, {}))


def run_frames():
    """Each frame with a cell and parameters of its own."""
    rng = np.random.default_rng(2)
    model, serial = load("dpa3_fparam_aparam"), load("dpa3_fparam_aparam", skin=0)
    coords, types, box, _ = random_system(rng, 30, pbc=(True,) * 3)
    frames, boxes = coords + 0.1 * rng.uniform(-1, 1, (3, 30, 3)), box * rng.uniform(1, 1.05, (3, 1, 1))
    given, each = zip(*(parameters(model, rng, 30) for _ in frames))
    mine = np.flatnonzero(np.arange(30) % WORLD.size == WORLD.rank)
    stacked = {name: np.stack([values[name] for values in given]) for name in given[0]}
    result = computed(model.compute, frames[:, mine], types[mine], boxes, comm=WORLD, **stacked,
                      aparam=np.stack([values["aparam"][mine] for values in each]))
    check(result.forces.shape == (3, len(mine), 3), "frames")
    for k in range(3):
        want = serial.compute(frames[k], types, boxes[k], atomic=True, **given[k], **each[k])
        got = {name: value[k] for name, value in vars(result).items() if value is not None}
        compare(dgnn.Result(**got), want, mine)


def run_replicated():
    rng = np.random.default_rng(3)
    for name, sizes in (("dpa3_base", (1, 2, 7, 64)), ("spin_dpa3", (7,))):
        model, serial = load(name), load(name, skin=0)
        for n in sizes:
            coords, types, box, pbc = random_system(rng, n)
            given, each = parameters(model, rng, n)
            for ids in (None, rng.permutation(5 * n)[:n]):
                options = dict(pbc=pbc, ids=ids, **given, **each)
                result = computed(model.compute, coords, types, box, comm=WORLD, replicated=True, **options)
                compare(result, serial.compute(coords, types, box, atomic=True, **options), np.arange(n))


def run_spins():
    """Frames; rank 0 has no atoms where there are others, and passes no spins."""
    rng = np.random.default_rng(8)
    model, serial = load("spin_fparam"), load("spin_fparam", skin=0)
    coords, types, box, _ = random_system(rng, 30, pbc=(True,) * 3)
    coords = coords + 0.1 * rng.uniform(-1, 1, (2, 30, 3))
    given, each = parameters(model, rng, 30)
    each["spins"] = each["spins"] * rng.uniform(0.8, 1.2, (2, 1, 1))
    owner = np.arange(30) % WORLD.size
    owner[owner == 0] = WORLD.size - 1
    mine = np.flatnonzero(owner == WORLD.rank)
    for k, want in enumerate(serial.compute(coords[j], types, box, spins=each["spins"][j], aparam=each["aparam"],
                                            atomic=True, **given) for j in range(2)):
        options = dict(spins=each["spins"][k, mine], aparam=each["aparam"][mine]) if len(mine) else {}
        result = computed(model.compute, coords[k, mine], types[mine], box, comm=WORLD, **options, **given)
        check(result.forces_mag is not None and result.forces_mag.shape == (len(mine), 3), "the shape of forces_mag")
        compare(result, want, mine)
        options = dict(spins=each["spins"][:, mine], aparam=each["aparam"][mine]) if len(mine) else {}
        frames = model.compute(coords[:, mine], types[mine], box, comm=WORLD, **options, **given)
        check(frames.forces_mag.shape == (2, len(mine), 3), "the shape of forces_mag, frames")
        check(share(want.forces_mag, frames.forces_mag[k], want.forces_mag[mine], 1e-11) <= 1, "frames: forces_mag")


def all_raise(kind, text, call):
    """The same error with the same words on all ranks, within 5 seconds."""
    start = time.monotonic()
    try:
        call()
        found = "no error"
    except dgnn.Error as error:
        found = f"{type(error).__name__}: {error}"
    check(time.monotonic() - start < 5, f"{text}: took {time.monotonic() - start:.1f} s")
    check(found.startswith(kind) and text in found, f"{text}: {found}")
    check(len(set(WORLD.allgather(found))) == 1, f"{text}: {WORLD.allgather(found)}")


def run_faults():
    rng = np.random.default_rng(4)
    model, serial = load("dpa3_base"), load("dpa3_base", skin=0)
    coords, types, box, _ = random_system(rng, 40, pbc=(True,) * 3)
    types[types < 0] = 0
    bad = WORLD.rank == WORLD.size - 1
    mine = np.flatnonzero(np.arange(40) % WORLD.size == WORLD.rank)

    def call(coords=coords[mine], types=types[mine], box=box, **options):
        return model.compute(coords, types, box, comm=WORLD, **options)

    nan = coords[mine].copy()
    nan[0, 1] = np.nan
    other = load("dpa3_tanh")
    several = WORLD.size > 1
    faults = [
        ("coords: atom 0 has y = nan", lambda: call(nan if bad else coords[mine])),
        ("types: atom 0 has type 7", lambda: call(types=np.full(len(mine), 7) if bad else types[mine])),
        ("types: the model knows", lambda: call(types=["Xx"] * len(mine) if bad else types[mine])),
        ("coords: ", lambda: call(coords[mine][:, :2] if bad else coords[mine])),
        ("types: ", lambda: call(types=types[mine][1:] if bad else types[mine])),
        ("grid: found 7 x 3 x 1", lambda: call(grid=(7, 3, 1))),
        ("grid: expected three", lambda: call(grid=(0, 1, 1) if bad else None)),
        ("ids: 3 is there more than once", lambda: call(ids=np.full(len(mine), 3))),
        ("charge_spin: ", lambda: call(charge_spin=[1, 2] if bad else None)),
    ]
    if several:
        faults += [
            ("box: ", lambda: call(box=box * 1.5 if bad else box)),
            ("pbc: ", lambda: call(pbc=(1, 1, 0) if bad else (1, 1, 1))),
            ("whole system", lambda: call(coords + bad, types, replicated=True)),
            ("replicated: ", lambda: call(replicated=bad)),
        ]
    for text, fault in faults:
        all_raise("InputError", text, fault)
        compare(computed(call), serial.compute(coords, types, box, atomic=True), mine)
    spins = rng.uniform(-0.8, 0.8, (40, 3))
    spin, alone = load("spin_dpa3"), load("spin_dpa3", skin=0)
    for text, given in (("spins: found none", None), ("spins: ", spins[mine][:, :2])):
        all_raise("InputError", text, lambda given=given: spin.compute(coords[mine], types[mine], box, comm=WORLD,
                                                                       spins=given if bad else spins[mine]))
        compare(computed(spin.compute, coords[mine], types[mine], box, spins=spins[mine], comm=WORLD),
                alone.compute(coords, types, box, spins=spins, atomic=True), mine)
    all_raise("InputError", "spins: given", lambda: call(spins=spins[mine] if bad else None))
    if several:
        pair = WORLD.Dup()
        from dgnn import _core, mpi

        communicator = _core.Comm(mpi.transport(pair))
        all_raise("InputError", "model: ",
                  lambda: (other if bad else model).compute(coords[mine], types[mine], box, comm=communicator))
        communicator.close()
        pair.Free()
    null = MPI.COMM_NULL
    all_raise("InputError", "null communicator", lambda: model.compute(coords, types, box, comm=null))
    all_raise("InputError", "expected an mpi4py communicator", lambda: model.compute(coords, types, box, comm=3))


def run_split():
    """Halves compute different systems at once; two models alternate on overlapping communicators."""
    global WORLD_OF
    half = WORLD.Split(WORLD.rank % 2, -WORLD.rank)
    models = [(load(name), load(name, skin=0)) for name in ("dpa3_base", "dpa3_tanh")]
    for turn in range(3):
        for k, (model, serial) in enumerate(models):
            WORLD_OF = half
            one_random(model, serial, np.random.default_rng(100 * turn + 10 * k + WORLD.rank % 2), half)
            WORLD_OF = WORLD
            one_random(model, serial, np.random.default_rng(900 + turn), WORLD)
    half.Free()


def run_lifetime():
    """A communicator, a model and what binds them are freed in any order; some are left to the exit."""
    rng = np.random.default_rng(5)
    coords, types, box, _ = random_system(rng, 20, pbc=(True,) * 3)
    mine = np.flatnonzero(np.arange(20) % WORLD.size == WORLD.rank)
    for order in ("model", "comm", "exit"):
        for _ in range(5):
            model, comm = load("dpa3_base"), WORLD.Dup()
            energy = model.compute(coords[mine], types[mine], box, comm=comm).energy
            check(np.isfinite(energy), "finite")
            if order == "model":
                model.close()
                del model
                gc.collect()
                comm.Free()
            elif order == "comm":
                comm.Free()
                check(np.isfinite(model.compute(coords, types, box).energy), "one rank, after the communicator")
                check(np.isfinite(model.compute(coords[mine], types[mine], box, comm=WORLD).energy), "another")
    all_raise("InputError", "null communicator", lambda: model.compute(coords, types, box, comm=MPI.COMM_NULL))


def grids():
    """Of as many bricks as there are ranks."""
    known = {1: [(1, 1, 1)], 2: [(2, 1, 1)], 4: [(4, 1, 1), (2, 2, 1)], 8: [(2, 2, 2)]}
    return known[WORLD.size]


def thinned(thin, coords, types, lengths):
    """plain: all real; null: one atom in ten is not; all-null: those of half of the box; empty: that half has none."""
    if thin in ("plain", "empty"):
        types[types < 0] = 1
    if thin == "all-null":
        types[coords[:, 0] < 0.5 * lengths[0]] = -1
    if thin == "empty":
        coords[:, 0] *= 0.45


def check_thinned(thin, ranks, types):
    """It is the case that it is called."""
    real = [types[rank.ids] >= 0 for rank in ranks]  # of rows, owned ones first
    if thin == "plain":
        check(all(rows.all() for rows in real), "NULL atoms")
    elif thin == "null":  # sent by one side, received by another
        check(any(not rows[:rank.nlocal].all() and not rows[rank.nlocal:].all() and rows.any()
                  for rows, rank in zip(real, ranks)), "no NULL atoms on both sides")
    elif thin == "all-null":
        check(len(ranks) == 1 or any(rank.nlocal and not rows[:rank.nlocal].any() for rows, rank in zip(real, ranks)),
              "no rank whose atoms are all NULL")
    else:
        check(len(ranks) == 1 or any(rank.nlocal == 0 and len(rows) for rows, rank in zip(real, ranks)), "no empty rank")


def one_ghosted(model, serial, rng, grid, thin, parts=1e-11, energy=1e-13):
    """A border, with ghosts' forces returned and sent home, against one rank and against compute."""
    n = 48
    coords, types, box, _ = random_system(rng, n, pbc=(False,) * 3, density=0.03)
    lengths = np.diag(box)
    thinned(thin, coords, types, lengths)
    given, each = parameters(model, rng, n)
    want = serial.compute(coords, types, box, atomic=True, **each, **given)
    ranks = brick.build(coords, lengths, grid, model.cutoff + (1 if model.is_spin else 0.5))
    check_thinned(thin, ranks, types)
    rank = ranks[WORLD.rank]
    border = dgnn.Border(rank.sendlists, rank.sendproc, rank.recvproc, rank.sendnum, rank.recvnum, rank.firstrecv)
    mine = rank.ids[:rank.nlocal]
    options = dict(border=border, comm=WORLD, **given)
    options.update((name, each[name][mine if name == "aparam" else rank.ids]) for name in each)
    direct = computed(model.compute, coords[mine], types[mine], box, ids=mine, comm=WORLD, **of(each, mine), **given)
    for how in ("return", "add"):
        result = computed(model.compute_ghosted, rank.coords, types[rank.ids], rank.nlocal, ghost_forces=how, **options)
        again = computed(model.compute_ghosted, rank.coords, types[rank.ids], rank.nlocal, ghost_forces=how, same_list=True,
                         **options)
        check(again.forces.tobytes() == result.forces.tobytes(), "the same list gives other forces")
        forces, virials = np.zeros((n, 3)), np.zeros((n, 3, 3))
        np.add.at(forces, rank.ids, result.forces)
        np.add.at(virials, rank.ids, result.atom_virial)
        if model.is_spin:
            pulls = np.zeros((n, 3))
            np.add.at(pulls, rank.ids, result.forces_mag)
            check(share(want.forces_mag, WORLD.allreduce(pulls), want.forces_mag, parts) <= 1, f"{thin} {how}: spins")
            check(share(want.forces_mag, direct.forces_mag, want.forces_mag[mine], parts) <= 1, "compute: spins")
        check(how == "return" or not result.forces[rank.nlocal:].any(), "ghosts keep forces that were sent home")
        check(share(want.forces, WORLD.allreduce(forces), want.forces, parts) <= 1, f"{thin} {how}: forces")
        check(share(want.forces, direct.forces, want.forces[mine], parts) <= 1, "compute: forces")
        check(share(want.atom_virial, WORLD.allreduce(virials), want.atom_virial, parts) <= 1, f"{thin} {how}: virials")
        check(share(want.virial, WORLD.allreduce(result.virial), want.virial, parts) <= 1, f"{thin} {how}: virial")
        check(share(want.atom_energy, result.atom_energy, want.atom_energy[mine], parts) <= 1, f"{thin} {how}: energies")
        difference = abs(WORLD.allreduce(result.energy) - want.energy)
        check(difference <= energy * max(1.0, np.abs(want.atom_energy).sum()), f"{thin} {how}: energy {difference}")


def run_ghosted():
    rng = np.random.default_rng(6)
    single = dict(parts=1e-5, energy=1e-6)
    for name, tolerance in (("dpa3_base", {}), ("dpa3_fparam_aparam", {}), ("dpa3_f32", single), ("spin_dpa3_both", {}),
                            ("spin_fparam", {}), ("spin_f32", single)):
        model, serial = load(name), load(name, skin=0)
        for grid in grids():
            for thin in ("plain", "null", "all-null", "empty"):
                one_ghosted(model, serial, rng, grid, thin, **tolerance)


def main():
    warnings.simplefilter("ignore", dgnn.model.TruncationWarning)
    warnings.simplefilter("ignore", dgnn.model.SmallSpinWarning)
    {name[4:]: run for name, run in globals().items() if name.startswith("run_")}[sys.argv[1]]()
    counts = WORLD.allgather(CHECKS)
    if WORLD.rank == 0:
        print(f"ok: {CHECKS} checks on {WORLD.size} ranks, {MPI.get_vendor()[0].split()[0]}", flush=True)
    check(len(set(counts)) == 1, f"counts of checks: {counts}")


main()
