"""What loading says of devices: names, what is missing, what does not run there, and memory that comes back."""

import gc
import os
import struct
import subprocess
import sys

import dgnn
import kernels
import numpy as np
import pytest
from conftest import DATA, ROOT
from fake import device, environment, nothing_open, settings, stand_in  # noqa: F401

BASE = DATA / "cases" / "dpa3_base" / "model.pt2"


def load(name="dpa3_base", **options):
    return dgnn.Model.load(DATA / "cases" / name / "model.pt2", **options)


def test_names(device):
    assert load().device == load(device="cpu").device == "cpu"
    assert load(device="cuda").device == load(device="cuda:0").device == load(device="auto").device == "cuda:0"
    info = load(device="cuda").info()
    assert info["device"] == "cuda:0" and info["device_name"].startswith("a CPU that runs kernels")
    assert load().info()["device_name"] is None
    with environment(DGNN_DEVICE="cuda"):
        assert load().device == "cuda:0" and load(device="cpu").device == "cpu"
    with environment(DGNN_DEVICE="gpu"), pytest.raises(dgnn.InputError, match="the variable DGNN_DEVICE: found 'gpu'"):
        load()


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:1x", "CUDA", "", "cuda:99999999999999999999"])
def test_unknown_names(name, device):
    with pytest.raises(dgnn.InputError, match="expected 'cpu', 'cuda', 'cuda:N' or 'auto'"):
        load(device=name)


def test_no_text(device):
    with pytest.raises(dgnn.InputError, match="found 3"):
        load(device=3)


def test_numbers(device):
    with pytest.raises(dgnn.InputError, match="'cuda:1': there is 1, numbered from 0"):
        load(device="cuda:1")
    with settings(devices=3):
        assert load(device="cuda:2").device == "cuda:2"
        for variable in ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"):
            with environment(**{variable: "4"}):  # more ranks than devices
                assert load(device="cuda").device == load(device="auto").device == "cuda:1"


def test_missing(device, tmp_path):
    """Each has its own words, and "auto" takes the CPU."""
    with settings(capability=75):
        with pytest.raises(dgnn.UnsupportedModelError, match="compute capability 7.5; dgnn needs 8.0"):
            load(device="cuda")
        assert load(device="auto").device == "cpu"
    with environment(DGNN_CUDA_KERNELS=str(tmp_path / "none.bin")):
        with pytest.raises(dgnn.UnsupportedModelError, match="no kernels for devices.*none.bin.*make cubins"):
            load(device="cuda")
        assert load(device="auto").device == "cpu"
    only_90 = tmp_path / "only_90.bin"
    only_90.write_bytes(kernels.pack([(kernels.KIND_CUBIN, 90, kernels.stand_in())]))
    with environment(DGNN_CUDA_KERNELS=str(only_90)), settings(capability=86), \
            pytest.raises(dgnn.UnsupportedModelError, match="no kernels for compute capability 8.6"):
        load(device="cuda")


@pytest.mark.parametrize("fault", ["cut", "magic", "version", "rows", "offset", "empty"])
def test_bad_kernels(fault, device, tmp_path):
    good = stand_in(tmp_path / "good.bin").read_bytes()
    bad = {"cut": good[:-1000], "magic": b"X" + good[1:], "empty": b"", "rows": good[:12] + struct.pack("<I", 50) + good[16:],
           "version": good[:8] + struct.pack("<I", 999) + good[12:], "offset": good[:24] + b"\xff" * 8 + good[32:]}[fault]
    path = tmp_path / "bad.bin"
    path.write_bytes(bad)
    kind, words = ((dgnn.UnsupportedModelError, "kernels of version 999") if fault == "version"
                   else (dgnn.ModelFormatError, "not a file of device kernels, or cut off"))
    with environment(DGNN_CUDA_KERNELS=str(path)), pytest.raises(kind, match=words):
        load(device="cuda")


SCRIPT = """
import sys
sys.path[:0] = [{tools!r}, {here!r}]
import dgnn, fake
if {loads}:
    library = fake.driver()
    library.cuda_on_cpu_set({devices}, {version}, 90, 1 << 30)
try:
    dgnn.Model.load({path!r}, device="cuda")
except dgnn.UnsupportedModelError as error:
    print(error)
print(dgnn.Model.load({path!r}, device="auto").device)
"""


@pytest.mark.parametrize("loads, devices, version, words", [
    (False, 1, 12040, "no CUDA driver on this machine"), (True, 0, 12040, "the driver finds no device"),
    (True, 1, 11080, "the driver is for CUDA 11.8; dgnn needs one for 12.0")])
def test_driver(loads, devices, version, words, device):
    """A driver is opened once in a process, so each gets its own."""
    if not loads and any((folder / "libcuda.so.1").exists() for folder in LIBRARIES):
        words = ""  # this machine has one
    script = SCRIPT.format(tools=str(ROOT / "tools"), here=str(ROOT / "tests" / "cuda"), loads=loads, devices=devices,
                           version=version, path=str(BASE))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
    assert not words or done.stdout.splitlines()[-1] == "cpu"


LIBRARIES = [ROOT.__class__(path) for path in ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib")]


@pytest.mark.parametrize("name, words", [("dpa2_base", "descriptor 'dpa2'"), ("se_e2_a", "descriptor 'se_e2_a'"),
                                         ("hybrid_local", "descriptor 'se_e2_"), ("dipole_dpa3", "dipoles and polarisabilities"),
                                         ("polar_dpa3", "dipoles and polarisabilities"), ("linear_dpa3_dpa1", "descriptor '"),
                                         ("dpa4c_base", "descriptor 'dpa4c'")])
def test_not_on_devices(name, words, device):
    """Refused by name at load; "auto" takes the CPU for the whole model."""
    with pytest.raises(dgnn.UnsupportedModelError, match=f"{words}.*does not run on a device yet; use device 'cpu'"):
        load(name, device="cuda")
    model = load(name, device="auto")
    assert model.device == "cpu" and model.info()["device_name"] is None


def test_all_comes_back(device):
    """Contexts, modules, queues and memory, once the last model has gone."""
    gc.collect()
    before = device.cuda_on_cpu_live()
    models = [load(device="cuda"), load(device="cuda", dtype="float32")]
    rng = np.random.default_rng(1)
    for model in models:
        model.compute(rng.random((12, 3)) * 7, rng.integers(0, 2, 12), np.eye(3) * 7)
    assert device.cuda_on_cpu_live() > before + 8
    for model in models:
        model.close()
    assert device.cuda_on_cpu_live() == before


def test_fork(device):
    """A child hears that devices do not outlive a fork; the parent goes on."""
    model = load(device="cuda")
    rng = np.random.default_rng(2)
    inputs = rng.random((8, 3)) * 7, rng.integers(0, 2, 8), np.eye(3) * 7
    model.compute(*inputs)
    child = os.fork()
    if not child:
        try:
            model.compute(*inputs)
        except OSError as error:
            os._exit(7 if "before this process was forked" in str(error) else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    model.compute(*inputs)
