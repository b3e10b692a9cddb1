"""Builds libdgnn, dgnn/_core on top of it, and libdgnn_mpi_mpich and libdgnn_mpi_openmpi with their modules where their
mpi.h is found. The rest is in pyproject.toml; how C is compiled is in tools/compile.py."""

import filecmp
import os
import pathlib
import shutil
import sys
import sysconfig

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tools"))
import compile as builder  # noqa: E402

BIND = ROOT / "csrc" / "bind"
TAG = f"python-{sysconfig.get_config_var('SOABI')}"
LIMITED = not sysconfig.get_config_var("Py_GIL_DISABLED")  # csrc/bind/state.h: one module for every CPython with a global lock
PKG_CONFIG = """prefix=${{pcfiledir}}/..

Name: dgnn
Description: deepmd-kit's message-passing potentials on one rank or many (of a Python package)
Version: {version}
Libs: -L${{prefix}} -l:{library} -Wl,-rpath,${{prefix}}
Cflags: -I${{prefix}}/include
"""


def mpi_extensions():
    for name, flags in builder.mpi_flags().items():
        if flags is None:
            print(f"dgnn: no mpi.h of {name} found: dgnn._mpi_{name} is not built", file=sys.stderr)
        else:
            yield Extension(f"dgnn._mpi_{name}", [], extra_compile_args=flags[0], extra_link_args=flags[1],
                            py_limited_api=LIMITED)


class BuildExtension(build_ext):
    """setuptools decides where the modules go; tools/compile.py makes them. The libraries and headers that hosts in C take
    lie beside them: the package has one copy of the core, which its module and every host in the process share."""

    def build_extension(self, ext):
        try:
            self.build_with_objects(ext)
        except builder.BuildError as error:
            sys.exit(f"dgnn cannot be built: {error}")

    def build_with_objects(self, ext):
        target = pathlib.Path(self.get_ext_fullpath(ext.name)).resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = ["-shared", "-pthread", "-Wl,-rpath,$ORIGIN"]
        if ext.name == "dgnn._core":
            library = builder.link_library(target.parent)
            self.copy_for_hosts(target.parent)
            if os.environ.get("DGNN_KERNELS"):  # the device kernels, as tools/kernels.py makes them: for wheels
                shutil.copyfile(os.environ["DGNN_KERNELS"], target.parent / "dgnn_kernels.bin")
            objects = builder.compile_objects(builder.bind_sources(), "release", builder.python_flags(),
                                              folder=builder.BUILD / TAG)
            builder.write_commands()
            builder.link(objects, target, [*beside, str(library), "-lm"])
        else:
            name = ext.name.removeprefix("dgnn._mpi_")
            flags = (ext.extra_compile_args, ext.extra_link_args)
            library = builder.link_mpi_library(target.parent, name, flags)
            own = [*builder.python_flags(), *flags[0], f"-DDGNN_MPI_NAME=_mpi_{name}"]
            objects = builder.compile_objects([BIND / "mpi" / "_mpi.c"], "release", own,
                                              folder=builder.BUILD / TAG / ext.name)
            builder.link(objects, target, [*beside, str(library), *flags[1]])

    def copy_extensions_to_source(self):
        """For a build in place: setuptools knows of the modules, not of what lies beside them. Modules for one Python alone,
        as older checkouts built them, would be preferred to these."""
        super().copy_extensions_to_source()
        built, package = pathlib.Path(self.build_lib) / "dgnn", ROOT / "dgnn"
        for library in built.glob("lib*.so.*"):
            if not (package / library.name).exists() or not filecmp.cmp(library, package / library.name):
                self.copy_file(str(library), str(package / library.name))
        self.copy_for_hosts(package)
        for stale in package.glob("_*.cpython-*.so") if LIMITED else ():
            stale.unlink()

    def copy_for_hosts(self, package):
        """Headers, and what pkg-config reads, wherever the package is put."""
        for name in ("include", "pkgconfig"):
            (package / name).mkdir(exist_ok=True)
        for header in (ROOT / "csrc" / "include").glob("*.h"):
            shutil.copyfile(header, package / "include" / header.name)
        (package / "pkgconfig" / "dgnn.pc").write_text(PKG_CONFIG.format(version=builder.version(), library=builder.soname()))


setup(version=builder.version(), ext_modules=[Extension("dgnn._core", [], py_limited_api=LIMITED), *mpi_extensions()],
      options={"bdist_wheel": {"py_limited_api": "cp310"}} if LIMITED else {}, cmdclass={"build_ext": BuildExtension})
