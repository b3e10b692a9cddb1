"""compute_many: 1,000 periodic boxes of water of 24 to 63 atoms at the density of the box of 1,536.

    python benchmarks/bench_many.py [--model MODEL] [--boxes 1000]     # on an idle machine

Prints: two threads beside one (goal: 1.9), the time for each edge beside that of the large box on one thread (goal: 1.15 at
most), and dgnn test of so many labelled frames beside compute_many (goal: 1.05 at most). Beside the first one stands what two
threads would gain if neither waited for a core: processor time of one over that of both, which other programs disturb less.
--count N: N boxes once, on one thread, and nothing else, for valgrind --tool=callgrind.
"""

import argparse
import contextlib
import io
import pathlib
import tempfile
import time

import numpy as np

import dgnn
from dgnn import cli

PERF = pathlib.Path(__file__).parents[1] / "tests" / "data" / "perf"


def water(rng, molecules, density):
    """Molecules on a lattice with random turns: places as far apart as in the liquid, edges as many."""
    side = (3 * molecules / density) ** (1 / 3)
    cells = int(np.ceil(molecules ** (1 / 3)))
    sites = np.array(list(np.ndindex(cells, cells, cells)))[rng.permutation(cells**3)[:molecules]]
    oxygen = (sites + 0.5) * side / cells
    turns = np.linalg.qr(rng.normal(size=(molecules, 3, 3)))[0]
    arms = np.array([[0.757, 0.586, 0.0], [-0.757, 0.586, 0.0]])
    hydrogen = oxygen[:, None] + np.einsum("mab,hb->mha", turns, arms)
    coords = np.concatenate([oxygen[:, None], hydrogen], axis=1).reshape(-1, 3)
    return dict(coords=coords, types=np.tile([0, 1, 1], molecules), box=np.eye(3) * side)


def by_turns(calls, turns):
    """{name: (seconds, processor seconds of all threads)}: the best of each, which take turns, so that what else the machine
    does meets all alike."""
    found = {name: (np.inf, np.inf) for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            wall, processor = time.perf_counter(), time.process_time()
            call()
            now = time.perf_counter() - wall, time.process_time() - processor
            found[name] = tuple(map(min, found[name], now))
    return found


def write_mixed(folder, model, boxes, results):
    """A folder for each size, of deepmd-kit's format."""
    for n in sorted({len(box["types"]) for box in boxes}):
        chosen = [k for k, box in enumerate(boxes) if len(box["types"]) == n]
        part = folder / f"{n:02d}" / "set.000"
        part.mkdir(parents=True)
        np.savetxt(part.parent / "type.raw", boxes[chosen[0]]["types"], fmt="%d")
        (part.parent / "type_map.raw").write_text("\n".join(model.type_map))
        for name, values in (("coord", [boxes[k]["coords"].ravel() for k in chosen]), ("box", [boxes[k]["box"].ravel() for k in chosen]),
                             ("energy", [results[k].energy for k in chosen]), ("force", [results[k].forces.ravel() for k in chosen])):
            np.save(part / f"{name}.npy", np.array(values))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(PERF / "dpa3_L6_f32.pt2"))
    parser.add_argument("--boxes", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--count", type=int)
    options = parser.parse_args()
    rng = np.random.default_rng(7)
    density = 1536 / 24.83**3  # atoms in Å^3: water at 1 g/cm^3
    if options.count is not None:
        model = dgnn.Model.load(options.model, threads=1)
        results = model.compute_many([water(rng, rng.integers(8, 22), density) for _ in range(options.count)], threads=1)
        print(f"{sum(result.nedges for result in results)} edges")
        return
    boxes = [water(rng, rng.integers(8, 22), density) for _ in range(options.boxes)]
    large = water(rng, 512, density)
    one, two = dgnn.Model.load(options.model, threads=1), dgnn.Model.load(options.model, threads=2)
    results = two.compute_many(boxes)
    edges, atoms = sum(result.nedges for result in results), sum(len(box["types"]) for box in boxes)
    of_large = one.compute(**large).nedges
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        write_mixed(path / "data", two, boxes, results)
        arguments = ["test", options.model, str(path / "data"), "--threads", "2", "--json"]

        def test():
            with contextlib.redirect_stdout(io.StringIO()):
                cli.main(arguments)

        found = by_turns({"alone": lambda: one.compute_many(boxes), "together": lambda: two.compute_many(boxes),
                          "large": lambda: one.compute(**large), "test": test,
                          "load": lambda: dgnn.Model.load(options.model, threads=2)}, options.turns)
    (alone, of_one), (together, of_two), (whole, _), (tested, of_test), (load, of_load) = found.values()
    print(f"{len(boxes)} boxes, {atoms} atoms, {edges} edges: {alone:.2f} s on one thread, {together:.2f} s on two")
    print(f"two threads over one: {alone / together:.3f} (goal: 1.9); by processor time {2 * of_one / of_two:.3f}")
    ratio = (alone / edges) / (whole / of_large)
    print(f"time for an edge: {1e6 * alone / edges:.3f} us, in the box of 1536 {1e6 * whole / of_large:.3f} us: {ratio:.3f} "
          "(goal: 1.15 at most)")
    print(f"dgnn test: {tested - load:.2f} s without loading; over compute_many {(tested - load) / together:.3f} (goal: 1.05 at "
          f"most); by processor time {(of_test - of_load) / of_two:.3f}")


if __name__ == "__main__":
    main()
