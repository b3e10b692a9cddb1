"""dgnn ipi and <ffdirect>, beside PyPI's ipi."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.geometry import cell_to_cellpar

from conftest import DATA, ROOT
from dgnn import cli, launch
from dgnn.calculator import DGNNCalculator

TIMEOUT_S = 120
MODEL = ROOT / "tests" / "data" / "cases" / "dpa3_base" / "model.pt2"
INPUT = """
<simulation verbosity="low" threading="false">
  <output prefix="run">
    <properties filename="out" stride="1"> [step, conserved, potential, kinetic_md, virial_md, volume] </properties>
    <trajectory filename="for" stride="1" format="xyz"> forces </trajectory>
    <trajectory filename="pos" stride="1" format="xyz"> positions </trajectory>
  </output>
  <total_steps> {steps} </total_steps>
  <prng><seed> 5 </seed></prng>
  {forcefield}
  <system>
    <initialize nbeads="{beads}">
      <file mode="xyz"> start.xyz </file>
      <velocities mode="thermal" units="kelvin"> 300 </velocities>
    </initialize>
    <forces><force forcefield="dgnn"/></forces>
    <motion mode="dynamics">{motion}</motion>
    <ensemble><temperature units="kelvin"> 300 </temperature><pressure units="megapascal"> 1000 </pressure></ensemble>
  </system>
</simulation>
"""
STEP = '<timestep units="femtosecond"> 0.25 </timestep>'
NVE = f'<dynamics mode="nve">{STEP}</dynamics>'
NVT = f'<dynamics mode="nvt">{STEP}<thermostat mode="pile_g"><tau units="femtosecond"> 25 </tau></thermostat></dynamics>'
NPT = f"""<dynamics mode="npt">{STEP}<thermostat mode="langevin"><tau units="femtosecond"> 25 </tau></thermostat>
  <barostat mode="flexible"><tau units="femtosecond"> 50 </tau><thermostat mode="langevin"><tau units="femtosecond"> 25 </tau>
  </thermostat><h0> [20, 0, 0, 0, 20, 0, 0, 0, 20] </h0></barostat></dynamics>"""


def structure(periodic=True):
    """24 atoms in a cell that is no cuboid, or 9 alone."""
    rng = np.random.default_rng(4)
    n = 24 if periodic else 9
    places = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)[:n]
    cell = [[7.0, 0, 0], [0.5, 7.0, 0], [-0.3, 0.4, 7.0]] if periodic else np.eye(3) * 30
    return Atoms(rng.choice(["O", "H"], n), (places + rng.uniform(0.3, 0.7, (n, 3))) * 2.2, cell=cell, pbc=periodic)


def prepare(folder, atoms, forcefield, motion, steps, beads):
    """i-PI's files; the atoms as i-PI reads them, which rounds."""
    cell = " ".join(f"{number:.9f}" for number in cell_to_cellpar(atoms.cell) / ([units.Bohr] * 3 + [1] * 3))
    lines = [f"{len(atoms)}\n# CELL(abcABC): {cell} positions{{atomic_unit}} cell{{atomic_unit}}"]
    lines += [f"{s} {x:.9f} {y:.9f} {z:.9f}" for s, (x, y, z) in zip(atoms.get_chemical_symbols(), atoms.positions / units.Bohr)]
    (folder / "start.xyz").write_text("\n".join(lines) + "\n")
    (folder / "input.xml").write_text(INPUT.format(forcefield=forcefield, motion=motion, steps=steps, beads=beads))
    atoms.write(folder / "atoms.extxyz")


def ffsocket(where):
    return f'<ffsocket name="dgnn" pbc="false" {where}<latency> 1e-3 </latency></ffsocket>'


@pytest.fixture
def name(tmp_path):
    """Of a socket that nobody else has."""
    found = f"dgnn-test-{os.getpid()}-{tmp_path.name}"
    yield found
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"/tmp/ipi_{found}")


def client(*options, ranks=1, model=MODEL):
    start, environment = launch.command(ranks) if ranks > 1 else ([], None)
    command = [*start, sys.executable, "-m", "dgnn", "ipi", str(model), "atoms.extxyz", "--threads", "1", *map(str, options)]
    return command, environment


def run(folder, *clients):
    """i-PI and its clients, until all have ended: (output of i-PI, [(exit code, output) of each client])."""
    ipi = pathlib.Path(sys.executable).parent / "i-pi"
    quiet = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder)
    server = subprocess.Popen([sys.executable, ipi, "input.xml"], **quiet)
    processes = [subprocess.Popen(command, env=environment, **quiet) for command, environment in clients]
    try:
        outputs = [process.communicate(timeout=TIMEOUT_S)[0] for process in processes]
        ended = [(process.returncode, text) for process, text in zip(processes, outputs)]
        output, _ = server.communicate(timeout=30)
        return output, ended
    finally:
        for process in (server, *processes):
            process.kill()
            process.wait()


def properties(folder):
    return np.loadtxt(folder / "run.out", ndmin=2)


def trajectory(folder, kind, bead=0):
    return [frame.positions for frame in ase.io.read(folder / f"run.{kind}_{bead}.xyz", ":", format="xyz")]


def check_first_step(folder, figures, label, beads=1, exact=1e-9):
    """Forces, energy and virial of step 0 are the calculator's: half a unit of the last digit of i-PI's text, and exact of
    the largest (i-PI's own bohr and hartree differ from ASE's by 1e-8, which ffdirect sees and a socket does not)."""
    table = "i-PI beside ASE's calculator, beyond the digits of its text, over the largest"
    bohr = np.loadtxt(folder / "start.xyz", skiprows=2, usecols=(1, 2, 3))
    atoms = ase.io.read(folder / "atoms.extxyz")
    atoms.positions = bohr * units.Bohr
    lengths = np.array((folder / "start.xyz").read_text().split()[3:9], float)
    atoms.set_cell([*(lengths[:3] * units.Bohr), *lengths[3:]])
    atoms.calc = DGNNCalculator(MODEL, threads=1)
    def check(quantity, found, expected, digits):
        last_digit = 10.0 ** (np.floor(np.log10(np.abs(found) + 1e-300)) - digits)
        beyond = np.maximum(np.abs(found - expected) - 0.5000001 * last_digit, 0.0).max() / (np.abs(expected).max() or 1)
        figures.record(table, label, quantity, beyond, exact)
        assert beyond < exact, quantity

    for bead in range(beads):
        check("forces", trajectory(folder, "for", bead)[0], atoms.get_forces() * units.Bohr / units.Ha, 5)
    _, _, potential, _, *virial, volume = properties(folder)[0]
    stress = atoms.get_stress()[[0, 1, 2, 5, 4, 3]] if atoms.pbc.all() else np.zeros(6)
    check("virial", np.array(virial), -stress * units.Bohr**3 / units.Ha * beads, 8)
    check("energy", potential, atoms.get_potential_energy() / units.Ha, 8)


def check_conserved(folder):
    """It moves less than a hundredth of what kinetic energy does."""
    _, conserved, _, kinetic = properties(folder)[:, :4].T
    assert np.ptp(conserved) < 0.01 * np.ptp(kinetic)


def test_nve(tmp_path, name, figures):
    prepare(tmp_path, structure(), ffsocket(f'mode="unix"> <address> {name} </address>'), NVE, 20, 1)
    _, ended = run(tmp_path, client("--unix", name, "--log", "talk.txt"))
    assert ended == [(0, "")], ended
    assert (tmp_path / "talk.txt").read_text().count("recvmsg 'POSDATA'") == 21
    assert len(properties(tmp_path)) == 21
    check_first_step(tmp_path, figures, "NVE")
    check_conserved(tmp_path)


def test_path_integrals(tmp_path, name, figures):
    """Four beads, two clients, both of which work."""
    prepare(tmp_path, structure(), ffsocket(f'mode="unix"> <address> {name} </address>'), NVT, 8, 4)
    _, ended = run(tmp_path, *(client("--unix", name, "--log", f"talk{k}.txt") for k in range(2)))
    assert ended == [(0, "")] * 2, ended
    calls = [(tmp_path / f"talk{k}.txt").read_text().count("sendmsg 'FORCEREADY'") for k in range(2)]
    assert sum(calls) >= 36 and min(calls) >= 1, calls
    assert not np.allclose(trajectory(tmp_path, "pos", 0)[-1], trajectory(tmp_path, "pos", 3)[-1])
    check_first_step(tmp_path, figures, "four beads", beads=4)


def test_ranks(tmp_path, figures):
    """Two ranks, the other kind of socket, and a cell that moves."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    where = f'mode="inet"> <address> localhost </address><port> {port} </port>'
    prepare(tmp_path, structure(), ffsocket(where), NPT, 4, 1)
    _, ended = run(tmp_path, client("--port", port, "--host", "localhost", ranks=2))
    assert [code for code, _ in ended] == [0], ended
    assert np.ptp(properties(tmp_path)[:, -1]) > 1e-3
    check_first_step(tmp_path, figures, "two ranks, NPT")


def test_molecule(tmp_path, name, figures):
    """No periodic direction: no stress."""
    prepare(tmp_path, structure(periodic=False), ffsocket(f'mode="unix"> <address> {name} </address>'), NVE, 5, 1)
    _, ended = run(tmp_path, client("--unix", name))
    assert ended == [(0, "")], ended
    assert not properties(tmp_path)[:, 4:10].any()
    check_first_step(tmp_path, figures, "molecule")


def test_ffdirect(tmp_path, figures):
    """The driver of examples/ipi, in i-PI's own process."""
    shutil.copy(ROOT / "examples" / "ipi" / "dgnn_pes.py", tmp_path)
    direct = f"""<ffdirect name="dgnn" pbc="false"><pes> custom </pes><pes_path> dgnn_pes.py </pes_path>
        <parameters> {{template: atoms.extxyz, model: {MODEL}}} </parameters></ffdirect>"""
    prepare(tmp_path, structure(), direct, NVE, 5, 2)
    output, _ = run(tmp_path)
    assert len(properties(tmp_path)) == 6, output
    check_first_step(tmp_path, figures, "ffdirect", beads=2, exact=1e-6)


@pytest.mark.parametrize("ranks", [1, 2])
def test_errors(ranks, tmp_path, name):
    """One line, exit code 2, on any number of ranks; nobody is left waiting."""
    def said(*options, model=MODEL):
        command, environment = client(*options, ranks=ranks, model=model)
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S)
        lines = [line for line in done.stderr.splitlines() if line.startswith("dgnn: ")]
        assert done.returncode == 2 and len(lines) == 1, done.stderr
        assert "Traceback" not in done.stderr
        return lines[0]

    structure().write(tmp_path / "atoms.extxyz")
    assert f"no i-PI at /tmp/ipi_{name} after 0 s" in said("--unix", name, "--wait", 0)
    dipoles = DATA / "cases" / "dipole_se_e2_a" / "model.pt2"
    assert f"dgnn ipi needs a model of energies and forces; the output of {dipoles} is 'dipole'" in said("--unix", name, model=dipoles)
    (tmp_path / "atoms.extxyz").unlink()
    assert "atoms.extxyz: no such file" in said("--unix", name)


@pytest.mark.parametrize("options, word", [
    ([], "one of the arguments --unix --port"), (["--port", "70000"], "--port: expected 1 to"),
    (["--unix", "a", "--host", "b"], "--host: belongs"), (["--unix", "/tmp/a"], "without slashes"),
    (["--unix", "a", "--wait", "-1"], "--wait"), (["--unix", "a", "--log", "no/such"], "--log"),
    (["--unix", "a", "--port", "7"], "not allowed with")])
def test_options(options, word, capsys):
    assert cli.main(["ipi", str(MODEL), "atoms.extxyz", *options]) == 2
    assert word in capsys.readouterr().err


@pytest.mark.parametrize("ranks", [1, 2])
def test_other_atoms(ranks, tmp_path, name):
    """i-PI has 24 atoms, the client's structure 9."""
    prepare(tmp_path, structure(), ffsocket(f'mode="unix"> <address> {name} </address> <timeout> 5 </timeout>'), NVE, 2, 1)
    structure(periodic=False).write(tmp_path / "atoms.extxyz")
    server = subprocess.Popen([sys.executable, pathlib.Path(sys.executable).parent / "i-pi", "input.xml"], cwd=tmp_path,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        command, environment = client("--unix", name, ranks=ranks)
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S)
        assert done.returncode == 2 and "does not fit atoms.extxyz, of 9 atoms" in done.stderr
    finally:
        server.kill()
        server.wait()


@pytest.mark.xdist_group("the socket that the example names")
@pytest.mark.parametrize("ranks", [1, 4])
def test_example(ranks, tmp_path):
    script = ROOT / "examples" / "ipi" / "water.py"
    done = subprocess.run([sys.executable, script, str(ranks)], cwd=tmp_path, timeout=TIMEOUT_S, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    table = np.loadtxt(tmp_path / "water.out")
    assert len(table) == 6 and np.ptp(table[:, 2]) < 0.01
