"""What is done before a release, from a clean clone: wheels, tests from the wheel, documentation, licences, sizes, names.

    python tools/release_check.py [--skip STEP ...]       steps: clone wheels sdist interpreters plugins tests aarch64 bare docs licences metadata recipes

Each step prints one line; the first that fails ends it with exit code 1. dist/ then has what is to be published.
"""

import argparse
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile

import compile as builder
import trees
import wheels
from wheels import DIST, FOLDER, ROOT, WheelError, newest, run

ALLOWED = ("BSD-3-Clause",)
INTERPRETERS = ("3.10", "3.11", "3.12", "3.13", "3.14")


def step_clone(clone):
    """Only what is committed counts."""
    changed = run(["git", "status", "--porcelain"], cwd=ROOT)
    if changed:
        raise WheelError(f"the working tree has changes that are not committed:\n{changed}")
    shutil.rmtree(clone, ignore_errors=True)
    run(["git", "clone", "--quiet", ROOT, clone])
    return f"{len(run(['git', 'ls-files'], cwd=clone).split())} files"


def step_wheels(clone):
    shutil.rmtree(DIST, ignore_errors=True)
    run([sys.executable, clone / "tools" / "wheels.py"], env=os.environ | {"DGNN_WHEELS": str(FOLDER), "DGNN_DIST": str(DIST)})
    return ", ".join(f"{path.relative_to(DIST)} {path.stat().st_size / 1e6:.2f} MB" for path in sorted(DIST.rglob("*.whl")))


def step_sdist(clone):
    """An sdist, and a wheel from it without the repository."""
    python = wheels.tools()
    run([python, "setup.py", "--quiet", "sdist", "--dist-dir", DIST], cwd=clone)
    path, folder = newest("dgnn_md-*.tar.gz"), FOLDER / "sdist"
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(path) as file:
        file.extractall(folder, filter="data")
    there = environment("sdist-venv", sys.executable)
    run([there, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", path], env=os.environ | {"DGNN_TARGET": ""})
    return f"{path.name} {path.stat().st_size / 1e6:.2f} MB; " + checked(there)


def environment(name, python, *packages):
    folder = FOLDER / name
    run([python, "-m", "venv", "--clear", folder])
    if packages:
        run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
    return folder / "bin" / "python"


def checked(python):
    """dgnn check there, started where no checkout is found: its last line."""
    return run([python, "-m", "dgnn", "check"], cwd="/").strip().splitlines()[-1]


def interpreter(version):
    """The command of a CPython, or None."""
    for name in (f"python{version}", *sorted(map(str, pathlib.Path.home().glob(f".pyenv/versions/{version}.*/bin/python")))):
        if shutil.which(name) and subprocess.run([name, "-c", "import venv"], capture_output=True).returncode == 0:
            return name
    return None


def step_interpreters(clone):
    """Those that are here, and those of later Debians."""
    wheel, told = newest("dgnn_md-*_x86_64.whl"), []
    for version in INTERPRETERS:
        python = interpreter(version)
        if python:
            said = checked(environment(f"python-{version}", python, wheel))
        else:
            said = trees.later(version, wheel) if version in trees.LATER else "is not here"
        told.append(f"{version} {said}")
    return "; ".join(told)


def step_plugins(clone):
    """Each dgnn-lammps by its name, from where the wheels lie: the page on LAMMPS, which compares its energy with ASE's."""
    told = []
    for wheel in sorted(DIST.glob("dgnn_lammps-*.whl")):
        version = wheel.name.split("-")[1]
        python = environment(f"plugin-{version}", sys.executable, "--find-links", DIST, f"dgnn-lammps=={version}", "mpich", "ase",
                             "matplotlib", "markdown-it-py")
        run([python, clone / "tools" / "pages.py", "--short", clone / "docs" / "tutorials" / "lammps_water.md"])
        told.append(version)
    return ", ".join(told) + ": water on two ranks"


def step_tests(clone):
    """Suites of the repository by the wheel's dgnn: numbers of all cases, README's blocks, bad input, files, ranks."""
    python = environment("tests", sys.executable, newest("dgnn_md-*_x86_64.whl"), *TEST_PACKAGES)
    folder = FOLDER / "tests-tree"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(clone, folder, ignore=shutil.ignore_patterns("dgnn", ".git", "build", ".venv"))
    done = run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadgroup", "-m", "not long", *SUITES],
               cwd=folder, env=os.environ | {"PATH": f"{python.parent}:{os.environ['PATH']}"})
    return done.strip().splitlines()[-1]


def step_aarch64(clone):
    return trees.aarch64(newest("dgnn_md-*_aarch64.whl"))


def step_bare(clone):
    return trees.bare(newest("dgnn_md-*_x86_64.whl"), clone)


def step_docs(clone):
    run(["make", "--quiet", "docs"], cwd=clone)
    return "built without a warning"


def step_licences(clone):
    """Each wheel has its own licence and those of what is inside, as their sources have them."""
    sources = wheels.third_party_sources()
    told = (clone / "licenses" / "third_party.md").read_text()
    for name, version in wheels.THIRD_PARTY.items():
        if version not in told:
            raise WheelError(f"licenses/third_party.md does not name {name} {version}")
    for name, file in {"libzip": "LICENSE", "cjson": "LICENSE", "zlib": "LICENSE"}.items():
        if (sources[name] / file).read_text().strip() != (clone / "licenses" / f"{name}.txt").read_text().strip():
            raise WheelError(f"licenses/{name}.txt is not the licence of {name} {wheels.THIRD_PARTY[name]}")
    for wheel in DIST.glob("dgnn_md-*.whl"):
        names = zipfile.ZipFile(wheel).namelist()
        for wanted in ("LICENSE", "libzip.txt", "cjson.txt", "zlib.txt", "third_party.md"):
            if not any(re.search(rf"dist-info/licenses/(licenses/)?{re.escape(wanted)}$", name) for name in names):
                raise WheelError(f"{wheel.name} has no {wanted}")
    return ", ".join(f"{name} {version}" for name, version in wheels.THIRD_PARTY.items())


def step_metadata(clone):
    """twine check; nothing resolves to another project's dgnn; the changes of this version are told."""
    python = wheels.tools()
    run([python, "-m", "twine", "check", "--strict", *DIST.glob("*.whl"), *DIST.glob("*.tar.gz")])
    for wheel in DIST.glob("*.whl"):
        with zipfile.ZipFile(wheel) as file:
            text = file.read(next(name for name in file.namelist() if name.endswith("dist-info/METADATA"))).decode()
        needs = re.findall(r"(?m)^Requires-Dist: *([\w.-]+)", text)
        if "dgnn" in needs:
            raise WheelError(f"{wheel.name} depends on dgnn, which is another project's")
        if wheel.name.startswith("dgnn_lammps") and f"Requires-Dist: dgnn-md=={builder.version()}" not in text:
            raise WheelError(f"{wheel.name} does not depend on dgnn-md=={builder.version()}")
    changes = (clone / "CHANGELOG.md").read_text()
    if f"## {builder.version()}" not in changes:
        raise WheelError(f"CHANGELOG.md has no section of {builder.version()}")
    return f"{len(list(DIST.glob('*.*')))} files"


def step_recipes(clone):
    """conda's and Spack's, with the version and the checksum of the sdist."""
    sdist = newest("dgnn_md-*.tar.gz")
    values = {"VERSION": builder.version(), "SHA256": hashlib.sha256(sdist.read_bytes()).hexdigest(), "SDIST": sdist.name}
    target = DIST.parent / "build" / "recipes"
    target.mkdir(parents=True, exist_ok=True)
    for source in sorted((clone / "packaging").rglob("*.in")):
        text = re.sub("@([A-Z0-9]+)@", lambda match: values[match[1]], source.read_text())
        (target / source.stem).write_text(text)
    compile((target / "package.py").read_text(), "package.py", "exec")
    return str(target.relative_to(ROOT))


TEST_PACKAGES = ("pytest<9.2", "pytest-xdist", "markdown-it-py", "hypothesis", "vesin", "ase", "h5py", "PyYAML", "matplotlib", "tqdm", "mpi4py", "mpich")
SUITES = ("tests/pages/test_fragments.py", "tests/parity/test_cases.py", "tests/unit/test_bad_input.py", "tests/unit/test_cli.py",
          "tests/unit/test_save.py", "tests/formats", "tests/ase")
STEPS = {name.removeprefix("step_"): function for name, function in list(globals().items()) if name.startswith("step_")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--skip", action="append", default=[], choices=list(STEPS))
    parser.add_argument("--only", action="append", choices=list(STEPS))
    arguments = parser.parse_args()
    clone = FOLDER / "clone"
    for name, step in STEPS.items():
        if name in arguments.skip or (arguments.only and name not in arguments.only):
            continue
        begin = time.monotonic()
        try:
            told = step(clone)
        except WheelError as error:
            sys.exit(f"release_check.py: {name}: {error}")
        print(f"{name} ({time.monotonic() - begin:.0f} s): {told}", flush=True)


if __name__ == "__main__":
    main()
