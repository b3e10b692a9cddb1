"""How fast a model is on this machine, beside the machine's own rate of matrix products, measured in one process."""

import contextlib
import itertools
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

from dgnn.arguments import as_column, as_row, periodic_axes
from dgnn.workers import side_by_side

LEFTOVERS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # they choose kernels of another processor for numpy's products
TRIAL = 4  # calls after which a model with memory="fast" knows what to keep, but where it has to try again
STEP_A = 0.002  # Å: how far each atom goes between two calls that stand for steps of molecular dynamics


def environment(threads):
    """Of a process that measures on so many threads: numpy's products get as many as the model."""
    kept = {name: value for name, value in os.environ.items() if name not in LEFTOVERS}
    return {**kept, "OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}


def run_measuring(arguments, threads, variables=(), **kwargs):
    """subprocess.run of this Python in such an environment, with further variables; its standard output is kept."""
    return subprocess.run([sys.executable, *arguments], env={**environment(threads), **dict(variables)},
                          stdout=subprocess.PIPE, text=True, **kwargs)


def processor_time():
    """Of this process: a clock for one thread on a machine that is busy with other work."""
    return time.process_time()


def product_rate(dtype, times=6, clock=time.perf_counter):
    """GFLOP/s of numpy's matrix product: the best of several."""
    n, best = 1024, 0.0
    a, b = np.ones((n, n), dtype), np.ones((n, n), dtype)
    for _ in range(times):
        start = clock()
        a @ b
        best = max(best, 2e-9 * n**3 / (clock() - start))
    return best


def resident_megabytes(which):
    """VmHWM: the most since forget_peak; VmRSS: now. Elsewhere than on Linux: the most of the whole process."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith(which))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget_peak():
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def core_arguments(coords, types, box=None, pbc=None, spins=None, fparam=None, aparam=None, charge_spin=None, ids=None):
    """What the core's compute takes of what Model.compute takes; types are numbers."""
    return dict(coords=coords, types=types, box=box, pbc=periodic_axes(pbc, box), spins=spins, fparam=as_row(fparam),
                aparam=as_column(aparam), charge_spin=charge_spin, ids=ids, grid=(0, 0, 0), comm=None,
                replicated=False, atomic=False)


def slab(inputs, rank, size):
    """A rank's own atoms: of so many parts along x, with equally many each, as a host code would have them."""
    order = np.argsort(inputs["coords"][:, 0], kind="stable")
    mine = np.sort(np.array_split(order, size)[rank])
    own = {name: inputs[name][mine] for name in ("coords", "types", "spins", "aparam") if inputs.get(name) is not None}
    return {**inputs, **own, "ids": mine}


def alone(world, compute):
    """Seconds of compute() on rank 0; None on the others, which sleep meanwhile: MPI waits by looking all the time."""
    if world.rank:
        while not world.iprobe(source=0):
            time.sleep(0.002)
        return world.recv(source=0)
    start = time.perf_counter()
    compute()
    seconds = time.perf_counter() - start
    for rank in range(1, world.size):
        world.send(None, rank)
    return seconds


def together(world, compute):
    """Seconds from when all ranks begin with compute() to when all are done."""
    world.Barrier()
    start = time.perf_counter()
    compute()
    world.Barrier()
    return time.perf_counter() - start


def repeats_for(natoms):
    return max(3, min(9, 2000 // max(natoms, 1)))


class Caller:
    """Calls of one model for one system, each timed. moving: every atom moves before each call."""

    def __init__(self, model, inputs, moving=False, clock=time.perf_counter, comm=None):
        self.compute, self.clock = model._core.compute, clock
        joined, arguments = model._join(comm, "bench", lambda: (1, core_arguments(**inputs)))
        self.arguments = {**arguments, "comm": joined}
        self.moving, self.random = moving, np.random.default_rng(1)
        self.seconds, self.cpu_seconds, self.results = [], [], []
        for _ in range(TRIAL if model.info()["memory"] == "fast" else 1):
            self.call(counts=False)

    def call(self, counts=True):
        if self.moving:
            coords = self.arguments["coords"]
            self.arguments["coords"] = coords + STEP_A * self.random.standard_normal(coords.shape)
        cpu, start = time.process_time(), self.clock()
        result = self.compute(**self.arguments, profile=True)
        seconds = self.clock() - start
        if counts:
            self.seconds.append(seconds)
            self.cpu_seconds.append(time.process_time() - cpu)
            self.results.append(result)

    def middle(self):
        """Place of the call of median time."""
        return sorted(range(len(self.seconds)), key=self.seconds.__getitem__)[len(self.seconds) // 2]


def measure(model, inputs, repeat=None, moving=False, clock=time.perf_counter, comm=None):
    """Time, phases and memory of calls for one system, as a dict. inputs: as Model.compute takes them.

    Calls to warm up and to choose what is kept, then those that count; the one of median time gives the phases. cpu_s is
    processor time for each thread, which suffers less from other programs than the clock on the wall.
    """
    info, natoms = model.info(), len(inputs["types"])
    rates = [product_rate(model.dtype, clock=clock)]
    forget_peak()
    before = resident_megabytes("VmRSS")
    caller = Caller(model, inputs, moving, clock, comm)
    for _ in range(repeat or repeats_for(natoms)):
        caller.call()
    peak = resident_megabytes("VmHWM")
    rates.append(product_rate(model.dtype, clock=clock))
    median, rate = caller.seconds[caller.middle()], statistics.median(rates)
    result = caller.results[caller.middle()]
    profile = result["profile"]
    return {"natoms": natoms, "calls": len(caller.seconds), "time_s": median, "best_s": min(caller.seconds),
            "spread": (max(caller.seconds) - min(caller.seconds)) / median,
            "cpu_s": statistics.median(caller.cpu_seconds) / info["threads"], "gemm_gflops": rate,
            "mb_per_atom": (peak - before) / max(natoms, 1), "nedges": result["nedges"],
            "list_reused": result["list_reused"], "dtype": model.dtype,
            **{name: info[name] for name in ("threads", "memory", "instruction_set")}, **profile,
            **shares(median * rate * 1e9, profile)}


def force_error(model, other, inputs):
    """The largest difference of two models' forces over the largest force of the second."""
    one, two = (each.compute(**inputs).forces for each in (model, other))
    return float(np.abs(one - two).max() / np.abs(two).max())


def of_ranks(told):
    """One dict of the ranks' own: the longest time, the mean of phases, the sum of what is counted."""
    total = {name: sum(one[name] for one in told) for name in ("natoms", "gemm_gflops", "nedges", "nangle_edge", "nangle",
                                                               "split_flop")}
    by_phase = {name: {phase: sum(one[name][phase] for one in told) / parts for phase in told[0][name]}
                for name, parts in (("seconds", len(told)), ("flop", 1))}
    most = {name: max(one[name] for one in told) for name in ("time_s", "best_s", "spread", "cpu_s")}
    memory = sum(one["mb_per_atom"] * one["natoms"] for one in told) / max(total["natoms"], 1)
    kept = [name for name in told[0]["kept"] if all(name in one["kept"] for one in told)]
    return {**told[0], **total, **by_phase, **most, "kept": kept, "mb_per_atom": memory, "ranks": len(told),
            **shares(most["time_s"] * total["gemm_gflops"] * 1e9, {**total, **by_phase})}


def shares(possible, profile):
    """Of the FLOP that were possible: those of the split form, and those truly needed. None: the model's are not counted."""
    needed = sum(profile["flop"].values())
    return {"split_share": profile["split_flop"] / possible if needed else None,
            "needed_share": needed / possible if needed else None}


def shown_phases(told):
    """Those that multiply, or take part of the time worth a line."""
    total = sum(told["seconds"].values())
    return [name for name, seconds in told["seconds"].items() if told["flop"][name] or seconds > 5e-4 * total]


def traffic(path, side, with_ids=False):
    """What a rank sends on side^3 ranks that are threads, 16 atoms each in bricks of 11 Å: bytes in the mean, as a dict.

    rebuild: of a call that decides who computes what; step: of the next one, which keeps that; features: of the step. busiest:
    the most that a rank sends in the rebuild.
    """
    from dgnn import Model, testing

    cells = np.array(list(itertools.product(range(side), repeat=3)))
    places = np.array(list(itertools.product(range(2), range(2), range(4)))) * [5.5, 5.5, 2.75] + 0.7
    comms = testing.thread_ranks(len(cells), 300.0)
    models = [Model.load(path, threads=1) for _ in cells]

    def work(rank):
        coords = 11 * cells[rank] + places + np.random.default_rng(rank).random((16, 3)) * 0.5
        ids, counts = np.arange(16) + 16 * rank if with_ids else None, []
        for step in range(2):
            comms[rank].counts(True)
            result = models[rank].compute(coords + 0.01 * step, np.arange(16) % 2, np.eye(3) * 11 * side, pbc=True, ids=ids,
                                          comm=comms[rank])
            if result.list_reused != step:
                raise AssertionError(f"rank {rank}, call {step}: list_reused is {result.list_reused}")
            counts.append(comms[rank].counts())
        return counts[0]["bytes"], counts[1]["bytes"], counts[1]["feature_bytes"]

    found = side_by_side(work, range(len(cells)), len(cells))
    means = dict(zip(("rebuild", "step", "features"), np.mean(found, axis=0).tolist(), strict=True))
    return {**means, "busiest": float(np.max(found, axis=0)[0])}
