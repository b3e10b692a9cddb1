"""The device kernels are compiled where nvcc is; their CPU twins are tested everywhere (tests/c/test_kernels.c)."""

import os
import shutil
import subprocess

import dgnn
import pytest
from conftest import ROOT

SOURCES = sorted((ROOT / "kernels").glob("*.cu"))


def test_there_are_kernels():
    assert {path.name for path in SOURCES} >= {"edge.cu", "device.cu"}


def test_kernels_compile(tmp_path):
    if not shutil.which("nvcc"):
        pytest.skip("nvcc is not installed")
    done = subprocess.run(["make", "-s", "-f", ROOT / "Makefile", "kernels", f"KERNELS={tmp_path}"], cwd=ROOT,
                          capture_output=True, text=True, env={**os.environ, "MAKEFLAGS": ""}, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stderr
    for source in SOURCES:
        assert (tmp_path / source.with_suffix(".o").name).stat().st_size > 1000
    names = subprocess.run(["nm", tmp_path / "edge.o"], capture_output=True, text=True, check=True).stdout
    assert "T dgnn_device_edge_forward_f32" in names and "T dgnn_device_edge_forward_f64" in names


def test_make_kernels_without_nvcc_is_no_error(tmp_path):
    (tmp_path / "bin").mkdir()
    for tool in ("make", "sh", "echo", "mkdir"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    done = subprocess.run(["make", "-s", "kernels"], cwd=ROOT, capture_output=True, text=True,
                          env={"PATH": str(tmp_path / "bin")}, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "nvcc" in done.stdout


@pytest.mark.parametrize("device, says", [("cuda", "needs a device backend, and this build of dgnn has none"),
                                          ("cuda:0", "needs a device backend"), ("tpu", "expected 'cpu'")])
def test_a_device_without_a_backend_is_refused(device, says, base_path):
    with pytest.raises(dgnn.InputError, match=says) as caught:
        dgnn.Model.load(base_path, device=device)
    assert device in str(caught.value)
