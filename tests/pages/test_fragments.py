"""What README and the pages tell a user to type does what they say: each code block is run here, in another test, or stands in
not_run.txt with the reason."""

import os
import re
import shutil
import subprocess
import sys

import ase.io
import dgnn
import numpy as np
import pages
import pytest
import saved_files
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from conftest import ROOT

COMMANDS = ["README.md", "docs/first_steps.md", "docs/committees.md", "docs/data.md", "docs/performance.md", "docs/your_model.md"]
SYSTEM = "atoms = ase.io.read('POSCAR'); types, box = atoms.get_chemical_symbols(), atoms.cell.array; coords = atoms.positions\n"
FLAT = """coord, cell, atype = coords.reshape(1, -1), box.reshape(1, 9), [['O', 'H'].index(symbol) for symbol in types]
import numpy as np
coord, cell, atype = np.array(coord), np.array(cell), np.array(atype)
"""
FRAGMENTS = {  # python blocks of these pages run in their order, in one name space, after this
    "docs/committees.md": SYSTEM,
    "docs/data.md": SYSTEM + "structures = [atoms, atoms]; model = dgnn.Model.load('model.pt2')\n" + FLAT,
    "docs/from_deepmd_kit.md": SYSTEM + FLAT,
    "docs/hessians.md": SYSTEM + "coords, types, box = coords[:3], types[:3], None; import types as kinds\n"
                                 "model, phonon = dgnn.Model.load('model.pt2'), kinds.SimpleNamespace()\n",
    "docs/index.md": SYSTEM,
    "docs/your_model.md": "",
}
pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")


def text_of(page):
    return (ROOT / page).read_text()


def python_blocks(page):
    return re.findall(r"^```python\n(.*?)^```", text_of(page), re.M | re.S)


def commands(page):
    found = [line.partition("#")[0].strip() for line in re.findall(r"^    (?:\$ )?(dgnn .*)$", text_of(page), re.M)]
    assert found
    return [line for line in found if not line.startswith("dgnn ipi ")]  # it waits for i-PI: tests/hosts/test_ipi.py


@pytest.fixture(scope="module")
def frame():
    with np.load(ROOT / "examples" / "water" / "frames.npz") as file:
        return {key: file[key][0] if key != "type" else file[key] for key in ("coord", "type", "box")}


@pytest.fixture
def folder(frame, tmp_path, monkeypatch):
    """The files that the pages name; 24 atoms, so that nobody waits."""
    shutil.copy(ROOT / "examples" / "water" / "model.pt2", tmp_path)
    rows = np.flatnonzero(np.linalg.norm(frame["coord"] - frame["coord"].mean(axis=0), axis=1) < 4)[:24]
    atoms = Atoms(np.array(["O", "H"])[frame["type"][rows]], frame["coord"][rows], cell=[9.0] * 3, pbc=True)
    ase.io.write(tmp_path / "POSCAR", atoms, sort=True)
    for name in "abcd":
        shutil.copy(tmp_path / "model.pt2", tmp_path / f"{name}.pt2")
    (tmp_path / "data" / "set.000").mkdir(parents=True)
    np.savetxt(tmp_path / "data" / "type.raw", frame["type"][rows], fmt="%d")
    (tmp_path / "data" / "type_map.raw").write_text("O H")
    for key, value in (("coord", atoms.positions), ("box", np.asarray(atoms.cell)), ("force", np.zeros((len(rows), 3)))):
        np.save(tmp_path / "data" / "set.000" / f"{key}.npy", value.reshape(1, -1))
    shutil.copy(tmp_path / "model.pt2", tmp_path / "graph.pth")
    shutil.copy(ROOT / "tests" / "data" / "datasets" / "dpdata.hdf5", tmp_path / "other.hdf5")
    frozen = atoms.copy()
    frozen.calc = SinglePointCalculator(frozen, energy=-3000.0, forces=np.zeros((len(atoms), 3)))
    ase.io.write(tmp_path / "md.extxyz", frozen)
    for name in ("water.xyz", "a.cif", "md.traj", "md.xyz"):
        ase.io.write(tmp_path / name, [atoms] * (1 if name == "a.cif" else 2))
    saved_files.format_file("pt_heads", "model.pt", tmp_path).rename(tmp_path / "DPA-3.1-3M.pt")  # small, with its heads' names
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_five_minutes(frame, folder, monkeypatch):
    checkpoint, plain, ase_, questions, ranks, _ = python_blocks("README.md")  # the last is LAMMPS's: tests/hosts/test_lammps.py
    told = dict(coords=frame["coord"], types=frame["type"], box=frame["box"])
    exec(checkpoint, told)
    assert told["model"].type_map == ["O", "H", "Cu"]
    monkeypatch.chdir(ROOT)
    exec(plain, told)
    assert isinstance(told["r"], dgnn.Result) and "# ['O', 'H']" in plain and told["model"].type_map == ["O", "H"]
    monkeypatch.chdir(folder)
    told = dict(atoms=ase.io.read("POSCAR"))
    exec(ase_, told)
    assert np.abs(told["atoms"].get_forces()).max() > 0.01
    told = dict(dgnn=dgnn, model=dgnn.Model.load("model.pt2"), structures=[told["atoms"]] * 2, coords=frame["coord"][:3],
                types=frame["type"][:3], box=frame["box"])
    exec(questions, told)
    assert told["h"].shape == (3, 3, 3, 3)
    assert "comm=MPI.COMM_WORLD, ids=my_ids" in ranks  # which tests/mpi/compute_mpi.py does


def test_first_steps(folder, monkeypatch, capsys):
    plain, flux, ase_, dipoles = python_blocks("docs/first_steps.md")
    monkeypatch.chdir(ROOT)
    told = {}
    exec(plain, told)
    given = dict(coords=told["frames"]["coord"][0], types=told["frames"]["type"], box=told["frames"]["box"][0])
    told.update(given, atoms=Atoms(numbers=np.ones(len(given["coords"]), int), positions=given["coords"]))
    exec(flux, told)
    assert told["J"].shape == (3,)
    assert re.match(r"-29943\.\d+ 4\.\d+\n", capsys.readouterr().out)
    monkeypatch.chdir(folder)
    told = {}
    exec(ase_.replace("fmax=0.01", "fmax=0.01, steps=2"), told)
    assert told["atoms"].get_stress().shape == (6,)
    for name, case in {"energies": "dpa3_base", "dipoles": "dipole_dpa3"}.items():
        shutil.copy(ROOT / "tests" / "data" / "cases" / case / "model.pt2", folder / f"{name}.pt2")
    exec(dipoles, told)
    assert told["atoms"].get_dipole_moment().shape == (3,)


@pytest.mark.parametrize("page", COMMANDS)
def test_commands(page, folder):
    """With dgnn as it is without an installation."""
    for command in commands(page):
        line = command.replace("dgnn ", f"{sys.executable} -m dgnn ", 1)
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert (done.stdout == "") == (" -o " in command and " devi " not in command or " pack " in command), command
    if " -o results.extxyz" in text_of(page):
        assert len(ase.io.read("results.extxyz", ":")) >= 2


@pytest.mark.parametrize("page", FRAGMENTS)
def test_fragments(page, folder):
    told = {"dgnn": dgnn, "ase": ase}
    exec(FRAGMENTS[page], told)
    blocks = [block for block in pages.blocks(text_of(page)) if block.kind == "python"]
    assert blocks
    for block in blocks:
        exec(compile("\n" * (block.line - 1) + block.code, page, "exec"), told)


def test_own_tests(folder):
    """Many ranks: the file of tests that the page shows, run by pytest."""
    block = next(block for block in pages.blocks(text_of("docs/ranks.md")) if "run_mpi" in block.code)
    (folder / "script.py").write_text("from mpi4py import MPI\nif MPI.COMM_WORLD.rank == 0:\n    print('done')\n")
    start = "import ase.io\nimport dgnn\n" + SYSTEM.replace("; ", "\n").replace("types, box", "types, box")
    (folder / "test_mine.py").write_text(start + block.code.replace("4,", "2,"))
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"], capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout[-3000:]


def test_rank_script(frame, folder):
    """Many ranks: the first block, each rank with its share of the atoms."""
    block = pages.blocks(text_of("docs/ranks.md"))[0]
    start = "import ase.io\nimport dgnn\nfrom mpi4py import MPI\n" + SYSTEM.replace("; ", "\n")
    mine = ("share = slice(MPI.COMM_WORLD.rank, None, MPI.COMM_WORLD.size)\nmy_coords, my_types = coords[share], types[share]\n"
            "my_ids = range(len(coords))[share]\n")
    # One rank prints, since the lines of two may run together.
    told = "found = MPI.COMM_WORLD.gather(f'{r.energy:.6f}')\nif found: print(*found)\n"
    (folder / "ranks.py").write_text(start + mine + block.code + told)
    from dgnn.testing import run_mpi

    one = dgnn.Model.load("model.pt2").compute(*(lambda atoms: (atoms.positions, atoms.get_chemical_symbols(), atoms.cell.array))(
        ase.io.read("POSCAR"))).energy
    assert run_mpi("ranks.py", 2, timeout=60).stdout.split() == [f"{one:.6f}"] * 2


# ---------------------------------------------------------------- each block of each page


def documents():
    return [ROOT / "README.md", ROOT / "lammps" / "README.md", ROOT / "benchmarks" / "README.md",
            *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "tutorials").glob("*.md"))]


def is_run(page, block):
    if page.startswith("docs/tutorials/"):
        return "not run" in block.notes or block.kind in ("python", "console", "file", "text")
    if block.kind == "python":
        return page in FRAGMENTS or page in ("README.md", "docs/first_steps.md")
    lines = [line for line in block.code.splitlines() if line.strip() and not line.startswith("  ")]
    lines = [line for line in lines if line.startswith("$ ")] or lines  # the others are what these print
    return page in COMMANDS and bool(lines) and all(re.match(r"(\$ )?dgnn \w", line) for line in lines)


def test_each_block_is_run():
    """Or stands in not_run.txt: page :: its first line :: why."""
    text = (ROOT / "tests" / "pages" / "not_run.txt").read_text()
    reasons = [[part.strip() for part in line.split(" :: ")] for line in text.splitlines() if line.strip() and line[0] != "#"]
    assert all(len(row) == 3 and len(row[2]) > 10 for row in reasons)
    assert len({(page, first) for page, first, _ in reasons}) == len(reasons), "a block stands there twice"
    left, used = [], set()
    for path in documents():
        page = str(path.relative_to(ROOT))
        for block in pages.blocks(path.read_text()):
            first = block.code.strip().split("\n")[0]
            known = [k for k, (where, start, _) in enumerate(reasons) if where == page and (start == "*" or first.startswith(start))]
            used.update(known)
            if not known and not is_run(page, block) and not re.match(r"\{(eval-rst|toctree|image)\}", block.kind):
                left.append(f"{page}:{block.line}: {first}")
    assert not left, "\n".join(left)
    stale = [reasons[k] for k in range(len(reasons)) if k not in used]
    assert not stale, stale


def test_links():
    """Files that README and the pages name beside each other are there (Sphinx sees to headings)."""
    for path in documents():
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", re.sub(r"```.*?```", "", path.read_text(), flags=re.S)):
            assert re.match(r"https?://", target) or (path.parent / target).exists(), f"{path.name}: {target}"
