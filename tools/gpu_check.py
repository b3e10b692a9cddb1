"""What tools/gpu_check.sh runs on a machine with a GPU: DPA3's cases on the device beside the CPU, then times.

    python tools/gpu_check.py FILE.json     all cases, then the six-layer model at growing sizes
    python tools/gpu_check.py --one         a single small case, for compute-sanitizer"""

import json
import pathlib
import sys
import time

import numpy as np

import dgnn

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data"
CASES = ["dpa3_base", "dpa3_sequential", "dpa3_not_smooth", "dpa3_use_dist", "dpa3_exp_switch", "dpa3_two_heads", "dpa3_exclude_small_sel",
         "dpa3_charge_spin", "dpa3_compress_linear", "dpa3_compress_split_incr", "dpa3_tebd", "dpa3_gelu", "dpa3_softplus"]
LIMIT = {"float64": 1e-11, "float32": 2e-5}
SIZES = (1, 16, 256)  # copies of the 192 atoms of water
REPEATS = 5


def differences(name, dtype):
    """Largest difference of each quantity over its largest component, device against CPU."""
    with np.load(DATA / "cases" / name / "cases.npz") as file:
        arrays = dict(file)
    inputs = {ours: arrays.get(f"triclinic/in/{theirs}") for ours, theirs in
              (("coords", "coord"), ("types", "type"), ("box", "box"), ("charge_spin", "charge_spin"))}
    results = [dgnn.Model.load(DATA / "cases" / name / "model.pt2", dtype=dtype, device=device).compute(**inputs, atomic=True)
               for device in ("cuda", "cpu")]
    pairs = {quantity: [np.asarray(getattr(result, quantity)) for result in results]
             for quantity in ("energy", "forces", "virial", "atom_virial")}
    return {quantity: float(np.abs(ours - theirs).max() / np.abs(theirs).max()) for quantity, (ours, theirs) in pairs.items()}


def times(copies, dtype):
    """Microseconds an atom of a call, the best of some, with positions that move a little."""
    with np.load(DATA / "perf" / "cases.npz") as file:
        arrays = dict(file)
    coords, types, box = (arrays[f"water192/in/{name}"] for name in ("coord", "type", "box"))
    shape = {1: (1, 1, 1), 16: (4, 2, 2), 256: (8, 8, 4)}[copies]
    shifts = np.array(np.meshgrid(*map(range, shape), indexing="ij")).reshape(3, -1).T @ box.reshape(3, 3)
    coords = (coords.reshape(1, -1, 3) + shifts[:, None]).reshape(-1, 3)
    types, box = np.tile(types, copies), box.reshape(3, 3) * np.array(shape)[:, None]
    model = dgnn.Model.load(DATA / "perf" / "dpa3_L6_f32.pt2", dtype=dtype, device="cuda")
    best, rng = np.inf, np.random.default_rng(0)
    for _ in range(REPEATS):
        coords = coords + rng.normal(size=coords.shape) * 1e-3
        begin = time.perf_counter()
        model.compute(coords, types, box)
        best = min(best, time.perf_counter() - begin)
    return 1e6 * best / len(types)


def main(path):
    report = {"device": dgnn.Model.load(DATA / "cases" / "dpa3_base" / "model.pt2", device="cuda").info()["device_name"],
              "version": dgnn.__version__, "cases": {}, "microseconds_an_atom": {}}
    wrong = []
    for dtype, limit in LIMIT.items():
        for name in CASES:
            found = report["cases"][f"{name} {dtype}"] = differences(name, dtype)
            good = all(value <= limit for value in found.values())
            wrong += [] if good else [f"{name} {dtype}"]
            print(f"{name:28} {dtype}  {'ok' if good else 'WRONG'}  {max(found.values()):.1e}", flush=True)
    for dtype in LIMIT:
        for copies in SIZES:
            try:
                spent = report["microseconds_an_atom"][f"{192 * copies} atoms {dtype}"] = times(copies, dtype)
                print(f"{192 * copies:7} atoms  {dtype}  {spent:9.2f} us/atom", flush=True)
            except MemoryError as error:
                print(f"{192 * copies:7} atoms  {dtype}  {error}", flush=True)
    pathlib.Path(path).write_text(json.dumps(report, indent=1))
    return f"differences beyond the limit: {', '.join(wrong)}" if wrong else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--one"]:
        print(differences("dpa3_base", "float32"))
    else:
        sys.exit(main(*sys.argv[1:]))
