"""Memory that runs out, forks, signals, exits and leaks: an error or a result, and a model that goes on."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tracemalloc

import compile as builder
import dgnn
import numpy as np
import pytest
from conftest import DATA
from dgnn import _core

pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")
FAMILIES = ["dpa3_fparam_aparam", "dpa2_strip", "dpa1_attn2", "dpa1_strip_graph", "se_e2_a", "se_e2_r", "se_e3",
            "se_e3_tebd", "spin_dpa3", "hybrid_local", "linear_dpa3_dpa1"]


def systems(name):
    """The arguments of two calls: some atoms of the case, and all of them, moved, whose lists are other ones."""
    with np.load(DATA / "cases" / name / "cases.npz") as file:
        first = sorted({key.split("/")[0] for key in file.files})[0]
        given = {key.split("/")[-1]: file[key] for key in file.files if key.startswith(f"{first}/in/")}
    names = dict(coord="coords", type="types", spin="spins")
    given = {names.get(key, key): value for key, value in given.items() if value is not None}
    atoms = ("coords", "types", "spins", "aparam")
    few = {key: value[:6] if key in atoms else value for key, value in given.items()}
    return few, {**given, "coords": given["coords"] + 0.01}


def fail_everywhere(work, persistent, prepare=lambda: None):
    """work(prepare()) with each of its allocations failing in turn: MemoryError, and nothing kept. The number of them
    and the result."""
    gc.collect()
    for nth in range(1, 100_000):
        prepared = prepare()
        live = _core._alloc_live()
        _core._alloc_fail_at(nth, persistent)
        try:
            return nth - 1, prepared, work(prepared)
        except MemoryError as error:
            assert str(error)
        finally:
            _core._alloc_fail_at(0)
        if prepared is None:
            assert _core._alloc_live() == live, f"allocation {nth}"
    raise AssertionError("no end")


@pytest.mark.parametrize("persistent", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_allocation_may_fail(name, persistent, tmp_path, figures):
    """Of loading, of a first call, and of one whose neighbour list is larger."""
    path = tmp_path / "model.dgnn"
    dgnn.Model.load(DATA / "cases" / name / "model.pt2").save(path)
    few, all_atoms = systems(name)
    expected = [dgnn.Model.load(path, threads=2).compute(**arguments, atomic=True) for arguments in (few, all_atoms)]
    assert np.abs(expected[1].forces).max() > 1e-6
    before = _core._alloc_live()
    loading, _, model = fail_everywhere(lambda _: dgnn.Model.load(path, threads=2), persistent)
    counts = [loading]
    for k, arguments in enumerate((few, all_atoms)):
        def fresh():
            fresh_model = dgnn.Model.load(path, threads=2)
            if k:
                fresh_model.compute(**few, atomic=True)
            return fresh_model

        def call(fresh_model):
            try:
                return fresh_model.compute(**arguments, atomic=True)
            except MemoryError:
                _core._alloc_fail_at(0)
                again = fresh_model.compute(**arguments, atomic=True)
                assert again.energy == expected[k].energy
                np.testing.assert_array_equal(again.forces, expected[k].forces)
                raise

        count, used, result = fail_everywhere(call, persistent, fresh)
        np.testing.assert_array_equal(result.forces, expected[k].forces)
        used.close()
        counts.append(count)
    assert counts[0] > 20 and counts[1] > 5 and counts[2] > 0
    figures.record("allocations that failed", name, "loading", counts[0])
    figures.record("allocations that failed", name, "calls", counts[1] + counts[2])
    model.close()
    gc.collect()
    assert _core._alloc_live() <= before


def python(code, *arguments, **options):
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True,
                          timeout=60, **options)


START = """
import dgnn, os, signal, sys, threading, time
import numpy as np
rng = np.random.default_rng(0)
n = 400
coords, types, box = rng.random((n, 3)) * 17, rng.integers(0, 2, n), np.eye(3) * 17
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored under nohup and in the background, and inherited
model = dgnn.Model.load(sys.argv[1], threads=int(sys.argv[2]))
call = lambda: model.compute(coords, types, box).energy
energy = call()
"""
FORK = START + """
def child():
    pid = os.fork()
    if pid == 0:
        os._exit(0 if call() == energy else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
after = [child() for _ in range(3)]
thread = threading.Thread(target=lambda: [call() for _ in range(10)])
thread.start()
time.sleep(0.01)
while thread.is_alive() and len(after) < 8:
    after.append(child())
thread.join()
print(after, call() == energy)
sys.exit(0 if set(after) == {0} and call() == energy else 1)
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_fork(threads, base_path):
    """After loading and a call, and during one in another thread: the child computes, the parent goes on."""
    done = python(FORK, base_path, threads)
    assert done.returncode == 0, done.stdout + done.stderr


def test_multiprocessing(base_path):
    code = START + ("import multiprocessing\n"
                    "def work(_):\n    return call()\n"
                    "if __name__ == '__main__':\n"
                    "    with multiprocessing.get_context('fork').Pool(2) as pool:\n"
                    "        print(set(pool.map(work, range(6))) == {energy})\n")
    done = python(code, base_path, 2)
    assert done.stdout.strip() == "True", done.stdout + done.stderr


def test_interrupt(base_path):
    """Ctrl-C during calls: KeyboardInterrupt, and the model is usable."""
    code = START + """
threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
start = time.monotonic()
try:
    while time.monotonic() < start + 20:
        call()
    print("no interrupt")
except KeyboardInterrupt:
    print(call() == energy)
"""
    for _ in range(3):
        done = python(code, base_path, 2)
        assert done.stdout.strip() == "True", done.stdout + done.stderr


def test_interrupt_where_it_was_ignored(base_path):
    """The test above, as it runs under nohup."""
    code = "import signal, subprocess, sys\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nsys.exit(subprocess.run(sys.argv[1:]).returncode)"
    done = python(code, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{__file__}::test_interrupt")
    assert done.returncode == 0, done.stdout + done.stderr


LATENCY = """
import dgnn, os, signal, sys, threading, time, warnings
import numpy as np
warnings.simplefilter("ignore")
signal.signal(signal.SIGINT, signal.default_int_handler)  # which nohup's children do not have
model = dgnn.Model.load(sys.argv[1], threads=int(sys.argv[3]))
rng, n = np.random.default_rng(0), int(sys.argv[2])
places = np.stack(np.meshgrid(*[np.arange(40)] * 3, indexing="ij"), -1).reshape(-1, 3)[:n]
coords, types = (places + rng.uniform(0.2, 0.8, (n, 3))) * 2.0, rng.integers(0, 2, n)
given = dict(spins=rng.normal(size=(n, 3))) if model.is_spin else {}
few = {key: value[:20] for key, value in given.items()}
call = lambda: model.compute(coords[:20], types[:20], **few).energy
energy, sent = call(), []
def signals():
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
threading.Timer(0.3, signals).start()
try:
    model.compute(coords, types, **given)
    print("over before")
except KeyboardInterrupt:
    print(time.monotonic() - sent[0], call() == energy)
"""


@pytest.mark.parametrize("name, natoms", [("dpa3_base", 6000), ("dpa2_base", 6000), ("dpa1_attn2", 12000), ("se_e2_a", 40000),
                                          ("se_e3", 12000), ("spin_dpa3", 4000)])
def test_interrupt_ends_a_long_call(name, natoms, figures):
    """Within a second; the next call has the numbers of before. tests/c/test_stop.c has each family at each question."""
    done = python(LATENCY, DATA / "cases" / name / "model.pt2", natoms, 2)
    seconds, good = done.stdout.split()
    assert good == "True" and float(seconds) < 1, done.stdout + done.stderr
    figures.record("Ctrl-C in a long call", name, "seconds", float(seconds), 1)


ENDS = {
    "a model left": "pass",
    "in a cycle": "a = [model]; a.append(a); del model",
    "held by sys": "sys.kept = model",
    "in an exit handler": "import atexit; atexit.register(lambda: call() == energy or os._exit(3))",
    "in a finaliser": "import weakref; weakref.finalize(types, lambda: None); builtins = __builtins__; builtins.m = model",
    "modules gone first": "sys.modules.pop('dgnn'); sys.modules.pop('dgnn._core'); sys.modules.pop('numpy')",
    "a thread computes": "threading.Thread(target=lambda: [call() for _ in range(50)], daemon=True).start()",
    "an exception": "raise SystemExit(0)",
    "closed in a thread": "t = threading.Thread(target=model.close); t.start(); t.join()",
}


@pytest.mark.parametrize("how", ENDS)
def test_the_interpreter_ends(how, base_path):
    done = python(START + ENDS[how] + "\n", base_path, 2)
    assert done.returncode == 0 and done.stderr == "", (done.returncode, done.stderr)


def test_two_copies_of_the_module(base_path):
    """Reloaded: the second copy has errors of its own, and both work."""
    code = START + """
import importlib
old = dgnn
for name in [name for name in sys.modules if name.split('.')[0] == 'dgnn']:
    del sys.modules[name]
new = importlib.import_module('dgnn')
print(new is not old, new.Model.load(sys.argv[1]).compute(coords, types, box).energy == call())
"""
    done = python(code, base_path, 1)
    assert done.stdout.strip() == "True True", done.stdout + done.stderr


@pytest.mark.parametrize("count", [1000, pytest.param(20_000, marks=pytest.mark.long)])
def test_memory_is_flat(count, base_path, tmp_path):
    """Over so many good calls, failing ones of several kinds, and loads."""
    model = dgnn.Model.load(base_path, threads=1)
    coords, types = np.array([[0.0, 0, 0], [0, 0, 1.1], [1, 0, 0.3]]), np.array([0, 1, 1])
    bad = tmp_path / "bad.pt2"
    bad.write_bytes(base_path.read_bytes()[:-10])
    failing = [dict(types=[0, 1]), dict(types=[0, 1, 9]), dict(coords=np.zeros((3, 2))), dict(box=np.zeros((3, 3))),
               dict(coords=np.full((3, 3), np.nan)), dict(fparam=[1.0]), dict(ids=[1, 1, 2]), dict(spins=coords)]

    def fails(kind, work):
        try:
            work()
        except kind:
            return
        raise AssertionError("no error")

    def work(count):
        for k in range(count):
            model.compute(coords, types, atomic=True)
            fails(dgnn.InputError, lambda: model.compute(**{"coords": coords, "types": types, **failing[k % 8]}))
            if k % 20 == 0:
                dgnn.Model.load(base_path).close()
                fails(dgnn.ModelFormatError, lambda: dgnn.Model.load(bad))
                model.save(tmp_path / "model.dgnn")
                model._core.tree()

    work(80)
    gc.collect()
    live = _core._alloc_live()
    tracemalloc.start()
    work(40)
    gc.collect()
    first = tracemalloc.get_traced_memory()[0]
    work(count)
    gc.collect()
    last = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert _core._alloc_live() == live
    assert last - first < 20_000, f"{last - first} bytes more after {count} calls"
    assert len(os.listdir(tmp_path)) == 2
    assert len(os.listdir("/proc/self/fd")) < 100


AUDIT = """
import sys
events = []
import dgnn, numpy as np, locale
from dgnn import files
model = dgnn.Model.load(sys.argv[1]); model.compute([[0.0, 0, 0], [0, 0, 1.1]], [0, 1])
sys.addaudithook(lambda event, arguments: events.append((event, arguments)))
model = dgnn.Model.load(sys.argv[1]); model.compute([[0.0, 0, 0], [0, 0, 1.1]], [0, 1])
wanted = ('open', 'exec', 'import', 'compile', 'os.system', 'os.exec', 'subprocess', 'ctypes', 'pickle', 'marshal', 'code',
          'socket', 'shutil', 'os.posix_spawn', 'os.fork')
own = lambda event: event[0] == 'open' and event[1][0] in (sys.argv[1], *range(100))  # the archive, by name or descriptor
print([event for event in events if event[0].startswith(wanted) and not own(event)])
"""


@pytest.mark.parametrize("archive", [DATA / "real" / "dpa3_small.pt2", DATA / "cases" / "se_e2_a" / "model.pt2"],
                         ids=["compiled code inside", "data alone"])
def test_nothing_is_executed_and_nothing_else_is_opened(archive, tmp_path):
    """Python's audit hook sees no import, no code and no open but of the archive's beginning; the kernel sees the archive alone, and no exec."""
    done = python(AUDIT, archive)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    code = ("import dgnn, numpy as np, os, sys, time\n"
            "time.localtime(); dgnn.Model.load(sys.argv[2]).compute([[0.0, 0, 0], [0, 0, 1.1]], [0, 1])\n"
            "os.path.exists('/first-mark')\n"
            "dgnn.Model.load(sys.argv[1], threads=2).compute([[0.0, 0, 0], [0, 0, 1.1]], [0, 1])\n"
            "os.path.exists('/second-mark')\n")
    log = tmp_path / "strace.log"
    other = DATA / "cases" / "dpa3_base" / "model.pt2"
    # libzip turns times of members into local time, for which the C library opens TZ's file, once
    done = subprocess.run(["strace", "-f", "-qq", "-e", "trace=file,process,network", "-o", log, sys.executable, "-c",
                           code, archive, other], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "TZ": "UTC0"})
    assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines()
    marks = [k for k, line in enumerate(lines) if "/first-mark" in line or "/second-mark" in line]
    assert len(marks) >= 2, "the marks are missing"
    between = [line.split(None, 1)[1] for line in lines[marks[0] + 1 : marks[-1]]]
    opened = [line for line in between if line.startswith(("open", "creat", "rename", "unlink", "link", "mkdir"))]
    assert opened and all(str(archive) in line for line in opened), opened
    assert not [line for line in between if line.startswith(("exec", "connect", "bind", "fork", "vfork"))]


LIBZIP = """
import dgnn, sys
mapped = lambda: "libzip" in open("/proc/self/maps").read()
print(mapped())
try:
    dgnn.Model.load(sys.argv[1])
    print(mapped())
except OSError as error:
    print(error)
"""


def test_libzip_is_loaded_by_the_first_archive(base_path, tmp_path):
    """Not by the import. Where it cannot be loaded, the error says so."""
    assert python(LIBZIP, base_path).stdout.split() == ["False", "True"]
    subprocess.run([*builder.compiler(), "-shared", "-x", "c", "/dev/null", "-o", tmp_path / builder.libzip_name()], check=True)
    done = python(LIBZIP, base_path, env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)})
    assert "a ZIP archive needs libzip: " in done.stdout and "undefined symbol: zip_" in done.stdout, done.stdout + done.stderr


def test_stopped_and_continued(base_path):
    """SIGSTOP in the middle of calls, and SIGCONT: the numbers are the same."""
    code = START + "print(flush=True)\nprint({call() for _ in range(10)} == {energy})\n"
    child = subprocess.Popen([sys.executable, "-c", code, base_path, "2"], stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    for _ in range(5):
        child.send_signal(signal.SIGSTOP)
        time.sleep(0.02)
        child.send_signal(signal.SIGCONT)
        time.sleep(0.01)
    assert child.communicate(timeout=60)[0].strip() == "True"


def test_close_during_a_call(base_path):
    """Closing says busy, another call waits, and both calls end as they would have."""
    model = dgnn.Model.load(base_path, threads=1, skin=0)
    rng = np.random.default_rng(0)
    arguments = rng.random((3000, 3)) * 33, rng.integers(0, 2, 3000), np.eye(3) * 33
    expected = model.compute(*arguments).energy
    energies = []
    thread = threading.Thread(target=lambda: energies.append(model.compute(*arguments).energy))
    thread.start()
    time.sleep(0.1)
    with pytest.raises(dgnn.BusyError):
        model.close()
    assert np.isfinite(model.compute([[0.0, 0, 0]], [0]).energy)  # beside it
    thread.join()
    assert energies == [expected]
    model.close()
