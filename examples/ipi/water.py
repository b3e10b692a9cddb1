"""Quantum nuclei: two beads of water in i-PI, computed by dgnn on one rank or many.

    python water.py [RANKS]

Writes water.xyz for i-PI, starts i-PI with input.xml and a client on so many ranks, in the current folder; water.out then
has a line for each step. pip install ipi (and mpi4py mpich for several ranks).
"""

import pathlib
import shutil
import socket
import subprocess
import sys

import numpy as np
from ase import Atoms
from ase.geometry import cell_to_cellpar

from dgnn import launch

here = pathlib.Path(__file__).resolve().parent
ranks = int(sys.argv[1]) if len(sys.argv) > 1 else 1

with np.load(here.parent / "water" / "frames.npz") as frames:
    atoms = Atoms(np.array(["O", "H"])[frames["type"]], frames["coord"][0], cell=frames["box"][0], pbc=True)
with open("water.xyz", "w") as file:  # i-PI reads units and cell from the second line; ASE reads the atoms
    cell = " ".join(f"{number:.10f}" for number in cell_to_cellpar(atoms.cell))
    file.write(f"{len(atoms)}\n# CELL(abcABC): {cell} positions{{angstrom}} cell{{angstrom}}\n")
    for symbol, place in zip(atoms.get_chemical_symbols(), atoms.positions):
        file.write(f"{symbol} {place[0]:.10f} {place[1]:.10f} {place[2]:.10f}\n")
atoms.write("atoms.extxyz")  # which atoms, and that all directions are periodic

address = pathlib.Path("/tmp/ipi_dgnn-water")  # where i-PI listens; one that was killed leaves it behind and then refuses to start
with socket.socket(socket.AF_UNIX) as probe:
    if address.exists() and probe.connect_ex(str(address)):
        address.unlink()

start, environment = launch.command(ranks) if ranks > 1 else ([], None)
server = subprocess.Popen([shutil.which("i-pi", path=pathlib.Path(sys.executable).parent) or "i-pi", here / "input.xml"])
try:
    client = [sys.executable, "-m", "dgnn", "ipi", here.parent / "water" / "model.pt2", "atoms.extxyz", "--unix", "dgnn-water"]
    subprocess.run([*start, *client], env=environment, check=True)
    server.wait(60)
finally:
    server.kill()
print(pathlib.Path("water.out").read_text().splitlines()[-1])
