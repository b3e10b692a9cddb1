"""Every instruction set that this machine has, chosen by DGNN_DISABLE_CPU, against deepmd-kit's numbers."""

import os
import subprocess
import sys

import dgnn
import numpy as np
import pytest
from conftest import DATA
from test_cases import CASES, OTHERS, SYSTEMS, Case, assert_cases, load_arrays

# From the plainest up; "reference" is what is left when all are disabled.
SETS = ["reference", "portable", "neon", "avx2", "avx512"]

# argv: folder of cases, where to write, case names. Each result under case/system/quantity.
SCRIPT = """
import sys, warnings, numpy as np, dgnn
from pathlib import Path
warnings.simplefilter("ignore", dgnn.TruncationWarning)
out = {}
for name in sys.argv[3:]:
    folder = Path(sys.argv[1]) / name
    model = dgnn.Model.load(folder / "model.pt2", threads=1)
    out["set"] = np.array(model.info()["instruction_set"])
    with np.load(folder / "cases.npz") as file:
        arrays = dict(file)
    for system in SYSTEMS if "f32" in name else SYSTEMS[:1]:
        keys = dict(coords="coord", types="type", box="box", spins="spin", fparam="fparam", aparam="aparam",
                    charge_spin="charge_spin")
        inputs = {ours: arrays.get(f"{system}/in/{theirs}") for ours, theirs in keys.items()}
        if model.output == "dipole":
            inputs["derivatives"] = True
        result = model.compute(**inputs)
        for quantity in QUANTITIES:
            if getattr(result, quantity) is not None:
                out[f"{name}/{system}/{quantity}"] = getattr(result, quantity)
np.savez(sys.argv[2], **out)
"""
QUANTITIES = ["energy", "atom_energy", "forces", "virial", "forces_mag", *(name for names in OTHERS.values() for name in names)]


def disabled_for(name):
    return ",".join(SETS[max(1, SETS.index(name) + 1) :])


class Stored:
    """Stands for a model: gives what the other process computed."""

    def __init__(self, results, name):
        self.results, self.name = results, name
        self.system = None

    def compute(self, **inputs):
        values = {quantity: self.results.get(f"{self.name}/{self.system}/{quantity}") for quantity in QUANTITIES}
        return dgnn.Result(**values)


class Numbered(Case):
    """A case that tells its stored results which system is asked for."""

    def __init__(self, arrays, system, stored):
        super().__init__(arrays, system)
        self.stored = stored

    def inputs(self):
        self.stored.system = self.system
        return super().inputs()


@pytest.mark.parametrize("name", SETS)
def test_instruction_set(name, figures, tmp_path):
    environment = dict(os.environ, DGNN_DISABLE_CPU=disabled_for(name))
    script = f"SYSTEMS = {SYSTEMS!r}; QUANTITIES = {QUANTITIES!r}" + SCRIPT
    subprocess.run([sys.executable, "-c", script, DATA / "cases", tmp_path / "out.npz", *CASES], env=environment,
                   check=True)
    with np.load(tmp_path / "out.npz") as file:
        results = dict(file)
    if str(results["set"]) != name:
        pytest.skip(f"this machine has no {name}")
    for case in CASES:
        stored = Stored(results, case)
        systems = SYSTEMS if "f32" in case else SYSTEMS[:1]
        assert_cases(stored, [Numbered(load_arrays(DATA / "cases" / case), system, stored) for system in systems],
                     figures, f"{name}, {case}" if "f32" in case else f"{name}, all cases")


def test_sets_differ(tmp_path):
    """Different sets round differently: were the choice without effect, the test above would say nothing."""
    name = "dpa3_headline_small"
    forces = {}
    for disabled in ("", "avx512,avx2,neon,portable"):
        environment = dict(os.environ, DGNN_DISABLE_CPU=disabled)
        script = f"SYSTEMS = {SYSTEMS!r}; QUANTITIES = {QUANTITIES!r}" + SCRIPT
        subprocess.run([sys.executable, "-c", script, DATA / "cases", tmp_path / "out.npz", name], env=environment,
                       check=True)
        with np.load(tmp_path / "out.npz") as file:
            forces[str(file["set"])] = file[f"{name}/triclinic/forces"]
    assert len(forces) == 2
    one, other = forces.values()
    assert np.any(one != other) and np.abs(one - other).max() < 1e-10


def test_unknown_name_is_an_error(base_path):
    environment = dict(os.environ, DGNN_DISABLE_CPU="avx1024")
    done = subprocess.run([sys.executable, "-m", "dgnn", "info", base_path], env=environment, capture_output=True,
                          text=True)
    assert done.returncode == 2 and "avx1024" in done.stderr and "DGNN_DISABLE_CPU" in done.stderr
