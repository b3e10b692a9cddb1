"""Installs the C library: libdgnn, its headers, pkg-config files and a CMake package, under a prefix.

    python tools/install.py PREFIX [--destdir FOLDER]

libdgnn_mpi is installed for the MPI whose mpicc is named by MPICC (mpicc where it is not set), if there is one."""

import argparse
import os
import pathlib
import shlex
import shutil
import subprocess

import compile as builder

PKG_CONFIG = """prefix={prefix}
libdir=${{prefix}}/lib
includedir=${{prefix}}/include

Name: {name}
Description: {description}
Version: {version}
Requires: {requires}
Libs: -L${{libdir}} -l{name}
Libs.private: {private}
Cflags: -I${{includedir}}
"""
CONFIG = """# dgnn::dgnn is the shared library, dgnn::static the archive, dgnn::mpi what takes an MPI communicator where it was built.
get_filename_component(_dgnn_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT TARGET dgnn::dgnn)
  add_library(dgnn::dgnn SHARED IMPORTED)
  set_target_properties(dgnn::dgnn PROPERTIES
    IMPORTED_LOCATION "${_dgnn_prefix}/lib/libdgnn.so"
    INTERFACE_INCLUDE_DIRECTORIES "${_dgnn_prefix}/include")
  add_library(dgnn::static STATIC IMPORTED)
  set_target_properties(dgnn::static PROPERTIES
    IMPORTED_LOCATION "${_dgnn_prefix}/lib/libdgnn.a"
    INTERFACE_INCLUDE_DIRECTORIES "${_dgnn_prefix}/include"
    INTERFACE_LINK_LIBRARIES "@private@")
  if(EXISTS "${_dgnn_prefix}/lib/libdgnn_mpi.so")
    find_package(MPI REQUIRED COMPONENTS C)
    add_library(dgnn::mpi SHARED IMPORTED)
    set_target_properties(dgnn::mpi PROPERTIES
      IMPORTED_LOCATION "${_dgnn_prefix}/lib/libdgnn_mpi.so"
      INTERFACE_LINK_LIBRARIES "dgnn::dgnn;MPI::MPI_C")
  endif()
endif()
"""
CONFIG_VERSION = """set(PACKAGE_VERSION "@version@")
if(PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION OR NOT PACKAGE_FIND_VERSION_MAJOR EQUAL @major@)
  set(PACKAGE_VERSION_COMPATIBLE FALSE)
else()
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
  if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
  endif()
endif()
"""


def mpicc_flags():
    """(compile flags, link flags) of the compiler wrapper, or None."""
    command = shlex.split(os.environ.get("MPICC", "mpicc"))
    if not shutil.which(command[0]):
        return None
    for compile_flag, link_flag in (("--showme:compile", "--showme:link"), ("-compile-info", "-link-info")):
        shown = [subprocess.run([*command, flag], capture_output=True, text=True) for flag in (compile_flag, link_flag)]
        if all(done.returncode == 0 for done in shown):
            words = [shlex.split(done.stdout) for done in shown]
            return ([word for word in words[0] if word.startswith(("-I", "-D"))],
                    [word for word in words[1] if word.startswith(("-L", "-l", "-Wl,"))])
    return None


class Tree:
    """Writes below destdir + prefix."""

    def __init__(self, prefix, destdir):
        self.prefix = pathlib.Path(prefix).resolve() if not destdir else pathlib.Path(prefix)
        self.root = pathlib.Path(destdir + str(self.prefix)) if destdir else self.prefix

    def folder(self, name):
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, name, text):
        self.folder(pathlib.PurePosixPath(name).parent)
        (self.root / name).write_text(text)

    def library(self, name, make):
        """A shared library under its full version, and the two names that loaders and linkers look for."""
        folder, version = self.folder("lib"), builder.version()
        made = make(folder)
        full = folder / f"lib{name}.so.{version}"
        made.replace(full)
        for link in (builder.soname(name), f"lib{name}.so"):
            (folder / link).unlink(missing_ok=True)
            (folder / link).symlink_to(full.name)


def install(prefix, destdir=""):
    tree, version = Tree(prefix, destdir), builder.version()
    compile_flags, libraries = builder.library_flags()
    private = [*libraries, "-pthread", "-lm"]
    tree.library("dgnn", lambda folder: builder.link_library(folder, "libdgnn.building"))
    archive = tree.folder("lib") / "libdgnn.a"
    archive.unlink(missing_ok=True)
    objects = builder.compile_objects(builder.core_sources(), "release", compile_flags)
    subprocess.run(["ar", "rcs", archive, *objects], check=True)
    headers = ["dgnn.h"]
    values = {"prefix": tree.prefix, "version": version}
    tree.write("lib/pkgconfig/dgnn.pc", PKG_CONFIG.format(
        name="dgnn", description="deepmd-kit's message-passing potentials on one rank or many", requires="",
        private=shlex.join(private), **values))
    flags = mpicc_flags()
    if flags:
        headers.append("dgnn_mpi.h")
        tree.library("dgnn_mpi", lambda folder: builder.link_mpi_library(folder, "", flags, "libdgnn_mpi.building"))
        tree.write("lib/pkgconfig/dgnn_mpi.pc", PKG_CONFIG.format(
            name="dgnn_mpi", description="dgnn over the MPI that it was installed for", requires="dgnn",
            private=shlex.join(flags[1]), **values))
    for header in headers:
        shutil.copyfile(builder.CSRC / "include" / header, tree.folder("include") / header)
    tree.write("lib/cmake/dgnn/dgnnConfig.cmake", CONFIG.replace("@private@", ";".join(private)))
    tree.write("lib/cmake/dgnn/dgnnConfigVersion.cmake",
               CONFIG_VERSION.replace("@version@", version).replace("@major@", version.split(".")[0]))
    print(f"dgnn {version} is installed under {tree.prefix}" + ("" if flags else "; no mpicc was found, so without libdgnn_mpi"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("prefix")
    parser.add_argument("--destdir", default=os.environ.get("DESTDIR", ""), help="put in front of every path, for packagers")
    arguments = parser.parse_args()
    try:
        install(arguments.prefix, arguments.destdir)
    except builder.BuildError as error:
        raise SystemExit(f"install.py: {error}") from None


if __name__ == "__main__":
    main()
