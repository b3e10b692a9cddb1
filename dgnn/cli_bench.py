"""dgnn bench: how fast a model is here, and where its time goes."""

import argparse
import json
import os

import dgnn
from dgnn import bench, cli_common, kinds
from dgnn.cli_common import UsageError

EXAMPLES = """examples:
  dgnn bench model.pt2 water.xyz                     phases of a call, and shares of the machine's rate
  dgnn bench model.pt2 water.xyz --threads 4 --memory small --dtype float64
  dgnn bench model.pt2 md.traj@0 --moving            every atom moves before each call, as in molecular dynamics
  dgnn bench model.pt2 water.xyz --ranks 2           under mpirun, which this starts: the mean of the ranks' phases
  dgnn bench model.pt2 water.xyz --json --plot phases.png

Measured in a process of its own, with numpy's matrix product on as many threads just before and after; there the
variables OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are unset. Split share: the products of the layers' split form over time
over that rate. Needed share: only those that the energy depends on, the true rate. Both are counted for DPA3 only.
"""


def add_bench(commands):
    command = cli_common.add_command(commands, "bench", run_bench, "measure speed, phases and memory", EXAMPLES)
    command.add_argument("structure", metavar="STRUCTURE", help="any file that ase.io reads; FILE@N for frame N (else the last)")
    command.add_argument("--repeat", type=int, metavar="N", help="calls that count (3 to 9, by size)")
    command.add_argument("--ranks", type=int, metavar="N", help="on so many ranks, each with its part of the atoms")
    command.add_argument("--moving", action="store_true", help="move every atom a little before each call")
    command.add_argument("--type-map", nargs="+", default=[], metavar="ELEMENT=TYPE", help="the model's type for an element")
    command.add_argument("--json", action="store_true", help="print everything as JSON")
    command.add_argument("--plot", metavar="OUT.png", help="draw the phases")
    command.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    cli_common.add_load_options(command)


def run_bench(options):
    for name in ("repeat", "ranks"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise UsageError(f"--{name}: expected 1 or more, found {getattr(options, name)}")
    if options.plot:
        cli_common.check_plot(options.plot)
    if options.child:
        print(json.dumps(measured(options)))
        return 0
    if options.ranks:
        told = launched(options)
    else:
        threads = options.threads or int(default_threads())
        done = bench.run_measuring(child_arguments(options, threads), threads)
        if done.returncode:
            return done.returncode
        told = json.loads(done.stdout.splitlines()[-1])
    told["unset"] = [name for name in bench.LEFTOVERS if name in os.environ]
    print(json.dumps(told) if options.json else "\n".join(table(told)))
    if options.plot:
        from dgnn import bench_plot

        bench_plot.draw(told, options.plot)
    return 0


def default_threads():
    """As the core chooses them."""
    setting = os.environ.get("OMP_NUM_THREADS", "")
    return setting if setting.isdigit() and int(setting) else len(os.sched_getaffinity(0))


def child_arguments(options, threads):
    given = ["-m", "dgnn", "bench", options.model, options.structure, "--child", "--threads", threads]
    for name in ("repeat", "dtype", "memory", "semantics", "head", "radial", "compressed", "type_map"):
        value = getattr(options, name)
        if value not in (None, []):
            given += [f"--{name.replace('_', '-')}", *(value if isinstance(value, list) else [value])]
    return [*map(str, given), *(["--moving"] if options.moving else [])]


def launched(options):
    from dgnn.testing import RanksFailed, run_mpi

    options.threads = options.threads or 1
    plain = {name: value for name, value in vars(options).items() if name != "run"}
    variables = {**dict.fromkeys(bench.LEFTOVERS), "OPENBLAS_NUM_THREADS": options.threads, "OMP_NUM_THREADS": options.threads}
    try:
        return run_mpi(on_ranks, options.ranks, plain, environment=variables, timeout=3600).values[0]
    except RanksFailed as error:
        lines = str(error).strip().splitlines()
        said = [line.partition("Error: ")[2] for line in lines if "Error: " in line]
        raise UsageError(f"{options.ranks} ranks: {(said or lines)[-1]}") from None


def on_ranks(world, options):
    told = world.gather(measured(argparse.Namespace(**options), world))
    return bench.of_ranks(told) if told else None


def measured(options, comm=None):
    from dgnn.calculator import DGNNCalculator

    model = cli_common.load(options)
    kinds.needs_energy(model, "dgnn bench")
    name, atoms = cli_common.read_last(options.structure)
    calculator = DGNNCalculator(model, type_map=cli_common.type_map(options.type_map, model.type_map))
    try:
        inputs = calculator._inputs(atoms)
        repeat = options.repeat or bench.repeats_for(len(atoms))
        own = bench.slab(inputs, comm.rank, comm.size) if comm else inputs
        told = bench.measure(model, own, repeat, options.moving, comm=comm)
        if options.radial == "table" and not comm:
            exact = cli_common.load(argparse.Namespace(**{**vars(options), "radial": "exact"}))
            told["radial_error"] = bench.force_error(model, exact, own)
    except dgnn.Error as error:
        raise UsageError(f"{name}: {cli_common.one_line(error)}") from None
    return {"model": options.model, "structure": options.structure, "moving": options.moving, "ranks": 1,
            "descriptor": model.info()["descriptor"]["type"], **told}


def table(told):
    n = max(told["natoms"], 1)
    gemm = "sgemm" if told["dtype"] == "float32" else "dgemm"
    ranks = f"{told['ranks']} ranks of " if told["ranks"] > 1 else ""
    yield (f"{told['descriptor']}, {told['dtype']}, memory {told['memory']}, {ranks}{told['threads']} thread(s), "
           f"{told['instruction_set']}; {told['natoms']} atoms, {told['nedges'] / n:.1f} edges and "
           f"{told['nangle_edge'] / n:.1f} angle neighbours ({told['nangle'] / n:.0f} angles) for each")
    yield (f"{1e3 * told['time_s'] / n:.3f} ms/atom ({told['time_s']:.4f} s, median of {told['calls']} calls, spread "
           f"{told['spread']:.0%}; processor time {1e3 * told['cpu_s'] / n:.3f} ms/atom and thread), "
           f"{told['mb_per_atom']:.2f} MB/atom"
           + (f"; kept for backward: {' and '.join(told['kept']) or 'neither'}" if told["split_share"] else ""))
    yield f"{gemm} of numpy, n = 1024, on the same threads: {told['gemm_gflops']:.1f} GFLOP/s"
    if "radial_error" in told:
        yield f"radial table: forces differ by {told['radial_error']:.1e} of the largest from those of the network itself"
    if told["split_share"]:
        yield (f"split share {told['split_share']:.2f} ({1e-6 * told['split_flop'] / n:.1f} MFLOP/atom), needed share "
               f"{told['needed_share']:.2f} ({1e-6 * sum(told['flop'].values()) / n:.1f} MFLOP/atom)")
    yield f"\n{'phase':18} {'us/atom':>8} {'%':>6} {'MFLOP/atom':>11} {'GFLOP/s':>8} {'of ' + gemm:>9}"
    total = sum(told["seconds"].values())
    for name in bench.shown_phases(told):
        seconds, flop = told["seconds"][name], told["flop"][name]
        rate = flop / seconds / 1e9
        of = f" {1e-6 * flop / n:11.2f} {rate:8.1f} {rate / told['gemm_gflops']:9.2f}" if flop else ""
        yield f"{name:18} {1e6 * seconds / n:8.1f} {100 * seconds / total:6.1f}{of}"
    for name in told["unset"]:
        yield f"{name} was set; it was unset where this was measured"
