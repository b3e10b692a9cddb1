"""The CPU's own tests with the device as one more parameter: pytest in a process of its own, where models are loaded on the
fake driver's device unless a test says where (DGNN_DEVICE=auto: families that do not run there take the CPU)."""

import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT
from fake import in_other_processes

# What of a file runs there: (file, expression of pytest's -k). Each must launch kernels.
SHORT = {
    "frames, threads": ("unit/test_api.py", "test_frames or test_one_model_in_many_threads"),
    "truncation": ("unit/test_truncation.py", "dpa3"),
    "committees": ("answers/test_committee.py", "own_bits and names0 and not ranks or threads_share or test_frames"),
    "a host's ghosts": ("parity/test_spins.py", "lower_interface and dpa3 and mapping"),
    "ranks": ("unit/test_thread_ranks.py", "test_frames and counts0 or test_other_calls"),
    "calculator": ("ase/test_calculator.py", "test_null_atoms or test_pbc_of_each_axis or test_strict"),
    "command line": ("unit/test_cli.py", "test_eval_prints or test_eval_json"),
    "LAMMPS": ("lammps/test_pair.py", "test_lmp_finds_it or test_device"),
}


def run(file, expression, folder, timeout):
    variables, log = in_other_processes(folder, DGNN_DEVICE="auto")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not long and not alone",
               str(ROOT / "tests" / file), "-k", expression]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=timeout)
    said = done.stdout[-4000:] + done.stderr[-2000:]
    assert done.returncode == 0, said
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 0, said
    assert log.exists() and sum(map(int, log.read_text().split())) > 20, f"no kernel was launched\n{said}"


@pytest.mark.parametrize("what", SHORT)
def test_some(what, tmp_path):
    run(*SHORT[what], tmp_path, 300)


# ---------------------------------------------------------------- how a user says it

EVAL = ["-m", "dgnn", "eval", "{model}", "{structure}", "--json"]
# words, the variable, and is it the device?
WAYS = {"cuda": (["--device", "cuda"], None, True), "cuda:0": (["--device", "cuda:0"], None, True),
        "auto": (["--device", "auto"], None, True), "DGNN_DEVICE": ([], "cuda", True), "nothing": ([], None, False),
        "a word before DGNN_DEVICE": (["--device", "cuda"], "cpu", True), "cpu": (["--device", "cpu"], "cuda", False)}


@pytest.fixture
def structure(tmp_path):
    import ase.io
    import numpy as np

    rng = np.random.default_rng(21)
    path = tmp_path / "structure.xyz"
    ase.io.write(path, ase.Atoms("OH2OH2", positions=rng.random((6, 3)) * 5, cell=np.eye(3) * 9, pbc=True))
    return path


@pytest.mark.parametrize("way", WAYS)
def test_command_line(way, structure, base_path, tmp_path):
    """A kernel is launched where it is the device, and none where it is not."""
    words, said, is_device = WAYS[way]
    variables, log = in_other_processes(tmp_path, **({"DGNN_DEVICE": said} if said else {}))
    if not said:
        variables.pop("DGNN_DEVICE", None)
    command = [sys.executable, *(word.format(model=base_path, structure=structure) for word in EVAL), *words]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert log.exists() == is_device


def test_unknown_device(structure, base_path):
    command = [sys.executable, *(word.format(model=base_path, structure=structure) for word in EVAL), "--device", "gpu"]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "found 'gpu'; expected 'cpu', 'cuda', 'cuda:N' or 'auto'" in done.stderr
