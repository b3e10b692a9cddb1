"""Debian 12 in a folder, where a wheel is tried: a bare one of this machine without a compiler, and one of aarch64 under qemu-user.

    python tools/trees.py bare WHEEL CHECKOUT     pip install WHEEL, dgnn check, README's Python and command-line blocks; as root
    python tools/trees.py aarch64 WHEEL           import and dgnn check under the emulator

Needs Debian's debootstrap, and for aarch64 qemu-user. The folders stay in build/wheels, and are used again.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

from wheels import FOLDER, WheelError, run, tools

SUITE = "bookworm"
PYTHON = "3.11"
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
    script = 'mount -t proc proc "$1/proc" && exec chroot "$1" /bin/sh -c "$2"'  # /proc is there until the command ends
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


def aarch64_tree():
    """Debian's files for aarch64, unpacked and never set up: nothing of them runs but Python."""
    tree = FOLDER / "aarch64-tree"
    if not (tree / "made").exists():
        need(("debootstrap", "debootstrap"), ("qemu-aarch64", "qemu-user"))
        shutil.rmtree(tree, ignore_errors=True)
        run(["debootstrap", "--foreign", "--arch=arm64", "--variant=minbase", f"--include=python{PYTHON},libstdc++6", SUITE, tree, mirror()])
        for package in sorted((tree / "var" / "cache" / "apt" / "archives").glob("*.deb")):
            run(["dpkg-deb", "-x", package, tree])
        (tree / "made").write_text(SUITE)
    return tree


def aarch64(wheel):
    tree, folder = aarch64_tree(), FOLDER / "aarch64-packages"
    shutil.rmtree(folder, ignore_errors=True)
    run([tools(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", folder, "--only-binary=:all:",
         "--python-version", PYTHON, "--implementation", "cp", "--abi", f"cp{PYTHON.replace('.', '')}", "--abi", "abi3", "--abi", "none",
         "--platform", "manylinux_2_28_aarch64", "--platform", "manylinux_2_17_aarch64", "--platform", "manylinux2014_aarch64",
         "numpy", wheel])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "2"}
    python = ["qemu-aarch64", "-L", str(tree), str(tree / "usr" / "bin" / f"python{PYTHON}")]
    sets = run([*python, "-c", "import dgnn.check, platform; print(platform.machine(), *dgnn.check.run()['instruction_sets'])"],
               env=environment, cwd="/").strip()
    return f"{sets}; " + run([*python, "-m", "dgnn", "check"], env=environment, cwd="/").strip().splitlines()[-1]


if __name__ == "__main__":
    try:
        what, wheel, *rest = sys.argv[1:]
        print({"bare": bare, "aarch64": aarch64}[what](pathlib.Path(wheel).resolve(), *map(pathlib.Path, rest)))
    except (WheelError, ValueError, KeyError) as error:
        sys.exit(f"trees.py: {error}")
