"""dgnn parity: several ranks against one. Under mpirun each rank runs this; else it starts mpirun itself."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import traceback
import warnings

import numpy as np

import dgnn
from dgnn import cli_common, kinds, launch, parity
from dgnn.cli_common import UsageError

EXAMPLES = """examples:
  mpirun -n 4 dgnn parity model.pt2 water.xyz                    these ranks against one
  dgnn parity model.pt2 water.xyz --ranks 1 2 4 8                starts mpirun itself, for each number of ranks
  dgnn parity model.pt2 water.xyz --grid 2x2x1 4x1x1 --json      these decompositions
  dgnn parity model.pt2 water.xyz --ranks 4 --grid all           every decomposition of four
  dgnn parity model.pt2 water.xyz --md 100 --rebuild-every 20 --temperature 400 --plot water.png
  dgnn parity model.pt2 slab.xyz --null Pt --null-velocity --md 50

Each difference is the largest, divided by the largest component of that quantity (or by 1, where that is less); the
energy's by the sum of its parts' magnitudes. Exit code 1: one is beyond the tolerance. 2: it could not be compared.
"""
RANKS = (1, 2, 4)
MOTION = {"temperature": 300.0, "timestep": 0.5, "every": 0, "rebuild_every": 0, "null_velocity": 0.0}  # with --md only
TIMEOUT_S = 3600.0


def add_parity(commands):
    command = cli_common.add_command(commands, "parity", run_parity, "compare several ranks with one", EXAMPLES)
    add = command.add_argument
    add("structure", metavar="STRUCTURE", help="any file that ase.io reads; FILE@N for frame N (else the last)")
    add("--ranks", nargs="+", type=int, metavar="N", help="numbers of ranks, for each of which mpirun is started")
    add("--grid", nargs="+", metavar="AxBxC", help="ranks along each lattice vector, or 'all' of each number of ranks")
    add("--tol", type=float, metavar="X", help="largest difference allowed (float64: 1e-11, float32: 1e-5)")
    add("--md", type=int, default=0, metavar="N", help="then N steps of NVE, on one rank and on many")
    add("--temperature", type=float, metavar="K", help="of the first velocities (300)")
    add("--timestep", type=float, metavar="FS", help="of the motion (0.5)")
    add("--every", type=int, metavar="N", help="compare at each Nth step (else ten times)")
    add("--rebuild-every", type=int, metavar="K", help="deal the atoms to the ranks anew each K steps")
    add("--seed", type=int, default=0, metavar="N", help="of velocities, and of who owns which atom")
    add("--null", nargs="+", default=[], metavar="ELEMENT", help="elements that take no part (NULL atoms)")
    add("--null-velocity", nargs="?", type=float, const=0.05, metavar="V",
        help="NULL atoms fly through the others, at V (0.05) Å/fs")
    add("--type-map", nargs="+", default=[], metavar="ELEMENT=TYPE", help="the model's type for an element")
    add("--fparam", nargs="+", type=float, metavar="X", help="frame parameters")
    add("--charge-spin", nargs=2, type=float, metavar=("CHARGE", "SPIN"))
    add("--json", action="store_true", help="print everything as JSON")
    add("--plot", metavar="OUT.png", help="draw the differences, the time, and the trajectory's")
    add("--child", help=argparse.SUPPRESS)  # the folder in which a launching parity left the reference
    cli_common.add_load_options(command)


def run_parity(options):
    check(options)
    if options.child:
        return on_ranks(options, pathlib.Path(options.child))
    if not options.ranks and launch.under_mpirun():
        return on_ranks(options, None)
    return launching(options)


def check(options):
    for name, default in MOTION.items():
        if getattr(options, name) is None:
            setattr(options, name, default)
        elif not options.md:
            raise UsageError(f"{flag(name)}: atoms move with --md only")
    for name in ("md", "every", "rebuild_every", "seed", "null_velocity", "temperature"):
        if not 0 <= getattr(options, name) < float("inf"):
            raise UsageError(f"{flag(name)}: expected 0 or more, found {getattr(options, name)}")
    for name in ("tol", "timestep"):
        if getattr(options, name) is not None and not 0 < getattr(options, name) < float("inf"):
            raise UsageError(f"{flag(name)}: expected more than 0, found {getattr(options, name)}")
    if any(ranks < 1 for ranks in options.ranks or ()):
        raise UsageError(f"--ranks: expected 1 or more, found {min(options.ranks)}")
    if options.threads is None:
        options.threads = 1  # on one rank as on many: their times are compared
    options.grids = [grid if grid == "all" else parsed_grid(grid) for grid in options.grid or ()]
    if options.plot:
        cli_common.check_plot(options.plot)


def flag(name):
    return f"--{name.replace('_', '-')}"


def parsed_grid(text):
    try:
        grid = tuple(map(int, text.split("x")))
    except ValueError:
        grid = ()
    if len(grid) != 3 or min(grid) < 1:
        raise UsageError(f"--grid: expected three numbers as in 2x2x1, or 'all', found {text!r}")
    return grid


def factor_grids(ranks):
    return [(a, b, ranks // (a * b)) for a in range(1, ranks + 1) if ranks % a == 0
            for b in range(1, ranks // a + 1) if ranks // a % b == 0]


def cases(options):
    """(ranks, grid or None) of each comparison."""
    given = [grid for grid in options.grids if grid != "all"]
    numbers = options.ranks or ([] if given else list(RANKS))
    found = []
    for ranks in numbers or sorted({int(np.prod(grid)) for grid in given}):
        fitting = factor_grids(ranks) if "all" in options.grids else [g for g in given if np.prod(g) == ranks]
        found += [(ranks, grid) for grid in fitting or [None]]
    unused = [grid for grid in given if int(np.prod(grid)) not in [ranks for ranks, _ in found]]
    if unused:
        raise UsageError(f"--grid: {name_of(unused[0])} needs {np.prod(unused[0])} ranks, and --ranks has "
                         f"{' '.join(map(str, numbers))}")
    return found


def name_of(grid):
    return "x".join(map(str, grid)) if grid else "auto"


def case_of(ranks, grid):
    return f"{ranks} rank{'s' if ranks > 1 else ''}, {name_of(grid)}"


# ---------------------------------------------------------------- what is compared


def model_of(options, **changed):
    given = dict(dtype=options.dtype, threads=options.threads, device=options.device, memory=options.memory,
                 semantics=options.semantics, head=options.head, radial=options.radial, compressed=options.compressed)
    model = dgnn.Model.load(options.model, **{**given, **changed})
    kinds.needs_energy(model, "dgnn parity")
    return model


def system_of(options, model):
    from dgnn.calculator import DGNNCalculator

    name, atoms = cli_common.read_last(options.structure)
    absent = set(options.null).difference(atoms.symbols)
    if absent:
        raise UsageError(f"--null: {name} has no {', '.join(sorted(absent))}; it has {', '.join(sorted(set(atoms.symbols)))}")
    pairs = options.type_map + [f"{element}=NULL" for element in options.null]
    for key in ("fparam", "charge_spin"):
        if getattr(options, key) is not None:
            atoms.info[key] = getattr(options, key)
    calculator = DGNNCalculator(model, type_map=cli_common.type_map(pairs, model.type_map))
    try:
        return parity.System(calculator._inputs(atoms), atoms.get_masses())
    except dgnn.Error as error:
        raise UsageError(f"{name}: {cli_common.one_line(error)}") from None


def motion_of(options):
    if not options.md:
        return None
    return parity.Motion(steps=options.md, timestep_fs=options.timestep, temperature=options.temperature,
                         every=options.every, deal_every=options.rebuild_every, null_velocity=options.null_velocity,
                         seed=options.seed)


def tolerance_of(options, model):
    return options.tol or parity.TOLERANCE[model.dtype]


# ---------------------------------------------------------------- on each rank


def on_ranks(options, folder):
    """folder: of the parity that started this; None: started by the user's mpirun."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    if world.rank > 0:
        warnings.simplefilter("ignore")
    try:
        code, text = compared(options, folder, world)
    except Exception as error:
        if not isinstance(error, dgnn.Error) or isinstance(error, dgnn.CommError):
            traceback.print_exc()
            world.Abort(2)
        code, text = 2, cli_common.one_line(error)  # which all ranks have
    if text and world.rank == 0:
        cli_common.complain(text)
        sys.stderr.flush()
    world.Barrier()  # an mpirun ends the other ranks at the first that fails
    return code


def compared(options, folder, world):
    """(exit code, complaint or None)"""
    found, complaint = None, None
    try:
        model = model_of(options)
        found = model, system_of(options, model)
    except (UsageError, dgnn.Error, OSError, ImportError) as error:
        complaint = cli_common.one_line(error)
    for text in world.allgather(complaint):
        if text:
            return 2, text
    model, system = found
    if world.size == 1 and not folder:
        print("dgnn: one rank only: nothing crosses between ranks", file=sys.stderr)
    motion, fresh, want = motion_of(options), None, None
    grid = next((grid for grid in options.grids if grid != "all"), None)
    try:
        found = parity.quietly(world, lambda: (model_of(options, skin=0), first_results(folder, model, system, motion)))
        fresh, want = found or (None, None)
    except dgnn.Error as error:
        complaint = cli_common.one_line(error)
    complaint = world.bcast(complaint)
    if complaint:
        return 2, complaint
    ranks = parity.Ranks(model, fresh, system, world, grid, options.seed)
    row = ranks.still(want)
    moved = ranks.moving(want, motion) if motion else None
    code = 0
    if world.rank == 0:
        row.update({"md": moved} if motion else {})
        row = parity.judged(row, tolerance_of(options, model))
        if folder:
            (folder / "row.json").write_text(json.dumps(row))
        else:
            code = report(options, model, system, want, [row])
    return world.bcast(code), None


def first_results(folder, model, system, motion):
    if folder:
        with np.load(folder / "reference.npz") as arrays:
            return dict(arrays)
    return parity.reference(model, system, motion)


# ---------------------------------------------------------------- starting mpirun


def launching(options):
    if launch.under_mpirun():
        raise UsageError("--ranks starts mpirun itself; under mpirun leave it out")
    todo = cases(options)
    model = model_of(options)
    system, motion = system_of(options, model), motion_of(options)
    starts = [launch.command(ranks) for ranks, _ in todo]  # what is missing is said before anything is computed
    want = parity.reference(model, system, motion)
    rows = []
    with tempfile.TemporaryDirectory(prefix="dgnn-parity-") as folder:
        np.savez(os.path.join(folder, "reference.npz"), **want)
        for (start, environment), (ranks, grid) in zip(starts, todo, strict=True):
            rows.append(one_launch(options, start, environment, ranks, grid, pathlib.Path(folder)))
    return report(options, model, system, want, rows)


def one_launch(options, start, environment, ranks, grid, folder):
    if sys.stderr.isatty():
        print(f"{case_of(ranks, grid)} ...", end="\r", file=sys.stderr, flush=True)
    row = folder / "row.json"
    row.unlink(missing_ok=True)
    arguments = [*start, sys.executable, "-m", "dgnn", *child_arguments(options, grid, folder)]
    try:
        done = launch.run(arguments, environment, TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise UsageError(f"{case_of(ranks, grid)}: not done after {TIMEOUT_S:.0f} s") from None
    if done.returncode or not row.exists():
        lines = (done.stderr + done.stdout).strip().splitlines()
        ours = [line for line in lines if line.startswith("dgnn: ") and "warning" not in line]
        text = ours[0][len("dgnn: "):] if ours else " ".join(lines[-12:]) or f"exit code {done.returncode}"
        raise UsageError(f"{case_of(ranks, grid)}: {text}")
    return json.loads(row.read_text())


def child_arguments(options, grid, folder):
    given = ["parity", options.model, options.structure, "--child", os.fspath(folder)]
    if grid:
        given += ["--grid", name_of(grid)]
    for name in ("tol", "md", *(MOTION if options.md else ()), "seed", "dtype", "threads", "memory", "semantics", "head",
                 "null", "type_map", "fparam", "charge_spin"):
        value = getattr(options, name)
        if value not in (None, []):
            given += [flag(name), *map(str, value if isinstance(value, list) else [value])]
    return given


# ---------------------------------------------------------------- what is said


def report(options, model, system, want, rows):
    """Prints, draws; the exit code."""
    tolerance = tolerance_of(options, model)
    passed = all(row["within"] for row in rows)
    told = {"model": os.fspath(options.model), "structure": options.structure, "natoms": system.natoms,
            "dtype": model.dtype, "threads": options.threads, "tolerance": tolerance, "passed": passed,
            "one_rank": {"energy": float(want["energy"]), "time_s": float(want["time"]),
                         "largest_force": float(np.abs(want["forces"]).max(initial=0))}, "rows": rows}
    if "forces_mag" in want:
        told["one_rank"]["largest_magnetic_force"] = float(np.abs(want["forces_mag"]).max(initial=0))
    if options.json:
        print(json.dumps(told))
    else:
        print("\n".join(table(told)))
    if options.plot:
        from dgnn import parity_plot

        parity_plot.draw(told, options.plot)
    return 0 if passed else 1


def table(told):
    one = told["one_rank"]
    yield (f"{told['natoms']} atoms, {told['dtype']}, one rank: {one['energy']:.8f} eV, largest force component "
           f"{one['largest_force']:.4f} eV/Å, {one['time_s']:.4f} s with {told['threads']} thread(s)")
    names = [name for name in parity.PARTS if name in told["rows"][0]["worst"]]
    yield (f"{'':11}| largest difference from one rank{'':{max(0, 12 * len(names) - 33)}}| on the fullest rank, and "
           f"for each layer\n{'ranks grid':11}|" + "".join(f"{parity.PARTS[name]:>12}" for name in names)
           + f" |{'atoms':>7}{'ghosts':>8}{'layers':>7}{'messages':>9}{'bytes':>10} |{'time/s':>9}{'effic.':>7}")
    for row in told["rows"]:
        most = {key: max(rank[key] for rank in row["per_rank"]) for key in row["per_rank"][0]}
        yield (f"{row['ranks']:5} {name_of(row['grid']):5}|" + "".join(f"{row['worst'][n]:12.1e}" for n in names)
               + f" |{most['atoms']:7}{most['ghosts']:8}{most['exchanges']:7}{most['messages_per_exchange']:9}"
               f"{most['bytes_per_exchange']:10.0f} |{row['time_s']:9.4f}{row['efficiency']:7.2f}")
    for row in told["rows"]:
        if "md" in row:
            yield moved(row)
    for row in told["rows"]:
        if row["ranks"] > 1 and not any(rank["messages_per_exchange"] for rank in row["per_rank"]):
            yield f"{case_of(row['ranks'], row['grid'])}: no rank needs another's atoms; a larger structure says more"
    bad = [case_of(row["ranks"], row["grid"]) for row in told["rows"] if not row["within"]]
    yield f"beyond {told['tolerance']:g}: {'; '.join(bad)}" if bad else f"all within {told['tolerance']:g}"


def moved(row):
    samples = row["md"]["samples"]
    apart, energy, twin_apart, twin_energy = (max(sample[name] for sample in samples) for name in (
        "positions", "energy_per_atom", "twin_positions", "twin_energy_per_atom"))
    totals = [sample["total_energy_per_atom"] for sample in samples]
    return (f"{case_of(row['ranks'], row['grid'])}: {row['md']['steps']} steps, built {row['md']['built']} times; "
            f"from one rank's trajectory {apart:.1e} Å, {energy:.1e} eV/atom (its own from a rounding away: {twin_apart:.1e} Å, "
            f"{twin_energy:.1e} eV/atom); total energy within {max(totals) - min(totals):.1e} eV/atom")
