"""The fake driver of this folder, in the process of the tests: dgnn opens libcuda.so.1 by name, and finds the one that is
loaded already. A machine's own driver is never touched."""

import contextlib
import ctypes
import functools
import gc
import os

import compile as builder
import kernels
import pytest

ALL = 1 << 32  # bytes of the device
SETTINGS = dict(devices=1, version=12040, capability=90, memory=ALL)


@functools.cache
def driver():
    """Builds and loads it, and the file of kernels' names that it takes for code."""
    library = ctypes.CDLL(str(builder.build_fake_driver()))
    for name, result, arguments in (("fail_at", None, (ctypes.c_long, ctypes.c_int)), ("calls", ctypes.c_long, ()),
                                    ("live", ctypes.c_long, ()), ("copied", ctypes.c_long, (ctypes.c_int,)),
                                    ("launches", ctypes.c_long, (ctypes.c_char_p,)), ("order", None, (ctypes.c_char,)),
                                    ("break_tensor", None, (ctypes.c_int,)), ("idle", None, (ctypes.c_int,)),
                                    ("memory", ctypes.c_size_t, (ctypes.c_int,)),
                                    ("set", None, (ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_size_t))):
        function = getattr(library, f"cuda_on_cpu_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def stand_in(path):
    path.write_bytes(kernels.pack([(kernels.KIND_CUBIN, 80, kernels.stand_in()), (kernels.KIND_CUBIN, 90, kernels.stand_in())]))
    return path


def in_other_processes(folder, **variables):
    """The environment of a process that finds the fake driver where it opens libcuda.so.1, and the file where each such
    process leaves a line with the number of kernels that it launched."""
    path = builder.build_fake_driver().parent
    log = folder / "launches"
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    libraries = ":".join([str(path), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])
    return own | {"LD_LIBRARY_PATH": libraries, "CUDA_ON_CPU_LOG": str(log),
                  "DGNN_CUDA_KERNELS": str(stand_in(folder / "dgnn_kernels.bin")), "DGNN_CUDA_PRODUCTS": "plain"} | variables, log


@contextlib.contextmanager
def environment(**variables):
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def settings(**changed):
    """Of the device, while models are loaded or compute."""
    given = SETTINGS | changed
    driver().cuda_on_cpu_set(given["devices"], given["version"], given["capability"], given["memory"])
    try:
        yield
    finally:
        driver().cuda_on_cpu_set(*SETTINGS.values())


@pytest.fixture(autouse=True)
def nothing_open():
    """A device stays open, with its kernels and the state that a fault left, while a model of an earlier test lives in a cycle. Test
    files import this fixture beside device."""
    gc.collect()


@pytest.fixture(scope="session")
def device(tmp_path_factory):
    """The fake driver with one device, and the names of kernels that it takes for code; test files import it."""
    fake = driver()
    file = stand_in(tmp_path_factory.mktemp("kernels") / "dgnn_kernels.bin")
    with environment(DGNN_CUDA_KERNELS=str(file), DGNN_CUDA_PRODUCTS="plain"):  # fibres take seconds; test_tensor.py has both
        yield fake
