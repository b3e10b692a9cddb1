"""Compares two built trees bit for bit: this one and another, on the cases of tests/data/cases that both have.

usage: compare_builds.py OTHER [--cases WORDS] [--sets SETS] [--modes MODES]

OTHER is a checkout in which `make build` has run. Each case is computed in float32 and float64, for all its systems, in
every mode: serial; threads, of which there are 2; ranks, which are 3 threads; small, serial with memory="small". All that on
every instruction set of this machine: the plain reference, what the compiler makes of portable vectors, and those of the
processor. A model that one tree refuses and the other evaluates is a difference. The script ends with what differed and by
how much, and with status 1 if anything did.

--cases WORDS   those with one of these words in their name, as "dpa2,hybrid"
--sets SETS     reference, portable, neon, avx2, avx512; without it all that this machine has
--modes MODES   without it all
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SETS = ["reference", "portable", "neon", "avx2", "avx512"]  # from the plainest up
MODES = ["serial", "threads", "ranks", "small"]

# argv: tree, folder of cases, where to write, modes, case names. Each number under set, or case/dtype/mode/system/quantity.
WORKER = '''
import pathlib, sys, threading, warnings
sys.path.insert(0, sys.argv[1])
import numpy as np
import dgnn
from dgnn import _core
assert pathlib.Path(dgnn.__file__).is_relative_to(sys.argv[1]), dgnn.__file__
warnings.simplefilter("ignore")
QUANTITIES = ["energy", "atom_energy", "forces", "virial", "atom_virial", "forces_mag", "dipole", "atom_dipole", "dipole_force",
              "dipole_virial", "polar", "atom_polar", "dos", "atom_dos", "property", "atom_property"]
KEYS = dict(coords="coord", types="type", box="box", spins="spin", fparam="fparam", aparam="aparam",
            charge_spin="charge_spin")
OPTIONS = dict(serial={}, threads=dict(threads=2), ranks={}, small=dict(memory="small"))
NRANK, out = 3, {}


def keep(name, call):
    try:
        result = call()
    except dgnn.Error as error:
        out[f"{name}/error"] = np.array(type(error).__name__)
        return
    for quantity in QUANTITIES:
        value = getattr(result, quantity, None)
        if value is not None:
            out[f"{name}/{quantity}"] = np.asarray(value)


def asked(model):
    """All that the model answers."""
    output = getattr(model, "output", "energy")
    return dict(atomic=True) if output == "energy" else dict(derivatives=True) if output == "dipole" else {}


def on_ranks(name, path, dtype, inputs):
    """Each rank passes every third atom; its results are kept as it has them."""
    comms = _core._comm_threads(NRANK, 60.0)

    def rank(r):
        own = {key: value[r::NRANK] if key in ("coords", "types", "spins", "aparam") and value is not None else value
               for key, value in inputs.items()}
        model = dgnn.Model.load(path, threads=1, dtype=dtype)
        keep(f"{name}/{r}", lambda: model.compute(**own, ids=np.arange(r, len(inputs["types"]), NRANK), comm=comms[r],
                                                  **asked(model)))

    threads = [threading.Thread(target=rank, args=(r,)) for r in range(NRANK)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def compute(path, modes):
    with np.load(path / "cases.npz") as file:
        arrays = dict(file)
    systems = sorted({key.split("/")[0] for key in arrays if "/in/" in key})
    for dtype in ("float32", "float64"):
        for mode in modes:
            options = dict(threads=1, dtype=dtype) | OPTIONS[mode]
            try:
                model = dgnn.Model.load(path / "model.pt2", **options)
            except dgnn.Error as error:
                out[f"{path.name}/{dtype}/{mode}/load/error"] = np.array(type(error).__name__)
                continue
            out["set"] = np.array(model.info()["instruction_set"])
            for system in systems:
                inputs = {ours: arrays.get(f"{system}/in/{theirs}") for ours, theirs in KEYS.items()}
                name = f"{path.name}/{dtype}/{mode}/{system}"
                if mode == "ranks":
                    on_ranks(name, path / "model.pt2", dtype, inputs)
                else:
                    keep(name, lambda: model.compute(**inputs, **asked(model)))


for case in sys.argv[5:]:
    compute(pathlib.Path(sys.argv[2]) / case, sys.argv[4].split(","))
np.savez(sys.argv[3], **out)
'''


def disabled_for(name):
    return ",".join(SETS[max(1, SETS.index(name) + 1) :])


def python_of(tree):
    own = tree / ".venv" / "bin" / "python"
    return own if own.exists() else pathlib.Path(sys.executable)


def numbers(tree, cases, name, modes, target):
    """All results of one tree on one instruction set, in float64 and text; None where this machine has no such set."""
    import numpy as np

    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["DGNN_DISABLE_CPU"] = disabled_for(name)
    arguments = [tree, ROOT / "tests" / "data" / "cases", target, ",".join(modes), *cases]
    done = subprocess.run([python_of(tree), "-c", WORKER, *arguments], env=environment, cwd=target.parent)
    if done.returncode:
        sys.exit(f"{tree}: what it computes on {name} ended with status {done.returncode}; is it built?")
    with np.load(target) as file:
        found = dict(file)
    return found if str(found.pop("set", "")) == name else None


def compare(ours, theirs):
    """Lines that tell what differs."""
    import numpy as np

    for key in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(key), theirs.get(key)
        if one is None or other is None:
            yield f"{key}: only in {'the other' if one is None else 'this'} tree"
        elif one.dtype.kind == "U":
            if str(one) != str(other):
                yield f"{key}: {one}, in the other tree {other}"
        elif one.shape != other.shape or one.tobytes() != other.tobytes():
            worst = np.abs(one - other).max() if one.shape == other.shape else np.inf
            yield f"{key}: {worst:.3e} at most"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=pathlib.Path)
    parser.add_argument("--cases", default="", metavar="WORDS")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--modes", default=",".join(MODES))
    options = parser.parse_args()
    other = options.other.resolve()
    sets, modes = options.sets.split(","), options.modes.split(",")
    if unknown := sorted(set(sets) - set(SETS)) + sorted(set(modes) - set(MODES)):
        parser.error(f"{', '.join(unknown)}: expected sets of {', '.join(SETS)} and modes of {', '.join(MODES)}")
    words = [word for word in options.cases.split(",") if word]
    have = [{path.name for path in (tree / "tests" / "data" / "cases").iterdir()} for tree in (ROOT, other)]
    cases = sorted(name for name in have[0] & have[1] if not words or any(word in name for word in words))
    if not cases:
        parser.error(f"no case has one of {options.cases}")
    total, lines = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for name in sets:
            pair = [numbers(tree, cases, name, modes, pathlib.Path(folder) / f"{k}.npz")
                    for k, tree in enumerate((ROOT, other))]
            if None in pair:
                print(f"{name}: this machine has none")
                continue
            found = [f"{name}/{line}" for line in compare(*pair)]
            print(f"{name}: {len(cases)} cases, {len(pair[0])} results, {len(found)} differ", flush=True)
            total += len(pair[0])
            lines += found
    print(*lines[:40], sep="\n", end="\n" if lines else "")
    if len(lines) > 40:
        print(f"... and {len(lines) - 40} more")
    if not total:
        sys.exit("nothing was compared")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
