"""What tools/gpu_check.sh runs on a machine with a GPU: DPA3's cases on the device beside the CPU, then times.

    python tools/gpu_check.py FILE.json [--small]     all cases, then the six-layer model at growing sizes
    python tools/gpu_check.py --one                   a single small case, for compute-sanitizer"""

import contextlib
import gc
import json
import os
import pathlib
import sys
import time

import numpy as np

import dgnn

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data"
CASES = ["dpa3_base", "dpa3_sequential", "dpa3_not_smooth", "dpa3_use_dist", "dpa3_exp_switch", "dpa3_two_heads", "dpa3_exclude_small_sel",
         "dpa3_charge_spin", "dpa3_compress_linear", "dpa3_compress_split_incr", "dpa3_tebd", "dpa3_gelu", "dpa3_softplus"]
SMALL_CASES = ["dpa3_base"]
LIMIT = {"float64": 1e-11, "float32": 2e-5}
SHAPES = {192: (1, 1, 1), 3072: (4, 2, 2), 49152: (8, 8, 4)}  # atoms: copies of 192 atoms of water
PRODUCTS = ("tensor", "plain")  # as DGNN_CUDA_PRODUCTS says
REPEATS = 5
ERRORS = (OSError, MemoryError, dgnn.Error)


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


def water(natoms):
    """The six-layer model, and so many atoms of water."""
    with np.load(DATA / "perf" / "cases.npz") as file:
        coords, types, box = (file[f"water192/in/{name}"] for name in ("coord", "type", "box"))
    shape = SHAPES[natoms]
    shifts = np.array(np.meshgrid(*map(range, shape), indexing="ij")).reshape(3, -1).T @ box.reshape(3, 3)
    coords = (coords.reshape(1, -1, 3) + shifts[:, None]).reshape(-1, 3)
    return DATA / "perf" / "dpa3_L6_f32.pt2", coords, np.tile(types.ravel(), natoms // 192), box.reshape(3, 3) * np.array(shape)[:, None]


def little():
    """As those, of a small model."""
    with np.load(DATA / "cases" / "dpa3_base" / "cases.npz") as file:
        return (DATA / "cases" / "dpa3_base" / "model.pt2", *(file[f"triclinic/in/{name}"].reshape(shape) for name, shape in
                                                               (("coord", (-1, 3)), ("type", -1), ("box", (3, 3)))))


@contextlib.contextmanager
def products(how):
    """Of devices that are opened meanwhile: the last model of those before has to be gone."""
    before = os.environ.get("DGNN_CUDA_PRODUCTS")
    os.environ["DGNN_CUDA_PRODUCTS"] = how
    gc.collect()
    try:
        yield
    finally:
        os.environ.pop("DGNN_CUDA_PRODUCTS")
        if before is not None:
            os.environ["DGNN_CUDA_PRODUCTS"] = before


def times(system, dtype, repeats=REPEATS):
    """Microseconds an atom of a call, the best of some, with positions that move a little."""
    path, coords, types, box = system
    model = dgnn.Model.load(path, dtype=dtype, device="cuda")
    best, rng = np.inf, np.random.default_rng(0)
    for _ in range(repeats):
        coords = coords + rng.normal(size=coords.shape) * 1e-3
        begin = time.perf_counter()
        model.compute(coords, types, box)
        best = min(best, time.perf_counter() - begin)
    model.close()
    return 1e6 * best / len(types)


def compare(report, names):
    """Names of what is wrong."""
    wrong = []
    for dtype, limit in LIMIT.items():
        for name in names:
            row = f"{name} {dtype}"
            try:
                found = differences(name, dtype)
            except ERRORS as error:  # the others may be right, and are as well worth knowing
                found = {"error": str(error)}
            report["cases"][row] = found
            good = "error" not in found and all(value <= limit for value in found.values())
            wrong += [] if good else [row]
            print(f"{name:28} {dtype}  {'ok' if good else 'WRONG'}  {found.get('error') or format(max(found.values()), '.1e')}", flush=True)
    return wrong


def measure(report, systems, repeats):
    wrong = []
    for how in PRODUCTS:
        for dtype in LIMIT:
            for natoms, system in systems.items():
                row = f"{natoms} atoms {dtype} {how} products"
                try:
                    with products(how):
                        spent = times(system() if callable(system) else system, dtype, repeats)
                    report["microseconds_an_atom"][row] = spent
                    print(f"{natoms:7} atoms  {dtype}  {how:6} products  {spent:9.2f} us/atom", flush=True)
                except ERRORS as error:
                    report["microseconds_an_atom"][row] = str(error)
                    wrong += [] if isinstance(error, MemoryError) else [row]
                    print(f"{natoms:7} atoms  {dtype}  {how:6} products  {error}", flush=True)
    return wrong


def main(path, small=False):
    info = dgnn.Model.load(DATA / "cases" / "dpa3_base" / "model.pt2", device="cuda").info()
    report = {"device": info["device_name"], "version": dgnn.__version__, "cases": {}, "microseconds_an_atom": {}}
    wrong = compare(report, SMALL_CASES if small else CASES)
    systems = {len(little()[2]): little()} if small else {natoms: lambda natoms=natoms: water(natoms) for natoms in SHAPES}
    wrong += measure(report, systems, 1 if small else REPEATS)
    report["wrong"] = wrong
    pathlib.Path(path).write_text(json.dumps(report, indent=1))
    return f"wrong: {', '.join(wrong)}" if wrong else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--one"]:
        print(differences("dpa3_base", "float32"))
    else:
        sys.exit(main(sys.argv[1], sys.argv[2:] == ["--small"]))
