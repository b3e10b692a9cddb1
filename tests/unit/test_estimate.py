"""What a call would take, said before it: counts and bytes are those of the call that follows, and time is at a measured rate."""

import json
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest

import dgnn
from dgnn import _core, cli, estimate

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
FAMILIES = ["dpa3_base", "dpa3_16_layers", "dpa3_sequential", "dpa2_base", "se_e2_a", "dpa1_attn2", "dpa4c_base", "linear_dpa3_dpa1"]
PEAK = """
import json, sys, numpy as np, dgnn
from dgnn import bench
model = dgnn.Model.load(sys.argv[1], threads=1, memory=sys.argv[2])
with np.load(sys.argv[3]) as file:
    inputs = dict(coords=np.tile(file["coord"].reshape(-1, 3), (1, 1)), types=file["type"].ravel(), box=file["box"].reshape(3, 3))
told = model.estimate(inputs)
bench.forget_peak()
before = bench.resident_megabytes("VmRSS")
fresh = dgnn.Model.load(sys.argv[1], threads=1, memory=sys.argv[2])  # the first one's session has memory already
loaded = bench.resident_megabytes("VmRSS")
bench.forget_peak()
for _ in range(5):
    fresh.compute(**inputs)
print(json.dumps([told["bytes"], (bench.resident_megabytes("VmHWM") - loaded) * 2**20]))
"""


def cluster(n, types, box=None, seed=0):
    """n atoms on a shaken lattice, some 2.2 Å apart, in a box."""
    side = int(np.ceil(n ** (1 / 3)))
    places = np.array(list(np.ndindex(side, side, side)))[:n] * 2.2
    coords = places + 0.2 * np.random.default_rng(seed).random((n, 3))
    return dict(coords=coords, types=np.arange(n) % types, box=2.2 * side * np.eye(3))


def load(name, **options):
    return dgnn.Model.load(DATA / "cases" / name / "model.pt2", threads=2, **options)


@pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")
@pytest.mark.parametrize("memory", ["fast", "small"])
@pytest.mark.parametrize("name", FAMILIES)
def test_counts_and_bytes_are_those_of_the_call(name, memory):
    """The bytes exactly: those that the buffers of the call ask for, which are freed with the model."""
    structure = cluster(80, 2)
    with load(name, memory=memory) as model:
        told = model._core.estimate(**estimate_inputs(model, structure), comm=None)
    with load(name, memory=memory) as model:
        before = _core._alloc_needed()
        results = [model._core.compute(**estimate_inputs(model, structure), comm=None, profile=True) for _ in range(6)]
        used = _core._alloc_needed() - before
    assert told["nedges"] == results[0]["nedges"] > 80
    profile = results[0]["profile"]
    assert (told["nangle"], told["nangle_edge"]) == (profile["nangle"], profile["nangle_edge"])
    assert told["flop"] == pytest.approx(sum(profile["flop"].values())) and told["split_flop"] == pytest.approx(profile["split_flop"])
    assert told["nbytes"] == used > 0 and told["cost"] > 0 and told["nghosts"] == 0


def estimate_inputs(model, structure):
    from dgnn.model import arranged

    _, (_, frames, _, fixed) = arranged(model, None, **structure)
    return {**frames[0], **fixed}


def test_nothing_stays():
    with load("dpa3_base") as model:
        model.compute(**cluster(80, 2))
        before = _core._alloc_live(), _core._alloc_needed()
        model._core.estimate(**estimate_inputs(model, cluster(500, 2)), comm=None)
        assert (_core._alloc_live(), _core._alloc_needed()) == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is Linux's")
@pytest.mark.parametrize("memory", ["fast", "small"])
def test_the_peak_is_within_a_tenth(memory):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PEAK, DATA / "perf" / "dpa3_L6_f32.pt2", memory,
                           DATA / "perf" / "water_192.npz"], stdout=subprocess.PIPE, text=True, check=True)
    told, peak = json.loads(done.stdout)
    assert told == pytest.approx(peak, rel=0.1)


@pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")
def test_ranks_are_those_of_a_run():
    """Each rank's ghosts, edges and bytes, of threads that stand for ranks; the whole of them is that of one."""
    structure, ranks = cluster(216, 2), 4
    with load("dpa3_base", memory="small") as model:
        told = model.estimate(structure, ranks=ranks)
        alone = model.estimate(structure)
    comms, found = dgnn.testing.thread_ranks(ranks), [None] * ranks
    models = [load("dpa3_base", memory="small") for _ in range(ranks)]

    def one(rank):
        own = dgnn.bench.slab({**structure, "types": structure["types"]}, rank, ranks)
        before = _core._alloc_needed()
        result = models[rank].compute(**own, comm=comms[rank])
        found[rank] = result.nedges, result.nghosts, _core._alloc_needed() - before

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    edges, ghosts, nbytes = zip(*found)
    assert told["nedges"] == sum(edges) == alone["nedges"] and told["nghosts"] == max(ghosts) > 0
    assert told["bytes"] == max(nbytes) and told["total_bytes"] == sum(nbytes) > told["bytes"]
    assert told["seconds"] < alone["seconds"] and told["ms_per_atom"] == pytest.approx(1e3 * told["seconds"] / 216)


def test_time_is_cost_at_the_measured_rate(monkeypatch):
    with load("dpa3_base") as model:
        small, large = cluster(125, 2), cluster(1000, 2)
        monkeypatch.setattr(estimate, "_rate", lambda *arguments: 2e-9)
        told = model.estimate(large)
        cost = model._core.estimate(**estimate_inputs(model, large), comm=None)["cost"]
        assert told["seconds"] == 2e-9 * cost and cost > 7 * model._core.estimate(**estimate_inputs(model, small), comm=None)["cost"]
        monkeypatch.undo()
        calls = []
        monkeypatch.setattr(estimate, "_sample", lambda model, inputs, edges: calls.append(edges) or estimate_inputs(model, small))
        first = model.estimate(large)["seconds"]
        again = model.estimate(large)["seconds"]
        assert len(calls) == 1 and first == again > 0  # a rate is measured once
        assert model.estimate(small)["seconds"] > 0 and len(calls) == 1  # a small system is timed itself


def test_the_sample_is_as_dense():
    with load("dpa3_base") as model:
        inputs = estimate_inputs(model, cluster(1000, 2))
        edges = model._core.estimate(**inputs, comm=None)["nedges"] / 1000
        sample = estimate._sample(model, inputs, edges)
        assert model._core.estimate(**sample, comm=None)["nedges"] / len(sample["types"]) == pytest.approx(edges, rel=0.1)


def test_larger_than_the_machine():
    """A million atoms take more memory than there is; nothing of it is touched."""
    with load("dpa3_16_layers", dtype="float64") as model:
        model._rates.append((50.0, 0.0))
        structure = cluster(30**3, 2)
        before = dgnn.bench.resident_megabytes("VmHWM")
        told = model._core.estimate(**estimate_inputs(model, structure), comm=None)
        assert told["nbytes"] / 2**20 > 2 * (dgnn.bench.resident_megabytes("VmHWM") - before)


@pytest.mark.parametrize("structure, ranks, said", [
    (dict(coords=np.zeros((2, 3)), types=[0, 7]), 1, "types"), (dict(coords=np.zeros((2, 2, 3)), types=[0, 0]), 1, "2 frames; expected one"),
    (dict(coords=np.zeros((1, 3))), 1, "no 'types'"), (3, 1, "expected ASE's Atoms or a dict"),
    (dict(coords=np.zeros((1, 3)), types=[0]), 0, "ranks: expected 1 to 1024, found 0"),
    (dict(coords=np.zeros((1, 3)), types=[0]), "a", "ranks: expected 1 to 1024, found 'a'")])
def test_refused(structure, ranks, said):
    with load("dpa3_base") as model, pytest.raises(dgnn.InputError, match=said):
        model.estimate(structure, ranks=ranks)


def test_of_nothing_and_of_one_atom():
    with load("dpa3_base") as model:
        empty = model.estimate(dict(coords=np.zeros((0, 3)), types=[]))
        assert (empty["natoms"], empty["nedges"], empty["seconds"]) == (0, 0, 0)
        assert model.estimate(dict(coords=np.zeros((1, 3)), types=[0]))["nedges"] == 0


def test_command(tmp_path, capsys):
    path = tmp_path / "water.xyz"
    structure, model = cluster(64, 2), str(DATA / "cases" / "dpa3_base" / "model.pt2")
    names = dgnn.Model.load(model).type_map
    lattice = " ".join(map(str, structure["box"].ravel()))
    rows = [f"{names[t]} {x} {y} {z}" for t, (x, y, z) in zip(structure["types"], structure["coords"])]
    path.write_text("\n".join([str(len(rows)), f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="T T T"', *rows, ""]))
    assert cli.main(["info", model, "--for", str(path), "--json", "--ranks", "2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["natoms"] == 64 and told["ranks"] == 2 and told["nghosts"] > 0
    assert cli.main(["info", model, "--for", str(path)]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("edges", "angles", "memory of a rank", "ms an atom"))
    assert cli.main(["info", model, "--ranks", "2"]) == 2 and "--for" in capsys.readouterr().err
