"""tools/gpu_check.sh and dgnn check --device on the fake driver: they end well where all is right, and say what is wrong."""

import json
import os
import shutil
import subprocess
import sys

import ase.io
import numpy as np
import pytest
from conftest import ROOT
from dgnn import check, cli
from fake import device, in_other_processes, nothing_open  # noqa: F401


def run(folder, **more):
    variables, log = in_other_processes(folder, PYTHON=sys.executable, **more)
    done = subprocess.run(["sh", ROOT / "tools" / "gpu_check.sh", folder / "out", "--small"], env=variables, capture_output=True,
                          text=True, timeout=300)
    return done, log


def program(folder, name, text):
    """A shell script of this name on the path."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_all_is_right(tmp_path):
    """The tools of a machine with a card are stood in for: one prints, one runs what it is given."""
    path = program(tmp_path / "bin", "nvidia-smi", "echo a card")
    program(tmp_path / "bin", "compute-sanitizer", 'shift 4; "$@"')
    done, log = run(tmp_path, PATH=path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "out" / "gpu_check.json").read_text())
    assert report["device"].startswith("a CPU that runs kernels") and report["wrong"] == []
    assert len(report["cases"]) == 2 and all(set(row) == {"energy", "forces", "virial", "atom_virial"} for row in report["cases"].values())
    assert len(report["microseconds_an_atom"]) == 4 and all(spent > 0 for spent in report["microseconds_an_atom"].values())
    text = (tmp_path / "out" / "gpu_check.log").read_text()
    assert "a card" in text and "WRONG" not in text
    assert all(f"{check}: clean" in done.stdout for check in ("memcheck", "racecheck", "initcheck"))
    assert sum(map(int, log.read_text().split())) > 1000


@pytest.mark.parametrize("found, code", [("exit 0", 0), ("exit 9", 1)])
def test_what_the_sanitizer_finds(found, code, tmp_path):
    """With a Python that finds nothing wrong."""
    path = program(tmp_path / "bin", "compute-sanitizer", found)
    program(tmp_path / "bin", "python", "exit 0")
    variables, _ = in_other_processes(tmp_path, PYTHON=str(tmp_path / "bin" / "python"), PATH=path)
    done = subprocess.run(["sh", ROOT / "tools" / "gpu_check.sh", tmp_path / "out"], env=variables, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == code and done.stdout.count(": see" if code else ": clean") == 3, done.stdout + done.stderr


def test_what_is_wrong(tmp_path):
    """A card whose memory does not suffice for one of the cases' lists: the others are still looked at."""
    done, _ = run(tmp_path, CUDA_ON_CPU_MEMORY="200000")
    assert done.returncode != 0
    report = json.loads((tmp_path / "out" / "gpu_check.json").read_text())
    assert report["wrong"] and all("error" in report["cases"][row] for row in report["wrong"] if row in report["cases"])
    assert "WRONG" in done.stdout and "out of memory" in done.stdout


def test_syntax():
    subprocess.run(["sh", "-n", ROOT / "tools" / "gpu_check.sh"], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", ROOT / "tools" / "gpu_check.sh"], check=True)


# ---------------------------------------------------------------- dgnn check


@pytest.mark.parametrize("asked", [None, "cuda:0"])
def test_check(asked, check_cases, device):
    report = check.run(check_cases, device=asked)
    assert report["ok"], report["problems"]
    (name, told), = report["devices"].items()
    assert name == (asked or "cuda") and told.startswith("cuda:0, a CPU that runs kernels") and "; 1 cases" in told


def test_check_finds_a_wrong_device(check_cases, device, monkeypatch):
    """Limits that rounding is beyond."""
    monkeypatch.setattr(check, "_error", lambda value, wanted, peer: (float(np.abs(value - wanted).max()), 1e-300 if peer is not None else 1.0))
    problems = check.run(check_cases, device="cuda")["problems"]
    assert any("in float32 by the device cuda differs by" in problem for problem in problems), problems


def test_check_without_a_device(check_cases, device, capsys):
    """It is no fault, unless it was asked for."""
    assert check.run(check_cases, device=None)["ok"]
    assert cli.main(["check", "--cases", str(check_cases), "--device", "cuda:7"]) == 1
    assert "FAILED  the device cuda:7: device 'cuda:7': there is 1" in capsys.readouterr().out


@pytest.mark.parametrize("limit, code", [(1e-11, 0), (-1.0, 1)])
def test_check_of_a_model(limit, code, device, base_path, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check, "DEVICE_LIMIT", limit)
    rng = np.random.default_rng(3)
    atoms = ase.Atoms("OH2OH2", positions=rng.random((6, 3)) * 5, cell=np.eye(3) * 8, pbc=True)
    ase.io.write(tmp_path / "two.xyz", [atoms, atoms[:3]])
    words = ["check", str(base_path), str(tmp_path / "two.xyz"), "--device", "cuda"]
    before = device.cuda_on_cpu_launches(b"repflow_geometry_f64"), device.cuda_on_cpu_launches(b"repflow_geometry_f32")
    assert cli.main([*words, "--json"]) == code
    after = device.cuda_on_cpu_launches(b"repflow_geometry_f64"), device.cuda_on_cpu_launches(b"repflow_geometry_f32")
    assert after == (before[0] + 2, before[1] + 2)
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] == (code == 0) and report["device"].startswith("a CPU that runs kernels")
    assert {(row["frame"], row["dtype"], row["quantity"]) for row in report["rows"]} == {
        (frame, dtype, quantity) for frame in (0, 1) for dtype in ("float64", "float32") for quantity in ("energy", "forces", "stress")}
    assert any(row["error"] > 0 for row in report["rows"] if row["dtype"] == "float32")
    assert cli.main(words) == code
    assert ("FAILED" in capsys.readouterr().out) == (code == 1)


def test_check_of_a_model_without_structure(base_path, capsys):
    assert cli.main(["check", str(base_path)]) == 2
    assert "expected a STRUCTURE" in capsys.readouterr().err
