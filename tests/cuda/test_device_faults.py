"""Each call of the driver fails in turn, memory runs out, and what comes of it: an error, no leak, and a right answer next."""

import ctypes
import errno
import mmap
import threading

import dgnn
import kernels
import numpy as np
import pytest
from conftest import DATA
from dgnn import testing
from fake import device, nothing_open, settings  # noqa: F401

BASE = DATA / "cases" / "dpa3_base" / "model.pt2"
NO_MEMORY, ELSE = 2, 719  # CUDA_ERROR_OUT_OF_MEMORY, CUDA_ERROR_LAUNCH_FAILED
ERRORS = (MemoryError, OSError, dgnn.Error)


def system(n=10, seed=3):
    rng = np.random.default_rng(seed)
    return rng.random((n, 3)) * 7, rng.integers(0, 2, n), np.eye(3) * 7


def failures(device, code, action, step):
    """Of action, with each call (or each step-th) that it makes failing: how often it raised, and how many calls it makes."""
    begin = device.cuda_on_cpu_calls()
    action()
    count, raised = device.cuda_on_cpu_calls() - begin, 0
    for nth in range(1, count + 1, step):
        device.cuda_on_cpu_fail_at(nth, code)
        try:
            action()
        except ERRORS as error:
            assert "device 'cuda" in str(error), error
            raised += 1
        finally:
            device.cuda_on_cpu_fail_at(0, 0)
    return raised, len(range(1, count + 1, step)), count


@pytest.mark.parametrize("code", [NO_MEMORY, ELSE])
def test_loading(code, device):
    before = device.cuda_on_cpu_live()

    def action():
        dgnn.Model.load(BASE, device="cuda").close()

    raised, tried, _ = failures(device, code, action, 5)
    assert raised > 0.8 * tried  # what frees may fail unheard
    action()
    if code != ELSE:  # what could not be freed is lost
        assert device.cuda_on_cpu_live() <= before + tried


@pytest.mark.parametrize("code", [NO_MEMORY, ELSE])
def test_computing(code, device):
    inputs = system()
    model = dgnn.Model.load(BASE, device="cuda")
    right = model.compute(*inputs)

    def action():
        model.compute(*inputs)

    raised, tried, count = failures(device, code, action, 3)
    assert raised == tried and count > 150
    again = model.compute(*inputs)
    assert np.array_equal(again.forces, right.forces) and again.energy == right.energy


def test_out_of_memory(device):
    """Says how much was asked for and how much there is, and leaves the model usable."""
    model = dgnn.Model.load(BASE, device="cuda")
    small = model.compute(*system())
    rng = np.random.default_rng(4)
    with settings(memory=1 << 20), pytest.raises(MemoryError, match=r"device 'cuda:0': out of memory: \d+ bytes for the features"):
        model.compute(rng.random((64, 3)) * 12, rng.integers(0, 2, 64), np.eye(3) * 12)
    assert np.array_equal(model.compute(*system()).forces, small.forces)
    with settings(memory=1 << 12), pytest.raises(MemoryError, match="weights"):
        dgnn.Model.load(BASE, device="cuda", dtype="float32")


def on_ranks(ranks, call):
    outcomes = [None] * ranks

    def work(rank, comm):
        try:
            outcomes[rank] = call(rank, comm)
        except Exception as error:
            outcomes[rank] = error

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(testing.thread_ranks(ranks, 60.0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.parametrize("nth", [2, 40, 90, 140, 190, 240])
def test_one_rank_fails(nth, device):
    """A failure in the middle of messages is told by all ranks, at the end of the call, and the next call is right."""
    coords, types, box = system(16)
    models = [dgnn.Model.load(BASE, device="cuda", threads=1) for _ in range(2)]
    right = models[0].compute(coords, types, box).energy

    def call(rank, comm):
        return models[rank].compute(coords[rank::2], types[rank::2], box, comm=comm).energy

    assert np.allclose(on_ranks(2, call), right, rtol=1e-12, atol=0)
    device.cuda_on_cpu_fail_at(nth, ELSE)
    failed = on_ranks(2, call)
    device.cuda_on_cpu_fail_at(0, 0)
    assert all(isinstance(error, OSError) for error in failed), failed
    assert len({str(error) for error in failed}) == 1 and "device 'cuda" in str(failed[0])
    assert np.allclose(on_ranks(2, call), right, rtol=1e-12, atol=0)


def test_numbers_are_not_addresses(device):
    """Two flags of a kernel's argument side by side are 2^32 + 1, and in a program at a fixed place the heap may reach that far. The
    fake driver looks for the host's addresses in arguments; it said that this was one."""
    place, page, no_replace = 1 << 32, mmap.PAGESIZE, 0x100000
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    at = libc.mmap(place, page, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_replace, -1, 0)
    assert at == place or ctypes.get_errno() == errno.EEXIST  # else it is mapped already
    try:
        dgnn.Model.load(BASE, device="cuda").compute(*system())
    finally:
        if at == place:
            libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(page))


def test_host_address(device, capfd):
    """An argument with an address of the host is refused: of pinned memory, as all that crosses goes through it."""
    driver = ctypes.CDLL(device._name)
    model = dgnn.Model.load(BASE, device="cuda")  # the driver is open, with a context
    context, module, function, pinned, stream = (ctypes.c_void_p() for _ in range(5))
    assert driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
    assert driver.cuCtxPushCurrent_v2(context) == 0
    try:
        assert driver.cuModuleLoadData(ctypes.byref(module), kernels.stand_in()) == 0
        assert driver.cuModuleGetFunction(ctypes.byref(function), module, b"product_f64") == 0
        assert driver.cuMemAllocHost_v2(ctypes.byref(pinned), ctypes.c_size_t(1 << 20)) == 0
        assert driver.cuStreamCreate(ctypes.byref(stream), 0) == 0
        for word, code in ((pinned.value + (1 << 17), ELSE), (1 << 32 | 1, 0)):
            argument = (ctypes.c_uint64 * 64)(0, 0, 0, 0, word)  # count is 0: nothing is read
            given = (ctypes.c_void_p * 1)(ctypes.addressof(argument))
            assert driver.cuLaunchKernel(function, 1, 1, 1, 128, 1, 1, 0, stream, given, None) == code
    finally:
        driver.cuStreamDestroy_v2(stream)
        driver.cuMemFreeHost(pinned)
        driver.cuModuleUnload(module)
        driver.cuCtxPopCurrent_v2(ctypes.byref(context))
        driver.cuDevicePrimaryCtxRelease_v2(0)
    assert "product_f64 has a host's address at byte 32" in capfd.readouterr().err
    model.close()
