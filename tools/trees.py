"""Debian in a folder, where a wheel is tried: a bare one of this machine without a compiler, one of aarch64 under qemu-user, and
later ones for their Pythons.

    python tools/trees.py bare WHEEL CHECKOUT     pip install WHEEL, dgnn check, README's Python and command-line blocks; as root
    python tools/trees.py aarch64 WHEEL           import and dgnn check under the emulator
    python tools/trees.py later VERSION WHEEL     dgnn check by the Python VERSION (3.14) of a later Debian; as root
    python tools/trees.py free VERSION SDIST      builds Debian's sources of that Python without its lock, and dgnn for it

Needs Debian's debootstrap, and for aarch64 qemu-user. The folders stay in build/wheels, and are used again.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

from wheels import FOLDER, WheelError, apt_options, run, tools

SUITE = "bookworm"
PYTHON = "3.11"
LATER = {"3.14": "forky"}  # Pythons that Debian 12 does not have: the suite that has each
DOCUMENTS = ("pytest<9.2", "pytest-xdist", "ase", "h5py", "PyYAML", "matplotlib", "tqdm", "mpi4py", "mpich")  # what README's blocks use beside dgnn


def mirror():
    """Where this system's packages come from."""
    for path in (pathlib.Path("/etc/apt/sources.list.d/debian.sources"), pathlib.Path("/etc/apt/sources.list")):
        found = re.search(r"(?m)^(?:URIs: *|deb (?:\[.*?\] )?)(\S+)", path.read_text()) if path.exists() else None
        if found:
            return found[1]
    raise WheelError("no list of Debian's packages was found")


def need(*programs):
    for program, package in programs:
        if not shutil.which(program):
            raise WheelError(f"{program} was not found; on Debian: apt-get install {package}")


def bare_tree():
    """Debian's smallest, with Python and pip, and no compiler."""
    tree = FOLDER / "bare"
    if not (tree / "made").exists():
        need(("debootstrap", "debootstrap"))
        shutil.rmtree(tree, ignore_errors=True)
        run(["debootstrap", "--variant=minbase", "--include=python3,python3-venv,python3-pip", SUITE, tree, mirror()])
        (tree / "made").write_text(SUITE)
    for compiler in ("gcc", "cc", "clang"):
        if (tree / "usr" / "bin" / compiler).exists():
            raise WheelError(f"{tree} has a compiler: {compiler}")
    return tree


def inside(tree, command, folder="/"):
    """Runs there with nothing of this environment."""
    variables = {"PATH": "/usr/bin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "2"}
    script = 'mount -t proc proc "$1/proc" && mount --bind /dev "$1/dev" && exec chroot "$1" /bin/sh -c "$2"'  # they are there until the command ends
    unshare, path = shutil.which("unshare"), "/usr/sbin:/usr/bin:/sbin:/bin"
    done = subprocess.run([unshare, "--mount", "/bin/sh", "-c", f"PATH={path}; {script}", "sh", str(tree), f"PATH=/usr/bin:/bin; cd {folder} && {command}"],
                          capture_output=True, text=True, env=variables)
    if done.returncode:
        raise WheelError(f"in a bare Debian: {command}\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout.strip()


def bare(wheel, checkout):
    """pip install WHEEL, dgnn check, and README's blocks; pip's packages are fetched here, for there is no network there."""
    tree, fetched = bare_tree(), FOLDER / "fetched"
    fetched.mkdir(exist_ok=True)
    run([tools(), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--python-version", PYTHON,
         "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_17_x86_64", "--platform", "manylinux2014_x86_64",
         "-d", fetched, "numpy", *DOCUMENTS])
    shutil.rmtree(tree / "trial", ignore_errors=True)
    shutil.copytree(fetched, tree / "trial" / "wheels")
    shutil.copy(wheel, tree / "trial" / "wheels")
    shutil.copytree(checkout, tree / "trial" / "source", ignore=shutil.ignore_patterns("dgnn", ".git", "build", ".venv", "dist"))
    inside(tree, "rm -rf /trial/venv && python3 -m venv /trial/venv")
    inside(tree, f"/trial/venv/bin/pip install --no-index --find-links wheels ./wheels/{wheel.name}", "/trial")
    told = inside(tree, "/trial/venv/bin/python -m dgnn check").splitlines()[-1]
    named = " ".join(f"'{name}'" for name in DOCUMENTS)
    inside(tree, f"/trial/venv/bin/pip install --no-index --find-links wheels {named}", "/trial")
    pages = inside(tree, "/trial/venv/bin/python -m pytest -q -p no:cacheprovider tests/pages/test_fragments.py -k 'five_minutes or README'", "/trial/source")
    return f"dgnn check: {told}; README and First steps: {pages.splitlines()[-1]}"


def unpacked_tree(name, suite, architecture, python):
    """Debian's files, unpacked and never set up: nothing of them runs but Python."""
    tree = FOLDER / name
    if not (tree / "made").exists():
        need(("debootstrap", "debootstrap"))
        shutil.rmtree(tree, ignore_errors=True)
        script = [] if suite == SUITE else ["/usr/share/debootstrap/scripts/sid"]  # this debootstrap may not know a later suite
        run(["debootstrap", "--foreign", f"--arch={architecture}", "--variant=minbase", f"--include=python{python},libstdc++6", suite,
             tree, mirror(), *script])
        for package in sorted((tree / "var" / "cache" / "apt" / "archives").glob("*.deb")):
            run(["dpkg-deb", "-x", package, tree])
        (tree / "made").write_text(suite)
    return tree


def packages_for(python, machine, wheel, folder):
    """Puts wheel and numpy, for another Python than this one, into folder."""
    shutil.rmtree(folder, ignore_errors=True)
    platforms = [word for system in ("manylinux_2_28", "manylinux_2_17", "manylinux2014") for word in ("--platform", f"{system}_{machine}")]
    run([tools(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", folder, "--only-binary=:all:",
         "--python-version", python, "--implementation", "cp", "--abi", f"cp{python.replace('.', '')}", "--abi", "abi3", "--abi", "none",
         *platforms, "numpy", wheel])


def later(version, wheel):
    """By the Python of a later Debian: the last line of dgnn check."""
    tree = unpacked_tree(f"python-{version}-tree", LATER[version], "amd64", version)
    packages_for(version, "x86_64", wheel, tree / "packages")
    return inside(tree, f"PYTHONPATH=/packages /usr/bin/python{version} -m dgnn check").splitlines()[-1]


def free_python(version):
    """The Python of a later Debian's sources, built without its global lock: its command. Takes some minutes, and Debian's
    libssl-dev, libffi-dev and zlib1g-dev."""
    folder = FOLDER / f"python-{version}t"
    python = folder / "installed" / "bin" / f"python{version}t"
    if not python.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        options = apt_options(LATER[version])
        run(["apt-get", *options, "update"])
        run(["apt-get", *options, "source", "--download-only", f"python{version}"], cwd=folder)
        run(["dpkg-source", "--no-check", "-x", next(folder.glob("*.dsc")), folder / "source"])
        run(["./configure", "--quiet", "--disable-gil", f"--prefix={folder / 'installed'}"], cwd=folder / "source")
        run(["make", "-s", f"-j{os.cpu_count()}"], cwd=folder / "source")
        run(["make", "-s", "altinstall"], cwd=folder / "source")
    return python


def free(version, sdist):
    """dgnn built there from its sdist, as wheels of the limited API are not for it: what it says of its lock, and dgnn check."""
    python, there = free_python(version), FOLDER / f"python-{version}t" / "venv"
    run([python, "-m", "venv", "--clear", there])
    run([there / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", sdist])
    asked = "import sys, warnings; warnings.simplefilter('ignore'); before = sys._is_gil_enabled(); import dgnn; print(before, sys._is_gil_enabled())"
    lock = run([there / "bin" / "python", "-c", asked], cwd="/").split()
    told = run([there / "bin" / "python", "-W", "ignore", "-m", "dgnn", "check"], cwd="/").strip().splitlines()[-1]
    return f"{version}t: lock {lock[0]} before import, {lock[1]} after; {told}"


def aarch64(wheel):
    need(("qemu-aarch64", "qemu-user"))
    tree, folder = unpacked_tree("aarch64-tree", SUITE, "arm64", PYTHON), FOLDER / "aarch64-packages"
    packages_for(PYTHON, "aarch64", wheel, folder)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "2"}
    python = ["qemu-aarch64", "-L", str(tree), str(tree / "usr" / "bin" / f"python{PYTHON}")]
    sets = run([*python, "-c", "import dgnn.check, platform; print(platform.machine(), *dgnn.check.run()['instruction_sets'])"],
               env=environment, cwd="/").strip()
    return f"{sets}; " + run([*python, "-m", "dgnn", "check"], env=environment, cwd="/").strip().splitlines()[-1]


if __name__ == "__main__":
    try:
        what, *rest = sys.argv[1:]
        known = {"bare": bare, "aarch64": aarch64, "later": later, "free": free}
        print(known[what](*(word if word in LATER else pathlib.Path(word).resolve() for word in rest)))
    except (WheelError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"trees.py: {error}")
