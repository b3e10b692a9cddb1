"""Measuring: phases and their counts, dgnn bench, and the benchmarks run and say what they say they do. Speed is no test."""

import json
import os
import subprocess
import sys
import threading
import time

import ase
import ase.io
import compile as builder
import dgnn
import numpy as np
import pytest
from conftest import DATA, ROOT
from dgnn import _core, bench

sys.path.insert(0, str(ROOT / "benchmarks"))
import bench_model  # noqa: E402

DPA3 = {"node", "edge", "angle", "geometry"}


@pytest.fixture
def water():
    """27 atoms in a box of 6.5 Å."""
    random = np.random.default_rng(3)
    places = np.array(list(np.ndindex(3, 3, 3))) * 2.1 + random.random((27, 3)) * 0.6
    return dict(coords=places, types=np.tile([0, 1, 1], 9).astype(np.int32), box=np.eye(3) * 6.5)


def profile_of(model, inputs, **changed):
    return model._core.compute(**{**bench.core_arguments(**inputs), **changed}, profile=True)


def test_phases_are_the_call(base_path, water):
    """The same bits with and without, and phases that make up the time."""
    model = dgnn.Model.load(base_path, threads=1)
    plain = model.compute(**water)
    calls = []
    for _ in range(5):
        start = time.perf_counter()
        result = profile_of(model, water)
        calls.append((time.perf_counter() - start, result["profile"]["seconds"]))
        assert result["energy"] == plain.energy and np.array_equal(result["forces"], plain.forces)
        assert sum(calls[-1][1].values()) <= calls[-1][0]
    assert max(sum(seconds.values()) / wall for wall, seconds in calls) > 0.8
    seconds = calls[-1][1]
    assert all(seconds[f"{kind} {way}"] > 0 for kind in DPA3 for way in ("forward", "backward"))
    assert seconds["list"] > 0 and seconds["fitting net"] > 0
    assert "profile" not in model._core.compute(**bench.core_arguments(**water))


def test_counted_products():
    """Against the cost model: MACs of a layer's split form, and what remains without dead branches and rank-one inputs."""
    model = dgnn.Model.load(bench_model.MODELS / f"{bench_model.DPA3}.pt2", threads=1)
    result = profile_of(model, bench_model.system(24, "molecule"))
    profile, flow = result["profile"], model.info()["descriptor"]["repflow"]
    layers, n, e, a, axis = (flow[key] for key in ("nlayers", "n_dim", "e_dim", "a_dim", "axis_neuron"))
    assert (layers, n, e, a, axis) == (6, 128, 64, 32, 4)
    atoms, edges, near, angles = 24, result["nedges"], profile["nangle_edge"], profile["nangle"]
    assert 24 * 23 >= near > 0 and angles > near
    node = n * n + 4 * (n + e) * n + 2 * n * (n + e) + 3 * axis * (n + e)
    split = layers * (atoms * (node + a * (e + a)) + edges * (3 * (n + e) + e * (n + e))
                      + 2 * near * a * (e + a) + angles * (a * (e + a) + e) + near * e * e)
    assert profile["split_flop"] == pytest.approx(4 * split, rel=1e-12)
    flop = profile["flop"]
    edge = edges * (layers * 3 * (n + e) + (n + e) + (layers - 2) * e * (n + e) + e * n)
    angle = (layers - 1) * (2 * near * a * e + angles * e + near * e * e) + (layers - 2) * 2 * near * a * a
    angle += angles * ((e + a) + (layers - 2) * a * e + (layers - 3) * a * a)
    for way in ("forward", "backward"):
        assert flop[f"edge {way}"] == pytest.approx(2 * edge, rel=1e-12)
        assert flop[f"angle {way}"] == pytest.approx(2 * angle, rel=1e-12)
    reached = (layers - 1) * a * e + (layers - 2) * a * a - 2 * n * e  # the last layer updates no edges
    assert flop["node forward"] == pytest.approx(2 * atoms * (layers * node + reached), rel=1e-12)
    first = node - axis * (n + e) * (n + 3) + a * (e + a)  # of layer 0 backward: types have no gradient
    assert flop["node backward"] == pytest.approx(2 * atoms * (layers * node + reached - first), rel=1e-12)


@pytest.mark.parametrize("case,known", [("se_e2_a", False), ("dpa2_base", False), ("dpa3_sequential", True),
                                        ("hybrid_two_messages", True), ("spin_dpa3", True)])
def test_every_family_has_phases(case, known):
    model = dgnn.Model.load(DATA / "cases" / case / "model.pt2", threads=1)
    cases = np.load(DATA / "cases" / case / "cases.npz")
    frame = sorted({name.split("/")[0] for name in cases.files if name.endswith("/in/box")})[0]
    inputs = dict(coords=cases[f"{frame}/in/coord"], types=cases[f"{frame}/in/type"], box=cases[f"{frame}/in/box"])
    if model.is_spin:
        inputs["spins"] = cases[f"{frame}/in/spin"]
    profile = profile_of(model, inputs)["profile"]
    assert profile["seconds"]["forward"] > 0 and profile["seconds"]["backward"] > 0
    assert (sum(profile["flop"].values()) > 0) == known


def test_phases_of_ranks(base_path, water):
    """Waiting for messages is a phase; the counts of all ranks are those of one."""
    models = [dgnn.Model.load(base_path, threads=1) for _ in range(2)]
    results = [None, None]

    def on_rank(rank, comm):
        results[rank] = profile_of(models[rank], water, comm=comm, replicated=True)
        comm.close()

    threads = [threading.Thread(target=on_rank, args=pair) for pair in enumerate(_core._comm_threads(2))]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    one = profile_of(models[0], water)["profile"]
    assert all(result["profile"]["seconds"]["messages"] > 0 for result in results)
    assert sum(result["profile"]["nangle"] for result in results) == one["nangle"]
    assert sum(result["profile"]["split_flop"] for result in results) == pytest.approx(one["split_flop"], rel=1e-12)


# ---------------------------------------------------------------- dgnn bench


@pytest.fixture
def structure(water, tmp_path):
    path = tmp_path / "water.xyz"
    ase.io.write(path, ase.Atoms("OHH" * 9, positions=water["coords"], cell=water["box"], pbc=True))
    return path


def run(*arguments, **environment):
    command = [sys.executable, "-m", "dgnn", "bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment})


def test_bench_command(base_path, structure, tmp_path):
    picture = tmp_path / "phases.png"
    done = run(base_path, structure, "--json", "--threads", 1, "--dtype", "float32", "--memory", "small", "--repeat", 4,
               "--moving", "--plot", picture, OPENBLAS_CORETYPE="Haswell")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    told = json.loads(done.stdout)
    assert (told["natoms"], told["calls"], told["threads"], told["dtype"], told["memory"]) == (27, 4, 1, "float32", "small")
    assert told["kept"] == [] and told["unset"] == ["OPENBLAS_CORETYPE"] and told["list_reused"] and told["moving"]
    assert told["instruction_set"] == dgnn.Model.load(base_path).info()["instruction_set"]
    assert told["needed_share"] == pytest.approx(sum(told["flop"].values()) / told["time_s"] / told["gemm_gflops"] / 1e9)
    assert 0 < told["needed_share"] < told["split_share"]
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 10000


def test_bench_table(structure, base_path):
    done = run(base_path, structure, "--repeat", 3)
    assert done.returncode == 0, done.stderr
    for word in ("ms/atom", "MB/atom", "split share", "dgemm", "angle backward", "MFLOP/atom", "27 atoms",
                 "kept for backward: edges and angles"):
        assert word in done.stdout
    done = run(DATA / "cases" / "se_e2_a" / "model.pt2", structure, "--repeat", 3)
    assert done.returncode == 0 and "split share" not in done.stdout and "us/atom" in done.stdout


def test_bench_on_ranks(base_path, structure):
    """Phases of both ranks; what they multiply together is what one rank does."""
    one, two = (json.loads(run(base_path, structure, "--json", "--repeat", 3, *ranks).stdout)
                for ranks in (("--threads", 1), ("--ranks", 2)))
    assert (one["ranks"], two["ranks"], two["natoms"], two["threads"]) == (1, 2, 27, 1)
    assert two["seconds"]["messages"] > 0 and two["nedges"] == one["nedges"] and two["nangle"] == one["nangle"]
    assert one["kept"] == two["kept"] == ["edges", "angles"]  # no trial for so few atoms
    assert two["split_flop"] == pytest.approx(one["split_flop"], rel=1e-12)
    done = run(base_path, structure, "--ranks", 2, "--type-map", "O=H", "H=Q")
    assert done.returncode == 2 and done.stderr.startswith("dgnn: 2 ranks: --type-map") and "'H=Q'" in done.stderr


@pytest.mark.parametrize("arguments,word", [(["--repeat", 0], "--repeat"), (["--ranks", 0], "--ranks"),
                                            (["--type-map", "O=H", "H=Q"], "no such type")])
def test_bench_complaints(base_path, structure, arguments, word):
    done = run(base_path, structure, *arguments)
    assert done.returncode == 2 and word in done.stderr and len(done.stderr.splitlines()) == 1


# ---------------------------------------------------------------- make bench


def test_rows_and_goals(tmp_path):
    out = tmp_path / "rows.json"
    rows = [part for name in ("molecule_24", "fast_192", "start") for part in ("--row", name)]
    done = subprocess.run([sys.executable, ROOT / "benchmarks" / "bench_model.py", *rows, "--json", out],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    fast, molecule, start = map(json.loads, out.read_text().splitlines())
    assert [fast["name"], molecule["name"], start["name"]] == ["fast_192", "molecule_24", "start"]
    assert fast["natoms"] == 192 and molecule["natoms"] == 24
    assert 0 < fast["mb_per_atom"] < 20 and fast["goal_share"] > 0 and fast["calls"] >= 3
    assert fast["goal_share"] / fast["split_share"] == pytest.approx(93e6 * 192 / fast["split_flop"])
    assert molecule["goal_share"] is None and 0 < start["import_s"] < 60 and 0 < start["load_s"] < 60
    assert 0 < start["beyond_numpy_s"] < start["import_s"]
    assert "fast_192" in done.stdout and "split share" in done.stdout and "load, s" in done.stdout
    page = tmp_path / "page.md"
    page.write_text("before\n" + "\nold\n".join(bench_model.MARKS) + "\nafter\n")
    again = subprocess.run([sys.executable, ROOT / "benchmarks" / "bench_model.py", "--from", out, "--readme", page],
                           capture_output=True, text=True, timeout=60)
    assert again.returncode == 0 and again.stdout == done.stdout, again.stderr
    words = page.read_text()
    assert words.startswith("before\n") and words.endswith("\nafter\n") and "old" not in words
    assert f"| fast: MB/atom | <= 3 | {fast['mb_per_atom']:.3g} (192)" in words and "sgemm of numpy" in words


def test_ranks_take_turns():
    from dgnn.testing import run_mpi

    spec = {**bench_model.row("ranks_192", kind="ranks"), "clock": "wall", "calls": 1}
    alone, other = run_mpi(bench_model.on_ranks, 2, spec).values
    assert other is None and len(alone["first_s"]) == len(alone["second_s"]) == 1
    assert alone["ratio"] == pytest.approx(alone["second_s"][0] / alone["first_s"][0])
    assert 0.5 < alone["apart_ratio"] < 20


def test_goals_are_judged(capsys):
    """A table of invented rows: each figure beside its goal, and what is not reached is said."""
    bare = dict(goal_share=0.9, mb_per_atom=2.0)
    by = [dict(name="fast_192", ms_per_atom=1.0, clock="wall", **bare), dict(name="fast_3072", ms_per_atom=1.2, **bare),
          dict(name="threads_192", ratio=0.5), dict(name="ranks_192", ratio=0.51, apart_ratio=1.0),
          dict(name="ranks_1536", ratio=0.51, apart_ratio=1.25),
          dict(name="moved_192", ratio=1.06), dict(name="molecule_24", ms_per_atom=1.5)]
    bench_model.print_figures(by)
    lines = {line[:48].strip(): line[48:].split(None, 2) for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["fast: longest time per atom over shortest"][2]== "1.2; not reached"
    assert lines["2 threads over 1"] == [">=", "1.9", "2 (192)"]
    assert lines["2 processes that share nothing, over 1"] == ["1", "(192),", "0.8 (1,536)"]
    assert lines["2 ranks over 1: efficiency"][2] == "0.99  0.98 (192), 0.98 (1,536); not reached"
    assert "not reached" in lines["MD step over a bare evaluation"][2]
    assert lines["24-atom molecule over a large system, per atom"][2] == "1.25"
    assert not any("small" in name or "float64" in name for name in lines)


def test_operations():
    """Every instruction set that runs here, both element types, every block."""
    (program,) = builder.build_benchmarks()
    done = subprocess.run([program, "0", "3"], capture_output=True, text=True, timeout=300, check=True)
    lines = [line.split(None, 2) for line in done.stdout.splitlines()[1:]]
    sets = {line[0] for line in lines}
    assert {"reference", "portable", dgnn.Model.load(bench_model.MODELS / f"{bench_model.DPA3}.pt2").info()["instruction_set"]} <= sets
    for name in ("gemm", "activate", "gram_backward", "edge_forward,", "edge_backward, last", "angle_backward, small"):
        assert sum(line[2].startswith(name) for line in lines) >= 2 * len(sets), name
    assert all(float(line[2].split()[-1]) > 0 for line in lines if "_" in line[2])


def test_turns(base_path, water):
    """What is compared takes turns, and a moving system moves."""
    model = dgnn.Model.load(base_path, threads=1)
    still, moving = bench.Caller(model, water), bench.Caller(model, water, moving=True)
    for caller in (still, moving, still, moving):
        caller.call()
    assert len(still.seconds) == len(moving.seconds) == 2
    assert still.results[0]["energy"] == still.results[1]["energy"] != moving.results[1]["energy"]
    away = np.abs(moving.arguments["coords"] - water["coords"]).max()
    assert 0 < away < 10 * bench.STEP_A and moving.results[-1]["list_reused"]


def test_memory_of_families(tmp_path):
    """At most 1 MB an atom for the sizes of deepmd-kit's examples/water."""
    out = tmp_path / "rows.json"
    names = ["dpa2_small", "dpa2_medium", "se_atten", "se_e2_a"]
    done = subprocess.run([sys.executable, ROOT / "benchmarks" / "bench_model.py", "--json", out,
                           *(word for name in names for word in ("--row", name))],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["name"] for row in rows] == names
    for row in rows:
        assert 0.1 < row["mb_per_atom"] <= 1, row
