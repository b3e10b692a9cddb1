"""The kernels as NVRTC compiles them, where it is installed (nvidia-cuda-nvrtc-cu12): without a word of the compiler's, each
kernel there for both types, and none with a stack frame, spilled registers or more registers than four blocks leave it."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import kernels
import pytest

REGISTERS = 128  # of a thread: four blocks of 128 threads on each multiprocessor
RESOURCES = re.compile(r"Function (\w+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")


def tool(name):
    """One of CUDA's programs: PyPI's, of this environment, else the machine's."""
    for found in pathlib.Path(sys.prefix).glob(f"lib/python3*/site-packages/nvidia/cu13/bin/{name}"):
        return found
    return shutil.which(name)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """architecture -> path of its cubin, made when it is asked for."""
    try:
        library = kernels.nvrtc()
    except kernels.KernelsError:
        pytest.skip("NVRTC is not installed")
    made = {}

    def make(architecture):
        if architecture not in made:
            data, said = kernels.compile_kernels(library, architecture)
            assert said == ""
            made[architecture] = tmp_path_factory.mktemp("cubins") / f"{architecture}.cubin"
            made[architecture].write_bytes(data)
        return made[architecture]

    return make


ARCHITECTURES = [pytest.param(name, marks=() if name == "sm_90" else pytest.mark.long) for name in kernels.CUBINS]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_resources(architecture, compiled, figures):
    path = compiled(architecture)
    dump = tool("cuobjdump")
    if dump is None:
        pytest.skip("cuobjdump is not installed")
    done = subprocess.run([dump, "--dump-resource-usage", path], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = {name: [int(number) for number in numbers] for name, *numbers in RESOURCES.findall(done.stdout)}
    assert set(found) == set(kernels.names())
    for name, (registers, stack, shared, local) in found.items():
        figures.record("registers of a kernel's thread", architecture, "most", registers, REGISTERS)
        assert stack == local == 0, f"{name}: a stack frame of {stack} bytes, {local} bytes of local memory"
        assert registers <= REGISTERS and shared == 0, f"{name}: {registers} registers, {shared} bytes of shared memory"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tensor_instructions(architecture, compiled):
    """Each wrapper of kernels/tensor.h became its instruction, and no other kernel has one."""
    dump = tool("cuobjdump")
    if dump is None:
        pytest.skip("cuobjdump is not installed")
    for name, instruction, least in (("product_tensor_f32", r"HMMA\.1688\.F32\.TF32", 24), ("product_tensor_f64", r"DMMA\.8x8x4|DMMA\.884", 32)):
        done = subprocess.run([dump, "--dump-sass", "--function", name, compiled(architecture)], capture_output=True, text=True,
                              timeout=300, env={**os.environ, "PATH": f"{pathlib.Path(dump).parent}:{os.environ['PATH']}"})
        assert done.returncode == 0, done.stderr
        assert len(re.findall(instruction, done.stdout)) >= least


@pytest.mark.long
def test_ptx(compiled):
    text = compiled(kernels.PTX).read_bytes().decode(errors="replace")
    assert ".target sm_120" in text and all(f".entry {name}(" in text for name in kernels.names())
