"""dgnn parity, dgnn.testing.run_mpi and the example of many ranks, under both MPIs."""

import json
import os
import subprocess
import sys

import ase.io
import matplotlib.image
import numpy as np
import pytest
from ase import Atoms, units
from test_transport import MPIS, launcher

from dgnn.calculator import DGNNCalculator
from dgnn.parity import Motion, System, judged, velocities
from dgnn.testing import RanksFailed, run_mpi


@pytest.fixture(scope="module")
def structure(tmp_path_factory):
    """48 atoms; some are helium, which the model doesn't know."""
    rng = np.random.default_rng(3)
    places = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3)[:48]
    atoms = Atoms(rng.choice(["O", "H", "He"], 48, p=[0.3, 0.6, 0.1]), (places + rng.uniform(0.2, 0.8, (48, 3))) * 2.2,
                  cell=np.diag([8.8, 8.8, 6.6]), pbc=True)
    path = tmp_path_factory.mktemp("parity") / "gas.extxyz"
    ase.io.write(path, atoms)
    return path


def variables(mpi):
    """This process's environment, in which mpi4py loads that MPI, with no word on root."""
    _, environment = launcher(mpi, 1)
    for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
        environment.pop(name, None)
    return environment


def parity(mpi, *arguments, prefix=(), environment=None, timeout=120):
    command = [*prefix, sys.executable, "-m", "dgnn", "parity", *map(str, arguments)]
    return subprocess.run(command, env=environment or variables(mpi), capture_output=True, text=True, timeout=timeout)


def check_row(row, natoms):
    assert row["within"] and max(row["worst"].values()) <= 1e-11
    assert set(row["worst"]) == {"energy", "forces", "virial", "atom_energy", "atom_virial"}
    assert sum(rank["atoms"] for rank in row["per_rank"]) == natoms and len(row["per_rank"]) == row["ranks"]
    assert row["time_s"] > 0
    if row["ranks"] > 1:
        for rank in row["per_rank"]:
            assert rank["exchanges"] > 0 and rank["ghosts"] > 0 and rank["bytes_per_exchange"] > 0
            assert rank["forward_messages"] == rank["reverse_messages"] == rank["exchanges"] * rank["messages_per_exchange"]


@pytest.mark.parametrize("mpi", MPIS)
def test_parity_starts_mpirun(mpi, base_path, structure, tmp_path):
    picture = tmp_path / "parity.png"
    done = parity(mpi, base_path, structure, "--ranks", 2, 3, "--grid", "1x2x1", "--json", "--null", "He", "--null-velocity",
                  "0.1", "--md", 20, "--rebuild-every", 5, "--temperature", 500, "--seed", 3, "--plot", picture)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["passed"] and told["one_rank"]["largest_force"] > 1e-3
    assert [(row["ranks"], row["grid"]) for row in told["rows"]] == [(2, [1, 2, 1]), (3, None)]
    for row in told["rows"]:
        check_row(row, 48)
        assert row["md"]["built"] >= 4 and row["md"]["samples"][-1]["step"] == 20
        assert max(sample["positions"] for sample in row["md"]["samples"]) < 1e-9
    assert picture.read_bytes().startswith(b"\x89PNG")
    drawn = matplotlib.image.imread(picture)
    assert drawn.shape[1] > 3 * drawn.shape[0] and drawn.std() > 0.05  # three panels


def told_by(*arguments):
    """What it prints as JSON, once it passed."""
    done = parity("mpich", *arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["passed"]
    return told


def test_parity_of_spins(data, structure, tmp_path):
    """Spins of the structure; magnetic forces are compared, and cross ranks: the model passes messages."""
    atoms = ase.io.read(structure)
    atoms.set_array("spins", np.random.default_rng(5).uniform(-0.8, 0.8, (48, 3)))
    path = tmp_path / "spins.extxyz"
    ase.io.write(path, atoms)
    model = data / "cases" / "spin_dpa3_both" / "model.pt2"
    told = told_by(model, path, "--null", "He", "--ranks", 2, 3, "--md", 4)
    assert told["one_rank"]["largest_magnetic_force"] > 0.1
    for row in told["rows"]:
        assert set(row["worst"]) == {"energy", "forces", "forces_mag", "virial", "atom_energy", "atom_virial"}
        assert row["worst"]["forces_mag"] <= 1e-11 and all(rank["ghosts"] > 0 for rank in row["per_rank"])
        assert all("forces_mag" in sample["differences"] for sample in row["md"]["samples"])
    done = parity("mpich", model, structure, "--null", "He", "--ranks", 2)
    assert done.returncode == 2 and "gas.extxyz: this model needs spins" in done.stderr


def test_table(base_path, structure):
    """What a person reads; every quantity and figure has its column."""
    done = parity("mpich", base_path, structure, "--null", "He", "--ranks", 1, 2, "--tol", "1e-30", "--md", 2)
    first, groups, titles, one, two, *moved, last = done.stdout.splitlines()
    assert done.returncode == 1 and last.startswith("beyond 1e-30: ") and "2 ranks, auto" in last
    assert first.startswith("48 atoms, float64, one rank: ")
    for title in ("ranks grid", "energy", "forces", "virial", "atom energy", "atom virial", "atoms", "ghosts", "layers",
                  "messages", "bytes", "time/s", "effic."):
        assert title in titles
    assert len(groups.split("|")) == 3 and {len(line.split("|")) for line in (titles, one, two)} == {4}
    assert len({line.rindex("|") for line in (titles, one, two)}) == 1
    assert one.split("|")[0].split() == ["1", "auto"] and one.split("|")[2].split() == ["48", "0", "0", "0", "0"]
    atoms, ghosts, layers, messages, nbytes = map(int, two.split("|")[2].split())
    assert 24 <= atoms < 48 and 0 < ghosts < 48 and layers == 2 and messages == 1
    assert 0 < nbytes <= 48 * 64 * 4  # rows of 8 numbers; on the way back the gradient's and those of its moments
    time, efficiency = map(float, two.split("|")[3].split())
    assert time > 0 and efficiency > 0
    assert [line.split(":")[0] for line in moved] == ["1 rank, auto", "2 ranks, auto"]
    assert all(": 2 steps, built 1 times; " in line or ": 2 steps, built 0 times; " in line for line in moved)


def test_controls_reach_the_ranks(data, base_path, structure, tmp_path):
    """Each changes what is computed, on one rank and on two alike."""
    plain = told_by(base_path, structure, "--null", "He", "--ranks", 2)
    mapped = told_by(base_path, structure, "--type-map", "He=H", "--ranks", 2, "--dtype", "float32", "--grid", "1x1x2")
    assert mapped["one_rank"]["energy"] != plain["one_rank"]["energy"]
    assert mapped["dtype"] == "float32" and mapped["tolerance"] == 1e-5 and mapped["rows"][0]["grid"] == [1, 1, 2]
    assert max(mapped["rows"][0]["worst"].values()) > 1e-12  # the ranks' own network is in float32, too
    path = tmp_path / "gas.xyz"
    atoms = ase.io.read(structure)
    ase.io.write(path, atoms[atoms.numbers != 2], format="extxyz")
    for name, given in (("dpa3_fparam_default", ["--fparam", 0.7, 1.1]), ("dpa3_charge_spin_default", ["--charge-spin", 1, 0])):
        model = data / "cases" / name / "model.pt2"
        energies = {told_by(model, path, "--ranks", 2, *options)["one_rank"]["energy"] for options in ([], given)}
        assert len(energies) == 2


def test_nothing_crosses(base_path, tmp_path):
    """Two atoms out of reach of one another: equal, and said to mean little."""
    path = tmp_path / "far.xyz"
    ase.io.write(path, Atoms("OH", positions=[[0, 0, 0], [20, 0, 0]]))
    done = parity("mpich", base_path, path, "--ranks", 2)
    assert done.returncode == 0 and "2 ranks, auto: no rank needs another's atoms" in done.stdout


def test_trajectories_may_part_as_twins_do():
    """Beyond the tolerance, one rank's own trajectory from a rounding away is what the ranks are judged by."""
    def within(energy, twin, differences=1e-15):
        sample = {"differences": {"forces": differences}, "energy_per_atom": energy, "twin_energy_per_atom": twin}
        before = {"differences": {"forces": 0.0}, "energy_per_atom": 0.0, "twin_energy_per_atom": twin / 10}
        row = {"differences": {"forces": 0.0}, "md": {"samples": [before, sample]}}
        return judged(row, 1e-11)["within"]

    assert within(9e-10, 0.0) and within(1e-6, 1e-7)
    assert not within(2e-9, 0.0) and not within(1e-6, 1e-9) and not within(0.0, 1e-7, differences=2e-11)
    assert not within(float("nan"), 0.0)


def test_velocities():
    """Thermal, without drift, the same for a seed; NULL atoms fly at their own speed."""
    rng = np.random.default_rng(0)
    system = System(dict(coords=np.zeros((4000, 3)), types=rng.integers(-1, 2, 4000)), rng.choice([1.0, 16.0], 4000))
    null = system.inputs["types"] < 0
    for temperature in (150.0, 600.0):
        v = velocities(system, Motion(1, temperature=temperature, null_velocity=0.3, seed=4))
        kinetic = 0.5 * np.sum(v[~null] ** 2 / units.fs**2 * system.masses[~null, None])
        assert kinetic / (1.5 * units.kB * (~null).sum()) == pytest.approx(temperature, rel=0.05)
        np.testing.assert_allclose(system.masses[~null] @ v[~null], 0, atol=1e-10)
        np.testing.assert_allclose(np.linalg.norm(v[null], axis=1), 0.3)
        np.testing.assert_array_equal(v, velocities(system, Motion(1, temperature=temperature, null_velocity=0.3, seed=4)))
        assert np.abs(v - velocities(system, Motion(1, temperature=temperature, seed=5))).max() > 1e-3


@pytest.mark.parametrize("mpi", MPIS)
def test_parity_under_mpirun(mpi, base_path, structure):
    prefix, environment = launcher(mpi, 2)
    done = parity(mpi, base_path, structure, "--type-map", "He=NULL", prefix=prefix, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("all within 1e-11") == 1
    done = parity(mpi, base_path, structure, "--null", "He", "--tol", "1e-30", "--json", prefix=prefix,
                  environment=environment)
    told = json.loads(done.stdout)
    assert done.returncode == 1 and not told["passed"] and max(told["rows"][0]["worst"].values()) > 1e-30


@pytest.mark.parametrize("mpi", MPIS)
@pytest.mark.parametrize("arguments, text", [
    (["--grid", "3x1x1"], "grid: found 3 x 1 x 1"),
    (["--fparam", "1"], "fparam: found 1 numbers"),
    (["--ranks", "2"], "under mpirun leave it out"),
    ([], "the structure also has He"),
])
def test_parity_complains_once(mpi, arguments, text, base_path, structure):
    prefix, environment = launcher(mpi, 2)
    null = ["--null", "He"] if arguments else []
    done = parity(mpi, base_path, structure, *arguments, *null, prefix=prefix, environment=environment)
    lines = [line for line in done.stderr.splitlines() if line.startswith("dgnn: ") and "warning" not in line]
    assert done.returncode == 2 and text in lines[0] and len(set(lines)) == 1, done.stderr


@pytest.mark.parametrize("arguments, text", [
    (["--ranks", "2", "--grid", "3x1x1"], "3x1x1 needs 3 ranks"),
    (["--grid", "2x2"], "expected three numbers"),
    (["--ranks", "0"], "expected 1 or more"),
    (["--ranks", "2", "--tol", "0"], "--tol"),
    (["--ranks", "2", "--fparam", "1"], "fparam: found 1"),
    (["--ranks", "2", "--rebuild-every", "5"], "--rebuild-every: atoms move with --md only"),
    (["--ranks", "2", "--null-velocity"], "--null-velocity: atoms move with --md only"),
    (["--ranks", "2", "--null", "He", "Ne"], "gas.extxyz has no Ne; it has H, He, O"),
    (["--ranks", "2", "--type-map", "He=X"], "no such type"),
    (["--ranks", "2", "--plot", "no/such/folder/x.png"], "--plot: "),
    (["--md", "10", "--temperature", "-1"], "--temperature: expected 0 or more"),
    (["--md", "-10"], "--md: expected 0 or more"),
])
def test_parity_refuses(arguments, text, base_path, structure):
    null = [] if "--null" in arguments else ["--null", "He"]
    done = parity("mpich", base_path, structure, *null, *arguments)
    assert done.returncode == 2 and text in done.stderr and done.stderr.count("\n") == 1, done.stderr


def where(comm, offset):
    return comm.rank + offset, comm.size


def fails_on_one(comm):
    if comm.rank == 1:
        raise ValueError("bad luck")
    comm.Barrier()


@pytest.mark.parametrize("mpi", MPIS)
def test_run_mpi(mpi, tmp_path):
    assert run_mpi(where, 3, 10, mpi=mpi).values == [(10, 3), (11, 3), (12, 3)]
    with pytest.raises(RanksFailed, match="bad luck"):
        run_mpi(fails_on_one, 2, mpi=mpi)
    script = tmp_path / "script.py"
    script.write_text("import sys, time\nfrom mpi4py import MPI\n"
                      "if MPI.COMM_WORLD.rank == 0:\n    print(MPI.COMM_WORLD.size, sys.argv[1], flush=True)\ntime.sleep(float(sys.argv[2]))\n"
                      "sys.exit(int(sys.argv[3]))")
    assert run_mpi(script, 2, "word", 0, 0, mpi=mpi).stdout == "2 word\n"
    assert run_mpi(script, 1, "word", 0, 3, mpi=mpi, check=False).returncode == 3
    with pytest.raises(RanksFailed, match="exit code 3"):
        run_mpi(script, 1, "word", 0, 3, mpi=mpi)
    with pytest.raises(RanksFailed, match="not done after 2 s"):
        run_mpi(script, 2, "word", 100, 0, mpi=mpi, timeout=2)


def test_run_mpi_refuses():
    for what, ranks, text in ((lambda comm: 1, 2, "top level"), (where, 0, "ranks: expected"), (where, 2.5, "ranks")):
        with pytest.raises(ValueError, match=text):
            run_mpi(what, ranks)
    with pytest.raises(ValueError, match="mpi: expected"):
        run_mpi(where, 2, mpi="lam")


@pytest.mark.parametrize("mpi", MPIS)
def test_example(mpi, water_path, tmp_path, figures):
    """100 steps of 0.5 fs: the same positions on one, two and four ranks, to 1e-9 Å."""
    found = []
    for ranks in (1, 2, 4):
        path = tmp_path / f"{ranks}.npy"
        done = run_mpi(water_path.parent / "md_ranks.py", ranks, 100, path, mpi=mpi,
                       environment={"PYTHONWARNINGS": None})
        assert done.stdout.count("step   100") == 1
        assert done.stderr.count("TruncationWarning: ") == 1  # whose count is that of all ranks
        found.append(np.load(path))
    start = np.load(water_path.parent / "frames.npz")["coord"][0]
    assert np.abs(found[0] - start).max() > 0.1
    worst = max(np.abs(other - found[0]).max() for other in found[1:])
    figures.record("trajectories on 1, 2 and 4 ranks", "100 steps: Å", mpi, worst, 1e-9)
    assert worst <= 1e-9


def spin_results(comm, folder):
    """Of the calculator, on these ranks or (comm None) on one."""
    with np.load(folder / "cases.npz") as case:
        types, coords, box, spins = (case[f"triclinic/in/{name}"] for name in ("type", "coord", "box", "spin"))
    atoms = Atoms(np.array(["O", "H"])[types], coords, cell=box, pbc=True)
    atoms.set_initial_magnetic_moments(spins)
    atoms.calc = DGNNCalculator(folder / "model.pt2", comm=comm, threads=1)
    return [atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(), atoms.calc.results["magforces"]]


def test_calculator_with_spins(data):
    """Replicas: every rank has all magnetic forces, those of one rank."""
    folder = data / "cases" / "spin_dpa3_both"
    want = spin_results(None, folder)
    assert np.abs(want[-1]).max() > 0.1
    for found in run_mpi(spin_results, 3, folder, environment={"PYTHONWARNINGS": "ignore"}).values:
        for got, expected in zip(found, want):
            np.testing.assert_allclose(got, expected, atol=1e-11 * max(1, np.abs(expected).max()))


@pytest.mark.long
def test_long_trajectory(water_path, tmp_path, figures):
    """1,000 steps with rebuilds: energies within 1e-9 eV/atom of one rank's, and results at each place compared. Over
    250 fs, that is: motion is chaotic, and in the liquid two trajectories part tenfold every 37 fs, also one rank's two."""
    frames = np.load(water_path.parent / "frames.npz")
    path = tmp_path / "water.extxyz"
    ase.io.write(path, Atoms(np.array(["O", "H"])[frames["type"]], frames["coord"][0], cell=frames["box"][0], pbc=True))
    done = parity("mpich", water_path, path, "--ranks", 1, 4, "--md", 1000, "--timestep", 0.25, "--rebuild-every", 100,
                  "--every", 20, "--json", timeout=3600)
    told = json.loads(done.stdout)
    for row in told["rows"]:
        samples = row["md"]["samples"]
        worst = max(sample["energy_per_atom"] for sample in samples)
        figures.record("trajectories on 1, 2 and 4 ranks", "1,000 steps: eV/atom", str(row["ranks"]), worst, 1e-9)
        assert len(samples) == 51 and worst <= 1e-9 and row["md"]["built"] >= 10
        assert max(row["worst"].values()) <= 1e-11
    assert done.returncode == 0 and told["passed"]
