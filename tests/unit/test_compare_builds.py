"""The script that compares two builds: it finds what differs, and a tree does not differ from itself."""

import subprocess
import sys

import compare_builds
import numpy as np
from conftest import ROOT


def test_what_differs_is_told():
    one = {"a/energy": np.array(1.0), "a/forces": np.ones((2, 3)), "b/error": np.array("InputError"), "c/energy": np.array(0.0)}
    other = {"a/energy": np.nextafter(1.0, 2.0), "a/forces": np.ones((2, 3)), "b/error": np.array("FormatError")}
    lines = list(compare_builds.compare(one, {name: np.asarray(value) for name, value in other.items()}))
    assert [line.split(":")[0] for line in lines] == ["a/energy", "b/error", "c/energy"]
    assert "2.220e-16" in lines[0] and "InputError" in lines[1] and "only in this tree" in lines[2]
    assert list(compare_builds.compare(one, one)) == []


def test_all_that_a_model_answers_is_compared(tmp_path):
    for case, quantity in [("dipole_se_e2_a", "dipole_force"), ("dos_se_e2_a", "atom_dos"), ("se_e2_a", "atom_virial")]:
        command = [sys.executable, "-c", compare_builds.WORKER, ROOT, ROOT / "tests" / "data" / "cases", tmp_path / "out.npz", "serial,ranks",
                   case]
        subprocess.run(command, check=True)
        with np.load(tmp_path / "out.npz") as found:
            assert not [name for name in found if name.endswith("/error")]
            assert {mode for mode in ("serial", "ranks") for name in found if name.endswith(quantity) and f"/{mode}/" in name} == {
                "serial", "ranks"}


def test_a_tree_is_its_own_equal():
    script = [sys.executable, ROOT / "tools" / "compare_builds.py", ROOT, "--cases", "se_e2_r_exclude", "--sets", "reference"]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reference: 1 cases, " in done.stdout and ", 0 differ" in done.stdout
    none = subprocess.run([*script[:-1], "neon512"], capture_output=True, text=True)
    assert none.returncode == 2 and "neon512" in none.stderr
