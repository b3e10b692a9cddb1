"""A step of LAMMPS with pair_style dgnn over dgnn's own compute for the same atoms on as many ranks, beside the goals.

usage: bench_lammps.py [--atoms N]... [--ranks N]... [--starts N] [--steps N] [--json FILE]

The six-layer model of tests/data/perf in float32 on water at 300 K, one thread for each rank. In one process for each rank,
by turns: a step of LAMMPS (NVE; lists are made anew when LAMMPS says so), and Model.compute of the atoms that the rank then has
in LAMMPS, at the same positions. The ratio is that of the sums over all steps, so lists made anew count on both sides.
Several starts, of which the median counts. README.md beside this file has the method.
"""

import argparse
import functools
import json
import pathlib
import statistics
import sys
import time
import warnings

import bench_model

from dgnn import bench

GOALS = {(1, 192): 1.03, (1, 1536): 1.03, (2, 192): 1.10, (2, 1536): 1.05}  # (ranks, atoms)
TRIAL = 3  # steps that do not count


def start_lammps(inputs, model):
    """A LAMMPS of all ranks with the system of bench_model.py, ready to run on."""
    import numpy as np
    from lammps import lammps

    lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    high, names = np.diag(inputs["box"]), dgnn_names(model)
    assert not (inputs["box"] - np.diag(high)).any()
    masses = "".join(f"mass {k + 1} {dict(O=15.999, H=1.008)[name]}\n" for k, name in enumerate(names))
    lmp.commands_string("units metal\natom_style atomic\nboundary p p p\natom_modify map array\n"
                        f"region box block 0 {high[0]:.17g} 0 {high[1]:.17g} 0 {high[2]:.17g}\n"
                        f"create_box {len(names)} box\n{masses}timestep 0.0005\nneighbor 1.0 bin\n")
    fractions = inputs["coords"] @ np.linalg.inv(inputs["box"])
    places = (fractions - np.floor(fractions)) @ inputs["box"]
    types = (inputs["types"] + 1).astype(int).tolist()
    lmp.create_atoms(len(types), list(range(1, len(types) + 1)), types, places.ravel().tolist())
    lmp.commands_string(f"pair_style dgnn {model} dtype float32 threads 1\npair_coeff * * {' '.join(names)}\n"
                        "velocity all create 300 4711 loop geom\nfix move all nve\nthermo 1000000\nrun 0 post no\n")
    return lmp


def dgnn_names(path):
    import dgnn

    return dgnn.Model.load(path).type_map


def own_atoms(lmp, inputs):
    """What compute takes of the atoms that this rank has in LAMMPS now."""
    import numpy as np

    n = lmp.extract_setting("nlocal")
    column = {name: np.array(lmp.numpy.extract_atom(name)[:n]) for name in ("x", "type", "id")}
    return dict(coords=column["x"].reshape(n, 3), types=column["type"].ravel() - 1, box=inputs["box"],
                ids=column["id"].ravel().astype(np.int64))


def on_ranks(world, atoms, steps):
    """On each rank: seconds of each step, of each call, and how often LAMMPS made its lists anew."""
    import dgnn

    warnings.simplefilter("ignore", dgnn.TruncationWarning)
    path, inputs = bench_model.MODELS / f"{bench_model.DPA3}.pt2", bench_model.system(atoms)
    lmp = start_lammps(inputs, path)
    model = dgnn.Model.load(path, dtype="float32", threads=1)
    comm = {"comm": world} if world.size > 1 else {}
    in_lammps, in_compute, lists = [], [], []
    for _ in range(TRIAL + steps):
        in_lammps.append(bench.together(world, lambda: lmp.command("run 1 pre no post no")))
        lists.append(lmp.get_thermo("nbuild"))
        own = own_atoms(lmp, inputs) | comm
        in_compute.append(bench.together(world, functools.partial(model.compute, **own)))
    lmp.close()
    return in_lammps[TRIAL:], in_compute[TRIAL:], int(lists[-1] - lists[TRIAL - 1])


def measure(atoms, ranks, steps, starts):
    from dgnn.testing import run_mpi

    variables = {**dict.fromkeys(bench.LEFTOVERS), "OMP_NUM_THREADS": "1"}
    runs = [run_mpi(on_ranks, ranks, atoms, steps, environment=variables, timeout=600).values for _ in range(starts)]
    pairs = [(max(sum(rank[0]) for rank in run), max(sum(rank[1]) for rank in run)) for run in runs]
    middle = sorted(pairs, key=lambda pair: pair[0] / pair[1])[len(pairs) // 2]
    return dict(atoms=atoms, ranks=ranks, steps=steps, ratio=middle[0] / middle[1], ratios=[a / b for a, b in pairs],
                median_ratio=statistics.median(statistics.median(run[0][0]) / statistics.median(run[0][1]) for run in runs),
                step_s=middle[0] / steps, compute_s=middle[1] / steps, rebuilds=[run[0][2] for run in runs])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, action="append", help="192 and 1536")
    parser.add_argument("--ranks", type=int, action="append", help="1 and 2")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--steps", type=int, help="30 for 192 atoms, 12 for 1,536")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    options = parser.parse_args()
    begin, results = time.monotonic(), []
    print(f"{'atoms':>6} {'ranks':>5} {'ms a step':>10} {'compute':>8} {'ratio':>7} {'goal':>6} {'of medians':>10}  starts; lists anew")
    for atoms in options.atoms or (192, 1536):
        for ranks in options.ranks or (1, 2):
            steps = options.steps or (30 if atoms <= 192 else 12)
            r = measure(atoms, ranks, steps, options.starts)
            results.append(r)
            goal = GOALS.get((ranks, atoms))
            words = "" if goal is None or r["ratio"] <= goal else "  not reached"
            print(f"{atoms:6} {ranks:5} {1e3 * r['step_s']:10.2f} {1e3 * r['compute_s']:8.2f} {r['ratio']:7.3f} {goal or '-':>6} "
                  f"{r['median_ratio']:10.3f}  {' '.join(f'{x:.3f}' for x in r['ratios'])}; {r['rebuilds']}{words}", flush=True)
    print(f"{time.monotonic() - begin:.0f} s in all")
    if options.json:
        options.json.write_text("".join(json.dumps(result) + "\n" for result in results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
