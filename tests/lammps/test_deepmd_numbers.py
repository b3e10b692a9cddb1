"""deepmd-kit's own numbers in LAMMPS: counterparts of what deepmd-kit tests its pair style with, on one rank and more.

The numbers are those of tests/data/cases. Virials of atoms are compared where deepmd-kit's are exact: without messages, and
without a cell (docs/exactness.md); elsewhere test_scenarios.py has them beside Model.compute."""

import functools
import pathlib
import tempfile
from dataclasses import dataclass

import numpy as np
import pytest
from lammps_runs import AFTER, AFTER_ATOMS, ATOMS, CENTROID, COLUMNS, HBAR, SPINS, Frame, Units, case, errors_of, run, write_data

import dgnn
import dgnn.testing

pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")
LIMIT = 1e-9  # eV, eV/Angstrom; of the largest component, where that is less than one
FLOAT32 = 1e-5  # of float32's own answers
SIX = [0, 4, 8, 1, 2, 5]
LOCAL = ("dpa1", "se_", "zbl_dpa1", "spin_dpa1", "spin_se_", "dpa4c_fparam")  # no messages: virials of atoms in cells, too


@dataclass
class Counterpart:
    model: str  # of tests/data/cases
    system: str = "triclinic"
    words: str = ""  # of the pair style
    units: str = "metal"
    first: str = ""  # before atoms are read
    reversed: bool = False  # LAMMPS's types are the model's from the last to the first
    null: int = 0  # further atoms, of type NULL
    cell: tuple = ()  # of a cluster: far from its images
    body: str = "run 0\n"
    ranks: tuple = (1, 2)
    limit: float = LIMIT


PARAMETERS = "fparam 0.37 -0.21 aparam_from_compute given"
COUNTERPARTS = {
    "DPA3": Counterpart("dpa3_base", ranks=(1, 2, 3)),
    "DPA3, slab": Counterpart("dpa3_base", "slab", ranks=(1, 3)),
    "DPA3, sparse": Counterpart("dpa3_base", "sparse"),
    "DPA3, no box": Counterpart("dpa3_base", "cluster"),
    "DPA3, three types": Counterpart("dpa3_three_types"),
    "DPA3, three types, type map": Counterpart("dpa3_three_types", reversed=True),
    "DPA3, type map": Counterpart("dpa3_base", reversed=True),
    "DPA3, real": Counterpart("dpa3_base", units="real"),
    "DPA3, si": Counterpart("dpa3_base", units="si"),
    "DPA3, real, no box": Counterpart("dpa3_base", "cluster", units="real"),
    "DPA3, float32": Counterpart("dpa3_f32", limit=FLOAT32),
    "DPA3, newton off": Counterpart("dpa3_base", first="newton off\n"),
    "DPA3, tiled": Counterpart("dpa3_base", "slab", first="comm_style tiled\n", body="balance 1.0 rcb\nrun 0\n", ranks=(3, )),
    "DPA3, NULL": Counterpart("dpa3_base", "slab", null=24),
    "DPA3, NULL, no box": Counterpart("dpa3_base", "cluster", null=8),
    "DPA3, empty ranks": Counterpart("dpa3_base", "cluster", cell=(25, 25, 60), first="processors 1 1 *\n", ranks=(2, 3)),
    "DPA3, moved, lists made anew": Counterpart(
        "dpa3_base", first="atom_modify sort 1 2.0\n",
        body="run 0\ndisplace_atoms all move 1.3 2.1 -0.7 units box\nrun 0\ndisplace_atoms all move 0.4 -3.3 0.9 units box\nrun 0\n"),
    "DPA3, pair_exclude": Counterpart("dpa3_pair_exclude"),
    "DPA3, atom_exclude": Counterpart("dpa3_atom_exclude"),
    "DPA3, fparam and aparam": Counterpart("dpa3_fparam_aparam", words=PARAMETERS),
    "DPA3, fparam and aparam, no box": Counterpart("dpa3_fparam_aparam", "cluster", words=PARAMETERS),
    "DPA3, fparam by default": Counterpart("dpa3_fparam_default"),
    "DPA3, charge and spin": Counterpart("dpa3_charge_spin", words="charge_spin {charge_spin}"),
    "DPA3, charge and spin by default": Counterpart("dpa3_charge_spin_default"),
    "DPA2": Counterpart("dpa2_base"),
    "DPA2, no box": Counterpart("dpa2_base", "cluster"),
    "DPA2, real": Counterpart("dpa2_base", units="real"),
    "DPA2, si": Counterpart("dpa2_base", units="si"),
    "DPA2, type map": Counterpart("dpa2_base", reversed=True),
    "DPA2, NULL": Counterpart("dpa2_base", "slab", null=24),
    "DPA2, graph": Counterpart("dpa2_graph_deep_graph"),
    "DPA2, empty ranks": Counterpart("dpa2_base", "cluster", cell=(25, 25, 60), first="processors 1 1 *\n", ranks=(3, )),
    "DPA1": Counterpart("dpa1_attn2"),
    "DPA1, no box": Counterpart("dpa1_attn2", "cluster"),
    "DPA1, graph": Counterpart("dpa1_attn2_graph"),
    "se_e2_a": Counterpart("se_e2_a"),
    "se_e2_a, real": Counterpart("se_e2_a", units="real"),
    "se_e2_a, no box": Counterpart("se_e2_a", "cluster"),
    "DPA4C": Counterpart("dpa4c_base"),
    "DPA4C, fparam and aparam": Counterpart("dpa4c_fparam_aparam", words=PARAMETERS),
    "DPA4C, charge and spin": Counterpart("dpa4c_charge_spin", words="charge_spin {charge_spin}"),
    "DPA4C, native spins": Counterpart("dpa4c_spin"),
    "ZBL": Counterpart("zbl_dpa3"),
    "ZBL, DPA1": Counterpart("zbl_dpa1"),
    "spin, DPA3": Counterpart("spin_dpa3", ranks=(1, 2, 3)),
    "spin, DPA3, no box": Counterpart("spin_dpa3", "cluster"),
    "spin, DPA3, slab": Counterpart("spin_dpa3", "slab", ranks=(3, )),
    "spin, DPA3, type map": Counterpart("spin_dpa3", reversed=True),
    "spin, DPA3, NULL": Counterpart("spin_dpa3", "slab", null=24),
    "spin, DPA3, empty ranks": Counterpart("spin_dpa3", "cluster", cell=(25, 25, 60), first="processors 1 1 *\n", ranks=(3, )),
    "spin, DPA2": Counterpart("spin_dpa2"),
    "spin, se_e2_a": Counterpart("spin_se_e2_a"),
    "spin, se_e2_a, no box": Counterpart("spin_se_e2_a", "cluster"),
    # Of the triclinic cell's images at one distance, some are beyond sel: which ones is the list's choice, and so is 1e-9 eV.
    "spin, DPA1": Counterpart("spin_dpa1", "slab"),
    "spin, DPA1, no box": Counterpart("spin_dpa1", "cluster"),
    "spin, three types": Counterpart("spin_three"),
    "spin, fparam and aparam": Counterpart("spin_fparam", words=PARAMETERS),
    "spin, charge and spin": Counterpart("spin_charge", words="charge_spin {charge_spin}"),
}


class Reference:
    """A system of a case, and deepmd-kit's answers."""

    def __init__(self, one):
        with np.load(case(one.model).parent / "cases.npz") as file:
            self.inputs, self.answers = ({name.split("/")[2]: file[name] for name in file.files if name.startswith(f"{one.system}/{kind}/")}
                                         for kind in ("in", "out"))
        self.names = dgnn.Model.load(case(one.model)).type_map
        self.types, coords = self.inputs["type"].ravel(), self.inputs["coord"].reshape(-1, 3)
        self.box, self.low = self.inputs.get("box"), np.zeros(3)
        if self.box is None:
            span = coords.max(axis=0) - coords.min(axis=0) + 1.0
            self.box, self.low = np.diag(one.cell or span), coords.min(axis=0) - 0.5
        self.box = self.box.reshape(3, 3)
        assert not np.triu(self.box, 1).any()  # as LAMMPS wants it
        fractions = (coords - self.low) @ np.linalg.inv(self.box)
        self.positions = (fractions - np.floor(fractions)) @ self.box


def file_of(name):
    return name.replace(" ", "_").replace(",", "")


def script_of(name, one, folder):
    """Writes the data file and gives the script that reads it."""
    reference, file = Reference(one), file_of(name)
    is_spin, n, ntypes = "spin" in reference.inputs, len(reference.types), len(reference.names)
    elements, types = reference.names + ["NULL"] * (one.null > 0), reference.types
    if one.reversed:
        elements, types = elements[::-1], ntypes - 1 - types
    positions, spins = reference.positions, reference.inputs.get("spin")
    if one.null:
        random = np.random.default_rng(7)
        positions = np.vstack([positions, random.uniform(0, 1, (one.null, 3)) @ reference.box])
        types = np.append(types, np.full(one.null, ntypes))
        spins = np.vstack([spins, random.normal(size=(one.null, 3))]) if is_spin else None
    scale = 1e-10 if one.units == "si" else 1.0
    style = "spin" if is_spin else "atomic"
    write_data(folder / file, positions, types, reference.box, reference.low, ntypes + (one.null > 0), style, spins=spins, scale=scale)
    boundary = "s s s" if "box" not in reference.inputs and not one.cell else "p p p"
    given = "".join(f"set atom {i + 1} d_given {value:.17g}\n" for i, value in enumerate(reference.inputs.get("aparam", np.zeros(0)).ravel()))
    given = f"fix given all property/atom d_given\n{given}compute given all property/atom d_given\n" if given else ""
    words = one.words.format(charge_spin=" ".join(f"{x:.17g}" for x in reference.inputs.get("charge_spin", np.zeros(0)).ravel()))
    assert n == len(reference.answers["atom_energy"])
    return (f"clear\nunits {one.units}\natom_style {style}\nboundary {boundary}\n{one.first}read_data {folder / file}\n{given}"
            f"neighbor {1.0 * scale} bin\npair_style dgnn {case(one.model)} {words}\npair_coeff * * {' '.join(elements)}\n"
            f"{SPINS * is_spin}{ATOMS}{one.body}"
            + (AFTER + AFTER_ATOMS).format(name=folder / file, columns=COLUMNS + " c_mag[*]" * is_spin))


def differences(name, one, folder):
    """{quantity: difference from deepmd-kit's, in eV and Angstrom, or over the largest component where that is less than one}."""
    reference, units, file = Reference(one), Units(one.units), file_of(name)
    frame, answers = Frame(folder / f"{file}.dump"), reference.answers
    own = np.arange(len(reference.types))  # ids in order; NULL come after
    row = np.array((folder / f"{file}.row").read_text().split(), float)
    virial = answers["virial"].reshape(3, 3)
    pairs = dict(
        energy=(row[0] / units.energy, answers["energy"][0]),
        energies=(frame.columns["c_pea"][own] / units.energy, answers["atom_energy"].ravel()),
        forces=(frame.get("fx", "fy", "fz")[own] / units.force, answers["force"].reshape(-1, 3)),
        virial=(row[1:7] * row[7] / units.pressure / units.energy, 0.5 * (virial + virial.T).ravel()[SIX]))
    if "force_mag" in answers:
        pairs["magnetic"] = (frame.get("c_mag[5]", "c_mag[6]", "c_mag[7]")[own] * HBAR,
                             answers["force_mag"].reshape(-1, 3) * frame.columns["c_mag[4]"][own, None])
    if one.model.startswith(LOCAL) and not one.model.endswith("graph") or one.system == "cluster":
        centroid = -frame.get(*(f"c_cs[{k}]" for k in range(1, 10)))[own] / units.pressure / units.energy
        pairs["centroid"] = centroid, answers["atom_virial"].reshape(-1, 9)[:, CENTROID]
    assert all(np.abs(theirs).max() > 1e-5 for _, theirs in pairs.values())
    found = {quantity: np.abs(ours - theirs).max() / min(1.0, np.abs(theirs).max()) for quantity, (ours, theirs) in pairs.items()}
    return found | dict(null=np.abs(frame.get("fx", "fy", "fz")[len(own):]).max(initial=0.0))


@functools.cache
def finished(ranks):
    """One start of LAMMPS for all on so many ranks: (the folder, what went wrong)."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dgnn-lammps-"))
    script = "".join(script_of(name, one, folder) for name, one in COUNTERPARTS.items() if ranks in one.ranks)
    done = run(script, folder, ranks, check=False, timeout=560)
    return folder, "" if done.returncode == 0 else "\n".join(errors_of(done)) + (done.stdout + done.stderr)[-900:]


def check(name, folder, figures):
    for quantity, value in differences(name, COUNTERPARTS[name], folder).items():
        figures.record("pair_style dgnn beside deepmd-kit, eV and Angstrom", name, quantity, value, COUNTERPARTS[name].limit)
        assert value <= COUNTERPARTS[name].limit, (quantity, value)


ON_RANKS = [pytest.param(name, ranks, id=f"{name}-{ranks}ranks", marks=pytest.mark.xdist_group("ranks of LAMMPS"))
            for name, one in COUNTERPARTS.items() for ranks in one.ranks]


@pytest.mark.parametrize("name, ranks", ON_RANKS)
def test_numbers(name, ranks, figures):
    folder, wrong = finished(ranks)
    assert (folder / f"{file_of(name)}.row").exists(), wrong
    check(name, folder, figures)


PARTS = [["DPA3", "DPA1", "spin, DPA3"], ["DPA2, no box", "DPA3, real"]]  # of ranks 0 and 2, and of the rest


def on_subcommunicators(comm, folder):
    """Two LAMMPS at the same time, each with ranks of its own, which are not neighbours in mpi4py's world."""
    from lammps import lammps

    part = comm.rank % 2
    own = comm.Split(part, comm.size - comm.rank)  # in the other order, too
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"], comm=own)
    for name in PARTS[part]:
        lmp.commands_string((pathlib.Path(folder) / f"{file_of(name)}.in").read_text())
    size = lmp.extract_setting("world_size")
    lmp.close()
    return size


@pytest.mark.parametrize("ranks", [3, pytest.param(4, marks=pytest.mark.long)])
def test_subcommunicators(ranks, tmp_path, figures):
    for name in sum(PARTS, []):
        (tmp_path / f"{file_of(name)}.in").write_text(script_of(name, COUNTERPARTS[name], tmp_path))
    sizes = dgnn.testing.run_mpi(on_subcommunicators, ranks, str(tmp_path), timeout=120, environment={"OMP_NUM_THREADS": "1"}).values
    assert sizes == [(ranks + 1) // 2, ranks // 2] * (ranks // 2) + [2] * (ranks % 2)
    for name in sum(PARTS, []):
        check(name, tmp_path, figures)
