"""How LAMMPS finds pair_style dgnn, what it refuses, and that an error on one rank ends all."""

import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys

import dgnn_lammps
import numpy as np
import pytest
import saved_files
from lammps_runs import AFTER, FORCES, LAMMPS, SPINS, Frame, case, differences, load, mpirun, relative, run, spins_of, system
from test_scenarios import data_folder

import dgnn
import dgnn.testing
from conftest import ROOT

SETUP = "units metal\natom_style {style}\n{first}read_data {data}\nneighbor 0.5 bin\ntimestep 0.0005\n"
PAIR = f"pair_style dgnn {case('dpa3_base')}\npair_coeff * * O H\n"


def setup(data="bulk", style="atomic", first=""):
    return SETUP.format(style=style, first=first, data=data_folder() / data)


# ---------------------------------------------------------------- how it is found


def test_which_runs(tmp_path, record_property):
    """LAMMPS's own words, for the end of the run; they are those of the MPI that starts it."""
    done = run("info communication\n", tmp_path, 2)
    version, library = (re.search(line, done.stdout, re.M).group(1) for line in (r"^LAMMPS \((.*)\)", r"^MPI version:\s*(.*)"))
    library = " ".join(library.split())
    assert "Nprocs = 2" in done.stdout and {"mpich": "MPICH", "openmpi": "Open MPI"}[LAMMPS.mpi] in library
    record_property("said", f"pair_style dgnn ran in LAMMPS {version} with {library}")


def test_lmp_finds_it(tmp_path):
    """As users type it: the wheel's lmp, no plugin command, no variable; on two ranks."""
    (tmp_path / "in").write_text(setup() + PAIR + FORCES + "run 1\n" + AFTER.format(name="x", columns=""))
    variables = os.environ | {"OMP_NUM_THREADS": "1"}
    variables.pop("LAMMPS_PLUGIN_PATH", None)
    lmp = pathlib.Path(sys.executable).parent / "lmp"
    done = subprocess.run([*mpirun(2), str(lmp), "-nocite", "-in", "in"], cwd=tmp_path, capture_output=True, text=True,
                          env=variables, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found = differences(tmp_path, "x", [(case("dpa3_base"), [0, 1], {})], atoms=False)
    assert max(found.values()) <= 1e-10


def test_python_finds_it(tmp_path):
    code = ("from mpi4py import MPI\nfrom lammps import lammps\nl = lammps(cmdargs=['-log', 'none', '-screen', 'none'])\n"
            "print([l.has_style('pair', name) for name in ('dgnn', 'deepmd', 'deepspin')])")
    for alias, found in (("", "[True, False, False]"), ("0", "[True, False, False]"), ("1", "[True, True, True]")):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                              env=os.environ | {"DGNN_LAMMPS_ALIAS": alias})
        assert done.stdout.strip().endswith(found), done.stdout + done.stderr


def test_scripts_of_deepmd_kit(tmp_path):
    """deepmd and deepspin are the same style, where the environment says so."""
    text = ""
    for name, style, data, model in (("a", "deepmd", "bulk", "dpa3_base"), ("b", "deepspin", "spins", "spin_dpa3")):
        text += "clear\n" + setup(data, "spin" if style == "deepspin" else "atomic")
        text += f"pair_style {style} {case(model)}\npair_coeff * * O H\nrun 0\nprint \"energy $(pe:%.17g)\"\n"
    done = run(text, tmp_path, 2, DGNN_LAMMPS_ALIAS="1")
    assert len(re.findall(r"^energy \S+", done.stdout, re.M)) == 2
    done = run(text, tmp_path, check=False)
    assert "Unrecognized pair style 'deepmd'" in done.stdout + done.stderr


def test_distribution():
    """It needs the first one at its version, and calls what dgnn.h and dgnn_mpi.h have, as any host."""
    needs = importlib.metadata.requires("dgnn-lammps")
    assert {f"dgnn-md=={dgnn.__version__}", f"lammps=={importlib.metadata.version('lammps')}", "mpich"} == set(needs)
    plugin = pathlib.Path(dgnn_lammps.get_plugin_dir()) / "dgnnplugin.so"
    shown = subprocess.run(["nm", "-D", "--undefined-only", plugin], capture_output=True, text=True, check=True).stdout
    called = set(re.findall(r" U (dgnn_\w+)", shown))
    headers = "".join(path.read_text() for path in (pathlib.Path(dgnn.__file__).parent / "include").glob("dgnn*.h"))
    assert len(called) > 10 and called <= set(re.findall(r"\bdgnn_\w+(?=\()", headers))


def test_another_version_is_refused(tmp_path):
    """Where the style is asked for, with both versions; LAMMPS itself starts. The class is left out: nothing of it may be called."""
    package, constructor = pathlib.Path(dgnn.__file__).parent, "_ZN4DGNN8PairDGNNC1EPN9LAMMPS_NS6LAMMPSE"
    flags = [f"-I{package / 'include'}", f"-I{LAMMPS.program.parent / 'include' / 'lammps'}", f"-I{pathlib.Path(sys.prefix) / 'include'}",
             "-DLAMMPS_SMALLBIG", "-DDGNN_LAMMPS_VERSION=20240829", f"-Wl,--defsym={constructor}=0"]
    subprocess.run(["g++", "-std=c++17", "-O0", "-w", "-fPIC", "-shared", "-fvisibility=hidden", *flags,
                    ROOT / "lammps" / "src" / "plugin.cpp", "-o", "dgnnplugin.so"], cwd=tmp_path, check=True, timeout=300)
    done = run(setup() + "print started\n" + PAIR, tmp_path, 2, check=False, LAMMPS_PLUGIN_PATH=str(tmp_path))
    said = done.stdout + done.stderr
    assert done.returncode and "started" in said
    assert "was built for LAMMPS 20240829 and this LAMMPS is 2025" in said


# ---------------------------------------------------------------- what is refused

REFUSED = {  # name: (pair style's words, pair_coeff's, what else, data, style, a part of the error)
    "no model": ("", "O H", "", "bulk", "atomic", "Illegal pair_style command|expected a model"),
    "keyword first": ("fparam 1", "O H", "", "bulk", "atomic", "found the keyword fparam first; expected a model"),
    "no file": ("none.pt2", "O H", "", "bulk", "atomic", "none.pt2: No such file or directory"),
    "no model file": ("in.test", "O H", "", "bulk", "atomic", "in.test"),
    "a directory": (".", "O H", "", "bulk", "atomic", "Is a directory"),
    "unknown element": ("{model}", "O Pt", "", "bulk", "atomic", "found Pt; the model knows O, H, and NULL"),
    "too many elements": ("{model}", "O H H", "", "bulk", "atomic", "found 3 elements; LAMMPS has 2 atom types"),
    "not all types": ("{model}", None, "pair_coeff 1 1 O", "bulk", "atomic", "must start with * *"),
    "unknown keyword": ("{model} out_freq 5 atomc", "O H", "", "bulk", "atomic", "out_freq: found 'atomc' after its value"),
    "no value": ("{model} out_freq", "O H", "", "bulk", "atomic", "out_freq: found nothing after it; expected 1 value"),
    "no number": ("{model} out_freq often", "O H", "", "bulk", "atomic", "often"),
    "negative": ("{model} out_freq -1", "O H", "", "bulk", "atomic", "expected 0 (none) or a number of steps"),
    "dtype": ("{model} dtype float16", "O H", "", "bulk", "atomic", "dtype: expected archive or float32 or float64, found float16"),
    "memory": ("{model} memory large", "O H", "", "bulk", "atomic", "memory: expected fast or small, found large"),
    "threads": ("{model} threads 0", "O H", "", "bulk", "atomic", "threads: expected at least 1"),
    "device": ("{model} device cuda", "O H", "", "bulk", "atomic", "cuda"),
    "deadline": ("{model} deadline 0", "O H", "", "bulk", "atomic", "deadline: expected seconds"),
    "head": ("{model} head Omat24", "O H", "", "bulk", "atomic", "Omat24"),
    "virtual_len": ("{model} virtual_len 0.4", "O H", "", "bulk", "atomic", "virtual_len: not taken"),
    "spin_norm": ("{model} spin_norm 1.2", "O H", "", "bulk", "atomic", "spin_norm: not taken"),
    "fparam": ("{model} fparam 1.0", "O H", "", "bulk", "atomic", "fparam: the model takes none"),
    "charge_spin": ("{model} charge_spin 1 1", "O H", "", "bulk", "atomic", "charge_spin: the model takes none"),
    "fparam missing": ("{parameters} aparam 1", "O H", "", "bulk", "atomic", "takes 2 numbers as fparam"),
    "fparam width": ("{parameters} aparam 1 fparam 1", "O H", "", "bulk", "atomic", "fparam: found 1 numbers; the model takes 2"),
    "aparam missing": ("{parameters} fparam 1 2", "O H", "", "bulk", "atomic", "takes 1 numbers of each atom as aparam"),
    "two of a kind": ("{parameters} fparam 1 2 fparam_from_fix x aparam 1", "O H", "", "bulk", "atomic", "found 2 of them"),
    "ttm and fparam": ("{frame} fparam 1 2 ttm x", "O H", "", "bulk", "atomic", "ttm (as fparam: the model has no aparam) and fparam: "
                       "found both"),
    "ttm and a compute": ("{frame} fparam_from_compute x ttm x", "O H", "", "bulk", "atomic", "and fparam_from_compute: found both"),
    "ttm and a fix": ("{frame} ttm x fparam_from_fix x", "O H", "", "bulk", "atomic", "and fparam_from_fix: found both"),
    "charge_spin alone": ("{model} charge_spin 1", "O H", "", "bulk", "atomic", "charge_spin: found 1 value; expected 2 values"),
    "dipole": ("{dipole}", "O H", "", "bulk", "atomic", "model.pt2: the model's output is dipole; expected energy"),
    "dipole among energies": ("{model} {dipole}", "O H", "", "bulk", "atomic", "the model's output is dipole; expected energy"),
    "polar": ("{polar}", "O H", "", "bulk", "atomic", "the model's output is polar; expected energy"),
    "dos": ("{dos}", "O H", "", "bulk", "atomic", "the model's output is dos; expected energy"),
    "property": ("{property}", "O H", "", "bulk", "atomic", "the model's output is property; expected energy"),
    "scale of a pair": ("{model}", "O H", "variable half equal 0.5\nfix tune all adapt 1 pair dgnn scale 1 2 v_half", "bulk", "atomic",
                        "scale (fix adapt): found 0.5 for types 1 2"),
    "aparam twice": ("{parameters} fparam 1 2 aparam 1 ttm x", "O H", "", "bulk", "atomic", "aparam_from_compute and ttm: found 2"),
    "no compute": ("{parameters} fparam_from_compute x aparam 1", "O H", "", "bulk", "atomic", "there is no compute x"),
    "no fix": ("{parameters} fparam_from_fix x aparam 1", "O H", "", "bulk", "atomic", "there is no fix x"),
    "a scalar": ("{parameters} fparam_from_compute x aparam 1", "O H", "compute x all ke", "bulk", "atomic",
                 "compute x has no vector of 2 numbers"),
    "not of atoms": ("{parameters} fparam 1 2 aparam_from_compute thermo_temp", "O H", "", "bulk", "atomic", "has no number of each"),
    "no ttm": ("{parameters} fparam 1 2 ttm move", "O H", "fix move all nve", "bulk", "atomic", "is of style nve; expected ttm"),
    "spins missing": ("{spin}", "O H", "", "bulk", "atomic", "the model has spins; use atom_style spin"),
    "spins too many": ("{model}", "O H", "", "spins", "spin", "the atoms have spins, of which the model knows nothing"),
    "two kinds": ("{model} {spin}", "O H", "", "bulk", "atomic", "model 1 and the first are not both"),
    "include": ("{model}", "O H", "atom_modify first all\ngroup o type 1\natom_modify first o\nneigh_modify include o", "bulk",
                "atomic", "neigh_modify include"),
    "exclude and bonds": ("{model}", "O H", "bond_style zero\nbond_coeff *\nneigh_modify exclude type 1 2", "bonds", "molecular",
                          "special_bonds lj/coul 1 1 1"),
    "pth": ("model.pb", "O H", "", "bulk", "atomic", "model.pb"),
}
ON_TWO = ("no file", "no model file", "unknown element", "no fix", "no ttm", "include", "exclude and bonds", "two kinds",
          "dipole", "dipole among energies", "scale of a pair")
PATHS = dict(frame=case("dpa3_fparam_default"), dipole=case("dipole_se_e2_a"), polar=case("polar_se_e2_a"), dos=case("dos_se_e2_a"),
             property=case("property_dpa1"), model=case("dpa3_base"), parameters=case("dpa3_fparam_aparam"), spin=case("spin_dpa3"))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path):
    """By name, with what was expected; on two ranks all end at once."""
    words, elements, more, data, style, expected = REFUSED[name]
    (tmp_path / "model.pb").write_bytes(b"\x0a\x05graph")
    coeff = "" if elements is None else f"pair_coeff * * {elements}\n"
    text = setup(data, style) + f"pair_style dgnn {words.format(**PATHS)}\n{coeff}{more}\nrun 0\n"
    done = run(text, tmp_path, 2 if name in ON_TWO else 1, check=False, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode and any(part in said for part in expected.split("|")), said[-1500:]


UNITS = {"lj": ("bulk", "atomic", "dpa3_base", "units lj have no eV and Angstrom"),
         "real": ("spins", "spin", "spin_dpa3", "LAMMPS has spins in units metal only; found units real")}


@pytest.mark.parametrize("units", UNITS)
def test_units(units, tmp_path):
    data, style, model, expected = UNITS[units]
    text = setup(data, style).replace("metal", units) + f"pair_style dgnn {case(model)}\n"
    done = run(text, tmp_path, 2, check=False, timeout=60)
    assert done.returncode and expected in done.stdout + done.stderr


def test_notices_are_said_once(tmp_path):
    """Of whatever rank, by rank 0: LAMMPS prints no other's warnings."""
    text = setup(first="processors 1 1 2\n") + f"pair_style dgnn {case('dpa3_small_sel')}\npair_coeff * * O H\nrun 0\nrun 2\n"
    done = run(text, tmp_path, 2)
    assert done.stdout.count("more neighbours than the model's sel") == 1


# ---------------------------------------------------------------- exclusions, heads, partitions


def test_exclusions_are_honoured(tmp_path):
    """Two groups that do not see each other are two systems."""
    groups = "group low id 1:15\ngroup high subtract all low\nneigh_modify exclude group low high\n"
    text = setup() + PAIR + groups + FORCES + "velocity all create 300 1\nfix move all nve\nrun 4\n"
    run(text + AFTER.format(name="x", columns=""), tmp_path, 3)
    frame, energy, forces = Frame(tmp_path / "x.dump"), 0.0, []
    for part in (slice(0, 15), slice(15, None)):
        answer = load(case("dpa3_base")).compute(frame.get("x", "y", "z")[part] - frame.low,
                                                 frame.columns["type"].astype(int)[part] - 1, frame.box, pbc=True)
        energy += answer.energy
        forces.append(answer.forces)
    assert abs(float((tmp_path / "x.row").read_text().split()[0]) - energy) <= 1e-10 * abs(energy)
    assert relative(frame.get("fx", "fy", "fz"), np.concatenate(forces)) <= 1e-11


@pytest.mark.filterwarnings("ignore::dgnn.UntrainedElementWarning")
def test_head(tmp_path):
    path = saved_files.format_file("pt_heads", "model.pt", tmp_path)
    text = setup() + f"pair_style dgnn {path} head Omat24\npair_coeff * * O H\n" + FORCES + "run 0\n"
    run(text + AFTER.format(name="x", columns=""), tmp_path, 2)
    found = differences(tmp_path, "x", [(path, [0, 1], dict(head="Omat24"))], atoms=False)
    assert max(found.values()) <= 1e-5 and found["energy"] <= 1e-5


LAST = "write_dump all custom last.${part} id type x y z fx fy fz modify sort id format float %.17g\n"


def check_frame(path):
    frame = Frame(path)
    answer = load(case("dpa3_base")).compute(frame.get("x", "y", "z") - frame.low, frame.columns["type"].astype(int) - 1,
                                             frame.box, pbc=True)
    assert relative(frame.get("fx", "fy", "fz"), answer.forces) <= 1e-11


@pytest.mark.parametrize("how", ["partitions", "temper"])
def test_replicas(how, tmp_path):
    """Two simulations of two ranks and of one; temperatures that are exchanged."""
    text = "variable part world a b\nvariable heat world 300 400\n" + setup() + PAIR
    text += "velocity all create ${heat} 7 loop geom\nfix move all nvt temp ${heat} ${heat} 0.05\nthermo 2\n"
    text += "run 6\n" if how == "partitions" else "temper 6 3 ${heat} move 3847 58382\n"
    run(text + LAST, tmp_path, 3 if how == "partitions" else 2, ["-partition", *(["2", "1"] if how == "partitions" else ["2x1"])])
    check_frame(tmp_path / "last.a")
    check_frame(tmp_path / "last.b")


def test_neb(tmp_path):
    """Replicas that move one another: the forces of the last step are the model's and the springs', so energies are looked at."""
    positions, types = system()
    moved = positions + np.where(np.arange(36) == 4, 0.3, 0.0)[:, None]
    low = [0.5, -1.0, 2.0]
    (tmp_path / "final").write_text("1\n5 " + " ".join(f"{value:.17g}" for value in moved[4] + low) + "\n")
    text = "variable part uloop 2\nvariable part2 world a b\natom_modify map array\n" + setup() + PAIR
    text = text.replace("units metal\natom_style atomic\n", "").replace("variable part uloop", "units metal\natom_style atomic\n"
                                                                        "variable part uloop")
    text += "fix springs all neb 1.0\nmin_style quickmin\nneb 0.0 0.0 4 2 2 final final\n"
    text += 'print "$(pe:%.17g)" file energy.${part2}\n' + LAST.replace("part", "part2")
    run(text, tmp_path, 2, ["-partition", "2x1"])
    for part in "ab":
        frame = Frame(tmp_path / f"last.{part}")
        answer = load(case("dpa3_base")).compute(frame.get("x", "y", "z") - frame.low, frame.columns["type"].astype(int) - 1,
                                                 frame.box, pbc=True)
        assert abs(float((tmp_path / f"energy.{part}").read_text()) - answer.energy) <= 1e-9


# ---------------------------------------------------------------- one rank alone


def broken(comm, folder, kind, turns):
    """On each rank: [message of each turn]; one rank breaks in each."""
    import ctypes
    import shutil
    import tempfile

    from lammps import lammps

    library = ctypes.CDLL(str(next(pathlib.Path(dgnn.__file__).parent.glob("libdgnn.so.*"))))
    library.dgnn_alloc_fail_at.argtypes = [ctypes.c_int64, ctypes.c_int]
    os.chdir(tempfile.mkdtemp())  # each rank has a file of its own there
    given = "aparam_from_compute given" if kind == "bad input" else ""
    before = "fix given all property/atom d_given\ncompute given all property/atom d_given\n" if given else ""
    model, said = case("dpa3_fparam_aparam" if given else "dpa3_base"), []
    for turn in range(turns):
        lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
        lmp.commands_string(SETUP.format(style="atomic", first="", data=pathlib.Path(folder) / "bulk") + before)
        mine = comm.rank == turn % comm.size
        pathlib.Path("model.pt2").unlink(missing_ok=True)
        if not (kind == "missing file" and mine):
            shutil.copy(model, "model.pt2")
        if kind == "bad file" and mine:
            os.truncate("model.pt2", 1000 * turn % model.stat().st_size)
        try:
            if kind == "no memory to load" and mine:
                library.dgnn_alloc_fail_at(40 + turn, 1)
            lmp.command(f"pair_style dgnn model.pt2 {given and 'fparam 1 2'} {given}")
            lmp.command("pair_coeff * * O H")
            lmp.command("run 0")
            if kind == "no memory" and mine:
                library.dgnn_alloc_fail_at(3 + turn % 5, 1)
            if kind == "nan" and mine:
                lmp.numpy.extract_atom("x")[0] = np.nan
            if kind == "bad input" and mine:
                lmp.numpy.extract_atom("d_given", dtype=lammps_double())[0] = np.inf
            lmp.command("run 1" if kind == "no memory" else "run 1 pre no")
            said.append("")
        except Exception as error:
            said.append(str(error))
        library.dgnn_alloc_fail_at(0, 0)
        lmp.close()
    return said


def lammps_double():
    from lammps import LAMMPS_DOUBLE

    return LAMMPS_DOUBLE


# What breaks on one rank, and a part of what all then say. Rank 0 alone reads models: another's file does not count.
BREAKS = {"no memory to load": "memory", "no memory": "memory", "nan": "nan", "bad input": "aparam",
          "missing file": "model.pt2: no such file", "bad file": "model.pt2"}


@pytest.mark.parametrize("kind", BREAKS)
@pytest.mark.parametrize("turns", [5, pytest.param(100, marks=pytest.mark.long)])
def test_one_rank_breaks(kind, turns):
    """All ranks end with its message, and the next LAMMPS goes well; nothing hangs."""
    run_of = dgnn.testing.run_mpi(broken, 3, str(data_folder()), kind, turns, timeout=600 if turns > 5 else 120,
                                  environment={"OMP_NUM_THREADS": "1"})
    for turn in range(turns):
        messages = [said[turn] for said in run_of.values]
        assert len(set(messages)) == 1, messages
        if "file" in kind and turn % 3:
            assert not messages[0], messages
        else:
            assert BREAKS[kind] in messages[0].lower(), messages
            assert kind in ("nan", "bad file") or f"rank {turn % 3}" in messages[0], messages


def caught(lmp, *lines):
    """What LAMMPS says of the first line that it refuses."""
    for line in lines:
        try:
            lmp.command(line)
        except Exception as error:
            return str(error)
    return ""


def after_errors(comm, folder, out):
    """[what is said of each line] after a pair_style and a pair_coeff that fail, and of a run that goes on with new models."""
    from lammps import lammps

    said = []
    for turn, bad in enumerate(("none.pt2", f"{case('dpa3_base')} {case('dipole_se_e2_a')}", f"{case('se_e2_a')} dtype float16",
                                f"{case('se_e2_a')} fparam 1", f"{case('se_e2_a')} {case('dpa1_attn2')} out_file nowhere/out")):
        lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
        lmp.commands_string(SETUP.format(style="atomic", first="", data=pathlib.Path(folder) / "bulk") + PAIR + FORCES + "run 0\n")
        words = [caught(lmp, line) for line in (f"pair_style dgnn {bad}", "pair_coeff * * H Pt", "run 1 pre no")]
        lmp.commands_string("run 0\n" + AFTER.format(name=f"{out}{turn}", columns=""))
        words.append(caught(lmp, *PAIR.splitlines(), "run 1 pre no"))
        said.append(words)
        lmp.close()
    return said


def test_an_error_leaves_the_models(tmp_path):
    """One that Python catches: what was there before is whole, and the run may go on."""
    runs = dgnn.testing.run_mpi(after_errors, 2, str(data_folder()), str(tmp_path / "x"), timeout=60,
                                environment={"OMP_NUM_THREADS": "1"})
    assert runs.values[0] == runs.values[1]
    for turn, (style, coeff, goes_on, new) in enumerate(runs.values[0]):
        assert style and "found Pt" in coeff and not goes_on and "run without pre no" in new
        found = differences(tmp_path, f"x{turn}", [(case("dpa3_base"), [0, 1], {})], atoms=False)
        assert max(found.values()) <= 1e-10


def after_a_failed_vote(comm, folder, out):
    """A step that makes lists anew and sorts atoms fails before dgnn sees them; the next goes on without new ones."""
    from lammps import LAMMPS_DOUBLE_2D, lammps

    lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    text = SETUP.format(style="spin", first="", data=pathlib.Path(folder) / "spins").replace("neighbor 0.5", "neighbor 1.5")
    text += "atom_modify sort 1 2.0\nneigh_modify every 10 delay 0 check no\n"
    text += f"pair_style dgnn {case('spin_dpa3')}\npair_coeff * * O H\n" + SPINS + FORCES
    lmp.commands_string(text + "velocity all create 3000 4711 loop geom\nfix move all nve\nrun 9\n")
    spins = lmp.extract_atom("sp", LAMMPS_DOUBLE_2D)  # a direction and a length
    spins[0][3] += 64 * (comm.rank == 0)
    said = caught(lmp, "run 1 pre no")
    spins = lmp.extract_atom("sp", LAMMPS_DOUBLE_2D)
    for atom in range(lmp.extract_setting("nlocal")):
        spins[atom][3] -= 64 * (spins[atom][3] > 60)
    lmp.commands_string("run 1 pre no\n" + AFTER.format(name=out, columns=" c_mag[*]"))
    lmp.close()
    return said


@pytest.mark.parametrize("ranks", [1, 2])
def test_after_a_failed_vote(ranks, tmp_path):
    said = dgnn.testing.run_mpi(after_a_failed_vote, ranks, str(data_folder()), str(tmp_path / "x"), timeout=60,
                                environment={"OMP_NUM_THREADS": "1"}).values
    assert all("spins are longer than at the start of the run" in words for words in said)
    found = differences(tmp_path, "x", [(case("spin_dpa3"), [0, 1], dict(spins=spins_of))], atoms=False)
    assert max(found.values()) <= 1e-10


def test_pages():
    """The page has all keywords of the plugin."""
    known = set(re.findall(r'^\s+\{"(\w+)", \d', (ROOT / "lammps" / "src" / "options.cpp").read_text(), re.M))
    assert len(known) == 20 and known <= set(re.findall(r"`(\w+)", (ROOT / "docs" / "lammps.md").read_text()))
