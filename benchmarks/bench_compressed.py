"""Compressed models of the sizes of deepmd-kit's examples/water, by turns: tables, the networks beside them, deepmd-kit.

    DEEPMD_PYTHON benchmarks/bench_compressed.py --make FOLDER      # in an environment with deepmd-kit and torch
    python benchmarks/bench_compressed.py FOLDER [--peer DEEPMD_PYTHON] [--turns 5]      # on an idle machine
    python benchmarks/bench_compressed.py FOLDER --count NAME {table,net}      # once, for valgrind --tool=callgrind

--make writes NAME.pt2 and NAME.pth (as `dp --pt compress` does) of tests/data/perf/se_e2_a; of DPA1 without attention layers and of
dpa2_small, with stripped type embeddings, archives only: step 0.01, extrapolation 5, atoms no nearer than 0.9 Å. Then, float64, one
thread, energy, forces and virial of 192 atoms of water: ms/atom, medians of turns, beside their goals. What was networks in DPA1 and
DPA2 is their phase's time (profile); callgrind counts it too.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PERF = ROOT / "tests" / "data" / "perf"
NAMES = ("se_e2_a", "dpa1_strip", "dpa2_strip")


def trees():
    """name -> (input, model) before compression; the weights are the short sequence of make_size_models.py."""
    import copy
    import zipfile

    sys.path.insert(0, str(ROOT / "tests" / "data"))
    import make_size_models
    from deepmd.pt_expt.model import get_model

    for name in NAMES:
        base = {"se_e2_a": "se_e2_a", "dpa1_strip": "se_atten", "dpa2_strip": "dpa2_small"}[name]
        with zipfile.ZipFile(PERF / f"{base}.pt2") as archive:
            config = json.loads(archive.read("model/extra/model_def_script.json"))
        descriptor = config["descriptor"]
        if name == "dpa1_strip":
            descriptor.update(attn_layer=0, tebd_input_mode="strip")
        if name == "dpa2_strip":
            descriptor["repinit"]["tebd_input_mode"] = "strip"
        tree = get_model(copy.deepcopy(config)).serialize()
        make_size_models.replace(tree)
        yield name, config, tree


def make(folder):
    """Runs with deepmd-kit."""
    import copy
    import zipfile

    import numpy as np
    import torch
    from deepmd.pt.model.model import BaseModel as PtModel
    from deepmd.pt_expt.model.model import BaseModel

    def numbers(value):
        if isinstance(value, dict):
            return {key: numbers(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [numbers(item) for item in value]
        if isinstance(value, np.ndarray):
            return {"@class": "np.ndarray", "@is_variable": True, "dtype": value.dtype.name, "value": value.tolist()}
        return value

    def compressed(kind, tree):
        model = kind.deserialize(copy.deepcopy(tree)).eval()
        model.min_nbor_dist = torch.tensor(0.9, dtype=torch.float64) if kind is PtModel else 0.9
        model.enable_compression(5, 0.01, 0.1, -1)
        return model

    folder.mkdir(parents=True, exist_ok=True)
    for name, config, tree in trees():
        with zipfile.ZipFile(folder / f"{name}.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("model/extra/model_def_script.json", json.dumps(config))
            archive.writestr("model/extra/model.json", json.dumps({
                "model": numbers(compressed(BaseModel, tree).serialize()), "model_def_script": config, "backend": "dpmodel",
                "software": "deepmd-kit", "version": "3.2.0"}))
        if name == "se_e2_a":
            model = compressed(PtModel, tree)
            model.model_def_script = json.dumps(config)
            torch.jit.script(model).save(str(folder / f"{name}.pth"))


PEER = """
import json, sys, time
import numpy as np
from deepmd.infer import DeepPot
pot = DeepPot(sys.argv[1])
with np.load(sys.argv[2]) as file:
    coord, box, types = file["coord"][None], file["box"].reshape(1, 9), file["type"]
pot.eval(coord, box, types)
for _ in sys.stdin:
    begin = time.perf_counter()
    energy, force, virial = pot.eval(coord, box, types)
    print(json.dumps([1e3 * (time.perf_counter() - begin) / len(types), float(energy.ravel()[0])]), flush=True)
"""


class Peer:
    """deepmd-kit in a process of its own, on one thread; it works when it is asked."""

    def __init__(self, python, model, water):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "DP_INTRA_OP_PARALLELISM_THREADS": "1",
                       "DP_INTER_OP_PARALLELISM_THREADS": "1"}
        self.process = subprocess.Popen([python, "-c", PEER, model, water], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=environment, stderr=subprocess.DEVNULL)

    def turn(self):
        print("", file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


def system():
    import numpy as np

    with np.load(PERF / "water_192.npz") as file:
        return {key: file[key] for key in file.files}


def water():
    given = system()
    name = {key.split("/")[-1]: key for key in given}
    return dict(coords=given[name["coord"]], types=given[name["type"]], box=given[name["box"]].reshape(3, 3))


def measure(folder, peer, turns):
    import tempfile

    import dgnn
    import numpy as np

    given, rows = water(), {}
    with tempfile.TemporaryDirectory() as scratch:
        place = pathlib.Path(scratch) / "water.npz"
        np.savez(place, coord=given["coords"], type=given["types"], box=given["box"])
        other = Peer(peer, folder / "se_e2_a.pth", place) if peer else None
        for name in NAMES:
            models = {kind: dgnn.Model.load(folder / f"{name}.pt2", threads=1, compressed=kind, skin=0) for kind in ("table", "net")}
            energies = {kind: model.compute(**given).energy for kind, model in models.items()}
            times = {kind: [] for kind in (*models, *(["peer"] if other and name == "se_e2_a" else []))}
            for turn in range(turns):
                for kind in sorted(times, reverse=turn % 2 == 1):
                    if kind == "peer":
                        took, energies["peer"] = other.turn()
                    else:
                        begin = time.perf_counter()
                        models[kind].compute(**given)
                        took = 1e3 * (time.perf_counter() - begin) / len(given["types"])
                    times[kind].append(took)
            rows[name] = {"ms_per_atom": {kind: statistics.median(value) for kind, value in times.items()}, "energy": energies}
    return rows


def show(rows):
    for name, row in rows.items():
        times = row["ms_per_atom"]
        print(f"{name:12} " + "  ".join(f"{kind} {value:.4f} ms/atom" for kind, value in times.items())
              + f"   energies {row['energy']}")
        goal = " (goal: 0.6 at most)" if name == "se_e2_a" else ""
        print(f"{'':12} tables over networks: {times['table'] / times['net']:.3f}{goal}")
        if "peer" in times:
            print(f"{'':12} deepmd-kit's .pth over tables: {times['peer'] / times['table']:.2f} (goal: 4 at least)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--peer", metavar="PYTHON")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--count", nargs=2, metavar=("NAME", "KIND"))
    options = parser.parse_args()
    if options.make:
        make(options.folder)
    elif options.count:
        import dgnn

        name, kind = options.count
        print(dgnn.Model.load(options.folder / f"{name}.pt2", threads=1, compressed=kind).compute(**water()).energy)
    else:
        rows = measure(options.folder, options.peer, options.turns)
        show(rows)
        if options.json:
            options.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
