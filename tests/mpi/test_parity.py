"""dgnn parity, dgnn.testing.run_mpi and the example of many ranks, under both MPIs."""

import json
import os
import subprocess
import sys

import ase.io
import numpy as np
import pytest
from ase import Atoms
from test_transport import MPIS, launcher

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
    done = parity(mpi, base_path, structure, "--ranks", 2, 3, "--grid", "1x2x1", "--json", "--null", "He",
                  "--null-velocity", "0.1", "--md", 20, "--rebuild-every", 5, "--plot", picture)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["passed"] and told["one_rank"]["largest_force"] > 1e-3
    assert [(row["ranks"], row["grid"]) for row in told["rows"]] == [(2, [1, 2, 1]), (3, None)]
    for row in told["rows"]:
        check_row(row, 48)
        assert row["md"]["built"] >= 4 and row["md"]["samples"][-1]["step"] == 20
        assert max(sample["positions"] for sample in row["md"]["samples"]) < 1e-9
    assert picture.read_bytes().startswith(b"\x89PNG")


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
])
def test_parity_refuses(arguments, text, base_path, structure):
    done = parity("mpich", base_path, structure, "--null", "He", *arguments)
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
                       environment={"PYTHONWARNINGS": "ignore"})
        assert done.stdout.count("step   100") == 1
        found.append(np.load(path))
    start = np.load(water_path.parent / "frames.npz")["coord"][0]
    assert np.abs(found[0] - start).max() > 0.1
    worst = max(np.abs(other - found[0]).max() for other in found[1:])
    figures.record("trajectories on 1, 2 and 4 ranks", "100 steps: Å", mpi, worst, 1e-9)
    assert worst <= 1e-9


@pytest.mark.long
def test_long_trajectory(water_path, tmp_path, figures):
    """1,000 steps with rebuilds: energies within 1e-9 eV/atom of one rank's."""
    frames = np.load(water_path.parent / "frames.npz")
    path = tmp_path / "water.extxyz"
    ase.io.write(path, Atoms(np.array(["O", "H"])[frames["type"]], frames["coord"][0], cell=frames["box"][0], pbc=True))
    done = parity("mpich", water_path, path, "--ranks", 1, 4, "--md", 1000, "--rebuild-every", 100, "--every", 20,
                  "--json", timeout=1800)
    told = json.loads(done.stdout)
    for row in told["rows"]:
        samples = row["md"]["samples"]
        worst = max(sample["energy_per_atom"] for sample in samples)
        figures.record("trajectories on 1, 2 and 4 ranks", "1,000 steps: eV/atom", str(row["ranks"]), worst, 1e-9)
        assert len(samples) == 51 and worst <= 1e-9 and row["md"]["built"] >= 10
    assert done.returncode == 0 and told["passed"]
