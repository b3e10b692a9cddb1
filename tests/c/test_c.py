"""Runs each tests/c/test_*.c, built with the whole core under AddressSanitizer and UndefinedBehaviorSanitizer."""

import os
import pathlib
import re
import shutil
import subprocess

import compile as builder
import pytest

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
SOURCES = sorted(FOLDER.glob("test_*.c"))


def test_there_are_c_tests():
    assert SOURCES


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_c(source, record_property, tmp_path):
    (program,) = builder.build_programs([source], os.environ.get("DGNN_TEST_VARIANT", "asan"))
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1", "TMPDIR": str(tmp_path)}
    done = subprocess.run([program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-8000:]
    counted = re.findall(r"(\d+) passed, (\d+) failed", output)
    assert counted, f"no count at the end of: {output[-2000:]}"
    passed, failed = map(int, counted[-1])
    assert passed > 0 and failed == 0
    record_property("checks in C", passed)


@pytest.mark.parametrize("name", ["test_threads", "test_thread_transport", "test_session"])
def test_no_races(name, tmp_path):
    """Under ThreadSanitizer, with the plain C kernels."""
    (program,) = builder.build_programs([FOLDER / f"{name}.c"], "tsan")
    environment = {**os.environ, "TMPDIR": str(tmp_path), "DGNN_DISABLE_CPU": "avx512,avx2,neon,portable",
                   "TSAN_OPTIONS": f"suppressions={FOLDER / 'tsan.suppressions'}"}
    for before in ([], ["setarch", "-R"]):  # some kernels place libraries where this sanitizer cannot follow
        done = subprocess.run([*before, program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
        if "unexpected memory mapping" not in done.stderr:
            break
    assert done.returncode == 0 and "ThreadSanitizer" not in done.stderr, (done.stdout + done.stderr)[-8000:]


@pytest.mark.parametrize("name", ["test_ops", "test_ops_dpa4c"])
def test_neon(name):
    """The kernels' own tests on an emulated 64-bit ARM machine."""
    if builder.machine() == "aarch64":
        return  # it is the same program
    compiler, emulator = "aarch64-linux-gnu-gcc", "qemu-aarch64"
    if not shutil.which(compiler) or not shutil.which(emulator):
        pytest.skip("a compiler for aarch64 and its emulator are not installed")
    program = builder.build_foreign(FOLDER / f"{name}.c", "aarch64", [compiler])
    done = subprocess.run([emulator, "-L", "/usr/aarch64-linux-gnu", program], cwd=ROOT, capture_output=True, text=True,
                          timeout=600)
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    assert "neon" in done.stdout and int(re.search(r"(\d+) passed, 0 failed", done.stdout)[1]) > 10000


@pytest.mark.long
def test_every_fault():
    """test_fault_runs with a fault before each operation of a call: some 1,600 runs."""
    (program,) = builder.build_programs([FOLDER / "test_fault_runs.c"], "release")
    done = subprocess.run([program], cwd=ROOT, env={**os.environ, "DGNN_TEST_FAULT_STEP": "1"}, capture_output=True,
                          text=True, timeout=1800)
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    assert int(re.search(r"(\d+) runs with a fault, none hangs", done.stdout)[1]) > 1200


@pytest.mark.long
def test_many_systems():
    """2,000 random systems on random numbers of ranks against one rank."""
    (program,) = builder.build_programs([FOLDER / "test_domain.c"], "release")
    done = subprocess.run([program, "20"], cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    assert sum(map(int, re.findall(r": (\d+) systems", done.stdout))) == 2000


@pytest.mark.long
def test_many_families():
    """30 random systems of each family of descriptors, where test_family has 10."""
    (program,) = builder.build_programs([FOLDER / "test_family.c"], "release")
    done = subprocess.run([program, "3"], cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    assert set(re.findall(r": (\d+) systems", done.stdout)) == {"30"}
