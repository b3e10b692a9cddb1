"""pair_style dgnn in the situations of users, each at its last step beside Model.compute on one rank."""

import functools
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import dgnn
import numpy as np
import pytest
from lammps_runs import AFTER, AFTER_ATOMS, ATOMS, BOX, COLUMNS, FORCES, LAMMPS, SPINS, Frame, Units, case
from lammps_runs import differences, errors_of, expected, relative, run, spins_of, system, write_data

LIMITS = {"energy": 1e-10}  # of its size; all else 1e-11 of the largest component
MODEL = case("dpa3_base")
NVE = "velocity all create {} 4711 loop geom\nfix move all nve\n"


@dataclass
class Scenario:
    body: str  # commands between the pair style and the last step
    ranks: tuple = (2,)
    data: str = "bulk"
    style: str = "atomic"
    boundary: str = "p p p"
    first: str = ""
    skin: float = 1.0
    pair: str = "pair_style dgnn {model}\npair_coeff * * {elements}"
    elements: str = "O H"
    units: str = "metal"
    model: Path = MODEL
    parts: list = None  # of expected; None: the model alone
    atoms: bool = True  # with quantities of each atom
    natoms: object = None  # expected at the end; None: not looked at
    skip: tuple = ()  # quantities that other styles have a part in
    given: dict = field(default_factory=dict)
    counts: str = ""  # of LAMMPS, each more than 0 at the end: else nothing happened
    says: str = ""  # a part of its log


def types_of(elements):
    if elements == "spin_three":
        return [0, 1, 2]
    return [{"O": 0, "H": 1, "NULL": -1}[name] for name in elements.split()]


EXCLUDE = "neigh_modify exclude type {0} {0}\n"  # of a type without atoms: LAMMPS's list is used, and nothing is left out
SCENARIOS = {}
for units in ("metal", "real", "si"):
    SCENARIOS[f"units {units}"] = Scenario(NVE.format(300) + "run 1\n", (1, 2), units=units, data="bulk" if units != "si" else "bulk_si",
                                           skin=1e-10 if units == "si" else 1.0)
for layout in ("brick", "tiled"):
    for newton in ("on", "off"):
        for source in ("search", "list"):
            body = (EXCLUDE.format(3) if source == "list" else "") + NVE.format(2000) + "run 3\n"
            SCENARIOS[f"{layout} newton {newton} {source}"] = Scenario(
                body, (1, 2, 3, 4), data="bulk3", elements="O H NULL",
                first=f"comm_style {layout}\nnewton {newton}\n",
                pair="pair_style dgnn {model}\npair_coeff * * {elements}" + ("\nbalance 1.0 rcb" if layout == "tiled" else ""))
SLAB = dict(data="slab", first="processors 1 1 *\n")
DEPOSIT = ("region there block 1 8 0 7 18 24\nfix deposit all deposit 4 1 3 12345 region there near 0.8 vz -50 -60\n")
GCMC = "fix gas all gcmc 2 4 2 2 29494 3000.0 -0.4 0.3 full_energy overlap_cutoff 0.7\n"
GCMC_COUNTS = "f_gas[2] f_gas[4] f_gas[6]"  # moved, inserted, deleted
SCENARIOS |= {
    "rebuilds": Scenario(NVE.format(6000) + "run 25\n", (2, 3), skin=0.2, counts="nbuild"),
    "rebuilds newton off": Scenario(NVE.format(6000) + "run 25\n", (3,), first="newton off\n", skin=0.2, counts="nbuild"),
    "balance rcb": Scenario(NVE.format(3000) + "fix share all balance 5 1.0 rcb\nrun 11\n", (3,),
                            first="comm_style tiled\n", skin=0.3),
    "balance shift": Scenario(NVE.format(3000) + "fix share all balance 5 1.0 shift xyz 5 1.05\nrun 11\n", skin=0.3),
    "no atomic virials": Scenario(NVE.format(3000) + "run 10\n", (1, 3), atoms=False),
    "npt": Scenario("velocity all create 300 1 loop geom\nfix move all npt temp 300 300 0.05 tri 1000 1000 0.05\nrun 15\n"),
    "deform": Scenario(NVE.format(300) + "fix shear all deform 1 xy erate 20 remap x flip yes\nrun 30\nunfix shear\nrun 0\n"),
    "minimise": Scenario("minimize 0 1e-6 10 40\n"),
    "box relax": Scenario("fix relax all box/relax aniso 0.0\nminimize 0 1e-6 5 30\n", skip=("energy", )),
    "shrink-wrapped": Scenario(NVE.format(300) + "run 10\n", (3,), boundary="p p s", **SLAB),
    "slab, fixed walls": Scenario(NVE.format(300) + "run 10\n", (3,), boundary="p p f", **SLAB),
    "isolated": Scenario(NVE.format(300) + "run 10\n", boundary="s s s", data="cluster"),
    "delete": Scenario(NVE.format(300) + "run 3\ngroup some id 3:11\ndelete_atoms group some compress no\nrun 5\n", natoms=27),
    "evaporate": Scenario(NVE.format(300) + "region lower block INF INF INF INF 2 6\nfix away all evaporate 4 3 lower 49892\n"
                          "run 10\n", natoms=30),
    "deposit": Scenario(NVE.format(300) + DEPOSIT + "run 12\n", (3,), natoms=40, **SLAB),
    "gcmc": Scenario(NVE.format(300) + GCMC + "run 6\n", (1, 3), counts=GCMC_COUNTS, **SLAB),
    "gcmc, second run": Scenario(NVE.format(300) + GCMC + "run 3\nrun 4\n", counts=GCMC_COUNTS, **SLAB),
    "exchange of types": Scenario(NVE.format(300) + "fix swap all atom/swap 2 4 321 3000 types 1 2 ke no\nrun 9\n",
                                  counts="f_swap[2]"),
    "sort": Scenario(NVE.format(3000) + "atom_modify sort 1 2.0\nrun 15\n", skin=0.2, counts="nbuild"),
    "pre no": Scenario(NVE.format(300) + "run 3\nrun 3 pre no post no\nrun 3 pre no\n"),
    "no check": Scenario(NVE.format(300) + "neigh_modify every 7 delay 0 check no\nrun 18\n", skin=2.0),
    "run every": Scenario(NVE.format(300) + 'run 9 every 3 "variable x equal step"\n'),
    "forms of run": Scenario(NVE.format(300) + "run 2 upto\nrun 3 start 0 stop 9\nrun 9 upto pre no\n"),
    "rerun": Scenario(NVE.format(300) + "dump out all custom 1 {name}.frames id type x y z vx vy vz\nrun 3\nundump out\n"
                      "displace_atoms all random 0.1 0.1 0.1 31\nrerun {name}.frames first 1 dump x y z vx vy vz\n"),
    "replicate": Scenario("replicate 2 1 1\n" + NVE.format(300) + "run 3\n", natoms=72),
    "pair style again": Scenario(NVE.format(300) + "run 2\npair_style none\npair_style dgnn {model}\npair_coeff * * {elements}\n"
                                 "run 3\n"),
    "another model": Scenario(NVE.format(300) + f"run 2\npair_style dgnn {MODEL}\npair_coeff * * {{elements}}\nrun 3\n",
                              parts=[(MODEL, [0, 1], {})], model=case("se_e2_a")),
    "respa": Scenario(NVE.format(300) + "run_style respa 2 2 pair 2\nrun 4\n"),
    "bonds": Scenario("bond_style zero\nbond_coeff *\n" + NVE.format(300) + "run 5\n", data="bonds", style="molecular"),
    "bonds, list": Scenario("special_bonds lj/coul 1 1 1\nbond_style zero\nbond_coeff *\n" + EXCLUDE.format(2) + "run 0\n",
                            data="bonds_oxygen", style="molecular", elements="O H"),
    "NULL element": Scenario("run 0\n", elements="NULL H"),
    "by position": Scenario("run 0\n", pair="pair_style dgnn {model}\npair_coeff * *"),
    "keywords of dgnn": Scenario("run 0\n", pair="pair_style dgnn {model} memory small threads 2 dtype archive device cpu "
                                 "deadline 60\npair_coeff * * {elements}", says="float64, 2 threads"),
    "keywords of dgnn, float32": Scenario("run 0\n", pair="pair_style dgnn {model} dtype float32 threads 2 memory fast\n"
                                          "pair_coeff * * {elements}", says="float32, 2 threads", given=dict(dtype="float32")),
    "hybrid": Scenario(NVE.format(300) + "run 5\n", (3,), data="null", elements="O H NULL", first="processors 1 1 *\n",
                       pair="pair_style hybrid dgnn {model} lj/cut 3.0\npair_coeff 3 3 lj/cut 0.0 3.4\n"
                            "pair_coeff * * dgnn {elements}\npair_coeff 1*2 3 lj/cut 0.0 3.3"),
    "hybrid/overlay": Scenario(NVE.format(300) + "run 5\n", (3,), data="null", elements="O H NULL",
                               first="processors 1 1 *\n", pair="pair_style hybrid/overlay dgnn {model} lj/cut 3.0\n"
                               "pair_coeff * * dgnn {elements}\npair_coeff 3 3 lj/cut 0.0 3.4\npair_coeff 1 3 lj/cut 0.0 3.3"),
    "two dgnn": Scenario(NVE.format(300) + "run 5\n", (1, 3),
                         pair=f"pair_style hybrid/overlay dgnn {{model}} dgnn {case('dpa1_attn2')}\n"
                              "pair_coeff * * dgnn 1 O H\npair_coeff * * dgnn 2 NULL H",
                         parts=[(MODEL, [0, 1], {}), (case("dpa1_attn2"), [-1, 1], {})]),
    "hybrid, two dgnn": Scenario(NVE.format(300) + "run 5\n", (1, 3),
                                 pair=f"pair_style hybrid dgnn {{model}} dgnn {case('dpa1_attn2')} zero 3.0\n"
                                 "pair_coeff * * dgnn 1 O NULL\npair_coeff * * dgnn 2 NULL H\npair_coeff 1 2 zero",
                                 parts=[(MODEL, [0, -1], {}), (case("dpa1_attn2"), [-1, 1], {})]),
    "fix adapt": Scenario("variable half equal 0.5\nfix tune all adapt 1 pair dgnn scale * * v_half\nrun 1\n",
                          given=dict(scale=0.5)),
    "fix adapt, NULL left out": Scenario("variable half equal 0.5\nfix tune all adapt 1 pair dgnn scale 2 2 v_half\nrun 1\n",
                                           elements="NULL H", given=dict(scale=0.5)),
    "restart": Scenario(NVE.format(300) + "run 3\nwrite_restart {name}.restart\nclear\nread_restart {name}.restart\n"
                        "pair_style dgnn {model}\npair_coeff * * {elements}\nneighbor {skin} bin\nfix move all nve\n{again}"
                        "run 4\n"),
    "write_data": Scenario(NVE.format(300) + "run 3\nwrite_data {name}.data pair ij\nclear\nunits metal\nread_data {name}.data\n"
                           "pair_style dgnn {model}\npair_coeff * * {elements}\nneighbor {skin} bin\nfix move all nve\n{again}"
                           "run 4\n"),
    "DPA2": Scenario(NVE.format(2000) + "run 5\n", (3,), model=case("dpa2_base")),
    "DPA1": Scenario(NVE.format(2000) + "run 5\n", (3,), model=case("dpa1_attn2")),
    "se_e2_a": Scenario(NVE.format(2000) + "run 5\n", (3,), model=case("se_e2_a")),
    "DPA4C": Scenario(NVE.format(2000) + "run 5\n", (3,), model=case("dpa4c_air_small")),
    "float32": Scenario(NVE.format(300) + "run 3\n", (1, 3), pair="pair_style dgnn {model} dtype float32\npair_coeff * * "
                        "{elements}", given=dict(dtype="float32")),
}

TAKES = dict(model=case("dpa3_fparam_aparam"), data="ortho3")
KNOWN = dict(fparam=[0.3, -0.2], aparam=lambda frame: np.full((len(frame.columns["id"]), 1), 0.7))


def columns(*names):
    return lambda frame: frame.get(*names)


def node_temperature(frame):
    """Of fix ttm's 2 x 1 x 3 nodes in the file of data_folder."""
    place = np.floor((frame.get("x", "y", "z") - frame.low) / np.diag(frame.box) * [2, 1, 3]) % [2, 1, 3]
    return (0.2 + place @ [0.1, 0.0, 0.3])[:, None]


def taking(words, body="run 2\n", ranks=(2,), before="", **given):
    pair = f"{before}pair_style dgnn {{model}} {words}\npair_coeff * * {{elements}}"
    return Scenario(NVE.format(300) + body, ranks, pair=pair, given=KNOWN | given, elements="O H NULL", **TAKES)


SCENARIOS |= {
    "fparam, aparam": taking("fparam 0.3 -0.2 aparam 0.7", ranks=(1, 3)),
    "fparam_from_compute": taking("fparam_from_compute fp aparam 0.7", before="compute fp all reduce ave x y\n",
                                  fparam=lambda frame: frame.get("x", "y").mean(axis=0)),
    "fparam_from_fix": taking("aparam 0.7 fparam_from_fix fp 2", before="variable a equal 0.3\nvariable b equal -0.2\n"
                              "fix fp all ave/time 1 1 1 v_b v_a v_b\n"),
    "fparam_from_fix, scalar": taking("aparam 0.7 fparam_from_fix fp", before="variable a equal 0.3\n"
                                      "fix fp all ave/time 1 1 1 v_a\n", fparam=[0.3, 0.3]),
    "aparam_from_compute": taking("fparam 0.3 -0.2 aparam_from_compute ap", ranks=(1, 3), before="compute ap all property/atom x\n",
                                  aparam=columns("x")),
    "ttm": taking("fparam 0.3 -0.2 ttm electrons", ranks=(1, 3), aparam=node_temperature, before="fix electrons all ttm 31 1.0 1.0 "
                  "0.0 1e-60 0.0 0.0 2 1 3 infile {nodes}\n"),
    "default fparam": Scenario("run 0\n", model=case("dpa3_fparam_default")),
    "charge_spin": Scenario("run 0\n", pair="pair_style dgnn {model} charge_spin 1.0 2.0\npair_coeff * * {elements}",
                            model=case("dpa3_charge_spin"), given=dict(charge_spin=[1.0, 2.0])),
    "DPA4C, charge_spin": Scenario("run 0\n", pair="pair_style dgnn {model} charge_spin 2.0 3.0\npair_coeff * * {elements}",
                                   model=case("dpa4c_charge_spin"), given=dict(charge_spin=[2.0, 3.0])),
    "default charge_spin": Scenario("run 0\n", model=case("dpa3_charge_spin_default")),
}
SPIN = dict(style="spin", given=dict(spins=spins_of))
for name in ("spin_dpa3", "spin_dpa2", "spin_se_e2_a", "dpa4c_spin"):
    SCENARIOS[name] = Scenario(NVE.format(300) + "run 3\n", (1, 2, 3), data="spins", model=case(name), **SPIN)
SCENARIOS |= {
    "spin, several magnetic types": Scenario("run 0\n", (2,), data="spins3", model=case("spin_three"), elements="spin_three",
                                             **SPIN),
    "spin, newton off": Scenario(NVE.format(300) + "run 3\n", (3,), data="spins", first="newton off\n", model=case("spin_dpa2"),
                                 **SPIN),
}
# Atoms that take no part, and ranks without any that does.
for kind, model, of, more in (("DPA3", MODEL, "", {}), ("DPA2", case("dpa2_base"), "", {}), ("spin", case("spin_dpa3"), "spins_", SPIN)):
    for atoms in (True, False):
        within = dict(model=model, atoms=atoms, elements="O H NULL", **more)
        suffix = "" if atoms else ", no virials of atoms"
        SCENARIOS |= {
            f"{kind}, NULL isolated{suffix}": Scenario(NVE.format(300) + "run 3\n", (3,), data=f"{of}null",
                                                       first="processors 1 1 *\n", **within),
            f"{kind}, NULL straddling, rebuilds{suffix}": Scenario(NVE.format(6000) + "run 8\n", (3,), data=f"{of}straddling", skin=0.2,
                                                                   counts="nbuild", **within),
            f"{kind}, a rank of NULL{suffix}": Scenario(NVE.format(300) + "run 3\n", data=f"{of}null_rank",
                                                        first="processors 1 1 2\n", **within),
            f"{kind}, an empty rank{suffix}": Scenario(NVE.format(300) + "run 3\n", (3,), data=f"{of}slab", first="processors 1 1 3\n",
                                                       **within | dict(elements="O H")),
        }
SCENARIOS["NULL, one rank"] = Scenario(NVE.format(300) + "run 3\n", (1,), data="null", elements="O H NULL")
SCENARIOS["NULL straddling, four ranks"] = Scenario(NVE.format(6000) + "run 15\n", (4,), data="straddling", elements="O H NULL",
                                                    skin=0.2, counts="nbuild")
ON_RANKS = [(name, ranks) for name, scenario in SCENARIOS.items() for ranks in scenario.ranks]


@functools.cache
def data_folder():
    """The systems, once."""
    folder = Path(tempfile.mkdtemp(prefix="dgnn-lammps-"))
    positions, types = system()
    write_data(folder / "bulk", positions, types)
    write_data(folder / "bulk3", positions, types, ntypes=3)
    write_data(folder / "bulk_si", positions, types, scale=1e-10)
    tall = np.diag([8.8, 8.8, 40.0])
    write_data(folder / "slab", positions, types, box=tall)
    write_data(folder / "cluster", positions, types, box=np.diag([8.8, 8.8, 6.6]))
    others = np.array([[x, y, z] for x in (2.0, 6.0) for y in (2.0, 6.0) for z in (9.0, 20.0)])
    with_null, kinds = np.vstack([positions, others]), np.append(types, np.full(len(others), 2))
    write_data(folder / "null", with_null, kinds, box=tall, ntypes=3)
    write_data(folder / "null_rank", np.vstack([positions, others + [0, 0, 14]]), kinds, box=tall, ntypes=3)
    write_data(folder / "straddling", positions, np.where(np.arange(36) % 5 == 0, 2, types), ntypes=3)
    away = positions[:, None] - positions[None]
    away -= np.round(away @ np.linalg.inv(BOX)) @ BOX
    near = np.argwhere(np.triu(np.linalg.norm(away, axis=-1) < 2.0, 1))
    write_data(folder / "ortho3", positions, types, box=np.diag([8.8, 8.8, 6.6]), ntypes=3)
    (folder / "nodes").write_text("# UNITS: metal\n" + "".join(f"{x + 1} {y + 1} {z + 1} {0.2 + 0.1 * x + 0.3 * z:.17g}\n"
                                                             for x in range(2) for y in range(1) for z in range(3)))
    spins = np.random.default_rng(5).normal(size=(len(kinds), 3))
    write_data(folder / "spins", positions, types, style="spin", spins=spins)
    write_data(folder / "spins3", positions, np.arange(36) % 3, ntypes=3, style="spin", spins=spins)
    write_data(folder / "spins_null", with_null, kinds, box=tall, ntypes=3, style="spin", spins=spins)
    write_data(folder / "spins_straddling", positions, np.where(np.arange(36) % 5 == 0, 2, types), ntypes=3, style="spin", spins=spins)
    write_data(folder / "spins_slab", positions, types, box=tall, style="spin", spins=spins)
    write_data(folder / "spins_null_rank", np.vstack([positions, others + [0, 0, 14]]), kinds, box=tall, ntypes=3, style="spin",
               spins=spins)
    write_data(folder / "bonds", positions, types, style="molecular", bonds=near)
    write_data(folder / "bonds_oxygen", positions, np.zeros(36, int), style="molecular", bonds=near)
    return folder


def file_of(name):
    return name.replace(" ", "_").replace(",", "").replace("/", "_")


def script_of(name, scenario):
    words = dict(model=scenario.model, elements=scenario.elements, name=file_of(name), skin=scenario.skin,
                 nodes=data_folder() / "nodes")
    if scenario.elements == "spin_three":
        words["elements"] = " ".join(dgnn.Model.load(scenario.model).type_map)
    spin = scenario.style == "spin"
    output = SPINS * spin + (ATOMS if scenario.atoms else FORCES)
    counts = "".join(f" $({count}:%.0f)" for count in scenario.counts.split())
    after = (AFTER + AFTER_ATOMS * scenario.atoms).format(name=words["name"], columns=COLUMNS * scenario.atoms + " c_mag[*]" * spin)
    step = {"metal": 0.0005, "real": 0.5, "si": 5e-16}[scenario.units]
    return (f"clear\nprint \"scenario {words['name']}\"\nunits {scenario.units}\natom_style {scenario.style}\n"
            f"boundary {scenario.boundary}\n{scenario.first}read_data {data_folder() / scenario.data}\nneighbor {scenario.skin} bin\n"
            f"neigh_modify every 1 delay 0 check yes\ntimestep {step}\n{scenario.pair.format(**words)}\n{output}"
            f"{scenario.body.format(**words, again=output)}print \"counts{counts}\" file {words['name']}.counts\n{after}")


def start(scenarios, ranks, lammps=LAMMPS, timeout=560):
    """One start of LAMMPS for all of them, {name: Scenario}: (the folder, what went wrong)."""
    folder = Path(tempfile.mkdtemp(prefix="dgnn-lammps-"))
    script = "".join(script_of(name, scenario) for name, scenario in scenarios.items())
    done = run(script, folder, ranks, check=False, timeout=timeout, lammps=lammps)
    return folder, "" if done.returncode == 0 else "\n".join(errors_of(done)) + (done.stdout + done.stderr)[-900:]


@functools.cache
def finished(ranks):
    return start({name: scenario for name, scenario in SCENARIOS.items() if ranks in scenario.ranks}, ranks)


def check(name, scenario, folder, figures, table="pair_style dgnn beside compute"):
    """Its last step beside Model.compute, and that it was what it is called."""
    file, given = file_of(name), dict(scenario.given)
    factor = given.pop("scale", 1.0)
    parts = scenario.parts or [(scenario.model, types_of(scenario.elements), given)]
    if factor != 1.0:
        frame = Frame(folder / f"{file}.dump")
        forces = factor * expected(frame, parts, Units("metal"))["forces"]
        assert relative(frame.get("fx", "fy", "fz"), forces) <= 1e-11
        return
    found = differences(folder, file, parts, scenario.units, scenario.atoms)
    if scenario.natoms is not None:
        assert len(Frame(folder / f"{file}.dump").columns["id"]) == scenario.natoms
    counts = np.array((folder / f"{file}.counts").read_text().split()[1:], float)
    assert len(counts) == len(scenario.counts.split()) and np.all(counts > 0), counts
    assert scenario.says in (folder / "log.in.test").read_text().split(f"\nscenario {file}\n")[1].split("\nscenario ")[0]
    for quantity, value in found.items():
        limit = 1e-5 if "dtype" in scenario.given else LIMITS.get(quantity, 1e-11)
        if quantity not in scenario.skip:
            figures.record(table, name, quantity, value, limit)
            assert value <= limit, (quantity, value)


@pytest.mark.xdist_group("ranks of LAMMPS")
@pytest.mark.parametrize("name, ranks", ON_RANKS, ids=[f"{name}-{ranks}ranks" for name, ranks in ON_RANKS])
def test_scenario(name, ranks, figures):
    folder, wrong = finished(ranks)
    assert (folder / f"{file_of(name)}.row").exists(), wrong
    check(name, SCENARIOS[name], folder, figures)
