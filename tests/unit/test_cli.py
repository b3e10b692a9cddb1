"""The command line as a user types it."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios

import ase.io
import dgnn
import numpy as np
import pytest
from ase import Atoms


def run(*arguments, **kwargs):
    command = [sys.executable, "-m", "dgnn", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **kwargs)


@pytest.fixture
def structures(tmp_path):
    """Two frames, the second of which isn't periodic."""
    rng = np.random.default_rng(2)
    atoms = Atoms("OH2OH2", positions=rng.random((6, 3)) * 5, cell=np.eye(3) * 8, pbc=True)
    open_one = atoms.copy()
    open_one.pbc = False
    path = tmp_path / "structures.xyz"
    ase.io.write(path, [atoms, open_one])
    return path, ase.io.read(path, ":")


def expected(base_path, atoms):
    model = dgnn.Model.load(base_path)
    types = [model.type_map.index(symbol) for symbol in atoms.get_chemical_symbols()]
    return model.compute(atoms.positions, types, np.asarray(atoms.cell) if atoms.pbc.all() else None)


def test_info(base_path):
    done = run("info", base_path)
    assert done.returncode == 0 and done.stderr == ""
    assert "type_map" in done.stdout and "O H" in done.stdout and "dpa3" in done.stdout
    assert json.loads(run("info", base_path, "--json").stdout) == dgnn.Model.load(base_path).info()


def test_eval_prints_a_line_for_each_frame(base_path, structures):
    path, frames = structures
    done = run("eval", base_path, path)
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line, atoms in zip(lines[1:], frames):
        result = expected(base_path, atoms)
        energy, force = map(float, line.split()[3:5])
        assert energy == pytest.approx(result.energy, abs=1e-8)
        assert force == pytest.approx(np.linalg.norm(result.forces, axis=1).max(), abs=1e-6) and force > 1e-3
    pressure = np.trace(expected(base_path, frames[0]).virial) / 3 / 512 * 160.21766208
    assert float(lines[1].split()[5]) == pytest.approx(pressure, abs=1e-3)
    assert lines[2].split()[5] == "-"


def test_eval_writes_extxyz(base_path, structures, tmp_path):
    path, frames = structures
    out = tmp_path / "out.extxyz"
    done = run("eval", base_path, path, f"{path}@0", "-o", out)
    assert done.returncode == 0 and done.stdout == "" and done.stderr == ""
    written = ase.io.read(out, ":")
    assert len(written) == 3
    for atoms, source in zip(written, [*frames, frames[0]]):
        result = expected(base_path, source)
        np.testing.assert_allclose(atoms.get_forces(), result.forces, atol=1e-7)
        assert atoms.get_potential_energy() == pytest.approx(result.energy, abs=1e-9)
    assert os.listdir(tmp_path) == ["structures.xyz", "out.extxyz"] or len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("suffix", [".extxyz", ".xyz", ".traj", ""])
def test_eval_leaves_nothing_old(base_path, structures, tmp_path, suffix):
    """Results that came with a frame are not left beside its new ones; the suffix says what is written."""
    path, frames = structures
    wanted = [expected(base_path, atoms) for atoms in frames]
    for atoms in frames:
        atoms.info.update(virial=np.full((3, 3), 7.0), stress=np.full((3, 3), 7.0), REF_energy=3.0)
        atoms.arrays.update(magforces=np.full((6, 3), 7.0), REF_forces=np.full((6, 3), 7.0))
    old, out = tmp_path / "old.extxyz", tmp_path / f"out{suffix}"
    ase.io.write(old, frames)
    assert "virial" in old.read_text() and "magforces" in old.read_text()
    done = run("eval", base_path, old, "-o", out)
    assert done.returncode == 0 and done.stderr == ""
    written = ase.io.read(out, ":", format="traj" if suffix == ".traj" else "extxyz")
    for atoms, result in zip(written, wanted, strict=True):
        np.testing.assert_allclose(atoms.get_forces(), result.forces, atol=1e-7)
        np.testing.assert_allclose(np.reshape(atoms.info["virial"], (3, 3)), result.virial, atol=1e-7)
        assert "magforces" not in atoms.arrays and "stress" not in atoms.info and atoms.info["REF_energy"] == 3
        assert ("stress" in atoms.calc.results) == bool(atoms.pbc.all())
        assert suffix == ".traj" or "REF_forces" in atoms.arrays


def test_eval_writes_through_links(base_path, structures, tmp_path):
    out = tmp_path / "there" / "out.extxyz"
    out.parent.mkdir()
    out.write_text("old")
    out.chmod(0o640)
    link = tmp_path / "link.extxyz"
    link.symlink_to("there/out.extxyz")
    assert run("eval", base_path, structures[0], "-o", link).returncode == 0
    assert link.is_symlink() and len(ase.io.read(out, ":")) == 2 and out.stat().st_mode & 0o777 == 0o640


def test_numbers_of_types(base_path, structures, tmp_path):
    """LAMMPS's types 1 and 2 are H and He for ASE: said, and named by --type-map, also in what is written."""
    _, frames = structures
    path, out = tmp_path / "data.water", tmp_path / "out.extxyz"
    ase.io.write(path, frames[0], format="lammps-data", specorder=["O", "H"], masses=False)
    energy = pytest.approx(expected(base_path, frames[0]).energy, abs=1e-6)
    arguments = "eval", base_path, path, "--format", "lammps-data", "--json"
    done = run(*arguments, "--type-map", "1=O", "2=H")
    assert json.loads(done.stdout)["energy"] == energy and done.stderr == ""
    done = run(*arguments, "--type-map", "He=H")
    assert done.returncode == 0 and json.loads(done.stdout)["energy"] != energy
    assert "data.water: has numbers of types, not elements; ASE takes 1 for H, 2 for He" in done.stderr
    assert "--type-map 1=NAME 2=NAME" in done.stderr and done.stderr.count("\n") == 1
    done = run(*arguments, "-o", out, "--type-map", "1=O", "2=H")
    assert sorted(ase.io.read(out).symbols) == sorted(frames[0].symbols)
    done = run("eval", base_path, out, "--json")
    assert json.loads(done.stdout)["energy"] == energy and done.stderr == ""
    for pairs, message in ((["1=O"], "the structure also has 2"), (["1=O", "He=H"], "found both")):
        done = run(*arguments, "--type-map", *pairs)
        assert done.returncode == 2 and message in done.stderr
    done = run("eval", base_path, structures[0], "--type-map", "1=O", "2=H")
    assert done.returncode == 2 and 'types of LAMMPS, which ASE keeps in atoms.arrays["type"]' in done.stderr
    ase.io.write(path, frames[0], format="lammps-data", specorder=["O", "H"], masses=True)
    done = run(*arguments)
    assert json.loads(done.stdout)["energy"] == energy and done.stderr == ""


def test_names_that_are_not_utf8(base_path, structures, tmp_path):
    path = os.fsencode(tmp_path) + b"/q\xff.xyz"
    with open(path, "wb") as file:
        file.write(structures[0].read_bytes())
    command = [sys.executable, "-m", "dgnn", "eval", str(base_path), path]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 0 and done.stdout.count(path) == 2, done.stderr
    done = subprocess.run([*command[:-1], path + b"x"], capture_output=True, timeout=120)
    assert done.returncode == 2 and done.stderr == b"dgnn: " + path + b"x: no such file\n"


def test_format(base_path, structures):
    """Of a name that says nothing."""
    path, frames = structures
    other = path.with_name("data.water")
    ase.io.write(other, frames[0], format="lammps-data", masses=True)
    assert run("eval", base_path, other, "--json").returncode == 2
    for name in (other, f"{other}@0"):
        done = run("eval", base_path, name, "--format", "lammps-data", "--json")
        assert json.loads(done.stdout)["energy"] == pytest.approx(expected(base_path, frames[0]).energy, abs=1e-6), done.stderr
    done = run("eval", base_path, other, "--format", "lamps")
    assert done.returncode == 2 and "ASE cannot read it" in done.stderr and "lamps" in done.stderr


def test_eval_json(base_path, structures):
    path, frames = structures
    lines = run("eval", base_path, path, "--json").stdout.splitlines()
    assert len(lines) == 2
    for line, atoms in zip(lines, frames):
        data, result = json.loads(line), expected(base_path, atoms)
        np.testing.assert_allclose(data["forces"], result.forces, atol=1e-12)
        np.testing.assert_allclose(data["virial"], result.virial, atol=1e-12)
        assert len(data["energies"]) == 6


@pytest.fixture
def spins(data, tmp_path):
    """(model, a file of the same spins as a column and as moments, what deepmd-kit says)"""
    folder = data / "cases" / "spin_dpa3"
    with np.load(folder / "cases.npz") as file:
        case = {key.removeprefix("triclinic/"): file[key] for key in file.files if key.startswith("triclinic/")}
    frames = [Atoms(np.array(["O", "H"])[case["in/type"]], case["in/coord"], cell=case["in/box"], pbc=True) for _ in range(2)]
    frames[0].set_array("spins", case["in/spin"])
    frames[1].set_initial_magnetic_moments(case["in/spin"])
    path = tmp_path / "spins.extxyz"
    ase.io.write(path, frames)
    return folder / "model.pt2", path, case


def test_eval_with_spins(spins, tmp_path):
    """Positions and spins in the file have eight decimals, so results have fewer than deepmd-kit's."""
    model, path, case = spins
    force_mag, out = case["out/force_mag"], tmp_path / "out.extxyz"
    assert np.abs(force_mag).max() > 0.01
    titles, *lines = run("eval", model, path).stdout.splitlines()
    assert "max magnetic/eV" in titles and len(lines) == 2
    for line in lines:
        longest = np.linalg.norm(force_mag, axis=1).max()
        assert float(line.split()[5]) == pytest.approx(longest, rel=1e-5) and len(line) == len(titles)
    for line in run("eval", model, path, "--json").stdout.splitlines():
        np.testing.assert_allclose(json.loads(line)["magforces"], force_mag, atol=1e-5 * np.abs(force_mag).max())
    assert run("eval", model, path, "-o", out).returncode == 0
    for atoms, column in zip(ase.io.read(out, ":"), ("spins", "initial_magmoms")):
        np.testing.assert_allclose(atoms.arrays[column], case["in/spin"], atol=1e-8)
        np.testing.assert_allclose(atoms.arrays["magforces"], force_mag, atol=1e-5 * np.abs(force_mag).max())
        np.testing.assert_allclose(atoms.get_forces(), case["out/force"], atol=1e-5)
    again = run("eval", model, out, "--json")  # results of before are in the way of nothing
    assert again.returncode == 0 and len(again.stdout.splitlines()) == 2


def test_spins_that_do_not_fit(spins, base_path, structures):
    model, path, _ = spins
    done = run("eval", model, structures[0])
    assert done.returncode == 2 and "frame 0: this model needs spins" in done.stderr and "spins:R:3" in done.stderr
    done = run("eval", base_path, f"{path}@0")
    assert done.returncode == 2 and "this model takes no spins" in done.stderr
    done = run("eval", base_path, f"{path}@1")
    assert done.returncode == 0 and "initial magnetic moments, and this model takes no spins" in done.stderr


def test_type_map(base_path, tmp_path):
    atoms = Atoms("OHHe", positions=[[0, 0, 0], [0, 0, 1.0], [0, 1.0, 1.0]])
    path = tmp_path / "a.xyz"
    ase.io.write(path, atoms)
    done = run("eval", base_path, path, "--json", "--type-map", "He=NULL")
    data = json.loads(done.stdout)
    assert data["forces"][2] == [0, 0, 0] and np.abs(data["forces"][0]).max() > 1e-4
    other = json.loads(run("eval", base_path, path, "--json", "--type-map", "He=H").stdout)
    assert other["energy"] != data["energy"]


@pytest.mark.parametrize("arguments,message", [
    (["info", "absent.pt2"], "absent.pt2"),
    (["eval", "{model}", "absent.xyz"], "absent.xyz: no such file"),
    (["eval", "{model}", "{text}"], "text.xyz"),
    (["eval", "{text}", "{model}"], "text.xyz"),
    (["eval", "{model}", "{structures}", "--type-map", "O"], "expected ELEMENT=TYPE"),
    (["eval", "{model}", "{structures}", "--type-map", "O=X"], "no such type"),
    (["eval", "{model}", "{structures}", "--fparam", "1"], "fparam"),
    (["eval", "{model}", "{structures}", "--threads", "0"], "threads"),
    (["eval", "{model}", "{structures}", "-o", "no/such/folder/x.extxyz"], "-o: no/such/folder: no such folder"),
    (["eval", "{model}", "{structures}", "-o", "{folder}"], "expected a file, found a folder"),
    (["eval", "{model}", "{folder}"], "ASE cannot read it"),
    (["eval", "{model}", "{structures}", "-o", "x.cif"], "-o: x.cif: expected a name that ends with .extxyz, .xyz or .traj"),
    (["eval", "{spin}", "{structures}", "-o", "x.traj"], "-o: x.traj: ASE's .traj holds no magnetic forces"),
    (["eval", "{model}", "{loop}"], "Too many levels of symbolic links"),
    (["info", "{loop}"], "Too many levels of symbolic links"),
    (["eval", "{model}", "{structures}@2"], "structures.xyz has fewer frames"),
    (["eval", "{model}", "{structures}", "--outpu", "x.extxyz"], "unrecognized arguments: --outpu"),
    (["bench", "{model}", "{structures}", "--plot", "no/such/folder/x.png"], "--plot: no/such/folder: no such folder"),
    (["bench", "{model}", "{structures}", "--plot", "x.foo"], "--plot: x.foo: expected a name that ends with ."),
    (["bench", "{model}", "{nothing}"], "nothing.xyz: has no atoms"),
    (["parity", "{model}", "{nothing}", "--ranks", "2"], "nothing.xyz: has no atoms"),
    (["eval", "{model}"], "STRUCTURE"),
    (["evaluate"], "invalid choice"),
    (["info", "{model}", "--jsn"], "unrecognized arguments"),
    ([], "COMMAND"),
])
def test_errors_are_one_line(arguments, message, base_path, structures, data, tmp_path):
    (tmp_path / "loop.dp").symlink_to("loop.dp")
    text = tmp_path / "text.xyz"
    text.write_text("no structure and no model\n")
    ase.io.write(tmp_path / "nothing.xyz", Atoms())
    places = dict(model=base_path, structures=structures[0], text=text, folder=tmp_path, nothing=tmp_path / "nothing.xyz",
                  loop=tmp_path / "loop.dp", spin=data / "cases" / "spin_dpa3" / "model.pt2")
    done = run(*[argument.format(**places) for argument in arguments], cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert message in done.stderr and done.stderr.startswith("dgnn: ") and done.stderr.count("\n") == 1


def test_unknown_element(base_path, tmp_path):
    path = tmp_path / "a.xyz"
    ase.io.write(path, Atoms("S"))
    done = run("eval", base_path, path)
    assert done.returncode == 2 and "the structure also has S" in done.stderr and "a.xyz, frame 0" in done.stderr
    assert "--type-map S=NAME" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["info", "--help"], ["eval", "--help"]])
def test_help_teaches_by_example(arguments):
    done = run(*arguments)
    assert done.returncode == 0 and "examples:\n  dgnn " in done.stdout


def test_version():
    assert run("--version").stdout.strip() == f"dgnn {dgnn.__version__}"


def test_a_closed_pipe_is_no_error(base_path):
    command = f"{sys.executable} -m dgnn info {base_path} | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert done.stderr == "" and len(done.stdout.splitlines()) == 1


def test_progress_on_a_terminal_only(base_path, structures, tmp_path):
    out = tmp_path / "out.extxyz"
    assert run("eval", base_path, structures[0], "-o", out).stderr == ""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))
    process = subprocess.Popen([sys.executable, "-m", "dgnn", "eval", base_path, structures[0], "-o", out],
                               stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    shown = b""
    try:
        while block := os.read(master, 4096):
            shown += block
    except OSError:
        pass
    assert process.wait(timeout=60) == 0
    process.stdout.close()
    os.close(master)
    assert b"frame" in shown
