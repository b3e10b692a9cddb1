"""Speed and memory of the six-layer DPA3 of tests/data/perf, and of models of the other families there, beside the machine's own rate of matrix products.

usage: bench_model.py [--quick] [--row NAME]... [--json FILE]

Each row is a process of its own, so that its peak memory is its own. The process measures numpy's matrix product on the
same threads just before and just after the model, and the model between, several times; medians count. One line of JSON
for each row goes to standard output (or FILE), then the table. README.md beside this file has the method.
"""
import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time
import warnings

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = ROOT / "tests" / "data" / "perf"
DPA3 = "dpa3_L6_f32"
WATER = MODELS / "water_192.npz"
MFLOP_SPLIT, MFLOP_NEEDED = 93.0, 64.0  # per atom of this model and this water: split products; without dead branches


def row(name, atoms=192, threads=1, dtype="float32", memory="fast", kind="bare", quick=False, model=DPA3):
    return dict(name=name, atoms=atoms, threads=threads, dtype=dtype, memory=memory, kind=kind, quick=quick, model=model)


ROWS = [
    row("fast_192", quick=True), row("fast_768", 768), row("fast_3072", 3072),
    row("small_192", memory="small", quick=True), row("small_768", 768, memory="small"),
    row("small_3072", 3072, memory="small"), row("small_12288", 12288, memory="small"),
    row("float64_192", dtype="float64", quick=True), row("float64_768", 768, dtype="float64"),
    row("threads_2_192", threads=2, quick=True), row("threads_2_768", 768, threads=2),
    row("moved_192", kind="moved", quick=True), row("molecule_24", 24, kind="molecule", quick=True),
    *(row(name, dtype="float64", quick=True, model=name) for name in ("dpa2_small", "dpa2_medium", "se_atten", "se_e2_a")),
]


def system(atoms, kind):
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
        return coords[chosen], types[chosen], None
    repeats = [1, 1, 1]
    while len(coords) * np.prod(repeats) < atoms:
        repeats[int(np.argmin(repeats))] *= 2
    shifts = np.array(list(np.ndindex(*repeats))) @ box
    whole = (shifts[:, None] + coords[None]).reshape(-1, 3)
    return whole, np.tile(types, len(shifts)), box * np.array(repeats)[:, None]


def product_rate(dtype):
    """GFLOP/s of numpy's matrix product: the best of several, on as many threads as OPENBLAS_NUM_THREADS says."""
    import numpy as np

    n, best = 1024, 0.0
    a, b = np.ones((n, n), dtype), np.ones((n, n), dtype)
    for _ in range(6):
        start = time.perf_counter()
        a @ b
        best = max(best, 2e-9 * n**3 / (time.perf_counter() - start))
    return best


def resident_megabytes(which):
    """VmHWM: the most since forget_peak; VmRSS: now. Elsewhere than on Linux: the most of the whole process."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith(which))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget_peak():
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def run_row(spec):
    start = time.perf_counter()
    import dgnn

    imported = time.perf_counter() - start
    import numpy as np

    coords, types, box = system(spec["atoms"], spec["kind"])
    rates = [product_rate(spec["dtype"])]
    start = time.perf_counter()
    model = dgnn.Model.load(MODELS / f"{spec['model']}.pt2", dtype=spec["dtype"], threads=spec["threads"], memory=spec["memory"])
    loaded = time.perf_counter() - start
    forget_peak()
    before = resident_megabytes("VmRSS")
    random = np.random.default_rng(1)
    warnings.simplefilter("ignore", dgnn.TruncationWarning)  # this water has centres beyond a_sel, as deepmd-kit's has
    model.compute(coords, types, box)
    repeats = max(3, min(9, 2000 // len(types)))
    walls, cpus = [], []
    for _ in range(repeats):
        if spec["kind"] == "moved":
            coords = coords + 0.002 * random.standard_normal(coords.shape)
        cpu, wall = time.process_time(), time.perf_counter()
        model.compute(coords, types, box)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    peak = resident_megabytes("VmHWM")
    rates.append(product_rate(spec["dtype"]))
    atoms, rate = len(types), statistics.median(rates)
    per_atom = 1e3 * statistics.median(walls) / atoms
    per_atom_cpu = 1e3 * statistics.median(cpus) / atoms / spec["threads"]
    share = lambda mflop: None if spec["kind"] == "molecule" or spec["model"] != DPA3 else mflop / per_atom / rate
    print(json.dumps({
        **spec, "atoms": atoms, "ms_per_atom": per_atom, "cpu_ms_per_atom_and_thread": per_atom_cpu,
        "spread": (max(walls) - min(walls)) / statistics.median(walls), "runs": repeats, "gemm_gflops": rates,
        "split_share": share(MFLOP_SPLIT), "needed_share": share(MFLOP_NEEDED),
        "mb_per_atom": (peak - before) / atoms, "import_s": imported, "load_s": loaded,
        "instruction_set": model.info()["instruction_set"]}))


def start_row(spec):
    environment = {key: value for key, value in os.environ.items()
                   if key not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    environment.update(OPENBLAS_NUM_THREADS=str(spec["threads"]), OMP_NUM_THREADS=str(spec["threads"]))
    done = subprocess.run([sys.executable, __file__, "--one", json.dumps(spec)], env=environment, cwd=ROOT,
                          stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"bench_model.py: row {spec['name']} failed")
    return json.loads(done.stdout.splitlines()[-1])


def print_table(results):
    print(f"\n{'':16} {'atoms':>6} {'thr':>3} {'ms/atom':>8} {'cpu':>8} {'spread':>7} {'gemm':>7} {'split':>6} "
          f"{'needed':>6} {'MB/atom':>8}")
    for r in results:
        share = [f"{r[key]:6.2f}" if r[key] else f"{'-':>6}" for key in ("split_share", "needed_share")]
        print(f"{r['name']:16} {r['atoms']:6} {r['threads']:3} {r['ms_per_atom']:8.3f} "
              f"{r['cpu_ms_per_atom_and_thread']:8.3f} {r['spread']:7.1%} "
              f"{statistics.median(r['gemm_gflops']):7.1f} {share[0]} {share[1]} {r['mb_per_atom']:8.2f}")
    by = {r["name"]: r for r in results}

    def ratio(text, over, under):
        if over in by and under in by:
            print(f"{text}: {by[over]['ms_per_atom'] / by[under]['ms_per_atom']:.3f}")

    ratio("1 thread over 2, 192 atoms", "fast_192", "threads_2_192")
    ratio("1 thread over 2, 768 atoms", "fast_768", "threads_2_768")
    ratio("a moved system over a bare evaluation", "moved_192", "fast_192")
    ratio("24-atom molecule over 3,072 atoms, per atom", "molecule_24", "fast_3072")
    first = results[0]
    print(f"import {1e3 * first['import_s']:.0f} ms, load {first['load_s']:.2f} s, {first['instruction_set']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the rows that take seconds")
    parser.add_argument("--row", action="append", choices=[r["name"] for r in ROWS], help="only this row; may repeat")
    parser.add_argument("--json", type=pathlib.Path, help="where the lines of JSON go, instead of standard output")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        return run_row(json.loads(arguments.one))
    results = []
    for spec in ROWS:
        if (arguments.row and spec["name"] not in arguments.row) or (arguments.quick and not spec["quick"]):
            continue
        results.append(start_row(spec))
        if not arguments.json:
            print(json.dumps(results[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text("".join(json.dumps(result) + "\n" for result in results))
    print_table(results)


if __name__ == "__main__":
    main()
