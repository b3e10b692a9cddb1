"""Speed and memory of the models of tests/data/perf (a six-layer DPA3, and one for each other family) and of deep_models.py, against the goals, beside the machine's own matrix products.

usage: bench_model.py [--full] [--row NAME]... [--cpu-time] [--json FILE] [--from FILE] [--readme FILE]

Each row is a process of its own (of two ranks: two), which measures numpy's matrix product on the same threads just before
and just after. What is compared with what (2 threads with 1, a moved system with a bare one, 2 ranks with 1) takes turns
within a row. Lines of JSON go to FILE (build/bench.json), the tables to standard output, and with --readme the figures as
Markdown between two marks in a file. README.md beside this file has the method.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import sys
import tempfile
import time
import warnings

import deep_models
from dgnn import bench

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = ROOT / "tests" / "data" / "perf"
DPA3 = "dpa3_L6_f32"
WATER = MODELS / "water_192.npz"
FAMILIES = {"dpa2_small": 0.43, "dpa2_medium": 1.56, "se_atten": 1.2, "se_e2_a": 0.15}  # ms/atom that each is to reach
GOAL_MFLOP = 93.0  # per atom: what the goals' split share counts (90 edges, 27 angle neighbours); rows count their own, too
TRAFFIC = ROOT / "tests" / "data" / "cases" / "dpa3_base" / "model.pt2"
MARKS = "<!-- from make bench -->", "<!-- to here -->"
CLOCKS = {"wall": time.perf_counter, "processor": bench.processor_time}


def row(name, atoms=192, kind="bare", full=False, model=DPA3, **load):
    return dict(name=name, atoms=atoms, kind=kind, full=full, model=model, load={"threads": 1, "dtype": "float32", **load})


ROWS = [
    *(row(f"fast_{atoms}", atoms) for atoms in (192, 768, 1536, 3072)), row("fast_12288", 12288, full=True),
    *(row(f"small_{atoms}", atoms, memory="small") for atoms in (192, 768, 1536, 3072, 12288)),
    row("float64_192", dtype="float64"), row("float64_768", 768, dtype="float64"),
    row("float64_3072", 3072, dtype="float64", full=True),
    row("threads_192", kind="threads", threads=2), row("threads_768", 768, "threads", threads=2),
    row("moved_192", kind="moved"), row("moved_768", 768, "moved"),
    row("ranks_192", kind="ranks"), row("ranks_1536", 1536, "ranks"),
    row("molecule_24", 24, "molecule"), row("start", kind="start"), row("traffic", 16, "traffic"),
    *(row(name, kind="family", model=name, dtype="float64") for name in FAMILIES),
    row("dpa31_fast_192", model="dpa31_3m", kind="deep"), row("dpa31_small_192", model="dpa31_3m", kind="deep", memory="small"),
    row("dpa31_first_192", model="dpa31_3m", kind="first"),
    row("dpa31_small_1536", 1536, model="dpa31_3m", kind="deep", full=True, memory="small"),
    *(row(f"{name}_{memory}_192", model=model, kind="deep", full=True, memory=memory)
      for name, model in (("dpa32", "dpa32_5m"), ("dpa33", "dpa33_1m")) for memory in ("fast", "small")),
]


# ---------------------------------------------------------------- systems


def system(atoms, kind="bare"):
    import numpy as np

    with np.load(WATER) as file:
        coords, types, box = (np.array(file[key]) for key in ("coord", "type", "box"))
    coords, types, box = coords.reshape(-1, 3), types.ravel(), box.reshape(3, 3)
    if kind == "molecule":  # eight waters about the middle of the box, without a box
        centre = box.sum(axis=0) / 2
        oxygen = np.flatnonzero(types == types[0])
        near = oxygen[np.argsort(np.linalg.norm(coords[oxygen] - centre, axis=1))[:8]]
        away = np.linalg.norm(coords[:, None] - coords[near][None], axis=2)
        chosen = [j for k in range(8) for j in np.argsort(away[:, k])[:3]]
        return dict(coords=coords[chosen], types=types[chosen])
    repeats = [1, 1, 1]
    while len(coords) * np.prod(repeats) < atoms:
        repeats[int(np.argmin(repeats))] *= 2
    shifts = np.array(list(np.ndindex(*repeats))) @ box
    whole = (shifts[:, None] + coords[None]).reshape(-1, 3)
    return dict(coords=whole, types=np.tile(types, len(shifts)), box=box * np.array(repeats)[:, None])


# ---------------------------------------------------------------- rows, each in its process


def load(spec, **changed):
    import dgnn

    warnings.simplefilter("ignore", dgnn.TruncationWarning)  # this water has centres beyond a_sel, as deepmd-kit's has
    path = deep_models.archive(spec["model"]) if spec["model"] in deep_models.MODELS else MODELS / f"{spec['model']}.pt2"
    return dgnn.Model.load(path, **{**spec["load"], **changed})


def run_row(spec):
    if spec["kind"] == "traffic":
        return {"bytes": {side**3: bench.traffic(TRAFFIC, side) for side in (2, 4, 6, 8)}}
    clock, inputs = CLOCKS[spec["clock"]], system(spec["atoms"], spec["kind"])
    if spec["kind"] == "first":
        return first_call(spec, inputs, clock)
    if spec["kind"] in ("bare", "molecule", "family", "deep"):
        told = bench.measure(load(spec), inputs, clock=clock)
        per_atom = told["time_s"] / told["natoms"]
        share = {"goal_share": GOAL_MFLOP / 1e3 / per_atom / told["gemm_gflops"] if spec["kind"] == "bare" else None}
        return {**told, "ms_per_atom": 1e3 * per_atom, **share}
    model = load(spec)
    if spec["kind"] == "moved":
        pair = [bench.Caller(model, inputs, clock=clock), bench.Caller(load(spec), inputs, moving=True, clock=clock)]
    else:
        pair = [bench.Caller(load(spec, threads=1), inputs, clock=clock), bench.Caller(model, inputs, clock=clock)]
    for _ in range(2 * bench.repeats_for(spec["atoms"])):
        for caller in pair:
            caller.call()
    return compared(*(caller.seconds for caller in pair), spec["atoms"])


def first_call(spec, inputs, clock):
    """Loading and the first call, which touches all memory, beside a later call."""
    if spec["model"] in deep_models.MODELS:
        deep_models.archive(spec["model"])  # making it is no part of loading it
    start = clock()
    model = load(spec)
    loaded = clock()
    model.compute(**inputs)
    first = clock()
    caller = bench.Caller(model, inputs, clock=clock)
    for _ in range(bench.repeats_for(spec["atoms"])):
        caller.call()
    steady = statistics.median(caller.seconds)
    return {"natoms": spec["atoms"], "load_s": loaded - start, "first_s": first - loaded, "steady_s": steady,
            "second_ms_per_atom": 1e3 * (first - loaded) / spec["atoms"], "first_ms_per_atom": 1e3 * steady / spec["atoms"],
            "ratio": (first - loaded) / steady}


def compared(first, second, atoms):
    """Of two that took turns: their median times, and the second's over the first's."""
    medians = [statistics.median(seconds) for seconds in (first, second)]
    return {"natoms": atoms, "first_ms_per_atom": 1e3 * medians[0] / atoms, "second_ms_per_atom": 1e3 * medians[1] / atoms,
            "ratio": medians[1] / medians[0], "first_s": first, "second_s": second}


def on_ranks(world, spec):
    """On each of two ranks: rank 0 alone, then both, in turns. Each passes the half of the box that is its own, as a host
    code would. Then both by themselves at once, each the whole box: what two processes that share nothing but the machine
    keep of their speed. Where memory lies differs from start to start, and on some machines its speed with it: so several
    starts, of which the median counts."""
    inputs, atoms = system(spec["atoms"]), spec["atoms"]
    own = bench.slab(inputs, world.rank, world.size)
    model, single, alone, together, apart = load(spec), load(spec), [], [], []
    for _ in range(bench.TRIAL + spec.get("calls", 2 * bench.repeats_for(atoms))):
        alone.append(bench.alone(world, lambda: single.compute(**inputs)))
        together.append(bench.together(world, lambda: model.compute(**own, comm=world)))
        apart.append(bench.together(world, lambda: single.compute(**inputs)))
    alone, together, apart = (seconds[bench.TRIAL:] for seconds in (alone, together, apart))
    if world.rank:
        return None
    return {**compared(alone, together, atoms), "apart_ratio": statistics.median(apart) / statistics.median(alone)}


def start_times(clock):
    """import and load, each time in a new process, which finds the bytecode that an earlier one left: the median of five."""
    now = "time.perf_counter()" if clock == "wall" else "time.process_time()"
    code = (f"import time; start = {now}; import numpy; numpy_s = {now} - start; import dgnn; middle = {now}; "
            f"dgnn.Model.load({os.fspath(MODELS / (DPA3 + '.pt2'))!r}); print(numpy_s, middle - start, {now} - middle)")
    with tempfile.TemporaryDirectory() as folder:
        variables = {"PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        done = [bench.run_measuring(["-c", code], 1, variables, check=True, cwd=ROOT) for _ in range(6)]
    times = [list(map(float, process.stdout.split())) for process in done[1:]]
    beyond = statistics.median(imported - numpy for numpy, imported, _ in times)  # of one process, whatever numpy took in it
    return {**dict(zip(("numpy_s", "import_s", "load_s"), map(statistics.median, zip(*times)))), "beyond_numpy_s": beyond}


def start_row(spec):
    if spec["kind"] == "start":
        return {**spec, **start_times(spec["clock"])}
    if spec["kind"] == "ranks":
        from dgnn.testing import run_mpi

        variables = {**dict.fromkeys(bench.LEFTOVERS), "OMP_NUM_THREADS": "1"}
        runs = [run_mpi(on_ranks, 2, spec, environment=variables, timeout=600).values[0] for _ in range(spec.get("runs", 5))]
        return {**spec, **sorted(runs, key=lambda run: run["ratio"])[len(runs) // 2],
                "ratios": [run["ratio"] for run in runs],
                "apart_ratio": statistics.median(run["apart_ratio"] for run in runs)}
    done = bench.run_measuring([__file__, "--one", json.dumps(spec)], spec["load"]["threads"], cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"bench_model.py: row {spec['name']} failed")
    return {**spec, **json.loads(done.stdout.splitlines()[-1])}


# ---------------------------------------------------------------- tables


def print_rows(results):
    print(f"\n{'':12} {'atoms':>6} {'ms/atom':>8} {'cpu':>7} {'spread':>6} {'gemm':>6} {'split':>6} {'counted':>7} "
          f"{'needed':>6} {'MB/atom':>7}")
    for r in results:
        if "ms_per_atom" in r:
            shares = " ".join(f"{r[key]:{width}.2f}" if r["goal_share"] else f"{'-':>{width}}" for key, width in
                              (("goal_share", 6), ("split_share", 7), ("needed_share", 6)))
            print(f"{r['name']:12} {r['natoms']:6} {r['ms_per_atom']:8.3f} {1e3 * r['cpu_s'] / r['natoms']:7.3f} "
                  f"{r['spread']:6.0%} {r['gemm_gflops']:6.1f} {shares} {r['mb_per_atom']:7.2f}")
        elif "bytes" in r:
            for ranks, told in r["bytes"].items():
                print(f"{r['name']:12} {ranks:>6} ranks, bytes of one: {told['step']:6.0f} a step, of it features "
                      f"{told['features']:6.0f}; {told['rebuild']:6.0f} a rebuild")
        elif "ratio" in r:
            print(f"{r['name']:12} {r['natoms']:6} {r['first_ms_per_atom']:8.3f} {r['second_ms_per_atom']:8.3f} ms/atom")


def figures(by):
    """(figure, what must hold, values by system, is it reached) of the goals whose rows are there."""

    def pick(prefix, value):
        return {name[len(prefix):]: value(r) for name, r in by.items() if name.startswith(prefix)}

    def figure(name, sign, goal, values):
        goals = goal if isinstance(goal, dict) else dict.fromkeys(values, goal)
        if values:
            holds = all(value >= goals[key] if sign == ">=" else value <= goals[key] for key, value in values.items())
            yield name, f"{sign} {' '.join(f'{g:g}' for g in dict.fromkeys(goals.values()))}", values, holds

    def time(name, prefix):
        values = pick(prefix, lambda r: r["ms_per_atom"])
        if values:
            yield f"{name}: ms/atom", "", values, True

    for memory, share, limit in (("fast", 0.8, 3), ("small", 0.55, 1)):
        times = pick(f"{memory}_", lambda r: r["ms_per_atom"])
        yield from time(f"{memory}, float32, 1 thread", f"{memory}_")
        yield from figure(f"{memory}: split share", ">=", share, pick(f"{memory}_", lambda r: r["goal_share"]))
        if len(times) > 1:
            yield from figure(f"{memory}: longest time per atom over shortest", "<=", 1.1,
                              {"": max(times.values()) / min(times.values())})
        yield from figure(f"{memory}: MB/atom", "<=", limit, pick(f"{memory}_", lambda r: r["mb_per_atom"]))
    yield from time("fast, float64, 1 thread", "float64_")
    yield from figure("float64 against dgemm, fast: split share", ">=", 0.75, pick("float64_", lambda r: r["goal_share"]))
    yield from figure("2 threads over 1", ">=", 1.9, pick("threads_", lambda r: 1 / r["ratio"]))
    yield from figure("MD step over a bare evaluation", "<=", 1.05, pick("moved_", lambda r: r["ratio"]))
    yield from deep_figures(by, figure)
    there = {name: goal for name, goal in FAMILIES.items() if name in by}
    yield from figure("other families, float64: ms/atom", "<=", there, {name: by[name]["ms_per_atom"] for name in there})
    yield from figure("other families: MB/atom", "<=", 1, {name: by[name]["mb_per_atom"] for name in there})
    ranks = pick("ranks_", lambda r: 0.5 / r["ratio"])
    yield from figure("2 ranks over 1: efficiency", ">=", {key: {"192": 0.97}.get(key, 0.99) for key in ranks}, ranks)
    if ranks:
        yield "2 processes that share nothing, over 1", "", pick("ranks_", lambda r: 1 / r["apart_ratio"]), True
    sent = by["traffic"]["bytes"] if "traffic" in by else {}
    for what, limit in (("step", 1.3), ("rebuild", 2)) if sent else ():
        yield f"kB of a rank, a {what}", "", {f"{ranks} ranks": told[what] / 1000 for ranks, told in sent.items()}, True
        values = [told[what] for told in sent.values()]
        yield from figure(f"bytes of a rank, a {what}: most ranks over fewest", "<=", limit, {"": values[-1] / values[0]})
    yield from figure("import dgnn, s", "<=", 0.06, {"": by["start"]["import_s"]} if "start" in by else {})
    if "start" in by:
        yield "of it numpy, s", "", {"": by["start"]["numpy_s"]}, True
        yield from figure("import dgnn, beyond numpy's own, ms", "<=", 2, {"": 1e3 * by["start"]["beyond_numpy_s"]})
    yield from figure("load, s", "<=", 0.4, {"": by["start"]["load_s"]} if "start" in by else {})
    if "molecule_24" in by and by.keys() & {"fast_3072", "fast_768"}:
        large = by.get("fast_3072") or by["fast_768"]
        yield from figure("24-atom molecule over a large system, per atom", "<=", 1.3,
                          {"": by["molecule_24"]["ms_per_atom"] / large["ms_per_atom"]})


def deep_figures(by, figure):
    """Of the published sizes."""
    rows = {name: r for name, r in by.items() if name.startswith("dpa3") and "mb_per_atom" in r}
    if rows:
        yield "published sizes: ms/atom", "", {name: r["ms_per_atom"] for name, r in rows.items()}, True
    for memory, share, most in (("fast", 0.66, 5.2), ("small", 0, 1.1)):
        own = {name: r for name, r in rows.items() if name.startswith(f"dpa31_{memory}")}
        yield from figure(f"DPA-3.1-3M, {memory}: split share", ">=", share, {name: r["split_share"] for name, r in own.items()})
        yield from figure(f"DPA-3.1-3M, {memory}: MB/atom", "<=", most, {name: r["mb_per_atom"] for name, r in own.items()})
    if "dpa31_small_192" in by and "dpa31_fast_192" in by:
        yield from figure("DPA-3.1-3M: small over fast, time", "<=", 1.4,
                          {"192": by["dpa31_small_192"]["ms_per_atom"] / by["dpa31_fast_192"]["ms_per_atom"]})
    if "dpa31_first_192" in by:
        r = by["dpa31_first_192"]
        yield from figure("DPA-3.1-3M: load and first call less 0.5 s, over a later call", "<=", 3,
                          {"192": (r["load_s"] + r["first_s"] - 0.5) / r["steady_s"]})


def lines(results):
    """(figure, goal, what was measured) as texts."""
    for name, goal, values, holds in figures({r["name"]: r for r in results}):
        here = ", ".join(f"{value:.3g}" + (f" ({int(key):,})" if key.isdigit() else f" ({key})" if key else "") for key, value in values.items())
        yield name, goal, here + ("" if holds else "; not reached")


def machine(results):
    """What was measured on, in words."""
    rates = {}
    for r in results:
        if r.get("threads") == 1:
            rates.setdefault({"float32": "sgemm", "float64": "dgemm"}[r["dtype"]], []).append(r["gemm_gflops"])
    with open("/proc/cpuinfo") as file:
        name = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    sets = {r["instruction_set"] for r in results if "instruction_set" in r}
    told = [f"{what} of numpy {statistics.median(values):.0f} GFLOP/s on one thread" for what, values in rates.items()]
    clock = {"wall": "by the clock on the wall", "processor": "in processor time"}[results[0]["clock"]]
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {'/'.join(sorted(sets)) or '-'}; {', '.join([*told, clock])}"


def print_figures(results):
    print(f"\n{machine(results)}\n{'figure':48} {'goal':>12}  here")
    for name, goal, here in lines(results):
        print(f"{name:48} {goal:>12}  {here}")


def write_readme(results, path):
    """The figures between the two marks of a Markdown file."""
    table = ["| figure (number of atoms) | goal | measured |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in lines(results))]
    before, rest = path.read_text().split(MARKS[0], 1)
    words = [f"{MARKS[0]}", *table, "", f"{machine(results)}.", MARKS[1]]
    path.write_text(before + "\n".join(words) + rest.split(MARKS[1], 1)[1])


def measured(options):
    results = []
    for spec in ROWS:
        wanted = spec["name"] in options.row if options.row else options.full or not spec["full"]
        if wanted and not (options.cpu_time and spec["kind"] in ("threads", "ranks")):
            results.append(start_row({**spec, "clock": "processor" if options.cpu_time else "wall"}))
            print(spec["name"], end=" ", file=sys.stderr, flush=True)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text("".join(json.dumps(result) + "\n" for result in results))
    unset = [name for name in bench.LEFTOVERS if name in os.environ]
    print("".join(f"{name} was set; it was unset where this was measured\n" for name in unset), end="")
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the rows that need 25 GB or minutes, too")
    parser.add_argument("--row", action="append", choices=[r["name"] for r in ROWS], help="only this row; may repeat")
    parser.add_argument("--cpu-time", action="store_true",
                        help="by processor time, for a busy machine: one thread only, so not the threads and ranks")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "build" / "bench.json", metavar="FILE",
                        help="where the lines of JSON go (build/bench.json)")
    parser.add_argument("--from", dest="source", type=pathlib.Path, metavar="FILE", help="show an earlier run's JSON")
    parser.add_argument("--readme", type=pathlib.Path, metavar="FILE", help=f"write the figures between {MARKS[0]} and {MARKS[1]}")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return print(json.dumps(run_row(json.loads(options.one))))
    results = measured(options) if options.source is None else list(map(json.loads, options.source.read_text().splitlines()))
    print_rows(results)
    print_figures(results)
    if options.readme:
        write_readme(results, options.readme)
    return 0


if __name__ == "__main__":
    sys.exit(main())
