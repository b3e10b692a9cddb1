"""dgnn check: right numbers pass; a wrong kernel, weight or expected number fails and is named; what the report holds."""

import json
import shutil
import subprocess
import sys

import dgnn
import gen_check
import numpy as np
import pytest
from dgnn import _core, check, cli, cli_check

FAMILIES = {"dpa3", "dpa2", "dpa1", "dpa4c", "se_e2_a", "se_e2_r", "se_e3", "hybrid", "spin"}


def run(*arguments, **options):
    command = [sys.executable, "-m", "dgnn", "check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


@pytest.fixture(scope="module")
def report():
    done = run("--json")
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    return json.loads(done.stdout)


def answers(folder, **changes):
    """Writes the folder's answers again, with changes: key -> function of the old array."""
    with np.load(folder / "answers.npz") as file:
        arrays = dict(file)
    for key, change in changes.items():
        arrays[key] = change(arrays[key])
    np.savez(folder / "answers.npz", **arrays)


def test_cases_are_those_of_the_tests():
    assert gen_check.is_current(gen_check.files())


def test_report(report):
    assert report["ok"] and report["problems"] == [] and report["seconds"] < 60
    assert report["dgnn"] == dgnn.__version__ and report["versions"]["numpy"] == np.__version__
    assert FAMILIES <= {name.rsplit("_", 1)[0] for name in report["cases"]} | set(report["cases"]) | {
        name.split("_")[0] for name in report["cases"]}
    sets = report["instruction_sets"]
    assert sets[-1] == "reference" and len(sets) >= 2
    assert sets[0] == dgnn.Model.load(check.CASES / "dpa3_base.pt2").info()["instruction_set"]
    for name, by_set in report["cases"].items():
        assert list(by_set) == sets and report["weights"][name] > 3
        for errors in by_set.values():
            assert {"energy", "forces", "virial"} <= set(errors) and 0 <= max(errors.values()) <= 1
            assert name != "spin_dpa3" or "forces_mag" in errors
    assert report["thread_ranks"]["forces"] <= 1 and report["threads"]["two"]["forces"] <= 1
    assert report["mpi"]["found"] and "MPICH" in report["mpi"]["library"] and "_mpi_mpich" in report["mpi"]["modules"]
    assert set(report["devices"]) == {"cuda"}


@pytest.mark.parametrize("built, lock, words", [("False", "True", ""), ("True", "True", ", free-threaded, its lock on"),
                                                ("True", "False", ", free-threaded, its lock off")])
def test_lock_is_said(built, lock, words, report):
    """A free-threaded CPython turns its lock on for dgnn; PYTHON_GIL=0, which keeps it off, is not supported."""
    changed = {**report, "versions": {**report["versions"], "free_threaded": built, "global_lock": lock}}
    rows = [line.split(None, 1) for line in cli_check.lines(changed)]
    assert dict(rows[:2])["python"] == f"{report['versions']['implementation']} {report['versions']['python']}{words}"
    assert "True" not in dict(rows)["packages"]


def test_lines(check_cases):
    done = run("--cases", check_cases)
    assert done.returncode == 0 and done.stderr == "", done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].startswith("dgnn") and lines[-1].startswith("all is right, ") and "FAILED" not in done.stdout
    assert any(line.startswith("instruction sets") for line in lines) and "\x1b" not in done.stdout


@pytest.mark.parametrize("used", ["best", "reference"])
def test_wrong_kernels(used, check_cases):
    """The product in one instruction set's table is wrong: that set is named, and no other."""
    sets = check.run(check_cases)["instruction_sets"]
    name = sets[0] if used == "best" else used
    _core._falsify(name)
    try:
        report = check.run(check_cases)
    finally:
        _core._falsify("")
    kernels = [problem for problem in report["problems"] if "kernels" in problem]
    assert not report["ok"] and {problem.split(":")[0] for problem in kernels} == {"se_e2_a", "dpa3_base"}
    assert all(f"the {name} kernels" in problem for problem in kernels), kernels
    assert check.run(check_cases)["ok"]


def test_wrong_weight(check_cases):
    tree, arrays = check.tree_of(check_cases / "se_e2_a.pt2")
    path = next(path for path in check.paths_of(tree).values() if "fitting" in path and path.endswith(".w.value") or path.endswith(".w"))
    index = {path: index for index, path in check.paths_of(tree).items()}[path]
    arrays = [array.copy() for array in arrays]
    arrays[index].flat[0] += 1e-3
    core = _core.load_tree("se_e2_a", json.dumps(tree), arrays, {})
    core.save(str(check_cases / "se_e2_a.dgnn"))
    (check_cases / "se_e2_a.dgnn").replace(check_cases / "se_e2_a.pt2")
    problems = check.run(check_cases)["problems"]
    assert f"se_e2_a: the weight {path} is not the one that was packaged" in problems
    assert any(problem.startswith("se_e2_a: energy by") for problem in problems)
    assert not any(problem.startswith("dpa3_base") for problem in problems)


def test_wrong_number(check_cases, capsys):
    answers(check_cases, **{"dpa3_base/out/force": lambda force: force + np.eye(*force.shape) * 1e-6})
    assert cli.main(["check", "--cases", str(check_cases)]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED")]
    assert "FAILED  dpa3_base: the expected number out/force in answers.npz is not the one that was packaged" in failed
    assert any("dpa3_base: forces by the" in line for line in failed) and not any("se_e2_a" in line for line in failed)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_a_number_is_wrong(value, check_cases):
    answers(check_cases, **{"dpa3_base/out/energy": lambda energy: energy * value})
    assert any(problem.startswith("dpa3_base: energy by") for problem in check.run(check_cases)["problems"])


def test_cannot_look(tmp_path):
    for arguments, message in ((["--cases", tmp_path / "none"], "no such folder"),
                               (["--cases", tmp_path], "expected the cases of dgnn check"), (["--wrong"], "--wrong")):
        done = run(*arguments)
        assert done.returncode == 2 and message in done.stderr and done.stdout == "" and done.stderr.count("\n") == 1


def test_without_mpi(check_cases, tmp_path, monkeypatch):
    """An mpi4py that finds no library of MPI is said, and is no fault; one whose numbers are wrong would be."""
    monkeypatch.undo()
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").write_text("")
    (tmp_path / "mpi4py" / "MPI.py").write_text("raise RuntimeError('cannot load MPI library')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    checks = check._Checks(check.Cases(check_cases), None)
    told = checks.mpi()
    assert not checks.problems and not told["found"] and told["why"] == "cannot load MPI library"


def test_disabled_sets_are_not_looked_at(check_cases, monkeypatch):
    monkeypatch.setenv("DGNN_DISABLE_CPU", "avx512,avx2,neon")
    assert check.run(check_cases)["instruction_sets"] == ["portable", "reference"]
    assert check.machine()["environment"]["DGNN_DISABLE_CPU"] == "avx512,avx2,neon"
