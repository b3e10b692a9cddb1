"""Builds dgnn/_core, and dgnn/_mpi_mpich and dgnn/_mpi_openmpi where their mpi.h is found. The rest is in
pyproject.toml; how C is compiled is in tools/compile.py."""

import pathlib
import shlex
import shutil
import subprocess
import sys
import sysconfig

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tools"))
import compile as builder  # noqa: E402

MPI_SOURCES = sorted([*(ROOT / "csrc" / "mpi").glob("*.c"), *(ROOT / "csrc" / "bind" / "mpi").glob("*.c")])


def command_output(*command):
    if not shutil.which(command[0]):
        return None
    done = subprocess.run(command, capture_output=True, text=True)
    return shlex.split(done.stdout) if done.returncode == 0 else None


def mpich_flags():
    """MPICH of PyPI's wheel in this environment, else what mpicc.mpich says. None: not here."""
    header = pathlib.Path(sys.prefix) / "include" / "mpi.h"
    if header.is_file() and "MPICH_VERSION" in header.read_text(errors="replace"):
        return [f"-I{header.parent}"], [f"-L{pathlib.Path(sys.prefix) / 'lib'}", "-lmpi"]
    shown = command_output("mpicc.mpich", "-show")
    if shown:
        return ([flag for flag in shown if flag.startswith("-I")],
                [flag for flag in shown if flag.startswith(("-L", "-lmpi"))])
    return None


def openmpi_flags():
    """Open MPI by pkg-config, else what mpicc.openmpi says. None: not here."""
    compile_flags = command_output("pkg-config", "--cflags", "ompi-c")
    if compile_flags is not None:
        return compile_flags, command_output("pkg-config", "--libs", "ompi-c")
    compile_flags = command_output("mpicc.openmpi", "--showme:compile")
    if compile_flags is not None:
        return compile_flags, command_output("mpicc.openmpi", "--showme:link")
    return None


def mpi_extensions():
    found = []
    for name, flags in (("mpich", mpich_flags()), ("openmpi", openmpi_flags())):
        if flags is None:
            print(f"dgnn: no mpi.h of {name} found: dgnn._mpi_{name} is not built", file=sys.stderr)
            continue
        found.append(Extension(f"dgnn._mpi_{name}", [str(source.relative_to(ROOT)) for source in MPI_SOURCES],
                               extra_compile_args=[*flags[0], f"-DDGNN_MPI_NAME=_mpi_{name}"],
                               extra_link_args=flags[1]))
    return found


class BuildExtension(build_ext):
    """setuptools decides where the modules go; tools/compile.py makes them."""

    def build_extension(self, ext):
        try:
            self.build_with_objects(ext)
        except builder.BuildError as error:
            sys.exit(f"dgnn cannot be built: {error}")

    def build_with_objects(self, ext):
        target = pathlib.Path(self.get_ext_fullpath(ext.name)).resolve()
        tag = pathlib.Path(f"python-{sysconfig.get_config_var('SOABI')}")
        if ext.name == "dgnn._core":
            compile_flags, libraries = builder.library_flags()
            objects = builder.compile_objects(builder.core_sources(), "release", compile_flags)
            objects += builder.compile_objects(builder.bind_sources(), "release", builder.python_flags(),
                                               folder=ROOT / "build" / tag)
            builder.write_commands()
            flags = ["-shared", "-fopenmp", "-pthread", *libraries, "-lm"]
        else:
            sources = [ROOT / source for source in ext.sources]
            objects = builder.compile_objects(sources, "release", [*builder.python_flags(), *ext.extra_compile_args],
                                              folder=ROOT / "build" / tag / ext.name)
            flags = ["-shared", "-pthread", *ext.extra_link_args]
        builder.link(objects, target, flags)


setup(ext_modules=[Extension("dgnn._core", []), *mpi_extensions()], cmdclass={"build_ext": BuildExtension})
