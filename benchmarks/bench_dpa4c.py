"""DPA4C's figures on this machine, one thread: time beside numpy's products, the radial table, memory, two ranks.

    python benchmarks/bench_dpa4c.py WEIGHTS [--large]       --large: memory up to 12,288 atoms, and two ranks

WEIGHTS: a DPA4C model with O and H, such as DPA4C-Air-OMat24. On an idle machine; times are the best of their calls.
"""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLOP_EDGE = 72e3  # of the exact form's products: value and slope of two layers, 64 channels and 4 modes

CHILD = """
import json, sys, numpy as np, dgnn
from dgnn import bench
weights, box, repeat, radial, calls = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
with np.load(box) as file:
    coords, types, cell = file["water192/in/coord"], file["water192/in/type"], file["water192/in/box"]
model = dgnn.Model.load(weights, dtype="float32", threads=1, radial=radial)
numbers = np.array([model.type_map.index("O"), model.type_map.index("H")], np.int32)
shifts = np.array([(i, j, k) for i in range(repeat) for j in range(repeat) for k in range(repeat)])
inputs = dict(coords=(coords[None] + (shifts @ cell)[:, None]).reshape(-1, 3), types=np.tile(numbers[types], repeat**3),
              box=repeat * cell)
told = bench.measure(model, inputs, calls, moving=True)
told["error"] = bench.force_error(model, dgnn.Model.load(weights, dtype="float32", threads=1), inputs) if radial == "table" else 0
print(json.dumps(told))
"""


def measured(weights, repeat, radial, calls):
    from dgnn import bench

    box = ROOT / "tests" / "data" / "perf" / "cases.npz"
    done = bench.run_measuring(["-c", CHILD, weights, box, str(repeat), radial, str(calls)], 1)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


RANKS = """
import sys, time, numpy as np, dgnn
from mpi4py import MPI
weights, box, repeat, calls = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with np.load(box) as file:
    coords, types, cell = file["water192/in/coord"], file["water192/in/type"], file["water192/in/box"]
model = dgnn.Model.load(weights, dtype="float32", threads=1, comm=MPI.COMM_WORLD)
numbers = np.array([model.type_map.index("O"), model.type_map.index("H")], np.int32)
shifts = np.array([(i, j, k) for i in range(repeat) for j in range(repeat) for k in range(repeat)])
where = (coords[None] + (shifts @ cell)[:, None]).reshape(-1, 3)
best = np.inf
for call in range(calls + 1):
    moved = where + 0.01 * np.random.default_rng(call).standard_normal(where.shape)
    MPI.COMM_WORLD.Barrier()
    start = time.perf_counter()
    model.compute(moved, np.tile(numbers[types], repeat**3), repeat * cell, comm=MPI.COMM_WORLD, replicated=True)
    best = min(best, MPI.COMM_WORLD.allreduce(time.perf_counter() - start, MPI.MAX)) if call else best
if MPI.COMM_WORLD.rank == 0:
    print(best)
"""


def best_on_ranks(weights, ranks, repeat, calls):
    """Seconds of a call, list and forces included; the first call is not counted."""
    box = ROOT / "tests" / "data" / "perf" / "cases.npz"
    command = ["mpirun", "-n", str(ranks), sys.executable, "-c", RANKS, weights, str(box), str(repeat), str(calls)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])


def main(weights, large=False):
    for radial in ("exact", "table"):
        told = measured(weights, 1, radial, 30)
        edges = told["nedges"] / told["natoms"]
        share = FLOP_EDGE * edges / (told["best_s"] / told["natoms"] * told["gemm_gflops"] * 1e9)
        print(f"{radial}: {1e3 * told['best_s'] / told['natoms']:.4f} ms/atom, {edges:.1f} neighbours, sgemm "
              f"{told['gemm_gflops']:.0f} GFLOP/s"
              + (f", share {share:.2f}" if radial == "exact" else f", forces differ by {told['error']:.1e} of the largest"))
    if large:
        few, many = (measured(weights, repeat, "exact", 3) for repeat in (2, 4))
        slope = (many["mb_per_atom"] * many["natoms"] - few["mb_per_atom"] * few["natoms"]) / (many["natoms"] - few["natoms"])
        print(f"memory: {1e3 * slope:.1f} kB an atom from {few['natoms']} to {many['natoms']} atoms")
        one, two = (best_on_ranks(weights, ranks, 4, 3) for ranks in (1, 2))
        print(f"two ranks over one, {many['natoms']} atoms: {one / 2 / two:.3f} ({one:.3f} s, {two:.3f} s)")


if __name__ == "__main__":
    main(*[argument for argument in sys.argv[1:] if argument != "--large"], large="--large" in sys.argv)
