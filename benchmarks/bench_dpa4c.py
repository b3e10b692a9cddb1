"""DPA4C's figures on this machine, one thread: time beside numpy's products, the radial table, memory, two ranks.

    python benchmarks/bench_dpa4c.py WEIGHTS [--large]       --large: memory up to 12,288 atoms, and two ranks

WEIGHTS: a DPA4C model with O and H, such as DPA4C-Air-OMat24. On an idle machine; times are the best of their calls.
"""

import json
import pathlib
import statistics
import sys

from dgnn import bench

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
    box = ROOT / "tests" / "data" / "perf" / "cases.npz"
    done = bench.run_measuring(["-c", CHILD, weights, box, str(repeat), radial, str(calls)], 1)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def on_ranks(world, weights, repeat):
    """On each of two ranks: rank 0 alone, then both, each with its half of the box, by turns: one rank's time over twice both's."""
    import numpy as np

    import dgnn

    with np.load(ROOT / "tests" / "data" / "perf" / "cases.npz") as file:
        coords, types, cell = file["water192/in/coord"], file["water192/in/type"], file["water192/in/box"]
    single, model = (dgnn.Model.load(weights, dtype="float32", threads=1) for _ in range(2))
    numbers = np.array([model.type_map.index("O"), model.type_map.index("H")], np.int32)
    shifts = np.array(list(np.ndindex(repeat, repeat, repeat)))
    whole = dict(coords=(coords[None] + (shifts @ cell)[:, None]).reshape(-1, 3), types=np.tile(numbers[types], repeat**3),
                 box=repeat * cell)
    own, alone, together = bench.slab(whole, world.rank, world.size), [], []
    for _ in range(bench.TRIAL + 5):
        alone.append(bench.alone(world, lambda: single.compute(**whole)))
        together.append(bench.together(world, lambda: model.compute(**own, comm=world)))
    return None if world.rank else 0.5 * statistics.median(alone[bench.TRIAL:]) / statistics.median(together[bench.TRIAL:])


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
        from dgnn.testing import run_mpi

        variables = {**dict.fromkeys(bench.LEFTOVERS), "OMP_NUM_THREADS": "1"}
        starts = [run_mpi(on_ranks, 2, weights, 4, environment=variables, timeout=600).values[0] for _ in range(3)]
        print(f"two ranks over one, 12,288 atoms: {statistics.median(starts):.3f} ({', '.join(f'{one:.3f}' for one in starts)})")


if __name__ == "__main__":
    main(*[argument for argument in sys.argv[1:] if argument != "--large"], large="--large" in sys.argv)
